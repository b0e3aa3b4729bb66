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
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pictures(case: Case, dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, 9, 12, 3)).astype(dtype)
    theirs = getattr(keras.layers, case.name)(seed=3, **case.arguments)
    ours = getattr(layers, case.name)(**case.arguments)
    found = theirs.get_random_transformation(torch.as_tensor(x), training=True)
    drawn = case.drawn(_copied(found), x.shape)
    made = ours.change_images(functional.asarray(x), drawn).numpy()
    expected = theirs.transform_images(torch.as_tensor(x), found, training=True)
    # a place that rounding moves across a pixel's border reads another pixel
    nearest = case.arguments.get("interpolation") == "nearest"
    wrong = np.abs(made - expected.numpy()) > 1e-2
    assert wrong.mean() < (0.01 if nearest else 1e-9)


def _copied(found: Any) -> Any:
    """Keras changes a matrix that it drew while it uses it."""
    if isinstance(found, dict):
        return {key: _copied(value) for key, value in found.items()}
    return found.clone().numpy() if isinstance(found, torch.Tensor) else found


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
