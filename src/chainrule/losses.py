"""Losses: what training makes small. Names, arguments and defaults are those of Keras.

A loss is called with labels, predictions and optional weights of the samples. `call`
gives one number per sample; `reduction` says how they become one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, Unpack

from chainrule import functional
from chainrule.configurable import Configurable, Registry, snake_case
from chainrule.errors import ArgumentError
from chainrule.functional.losses import (
    as_float,
    binary_crossentropy,
    categorical_crossentropy,
    huber,
    line_up_weights,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
)
from chainrule.functional.promotion import Tensor

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Huber",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "get",
    "huber",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
]

REGISTRY = Registry("loss", "loss")
REDUCTIONS = (
    "sum_over_batch_size",
    "sum",
    "mean",
    "mean_with_sample_weight",
    "none",
    None,
)


class LossOptions(TypedDict, total=False):
    """What every loss takes.

    Attributes:
        reduction: see `Loss`.
        name: the name in messages; that of the class in lower case by default.
    """

    reduction: str | None
    name: str | None


class Loss(Configurable):
    """Base of losses: subclasses define `call(y_true, y_pred)`, one number per sample.

    Args:
        reduction: `sum_over_batch_size` and its synonym `mean` divide the sum of the
            weighted losses by their number, `mean_with_sample_weight` by the sum of the
            weights; `sum` does not divide; `none` or None leaves one per sample.
        name: the name in messages.

    Example:
        >>> class Cubed(Loss):
        ...     def call(self, y_true, y_pred):
        ...         cubes = functional.abs(y_true - y_pred) ** 3
        ...         return functional.mean(cubes, axis=-1)
        >>> Cubed()([[0.0], [0.0]], [[1.0], [2.0]]).item()
        4.5
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ArgumentError(
                "unknown reduction",
                where=type(self).__name__,
                got=f"reduction={reduction!r}",
                expected=", ".join(map(repr, REDUCTIONS)),
            )
        self.reduction = reduction
        self.name = name or snake_case(type(self).__name__)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        raise NotImplementedError

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> Tensor:
        """The reduced loss.

        Args:
            y_true: labels, samples first.
            y_pred: predictions, samples first.
            sample_weight: how much each sample counts, one number per sample.

        Raises:
            ShapeError: when labels, predictions or weights do not fit together.
        """
        values = self.call(functional.asarray(y_true), as_float(y_pred))
        return reduce_losses(values, sample_weight, self.reduction)


def reduce_losses(
    values: Tensor, sample_weight: Any | None, reduction: str | None
) -> Tensor:
    """Losses per sample, weighted and made one number.

    Raises:
        ShapeError: when there is not one weight per sample.
    """
    weights = None
    if sample_weight is not None:
        values, weights = line_up_weights(values, sample_weight)
        values = values * weights
    if reduction in (None, "none"):
        return values
    total = functional.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and weights is not None:
        whole = functional.sum(functional.broadcast_to(weights, values.shape))
        return total / functional.where(whole == 0, 1.0, whole)
    return total / max(values.size, 1)


class LossFunctionWrapper(Loss):
    """A loss made of a function.

    Args:
        fn: `fn(y_true, y_pred)` gives the loss of each sample.
        reduction: see `Loss`.
        name: the name in messages, that of the function by default.

    Example:
        >>> loss = LossFunctionWrapper(lambda y_true, y_pred: abs(y_true - y_pred))
        >>> loss([1.0, 2.0], [2.0, 4.0]).item()
        1.5
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        fallback = getattr(fn, "__name__", "loss").strip("<>")
        super().__init__(reduction, name or fallback)
        self.fn = get_function(fn)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The function's values."""
        return functional.asarray(self.fn(y_true, y_pred))


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


class Huber(Loss):
    """Squared for errors up to `delta`, straight beyond: outliers pull less.

    Args:
        delta: where the parabola goes over into the line.
        **options: see `LossOptions`.

    Example:
        >>> Huber(delta=1.0)([[0.0]], [[3.0]]).item()
        2.5
    """

    def __init__(self, delta: float = 1.0, **options: Unpack[LossOptions]) -> None:
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


class BinaryCrossentropy(Loss):
    """Cross-entropy of yes-or-no labels: `-y log(p) - (1 - y) log(1 - p)`.

    Goes with a last layer of `Dense(1, activation='sigmoid')`, or of `Dense(1)` and
    `from_logits=True`, which stays exact however sure the network is. Probabilities are
    kept from 0 and 1 as described at `chainrule.losses.binary_crossentropy`.

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: moves labels by this share towards 1/2.
        **options: see `LossOptions`.

    Example:
        >>> round(BinaryCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]]).item(), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        _check_smoothing(type(self).__name__, label_smoothing)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return binary_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing
        )


class CategoricalCrossentropy(Loss):
    """Cross-entropy of one-hot labels: `-sum(y_true * log(p))`.

    Goes with a last layer of `Dense(classes, activation='softmax')`, or of
    `Dense(classes)` and `from_logits=True`.

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: this share of each label is spread evenly over the classes.
        axis: the axis of the classes.
        **options: see `LossOptions`.

    Example:
        >>> loss = CategoricalCrossentropy()
        >>> round(loss([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        _check_smoothing(type(self).__name__, label_smoothing)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis
        )


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of integer labels: `-log(p[label])`.

    Goes with a last layer of `Dense(classes, activation='softmax')`, or of
    `Dense(classes)` and `from_logits=True`.

    Args:
        from_logits: whether predictions are logits.
        ignore_class: samples of this label have a loss of 0.
        axis: the axis of the classes.
        **options: see `LossOptions`.

    Example:
        >>> loss = SparseCategoricalCrossentropy()
        >>> round(loss([1], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return sparse_categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.ignore_class, self.axis
        )


def _check_smoothing(where: str, label_smoothing: float) -> None:
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            "label smoothing is a share",
            where=where,
            got=f"label_smoothing={label_smoothing}",
            expected="0 <= label_smoothing <= 1",
        )


REGISTRY.add(MeanSquaredError, "mse", "MSE")
REGISTRY.add(MeanAbsoluteError, "mae", "MAE")
REGISTRY.add(Huber)
REGISTRY.add(BinaryCrossentropy, "bce", "BCE")
REGISTRY.add(CategoricalCrossentropy)
REGISTRY.add(SparseCategoricalCrossentropy)
REGISTRY.add(LossFunctionWrapper)

FUNCTIONS = Registry("loss function", "fn")
for _each in (
    mean_squared_error,
    mean_absolute_error,
    huber,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
):
    FUNCTIONS.add(_each)


def get_function(identifier: Any) -> Callable[..., Any]:
    """The loss function that a name stands for; a function stands for itself."""
    found: Callable[..., Any] = FUNCTIONS.get(identifier)
    return found


def get(identifier: Any) -> Loss:
    """The loss that a name, a config or a function stands for.

    Raises:
        ArgumentError: for an unknown name; the message has the nearest known one.

    Example:
        >>> get("mse")
        MeanSquaredError()
    """
    found = REGISTRY.get(identifier)
    if isinstance(found, Loss):
        return found
    if callable(found):
        return LossFunctionWrapper(found)
    raise ArgumentError(
        "this is no loss",
        where="loss",
        got=found,
        expected="a name, a Loss or a function of (y_true, y_pred)",
    )
