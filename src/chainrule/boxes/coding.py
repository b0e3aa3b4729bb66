"""Boxes as what a network predicts: offsets from anchors, or distances from points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.boxes.namespace import as_boxes, divide, namespace
from chainrule.functional.promotion import ArrayLike

NO_VARIANCE = (1.0, 1.0, 1.0, 1.0)
# exp(4) times an anchor is beyond every picture; larger would overflow.
LARGEST_LOG = 4.135  # log(1000 / 16)


def encode_deltas(
    boxes: ArrayLike, anchors: ArrayLike, variance: Sequence[float] = NO_VARIANCE
) -> Any:
    """Offsets of boxes from anchors: `(dx / w, dy / h, log(bw / w), log(bh / h))`.

    `dx` and `dy` lead from the centre of the anchor to that of the box; `w`, `h` are
    the anchor's. Girshick et al., arXiv 1311.2524.

    Args:
        boxes: `(..., 4)`, left, top, right, bottom.
        anchors: as many, or such that they broadcast.
        variance: the four offsets are divided by these, so that their spread is near 1.

    Returns:
        `(..., 4)`; 0 for the logarithms of boxes or anchors without area.

    Example:
        >>> encode_deltas([0.0, 0.0, 4.0, 2.0], [0.0, 0.0, 2.0, 2.0]).tolist()
        [0.5, 0.0, 0.6931471824645996, 0.0]
    """
    box, anchor = as_boxes(boxes, "encode_deltas"), as_boxes(anchors, "encode_deltas")
    xp = namespace(box, anchor)
    x, y, width, height = _centers(box)
    ax, ay, aw, ah = _centers(anchor)

    def log_ratio(a: Any, b: Any) -> Any:
        ratio = divide(xp, a, b)
        usable = ratio > 0
        return xp.log(xp.where(usable, ratio, xp.ones_like(ratio)))

    parts = [
        divide(xp, x - ax, aw),
        divide(xp, y - ay, ah),
        log_ratio(width, aw),
        log_ratio(height, ah),
    ]
    return xp.stack([x / v for x, v in zip(parts, variance, strict=True)], axis=-1)


def decode_deltas(
    deltas: ArrayLike, anchors: ArrayLike, variance: Sequence[float] = NO_VARIANCE
) -> Any:
    """Boxes of offsets from anchors: the inverse of `encode_deltas`.

    A box is at most 62.5 times as wide and high as its anchor, so that a network that
    is not trained yet cannot overflow.

    Args:
        deltas: `(..., 4)`.
        anchors: `(..., 4)`, left, top, right, bottom.
        variance: as for `encode_deltas`.

    Example:
        >>> decode_deltas([0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 2.0, 2.0]).tolist()
        [1.0, 0.0, 3.0, 2.0]
    """
    delta, anchor = as_boxes(deltas, "decode_deltas"), as_boxes(anchors, "anchors")
    xp = namespace(delta, anchor)
    ax, ay, aw, ah = _centers(anchor)
    dx, dy, dw, dh = (delta[..., i] * variance[i] for i in range(4))
    x, y = ax + dx * aw, ay + dy * ah
    largest = xp.zeros_like(dw) + LARGEST_LOG
    width = aw * xp.exp(xp.minimum(dw, largest)) / 2
    height = ah * xp.exp(xp.minimum(dh, largest)) / 2
    return xp.stack([x - width, y - height, x + width, y + height], axis=-1)


def encode_distances(boxes: ArrayLike, points: ArrayLike) -> Any:
    """Distances from points to the left, top, right and bottom of boxes.

    Positive where the point is inside. Tian et al., arXiv 1904.01355.

    Args:
        boxes: `(..., 4)`, left, top, right, bottom.
        points: `(..., 2)`, x and y.

    Example:
        >>> encode_distances([0.0, 0.0, 4.0, 2.0], [1.0, 1.0]).tolist()
        [1.0, 1.0, 3.0, 1.0]
    """
    box = as_boxes(boxes, "encode_distances")
    twice = _twice(points)
    xp = namespace(box, twice)
    x, y = twice[..., 0], twice[..., 1]
    parts = [x - box[..., 0], y - box[..., 1], box[..., 2] - x, box[..., 3] - y]
    return xp.stack(parts, axis=-1)


def decode_distances(distances: ArrayLike, points: ArrayLike) -> Any:
    """Boxes of distances from points: the inverse of `encode_distances`.

    Args:
        distances: `(..., 4)`, to the left, top, right, bottom.
        points: `(..., 2)`, x and y.

    Example:
        >>> decode_distances([1.0, 1.0, 3.0, 1.0], [1.0, 1.0]).tolist()
        [0.0, 0.0, 4.0, 2.0]
    """
    distance = as_boxes(distances, "decode_distances")
    twice = _twice(points)
    xp = namespace(distance, twice)
    x, y = twice[..., 0], twice[..., 1]
    left, top, right, bottom = (distance[..., i] for i in range(4))
    return xp.stack([x - left, y - top, x + right, y + bottom], axis=-1)


def _twice(points: Any) -> Any:
    """Points as boxes of no size, which checks them as boxes are checked."""
    xp = namespace(points)
    value = xp.asarray(points)
    return as_boxes(xp.concat([value, value], axis=-1), "points")


def _centers(boxes: Any) -> tuple[Any, Any, Any, Any]:
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return boxes[..., 0] + width / 2, boxes[..., 1] + height / 2, width, height
