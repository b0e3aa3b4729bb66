"""Rectangles that are covered, samples that are mixed, layers one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import functional, layers
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.layers import Layer

Array = np.ndarray[Any, Any]


def pictures(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(1, 254, shape).astype("float32")


def change(layer: Layer, x: Any, key: int = 1) -> Any:
    with random.stream(random.key(key)):
        return layer(x, training=True)


def bounds(there: Array) -> tuple[slice, slice]:
    """The rows and columns of the rectangle of True in a picture."""
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


# ---- erasing -------------------------------------------------------------------------


def test_what_is_erased_is_a_rectangle() -> None:
    x = pictures(300, 20, 30, 3)
    made = change(layers.RandomErasing((1.0, 1.0), (0.1, 0.2), [0, 5, 9]), x).numpy()
    areas = []
    for old, new in zip(x, made, strict=True):
        there = (old != new).any(axis=-1)
        rows, columns = bounds(there)
        assert there[rows, columns].all()
        assert there.sum() == there[rows, columns].size
        np.testing.assert_array_equal(
            new[rows, columns], np.broadcast_to([0, 5, 9], new[rows, columns].shape)
        )
        areas.append(there.mean())
    # sides are between the roots of 0.1 and 0.2, up to a pixel
    assert 0.08 < np.min(areas) < 0.13
    assert 0.17 < np.max(areas) < 0.24


def test_places_to_erase_are_everywhere() -> None:
    x = pictures(2000, 8, 8, 1)
    made = change(layers.RandomErasing((1.0, 1.0), (0.2, 0.2), 0.0), x).numpy()
    # a place is no whole number, so that the first row and column are spared
    often = (made == 0).mean(axis=(0, 3))[1:, 1:]
    np.testing.assert_allclose(often, often[::-1], atol=0.06)
    np.testing.assert_allclose(often, often.T, atol=0.06)
    assert often.min() > 0.02


def test_noise_is_drawn_for_each_pixel_and_cut() -> None:
    x = np.full((50, 12, 12, 2), 0.5, "float32")
    layer = layers.RandomErasing((1.0, 1.0), (0.5, 0.5), None, (0, 1))
    made = change(layer, x).numpy()
    noise = made[made != x]
    assert noise.min() == 0
    assert noise.max() == 1
    assert abs((noise == 0).mean() - 0.5) < 0.05
    assert len(np.unique(noise)) > 0.3 * noise.size


def test_a_chance_of_erasing() -> None:
    x = pictures(1000, 5, 5, 1)
    made = change(layers.RandomErasing((0.3, 0.3), fill_value=0), x).numpy()
    changed = (made != x).any(axis=(1, 2, 3)).mean()
    assert 0.2 < changed < 0.35  # small rectangles may lie between pixels
    kept = change(layers.RandomErasing(0.0), {"images": x, "labels": np.arange(1000)})
    np.testing.assert_array_equal(kept["images"].numpy(), x)
    np.testing.assert_array_equal(kept["labels"].numpy(), np.arange(1000))


# ---- mixing --------------------------------------------------------------------------


def marked(count: int) -> dict[str, Array]:
    """Pictures of one number each, and one-hot labels that tell them apart."""
    eye = np.eye(count, dtype="float32")
    x = np.broadcast_to(eye[:, None, None, :], (count, 12, 10, count))
    return {"images": np.ascontiguousarray(x), "labels": eye}


def test_mixed_pictures_have_labels_in_the_same_shares() -> None:
    made = change(layers.MixUp(0.8), marked(60))
    x, y = made["images"].numpy(), made["labels"].numpy()
    np.testing.assert_allclose(x, np.broadcast_to(y[:, None, None], x.shape), atol=1e-6)
    np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
    assert ((y > 0).sum(axis=1) <= 2).all()
    own = np.diag(y)
    assert own.std() > 0.2  # each sample draws its own share
    other = y - np.diag(own)
    assert ((other > 0).sum(axis=0) <= 1).all()  # an order: nobody is taken twice


def test_the_smaller_alpha_the_less_is_mixed() -> None:
    def shares(alpha: float) -> Array:
        data = marked(50)
        found = [
            np.diag(change(layers.MixUp(alpha), data, key)["labels"].numpy())
            for key in range(10)
        ]
        return np.concatenate(found)

    for alpha in (0.1, 1.0, 5.0):
        found = shares(alpha)
        # of a beta distribution; where a sample meets itself its share is 1
        assert abs(found.mean() - 0.51) < 0.05
        expected = 0.25 / (2 * alpha + 1)
        assert abs(found.var() - expected) < 0.2 * expected + 0.004


def test_cut_pictures_have_labels_by_the_area() -> None:
    made = change(layers.CutMix(), marked(60))
    x, y = made["images"].numpy(), made["labels"].numpy()
    assert set(np.unique(x)) == {0, 1}
    areas = x.mean(axis=(1, 2))
    # the rectangle is not cut at whole pixels
    np.testing.assert_allclose(areas, y, atol=0.2)
    np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
    assert np.diag(y).std() > 0.15
    for i, picture in enumerate(x):
        there = picture[..., i] == 0
        if there.any():
            rows, columns = bounds(there)
            assert there[rows, columns].all()


def test_masks_are_mixed_with_their_pictures() -> None:
    x = pictures(30, 9, 8, 1)
    classes = (x[..., 0] // 32).astype("int32")
    made = change(layers.CutMix(), {"images": x, "segmentation_masks": classes})
    expected = (made["images"].numpy()[..., 0] // 32).astype("int32")
    np.testing.assert_array_equal(made["segmentation_masks"].numpy(), expected)
    floats = {"images": x, "segmentation_masks": x}
    made = change(layers.MixUp(1.0), floats)
    np.testing.assert_array_equal(
        made["segmentation_masks"].numpy(), made["images"].numpy()
    )
    with pytest.raises(ArgumentError, match="one_hot"):
        change(layers.MixUp(), {"images": x, "segmentation_masks": classes})


def test_boxes_of_both_pictures_stay() -> None:
    data = marked(8)
    boxes = np.arange(8 * 2 * 4, dtype="float32").reshape(8, 2, 4)
    labels = np.arange(16).reshape(8, 2)
    data["bounding_boxes"] = {"boxes": boxes, "labels": labels}  # type: ignore[assignment]
    made = change(layers.MixUp(1.0), data)
    found = made["bounding_boxes"]["labels"].numpy()
    assert found.shape == (8, 4)
    np.testing.assert_array_equal(found[:, :2], labels)
    y = made["labels"].numpy()
    for i in range(8):
        other = int(found[i, 2]) // 2
        assert y[i, i] + y[i, other] > 0.999
        np.testing.assert_array_equal(
            made["bounding_boxes"]["boxes"].numpy()[i, 2:], boxes[other]
        )
    with pytest.raises(ArgumentError, match="guess"):
        change(layers.CutMix(), data)


@pytest.mark.parametrize("layer", [layers.MixUp(), layers.CutMix()], ids=repr)
def test_classes_cannot_be_mixed_by_number(layer: Layer) -> None:
    x = pictures(4, 5, 5, 1)
    for labels in (np.arange(4), np.arange(4)[:, None]):
        with pytest.raises(ArgumentError, match="to_categorical"):
            change(layer, {"images": x, "labels": labels})
    whole = np.eye(4, dtype="int64")
    made = change(layer, {"images": x, "labels": whole})["labels"].numpy()
    np.testing.assert_allclose(made.sum(axis=1), 1, atol=1e-6)
    rest = layer({"images": x, "labels": np.arange(4)})["labels"].numpy()
    np.testing.assert_array_equal(rest, np.arange(4))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: layers.MixUp(0.0), "alpha"),
        (lambda: layers.MixUp("0.2"), "alpha"),
        (lambda: layers.CutMix(1.5), "factor"),
        (lambda: layers.RandomErasing(scale=(0.1, 1.5)), "scale"),
        (lambda: layers.RandomErasing(fill_value="noise"), "fill_value"),
        (lambda: layers.Pipeline([3]), "no layer"),
    ],
)
def test_mistakes_are_named(make: Any, named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        make()
    colours = layers.RandomErasing(fill_value=[1, 2])
    with pytest.raises(ArgumentError, match="3 numbers"):
        change(colours, pictures(1, 4, 4, 3))


# ---- one after another ---------------------------------------------------------------


def test_a_pipeline_is_its_layers_one_after_another() -> None:
    x = pictures(20, 6, 7, 3)
    parts = [layers.RandomFlip(), layers.Rescaling(1 / 255), layers.RandomZoom(0.2)]
    with random.stream(random.key(1)):
        expected: Any = x
        for part in parts:
            training = {"training": True} if "Random" in repr(part) else {}
            expected = part(expected, **training)
    made = change(layers.Pipeline(parts), x)
    np.testing.assert_array_equal(made.numpy(), expected.numpy())
    rest = layers.Pipeline(parts)(x).numpy()
    np.testing.assert_array_equal(rest, layers.Rescaling(1 / 255)(x).numpy())


def test_a_pipeline_takes_all_that_belongs_to_pictures() -> None:
    x = pictures(20, 6, 7, 1)
    classes = (x // 32).astype("int32")[..., 0]
    chain = layers.Pipeline(
        [
            layers.ZeroPadding2D(2),
            layers.RandomCrop(6, 7),
            layers.Pipeline([layers.RandomFlip()]),
            layers.Rescaling(1 / 32),
        ]
    )
    made = change(chain, {"images": x, "segmentation_masks": classes, "labels": x[0]})
    expected = np.floor(made["images"].numpy()[..., 0]).astype("int32")
    np.testing.assert_array_equal(made["segmentation_masks"].numpy(), expected)
    smaller = layers.Pipeline([layers.Resizing(3, 3)])
    with pytest.raises(ArgumentError, match="segmentation_masks"):
        smaller({"images": x, "segmentation_masks": classes})
    boxes = {"boxes": functional.zeros((20, 1, 4))}
    with pytest.raises(ArgumentError, match="bounding_boxes"):
        smaller({"images": x, "bounding_boxes": boxes})
