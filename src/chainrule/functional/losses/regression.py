"""Measures of the error of numbers, one per sample: the last axis is averaged."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.losses.shapes import align, as_float, mean_over
from chainrule.functional.promotion import ArrayLike, Tensor

# Keras's, in percentage errors and Poisson losses
EPSILON = 1e-7


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`mean((y_true - y_pred)**2)` over the last axis.

    Example:
        >>> mean_squared_error([[0.0, 1.0]], [[1.0, 3.0]]).numpy().tolist()
        [2.5]
    """
    true, predicted = align(y_true, y_pred)
    return mean_over(functional.square(true - predicted))


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`mean(abs(y_true - y_pred))` over the last axis.

    Example:
        >>> mean_absolute_error([[0.0, 1.0]], [[1.0, 3.0]]).numpy().tolist()
        [1.5]
    """
    true, predicted = align(y_true, y_pred)
    return mean_over(functional.abs(true - predicted))


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> Tensor:
    """Squared where the error is at most `delta`, straight beyond.

    `mean(e**2 / 2 if abs(e) <= delta else delta * abs(e) - delta**2 / 2)` over the last
    axis. Huber, "Robust estimation of a location parameter", 1964.

    Example:
        >>> huber([[0.0, 0.0]], [[1.0, 3.0]]).numpy().tolist()
        [1.5]
    """
    true, predicted = align(y_true, y_pred)
    distance = functional.abs(predicted - true)
    straight = delta * distance - 0.5 * delta * delta
    parabola = 0.5 * functional.square(distance)
    return mean_over(functional.where(distance <= delta, parabola, straight))


def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`100 * mean(abs(y_true - y_pred) / abs(y_true))` over the last axis.

    A label nearer to 0 than 1e-7 counts as 1e-7 in the denominator.

    Example:
        >>> mean_absolute_percentage_error([[2.0, 4.0]], [[1.0, 4.0]]).numpy().tolist()
        [25.0]
    """
    true, predicted = align(y_true, y_pred)
    size = functional.maximum(functional.abs(true), EPSILON)
    return 100.0 * mean_over(functional.abs((true - predicted) / size))


def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`mean((log(1 + y_true) - log(1 + y_pred))**2)` over the last axis.

    For quantities whose ratio matters, from 0 up; what is below 0 counts as 0.

    Example:
        >>> loss = mean_squared_logarithmic_error([[0.0]], [[1.0]])
        >>> [round(x, 4) for x in loss.numpy().tolist()]
        [0.4805]
    """
    true, predicted = align(y_true, y_pred)
    distance = functional.log1p(functional.maximum(true, 0.0)) - functional.log1p(
        functional.maximum(predicted, 0.0)
    )
    return mean_over(functional.square(distance))


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`mean(log(cosh(y_pred - y_true)))` over the last axis.

    `e**2 / 2` for small errors `e`, `abs(e) - log(2)` for large ones, and smooth
    everywhere. Computed as `abs(e) + log1p(expm1(-2 * abs(e)) / 2)`, which neither
    overflows nor loses the digits of small errors.

    Example:
        >>> log_cosh([[0.0]], [[1000.0]]).numpy().tolist()
        [999.3068237304688]
    """
    true, predicted = align(y_true, y_pred)
    distance = functional.abs(predicted - true)
    bend = functional.log1p(0.5 * functional.expm1(-2.0 * distance))
    return mean_over(distance + bend)


def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`mean(y_pred - y_true * log(y_pred + 1e-7))` over the last axis.

    The negative log-likelihood of counts `y_true` under a Poisson distribution of rate
    `y_pred`, without the term that depends on the labels alone. Rates are positive:
    `exponential` or `softplus` is the activation that goes with it.

    Example:
        >>> [round(x, 4) for x in poisson([[0.0, 2.0]], [[1.0, 1.0]]).tolist()]
        [1.0]
    """
    true, predicted = align(y_true, y_pred)
    return mean_over(predicted - true * functional.log(predicted + EPSILON))


def pinball(
    y_true: ArrayLike, y_pred: ArrayLike, quantile: float | Sequence[float] = 0.5
) -> Tensor:
    """`mean(max(q * e, (q - 1) * e))` over the last axis, `e = y_true - y_pred`.

    Least for predictions that a share `q` of the labels lies below: the median for 0.5.
    Koenker and Bassett, "Regression quantiles", 1978.

    Args:
        y_true: labels.
        y_pred: predictions; for several quantiles, one on the last axis for each.
        quantile: `q`, or several.

    Raises:
        ArgumentError: for a quantile that is not between 0 and 1.
        ShapeError: when there is not one prediction for each quantile.

    Example:
        >>> pinball([[1.0], [1.0]], [[0.0], [2.0]], 0.75).numpy().tolist()
        [0.75, 0.25]
        >>> pinball([1.0], [[0.5, 1.0, 3.0]], [0.25, 0.5, 0.75]).numpy().round(4)
        array([0.2083], dtype=float32)
    """
    levels = check_quantiles(quantile)
    if isinstance(quantile, Sequence):
        true, predicted = _label_for_each(y_true, y_pred, len(levels))
        level = functional.asarray(levels, dtype=predicted.dtype)
    else:
        true, predicted = align(y_true, y_pred)
        level = levels[0]
    error = true - predicted
    return mean_over(functional.maximum(level * error, (level - 1.0) * error))


def check_quantiles(quantile: float | Sequence[float]) -> list[float]:
    """The quantiles as a list.

    Raises:
        ArgumentError: for a quantile that is not between 0 and 1.
    """
    levels = list(quantile) if isinstance(quantile, Sequence) else [quantile]
    if not levels or not all(0 < level < 1 for level in levels):
        raise ArgumentError(
            "a quantile is a share",
            where="pinball",
            got=f"quantile={quantile}",
            expected="0 < quantile < 1",
        )
    return levels


def _label_for_each(
    y_true: ArrayLike, y_pred: ArrayLike, count: int
) -> tuple[Tensor, Tensor]:
    """Labels, and as many predictions for each on the last axis as quantiles."""
    predicted = as_float(y_pred)
    true = functional.astype(functional.asarray(y_true), predicted.dtype)
    rows = predicted.shape[:-1]
    if true.size == math.prod(rows) and true.shape in (rows, (*rows, 1)):
        true = functional.reshape(true, (*rows, 1))
    if predicted.shape[-1:] != (count,) or true.shape not in (
        (*rows, 1),
        predicted.shape,
    ):
        raise ShapeError(
            "there must be one prediction for each quantile",
            where="pinball",
            got=f"y_true {true.shape}, y_pred {predicted.shape}",
            expected=f"y_pred (rows, {count}) and y_true (rows, 1)",
            fix=f"give the last layer {count} units",
        )
    return true, predicted


def cosine_similarity(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> Tensor:
    """`-sum(unit(y_true) * unit(y_pred))`: -1 for one direction, 1 for the opposite.

    A vector of zeros has no direction; its similarity to all is 0.

    Args:
        y_true: vectors.
        y_pred: vectors.
        axis: the axis of their components.

    Example:
        >>> loss = cosine_similarity([[0.0, 2.0], [1.0, 1.0]], [[0.0, 1.0], [0.0, 3.0]])
        >>> [round(x, 4) for x in loss.tolist()]
        [-1.0, -0.7071]
    """
    true, predicted = align(y_true, y_pred)
    return -functional.sum(_unit(true, axis) * _unit(predicted, axis), axis=axis)


def _unit(x: Tensor, axis: int) -> Tensor:
    """Vectors of length 1; those shorter than 1e-7 are left as good as 0."""
    squared = functional.sum(functional.square(x), axis=axis, keepdims=True)
    return x / functional.sqrt(functional.maximum(squared, EPSILON**2))
