import numpy as np
import pytest

import chainrule as cr
from chainrule.boxes import (
    FORMATS,
    clip_to_image_size,
    compute_area,
    convert_format,
    decode_deltas,
    decode_distances,
    encode_deltas,
    encode_distances,
    generate_anchors,
    generate_points,
)
from chainrule.errors import ArgumentError, ShapeError
from tests.boxes.reference import random_boxes

# One box of a picture of 100 x 200 (height, width), in each format.
SAME = {
    "xyxy": [20, 10, 60, 30],
    "yxyx": [10, 20, 30, 60],
    "xywh": [20, 10, 40, 20],
    "center_xywh": [40, 20, 40, 20],
    "center_yxhw": [20, 40, 20, 40],
    "rel_xyxy": [0.1, 0.1, 0.3, 0.3],
    "rel_yxyx": [0.1, 0.1, 0.3, 0.3],
    "rel_xywh": [0.1, 0.1, 0.2, 0.2],
    "rel_center_xywh": [0.2, 0.2, 0.2, 0.2],
}


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_each_format_becomes_each_other(source, target):
    given = np.asarray([SAME[source]], "float64")
    made = convert_format(given, source, target.upper(), height=100, width=200)
    assert isinstance(made, np.ndarray)
    np.testing.assert_allclose(made, [SAME[target]], rtol=1e-12)
    tensor = convert_format(given.tolist(), source, target, height=100, width=200)
    assert isinstance(tensor, cr.Tensor)
    np.testing.assert_allclose(tensor.numpy(), [SAME[target]], rtol=1e-6)


def test_each_picture_of_a_batch_may_have_its_own_size():
    boxes = np.asarray([[[20.0, 10, 60, 30]], [[20, 10, 60, 30]]])
    made = convert_format(
        {"boxes": boxes, "labels": [0]}, "xyxy", "rel_yxyx", [100, 50], [200, 100]
    )
    expected = [[[0.1, 0.1, 0.3, 0.3]], [[0.2, 0.2, 0.6, 0.6]]]
    np.testing.assert_allclose(made["boxes"], expected)
    assert made["labels"] == [0]
    assert boxes[0, 0, 0] == 20


def test_conversion_refuses_what_it_cannot_do():
    with pytest.raises(ArgumentError, match="no such format"):
        convert_format([[0, 0, 1, 1]], "xyxy", "corners")
    with pytest.raises(ArgumentError, match="size of the picture"):
        convert_format([[0, 0, 1, 1]], "xyxy", "rel_xyxy", height=3)
    with pytest.raises(ShapeError, match="four numbers"):
        convert_format([[0, 0, 1]], "xyxy", "xywh")
    assert convert_format(np.zeros((0, 4), int), "xyxy", "xywh").dtype == "float32"
    assert convert_format([[0, 0, 1, 1]], "xyxy", "xyxy", dtype="float64").dtype == (
        cr.float64
    )


def test_conversion_inside_a_compiled_function_has_a_gradient():
    convert = cr.jit(
        cr.grad(lambda x: cr.sum(convert_format(x, "center_xywh", "xyxy")))
    )
    np.testing.assert_allclose(
        convert(cr.asarray([[1.0, 2.0, 3.0, 4.0]])).numpy(), [[2, 2, 0, 0]]
    )


def test_boxes_are_cut_at_the_borders():
    boxes = np.asarray([[-5.0, -5, 300, 20], [250, 0, 300, 20], [10, 10, 20, 20]])
    cut = clip_to_image_size(
        {"boxes": boxes, "labels": np.asarray([1, 2, 3])}, 100, 200
    )
    assert cut["boxes"].tolist() == [
        [0, 0, 200, 20],
        [200, 0, 200, 20],
        [10, 10, 20, 20],
    ]
    assert cut["labels"].tolist() == [1, -1, 3]
    for form in FORMATS:
        there = convert_format(boxes, "xyxy", form, 100, 200)
        made = clip_to_image_size(there, 100, 200, form)
        back = convert_format(made, form, "xyxy", 100, 200)
        np.testing.assert_allclose(back, cut["boxes"], atol=1e-9)
        area = compute_area(made, form) * (20_000 if form.startswith("rel") else 1)
        np.testing.assert_allclose(area, [4000, 0, 100], atol=1e-9)
    with pytest.raises(ArgumentError, match="where a picture ends"):
        clip_to_image_size(boxes, height=3)


def test_offsets_and_distances_are_undone():
    generator = np.random.default_rng(1)
    boxes, anchors = (
        random_boxes(generator, 50) + np.asarray([0, 0, 1, 1]) for _ in range(2)
    )
    for variance in ((1, 1, 1, 1), (0.1, 0.1, 0.2, 0.2)):
        deltas = encode_deltas(boxes, anchors, variance)
        decoded = decode_deltas(deltas, anchors, variance)
        np.testing.assert_allclose(decoded, boxes, rtol=1e-9, atol=1e-9)
    points = generator.uniform(0, 100, (50, 2))
    distances = encode_distances(boxes, points)
    np.testing.assert_allclose(decode_distances(distances, points), boxes)
    inside = (boxes[:, :2] < points).all(1) & (points < boxes[:, 2:]).all(1)
    np.testing.assert_array_equal((distances > 0).all(1), inside)


def test_offsets_stay_finite():
    flat = np.asarray([[3.0, 3, 3, 9]])
    assert np.isfinite(encode_deltas(flat, flat)).all()
    assert np.isfinite(decode_deltas(np.full((1, 4), 1e6), flat)).all()


def test_anchors_have_the_area_and_shape_that_was_asked_for():
    levels = generate_anchors((50, 70), strides=[8, 16], sizes=[30, 60])
    assert [len(x) for x in levels] == [7 * 9 * 9, 4 * 5 * 9]
    for level, size in zip(levels, (30, 60), strict=True):
        width, height = level[:9, 2] - level[:9, 0], level[:9, 3] - level[:9, 1]
        scales = np.repeat([1, 2 ** (1 / 3), 2 ** (2 / 3)], 3)
        np.testing.assert_allclose(np.sqrt(width * height), size * scales, rtol=1e-5)
        np.testing.assert_allclose(height / width, [0.5, 1, 2] * 3, rtol=1e-5)
    points = generate_points((50, 70), [8, 16])
    centers = (levels[1][:, :2] + levels[1][:, 2:]) / 2
    np.testing.assert_allclose(centers[::9], points[1], atol=1e-4)
    with pytest.raises(ArgumentError, match="positive"):
        generate_points((50, 70), [0])
    with pytest.raises(ArgumentError, match="one size"):
        generate_anchors((50, 70), [8], sizes=[1, 2])
