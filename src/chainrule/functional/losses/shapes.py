"""Labels, predictions and weights brought into shapes that go together.

A column of labels `(rows, 1)` and a row of predictions `(rows,)` are lined up, as in
Keras; shapes that still differ are refused, so that nothing is broadcast by accident.
"""

from __future__ import annotations

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import ArrayLike, Tensor
from chainrule.ir.dtype import DEFAULT_FLOAT


def align(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Tensor, Tensor]:
    """Both as floating-point tensors of one rank.

    Where one has a last axis of length 1 more than the other, it is dropped; next to a
    plain row it is added, so that `(rows,)` goes with `(rows, 1)`.

    Raises:
        ShapeError: when the shapes still differ: they would broadcast to a matrix of
            every label against every prediction.
    """
    predicted = as_float(y_pred)
    true = functional.astype(functional.asarray(y_true), predicted.dtype)
    true, predicted = same_rank(true, predicted)
    if true.shape != predicted.shape:
        raise ShapeError(
            "labels and predictions differ in shape",
            where="loss",
            got=f"y_true {true.shape}, y_pred {predicted.shape}",
            expected="equal shapes",
            fix="give the last layer as many units as a label has numbers",
        )
    return true, predicted


def as_float(x: ArrayLike) -> Tensor:
    """`x` as a tensor of a floating-point dtype."""
    value = functional.asarray(x)
    if value.dtype.is_float:
        return value
    return functional.astype(value, DEFAULT_FLOAT)


def same_rank(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both, with a last axis of length 1 added or dropped where only one has it."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, _column(b)) if b.ndim == 1 else (without_last(a), b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (_column(a), b) if a.ndim == 1 else (a, without_last(b))
    return a, b


def line_up_weights(values: Tensor, sample_weight: ArrayLike) -> tuple[Tensor, Tensor]:
    """Values of samples and their weights, in shapes that broadcast as they should.

    Raises:
        ShapeError: when there is not one weight per sample.

    Example:
        >>> values, weights = functional.ones((2, 3)), [1.0, 2.0]
        >>> line_up_weights(values, weights)[1].shape
        (2, 1)
    """
    weights = functional.astype(functional.asarray(sample_weight), values.dtype)
    values, weights = same_rank(values, weights)
    if weights.shape != values.shape[: weights.ndim]:
        raise ShapeError(
            "there must be one weight per sample",
            where="sample_weight",
            got=weights.shape,
            expected=values.shape[:1],
        )
    trailing = (1,) * (values.ndim - weights.ndim)
    return values, functional.reshape(weights, (*weights.shape, *trailing))


def skip_masked(
    values: Tensor, mask: Tensor, counted: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Values of steps, 0 where the mask leaves them out, and which of them count.

    Args:
        values: one for each step of each sample.
        mask: that of the predictions.
        counted: which of the values count anyway; None for all.

    Raises:
        ShapeError: when there is not one value for each step.

    Example:
        >>> mask = functional.asarray([[True, False]])
        >>> values, counted = skip_masked(functional.ones((1, 2)), mask)
        >>> values.tolist(), counted.tolist()
        ([[1.0, 0.0]], [[True, False]])
    """
    if mask.shape != values.shape[: mask.ndim]:
        raise ShapeError(
            "the predictions have a mask of steps, and the loss is not one of steps",
            where="loss",
            got=f"a mask {mask.shape}, losses {values.shape}",
            expected=mask.shape,
            fix="predictions (samples, steps, numbers), with labels of that shape or "
            "(samples, steps) for class numbers",
        )
    trailing = (1,) * (values.ndim - mask.ndim)
    keep = functional.reshape(mask, (*mask.shape, *trailing))
    keep = functional.broadcast_to(keep, values.shape)
    if counted is not None:
        keep = functional.logical_and(keep, counted)
    return functional.where(keep, values, 0.0), keep


def _column(x: Tensor) -> Tensor:
    return functional.reshape(x, (*x.shape, 1))


def without_last(x: Tensor) -> Tensor:
    """`x` without its last axis, of length 1."""
    return functional.reshape(x, x.shape[:-1])


def mean_over(x: Tensor, axis: int = -1) -> Tensor:
    """The mean along `axis`; a plain row holds one number per sample already."""
    return functional.mean(x, axis=axis) if x.ndim > 1 else x


def check_share(where: str, name: str, value: float) -> None:
    """Refuse an argument that should be a share.

    Raises:
        ArgumentError: when `value` is not from 0 to 1.
    """
    if not 0 <= value <= 1:
        raise ArgumentError(
            f"{name} is a share",
            where=where,
            got=f"{name}={value}",
            expected=f"0 <= {name} <= 1",
        )
