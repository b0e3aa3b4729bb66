"""Use a detector: objects in pictures, and how well they are found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from chainrule.boxes import batched_non_max_suppression
from chainrule.boxes.suppression import Method
from chainrule.layers.detection import SIDES
from chainrule.recipes.detection_pictures import Frame

Array = np.ndarray[Any, Any]

BATCH = 8
LEAST_SCORE = 0.02  # below, boxes only cost time
MOST = 300  # objects in a picture


@dataclass(frozen=True)
class Suppression:
    """How boxes that mean the same object are told apart.

    Attributes:
        overlap: of two boxes that may be of two objects, at most.
        method: `hard`, `linear` or `gaussian`; see `non_max_suppression`.
        per_class: whether boxes of different classes may lie on one another.

    Example:
        >>> Suppression(method="gaussian").per_class
        True
    """

    overlap: float = 0.6
    method: Method = "hard"
    per_class: bool = True


@dataclass(frozen=True, eq=False)
class Found:
    """The objects found in one picture, the surest first.

    Attributes:
        boxes: float32 `(n, 4)`, left, top, right, bottom in pixels of the picture.
        scores: float32 `(n,)`, 0 to 1.
        labels: int64 `(n,)`, places among the names of the classes.
    """

    boxes: Array
    scores: Array
    labels: Array

    def above(self, score: float | Array) -> Found:
        """Those with at least this score, or that of their class."""
        least = np.asarray(score)
        chosen = self.scores >= (least[self.labels] if least.ndim else least)
        return Found(self.boxes[chosen], self.scores[chosen], self.labels[chosen])


def size_of(network: Any) -> tuple[int, int]:
    """Height and width of the frames that a network takes."""
    height, width = network._sample_shape()[:2]
    return int(height), int(width)


def find_objects(
    network: Any,
    pictures: Iterable[tuple[Frame, Array]],
    batch_size: int = BATCH,
    suppression: Suppression | None = None,
) -> Iterator[Found]:
    """The objects in pictures.

    Args:
        network: of `build_network`.
        pictures: the frame of each picture, and the picture in it.
        batch_size: how many are looked at together.
        suppression: how boxes of the same object are told apart; see `Suppression`.

    Raises:
        ArgumentError: when there is no such way to suppress boxes.
    """
    wanted = suppression or Suppression()
    left = iter(pictures)
    while group := list(islice(left, batch_size)):
        frames = np.stack([pixels for _, pixels in group])
        missing = batch_size - len(frames)
        if missing:  # one shape for all, so that one program is compiled
            frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
        said = network.predict(frames, batch_size=batch_size, verbose=0)[: len(group)]
        kept = batched_non_max_suppression(
            said[..., :SIDES],
            1 / (1 + np.exp(-said[..., SIDES:])),
            iou_threshold=wanted.overlap,
            score_threshold=LEAST_SCORE,
            max_output_size=MOST,
            per_class=wanted.per_class,
            method=wanted.method,
        )
        for place, (frame, _) in enumerate(group):
            count = kept["counts"][place]
            yield Found(
                frame.leave(kept["boxes"][place, :count]),
                kept["scores"][place, :count],
                kept["labels"][place, :count],
            )
