"""Metrics: what is reported beside the loss. Names and defaults are those of Keras.

A metric is three pure functions on a state: `init`, `update` with a batch, `compute`.
Training steps use these. `update_state`, `result` and `reset_state` keep a state for
whoever works by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict, Unpack

from chainrule import functional
from chainrule.configurable import Configurable, Registry, snake_case
from chainrule.errors import ArgumentError
from chainrule.functional.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)
from chainrule.functional.losses.shapes import (
    align,
    as_float,
    line_up_weights,
    same_rank,
)
from chainrule.functional.promotion import Tensor

REGISTRY = Registry("metric", "metrics")
ACCURACY_NAMES = ("accuracy", "acc")


class MetricOptions(TypedDict, total=False):
    """What every metric takes.

    Attributes:
        name: the name in reports; that of the class in lower case by default.
    """

    name: str | None


class Metric(Configurable):
    """Base of metrics: subclasses define `init`, `update` and `compute`.

    Args:
        name: the name in reports.

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

    def __init__(self, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self._state: Any = None

    def init(self) -> Any:
        """The state before any batch: a tree of tensors."""
        raise NotImplementedError

    def update(self, state: Any, *args: Any, **kwargs: Any) -> Any:
        """The state after a batch: `update(state, y_true, y_pred, sample_weight)`."""
        raise NotImplementedError

    def compute(self, state: Any) -> Tensor:
        """The value of the metric, a scalar."""
        raise NotImplementedError

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take a batch into account: `update_state(y_true, y_pred, sample_weight)`."""
        state = self.init() if self._state is None else self._state
        self._state = self.update(state, *args, **kwargs)

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


def _mean_init() -> dict[str, Tensor]:
    # float64: a float32 count stops growing at 2**24 samples
    zero = functional.zeros((), dtype="float64")
    return {"total": zero, "count": zero}


def _mean_update(
    state: dict[str, Tensor], values: Tensor, sample_weight: Any | None
) -> dict[str, Tensor]:
    count: Any = float(values.size)
    if sample_weight is not None:
        values, weights = line_up_weights(values, sample_weight)
        spread = functional.broadcast_to(weights, values.shape)
        values = values * weights
        count = functional.astype(functional.sum(spread), "float64")
    total = functional.astype(functional.sum(values), "float64")
    return {"total": state["total"] + total, "count": state["count"] + count}


def _mean_compute(state: dict[str, Tensor]) -> Tensor:
    """The mean; 0 of nothing."""
    empty = state["count"] == 0
    mean = state["total"] / functional.where(empty, 1.0, state["count"])
    return functional.astype(mean, "float32")


class Mean(Metric):
    """The mean of values, each batch weighted by its size.

    Example:
        >>> metric = Mean()
        >>> metric.update_state([1.0, 3.0])
        >>> metric.update_state([5.0])
        >>> metric.result().item()
        3.0
    """

    def init(self) -> dict[str, Tensor]:
        """Nothing seen."""
        return _mean_init()

    def update(
        self, state: dict[str, Tensor], values: Any, sample_weight: Any | None = None
    ) -> dict[str, Tensor]:
        """Add values, weighted where weights are given."""
        return _mean_update(state, as_float(values), sample_weight)

    def compute(self, state: dict[str, Tensor]) -> Tensor:
        """The mean."""
        return _mean_compute(state)


class MeanOfSamples(Metric):
    """Base of metrics that are a mean over samples: subclasses define `call`."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The value of each sample."""
        raise NotImplementedError

    def init(self) -> dict[str, Tensor]:
        """Nothing seen."""
        return _mean_init()

    def update(
        self,
        state: dict[str, Tensor],
        y_true: Any,
        y_pred: Any,
        sample_weight: Any | None = None,
    ) -> dict[str, Tensor]:
        """Add the samples of a batch, weighted where weights are given."""
        values = self.call(functional.asarray(y_true), functional.asarray(y_pred))
        return _mean_update(state, as_float(values), sample_weight)

    def compute(self, state: dict[str, Tensor]) -> Tensor:
        """The mean."""
        return _mean_compute(state)


class MeanMetricWrapper(MeanOfSamples):
    """A metric made of a function.

    Args:
        fn: `fn(y_true, y_pred)` gives the value of each sample.
        name: the name in reports, that of the function by default.

    Example:
        >>> metric = MeanMetricWrapper(lambda y_true, y_pred: abs(y_true - y_pred))
        >>> metric([1.0, 2.0], [2.0, 4.0]).item()
        1.5
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name or getattr(fn, "__name__", "metric").strip("<>"))
        self.fn = fn

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The function's values."""
        return functional.asarray(self.fn(y_true, y_pred))


class Accuracy(MeanOfSamples):
    """The share of predictions that equal their labels.

    Example:
        >>> Accuracy()([1, 2, 3, 4], [1, 2, 3, 0]).item()
        0.75
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 where they are equal."""
        true, predicted = align(y_true, y_pred)
        return as_float(true == predicted)


class BinaryAccuracy(MeanOfSamples):
    """The share of yes-or-no predictions that are right.

    Args:
        threshold: predictions above it count as yes: 0.5 for probabilities, 0 for
            logits.
        **options: see `MetricOptions`.

    Example:
        >>> BinaryAccuracy()([[1], [1], [0], [0]], [[0.9], [0.2], [0.1], [0.3]]).item()
        0.75
    """

    def __init__(
        self, threshold: float = 0.5, **options: Unpack[MetricOptions]
    ) -> None:
        super().__init__(**options)
        self.threshold = threshold

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 where the prediction falls on the label's side."""
        true, predicted = align(y_true, y_pred)
        said = functional.astype(predicted > self.threshold, predicted.dtype)
        return as_float(true == said)


class CategoricalAccuracy(MeanOfSamples):
    """The share of samples whose largest prediction is at the label's place.

    Labels are one-hot, or a probability for each class.

    Example:
        >>> CategoricalAccuracy()([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]]).item()
        0.5
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 where both are largest at the same place."""
        true = functional.argmax(y_true, axis=-1)
        return as_float(true == functional.argmax(y_pred, axis=-1))


class SparseCategoricalAccuracy(MeanOfSamples):
    """The share of samples whose largest prediction is at the label.

    Labels are the numbers of the classes.

    Example:
        >>> SparseCategoricalAccuracy()([1, 0], [[0.1, 0.9], [0.2, 0.8]]).item()
        0.5
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 where the largest prediction is at the label."""
        place = functional.argmax(y_pred, axis=-1)
        true, place = same_rank(functional.astype(y_true, "int64"), place)
        return as_float(true == place)


class MeanSquaredError(MeanOfSamples):
    """`mean((y_true - y_pred)**2)`.

    Example:
        >>> MeanSquaredError()([[0.0, 1.0]], [[1.0, 3.0]]).item()
        2.5
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The mean squared error of each sample."""
        return mean_squared_error(y_true, y_pred)


class RootMeanSquaredError(MeanSquaredError):
    """`sqrt(mean((y_true - y_pred)**2))`, in the units of the labels.

    Example:
        >>> RootMeanSquaredError()([[0.0, 1.0]], [[3.0, 4.0]]).item()
        3.0
    """

    def compute(self, state: dict[str, Tensor]) -> Tensor:
        """The root of the mean."""
        return functional.sqrt(_mean_compute(state))


class MeanAbsoluteError(MeanOfSamples):
    """`mean(abs(y_true - y_pred))`.

    Example:
        >>> MeanAbsoluteError()([[0.0, 1.0]], [[1.0, 3.0]]).item()
        1.5
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The mean absolute error of each sample."""
        return mean_absolute_error(y_true, y_pred)


class BinaryCrossentropy(MeanOfSamples):
    """The mean of `chainrule.losses.binary_crossentropy`.

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: moves labels by this share towards 1/2.
        **options: see `MetricOptions`.

    Example:
        >>> round(BinaryCrossentropy()([[1.0]], [[0.5]]).item(), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return binary_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing
        )


class CategoricalCrossentropy(BinaryCrossentropy):
    """The mean of `chainrule.losses.categorical_crossentropy`.

    Example:
        >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing
        )


class SparseCategoricalCrossentropy(MeanOfSamples):
    """The mean of `chainrule.losses.sparse_categorical_crossentropy`.

    Args:
        from_logits: whether predictions are logits.
        **options: see `MetricOptions`.

    Example:
        >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    def __init__(
        self, from_logits: bool = False, **options: Unpack[MetricOptions]
    ) -> None:
        super().__init__(**options)
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return sparse_categorical_crossentropy(y_true, y_pred, self.from_logits)


REGISTRY.add(MeanSquaredError, "mse", "MSE")
REGISTRY.add(MeanAbsoluteError, "mae", "MAE")
REGISTRY.add(RootMeanSquaredError, "rmse", "RMSE")
REGISTRY.add(BinaryCrossentropy, "bce", "BCE")
for _each in (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    Mean,
    MeanMetricWrapper,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
):
    REGISTRY.add(_each)


def get(identifier: Any) -> Metric:
    """The metric that a name, a config or a function stands for.

    Raises:
        ArgumentError: for an unknown name; the message has the nearest known one.

    Example:
        >>> get("mae").name
        'mean_absolute_error'
    """
    found = REGISTRY.get(identifier)
    if isinstance(found, Metric):
        return found
    if callable(found):
        return MeanMetricWrapper(found)
    raise ArgumentError(
        "this is no metric",
        where="metrics",
        got=found,
        expected="a name, a Metric or a function of (y_true, y_pred)",
    )


def resolve(
    identifier: Any,
    y_true_shape: Sequence[int | None],
    y_pred_shape: Sequence[int | None],
    from_logits: bool = False,
) -> Metric:
    """The metric that `identifier` means for labels and predictions of these shapes.

    `accuracy` is binary for one output, sparse for labels that are class numbers, else
    categorical. A metric given by a name is reported under that name.

    Args:
        identifier: what `get` takes.
        y_true_shape: the shape of the labels, samples first.
        y_pred_shape: the shape of the predictions, samples first.
        from_logits: whether predictions are logits: one is a yes above 0, then.

    Example:
        >>> resolve("accuracy", (None,), (None, 10))
        SparseCategoricalAccuracy(name='accuracy')
    """
    if not isinstance(identifier, str):
        return get(identifier)
    if identifier.lower() not in ACCURACY_NAMES:
        metric = get(identifier)
        metric.name = identifier
        return metric
    if len(y_pred_shape) < 2 or y_pred_shape[-1] == 1:
        return BinaryAccuracy(0.0 if from_logits else 0.5, name=identifier)
    fewer = len(y_true_shape) < len(y_pred_shape)
    if fewer or y_true_shape[-1] == 1:
        return SparseCategoricalAccuracy(name=identifier)
    return CategoricalAccuracy(name=identifier)
