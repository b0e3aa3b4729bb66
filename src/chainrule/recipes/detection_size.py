"""How large pictures should be, and at what steps to look, for the boxes there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.data.annotations import AnnotatedPicture
from chainrule.recipes.detection_network import Size

Array = np.ndarray[Any, Any]

SMALLEST = 16  # pixels that a small object should measure
SMALL_PART = 0.1  # the share of the boxes that counts as small
LARGE_PART = 0.02
LARGE = 0.5  # of the longer side, where no box says more
TINY = 1e-3  # the smallest share that is believed
LONGEST = (128, 416)  # what the longer side may be
USUAL = 320  # where no box says more
STRIDES = (4, 8, 16, 32)
REACH = 2.5  # strides that a large object may measure, on the coarsest level
FINE = 10.0  # pixels below which objects need the finest level


def choose_size(
    pictures: Sequence[AnnotatedPicture], wanted: Sequence[int] | None = None
) -> Size:
    """Height, width and strides for these pictures.

    The longer side is such that nine of ten boxes measure 16 pixels or more, but no
    longer than the pictures are, and at most 416. The sides have the proportions of
    the median picture. The levels reach from steps of 8 pixels, or 4 where objects stay
    smaller than 10, to steps of two fifths of the large objects.

    Args:
        pictures: those to learn from.
        wanted: the longer side, or height and width, where they are given; rounded up
            to what the strides divide.
    """
    sizes = np.array([(p.height, p.width) for p in pictures], float)
    small, large = extremes(pictures)
    if wanted is not None:
        longest = max(wanted)
    else:
        native = float(np.median(sizes.max(axis=1)))
        enough = min(max(SMALLEST / small, USUAL), native)
        longest = int(np.clip(enough, *LONGEST))
    first = 4 if small * longest < FINE else 8
    last = next((s for s in STRIDES if s * REACH >= large * longest / 2), STRIDES[-1])
    strides = tuple(s for s in STRIDES if first <= s <= max(last, 2 * first))
    proportions = np.median(sizes / sizes.max(axis=1, keepdims=True), axis=0)
    ends = longest * proportions if wanted is None or len(wanted) < 2 else wanted
    height, width = (_round_up(end, strides[-1]) for end in ends)
    return Size(height, width, strides)


def extremes(pictures: Sequence[AnnotatedPicture]) -> tuple[float, float]:
    """How long small and large objects are, as shares of the longer side.

    The small ones are a tenth of all boxes, or the middle of the smallest class; large
    is what all but one box in fifty stay below.
    """
    lengths = np.concatenate([measure(picture) for picture in pictures])
    labels = np.concatenate([picture.labels for picture in pictures])
    if not len(lengths):
        return SMALLEST / USUAL, LARGE
    middles = [np.median(lengths[labels == label]) for label in np.unique(labels)]
    small = min([*middles, np.quantile(lengths, SMALL_PART)])
    return max(float(small), TINY), float(np.quantile(lengths, 1 - LARGE_PART))


def measure(picture: AnnotatedPicture) -> Array:
    """The root of the area of each box, as a share of the picture's longer side."""
    sides = picture.boxes[:, 2:] - picture.boxes[:, :2]
    longer = max(picture.height, picture.width)
    return np.asarray(np.sqrt(sides.prod(axis=1)) / longer, float)


def _round_up(length: float, step: int) -> int:
    """The next multiple, but not for a few pixels."""
    return max(step, int(np.ceil((length - 2) / step)) * step)
