"""Which places of a detector answer for which boxes, decided within the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import functional as F
from chainrule.boxes import compute_iou
from chainrule.functional.promotion import Tensor

Array = np.ndarray[Any, Any]

TINY = 1e-9
ANSWERING = 10  # places for each box, at most


@dataclass(frozen=True)
class Assignment:
    """What the places of a batch should say.

    Attributes:
        boxes: `(samples, places, 4)`, the box that each place answers for.
        scores: `(samples, places, classes)`, 0 where it answers for none.
        weight: `(samples, places)`, the score of its class.
    """

    boxes: Tensor
    scores: Tensor
    weight: Tensor


def sides(boxes: Tensor) -> list[Tensor]:
    """Left, top, right and bottom, without the last axis."""
    return [boxes[..., side] for side in range(4)]


def assign(
    predicted: Tensor,
    logits: Tensor,
    boxes: Tensor,
    labels: Tensor,
    points: Array,
) -> Assignment:
    """Give every box the places that already say best what it is and where.

    Of the places within a box, those with the highest

        alignment = sqrt(score) * overlap ** 6

    answer for it; a place that two boxes want goes to the one that it overlaps most.
    What such a place should score is its alignment, scaled so that the best of each box
    reaches its overlap. Feng, Zhong, Gao, Scott, Huang, "TOOD: Task-aligned one-stage
    object detection", ICCV 2021.

    Args:
        predicted: `(samples, places, 4)`, the boxes that places say now.
        logits: `(samples, places, classes)`.
        boxes: `(samples, boxes, 4)`, the true ones, in pixels.
        labels: `(samples, boxes)`, their classes; -1 where there is none.
        points: `(places, 3)`, x, y and stride of each place.
    """
    classes = logits.shape[-1]
    kinds = F.one_hot(labels, classes)
    overlap = F.clip(compute_iou(boxes, predicted), 0.0, 1.0)
    score = F.matmul(kinds, F.permute_dims(F.sigmoid(logits), (0, 2, 1)))
    squared = overlap * overlap
    alignment = F.sqrt(score) * squared * squared * squared
    usable = within(boxes, labels, points)
    chosen = _best(F.where(usable, alignment + TINY, 0.0), ANSWERING)
    # a place that several boxes want goes to the one that it overlaps most
    rank = F.where(chosen, overlap + TINY, 0.0)
    taken = F.max(rank, axis=1)
    owner = F.one_hot(F.argmax(rank, axis=1), boxes.shape[1], axis=1)
    owner = F.where((taken > 0.0)[:, None, :], owner, 0.0)
    aligned = alignment * owner
    top = F.max(aligned, axis=2, keepdims=True)
    best = F.max(overlap * owner, axis=2, keepdims=True)
    weight = F.sum(aligned * (best / F.maximum(top, TINY)), axis=1)
    by_place = F.permute_dims(owner, (0, 2, 1))
    return Assignment(
        F.matmul(by_place, boxes), F.matmul(by_place, kinds) * weight[..., None], weight
    )


def within(boxes: Tensor, labels: Tensor, points: Array) -> Tensor:
    """Whether each place may answer for each box, `(samples, boxes, places)`.

    It must lie within the box; a box smaller than the steps of the finest level counts
    as large as these, so that it holds a place.
    """
    x, y, finest = points[:, 0], points[:, 1], float(points[:, 2].min())
    left, top, right, bottom = (side[..., None] for side in sides(boxes))
    half_width = F.maximum((right - left) / 2, finest / 2)
    half_height = F.maximum((bottom - top) / 2, finest / 2)
    near = F.abs(F.asarray(x) - (left + right) / 2) <= half_width
    near = near & (F.abs(F.asarray(y) - (top + bottom) / 2) <= half_height)
    return near & (labels >= 0)[..., None]


def _best(values: Tensor, count: int) -> Tensor:
    """Which of the positive values along the last axis are among the largest.

    As many passes for the maximum are cheaper than sorting thousands of places.
    """
    left = values
    for _ in range(min(count, values.shape[-1])):
        top = F.max(left, axis=-1, keepdims=True)
        left = F.where(left >= top, 0.0, left)
    return (left < values) & (values > 0.0)
