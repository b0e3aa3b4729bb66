"""Layers that change pictures, against Keras's with the same numbers drawn.

Keras draws; what it drew is handed to the layer here. So every rule of what is done
with the numbers is compared; `tests/layers` has the drawing itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from chainrule import functional, layers
from chainrule.functional.sampling import Affine
from chainrule.layers import augmentation_geometry as geometry
from chainrule.layers.augmentation_erasing import Rectangles

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

torch.set_num_threads(1)
Array = np.ndarray[Any, Any]


def tensor(value: Any) -> Any:
    return functional.asarray(np.asarray(value))


@dataclass(frozen=True)
class Case:
    """A layer, and how what Keras drew reads here.

    Args:
        name: of the layer.
        arguments: for both.
        drawn: from what Keras drew, and the shape of the pictures.
    """

    name: str
    arguments: dict[str, Any]
    drawn: Callable[[dict[str, Any], Any], Any]

    def __str__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.arguments.items())
        return f"{self.name}({shown})"


def case(name: str, drawn: Callable[[Any, Any], Any], **arguments: Any) -> Case:
    return Case(name, arguments, drawn)


def rotation(found: Any, shape: Any) -> Affine:
    return geometry.turned(tensor(np.radians(found["angle"])), shape)


def zoom(found: Any, shape: Any) -> Affine:
    wide, tall = (tensor(found[k])[:, 0] for k in ("width_zoom", "height_zoom"))
    return geometry.scaled(wide, tall, shape)


def translation(found: Any, shape: Any) -> Affine:
    moved = tensor(found["translations"])
    return geometry.shifted(moved[:, 0], moved[:, 1])


def shear(found: Any, shape: Any) -> Affine:
    factors = tensor(found["shear_factor"])
    return geometry.sheared(factors[:, 0], factors[:, 1])


def perspective(found: Any, shape: Any) -> Any:
    lengths = (shape[1] - 1, shape[2] - 1)
    forth = geometry.seen_at(tensor(found["end_points"]), lengths)
    return tensor(found["apply_perspective"]), forth


def drawn(*names: str) -> Callable[[Any, Any], Any]:
    """Of these names; the numbers of samples alone, without further axes."""

    def read(found: Any, shape: Any) -> Any:
        values = [tensor(found[name]) for name in names]
        flat = [v.reshape((-1,)) if v.size == shape[0] else v for v in values]
        return flat[0] if len(flat) == 1 else tuple(flat)

    return read


def grey(found: Any, shape: Any) -> Any:
    return tensor(found).reshape((-1,))


def blur(found: Any, shape: Any) -> Any:
    x_and_y = np.asarray(found["blur_factor"])[::-1]
    chosen = tensor(found["should_apply_blur"])
    return chosen, tensor(np.tile(x_and_y, (shape[0], 1)))


def bits(found: Any, shape: Any) -> Any:
    return tensor(2.0 ** np.asarray(found["shift_factor"], "float32"))


def nothing(found: Any, shape: Any) -> Any:
    return None


def erasing(found: Any, shape: Any) -> Any:
    """Keras tells the pixels, of which the ends of rectangles follow."""
    masks = np.asarray(found["batch_masks"])[..., 0]
    place = _ends(masks)
    return tensor(found["apply_erasing"]), place, tensor(found["fill_value"])


def _ends(masks: Any) -> Rectangles:
    across, down = masks.any(axis=1), masks.any(axis=2)
    ends = []
    for line in (across, down):
        first = line.argmax(axis=1)
        ends += [first, first + line.sum(axis=1)]
    left, right, top, bottom = (tensor(end.astype("float32")) for end in ends)
    return Rectangles(left, right, top, bottom)


def mixing(found: Any, shape: Any) -> Any:
    return tensor(found["permutation_order"]), tensor(found["mix_weight"])


def cutting(found: Any, shape: Any) -> Any:
    place = _ends(np.asarray(found["batch_masks"])[..., 0])
    share = tensor(found["mix_weight"]).reshape((-1,))
    return tensor(found["permutation_order"]), place, share


MIXED = [
    case("MixUp", mixing, alpha=0.8),
    case("CutMix", cutting),
    case("CutMix", cutting, factor=(0.5, 0.9)),
]
FILTERED = [
    case("RandomErasing", erasing),
    case("RandomErasing", erasing, factor=(0.6, 0.6), scale=(0.1, 0.5), fill_value=7),
    case("RandomSharpness", drawn("factor"), factor=1.0),
    case("RandomSharpness", drawn("factor"), factor=(0.0, 0.4), value_range=(20, 200)),
    case("RandomGaussianBlur", blur),
    case("RandomGaussianBlur", blur, factor=(1.0, 1.0), kernel_size=5, sigma=0.9),
    case("RandomInvert", drawn("apply_inversion"), factor=(0.5, 0.5)),
    case("RandomInvert", drawn("apply_inversion"), value_range=(0, 300)),
    case("RandomPosterization", bits, factor=7),
    case("RandomPosterization", bits, factor=(2, 5), value_range=(0, 300)),
    case("Solarization", drawn("additions", "thresholds")),
    case(
        "Solarization",
        drawn("additions", "thresholds"),
        addition_factor=0.3,
        threshold_factor=0.6,
    ),
    case("AutoContrast", nothing),
    case("AutoContrast", nothing, value_range=(0, 300)),
]
COLORED = [
    case("RandomBrightness", drawn("rgb_delta"), factor=0.6),
    case(
        "RandomBrightness", drawn("rgb_delta"), factor=(0.1, 0.4), value_range=(0, 300)
    ),
    case("RandomContrast", drawn("contrast_factor"), factor=0.9),
    case("RandomContrast", drawn("contrast_factor"), factor=(0.5, 0.9)),
    case("RandomSaturation", drawn("factor"), factor=(0.0, 0.5)),
    case("RandomHue", drawn("factor"), factor=1.0),
    case("RandomHue", drawn("factor"), factor=(0.2, 0.4), value_range=(0, 300)),
    case("RandomColorDegeneration", drawn("factor"), factor=(0.0, 1.0)),
    case("RandomGrayscale", grey),
    case("RandomGrayscale", grey, factor=0.9),
]
READS = [
    {"fill_mode": mode, "interpolation": interpolation}
    for mode in ("reflect", "wrap", "nearest", "constant")
    for interpolation in ("bilinear", "nearest")
]
CASES = [
    *(case("RandomRotation", rotation, factor=0.3, **read) for read in READS),
    *(case("RandomZoom", zoom, height_factor=0.4, **read) for read in READS),
    *(
        case(
            "RandomTranslation",
            translation,
            height_factor=0.4,
            width_factor=(-0.7, 0.2),
            **read,
        )
        for read in READS
    ),
    *(
        case("RandomShear", shear, x_factor=0.4, y_factor=(0.1, 0.3), **read)
        for read in READS
    ),
    case("RandomZoom", zoom, height_factor=(-0.5, 0.1), width_factor=0.3),
    case("RandomRotation", rotation, factor=0.1, fill_mode="constant", fill_value=9.0),
    case("RandomPerspective", perspective, factor=(0.6, 0.6), scale=0.5),
    case(
        "RandomPerspective",
        perspective,
        scale=0.4,
        interpolation="nearest",
        fill_value=3.0,
    ),
    *COLORED,
    *MIXED,
    *FILTERED,
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pictures(case: Case, dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, 9, 12, 3)).astype(dtype)
    seed = {} if case.drawn is nothing else {"seed": 3}
    theirs = getattr(keras.layers, case.name)(**seed, **case.arguments)
    ours = getattr(layers, case.name)(**case.arguments)
    found = theirs.get_random_transformation(torch.as_tensor(x), training=True)
    drawn = case.drawn(_copied(found), x.shape)
    made = ours.change_images(functional.asarray(x), drawn).numpy()
    given = torch.as_tensor(x).to(torch.float32)
    expected = theirs.transform_images(given, found, training=True)
    # a place that rounding moves across a pixel's border reads another pixel
    nearest = case.arguments.get("interpolation") == "nearest"
    wrong = np.abs(made - expected.numpy()) > 1e-2
    assert wrong.mean() < (0.01 if nearest else 1e-9)


def _copied(found: Any) -> Any:
    """Keras changes a matrix that it drew while it uses it."""
    if isinstance(found, dict):
        return {key: _copied(value) for key, value in found.items()}
    return found.clone().numpy() if isinstance(found, torch.Tensor) else found


@pytest.mark.parametrize("case", MIXED, ids=str)
def test_mixed_labels(case: Case) -> None:
    x = np.random.default_rng(0).uniform(0, 1, (8, 9, 12, 3)).astype("float32")
    labels = np.eye(8, dtype="float32")
    theirs = getattr(keras.layers, case.name)(seed=3, **case.arguments)
    ours = getattr(layers, case.name)(**case.arguments)
    found = theirs.get_random_transformation(torch.as_tensor(x), training=True)
    made = ours.change_labels(
        functional.asarray(labels), case.drawn(_copied(found), x.shape)
    )
    expected = theirs.transform_labels(torch.as_tensor(labels), found, training=True)
    np.testing.assert_allclose(made.numpy(), expected.numpy(), atol=1e-6)


def test_saturation_stays_below_one() -> None:
    """Where values go to 1, as Keras cuts there; above 0.5, colours become pure."""
    x = np.random.default_rng(0).uniform(0, 1, (6, 9, 12, 3)).astype("float32")
    options = {"factor": (0.5, 0.9), "value_range": (0, 1)}
    theirs = keras.layers.RandomSaturation(seed=3, **options)
    found = theirs.get_random_transformation(torch.as_tensor(x), training=True)
    factor = drawn("factor")(_copied(found), x.shape)
    made = layers.RandomSaturation(**options).change_images(
        functional.asarray(x), factor
    )
    expected = theirs.transform_images(torch.as_tensor(x), found, training=True)
    np.testing.assert_allclose(made.numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*Tensor.T:UserWarning")
@pytest.mark.parametrize("bins", [256, 64])
def test_equal_levels_of_one_picture(bins: int) -> None:
    """Keras counts all samples of a batch together; here each has its own levels."""
    x = np.random.default_rng(0).gamma(3.0, 20.0, (1, 30, 31, 3)).clip(0, 255)
    x = x.astype("uint8").astype("float32")
    made = layers.Equalization(bins=bins)(x, training=True).numpy()
    expected = keras.layers.Equalization(bins=bins)(x, training=True).numpy()
    # v / 255 * 255 is now and then below v, which Keras then counts one bin lower
    wrong = np.abs(made - expected) > 1e-3
    assert wrong.mean() < 0.1
    assert np.abs(made - expected).max() < 12


@pytest.mark.parametrize(
    ("name", "arguments", "within"),
    [
        ("RandomFlip", {}, 1e-4),
        ("RandomTranslation", {"height_factor": 0.3, "width_factor": 0.2}, 1e-4),
        # Keras takes the middle of the first pixel for its border when it moves boxes
        ("RandomZoom", {"height_factor": 0.3, "width_factor": 0.2}, 0.3),
        ("RandomRotation", {"factor": 0.1}, 0.7),
    ],
)
def test_boxes(name: str, arguments: dict[str, Any], within: float) -> None:
    """With Keras's draw for one picture, found by its effect on the picture."""
    draw = np.random.default_rng(0)
    low = draw.uniform(0, 20, (4, 5, 2))
    boxes = np.concatenate([low, low + draw.uniform(4, 20, low.shape)], axis=-1)
    options = {**arguments, "bounding_box_format": "xyxy"}
    theirs = getattr(keras.layers, name)(seed=3, **options)
    ours = getattr(layers, name)(**options)
    x = draw.integers(0, 256, (4, 40, 44, 3)).astype("float32")
    found = theirs.get_random_transformation(torch.as_tensor(x), training=True)
    kinds = {
        "RandomFlip": _flips,
        "RandomTranslation": translation,
        "RandomZoom": zoom,
        "RandomRotation": rotation,
    }
    drawn = kinds[name](_copied(found), x.shape)
    value = functional.asarray(boxes.astype("float32"))
    moved = ours.change_boxes(value, drawn, x.shape).numpy()
    given = {
        "boxes": torch.as_tensor(boxes.astype("float32")),
        "labels": torch.zeros((4, 5)),
    }
    expected = theirs.transform_bounding_boxes(given, found, training=True)["boxes"]
    cut = np.clip(moved, 0, [44, 40, 44, 40])
    np.testing.assert_allclose(cut, expected.numpy(), atol=within)


def _flips(found: Any, shape: Any) -> dict[int, Any]:
    where = tensor(found["flips"]).reshape((-1,))
    return {1: where, 2: where}
