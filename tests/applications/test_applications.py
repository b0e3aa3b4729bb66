"""The structure of the builders, their arguments, and what they refuse."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from chainrule import Input, Model, applications, load_model
from chainrule.applications import (
    LeNet5,
    MobileNetSmall,
    ResNet18,
    ResNet20,
    ResNet32,
    UNet,
    building,
    unet,
)
from chainrule.errors import ArgumentError, FormatError, ShapeError
from chainrule.layers import Add, Conv2D, Dense, DepthwiseConv2D, Rescaling
from chainrule.models.cost import forward_flops
from chainrule.models.summary import format_count
from tests.tolerances import PARITY, assert_close

WRITERS = {"GPT"}  # builders of networks that read tokens, which have other tests
NAMES = [n for n in applications.__all__ if n[0].isupper() and n not in WRITERS]
BUILDERS = [getattr(applications, name) for name in NAMES]
RNG = np.random.default_rng(0)
PAGE = Path(__file__).parents[2] / "docs" / "applications.md"
ROW = re.compile(r"^\| `(\w+\(.*?\))` \| [^|]+ \| ([\d,]+) \| ([^|]+) \|", re.MULTILINE)
SMALL = {
    "LeNet5": {},
    "ResNet20": {"input_shape": (12, 16, 3)},
    "ResNet32": {"input_shape": (8, 8, 1)},
    "ResNet18": {"input_shape": (8, 8, 3), "small_pictures": True},
    "MobileNetSmall": {"input_shape": (32, 48, 3), "alpha": 0.25},
    "UNet": {"input_shape": (8, 16, 2), "filters": 4, "depth": 2},
}


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("builder", BUILDERS)
def test_arguments_are_those_of_keras(builder):
    assert list(inspect.signature(builder).parameters)[:8] == [
        "include_top",
        "weights",
        "input_tensor",
        "input_shape",
        "pooling",
        "classes",
        "classifier_activation",
        "name",
    ]


@pytest.fixture
def unset(monkeypatch):
    """Weights of 0, which are made at once, however many."""
    for module in (building, unet):
        monkeypatch.setattr(module, "INITIALIZER", "zeros")


@pytest.mark.usefixtures("unset")
def test_the_page_tells_what_summary_tells():
    rows = ROW.findall(PAGE.read_text())
    named = {row[0].split("(")[0] for row in rows}
    assert named == set(NAMES)
    for call, parameters, flops in rows:
        model = eval(call, vars(applications))
        assert f"{model.count_params():,}" == parameters, call
        assert format_count(sum(forward_flops(model, 1).values())) == flops.strip()


@pytest.mark.usefixtures("unset")
def test_sizes_are_those_of_the_papers():
    trained = [
        sum(v.value.size for v in builder().trainable_weights)
        for builder in (LeNet5, ResNet20, ResNet32, ResNet18)
    ]
    assert trained == [61_706, 269_722, 464_154, 11_689_512]


@pytest.mark.parametrize(("builder", "count"), [(ResNet20, 20), (ResNet32, 32)])
def test_residual_networks_have_as_many_layers_as_their_names_say(builder, count):
    model = builder()
    assert len(layers_of(model, (Conv2D, Dense))) == count
    assert len(layers_of(model, Add)) == (count - 2) // 2
    shapes = [layer.output.shape[1:] for layer in layers_of(model, Add)]
    assert list(dict.fromkeys(shapes)) == [(32, 32, 16), (16, 16, 32), (8, 8, 64)]


def test_shortcuts_take_every_second_pixel_and_new_channels_are_zeros():
    model = ResNet20(include_top=False)
    before = model.get_layer("stage1_block3_relu2").output
    add = model.get_layer("stage2_block1_add")
    shortcut = Model(before, add._calls[0].args[0][1])
    x = RNG.normal(size=(2, 32, 32, 16)).astype(np.float32)
    found = shortcut(x).numpy()
    assert (found[..., 8:24] == x[:, ::2, ::2]).all()
    assert not found[..., :8].any()
    assert not found[..., 24:].any()


def test_convolutions_begin_as_he_proposed():
    model = ResNet18(small_pictures=True)
    kernel = model.get_layer("stage4_block2_conv2").kernel.numpy()
    assert abs(kernel.std() / np.sqrt(2 / (9 * 512)) - 1) < 0.01


def test_alpha_multiplies_channels():
    widths = [
        [layer.filters for layer in layers_of(MobileNetSmall(alpha=alpha), Conv2D)]
        for alpha in (1.0, 0.5, 0.3)
    ]
    assert widths[0] == [32, 64, 128, 128, 256, 256, 512, 512]
    assert widths[1] == [16, 32, 64, 64, 128, 128, 256, 256]
    assert widths[2] == [16, 24, 40, 40, 80, 80, 152, 152]
    assert len(layers_of(MobileNetSmall(), DepthwiseConv2D)) == 7


def small(builder, **options):
    return builder(**{"classes": 3, **SMALL[builder.__name__], **options})


@pytest.mark.parametrize("builder", [LeNet5, ResNet20, MobileNetSmall, UNet])
def test_every_weight_is_trained(builder):
    model = small(builder)
    x = RNG.normal(size=(4, *model.input.shape[1:])).astype(np.float32)
    y = RNG.integers(0, 3, (4, *model.output_shape[1:-1]))
    before = [v.numpy().copy() for v in model.weights]
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=4, verbose=0)
    pairs = zip(before, model.weights, strict=True)
    assert all((a != v.numpy()).any() for a, v in pairs)


@pytest.mark.parametrize("builder", BUILDERS)
def test_every_network_is_saved_and_its_weights_begin_another(builder, tmp_path):
    model = small(builder)
    x = RNG.normal(size=(2, *model.input.shape[1:])).astype(np.float32)
    wanted = model(x).numpy()
    assert_close(wanted.sum(-1), np.ones(wanted.shape[:-1], np.float32), PARITY)
    path = model.save(tmp_path / "model")
    for again in (load_model(path), small(builder, weights=path)):
        assert (again(x).numpy() == wanted).all()
    body = small(builder, include_top=False, weights=path)
    assert (body.weights[0].numpy() == model.weights[0].numpy()).all()


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_without_a_top_feature_maps_are_pooled(pooling):
    options = {"include_top": False, "input_shape": (None, None, 3)}
    x = RNG.normal(size=(2, 12, 16, 3)).astype(np.float32)
    maps = ResNet20(**options)
    assert maps.output_shape == (None, None, None, 64)
    pooled = ResNet20(pooling=pooling, **options)
    pooled.set_weights(maps.get_weights())
    reduce = np.mean if pooling == "avg" else np.max
    assert_close(pooled(x).numpy(), reduce(maps(x).numpy(), (1, 2)), PARITY)


def test_a_network_begins_with_a_symbol():
    given = Input((16, 16, 3), dtype="uint8")
    model = ResNet20(input_tensor=Rescaling(1 / 255)(given))
    assert model.inputs[0] is given
    plain = ResNet20(input_shape=(16, 16, 3))
    plain.set_weights(model.get_weights())
    x = RNG.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    assert_close(model(x).numpy(), plain(np.float32(x) / 255).numpy(), PARITY)


@pytest.mark.parametrize(
    ("builder", "options", "words"),
    [
        (LeNet5, {"input_shape": (27, 28, 1)}, "height 27"),
        (ResNet20, {"input_shape": (32, 7, 3)}, "width 7"),
        (ResNet20, {"input_shape": (32, 32)}, "height, a width"),
        (ResNet20, {"input_shape": (32, 32, None)}, "number of channels"),
        (MobileNetSmall, {"input_shape": (31, 32, 3)}, "at least 32"),
        (UNet, {"input_shape": (64, 72, 3)}, "multiple of 16, such as 80"),
        (UNet, {"input_shape": (8, 16, 3)}, "at least 16"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(builder, options, words):
    with pytest.raises(ShapeError, match=re.escape(words)):
        builder(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 1}, "sigmoid"),
        ({"classes": 0}, "one class or more"),
        ({"pooling": "mean"}, "'avg' or 'max'"),
        ({"weights": "imagenet"}, "no such file"),
        ({"input_tensor": np.zeros((1, 32, 32, 3))}, "Input"),
        (
            {"input_tensor": Input((32, 32, 3)), "input_shape": (16, 16, 3)},
            "different things",
        ),
    ],
)
def test_arguments_that_make_no_network_are_refused(options, words):
    with pytest.raises(ArgumentError, match=words):
        ResNet20(**options)


def test_weights_of_another_network_are_refused(tmp_path):
    path = ResNet20().save_weights(tmp_path / "w")
    for options in ({"classes": 5}, {"input_shape": (32, 32, 1), "include_top": False}):
        with pytest.raises(FormatError):
            ResNet20(weights=path, **options)
    with pytest.raises(FormatError):
        ResNet32(weights=path, include_top=False)


@pytest.mark.parametrize("options", [{"alpha": 0}, {"depth_multiplier": 0}])
def test_channels_must_remain(options):
    with pytest.raises(ArgumentError):
        MobileNetSmall(**options)
