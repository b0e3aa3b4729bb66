"""Sums, products, extremes, truth over axes; means and spreads; cumulative forms."""

from __future__ import annotations

from collections.abc import Callable

from chainrule import ops
from chainrule.errors import ShapeError
from chainrule.functional.elementwise import sqrt_or_zero
from chainrule.functional.logic import as_truth
from chainrule.functional.manipulation import Axis, broadcast_to, reshape, take_slice
from chainrule.functional.promotion import (
    ArrayLike,
    Tensor,
    as_value,
    converted,
    widely,
)
from chainrule.ir.dtype import (
    DEFAULT_FLOAT,
    DType,
    DTypeLike,
    as_dtype,
    int64,
    uint64,
)
from chainrule.ir.spec import normalize_axes, normalize_axis
from chainrule.ops.reduce import kept_shape


def _reduced(
    operation: ops.Operation, value: Tensor, axis: Axis, keepdims: bool
) -> Tensor:
    name = operation.primitive.name
    axes = normalize_axes(axis, value.spec.ndim, name)
    result = operation(value, axes=axes)
    if not keepdims:
        return result
    return reshape(result, kept_shape(value.spec.shape, axes))


def _accumulator(value: Tensor, dtype: DTypeLike | None) -> DType:
    """The dtype in which many numbers are combined: the widest of an integer's kind."""
    if dtype is not None:
        return as_dtype(dtype)
    own: DType = value.spec.dtype
    if own.is_float:
        return own
    return uint64 if own.kind == "u" else int64


def sum(
    x: ArrayLike,
    /,
    axis: Axis = None,
    *,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
) -> Tensor:
    """The sum over `axis`; None means every axis.

    Args:
        x: the numbers; booleans count as 0 and 1.
        axis: an axis, a tuple of axes, or None.
        dtype: of the sum; integers are summed in 64 bits unless it says otherwise.
        keepdims: whether reduced axes stay, with length 1.

    Example:
        >>> sum([[1, 2], [3, 4]], axis=0).tolist()
        [4, 6]
    """
    value = as_value(x)
    wide = converted(value, _accumulator(value, dtype))
    return _reduced(ops.reduce_sum, wide, axis, keepdims)


def prod(
    x: ArrayLike,
    /,
    axis: Axis = None,
    *,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
) -> Tensor:
    """The product over `axis`; its gradient is exact where elements are 0.

    Example:
        >>> prod([2, 3, 4]).item()
        24
    """
    value = as_value(x)
    wide = converted(value, _accumulator(value, dtype))
    return _reduced(ops.reduce_prod, wide, axis, keepdims)


def max(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The largest element over `axis`; not-a-number wins.

    Elements that tie share the gradient equally.

    Example:
        >>> max([[1, 5], [7, 2]], axis=1).tolist()
        [5, 7]
    """
    return _reduced(ops.reduce_max, as_value(x), axis, keepdims)


def min(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The smallest element over `axis`; not-a-number wins.

    Elements that tie share the gradient equally.

    Example:
        >>> min([[1, 5], [7, 2]], axis=1).tolist()
        [1, 2]
    """
    return _reduced(ops.reduce_min, as_value(x), axis, keepdims)


def any(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Whether an element differs from 0.

    Example:
        >>> any([[0, 1], [0, 0]], axis=1).tolist()
        [True, False]
    """
    return _reduced(ops.reduce_any, as_truth(x), axis, keepdims)


def all(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Whether every element differs from 0.

    Example:
        >>> all([[1, 1], [1, 0]], axis=1).tolist()
        [True, False]
    """
    return _reduced(ops.reduce_all, as_truth(x), axis, keepdims)


def count_nonzero(
    x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False
) -> Tensor:
    """How many elements differ from 0, as int64.

    Example:
        >>> count_nonzero([3, 0, 5]).item()
        2
    """
    return sum(as_truth(x), axis, keepdims=keepdims)


# ---- statistics ----------------------------------------------------------------------


def _as_float(x: ArrayLike) -> Tensor:
    value = as_value(x)
    return value if value.spec.dtype.is_float else converted(value, DEFAULT_FLOAT)


def _count(value: Tensor, axis: Axis) -> int:
    count = 1
    for place in normalize_axes(axis, value.spec.ndim):
        count *= value.spec.shape[place]
    return count


@widely
def mean(x: ArrayLike, /, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """The mean over `axis`; of integers and booleans as float32.

    Example:
        >>> mean([True, False, True, True]).item()
        0.75
    """
    value = _as_float(x)
    total = _reduced(ops.reduce_sum, value, axis, keepdims)
    return ops.divide(total, float(_count(value, axis)))


@widely
def var(
    x: ArrayLike,
    /,
    axis: Axis = None,
    *,
    correction: float = 0.0,
    keepdims: bool = False,
) -> Tensor:
    """The variance, `sum((x - mean(x))**2) / (n - correction)`, in two passes.

    Args:
        x: the numbers.
        axis: an axis, a tuple of axes, or None.
        correction: 1 gives the unbiased estimate from a sample.
        keepdims: whether reduced axes stay, with length 1.

    Example:
        >>> var([1.0, 3.0]).item(), var([1.0, 3.0], correction=1).item()
        (1.0, 2.0)
    """
    value = _as_float(x)
    centred = ops.subtract(value, mean(value, axis, keepdims=True))
    total = _reduced(ops.reduce_sum, ops.multiply(centred, centred), axis, keepdims)
    free = _count(value, axis) - correction
    return ops.divide(total, float(free) if free > 0 else 0.0)


@widely
def std(
    x: ArrayLike,
    /,
    axis: Axis = None,
    *,
    correction: float = 0.0,
    keepdims: bool = False,
) -> Tensor:
    """The standard deviation, the root of `var`; where it is 0 its gradient is 0.

    Example:
        >>> std([1.0, 3.0]).item()
        1.0
    """
    return sqrt_or_zero(var(x, axis, correction=correction, keepdims=keepdims))


# ---- cumulative ----------------------------------------------------------------------


def _cumulative(
    x: ArrayLike,
    axis: int | None,
    dtype: DTypeLike | None,
    include_initial: bool,
    combine: Callable[[Tensor, int], Tensor],
    initial: int,
) -> Tensor:
    value = as_value(x)
    if axis is None:
        if value.spec.ndim != 1:
            raise ShapeError(
                "an axis is needed for more than one axis",
                got=value.spec,
                fix="axis=-1",
            )
        axis = 0
    place = normalize_axis(axis, value.spec.ndim)
    wide = converted(value, _accumulator(value, dtype))
    result = combine(wide, place)
    if not include_initial:
        return result
    shape = list(result.spec.shape)
    shape[place] = 1
    first = broadcast_to(converted(initial, result.spec.dtype), shape)
    return ops.concatenate(first, result, axis=place)


def cumulative_sum(
    x: ArrayLike,
    /,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Tensor:
    """Sums of the elements up to each one along `axis`; 1-d input needs no axis.

    With `include_initial` a leading 0 is put in front.

    Example:
        >>> cumulative_sum([1, 2, 3], include_initial=True).tolist()
        [0, 1, 3, 6]
    """

    def combine(value: Tensor, place: int) -> Tensor:
        return ops.cumulative_sum(value, axis=place)

    return _cumulative(x, axis, dtype, include_initial, combine, 0)


def cumulative_prod(
    x: ArrayLike,
    /,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Tensor:
    """Products of the elements up to each one along `axis`.

    Example:
        >>> cumulative_prod([1, 2, 3, 4]).tolist()
        [1, 2, 6, 24]
    """
    return _cumulative(x, axis, dtype, include_initial, _products, 1)


def _products(value: Tensor, axis: int) -> Tensor:
    # doubling: after each step an element holds the product of twice as many
    distance = 1
    while distance < value.spec.shape[axis]:
        value = ops.multiply(value, ops.shift(value, axis, distance, 1))
        distance *= 2
    return value


def diff(
    x: ArrayLike,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Tensor:
    """Differences of neighbours along `axis`, `n` times over.

    Example:
        >>> diff([1, 4, 9]).tolist()
        [3, 5]
    """
    value = as_value(x)
    place = normalize_axis(axis, value.spec.ndim, "diff")
    parts = [
        converted(part, value.spec.dtype)
        for part in (prepend, append)
        if part is not None
    ]
    if prepend is not None:
        value = ops.concatenate(parts[0], value, axis=place)
    if append is not None:
        value = ops.concatenate(value, parts[-1], axis=place)
    for _ in range(n):
        length = value.spec.shape[place]
        later = take_slice(value, place, 1 if length else 0, length)
        sooner = take_slice(value, place, 0, length - 1 if length else 0)
        truth = value.spec.dtype.is_bool
        value = (ops.logical_xor if truth else ops.subtract)(later, sooner)
    return value
