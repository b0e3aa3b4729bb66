"""What a detector gets wrong, kind by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.boxes import compute_iou
from chainrule.data.annotations import AnnotatedPicture, Annotations
from chainrule.recipes.detection_use import Found

Array = np.ndarray[Any, Any]

RIGHT = "right"
MISSED, FALSE = "missed", "false"
MISLABELLED, MISPLACED, TWICE = "mislabelled", "badly placed", "found twice"
MISTAKES = (MISSED, FALSE, MISLABELLED, MISPLACED, TWICE)
OVERLAP = 0.5  # from which on a box is where its object is
NEAR = 0.1  # from which on it is about an object at all


@dataclass(frozen=True)
class Judged:
    """An object, what was found of it, and how right that is.

    Attributes:
        kind: `right`, or one of `MISTAKES`.
        picture: its place among the pictures.
        label: the true class; for what is no object the class that was said.
        truth: the box of the object; None where there is none.
        box: the box that was found; None for a missed object.
        said: the class that was said; -1 for a missed object.
        score: of what was found; 0 for a missed object.
        overlap: of the two boxes.
    """

    kind: str
    picture: int
    label: int
    truth: Array | None = None
    box: Array | None = None
    said: int = -1
    score: float = 0.0
    overlap: float = 0.0


def judge(
    annotations: Annotations, found: Sequence[Found], score: float | Array
) -> list[Judged]:
    """What was found right in pictures, and all mistakes, by picture.

    The surest boxes choose first, each the object of its class that it overlaps most,
    by one half at least. A box that is left is

    - mislabelled, where it overlaps an object of another class so much;
    - found twice, where its object was chosen by a surer box;
    - badly placed, where it overlaps an object of its class that was not found, by a
      tenth at least;
    - false, else.

    Objects that none of these is about are missed. After Bolya, Foley, Hays, Hoffman,
    "TIDE: A general toolbox for identifying object detection errors", ECCV 2020.
    Crowds and difficult objects count neither way.

    Args:
        annotations: the pictures.
        found: in each of them.
        score: boxes of less are not counted; one, or one for each class.
    """
    judged: list[Judged] = []
    for place, (picture, objects) in enumerate(
        zip(annotations.pictures, found, strict=True)
    ):
        judged += _judge(place, picture, objects.above(score))
    return judged


def _judge(place: int, picture: AnnotatedPicture, found: Found) -> list[Judged]:
    """What was found right and wrong in one picture."""
    overlap = np.asarray(compute_iou(found.boxes, picture.boxes))
    counted = ~(picture.crowd | picture.difficult)
    same = found.labels[:, None] == picture.labels
    owner = _choose(np.where(same & counted, overlap, 0.0))
    judged, known = [], np.zeros(len(picture.boxes), bool)
    known[owner[owner >= 0]] = True
    for number, chosen in enumerate(owner.tolist()):
        kind, about = RIGHT, chosen
        if chosen < 0:
            if _excused(picture, found.boxes[number], same[number] & ~counted):
                continue
            near = np.where(counted, overlap[number], 0.0)
            kind, about = _explain(near, same[number], same[number] & ~known)
        if about >= 0:
            known[about] = True
        judged.append(_pair(kind, place, picture, found, number, about, overlap))
    judged += [
        Judged(MISSED, place, int(picture.labels[i]), picture.boxes[i])
        for i in np.flatnonzero(counted & ~known)
    ]
    return judged


def _choose(overlap: Array) -> Array:
    """The object of each box, -1 for none; boxes are sorted, the surest first."""
    left = overlap.copy()
    owner = np.full(len(left), -1)
    for number, row in enumerate(left):
        if row.size and row.max() >= OVERLAP:
            owner[number] = row.argmax()
            left[:, owner[number]] = 0.0
    return owner


def _explain(overlap: Array, same: Array, left: Array) -> tuple[str, int]:
    """What is wrong with a box that chose no object, and which object it is about.

    Args:
        overlap: with each object.
        same: which objects are of its class.
        left: which of these no box has found.
    """
    if not overlap.size:
        return FALSE, -1
    own, other = np.where(same, overlap, 0.0), np.where(same, 0.0, overlap)
    if own.max() >= OVERLAP:
        return TWICE, int(own.argmax())
    if other.max() >= OVERLAP:
        return MISLABELLED, int(other.argmax())
    own = np.where(left, overlap, 0.0)
    if own.max() >= NEAR:
        return MISPLACED, int(own.argmax())
    return FALSE, -1


def _excused(picture: AnnotatedPicture, box: Array, uncounted: Array) -> bool:
    """Whether half of a box lies on an object that counts neither way."""
    corners = picture.boxes[uncounted]
    low = np.maximum(corners[:, :2], box[:2])
    high = np.minimum(corners[:, 2:], box[2:])
    inside = np.maximum(high - low, 0.0).prod(axis=1)
    return bool((inside >= OVERLAP * (box[2:] - box[:2]).prod()).any())


def _pair(
    kind: str,
    place: int,
    picture: AnnotatedPicture,
    found: Found,
    number: int,
    about: int,
    overlap: Array,
) -> Judged:
    said = int(found.labels[number])
    whole = (found.boxes[number], said, float(found.scores[number]))
    if about < 0:
        return Judged(kind, place, said, None, *whole)
    label, truth = int(picture.labels[about]), picture.boxes[about]
    return Judged(kind, place, label, truth, *whole, float(overlap[number, about]))


def worst(judged: Sequence[Judged], kind: str, count: int) -> list[Judged]:
    """The gravest mistakes of a kind: the surest boxes, the largest missed objects."""
    chosen = [each for each in judged if each.kind == kind]

    def gravity(each: Judged) -> float:
        if each.box is not None or each.truth is None:
            return each.score
        return float((each.truth[2:] - each.truth[:2]).prod())

    return sorted(chosen, key=gravity, reverse=True)[:count]


def count_kinds(judged: Sequence[Judged], classes: int) -> dict[str, list[int]]:
    """How often each kind occurs, by class.

    Example:
        >>> count_kinds([Judged(MISSED, 0, 1)], 2)[MISSED]
        [0, 1]
    """
    counts = {kind: [0] * classes for kind in (RIGHT, *MISTAKES)}
    for each in judged:
        counts[each.kind][each.label] += 1
    return counts
