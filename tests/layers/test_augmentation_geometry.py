"""Pictures that are turned, stretched, moved and skewed, and what follows them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from chainrule import functional, layers
from chainrule.boxes import convert_format
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.functional.sampling import Affine, affine_transform
from chainrule.layers import Layer
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
PADS = {
    "reflect": {"mode": "symmetric"},
    "wrap": {"mode": "wrap"},
    "nearest": {"mode": "edge"},
    "constant": {"mode": "constant", "constant_values": 7.0},
}


def pictures(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def change(layer: Layer, x: Any, key: int = 1) -> Any:
    with random.stream(random.key(key)):
        return layer(x, training=True)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("mode", PADS)
def test_a_move_shows_what_lies_outside(mode: str, interpolation: str) -> None:
    """By whole pixels, against the padding of NumPy; four pictures away as well."""
    x = pictures(2, 4, 5, 3)
    for down, right in ((1, -2), (-3, 4), (4, 5)):
        layer = layers.RandomTranslation(
            (down / 4, down / 4), (right / 5, right / 5), mode, interpolation, None, 7.0
        )
        wide = np.pad(x, ((0, 0), (8, 8), (8, 8), (0, 0)), **PADS[mode])
        expected = wide[:, 8 - down : 12 - down, 8 - right : 13 - right]
        assert_close(change(layer, x).numpy(), expected)


def test_between_pixels_lies_their_mean() -> None:
    row = np.array([[[[1.0], [2.0], [4.0], [8.0]]]], "float32")
    layer = layers.RandomTranslation(0.0, (0.125, 0.125), "constant")
    made = change(layer, row).numpy().ravel()
    np.testing.assert_allclose(made, [0.5, 1.5, 3, 6])


def test_turns_by_quarters_move_pixels() -> None:
    x = pictures(3, 5, 5, 2)
    for quarters in (-1, 1, 2, 3):
        layer = layers.RandomRotation((quarters / 4, quarters / 4))
        expected = np.rot90(x, quarters, axes=(1, 2))
        np.testing.assert_allclose(change(layer, x).numpy(), expected, atol=1e-2)
    half = change(layers.RandomRotation((0.5, 0.5)), pictures(1, 4, 7, 1)).numpy()
    expected = pictures(1, 4, 7, 1)[:, ::-1, ::-1]
    np.testing.assert_allclose(half, expected, atol=1e-2)


def test_zoom_shows_more_or_less() -> None:
    x = pictures(2, 5, 7, 3)
    out = change(layers.RandomZoom((1.0, 1.0), (0.0, 0.0), "constant"), x).numpy()
    np.testing.assert_allclose(out[:, 1:4], x[:, ::2], atol=1e-4)
    assert not out[:, [0, 4]].any()
    closer = change(layers.RandomZoom((-0.5, -0.5), (0.0, 0.0)), x).numpy()
    np.testing.assert_allclose(closer[:, ::2], x[:, 1:4], atol=1e-4)
    np.testing.assert_allclose(closer[:, 1], (x[:, 1] + x[:, 2]) / 2, atol=1e-4)


def test_one_factor_zooms_both_ways_alike() -> None:
    ramp = np.tile(np.arange(9, dtype="float32"), (20, 9, 1))[..., None]
    made = change(layers.RandomZoom(0.3, fill_mode="nearest"), ramp).numpy()
    square = np.concatenate([ramp, ramp.swapaxes(1, 2)], axis=-1)
    both = change(layers.RandomZoom(0.3, fill_mode="nearest"), square).numpy()
    np.testing.assert_array_equal(both[..., :1], made)
    np.testing.assert_allclose(both[..., 1], both[..., 0].swapaxes(1, 2), atol=1e-5)


def test_shear_moves_rows_by_their_number() -> None:
    x = pictures(60, 4, 9, 1)
    layer = layers.RandomShear((1.0, 1.0), fill_mode="wrap", interpolation="nearest")
    made = change(layer, x).numpy()
    ways = [
        np.stack([np.roll(x[:, i], way * i, axis=1) for i in range(4)], axis=1)
        for way in (1, -1)
    ]
    counts = [int((made == way).all(axis=(1, 2, 3)).sum()) for way in ways]
    assert sum(counts) == 60
    assert min(counts) > 15


def test_samples_draw_from_all_of_the_range() -> None:
    """The angles, the moves and the sizes that a slope of grey values tells."""
    across = np.tile(np.arange(21, dtype="float32"), (500, 21, 1))
    slope = np.stack([across, across.swapaxes(1, 2)], axis=-1)

    def read(layer: Layer) -> Array:
        """x and y of the old picture that the middle, and its neighbours, show."""
        made = change(layer, slope).numpy()
        return np.stack([made[:, 10, 10], made[:, 10, 11], made[:, 11, 10]])

    middle, right, below = read(layers.RandomRotation((-0.1, 0.2)))
    np.testing.assert_allclose(middle, 10, atol=1e-4)
    angle = np.arctan2((right - middle)[:, 1], (right - middle)[:, 0])
    assert -0.1 * 2 * np.pi < angle.min() < -0.09 * 2 * np.pi
    assert 0.19 * 2 * np.pi < angle.max() < 0.2 * 2 * np.pi
    middle, right, below = read(layers.RandomZoom((-0.3, 0.1), (0.2, 0.4)))
    tall, wide = (below - middle)[:, 1], (right - middle)[:, 0]
    assert 0.7 - 1e-5 < tall.min() < 0.72
    assert 1.08 < tall.max() < 1.1 + 1e-5
    assert 1.2 - 1e-5 < wide.min() < 1.21
    assert 1.39 < wide.max() < 1.4 + 1e-5
    middle, *_ = read(layers.RandomTranslation((0.1, 0.2), 0.3))
    assert 10 - 0.2 * 21 < middle[:, 1].min() < 10 - 0.19 * 21
    assert 10 - 0.11 * 21 < middle[:, 1].max() < 10 - 0.1 * 21
    assert 10 - 0.3 * 21 < middle[:, 0].min() < 10 - 0.27 * 21
    assert abs(np.corrcoef(middle.T)[0, 1]) < 0.15


def test_a_view_from_the_side_keeps_lines_straight() -> None:
    across = np.tile(np.arange(41, dtype="float32"), (30, 41, 1))
    slope = np.stack([across, across.swapaxes(1, 2)], axis=-1)
    layer = layers.RandomPerspective((1.0, 1.0), 0.5, fill_value=np.nan)
    made = change(layer, slope).numpy()
    for picture in made[:, 5:36, 5:36].reshape(30, -1, 31, 2):
        for line in picture:
            line = line[np.isfinite(line).all(axis=1)]
            if len(line) < 5:
                continue
            first, last = line[0], line[-1]
            x, y = (line - first).T
            across_line = x * (last - first)[1] - y * (last - first)[0]
            assert np.abs(across_line).max() < 0.02 * np.abs(line).max() + 0.05


def test_a_view_changes_as_many_as_the_factor_says() -> None:
    x = pictures(400, 5, 5, 1)
    made = change(layers.RandomPerspective((0.25, 0.25), 0.5), x).numpy()
    same = (made == x).all(axis=(1, 2, 3)).sum()
    assert 260 < same < 340


BOXED: dict[str, Callable[..., Layer]] = {
    "crop": partial(layers.RandomCrop, 40, 50),
    "flip": layers.RandomFlip,
    "perspective": partial(layers.RandomPerspective, scale=0.3),
    "rotation": partial(layers.RandomRotation, 0.1, "constant"),
    "shear": partial(layers.RandomShear, 0.3, 0.2, fill_mode="constant"),
    "translation": partial(layers.RandomTranslation, 0.4, 0.4, "constant"),
    "zoom": partial(layers.RandomZoom, 0.5, 0.3, "constant"),
}


def spots() -> tuple[Array, Array]:
    """A white rectangle on black in each picture, and its box."""
    draw = np.random.default_rng(0)
    x = np.zeros((60, 50, 60, 1), "float32")
    boxes = np.zeros((60, 1, 4), "float32")
    for i in range(60):
        left, top = draw.integers(5, 40), draw.integers(5, 30)
        right, bottom = left + draw.integers(6, 16), top + draw.integers(6, 16)
        x[i, top:bottom, left:right] = 1
        boxes[i, 0] = left, top, right, bottom
    return x, boxes


@pytest.mark.parametrize("form", ["xyxy", "rel_yxyx", "center_xywh"])
@pytest.mark.parametrize("make", BOXED.values(), ids=BOXED)
def test_boxes_follow_their_objects(make: Callable[..., Layer], form: str) -> None:
    x, boxes = spots()
    given = convert_format(boxes, "xyxy", form, height=50, width=60)
    labels = np.arange(60)[:, None]
    data = {"images": x, "bounding_boxes": {"boxes": given, "labels": labels}}
    made = change(make(bounding_box_format=form), data)
    new = made["images"].numpy()[..., 0]
    height, width = new.shape[1:]
    found = made["bounding_boxes"]
    moved = convert_format(
        found["boxes"].numpy(), form, "xyxy", height=height, width=width
    )[:, 0]
    kept = found["labels"].numpy()[:, 0]
    assert set(kept) <= {-1, *range(60)}
    seen = 0
    for i in range(60):
        rows = np.flatnonzero(new[i].max(axis=1) > 0.25)
        columns = np.flatnonzero(new[i].max(axis=0) > 0.25)
        if len(rows) == 0:
            continue
        assert kept[i] == i
        there = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(moved[i], there, atol=1.6)
        seen += 1
    assert seen > 45


def test_what_is_gone_has_no_label() -> None:
    x = np.zeros((1, 10, 10, 1), "float32")
    boxes = {"boxes": np.array([[[0.0, 0, 3, 3], [5, 5, 9, 9]]], "float32")}
    data = {"images": x, "bounding_boxes": {**boxes, "labels": np.array([[4, 5]])}}
    away = layers.RandomTranslation(
        (-0.4, -0.4), (-0.4, -0.4), "constant", bounding_box_format="xyxy"
    )
    made = change(away, data)["bounding_boxes"]
    assert made["labels"].numpy().tolist() == [[-1, 5]]
    np.testing.assert_allclose(made["boxes"].numpy()[0, 1], [1, 1, 5, 5], atol=1e-5)


def test_boxes_stay_where_nothing_is_trained() -> None:
    x, boxes = spots()
    data = {"images": x, "bounding_boxes": {"boxes": boxes}}
    for name, make in BOXED.items():
        made = make(bounding_box_format="xyxy")(data)["bounding_boxes"]["boxes"]
        if name != "crop":
            np.testing.assert_array_equal(made.numpy(), boxes)
    made = layers.RandomCrop(25, 25, bounding_box_format="xyxy")(data)
    expected = np.clip((boxes - [5, 0, 5, 0]) / 2, 0, 25)
    assert_close(made["bounding_boxes"]["boxes"].numpy(), expected.astype("float32"))


def test_one_picture_has_its_boxes() -> None:
    x, boxes = spots()
    layer = layers.RandomZoom(0.3, bounding_box_format="xyxy")
    alone = {"images": x[3], "bounding_boxes": {"boxes": boxes[3]}}
    batch = {"images": x[3:4], "bounding_boxes": {"boxes": boxes[3:4]}}
    one, several = change(layer, alone), change(layer, batch)
    for part in (one["images"], one["bounding_boxes"]["boxes"]):
        assert part.ndim < 4
    np.testing.assert_array_equal(
        one["bounding_boxes"]["boxes"].numpy(),
        several["bounding_boxes"]["boxes"].numpy()[0],
    )


def test_masks_move_with_their_pictures() -> None:
    x = np.random.default_rng(0).integers(0, 9, (20, 12, 10, 1)).astype("int32")
    for name, make in BOXED.items():
        if name == "crop":
            continue
        options = {} if name == "flip" else {"interpolation": "nearest"}
        made = change(make(**options), {"images": x, "segmentation_masks": x})
        masks = made["segmentation_masks"]
        assert masks.dtype is functional.int32
        np.testing.assert_array_equal(masks.numpy(), made["images"].numpy())
        smooth = change(make(), {"images": x, "segmentation_masks": x})
        np.testing.assert_array_equal(
            smooth["segmentation_masks"].numpy(), masks.numpy()
        )


def test_boxes_need_a_format() -> None:
    x, boxes = spots()
    data = {"images": x, "bounding_boxes": {"boxes": boxes}}
    with pytest.raises(ArgumentError, match="bounding_box_format"):
        layers.RandomZoom(0.1)(data)
    with pytest.raises(ArgumentError, match="dict of boxes"):
        layers.RandomZoom(0.1, bounding_box_format="xyxy")(
            {**data, "bounding_boxes": boxes}
        )
    with pytest.raises(ArgumentError, match="xyzw"):
        layers.RandomZoom(0.1, bounding_box_format="xyzw")


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: layers.RandomRotation(1.5), "factor"),
        (lambda: layers.RandomRotation("0.5"), "factor"),
        (lambda: layers.RandomRotation((0.1, 0.2, 0.3)), "factor"),
        (lambda: layers.RandomRotation(0.1, "mirror"), "fill_mode"),
        (lambda: layers.RandomRotation(0.1, interpolation="cubic"), "interpolation"),
        (lambda: layers.RandomZoom(-1.0), "height_factor"),
        (lambda: layers.RandomZoom(0.1, 2.0), "width_factor"),
        (lambda: layers.RandomTranslation(0.1, -1.1), "width_factor"),
        (lambda: layers.RandomShear(-0.1), "x_factor"),
        (lambda: layers.RandomShear(y_factor=(0.0, 1.1)), "y_factor"),
        (lambda: layers.RandomPerspective(scale=1.5), "scale"),
        (lambda: layers.RandomPerspective(factor=True), "factor"),
    ],
)
def test_mistakes_are_named(make: Callable[[], Layer], named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        make()


def test_places_far_outside_are_read_as_the_rules_say() -> None:
    """Many times around, in both directions, for every mode."""
    x = functional.asarray(pictures(1, 3, 4, 1))
    zero, one = functional.zeros(1), functional.ones(1)
    for mode, rule in PADS.items():
        wide = np.pad(x.numpy(), ((0, 0), (0, 0), (40, 40), (0, 0)), **rule)
        for shift in (-37, -9, 9, 33):
            places = Affine(one, zero, one * float(shift), zero, one, zero)
            made = affine_transform(x, places, "bilinear", mode, 7.0)
            np.testing.assert_array_equal(
                made.numpy(), wide[:, :, 40 + shift : 44 + shift]
            )
