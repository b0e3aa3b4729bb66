"""What all losses have in common: reduction, weights, lookup by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

from chainrule import functional
from chainrule.configurable import Configurable, FunctionArguments, Registry
from chainrule.errors import ArgumentError
from chainrule.functional.losses.shapes import (
    as_float,
    line_up_weights,
    skip_masked,
)
from chainrule.functional.masks import mask_of
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import DTypeLike, as_dtype

REGISTRY = Registry("loss", "loss")
FUNCTIONS = Registry("loss function", "fn")
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
        dtype: see `Loss`.
    """

    reduction: str | None
    name: str | None
    dtype: DTypeLike | None


class Loss(Configurable):
    """Base of losses: subclasses define `call(y_true, y_pred)`, one number per sample.

    Args:
        reduction: `sum_over_batch_size` and its synonym `mean` divide the sum of the
            weighted losses by their number, `mean_with_sample_weight` by the sum of the
            weights; `sum` does not divide; `none` or None leaves one per sample.
        name: the name in messages.
        dtype: the float type to compute in; that of the predictions by
            default, and float32 for those of 16 bits.

    Example:
        >>> class Cubed(Loss):
        ...     def call(self, y_true, y_pred):
        ...         cubes = functional.abs(y_true - y_pred) ** 3
        ...         return functional.mean(cubes, axis=-1)
        >>> Cubed()([[0.0], [0.0]], [[1.0], [2.0]]).item()
        4.5
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ArgumentError(
                "unknown reduction",
                where=type(self).__name__,
                got=f"reduction={reduction!r}",
                expected=", ".join(map(repr, REDUCTIONS)),
            )
        self.reduction = reduction
        self.name = name or self.default_name()
        self.dtype = None if dtype is None else as_dtype(dtype)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        raise NotImplementedError

    def counted(self, y_true: Any, values: Tensor) -> Tensor | None:
        """Which losses count in a mean, where not all do; None for all."""
        return None

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> Tensor:
        """The reduced loss; of predictions with a mask, that of the steps that count.

        Args:
            y_true: labels, samples first.
            y_pred: predictions, samples first.
            sample_weight: how much each sample counts, one number per sample.

        Raises:
            ShapeError: when labels, predictions, weights or the mask of the
                predictions do not fit together.
        """
        mask = mask_of(y_pred)
        true, predicted = functional.asarray(y_true), as_float(y_pred)
        kind = self.dtype or predicted.spec.dtype.compute
        predicted = functional.astype(predicted, kind)
        values = self.call(true, predicted)
        counted = self.counted(true, values)
        if mask is not None:
            values, counted = skip_masked(values, mask, counted)
        return reduce_losses(values, sample_weight, self.reduction, counted)


def reduce_losses(
    values: Tensor,
    sample_weight: Any | None,
    reduction: str | None,
    counted: Tensor | None = None,
) -> Tensor:
    """Losses per sample, weighted and made one number.

    Args:
        values: one loss per sample.
        sample_weight: one weight per sample.
        reduction: see `Loss`.
        counted: the losses over which a mean is taken; the others are 0.

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
        weights = functional.broadcast_to(weights, values.shape)
        if counted is not None:
            weights = functional.where(counted, weights, 0.0)
        return _divide(total, functional.sum(weights))
    if counted is not None:
        return _divide(total, functional.sum(functional.astype(counted, total.dtype)))
    return total / max(values.size, 1)


def _divide(total: Tensor, whole: Tensor) -> Tensor:
    """The quotient; 0 of nothing."""
    return total / functional.where(whole == 0, 1.0, whole)


class LossFunctionWrapper(FunctionArguments, Loss):
    """A loss made of a function.

    Args:
        fn: `fn(y_true, y_pred)` gives the loss of each sample.
        reduction: see `Loss`.
        name: the name in messages, that of the function by default.
        dtype: see `Loss`.
        **arguments: further arguments of `fn`.

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
        dtype: DTypeLike | None = None,
        **arguments: Any,
    ) -> None:
        fallback = getattr(fn, "__name__", "loss").strip("<>")
        super().__init__(reduction, name or fallback, dtype)
        self.fn = get_function(fn)
        self.arguments = arguments

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The function's values."""
        return functional.asarray(self.fn(y_true, y_pred, **self.arguments))


def get_function(identifier: Any) -> Callable[..., Any]:
    """The loss function that a name stands for; a function stands for itself."""
    found: Callable[..., Any] = FUNCTIONS.get(identifier)
    return found
