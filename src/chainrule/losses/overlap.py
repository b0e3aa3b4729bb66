"""Losses of sets, for segmentation and for many labels."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule.functional.losses import dice, tversky
from chainrule.functional.losses.overlap import Axis
from chainrule.functional.promotion import Tensor
from chainrule.losses.base import Loss, LossOptions


class Dice(Loss):
    """`1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred))`.

    Args:
        axis: what is summed over: all of the batch by default, which is then one loss;
            `(1, 2, 3)` gives one for each image.
        **options: see `LossOptions`.

    Example:
        >>> round(Dice()([[1.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]).item(), 4)
        0.5
    """

    def __init__(
        self,
        axis: Axis = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of what `axis` leaves."""
        return dice(y_true, y_pred, self.axis)


class Tversky(Loss):
    """`Dice` with weights for its two kinds of error.

    `1 - hits / (hits + alpha * false_positives + beta * false_negatives)`. Salehi,
    Erdogmus and Gholipour, arXiv 1706.05721.

    Args:
        alpha: the weight of what is predicted and not true.
        beta: the weight of what is true and not predicted.
        axis: see `Dice`.
        **options: see `LossOptions`.

    Example:
        >>> Tversky(beta=1.0)([[1.0, 1.0]], [[1.0, 0.0]]).item()
        0.5
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        axis: Axis = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.alpha = alpha
        self.beta = beta
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of what `axis` leaves."""
        return tversky(y_true, y_pred, self.alpha, self.beta, self.axis)
