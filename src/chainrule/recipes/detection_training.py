"""A detector while it is trained: changed pictures, assigned places, losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.boxes import generate_points
from chainrule.metrics import Mean
from chainrule.models import Model
from chainrule.recipes.detection_augment import Changes, change
from chainrule.recipes.detection_losses import detection_losses

Array = np.ndarray[Any, Any]

PARTS = ("pictures", "boxes", "labels")


class DetectorTraining(Model):
    """Trains a network that ends in a `BoxDecoder`.

    `fit` takes a dict: `pictures` as bytes, `boxes` of shape `(samples, boxes, 4)` in
    their pixels, and `labels` of shape `(samples, boxes)`, -1 where a picture has fewer
    boxes than others.

    Args:
        network: the network; it is what is kept.
        changes: how pictures are changed in training; None leaves them as they are.
    """

    def __init__(
        self,
        network: Model,
        changes: Changes | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.changes = changes
        self.loss_mean = Mean("loss")
        self.class_mean = Mean("class_loss")
        self.box_mean = Mean("box_loss")

    def train_step(self, data: Any) -> dict[str, Any]:
        """Change the pictures, and take a step down the sum of the losses."""
        x, boxes, labels = (data[name] for name in PARTS)
        if self.changes is not None:
            x, boxes, labels = change(x, boxes, labels, self.changes)

        def loss_of() -> Any:
            losses = self._losses(self.network(x, training=True), boxes, labels)
            return losses["class_loss"] + losses["box_loss"], losses

        (_, losses), gradients = self.value_and_grad(loss_of, has_aux=True)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._measured(losses, x.shape[0])

    def test_step(self, data: Any) -> dict[str, Any]:
        """The losses of pictures as they are."""
        x, boxes, labels = (data[name] for name in PARTS)
        losses = self._losses(self.network(x, training=False), boxes, labels)
        return self._measured(losses, x.shape[0])

    def _losses(self, found: Any, boxes: Any, labels: Any) -> dict[str, Any]:
        size = self.network._sample_shape()[:2]
        decoder: Any = self.network.layers[-1]
        points = points_of(size, decoder.strides)
        return detection_losses(found, boxes, labels, points)

    def _measured(self, losses: dict[str, Any], rows: int) -> dict[str, Any]:
        values = [losses["class_loss"] + losses["box_loss"], *losses.values()]
        means = [self.loss_mean, self.class_mean, self.box_mean]
        for metric, value in zip(means, values, strict=True):
            metric.update_state(value, float(rows))
        return {metric.name: metric.result() for metric in means}


def points_of(size: Sequence[int], strides: Sequence[int]) -> Array:
    """All places of all levels: x, y and stride, a row each.

    Example:
        >>> points_of((8, 16), [8]).tolist()
        [[4.0, 4.0, 8.0], [12.0, 4.0, 8.0]]
    """
    levels = generate_points(size, strides)
    columns = [
        np.insert(level, 2, stride, axis=1)
        for level, stride in zip(levels, strides, strict=True)
    ]
    return np.concatenate(columns)
