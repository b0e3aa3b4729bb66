"""Losses of a margin: zero once a prediction is right by enough."""

from __future__ import annotations

from chainrule import functional
from chainrule.functional.losses.shapes import align, mean_over
from chainrule.functional.promotion import ArrayLike, Tensor


def _shortfall(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """How far each prediction is from the margin; a label of 0 stands for -1."""
    true, predicted = align(y_true, y_pred)
    side = functional.where(true == 0, -1.0, true)
    return functional.maximum(1.0 - side * predicted, 0.0)


def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`mean(max(1 - y_true * y_pred, 0))` over the last axis.

    Args:
        y_true: -1 and 1, or 0 and 1, where 0 stands for -1.
        y_pred: numbers of any size: positive for 1, at least 1 to be sure.

    Example:
        >>> hinge([[1.0], [0.0]], [[2.0], [-0.25]]).numpy().tolist()
        [0.0, 0.75]
    """
    return mean_over(_shortfall(y_true, y_pred))


def squared_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`mean(max(1 - y_true * y_pred, 0)**2)` over the last axis.

    Labels are those of `hinge`.

    Example:
        >>> squared_hinge([[1.0], [-1.0]], [[0.5], [1.0]]).numpy().tolist()
        [0.25, 4.0]
    """
    return mean_over(functional.square(_shortfall(y_true, y_pred)))


def categorical_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`max(wrong - right + 1, 0)` for each sample.

    `right = sum(y_true * y_pred)` is the score of the label's class,
    `wrong = max((1 - y_true) * y_pred)` the largest of the others. Crammer and Singer,
    2001.

    Args:
        y_true: one-hot labels.
        y_pred: scores of the classes.

    Example:
        >>> labels, scores = [[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.75], [3.0, 1.0]]
        >>> categorical_hinge(labels, scores).numpy().tolist()
        [0.75, 0.0]
    """
    true, predicted = align(y_true, y_pred)
    right = functional.sum(true * predicted, axis=-1)
    wrong = functional.max((1.0 - true) * predicted, axis=-1)
    return functional.maximum(wrong - right + 1.0, 0.0)
