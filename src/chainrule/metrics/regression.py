"""Metrics of quantities."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.losses import (
    cosine_similarity,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from chainrule.functional.promotion import Tensor
from chainrule.metrics.base import MetricOptions, State, divide, zeros
from chainrule.metrics.moments import OfMoments, merge_moments, row_weights
from chainrule.metrics.reduction import MeanOfSamples


class MeanSquaredError(MeanOfSamples):
    """`mean((y_true - y_pred)**2)`.

    Example:
        >>> MeanSquaredError()([[0.0, 1.0]], [[1.0, 3.0]]).item()
        2.5
    """

    direction = "down"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The mean squared error of each sample."""
        return mean_squared_error(y_true, y_pred)


class RootMeanSquaredError(MeanSquaredError):
    """`sqrt(mean((y_true - y_pred)**2))`, in the units of the labels.

    Example:
        >>> RootMeanSquaredError()([[0.0, 1.0]], [[3.0, 4.0]]).item()
        3.0
    """

    def compute(self, state: State) -> Tensor:
        """The root of the mean."""
        return functional.sqrt(super().compute(state))


class MeanAbsoluteError(MeanOfSamples):
    """`mean(abs(y_true - y_pred))`.

    Example:
        >>> MeanAbsoluteError()([[0.0, 1.0]], [[1.0, 3.0]]).item()
        1.5
    """

    direction = "down"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The mean absolute error of each sample."""
        return mean_absolute_error(y_true, y_pred)


class MeanAbsolutePercentageError(MeanOfSamples):
    """`100 * mean(abs(y_true - y_pred) / abs(y_true))`.

    Labels of 0 have no percentage: one nearer to 0 than 1e-7 counts as 1e-7.

    Example:
        >>> MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 4.0]]).item()
        25.0
    """

    direction = "down"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The percentage error of each sample."""
        return mean_absolute_percentage_error(y_true, y_pred)


class MeanSquaredLogarithmicError(MeanOfSamples):
    """`mean((log(1 + y_true) - log(1 + y_pred))**2)`; below 0 counts as 0.

    Example:
        >>> round(MeanSquaredLogarithmicError()([[0.0]], [[1.0]]).item(), 4)
        0.4805
    """

    direction = "down"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The logarithmic error of each sample."""
        return mean_squared_logarithmic_error(y_true, y_pred)


class LogCoshError(MeanOfSamples):
    """`mean(log(cosh(y_pred - y_true)))`.

    Example:
        >>> round(LogCoshError()([[0.0, 0.0]], [[0.0, 1.0]]).item(), 4)
        0.2169
    """

    direction = "down"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The value of each sample."""
        return log_cosh(y_true, y_pred)

    @classmethod
    def default_name(cls) -> str:
        """The name that Keras gives it."""
        return "logcosh"


class CosineSimilarity(MeanOfSamples):
    """The mean of `sum(unit(y_true) * unit(y_pred))`: 1 for one direction.

    Args:
        axis: the axis of the components of the vectors.
        **options: see `MetricOptions`.

    Example:
        >>> CosineSimilarity()([[0.0, 2.0]], [[0.0, 1.0]]).item()
        1.0
    """

    direction = "up"

    def __init__(self, axis: int = -1, **options: Unpack[MetricOptions]) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The similarity of each sample; the loss is its opposite."""
        return -cosine_similarity(y_true, y_pred, self.axis)


class R2Score(OfMoments):
    """The coefficient of determination: `1 - sum((y - p)**2) / sum((y - mean(y))**2)`.

    1 for perfect predictions, 0 for those no better than the mean of the labels, less
    for worse. Where all labels are equal, 1 if the predictions are perfect and else 0.

    Args:
        class_aggregation: how the scores of several outputs become one: by
            `uniform_average`, by `variance_weighted_average`; None leaves one each.
        num_regressors: how many inputs the predictions were made of; above 0, the score
            is adjusted for them: `1 - (1 - r2) * (n - 1) / (n - num_regressors - 1)` of
            `n` rows, where there are enough.
        **options: see `MetricOptions`.

    Example:
        >>> R2Score()([[1.0], [2.0], [3.0]], [[1.0], [2.0], [2.0]]).item()
        0.5
    """

    direction = "up"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        known = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in known:
            raise ArgumentError(
                "unknown class_aggregation",
                where="R2Score",
                got=f"class_aggregation={class_aggregation!r}",
                expected=", ".join(map(repr, known)),
            )
        if num_regressors < 0:
            raise ArgumentError(
                "the number of inputs is not negative",
                where="R2Score",
                got=f"num_regressors={num_regressors}",
                expected="num_regressors >= 0",
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors

    def init(self) -> State:
        """Nothing seen."""
        width = self.width()
        names = ("weight", "mean", "squares", "residual")
        return {"rows": zeros(), **{name: zeros(width) for name in names}}

    def update(
        self, state: State, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> State:
        """Add the samples of a batch, weighted where weights are given."""
        true, predicted = self.columns(y_true, y_pred)
        weights = row_weights(true, sample_weight)
        counted = functional.astype(functional.any(weights != 0, axis=-1), "float64")
        names = ("weight", "mean", "squares")
        before = [state[name] for name in names]
        merged = merge_moments(before, (true,), weights)
        residual = functional.sum(weights * functional.square(true - predicted), axis=0)
        return {
            "rows": state["rows"] + functional.sum(counted),
            **dict(zip(names, merged, strict=True)),
            "residual": state["residual"] + residual,
        }

    def compute(self, state: State) -> Tensor:
        """The score, adjusted and aggregated as asked for."""
        residual, whole = state["residual"], state["squares"]
        flat = whole == 0
        perfect = functional.where(residual == 0, 1.0, 0.0)
        ratio = residual / functional.where(flat, 1.0, whole)
        scores = functional.where(flat, perfect, 1.0 - ratio)
        if self.class_aggregation == "uniform_average":
            scores = functional.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            varies = functional.sum(whole)
            average = divide(functional.sum(whole * scores), varies)
            scores = functional.where(varies == 0, functional.mean(scores), average)
        if not self.num_regressors:
            return scores
        left = state["rows"] - self.num_regressors - 1.0
        adjusted = 1.0 - divide((1.0 - scores) * (state["rows"] - 1.0), left)
        return functional.where(left > 0, adjusted, scores)
