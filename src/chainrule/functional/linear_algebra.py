"""Products of matrices and what derives from them, all cases of one contraction."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainrule import ops
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.elementwise import sqrt_or_zero
from chainrule.functional.manipulation import (
    Axis,
    broadcast_to,
    moveaxis,
    reshape,
    stack,
    unstack,
)
from chainrule.functional.promotion import (
    ArrayLike,
    Tensor,
    as_value,
    promoted,
    promoted_floats,
)
from chainrule.functional.reductions import max as max_of
from chainrule.functional.reductions import min as min_of
from chainrule.functional.reductions import sum as sum_of
from chainrule.ir.dtype import DTypeLike
from chainrule.ir.spec import broadcast_shapes, normalize_axes, normalize_axis

_NONE: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())


def matmul(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The matrix product over the last two axes, as `x1 @ x2`.

    Axes before the last two broadcast; a 1-d operand is a row on the left and a column
    on the right, and its axis disappears.

    Raises:
        ShapeError: when the inner lengths differ, or an operand is 0-d.

    Example:
        >>> matmul([[1, 2], [3, 4]], [1, 1]).tolist()
        [3, 7]
    """
    a, b = promoted(x1, x2)
    _check_product(a, b)
    row, column = a.spec.ndim == 1, b.spec.ndim == 1
    if row or column:
        # the vector's axis is contracted, so nothing of it is left to be dropped
        inner = (0 if column else b.spec.ndim - 2,)
        return ops.contract(a, b, sums=((a.spec.ndim - 1,), inner), batch=_NONE)
    if b.spec.ndim == 2:
        return ops.contract(a, b, sums=((a.spec.ndim - 1,), (0,)), batch=_NONE)
    return _batched_product(a, b)


def _check_product(a: Tensor, b: Tensor) -> None:
    if a.spec.ndim == 0 or b.spec.ndim == 0:
        raise ShapeError(
            "a matrix product needs at least one axis on either side",
            where="matmul",
            got=f"{a.spec} @ {b.spec}",
            fix="multiply by a number with *",
        )
    inner = b.spec.shape[-2] if b.spec.ndim > 1 else b.spec.shape[0]
    if a.spec.shape[-1] != inner:
        raise ShapeError(
            f"the inner lengths differ: {a.spec.shape[-1]} and {inner}",
            where="matmul",
            got=f"{a.spec} @ {b.spec}",
            expected="(..., n, k) @ (..., k, m)",
            fix="transpose one of them: x.mT",
        )


def _batched_product(a: Tensor, b: Tensor) -> Tensor:
    shape = broadcast_shapes(a.spec.shape[:-2], b.spec.shape[:-2], where="matmul")
    count = len(shape)
    a = broadcast_to(a, (*shape, *a.spec.shape[-2:]))
    b = broadcast_to(b, (*shape, *b.spec.shape[-2:]))
    batch = (tuple(range(count)), tuple(range(count)))
    return ops.contract(a, b, sums=((count + 1,), (count,)), batch=batch)


def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """`x` with its last two axes exchanged.

    Example:
        >>> matrix_transpose([[1, 2], [3, 4]]).tolist()
        [[1, 3], [2, 4]]
    """
    value = as_value(x)
    if value.spec.ndim < 2:
        raise ShapeError("a matrix is needed", where="matrix_transpose", got=value.spec)
    order = [*range(value.spec.ndim - 2), value.spec.ndim - 1, value.spec.ndim - 2]
    return ops.permute_dims(value, axes=tuple(order))


def tensordot(
    x1: ArrayLike,
    x2: ArrayLike,
    /,
    *,
    axes: int | tuple[Sequence[int], Sequence[int]] = 2,
) -> Tensor:
    """Sums of products over pairs of axes.

    Args:
        x1: the left operand.
        x2: the right operand.
        axes: the axes of each to sum over; a number n stands for the last n of `x1`
            with the first n of `x2`.

    Example:
        >>> tensordot([[1, 2], [3, 4]], [[1, 0], [0, 1]], axes=2).item()
        5
    """
    a, b = promoted(x1, x2)
    if isinstance(axes, int):
        if not 0 <= axes <= min(a.spec.ndim, b.spec.ndim):
            raise ArgumentError(
                "there are not as many axes", where="tensordot", got=f"axes={axes}"
            )
        left = tuple(range(a.spec.ndim - axes, a.spec.ndim))
        right = tuple(range(axes))
    else:
        left = tuple(normalize_axis(i, a.spec.ndim, "tensordot") for i in axes[0])
        right = tuple(normalize_axis(i, b.spec.ndim, "tensordot") for i in axes[1])
        if len(left) != len(right):
            raise ArgumentError(
                "both lists of axes must be equally long", where="tensordot", got=axes
            )
    return ops.contract(a, b, sums=(left, right), batch=_NONE)


def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The dot product along `axis`, a negative axis; other axes broadcast.

    Example:
        >>> vecdot([[1, 2], [3, 4]], [1, 1]).tolist()
        [3, 7]
    """
    a, b = promoted(x1, x2)
    left = moveaxis(a, axis, -1)
    right = moveaxis(b, axis, -1)
    if left.spec.shape[-1] != right.spec.shape[-1]:
        raise ShapeError(
            "both need the same length along the axis",
            where="vecdot",
            got=f"{a.spec} with {b.spec}",
        )
    return sum_of(ops.multiply(left, right), axis=-1, dtype=left.spec.dtype)


def outer(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The products of every element of one vector with every one of the other.

    Example:
        >>> outer([1, 2], [3, 4]).tolist()
        [[3, 4], [6, 8]]
    """
    a, b = promoted(x1, x2)
    if a.spec.ndim != 1 or b.spec.ndim != 1:
        raise ShapeError(
            "both have one axis", where="outer", got=f"{a.spec} with {b.spec}"
        )
    return ops.contract(a, b, sums=_NONE, batch=_NONE)


def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Tensor:
    """The diagonals of the matrices in the last two axes, `offset` to the right.

    Example:
        >>> diagonal([[1, 2], [3, 4]]).tolist()
        [1, 4]
    """
    value = as_value(x)
    if value.spec.ndim < 2:
        raise ShapeError("a matrix is needed", where="diagonal", got=value.spec)
    *batch, rows, columns = value.spec.shape
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    flat = reshape(value, (*batch, rows * columns))
    first = offset if offset >= 0 else -offset * columns
    # in row-major order a diagonal is every (columns + 1)-th element
    last = first + (length - 1) * (columns + 1) + 1 if length else 0
    return ops.slice_(
        flat,
        start=(*(0 for _ in batch), first if length else 0),
        stop=(*batch, last),
        step=(*(1 for _ in batch), columns + 1),
    )


def trace(
    x: ArrayLike, /, *, offset: int = 0, dtype: DTypeLike | None = None
) -> Tensor:
    """The sum of each diagonal.

    Example:
        >>> trace([[1, 2], [3, 4]]).item()
        5
    """
    return sum_of(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The cross product of vectors of three elements along `axis`.

    Example:
        >>> cross([1, 0, 0], [0, 1, 0]).tolist()
        [0, 0, 1]
    """
    a, b = promoted(x1, x2)
    lengths = [v.spec.shape[normalize_axis(axis, v.spec.ndim, "cross")] for v in (a, b)]
    if lengths != [3, 3]:
        raise ShapeError("vectors have three elements", where="cross", got=lengths)
    left, right = unstack(a, axis=axis), unstack(b, axis=axis)
    parts = [
        ops.subtract(ops.multiply(left[i], right[j]), ops.multiply(left[j], right[i]))
        for i, j in ((1, 2), (2, 0), (0, 1))
    ]
    return stack(parts, axis=axis)


# ---- norms ---------------------------------------------------------------------------


def vector_norm(
    x: ArrayLike,
    /,
    *,
    axis: Axis = None,
    keepdims: bool = False,
    ord: float = 2,
) -> Tensor:
    """`sum(|x|**ord) ** (1 / ord)`; the largest or smallest `|x|` for `ord` +-inf.

    `ord=0` counts the elements that differ from 0. Where a norm is 0 its gradient is 0.

    Example:
        >>> vector_norm([3.0, 4.0]).item()
        5.0
    """
    (value,) = promoted_floats(x)
    size = ops.absolute(value)
    if ord == math.inf:
        return max_of(size, axis, keepdims=keepdims)
    if ord == -math.inf:
        return min_of(size, axis, keepdims=keepdims)
    if ord == 0:
        nonzero = ops.cast(ops.not_equal(value, 0.0), dtype=value.spec.dtype)
        return sum_of(nonzero, axis, keepdims=keepdims)
    if ord == 1:
        return sum_of(size, axis, keepdims=keepdims)
    if ord == 2:
        return _euclidean(size, axis, keepdims)
    return _power_norm(size, axis, keepdims, ord)


def _euclidean(size: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    """The root of the sum of squares of numbers scaled to at most 1."""
    axes = normalize_axes(axis, size.spec.ndim, "vector_norm")
    if size.spec.size == 0:
        return sqrt_or_zero(sum_of(size, axis, keepdims=keepdims))
    largest = ops.stop_gradient(max_of(size, axis, keepdims=True))
    usual = ops.logical_and(ops.less(0.0, largest), ops.less(largest, math.inf))
    scale = ops.where(usual, largest, 1.0)
    ratio = ops.divide(size, scale)
    root = sqrt_or_zero(sum_of(ops.multiply(ratio, ratio), axis, keepdims=True))
    norm = ops.multiply(root, scale)
    return norm if keepdims else reshape(norm, _without(norm.spec.shape, axes))


def _without(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(length for i, length in enumerate(shape) if i not in axes)


def _power_norm(size: Tensor, axis: Axis, keepdims: bool, ord: float) -> Tensor:
    # 0**p has no finite slope for p < 1, so zeros are taken out of the power
    zero = ops.equal(size, 0.0)
    filled = ops.where(zero, 1.0, size)
    powers = ops.where(
        zero, 0.0 if ord > 0 else math.inf, ops.power(filled, float(ord))
    )
    total = sum_of(powers, axis, keepdims=keepdims)
    none = ops.logical_or(ops.equal(total, 0.0), ops.equal(total, math.inf))
    root = ops.power(ops.where(none, 1.0, total), 1.0 / ord)
    edge = ops.where(
        ops.equal(total, 0.0), 0.0, total if ord > 0 else ops.divide(1.0, total)
    )
    return ops.where(none, ops.stop_gradient(edge), root)


def matrix_norm(
    x: ArrayLike, /, *, keepdims: bool = False, ord: float | str | None = "fro"
) -> Tensor:
    """A norm of the matrices in the last two axes.

    Args:
        x: the matrices.
        keepdims: whether the two axes stay, with length 1.
        ord: "fro" the root of the sum of squares; 1 and -1 the largest and smallest sum
            of a column's magnitudes; inf and -inf those of a row's.

    Raises:
        ArgumentError: for norms that need singular values.

    Example:
        >>> matrix_norm([[3.0, 0.0], [0.0, 4.0]]).item()
        5.0
    """
    (value,) = promoted_floats(x)
    if value.spec.ndim < 2:
        raise ShapeError("a matrix is needed", where="matrix_norm", got=value.spec)
    both = (-2, -1)
    if ord == "fro":
        return vector_norm(value, axis=both, keepdims=keepdims)
    if ord not in (1, -1, math.inf, -math.inf):
        raise ArgumentError(
            "norms made of singular values are left out",
            where="matrix_norm",
            got=ord,
            expected="'fro', 1, -1, inf or -inf",
        )
    within = -2 if abs(float(ord)) == 1 else -1
    sums = sum_of(ops.absolute(value), axis=within, keepdims=True)
    extreme = (max_of if float(ord) > 0 else min_of)(sums, axis=both, keepdims=True)
    shape = extreme.spec.shape
    return extreme if keepdims else reshape(extreme, shape[:-2])


__all__ = [
    "cross",
    "diagonal",
    "matmul",
    "matrix_norm",
    "matrix_transpose",
    "outer",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
