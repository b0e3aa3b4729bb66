"""Which prediction found which object, at many thresholds and object sizes at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

PAIRS_AT_ONCE = 1 << 22
ALMOST_ONE = 1 - 1e-10  # what a threshold of 1 asks for, as in COCO's own program


@dataclass(frozen=True)
class Objects:
    """Boxes of all pictures, sorted by group; those of a group can match.

    Attributes:
        group: int64 `(n,)`, the number of class and picture together.
        boxes: float64 `(n, 4)`, left, top, right, bottom.
        area: float64 `(n,)`.
    """

    group: Array
    boxes: Array
    area: Array


@dataclass(frozen=True)
class Truth(Objects):
    """The objects that are to be found.

    Attributes:
        crowd: bool `(n,)`, boxes around many objects: a prediction inside counts
            neither way, however many there are.
        difficult: bool `(n,)`, objects that count neither way.
    """

    crowd: Array
    difficult: Array


@dataclass(frozen=True)
class Predictions(Objects):
    """What was predicted; in each group the best first.

    Attributes:
        score: float64 `(n,)`.
        rank: int64 `(n,)`, the place in the group.
    """

    score: Array
    rank: Array


@dataclass(frozen=True)
class Matches:
    """The outcome, for each range of areas and each threshold.

    Attributes:
        found: bool `(ranges, thresholds, predictions)`, whether there is an object.
        ignored: bool of the same shape, whether the prediction counts neither way.
        counted: bool `(ranges, objects)`, which objects are to be found.
    """

    found: Array
    ignored: Array
    counted: Array


@dataclass(frozen=True)
class _Pairs:
    """Predictions and objects that overlap, sorted by turn, prediction and overlap.

    Of the pairs of one prediction the last one is the best.
    """

    prediction: Array
    truth: Array
    iou: Array
    turn: Array


def match(
    predictions: Predictions, truth: Truth, ranges: Array, thresholds: Array
) -> Matches:
    """Give each prediction, the best first, the object that it overlaps most.

    An object is given away once. Objects outside the range of areas, crowds and
    difficult ones are taken only where there is no other, and the prediction is
    ignored then, as one without object that is itself outside the range.

    All groups, ranges and thresholds go on side by side: in each turn the next
    prediction of every group chooses.

    Args:
        predictions: sorted by group.
        truth: sorted by group.
        ranges: `(ranges, 2)`, smallest and largest area.
        thresholds: the least overlaps.
    """
    outside = _outside(truth.area, ranges) | truth.crowd | truth.difficult
    lanes = len(ranges), len(thresholds)
    found = np.zeros((*lanes, len(predictions.score)), bool)
    ignored = found | _outside(predictions.area, ranges)[:, None]
    pairs = _find_pairs(predictions, truth, float(min(thresholds, default=0)))
    least = np.minimum(thresholds, ALMOST_ONE)[None, :, None]
    reusable = truth.crowd | truth.difficult
    taken = np.zeros((*lanes, len(truth.area)), bool)
    turns = np.searchsorted(pairs.turn, np.arange(pairs.turn.max(initial=-1) + 2))
    for start, stop in pairwise(turns):
        chosen, best = _choose(pairs, start, stop, least, taken, reusable, outside)
        predicted = pairs.prediction[start:stop][chosen]
        found[:, :, predicted] = best >= 0
        lane, threshold, place = np.nonzero(best >= 0)
        objects = pairs.truth[best[lane, threshold, place]]
        taken[lane, threshold, objects] = True
        ignored[lane, threshold, predicted[place]] = outside[lane, objects]
    return Matches(found, ignored, ~outside)


def _outside(area: Array, ranges: Array) -> Array:
    """`(ranges, n)`: whether an area is in none."""
    found: Array = (area < ranges[:, :1]) | (area > ranges[:, 1:])
    return found


def _choose(
    pairs: _Pairs,
    start: int,
    stop: int,
    least: Array,
    taken: Array,
    reusable: Array,
    outside: Array,
) -> tuple[Array, Array]:
    """The choices of one turn.

    Returns:
        Where the pairs of each prediction begin, and the pair that each chooses for
        each range and threshold, or a negative number.
    """
    truth = pairs.truth[start:stop]
    free = (pairs.iou[start:stop] >= least) & (~taken[:, :, truth] | reusable[truth])
    # Of two pairs the later is better, and any with an object that counts.
    count = len(pairs.iou)
    place = np.arange(start, stop) + np.where(outside[:, None, truth], 0, count)
    key = np.where(free, place, -1)
    predicted = pairs.prediction[start:stop]
    chosen = np.flatnonzero(np.diff(predicted, prepend=-1))
    best = np.maximum.reduceat(key, chosen, axis=-1)
    return chosen, np.where(best >= count, best - count, best)


def _find_pairs(predictions: Predictions, truth: Truth, least: float) -> _Pairs:
    first = np.searchsorted(truth.group, predictions.group, "left")
    last = np.searchsorted(truth.group, predictions.group, "right")
    ends = np.cumsum(last - first)
    parts = []
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, before + PAIRS_AT_ONCE, "right"))
        rows = np.arange(start, max(stop, start + 1))
        start = int(rows[-1]) + 1
        parts.append(_overlapping(predictions, truth, rows, first, last, least))
    prediction, object_, iou = (
        (np.concat(part) for part in zip(*parts, strict=True))
        if parts
        else (np.zeros(0, "int64"), np.zeros(0, "int64"), np.zeros(0))
    )
    turn = _turns(prediction, predictions.group)
    order = np.lexsort((object_, iou, prediction, turn))
    return _Pairs(prediction[order], object_[order], iou[order], turn[order])


def _overlapping(
    predictions: Predictions,
    truth: Truth,
    rows: Array,
    first: Array,
    last: Array,
    least: float,
) -> tuple[Array, Array, Array]:
    """The pairs of some predictions that overlap by `least`, and by how much."""
    counts = last[rows] - first[rows]
    prediction = np.repeat(rows, counts)
    within = np.arange(len(prediction)) - np.repeat(np.cumsum(counts) - counts, counts)
    object_ = first[prediction] + within
    a, b = predictions.boxes[prediction], truth.boxes[object_]
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    meet = (width > 0) & (height > 0)
    common = np.where(meet, width * height, 0)
    own, other = predictions.area[prediction], _plain_area(b)
    # A prediction inside a crowd is not too small for it.
    whole = np.where(truth.crowd[object_], own, own + other - common)
    iou = common / np.where(meet, whole, 1)
    kept = iou >= min(least, ALMOST_ONE)
    return prediction[kept], object_[kept], iou[kept]


def _plain_area(boxes: Array) -> Array:
    found: Array = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return found


def _turns(prediction: Array, group: Array) -> Array:
    """In which turn each pair chooses: the place of its prediction in the group.

    Predictions that overlap nothing have no turn.
    """
    if not len(prediction):
        return np.zeros(0, "int64")
    # Pairs come sorted by prediction, and these by group.
    new = np.diff(prediction, prepend=-1) != 0
    place = np.cumsum(new) - 1
    groups = group[prediction]
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    counts = np.diff(np.append(starts, len(groups)))
    found: Array = place - np.repeat(place[starts], counts)
    return found
