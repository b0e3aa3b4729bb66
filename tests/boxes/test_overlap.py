import numpy as np
import pytest

import chainrule as cr
from chainrule.boxes import (
    compute_ciou,
    compute_diou,
    compute_giou,
    compute_iou,
    convert_format,
)
from chainrule.errors import ArgumentError
from tests.boxes import reference
from tests.boxes.reference import random_boxes

FAMILY = {
    "iou": compute_iou,
    "giou": compute_giou,
    "diou": compute_diou,
    "ciou": compute_ciou,
}
every_measure = pytest.mark.parametrize("name", FAMILY)


@every_measure
@pytest.mark.parametrize("whole", [False, True], ids=["", "whole"])
def test_values_of_all_pairs(name, whole):
    generator = np.random.default_rng(0)
    a, b = (
        random_boxes(generator, 20, whole=whole),
        random_boxes(generator, 30, whole=whole),
    )
    slow = np.asarray([[getattr(reference, name)(x, y) for y in b] for x in a])
    pairs = FAMILY[name](a, b, pairwise=True)
    np.testing.assert_allclose(pairs, slow, atol=1e-12)
    tensors = FAMILY[name](cr.asarray(a), b, pairwise=True)
    np.testing.assert_allclose(tensors.numpy(), slow, atol=1e-12)
    matched = FAMILY[name](a, b[:20], pairwise=False)
    np.testing.assert_allclose(matched, np.diagonal(slow), atol=1e-12)
    batch = FAMILY[name](np.stack([a, a[::-1]]), b, pairwise=True)
    np.testing.assert_allclose(batch[1], slow[::-1], atol=1e-12)
    compiled = cr.jit(lambda x, y: FAMILY[name](x, y, pairwise=True))
    np.testing.assert_allclose(
        compiled(a.astype("float32"), b.astype("float32")).numpy(), slow, atol=2e-6
    )


@every_measure
@pytest.mark.parametrize("form", ["center_yxhw", "rel_xywh"])
def test_formats(name, form):
    generator = np.random.default_rng(0)
    a, b = random_boxes(generator, 9), random_boxes(generator, 9)
    expected = FAMILY[name](a, b)
    shown = [convert_format(x, "xyxy", form, 80, 160) for x in (a, b)]
    made = FAMILY[name](*shown, form, image_shape=(80, 160, 3))
    np.testing.assert_allclose(made, expected, atol=1e-9)
    if form.startswith("rel"):
        with pytest.raises(ArgumentError, match="size of the picture"):
            FAMILY[name](*shown, form)


def test_padding_can_be_masked():
    boxes = np.asarray([[0.0, 0, 1, 1], [-1, -1, -1, -1]])
    masked = compute_iou(boxes, boxes, use_masking=True)
    assert masked.tolist() == [[1, -1], [-1, -1]]
    kept = compute_iou(boxes, boxes, use_masking=True, mask_val=7, pairwise=False)
    assert kept.tolist() == [1, 7]


def slope(function, at, direction, step=1e-6):
    return (function(at + step * direction) - function(at - step * direction)) / (
        2 * step
    )


@every_measure
def test_gradients_agree_with_differences(name):
    generator = np.random.default_rng(4)
    a, b = random_boxes(generator, 40), random_boxes(generator, 40)
    # No gradient flows through the factor of the aspect ratio: it is held.
    parts = [reference.ciou_parts(x, y) for x, y in zip(a, b, strict=True)]
    alpha = np.asarray([factor for _, factor in parts])

    def measure(x, y):
        if name != "ciou":
            each = getattr(reference, name)
            return sum(each(p, q) for p, q in zip(x, y, strict=True))
        ratios = [reference.ciou_parts(p, q)[0] for p, q in zip(x, y, strict=True)]
        overlaps = [reference.diou(p, q) for p, q in zip(x, y, strict=True)]
        return np.sum(overlaps) - np.sum(alpha * ratios)

    for argument in (0, 1):
        gradient = cr.grad(
            lambda x, y: cr.sum(FAMILY[name](x, y, pairwise=False)), argument
        )(cr.asarray(a), cr.asarray(b)).numpy()
        for _ in range(3):
            along = generator.normal(size=a.shape)
            if argument == 0:
                expected = slope(lambda x: measure(x, b), a, along)
            else:
                expected = slope(lambda y: measure(a, y), b, along)
            np.testing.assert_allclose((gradient * along).sum(), expected, rtol=1e-5)


DEGENERATE = np.asarray(
    [
        [0.0, 0, 0, 0],
        [5, 5, 5, 5],
        [5, 5, 9, 5],
        [5, 5, 5, 9],
        [9, 9, 5, 5],
        [0, 0, 1e-20, 1e-20],
        [0, 0, 1e9, 1e9],
        [-4, -4, 4, 4],
    ],
    "float32",
)


@every_measure
def test_degenerate_boxes_give_numbers_and_finite_gradients(name):
    count = len(DEGENERATE)
    a = np.repeat(DEGENERATE, count, axis=0)
    b = np.tile(DEGENERATE, (count, 1))

    def total(x, y):
        return cr.sum(FAMILY[name](x, y, pairwise=False))

    values = FAMILY[name](a, b, pairwise=False)
    assert np.isfinite(values).all()
    proper = (a[:, :2] <= a[:, 2:]).all(1) & (b[:, :2] <= b[:, 2:]).all(1)
    assert (values[proper] >= -2).all()
    assert (values <= 1 + 1e-6).all()
    for gradient in (cr.grad(total), cr.jit(cr.grad(total))):
        assert np.isfinite(gradient(cr.asarray(a), cr.asarray(b)).numpy()).all()
