"""What a detector should make small."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import functional as F
from chainrule.boxes.losses import giou
from chainrule.functional.promotion import Tensor
from chainrule.layers.detection import SIDES
from chainrule.recipes.detection_targets import assign

Array = np.ndarray[Any, Any]

BOX_WEIGHT = 2.0


def detection_losses(
    found: Tensor,
    boxes: Tensor,
    labels: Tensor,
    points: Array,
) -> dict[str, Tensor]:
    """The loss of the classes and the loss of the boxes, scalars.

    Both are divided by the sum of the scores that places should have, which is the
    number of boxes once the network finds them all. Classes have the quality focal
    loss, `|target - score| ** 2 * crossentropy`, of Li and others, "Generalized focal
    loss", NeurIPS 2020; boxes have `1 - giou`.

    Args:
        found: of the network; see `BoxDecoder`.
        boxes: `(samples, boxes, 4)`, the true ones, in pixels.
        labels: `(samples, boxes)`, -1 where there is none.
        points: `(places, 3)`, x, y and stride of each place.
    """
    predicted, logits = found[..., :SIDES], found[..., SIDES:]
    target = assign(
        F.stop_gradient(predicted),
        F.stop_gradient(logits),
        boxes,
        labels,
        points,
    )
    scores = F.stop_gradient(target.scores)
    weight = F.stop_gradient(target.weight)
    total = F.maximum(F.sum(weight), 1.0)
    distance = F.abs(scores - F.sigmoid(logits))
    cross = F.maximum(logits, 0.0) - logits * scores + F.softplus(-F.abs(logits))
    box = giou(F.stop_gradient(target.boxes), predicted) * weight
    return {
        "class_loss": F.sum(cross * distance * distance) / total,
        "box_loss": BOX_WEIGHT * F.sum(box) / total,
    }
