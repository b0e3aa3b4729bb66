"""Non-maximum suppression: of boxes that mean the same object, the best is kept.

It runs on the host: how many boxes survive, and in how many rounds, the data decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from chainrule.boxes.formats import convert_format
from chainrule.boxes.overlap import compute_iou
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.losses.shapes import check_share

Array = np.ndarray[Any, Any]
Method = Literal["hard", "linear", "gaussian"]

BLOCK = 256  # boxes compared at a time: memory grows with the boxes kept, not squared
PADDING = -1  # the label of no box


class Kept(NamedTuple):
    """What suppression leaves.

    Attributes:
        indices: int64, places of the boxes, the best first.
        scores: their scores, lowered where the method lowers them.
    """

    indices: Array
    scores: Array


def non_max_suppression(
    boxes: Any,
    scores: Any,
    labels: Any = None,
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = -math.inf,
    max_output_size: int | None = None,
    method: Method = "hard",
    sigma: float = 0.5,
    bounding_box_format: str = "xyxy",
) -> Kept:
    """The best boxes: those that overlap a better one of their class are left out.

    `hard` leaves out what overlaps a kept box by more than `iou_threshold`. `linear`
    multiplies such scores by `1 - iou`, `gaussian` all scores by
    `exp(-iou**2 / sigma)`, and goes on with what is best then. Bodla et al., arXiv
    1704.04503.

    Args:
        boxes: `(n, 4)`.
        scores: `(n,)`; of equal ones the first is better.
        labels: `(n,)`, the classes; boxes of different ones do not meet. One class by
            default.
        iou_threshold: from 0 to 1.
        score_threshold: boxes of this score or less are left out, at the start and
            after scores were lowered. Those that are not numbers are, too.
        max_output_size: keep no more.
        method: `hard`, `linear` or `gaussian`.
        sigma: how slowly `gaussian` lowers scores.
        bounding_box_format: see `convert_format`; relative ones as they are.

    Raises:
        ShapeError: when boxes, scores and labels differ in number.
        ArgumentError: for an unknown method or a threshold outside its range.

    Example:
        >>> boxes = [[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]]
        >>> non_max_suppression(boxes, [0.8, 0.9, 0.7]).indices.tolist()
        [1, 2]
        >>> soft = non_max_suppression(boxes, [0.8, 0.9, 0.7], method="linear")
        >>> soft.indices.tolist(), soft.scores.round(2).tolist()
        ([1, 2, 0], [0.9, 0.7, 0.15])
    """
    _check(iou_threshold, method, sigma)
    box, score, label = _as_arrays(boxes, scores, labels, bounding_box_format)
    usable = np.flatnonzero((score > score_threshold) & np.isfinite(box).all(-1))
    order = usable[np.argsort(-score[usable], kind="stable")]
    box, score, label = box[order], score[order], label[order]
    limit = len(order) if max_output_size is None else max(int(max_output_size), 0)
    if method == "hard":
        places = _hard(box, label, iou_threshold, limit)
        return Kept(order[places], score[places])
    lower = _lowering(method, iou_threshold, sigma)
    places, lowered = _soft(box, score, label, lower, score_threshold, limit)
    return Kept(order[places], lowered)


def batched_non_max_suppression(
    boxes: Any,
    scores: Any,
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.05,
    max_output_size: int = 100,
    max_candidates: int = 1000,
    per_class: bool = True,
    method: Method = "hard",
    sigma: float = 0.5,
    bounding_box_format: str = "xyxy",
) -> dict[str, Array]:
    """`non_max_suppression` for a batch of pictures, with results of one size.

    Args:
        boxes: `(batch, n, 4)`.
        scores: `(batch, n, classes)`; a box may count for several classes.
        iou_threshold: see `non_max_suppression`.
        score_threshold: see `non_max_suppression`.
        max_output_size: boxes for each picture, over all classes.
        max_candidates: only so many pairs of box and class are compared, the best.
        per_class: whether boxes of different classes do not meet; else each box counts
            for its best class alone, and meets all.
        method: see `non_max_suppression`.
        sigma: see `non_max_suppression`.
        bounding_box_format: of the boxes, and of those returned.

    Returns:
        `boxes` `(batch, max_output_size, 4)`, `scores`, `labels` (int64) and `counts`
        `(batch,)`. Behind the `counts` first, boxes and scores are 0, labels -1.

    Raises:
        ShapeError: when boxes and scores do not go together.
        ArgumentError: see `non_max_suppression`.

    Example:
        >>> boxes = [[[0, 0, 10, 10], [1, 0, 11, 10]]]
        >>> scores = [[[0.8, 0.1], [0.9, 0.0]]]
        >>> found = batched_non_max_suppression(boxes, scores, max_output_size=3)
        >>> found["labels"].tolist(), found["counts"].tolist()
        ([[0, 1, -1]], [2])
    """
    box, score = _numpy(boxes), _numpy(scores)
    if box.ndim != 3 or score.ndim != 3 or box.shape[:2] != score.shape[:2]:
        raise ShapeError(
            "boxes and scores do not go together",
            where="batched_non_max_suppression",
            got=f"boxes {box.shape}, scores {score.shape}",
            expected="(batch, n, 4) and (batch, n, classes)",
        )
    batch, size = len(box), max(int(max_output_size), 0)
    found = {
        "boxes": np.zeros((batch, size, 4), box.dtype),
        "scores": np.zeros((batch, size), score.dtype),
        "labels": np.full((batch, size), PADDING, "int64"),
        "counts": np.zeros(batch, "int64"),
    }
    for picture in range(batch):
        chosen = _candidates(score[picture], score_threshold, max_candidates, per_class)
        place, label = chosen
        kept = non_max_suppression(
            box[picture][place],
            score[picture][place, label],
            label if per_class else None,
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            max_output_size=size,
            method=method,
            sigma=sigma,
            bounding_box_format=bounding_box_format,
        )
        count = len(kept.indices)
        found["boxes"][picture, :count] = box[picture][place[kept.indices]]
        found["scores"][picture, :count] = kept.scores
        found["labels"][picture, :count] = label[kept.indices]
        found["counts"][picture] = count
    return found


def _candidates(
    scores: Array, threshold: float, most: int, per_class: bool
) -> tuple[Array, Array]:
    """Boxes and classes worth comparing, the best first."""
    if per_class:
        place, label = np.nonzero(scores > threshold)
    else:
        label = scores.argmax(-1) if scores.shape[-1] else np.zeros(0, "int64")
        place = np.flatnonzero(scores.max(-1, initial=-math.inf) > threshold)
        label = label[place]
    values = scores[place, label]
    if len(values) > most:
        best = np.argsort(-values, kind="stable")[:most]
        return place[best], label[best]
    return place, label


def _check(iou_threshold: float, method: str, sigma: float) -> None:
    check_share("non_max_suppression", "iou_threshold", iou_threshold)
    if method not in get_args(Method) or not sigma > 0:
        raise ArgumentError(
            "there is no such way to suppress boxes",
            where="non_max_suppression",
            got=f"method={method!r}, sigma={sigma}",
            expected=f"{', '.join(get_args(Method))}; sigma > 0",
        )


def _numpy(value: Any) -> Array:
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    return array if array.dtype.kind == "f" else array.astype("float32")


def _as_arrays(
    boxes: Any, scores: Any, labels: Any, source: str
) -> tuple[Array, Array, Array]:
    box, score = _numpy(boxes), _numpy(scores)
    box = box.reshape(0, 4) if box.size == 0 else box
    # Overlap is the same whether lengths are pixels or shares of the picture.
    box = convert_format(box, source.lower().removeprefix("rel_"), "xyxy")
    label = np.zeros(len(box), "int64")
    if labels is not None:
        label = np.asarray(labels.numpy() if hasattr(labels, "numpy") else labels)
    if box.ndim != 2 or score.shape != box.shape[:1] or label.shape != box.shape[:1]:
        raise ShapeError(
            "boxes, scores and labels differ in number",
            where="non_max_suppression",
            got=f"boxes {box.shape}, scores {score.shape}, labels {label.shape}",
            expected="(n, 4), (n,) and (n,)",
        )
    return box, score, label


def _overlaps(
    box: Array, label: Array, rows: Array, columns: Array, threshold: float
) -> Array:
    """Which of the boxes `rows` overlap which of `columns` too much."""
    near = compute_iou(box[rows], box[columns]) > threshold
    near &= label[rows][:, None] == label[columns]
    return near


def _hard(box: Array, label: Array, threshold: float, limit: int) -> Array:
    """Places of the boxes kept; boxes are sorted, the best first."""
    kept = np.zeros(0, "int64")
    for start in range(0, len(box), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(box)))
        if len(kept):
            rows = rows[~_overlaps(box, label, rows, kept, threshold).any(1)]
        kept = np.concat([kept, rows[_greedy(box, label, rows, threshold)]])
        if len(kept) >= limit:
            break
    return kept[:limit]


def _greedy(box: Array, label: Array, rows: Array, threshold: float) -> Array:
    """Which of `rows` no better one of them suppresses."""
    near = _overlaps(box, label, rows, rows, threshold)
    np.fill_diagonal(near, False)
    alive = np.ones(len(rows), bool)
    # Only those that overlap something can suppress.
    for place in np.flatnonzero(near.any(1)):
        if alive[place]:
            alive[place + 1 :] &= ~near[place, place + 1 :]
    return alive


def _lowering(
    method: Method, threshold: float, sigma: float
) -> Callable[[Array], Array]:
    """What scores are multiplied by for an overlap with a kept box."""
    if method == "linear":
        return lambda iou: np.where(iou > threshold, 1 - iou, 1)
    return lambda iou: np.exp(-(iou * iou) / sigma)


def _soft(
    box: Array,
    score: Array,
    label: Array,
    lower: Callable[[Array], Array],
    threshold: float,
    limit: int,
) -> tuple[Array, Array]:
    score = score.copy()
    rest = np.arange(len(box))
    places: list[int] = []
    scores: list[float] = []
    while len(rest) and len(places) < limit:
        best = int(np.argmax(score[rest]))
        place = int(rest[best])
        if not score[place] > threshold:
            break
        places.append(place)
        scores.append(score[place])
        rest = np.delete(rest, best)
        same = rest[label[rest] == label[place]]
        score[same] *= lower(compute_iou(box[place][None], box[same])[0])
    return np.asarray(places, "int64"), np.asarray(scores, score.dtype)
