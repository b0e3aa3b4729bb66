"""What all metrics have in common: a state, three pure functions on it, a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from chainrule import functional
from chainrule.configurable import Configurable, Registry
from chainrule.errors import ArgumentError
from chainrule.functional.losses.shapes import as_float
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import DTypeLike, as_dtype

REGISTRY = Registry("metric", "metrics")
FUNCTIONS = Registry("metric function", "fn")
Shape = Sequence[int | None]
State = dict[str, Tensor]


class MetricOptions(TypedDict, total=False):
    """What every metric takes.

    Attributes:
        name: the name in reports; that of the class in lower case by default.
        dtype: see `Metric`.
    """

    name: str | None
    dtype: DTypeLike | None


class Metric(Configurable):
    """Base of metrics: subclasses define `init`, `update` and `compute`.

    Sums are kept in float64, so that they count on over any number of rows.

    Args:
        name: the name in reports.
        dtype: the float type that predictions are cast to first; their own by default.

    Attributes:
        direction: `up` where more is better, `down` where less is, None where neither.

    Example:
        >>> class Largest(Metric):
        ...     def init(self):
        ...         return functional.asarray(0.0)
        ...     def update(self, state, y_true, y_pred, sample_weight=None):
        ...         return functional.maximum(state, functional.max(y_pred))
        ...     def compute(self, state):
        ...         return state
        >>> metric = Largest()
        >>> metric.update_state([0.0], functional.asarray([3.0]))
        >>> metric.result().item()
        3.0
    """

    direction: str | None = None

    def __init__(self, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        self.name = name or self.default_name()
        self.dtype = None if dtype is None else as_dtype(dtype)
        self._state: Any = None

    def build(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        """Learn the shapes of labels and predictions, samples first.

        A metric whose state has a number for each class or output takes its size from
        here. Called once before `init`, by `fit` and by the first `update_state`.
        """

    def init(self) -> Any:
        """The state before any batch: a tree of tensors."""
        raise NotImplementedError

    def update(self, state: Any, *args: Any, **kwargs: Any) -> Any:
        """The state after a batch: `update(state, y_true, y_pred, sample_weight)`."""
        raise NotImplementedError

    def compute(self, state: Any) -> Tensor:
        """The value of the metric: a scalar, or an array of several."""
        raise NotImplementedError

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take a batch into account: `update_state(y_true, y_pred, sample_weight)`."""
        if self._state is None:
            if type(self).build is not Metric.build:
                self._build_for(*args, **kwargs)
            self._state = self.init()
        self._state = self.update(self._state, *args, **kwargs)

    def _build_for(self, y_true: Any, y_pred: Any, *rest: Any, **others: Any) -> None:
        true, predicted = functional.asarray(y_true), functional.asarray(y_pred)
        self.build(true.shape, predicted.shape)

    def result(self) -> Tensor:
        """The value over all batches since the last reset."""
        return self.compute(self.init() if self._state is None else self._state)

    def reset_state(self) -> None:
        """Forget all batches."""
        self._state = None

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """`update_state`, then `result`."""
        self.update_state(*args, **kwargs)
        return self.result()

    def as_predictions(self, y_pred: Any) -> Tensor:
        """Predictions in the float type that is computed in."""
        predicted = as_float(y_pred)
        if self.dtype is None and predicted.spec.dtype.is_half:
            return functional.astype(predicted, "float32")
        if self.dtype is None:
            return predicted
        return functional.astype(predicted, self.dtype)


def zeros(*shape: int) -> Tensor:
    """A sum of nothing: float64, since a float32 one stops growing at `2**24`."""
    return functional.zeros(shape, dtype="float64")


def divide(part: Tensor, whole: Tensor) -> Tensor:
    """The quotient; 0 of nothing."""
    empty = whole == 0
    return functional.where(empty, 0.0, part / functional.where(empty, 1.0, whole))


def unbuilt(metric: Metric, what: str, argument: str | None = None) -> ArgumentError:
    """The error of a metric that is asked for its state before it knows its size."""
    fix = f"{type(metric).__name__}({argument}=...), or " if argument else ""
    return ArgumentError(
        f"the state has a number for each {what}, and how many is not known yet",
        where=metric.name,
        fix=fix + "metric.build(y_true.shape, y_pred.shape)",
    )
