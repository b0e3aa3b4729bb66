"""Losses of a margin, as of support vector machines."""

from __future__ import annotations

from typing import Any

from chainrule.functional.losses import categorical_hinge, hinge, squared_hinge
from chainrule.functional.promotion import Tensor
from chainrule.losses.base import Loss


class Hinge(Loss):
    """`mean(max(1 - y_true * y_pred, 0))`, for labels -1 and 1 (or 0 and 1).

    Goes with a last layer of `Dense(1)`, or with `tanh`.

    Example:
        >>> Hinge()([[1.0], [0.0]], [[2.0], [-0.25]]).item()
        0.375
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        return hinge(y_true, y_pred)


class SquaredHinge(Loss):
    """`mean(max(1 - y_true * y_pred, 0)**2)`, for labels -1 and 1 (or 0 and 1).

    Example:
        >>> SquaredHinge()([[1.0], [-1.0]], [[0.5], [1.0]]).item()
        2.125
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        return squared_hinge(y_true, y_pred)


class CategoricalHinge(Loss):
    """`max(wrong - right + 1, 0)`, for one-hot labels.

    `right` is the score of the label's class and `wrong` the largest of the others.

    Example:
        >>> CategoricalHinge()([[0.0, 1.0]], [[0.5, 0.75]]).item()
        0.75
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        return categorical_hinge(y_true, y_pred)
