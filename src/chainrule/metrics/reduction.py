"""Means and sums, and metrics that are a mean over the samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule import functional
from chainrule.configurable import FunctionArguments
from chainrule.functional.losses.shapes import (
    as_float,
    line_up_weights,
    skip_masked,
)
from chainrule.functional.masks import mask_of
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import DTypeLike
from chainrule.metrics.base import FUNCTIONS, Metric, State, divide, zeros


def weighted(
    values: Tensor, sample_weight: Any | None
) -> tuple[Tensor, Tensor | float]:
    """The sum of values and the sum of their weights, in float64."""
    values = functional.astype(values, "float64")
    if sample_weight is None:
        return functional.sum(values), float(values.size)
    values, weights = line_up_weights(values, sample_weight)
    spread = functional.broadcast_to(weights, values.shape)
    return functional.sum(values * weights), functional.sum(spread)


class Mean(Metric):
    """The mean of values, each batch weighted by its size.

    Example:
        >>> metric = Mean()
        >>> metric.update_state([1.0, 3.0])
        >>> metric.update_state([5.0])
        >>> metric.result().item()
        3.0
    """

    def init(self) -> State:
        """Nothing seen."""
        return {"total": zeros(), "count": zeros()}

    def update(
        self, state: State, values: Any, sample_weight: Any | None = None
    ) -> State:
        """Add values, weighted where weights are given."""
        total, count = weighted(self.as_predictions(values), sample_weight)
        return {"total": state["total"] + total, "count": state["count"] + count}

    def compute(self, state: State) -> Tensor:
        """The mean; 0 of nothing."""
        return divide(state["total"], state["count"])


class Sum(Metric):
    """The sum of values.

    Example:
        >>> metric = Sum()
        >>> metric.update_state([1.0, 3.0])
        >>> metric.update_state([5.0], sample_weight=[2.0])
        >>> metric.result().item()
        14.0
    """

    def init(self) -> State:
        """Nothing seen."""
        return {"total": zeros()}

    def update(
        self, state: State, values: Any, sample_weight: Any | None = None
    ) -> State:
        """Add values, weighted where weights are given."""
        total, _ = weighted(self.as_predictions(values), sample_weight)
        return {"total": state["total"] + total}

    def compute(self, state: State) -> Tensor:
        """The sum."""
        return state["total"]


class MeanOfSamples(Metric):
    """Base of metrics that are a mean over samples: subclasses define `call`."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The value of each sample."""
        raise NotImplementedError

    def counted(self, y_true: Any, values: Tensor) -> Tensor | None:
        """Which values count in the mean, where not all do; None for all."""
        return None

    def init(self) -> State:
        """Nothing seen."""
        return {"total": zeros(), "count": zeros()}

    def update(
        self, state: State, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> State:
        """Add the samples of a batch, weighted where weights are given.

        Of predictions with a mask, the steps that count.
        """
        mask = mask_of(y_pred)
        predicted = functional.asarray(y_pred)
        if predicted.dtype.is_float:
            predicted = self.as_predictions(predicted)
        true = functional.asarray(y_true)
        values = as_float(self.call(true, predicted))
        counted = self.counted(true, values)
        if mask is not None:
            values, counted = skip_masked(values, mask, counted)
        if counted is not None:
            sample_weight = _only(counted, values, sample_weight)
        total, count = weighted(values, sample_weight)
        return {"total": state["total"] + total, "count": state["count"] + count}

    def compute(self, state: State) -> Tensor:
        """The mean; 0 of nothing."""
        return divide(state["total"], state["count"])


def _only(counted: Tensor, values: Tensor, sample_weight: Any | None) -> Tensor:
    """The weight of each value, 0 for those that do not count."""
    if sample_weight is None:
        return functional.astype(counted, "float64")
    _, weights = line_up_weights(values, sample_weight)
    return functional.where(
        counted, functional.broadcast_to(weights, values.shape), 0.0
    )


class MeanMetricWrapper(FunctionArguments, MeanOfSamples):
    """A metric made of a function.

    Args:
        fn: `fn(y_true, y_pred)` gives the value of each sample.
        name: the name in reports, that of the function by default.
        dtype: see `Metric`.
        **arguments: further arguments of `fn`.

    Example:
        >>> metric = MeanMetricWrapper(lambda y_true, y_pred: abs(y_true - y_pred))
        >>> metric([1.0, 2.0], [2.0, 4.0]).item()
        1.5
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        dtype: DTypeLike | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", "metric").strip("<>"), dtype)
        self.fn: Callable[..., Any] = FUNCTIONS.get(fn)
        self.arguments = arguments

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The function's values."""
        return functional.asarray(self.fn(y_true, y_pred, **self.arguments))
