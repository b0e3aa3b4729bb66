"""Choosing and finding: where, positions of extremes, sorted order, sets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chainrule import ops
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.logic import as_truth
from chainrule.functional.manipulation import broadcast_to, reshape
from chainrule.functional.promotion import (
    ArrayLike,
    Tensor,
    as_value,
    concrete,
    promoted,
)
from chainrule.functional.reductions import any as any_of
from chainrule.ir.dtype import int64
from chainrule.ir.spec import normalize_axis
from chainrule.ir.trace import constant

MASK_INSTEAD = "keep the shape and mask: chainrule.where(condition, x, 0)"


def where(condition: ArrayLike, x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1` where the condition holds, else `x2`.

    A gradient flows to the chosen operand only. An operand that is not chosen must
    still have a finite gradient, for `0 * inf` is not a number: write
    `where(x > 0, log(where(x > 0, x, 1)), 0)`, not `where(x > 0, log(x), 0)`.

    Example:
        >>> where([True, False], [1.0, 2.0], 0).tolist()
        [1.0, 0.0]
    """
    return ops.where(as_truth(condition), *promoted(x1, x2))


def argmax(
    x: ArrayLike, /, axis: int | None = None, *, keepdims: bool = False
) -> Tensor:
    """The first position of the largest element along `axis`; None counts them all.

    Example:
        >>> argmax([[1, 5, 2], [7, 0, 7]], axis=1).tolist()
        [1, 0]
    """
    return _position(ops.argmax, x, axis, keepdims)


def argmin(
    x: ArrayLike, /, axis: int | None = None, *, keepdims: bool = False
) -> Tensor:
    """The first position of the smallest element along `axis`; None counts them all.

    Example:
        >>> argmin([3, 1, 2]).item()
        1
    """
    return _position(ops.argmin, x, axis, keepdims)


def _position(
    operation: ops.Operation, x: ArrayLike, axis: int | None, keepdims: bool
) -> Tensor:
    value = as_value(x)
    shape = value.spec.shape
    if axis is None:
        result = operation(reshape(value, -1), axis=0)
        return reshape(result, (1,) * len(shape)) if keepdims else result
    place = normalize_axis(axis, len(shape), operation.primitive.name)
    result = operation(value, axis=place)
    kept = (*shape[:place], 1, *shape[place + 1 :])
    return reshape(result, kept) if keepdims else result


def argsort(
    x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """The positions that sort `x` along `axis`; equal elements keep their order.

    Not-a-number comes last. The order is stable whatever `stable` says.

    Example:
        >>> argsort([3, 1, 2]).tolist()
        [1, 2, 0]
    """
    value = as_value(x)
    if value.spec.ndim == 0:
        raise ShapeError("a 0-d tensor has no order", where="argsort", got=value.spec)
    place = normalize_axis(axis, value.spec.ndim, "argsort")
    return ops.argsort(value, axis=place, descending=descending)


def sort(
    x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """The elements in order along `axis`; a gradient goes back to where each was.

    Example:
        >>> sort([3, 1, 2], descending=True).tolist()
        [3, 2, 1]
    """
    value = as_value(x)
    order = argsort(value, axis=axis, descending=descending, stable=stable)
    place = normalize_axis(axis, value.spec.ndim, "sort")
    return ops.take_along_axis(value, order, axis=place)


class TopK(NamedTuple):
    """The largest elements, and their positions."""

    values: Tensor
    indices: Tensor


def top_k(x: ArrayLike, /, k: int, *, axis: int = -1) -> TopK:
    """The `k` largest elements along `axis`, the largest first.

    Example:
        >>> values, indices = top_k([3, 9, 5], 2)
        >>> values.tolist(), indices.tolist()
        ([9, 5], [1, 2])
    """
    value = as_value(x)
    order = argsort(value, axis=axis, descending=True)
    place = normalize_axis(axis, value.spec.ndim, "top_k")
    length = value.spec.shape[place]
    if not 0 <= k <= length:
        raise ArgumentError(
            "there are not as many elements",
            where="top_k",
            got=k,
            expected=f"<= {length}",
        )
    start, stop = [0] * value.spec.ndim, list(value.spec.shape)
    stop[place] = k
    step = (1,) * value.spec.ndim
    chosen = ops.slice_(order, start=tuple(start), stop=tuple(stop), step=step)
    return TopK(ops.take_along_axis(value, chosen, axis=place), chosen)


def searchsorted(
    x1: ArrayLike,
    x2: ArrayLike,
    /,
    *,
    side: str = "left",
    sorter: ArrayLike | None = None,
) -> Tensor:
    """Where each element of `x2` belongs in the ascending 1-d `x1`.

    Args:
        x1: numbers in ascending order, or in the order that `sorter` gives them.
        x2: the numbers to place.
        side: "left" puts an element before its equals, "right" behind them.
        sorter: positions that sort `x1`.

    Example:
        >>> searchsorted([1, 3, 5], [0, 3, 9]).tolist()
        [0, 1, 3]
    """
    if side not in ("left", "right"):
        raise ArgumentError(
            "no such side", where="searchsorted", got=side, expected="'left' or 'right'"
        )
    ordered, wanted = promoted(x1, x2)
    if ordered.spec.ndim != 1:
        raise ShapeError("x1 has one axis", where="searchsorted", got=ordered.spec)
    if sorter is not None:
        ordered = ops.take(ordered, as_value(sorter), axis=0)
    low = broadcast_to(constant(0, dtype=int64), wanted.spec.shape)
    length = ordered.spec.shape[0]
    high = broadcast_to(constant(length, dtype=int64), wanted.spec.shape)
    for _ in range(length.bit_length()):
        low, high = _halve(ordered, wanted, low, high, side)
    return low


def _halve(
    ordered: Tensor, wanted: Tensor, low: Tensor, high: Tensor, side: str
) -> tuple[Tensor, Tensor]:
    """One step of a binary search for every element at once."""
    middle = ops.floor_divide(ops.add(low, high), 2)
    last = ordered.spec.shape[0] - 1
    found = ops.take(ordered, ops.minimum(middle, last), axis=0)
    above = (
        ops.less(found, wanted)
        if side == "left"
        else ops.logical_not(ops.less(wanted, found))
    )
    open_ = ops.less(low, high)
    right = ops.logical_and(above, open_)
    left = ops.logical_and(ops.logical_not(above), open_)
    return ops.where(right, ops.add(middle, 1), low), ops.where(left, middle, high)


def isin(x1: ArrayLike, x2: ArrayLike, /, *, invert: bool = False) -> Tensor:
    """Whether each element of `x1` is among those of `x2`.

    Example:
        >>> isin([1, 2, 3], [3, 1]).tolist()
        [True, False, True]
    """
    elements, among = promoted(x1, x2)
    column = reshape(elements, (*elements.spec.shape, 1))
    found = any_of(ops.equal(column, reshape(among, -1)), axis=-1)
    return ops.logical_not(found) if invert else found


# ---- results whose shape depends on the numbers --------------------------------------


def nonzero(x: ArrayLike, /) -> tuple[Tensor, ...]:
    """The positions of elements that differ from 0, one tensor per axis.

    Raises:
        TraceError: while traced, when the number of such elements is not known.

    Example:
        >>> [axis.tolist() for axis in nonzero([[0, 1], [1, 0]])]
        [[0, 1], [1, 0]]
    """
    data = concrete(x, "nonzero", MASK_INSTEAD)
    if data.ndim == 0:
        raise ShapeError("a 0-d tensor has no positions", where="nonzero")
    return tuple(constant(axis) for axis in np.nonzero(data))


class UniqueAll(NamedTuple):
    """Distinct values, where each was first, which each element is, and how often."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """Distinct values, and how often each occurs."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """Distinct values, and which of them each element is."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: ArrayLike, /) -> UniqueAll:
    """The distinct elements in ascending order, with positions and counts.

    Each not-a-number counts as distinct from every other.

    Raises:
        TraceError: while traced, when their number is not known.

    Example:
        >>> unique_all([3, 1, 3]).counts.tolist()
        [1, 2]
    """
    data = concrete(x, "unique", MASK_INSTEAD)
    parts = np.unique(
        data,
        return_index=True,
        return_inverse=True,
        return_counts=True,
        equal_nan=False,
    )
    values, indices, inverse, counts = map(constant, parts)
    return UniqueAll(values, indices, reshape(inverse, data.shape), counts)


def unique_counts(x: ArrayLike, /) -> UniqueCounts:
    """The distinct elements in ascending order, and how often each occurs.

    Example:
        >>> unique_counts([3, 1, 3]).counts.tolist()
        [1, 2]
    """
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: ArrayLike, /) -> UniqueInverse:
    """The distinct elements in ascending order, and which of them each element is.

    Example:
        >>> unique_inverse([3, 1, 3]).inverse_indices.tolist()
        [1, 0, 1]
    """
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: ArrayLike, /) -> Tensor:
    """The distinct elements in ascending order.

    Example:
        >>> unique_values([3, 1, 3]).tolist()
        [1, 3]
    """
    return unique_all(x).values
