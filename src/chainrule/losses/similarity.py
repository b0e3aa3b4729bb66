"""Losses that learn a distance between samples."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule.functional.losses import circle
from chainrule.functional.promotion import Tensor
from chainrule.losses.base import Loss, LossOptions


class Circle(Loss):
    """Samples of one label drawn together, those of others apart, within a batch.

    The formula is that of `chainrule.losses.circle`. Labels are integers, predictions
    embeddings of length 1 (a last layer of `UnitNormalization`). A sample without its
    like in the batch has a loss of 0 and is not counted in the mean. Sun et al.,
    arXiv 2002.10857.

    Args:
        gamma: how steeply the loss rises.
        margin: how far like and unlike are to be apart.
        remove_diagonal: whether a sample is not compared with itself.
        **options: see `LossOptions`.

    Example:
        >>> embeddings = [[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]
        >>> round(Circle(gamma=1.0)([0, 0, 1], embeddings).item(), 4)
        1.4497
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.gamma = gamma
        self.margin = margin
        self.remove_diagonal = remove_diagonal

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        return circle(
            y_true,
            y_pred,
            remove_diagonal=self.remove_diagonal,
            gamma=self.gamma,
            margin=self.margin,
        )

    def counted(self, y_true: Any, values: Tensor) -> Tensor | None:
        """The samples that have something to learn."""
        return values > 0
