"""Weights as PyTorch and Keras keep them: partners, order of axes, refusals."""

from itertools import pairwise

import numpy as np
import pytest

from chainrule import Input, Model, Sequential, load_model
from chainrule.applications import ResNet18, ResNet20, torch_names
from chainrule.errors import ArgumentError, FormatError
from chainrule.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    LeakyReLU,
)
from chainrule.models.foreign import Module, modules_of, split_name
from chainrule.training.saving import pack_arrays
from tests.tolerances import PARITY, assert_close

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def linear(name, inputs, outputs):
    return {f"{name}.weight": array(outputs, inputs), f"{name}.bias": array(outputs)}


def dense(*widths, names=None):
    names = names or [None] * (len(widths) - 1)
    made = [Dense(w, name=n) for w, n in zip(widths[1:], names, strict=True)]
    return Sequential([Input((widths[0],)), *made])


def test_layers_of_equal_names_are_partners():
    model = dense(4, 3, 3, 3, names=["a", "b", "c"])
    arrays = linear("c", 3, 3) | linear("a", 4, 3) | linear("b", 3, 3)
    report = model.load_weights(arrays, layout="torch")
    assert report.complete
    assert report.sources["b/kernel"] == "b.weight"
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        np.testing.assert_array_equal(kernel, arrays[f"{layer.name}.weight"].T)
        np.testing.assert_array_equal(bias, arrays[f"{layer.name}.bias"])


def test_equal_layers_of_other_names_are_partners_in_order():
    model = dense(3, 3, 3)
    arrays = linear("0", 3, 3) | linear("2", 3, 3)
    report = model.load_weights(arrays, layout="torch")
    assert report.complete
    kernel = model.layers[1].kernel.numpy()
    np.testing.assert_array_equal(kernel, arrays["2.weight"].T)
    assert f"{model.layers[1].name}/kernel (from 2.weight)" in str(report)


def test_out_of_order_layers_are_found_by_shapes_of_their_own():
    model = dense(5, 4, 3)
    arrays = linear("last", 4, 3) | linear("first", 5, 4)
    assert model.load_weights(arrays, layout="torch").complete
    np.testing.assert_array_equal(
        model.layers[0].get_weights()[0], arrays["first.weight"].T
    )


def test_what_order_and_shape_do_not_tell_is_refused_and_nothing_changes():
    model = dense(5, 4, 4, 4, 3)
    arrays = linear("d", 4, 3) | linear("a", 5, 4)
    arrays |= linear("b", 4, 4) | linear("c", 4, 4)
    names = [layer.name for layer in model.layers]
    before = model.get_weights()
    with pytest.raises(FormatError) as caught:
        model.load_weights(arrays, layout="torch")
    assert f"{names[1]}, {names[2]} could each be any of b, c" in str(caught.value)
    assert "mapping=" in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    mapping = dict(zip(["a", "c", "b", "d"], names, strict=True))
    report = model.load_weights(arrays, layout="torch", mapping=mapping)
    assert report.complete
    kernel = model.layers[1].kernel.numpy()
    np.testing.assert_array_equal(kernel, arrays["c.weight"].T)


def test_two_names_in_the_mapping_leave_the_rest_to_order():
    model = dense(5, 4, 4, 4, 3)
    arrays = linear("d", 4, 3) | linear("b", 4, 4)
    arrays |= linear("c", 4, 4) | linear("a", 5, 4)
    names = [layer.name for layer in model.layers]
    told = {"d": names[3], "c": names[1]}
    report = model.load_weights(arrays, layout="torch", mapping=told)
    assert report.sources[f"{names[2]}/kernel"] == "b.weight"


def test_the_rest_is_told_where_not_all_need_fit(capsys):
    model = dense(5, 4, 2)
    arrays = linear("body", 5, 4) | linear("head", 4, 7)
    with pytest.raises(FormatError):
        model.load_weights(arrays, layout="torch")
    report = model.load_weights(arrays, layout="torch", strict=False)
    assert [report.sources[name] for name in report.loaded] == [
        "body.weight",
        "body.bias",
    ]
    assert len(report.missing) == 2
    assert report.unexpected == ("head.weight", "head.bias")
    assert "(from body.weight)" in capsys.readouterr().out


@pytest.mark.parametrize("strict", [True, False])
def test_a_layer_can_be_left_out(strict):
    model = dense(5, 4, names=["a"])
    arrays = linear("x", 5, 4) | linear("y", 5, 4)
    mapping = {"x": None, "y": "a"}
    if strict:
        with pytest.raises(FormatError, match=r"x\.weight"):
            model.load_weights(arrays, layout="torch", mapping=mapping)
        return
    report = model.load_weights(arrays, layout="torch", mapping=mapping, strict=False)
    assert report.sources == {"a/kernel": "y.weight", "a/bias": "y.bias"}


def test_a_mapping_to_no_layer_is_refused():
    with pytest.raises(ArgumentError, match="does not have") as caught:
        dense(5, 4, names=["a"]).load_weights(
            linear("x", 5, 4), layout="torch", mapping={"x": "b"}
        )
    assert "b" in str(caught.value)


def test_our_own_names_are_mapped_too():
    model = dense(5, 4, names=["a"])
    arrays = {"old/kernel": array(5, 4), "old/bias": array(4)}
    assert model.load_weights(arrays, mapping={"old": "a"}).complete
    np.testing.assert_array_equal(model.get_weights()[0], arrays["old/kernel"])
    plain = {"a/kernel": array(5, 4), "a/bias": array(4)}
    assert model.load_weights(plain).sources == {}


def test_unknown_layouts_are_refused():
    with pytest.raises(ArgumentError, match="'torch', 'keras'"):
        dense(5, 4).load_weights({}, layout="jax")


def test_files_of_pytorch_are_recognized_in_the_message(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(pack_arrays(linear("x", 5, 4)))
    with pytest.raises(FormatError, match="layout='torch'"):
        dense(5, 4).load_weights(path)
    assert dense(5, 4).load_weights(path, layout="torch").complete


def test_pickled_files_are_refused(tmp_path):
    import pickle  # noqa: PLC0415 - to write what is refused
    import zipfile  # noqa: PLC0415

    model = dense(5, 4)
    zipped, plain = tmp_path / "w.pt", tmp_path / "w.pth"
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
    plain.write_bytes(pickle.dumps({"a": 1}))
    for path in (zipped, plain):
        with pytest.raises(FormatError):
            model.load_weights(path, layout="torch")


def test_kernels_are_turned():
    model = Sequential(
        [
            Input((6, 6, 4)),
            Conv2D(8, 3, groups=2),
            DepthwiseConv2D(3, depth_multiplier=3),
            Conv2DTranspose(5, 2),
            BatchNormalization(),
        ]
    )
    arrays = {
        "a.weight": array(8, 2, 3, 3),
        "a.bias": array(8),
        "b.weight": array(24, 1, 3, 3),
        "b.bias": array(24),
        "c.weight": array(24, 5, 2, 2),
        "c.bias": array(5),
        "d.weight": array(5),
        "d.bias": array(5),
        "d.running_mean": array(5),
        "d.running_var": array(5),
        "d.num_batches_tracked": np.array(7),
    }
    assert model.load_weights(arrays, layout="torch").complete
    conv, depthwise, transposed, norm = model.layers
    np.testing.assert_array_equal(
        conv.kernel.numpy(), arrays["a.weight"].transpose(2, 3, 1, 0)
    )
    assert (
        depthwise.kernel.numpy()[1, 2, 7, 2] == arrays["b.weight"][7 * 3 + 2, 0, 1, 2]
    )
    assert transposed.kernel.numpy()[1, 0, 4, 9] == arrays["c.weight"][9, 4, 1, 0]
    np.testing.assert_array_equal(norm.gamma.numpy(), arrays["d.weight"])
    np.testing.assert_array_equal(norm.moving_variance.numpy(), arrays["d.running_var"])


def drawn(*between):
    x = Input((2, 3, 4))
    y = Flatten()(x)
    for layer in between:
        y = layer(y)
    return Model(x, Dense(5, name="out")(y))


@pytest.mark.parametrize(
    "model",
    [
        Sequential([Input((2, 3, 4)), Flatten(), Dense(5, name="out")]),
        drawn(),
        drawn(Dropout(0.5), LeakyReLU(1.0)),
    ],
)
def test_inputs_behind_a_flatten_are_put_in_our_order(model):
    arrays = linear("out", 24, 5)
    model.load_weights(arrays, layout="torch")
    maps = array(1, 2, 3, 4)
    theirs = maps.transpose(0, 3, 1, 2).reshape(1, 24) @ arrays["out.weight"].T
    assert_close(model(maps).numpy(), theirs + arrays["out.bias"], PARITY)


def test_a_flatten_of_channels_first_keeps_the_order_of_pytorch():
    x = Input((4, 2, 3))
    y = Conv2D(4, 1, data_format="channels_first")(x)
    model = Model(x, Dense(5, name="out")(Flatten()(y)))
    arrays = {"c.weight": array(4, 4, 1, 1), "c.bias": array(4)} | linear("out", 24, 5)
    model.load_weights(arrays, layout="torch")
    np.testing.assert_array_equal(
        model.get_layer("out").kernel.numpy(), arrays["out.weight"].T
    )


def test_paths_of_keras_lose_the_name_of_their_model():
    model = dense(5, 4, names=["hidden"])
    arrays = {"net/hidden/kernel": array(5, 4), "net/hidden/bias": array(4)}
    assert model.load_weights(arrays, layout="keras").complete
    np.testing.assert_array_equal(model.get_weights()[0], arrays["net/hidden/kernel"])


def as_torch(model, last):
    """The weights of a residual network as torchvision names and turns them."""
    parts = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}
    kinds = {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
        "kernel": "weight",
        "bias": "bias",
    }
    made = {}
    for layer in model.layers:
        name = layer.name
        if name.startswith("stage"):
            stage, block, part = name.split("_", 2)
            part = parts.get(part, part)
            name = f"layer{stage[5:]}.{int(block[5:]) - 1}.{part}"
        names = {"stem_conv": "conv1", "stem_bn": "bn1", "predictions": last}
        name = names.get(name, name)
        for variable in layer.weights:
            value = variable.numpy()
            if variable.name == "kernel":
                value = value.transpose(*range(value.ndim)[::-1])
                value = (
                    np.moveaxis(value, (-1, -2), (2, 3)) if value.ndim == 4 else value
                )
            made[f"{name}.{kinds[variable.name]}"] = np.ascontiguousarray(value)
    return made


@pytest.mark.parametrize(
    ("builder", "last"), [(ResNet20, "linear"), (ResNet20, "fc"), (ResNet18, "fc")]
)
def test_residual_networks_of_pytorch_are_read_by_name(builder, last, tmp_path):
    options = {"input_shape": (32, 32, 3), "classes": 3}
    first = builder(**options)
    for variable in first.weights:
        variable.assign(array(*variable.shape) * 0.1 + 1)
    arrays = as_torch(first, last)
    items = list(arrays.items())
    RNG.shuffle(items)
    path = tmp_path / "w.safetensors"
    path.write_bytes(pack_arrays(dict(items)))
    second = builder(**options, weights=path)
    for a, b in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    headless = builder(input_shape=(32, 32, 3), include_top=False, weights=path)
    assert len(headless.weights) == len(first.weights) - 2
    report = builder(input_shape=(32, 32, 3), classes=5).load_weights(
        arrays, layout="torch", mapping=torch_names, strict=False
    )
    assert set(report.mismatched) == {"predictions/kernel", "predictions/bias"}


def test_names_of_other_networks_are_none_of_ours():
    assert torch_names("layer1.0.conv3") is None
    assert torch_names("features.0") is None
    assert torch_names("module.layer4.1.bn2") == "stage4_block2_bn2"
    assert torch_names("layer3.0.shortcut.0") == "stage3_block1_shortcut_conv"


def test_arrays_are_read_as_layers_in_order():
    found = modules_of({"a.0.weight": 1, "b.bias": 2, "a.0.bias": 3}, "torch")
    assert [(m.name, list(m.arrays)) for m in found] == [
        ("a.0", ["weight", "bias"]),
        ("b", ["bias"]),
    ]
    assert isinstance(found[0], Module)
    assert split_name("kernel", None) == ("", "kernel")


# ---- files of Keras ------------------------------------------------------------------


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py")


def write(h5py, path, held, **options):
    with h5py.File(path, "w") as file:
        for name, value in held.items():
            file.create_dataset(name, data=value, **options)
    return path


def numbered(*widths):
    held = {}
    for place, (inputs, outputs) in enumerate(pairwise(widths)):
        key = "layers/dense" + (f"_{place}" if place else "")
        held[f"{key}/vars/0"] = array(inputs, outputs)
        held[f"{key}/vars/1"] = array(outputs)
    return held


def test_files_of_keras_number_layers_of_a_class(h5py, tmp_path):
    widths = [3] * 13
    held = numbered(*widths)
    path = write(h5py, tmp_path / "w.weights.h5", held)
    model = dense(*widths)
    assert model.load_weights(path).complete
    for place, layer in enumerate(model.layers):
        key = "layers/dense" + (f"_{place}" if place else "")
        np.testing.assert_array_equal(layer.kernel.numpy(), held[f"{key}/vars/0"])


def test_files_of_keras_that_claim_more_than_they_hold_are_refused(h5py, tmp_path):
    model = dense(3, 3)
    compressed = tmp_path / "c.h5"
    write(h5py, compressed, {"layers/dense/vars/0": array(3, 3)}, compression="gzip")
    empty = tmp_path / "e.h5"
    with h5py.File(empty, "w") as file:
        file.create_dataset("layers/dense/vars/0", (1 << 40,), "f4", chunks=(1024,))
    link = tmp_path / "l.h5"
    with h5py.File(link, "w") as file:
        file["layers/dense/vars/0"] = h5py.ExternalLink("c.h5", "layers/dense/vars/0")
    words = write(h5py, tmp_path / "s.h5", {"layers/dense/vars/0": b"text"})
    broken = tmp_path / "b.h5"
    broken.write_bytes(compressed.read_bytes()[:200])
    for path in (compressed, empty, link, words, broken):
        with pytest.raises(FormatError):
            model.load_weights(path)


def test_without_h5py_the_fix_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ArgumentError, match="pip install h5py"):
        dense(3, 3).load_weights(tmp_path / "w.weights.h5")


def test_a_saved_model_is_still_a_source(tmp_path):
    model = dense(3, 3, names=["a"])
    path = model.save(tmp_path / "m")
    assert load_model(path).load_weights(path).complete
