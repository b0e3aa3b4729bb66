"""Losses of sets: how far what is predicted and what is true fail to overlap."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule import functional
from chainrule.functional.losses.shapes import align
from chainrule.functional.promotion import ArrayLike, Tensor

EPSILON = 1e-7
Axis = int | Sequence[int] | None


def dice(y_true: ArrayLike, y_pred: ArrayLike, axis: Axis = None) -> Tensor:
    """`1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred))`.

    Args:
        y_true: 0 or 1 for each place.
        y_pred: probabilities.
        axis: what is summed over: all of the batch by default, which gives one number;
            `(1, 2, 3)` gives one for each image of a batch.

    Example:
        >>> loss = dice([[1.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]], axis=1)
        >>> [round(x, 4) for x in loss.tolist()]
        [0.3333, 1.0]
    """
    true, predicted = align(y_true, y_pred)
    axes = _axes(axis)
    both = 2.0 * functional.sum(true * predicted, axis=axes)
    whole = functional.sum(true, axis=axes) + functional.sum(predicted, axis=axes)
    return 1.0 - both / (whole + EPSILON)


def tversky(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float = 0.5,
    beta: float = 0.5,
    axis: Axis = None,
) -> Tensor:
    """`1 - hits / (hits + alpha * false_positives + beta * false_negatives)`.

    With `alpha = beta = 0.5` it is `dice`. Salehi, Erdogmus and Gholipour, arXiv
    1706.05721. (Keras up to 3.15 has the two factors the wrong way round.)

    Args:
        y_true: 0 or 1 for each place.
        y_pred: probabilities.
        alpha: the weight of what is predicted and not true.
        beta: the weight of what is true and not predicted.
        axis: see `dice`.

    Example:
        >>> tversky([[1.0, 1.0]], [[1.0, 0.0]], beta=1.0, axis=1).numpy().tolist()
        [0.5]
    """
    true, predicted = align(y_true, y_pred)
    axes = _axes(axis)
    hits = functional.sum(true * predicted, axis=axes)
    false_positives = functional.sum((1.0 - true) * predicted, axis=axes)
    false_negatives = functional.sum(true * (1.0 - predicted), axis=axes)
    whole = hits + alpha * false_positives + beta * false_negatives
    return 1.0 - hits / (whole + EPSILON)


def _axes(axis: Axis) -> int | tuple[int, ...] | None:
    return tuple(axis) if isinstance(axis, Sequence) else axis
