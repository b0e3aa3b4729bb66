"""Boxes against Keras: formats, clipping, overlaps."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from chainrule import boxes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

# Keras converts its tensors in a way that NumPy warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

Array = np.ndarray[Any, Any]
HEIGHT, WIDTH = 80, 120


def random_boxes(seed: int, shape: tuple[int, ...], form: str = "xyxy") -> Array:
    corners = np.random.default_rng(seed).uniform(0, 70, (*shape, 2, 2))
    low, high = corners.min(-2), corners.max(-2) + 5
    made = np.concatenate([low, high], axis=-1).astype("float32")
    found: Array = boxes.convert_format(made, "xyxy", form, HEIGHT, WIDTH)
    return found


def of_keras(tensor: Any) -> Array:
    found: Array = keras.ops.convert_to_numpy(tensor)
    return found


@pytest.mark.parametrize("source", boxes.FORMATS)
def test_formats(source: str) -> None:
    given = random_boxes(0, (2, 9), source)
    convert = keras.utils.bounding_boxes.convert_format
    for target in boxes.FORMATS:
        theirs = of_keras(convert(given, source, target, HEIGHT, WIDTH))
        ours = boxes.convert_format(given, source, target, HEIGHT, WIDTH)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_clipping() -> None:
    given = random_boxes(0, (2, 9)) * 2 - 20
    labels = np.arange(18).reshape(2, 9)
    clip = keras.utils.bounding_boxes.clip_to_image_size
    theirs = clip({"boxes": given, "labels": labels}, HEIGHT, WIDTH)
    ours = boxes.clip_to_image_size({"boxes": given, "labels": labels}, HEIGHT, WIDTH)
    for name in ("boxes", "labels"):
        np.testing.assert_array_equal(ours[name], of_keras(theirs[name]))


@pytest.mark.parametrize("form", ["xyxy", "yxyx", "xywh", "center_xywh", "rel_yxyx"])
@pytest.mark.parametrize("ranks", [(2, 2), (3, 2), (2, 3), (3, 3)])
def test_overlap_of_all_pairs(form: str, ranks: tuple[int, int]) -> None:
    shapes = [(5,) if rank == 2 else (2, 5) for rank in ranks]
    a, b = (random_boxes(i, shape, form) for i, shape in enumerate(shapes))
    shape = (HEIGHT, WIDTH, 3)
    compute = keras.utils.bounding_boxes.compute_iou
    theirs = of_keras(compute(a, b, form, image_shape=shape))
    ours = boxes.compute_iou(a, b, form, image_shape=shape)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_masked_overlap() -> None:
    a, b = random_boxes(0, (5,)), random_boxes(1, (5,))
    a[1], b[2:4] = -1, -1
    compute = keras.utils.bounding_boxes.compute_iou
    theirs = of_keras(compute(a, b, "xyxy", use_masking=True, mask_val=-3))
    ours = boxes.compute_iou(a, b, use_masking=True, mask_val=-3)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_complete_overlap() -> None:
    a, b = random_boxes(0, (50,)), random_boxes(1, (50,))
    theirs = of_keras(keras.utils.bounding_boxes.compute_ciou(a, b, "xyxy"))
    np.testing.assert_allclose(boxes.compute_ciou(a, b), theirs, atol=1e-5)
