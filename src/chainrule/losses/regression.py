"""Losses of quantities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from chainrule.errors import ArgumentError
from chainrule.functional.losses import (
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    pinball,
    poisson,
)
from chainrule.functional.losses.regression import check_quantiles
from chainrule.functional.promotion import Tensor
from chainrule.losses.base import Loss, LossOptions


class MeanSquaredError(Loss):
    """`mean((y_true - y_pred)**2)`.

    Example:
        >>> MeanSquaredError()([[0.0, 1.0]], [[1.0, 3.0]]).item()
        2.5
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The mean squared error of each sample."""
        return mean_squared_error(y_true, y_pred)


class MeanAbsoluteError(Loss):
    """`mean(abs(y_true - y_pred))`.

    Example:
        >>> MeanAbsoluteError()([[0.0, 1.0]], [[1.0, 3.0]]).item()
        1.5
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The mean absolute error of each sample."""
        return mean_absolute_error(y_true, y_pred)


class MeanAbsolutePercentageError(Loss):
    """`100 * mean(abs(y_true - y_pred) / abs(y_true))`.

    Labels of 0 have no percentage: one nearer to 0 than 1e-7 counts as 1e-7.

    Example:
        >>> MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 4.0]]).item()
        25.0
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The percentage error of each sample."""
        return mean_absolute_percentage_error(y_true, y_pred)


class MeanSquaredLogarithmicError(Loss):
    """`mean((log(1 + y_true) - log(1 + y_pred))**2)`.

    For quantities from 0 up whose ratio matters; what is below 0 counts as 0.

    Example:
        >>> round(MeanSquaredLogarithmicError()([[0.0]], [[1.0]]).item(), 4)
        0.4805
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The logarithmic error of each sample."""
        return mean_squared_logarithmic_error(y_true, y_pred)


class Huber(Loss):
    """Squared for errors up to `delta`, straight beyond: outliers pull less.

    Args:
        delta: where the parabola goes over into the line.
        **options: see `LossOptions`.

    Example:
        >>> Huber(delta=1.0)([[0.0]], [[3.0]]).item()
        2.5
    """

    def __init__(
        self,
        delta: float = 1.0,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        if not delta > 0:
            raise ArgumentError(
                "the transition lies at a positive error",
                where="Huber",
                got=f"delta={delta}",
                expected="delta > 0",
            )
        self.delta = delta

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The Huber loss of each sample."""
        return huber(y_true, y_pred, self.delta)

    @classmethod
    def default_name(cls) -> str:
        """The name that Keras gives it."""
        return "huber_loss"


class LogCosh(Loss):
    """`mean(log(cosh(y_pred - y_true)))`: like `Huber`, and smooth everywhere.

    Example:
        >>> round(LogCosh()([[0.0, 0.0]], [[0.0, 1.0]]).item(), 4)
        0.2169
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        return log_cosh(y_true, y_pred)


class Poisson(Loss):
    """`mean(y_pred - y_true * log(y_pred))`, for counts.

    Predictions are rates, which are positive: it goes with a last layer of
    `Dense(1, activation='softplus')` or `'exponential'`.

    Example:
        >>> round(Poisson()([[2.0]], [[3.0]]).item(), 4)
        0.8028
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        return poisson(y_true, y_pred)


class Pinball(Loss):
    """`mean(max(q * e, (q - 1) * e))`, `e = y_true - y_pred`: predicts quantiles.

    Several quantiles at once, such as `[0.05, 0.5, 0.95]`, give an interval beside the
    median: the last layer has a unit for each. Koenker and Bassett, "Regression
    quantiles", 1978.

    Args:
        quantile: the share `q` of labels that lies below, or several.
        **options: see `LossOptions`.

    Example:
        >>> Pinball(quantile=0.75)([[1.0], [1.0]], [[0.0], [2.0]]).item()
        0.5
    """

    def __init__(
        self,
        quantile: float | Sequence[float] = 0.5,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        check_quantiles(quantile)
        self.quantile = quantile

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        return pinball(y_true, y_pred, self.quantile)


class CosineSimilarity(Loss):
    """`-sum(unit(y_true) * unit(y_pred))`: -1 for one direction, 1 for the opposite.

    Args:
        axis: the axis of the components of the vectors.
        **options: see `LossOptions`.

    Example:
        >>> CosineSimilarity()([[0.0, 2.0]], [[0.0, 1.0]]).item()
        -1.0
    """

    def __init__(
        self,
        axis: int = -1,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        return cosine_similarity(y_true, y_pred, self.axis)
