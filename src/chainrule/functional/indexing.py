"""NumPy's indexing, basic and advanced, as slices and takes; updates by `x.at[...]`.

An index is read in two stages. The basic one is a strided slice, flips for negative
steps, and new axes. The advanced one gathers what integer arrays name: their axes are
brought together and made one, so that a single `take` does it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import ArgumentError, DTypeError, OutOfBoundsError, ShapeError
from chainrule.functional.manipulation import broadcast_to, reshape, take_slice
from chainrule.functional.promotion import (
    ArrayLike,
    Tensor,
    as_value,
    concrete,
    converted,
)
from chainrule.ir.dtype import int64, uint8
from chainrule.ir.spec import Shape, broadcast_shapes, normalize_axis
from chainrule.ir.trace import constant
from chainrule.ir.value import Value

_MASK_FIX = "choose with a fixed shape: chainrule.where(mask, x, 0)"


@dataclass
class _Plan:
    """How an index reads a tensor.

    Attributes:
        start, stop, step: the strided slice, on every axis of the tensor.
        flips: axes that are read backwards.
        shape: the shape after slicing, dropping and adding axes.
        advanced: integer arrays by the axis of `shape` that they index.
        together: whether the arrays stand side by side in the index, so that the axes
            they make stay in their place; else these come first.
    """

    start: list[int] = field(default_factory=list)
    stop: list[int] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    flips: list[int] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)
    advanced: dict[int, Tensor] = field(default_factory=dict)
    together: bool = True

    def read(self, start: int, stop: int, step: int = 1) -> None:
        """Read `start, start + step, ...` before `stop` of the next axis."""
        if step < 0:
            places = range(start, stop, step)
            self.flips.append(len(self.start))
            start, stop = (places[-1], places[0] + 1) if places else (0, 0)
        self.start.append(start)
        self.stop.append(max(stop, start))
        self.step.append(abs(step))


def _is_index_array(part: Any) -> bool:
    if isinstance(part, (bool, np.bool_, list, np.ndarray)):
        return True
    return isinstance(part, Value)


def _expand(key: Any, ndim: int) -> list[Any]:
    """The parts of an index, with booleans as integer arrays and the ellipsis kept."""
    parts: list[Any] = []
    for part in key if isinstance(key, tuple) else (key,):
        parts.extend(_normalized(part))
    consumed = sum(1 for part in parts if part is not None and part is not Ellipsis)
    consumed -= sum(1 for part in parts if isinstance(part, _Scalar))
    ellipses = sum(1 for part in parts if part is Ellipsis)
    if ellipses > 1:
        raise ArgumentError("an index has a single ellipsis", where="index", got=key)
    if consumed > ndim:
        raise OutOfBoundsError(
            "the index has more parts than the tensor has axes",
            where="index",
            got=f"{consumed} parts",
            expected=f"at most {ndim}",
        )
    return parts if ellipses else [*parts, Ellipsis]


class _Scalar:
    """A single truth value as an index: it adds an axis of length 1 or 0."""

    def __init__(self, truth: bool) -> None:
        self.places = constant(np.zeros(int(truth), np.int64))


class _Mask:
    """One axis of a boolean mask, as the positions where it holds."""

    def __init__(self, places: np.ndarray[Any, Any], length: int) -> None:
        self.places = constant(places)
        self.length = length


def _normalized(part: Any) -> list[Any]:
    if part is None or part is Ellipsis or isinstance(part, slice):
        return [part]
    if not _is_index_array(part):
        return [_integer(part)]
    empty = isinstance(part, list) and not part
    value = constant(np.zeros(0, np.int64)) if empty else as_value(part)
    if value.spec.dtype.is_bool:
        mask = concrete(value, "index", _MASK_FIX)
        if mask.ndim == 0:
            return [_Scalar(bool(mask))]
        pairs = zip(np.nonzero(mask), mask.shape, strict=True)
        return [_Mask(places, length) for places, length in pairs]
    if not value.spec.dtype.is_integer:
        raise DTypeError(
            "an index is made of integers or booleans",
            where="index",
            got=value.spec,
            fix="cast it: x[chainrule.astype(index, 'int64')]",
        )
    if value.spec.ndim == 0 and value.data is not None:
        return [int(value.data)]
    return [value]


def _integer(part: Any) -> int:
    try:
        return int(part.__index__())
    except AttributeError:
        raise ArgumentError(
            "an index is made of integers, slices, None, ..., and arrays",
            where="index",
            got=f"{part!r} of type {type(part).__name__}",
        ) from None


def _plan(shape: Shape, key: Any) -> _Plan:
    """Read `key` as an index of a tensor of `shape`."""
    parts = _expand(key, len(shape))
    has_arrays = any(isinstance(p, (Value, _Mask, _Scalar)) for p in parts)
    taken = sum(1 for p in parts if p is not None and p is not Ellipsis)
    taken -= sum(1 for p in parts if isinstance(p, _Scalar))
    plan, axis = _Plan(), 0
    for part in parts:
        if part is Ellipsis:
            for _ in range(len(shape) - taken):
                _read_slice(plan, slice(None), shape[axis])
                axis += 1
        elif part is None:
            plan.shape.append(1)
        elif isinstance(part, _Scalar):
            plan.advanced[len(plan.shape)] = part.places
            plan.shape.append(1)
        else:
            _read_part(plan, part, shape[axis], axis, has_arrays)
            axis += 1
    plan.together = _together(parts, has_arrays)
    return plan


def _together(parts: Sequence[Any], has_arrays: bool) -> bool:
    """Whether no slice, ellipsis or None stands between the array parts."""
    flags = [
        isinstance(p, (Value, _Mask, _Scalar)) or (has_arrays and isinstance(p, int))
        for p in parts
    ]
    places = [i for i, flag in enumerate(flags) if flag]
    return not places or len(places) == places[-1] - places[0] + 1


def _read_part(
    plan: _Plan, part: Any, length: int, axis: int, has_arrays: bool
) -> None:
    if isinstance(part, slice):
        _read_slice(plan, part, length)
    elif isinstance(part, int):
        _check_bounds(np.asarray(part), length, axis)
        place = part % length
        if has_arrays:
            # beside arrays an integer is one of them, which decides where axes go
            plan.advanced[len(plan.shape)] = constant(np.int64(0))
            plan.shape.append(1)
        plan.read(place, place + 1)
    elif isinstance(part, _Mask):
        if part.length != length:
            raise ShapeError(
                "the mask does not have the shape of what it indexes",
                where="index",
                got=f"length {part.length} on axis {axis}",
                expected=f"length {length}",
            )
        _read_array(plan, part.places, length)
    else:
        if part.data is not None:
            _check_bounds(part.data, length, axis)
        _read_array(plan, part, length)


def _read_array(plan: _Plan, indices: Tensor, length: int) -> None:
    plan.advanced[len(plan.shape)] = indices
    plan.shape.append(length)
    plan.read(0, length)


def _read_slice(plan: _Plan, part: slice, length: int) -> None:
    start, stop, step = part.indices(length)
    plan.read(start, stop, step)
    plan.shape.append(len(range(start, stop, step)))


def _check_bounds(indices: np.ndarray[Any, Any], length: int, axis: int) -> None:
    wrong = indices[(indices < -length) | (indices >= length)]
    if wrong.size:
        raise OutOfBoundsError(
            f"an index points outside axis {axis}",
            where="index",
            got=int(wrong.flat[0]),
            expected=f"-{length} to {length - 1}"
            if length
            else "none: the axis is empty",
        )


# ---- reading -------------------------------------------------------------------------


def index(x: ArrayLike, key: Any, /) -> Tensor:
    """`x[key]`, as in NumPy.

    Args:
        x: the tensor.
        key: integers, slices, `...`, `None`, boolean masks and integer arrays, or a
            tuple of these.

    Raises:
        OutOfBoundsError: for an index outside its axis.
        TraceError: for a traced boolean mask, which would give an unknown shape.

    Example:
        >>> index([[1, 2, 3], [4, 5, 6]], (..., slice(None, None, -2))).tolist()
        [[3, 1], [6, 4]]
    """
    value = as_value(x)
    plan = _plan(value.spec.shape, key)
    return _gather(_basic(value, plan), plan)


def _basic(value: Tensor, plan: _Plan) -> Tensor:
    start, stop, step = (tuple(part) for part in (plan.start, plan.stop, plan.step))
    if (stop, *start) != (value.spec.shape, *(0,) * len(start)) or set(step) - {1}:
        value = ops.slice_(value, start=start, stop=stop, step=step)
    if plan.flips:
        value = ops.flip(value, axes=tuple(plan.flips))
    return reshape(value, plan.shape)


def _gather(value: Tensor, plan: _Plan) -> Tensor:
    if not plan.advanced:
        return value
    axes = tuple(plan.advanced)
    if len(axes) == 1:
        # alone an array's axes take the place of the one it indexes
        return ops.take(value, plan.advanced[axes[0]], axis=axes[0])
    lengths = [value.spec.shape[axis] for axis in axes]
    flat = _flat_index(list(plan.advanced.values()), lengths)
    place = axes[0] if plan.together else 0
    rest = [axis for axis in range(value.spec.ndim) if axis not in axes]
    order = (*rest[:place], *axes, *rest[place:])
    moved = value if order == tuple(range(value.spec.ndim)) else _permuted(value, order)
    shape = moved.spec.shape
    joined = (*shape[:place], math.prod(lengths), *shape[place + len(axes) :])
    return ops.take(reshape(moved, joined), flat, axis=place)


def _permuted(value: Tensor, order: Sequence[int]) -> Tensor:
    return ops.permute_dims(value, axes=tuple(order))


def _flat_index(arrays: Sequence[Tensor], lengths: Sequence[int]) -> Tensor:
    """The row-major position on the joined axes that the arrays name together."""
    shape = broadcast_shapes(*[a.spec.shape for a in arrays], where="index")
    total: Tensor = constant(0, dtype=int64)
    inside: Tensor = constant(True)
    stride = math.prod(lengths)
    for array, length in zip(arrays, lengths, strict=True):
        stride = stride // length if length else 0
        wide = ops.cast(array, dtype=int64)
        positive = ops.where(ops.less(wide, 0), ops.add(wide, length), wide)
        total = ops.add(total, ops.multiply(positive, stride))
        if array.data is None:
            low, high = ops.less_equal(0, positive), ops.less(positive, length)
            inside = ops.logical_and(inside, ops.logical_and(low, high))
    if inside.data is None:
        # on the joined axis a wrong index might look right: keep it wrong
        total = ops.where(inside, total, math.prod(lengths))
    return broadcast_to(total, shape)


# ---- functions of the standard -------------------------------------------------------


def take(x: ArrayLike, indices: ArrayLike, /, *, axis: int | None = None) -> Tensor:
    """The elements of `x` at `indices` along `axis`; 1-d input needs no axis.

    Example:
        >>> take([10, 20, 30], [2, 0]).tolist()
        [30, 10]
    """
    value = as_value(x)
    if axis is None:
        if value.spec.ndim != 1:
            raise ShapeError(
                "an axis is needed for more than one axis",
                where="take",
                got=value.spec,
                fix="take(x, indices, axis=0)",
            )
        axis = 0
    place = normalize_axis(axis, value.spec.ndim, "take")
    return ops.take(value, as_value(indices), axis=place)


def take_along_axis(x: ArrayLike, indices: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The element of each row along `axis` that `indices` names.

    `indices` has the shape of `x` but for `axis`; other axes broadcast.

    Example:
        >>> take_along_axis([[1, 2], [3, 4]], [[1], [0]]).tolist()
        [[2], [3]]
    """
    value, places = as_value(x), as_value(indices)
    axis = normalize_axis(axis, value.spec.ndim, "take_along_axis")
    if places.spec.ndim != value.spec.ndim:
        raise ShapeError(
            "indices have as many axes as x",
            where="take_along_axis",
            got=f"{places.spec} for {value.spec}",
        )
    left, right = list(value.spec.shape), list(places.spec.shape)
    lengths = left[axis], right[axis]
    left[axis] = right[axis] = 1
    shape = list(broadcast_shapes(tuple(left), tuple(right), where="take_along_axis"))
    shape[axis] = lengths[0]
    value = broadcast_to(value, shape)
    shape[axis] = lengths[1]
    return ops.take_along_axis(value, broadcast_to(places, shape), axis=axis)


# ---- updates -------------------------------------------------------------------------


class At:
    """`x.at[index]`: new tensors that differ from `x` where the index points.

    `x.at[index].set(values)` is what `x[index] = values` would make of a copy. `add`
    and `subtract` count every time that an index names a place; the others update a
    place once, with the last of the values given for it.

    Example:
        >>> import chainrule
        >>> x = chainrule.zeros(4)
        >>> x.at[1:3].set(7).tolist(), x.at[[0, 0]].add(1).tolist()
        ([0.0, 7.0, 7.0, 0.0], [2.0, 0.0, 0.0, 0.0])
    """

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __getitem__(self, key: Any) -> AtIndex:
        return AtIndex(self._x, key)


class AtIndex:
    """One place of a tensor, ready to be updated; see `At`."""

    def __init__(self, x: Tensor, key: Any) -> None:
        self._x = x
        self._key = key

    def get(self) -> Tensor:
        """The elements there."""
        return index(self._x, self._key)

    def set(self, values: ArrayLike, /) -> Tensor:
        """`values` there."""
        return self._updated(lambda old, new: new, values)

    def add(self, values: ArrayLike, /) -> Tensor:
        """The sum of the elements there and `values`."""
        return _accumulated(self._x, self._key, converted(values, self._x.spec.dtype))

    def subtract(self, values: ArrayLike, /) -> Tensor:
        """The elements there less `values`."""
        return self.add(ops.negative(converted(values, self._x.spec.dtype)))

    def multiply(self, values: ArrayLike, /) -> Tensor:
        """The elements there times `values`."""
        return self._updated(ops.multiply, values)

    def divide(self, values: ArrayLike, /) -> Tensor:
        """The elements there divided by `values`."""
        return self._updated(ops.divide, values)

    def minimum(self, values: ArrayLike, /) -> Tensor:
        """The smaller of the elements there and `values`."""
        return self._updated(ops.minimum, values)

    def maximum(self, values: ArrayLike, /) -> Tensor:
        """The larger of the elements there and `values`."""
        return self._updated(ops.maximum, values)

    def _updated(self, combine: Callable[[Any, Any], Any], values: ArrayLike) -> Tensor:
        given = converted(values, self._x.spec.dtype)
        new = combine(self.get(), given)
        plan = _plan(self._x.spec.shape, self._key)
        if plan.advanced:
            return _scattered(self._x, self._key, new)
        return _pasted(self._x, plan, new)


def _fitted(values: Tensor, shape: Shape) -> Tensor:
    """`values` broadcast to the shape of what an index reads."""
    extra = values.spec.ndim - len(shape)
    if extra > 0 and set(values.spec.shape[:extra]) == {1}:
        values = reshape(values, values.spec.shape[extra:])
    return broadcast_to(values, shape)


def _pasted(x: Tensor, plan: _Plan, values: Tensor) -> Tensor:
    """`x` with `values` where a slice reads: padded to the shape of `x`, and chosen."""
    fitted = _fitted(values, tuple(plan.shape))
    bounds = zip(plan.start, plan.stop, plan.step, strict=True)
    lengths = tuple(len(range(*bound)) for bound in bounds)
    patch = reshape(fitted, lengths)
    if plan.flips:
        patch = ops.flip(patch, axes=tuple(plan.flips))
    widths = _widths(plan, lengths, x.spec.shape)
    inside = ops.pad(constant(np.ones(lengths, np.bool_)), constant(False), **widths)
    return ops.where(inside, ops.pad(patch, converted(0, x.spec.dtype), **widths), x)


def _widths(plan: _Plan, lengths: Shape, shape: Shape) -> dict[str, Shape]:
    """The padding that puts a patch of `lengths` where the plan's slice reads."""
    high = []
    for n, start, step, count in zip(
        shape, plan.start, plan.step, lengths, strict=True
    ):
        high.append(n - start - ((count - 1) * step + 1 if count else 0))
    return {
        "low": tuple(plan.start),
        "high": tuple(high),
        "interior": tuple(step - 1 for step in plan.step),
    }


def _positions(x: Tensor, key: Any) -> Tensor:
    """The row-major positions in `x` that an index reads."""
    places = np.arange(x.spec.size).reshape(x.spec.shape)
    return index(constant(places), key)


def _accumulated(x: Tensor, key: Any, values: Tensor) -> Tensor:
    places = _positions(x, key)
    fitted = _fitted(values, places.spec.shape)
    count = (places.spec.size,)
    flat = reshape(x, (x.spec.size,))
    total = ops.scatter_add(
        flat, reshape(places, count), reshape(fitted, count), axis=0
    )
    return reshape(total, x.spec.shape)


def _scattered(x: Tensor, key: Any, values: Tensor) -> Tensor:
    """`x` with `values` at positions that may repeat: the last one stays."""
    places = _positions(x, key)
    fitted = reshape(_fitted(values, places.spec.shape), (places.spec.size,))
    places = reshape(places, (places.spec.size,))
    last = _is_last(places)
    size = (x.spec.size,)
    truth = x.spec.dtype.is_bool
    numbers = ops.cast(fitted, dtype=uint8) if truth else fitted
    kept = ops.where(last, numbers, 0)
    empty = broadcast_to(converted(0, numbers.spec.dtype), size)
    written = ops.scatter_add(empty, places, kept, axis=0)
    counts = broadcast_to(constant(0, dtype=int64), size)
    hit = ops.scatter_add(counts, places, ops.cast(last, dtype=int64), axis=0)
    new = ops.cast(written, dtype=x.spec.dtype) if truth else written
    result = ops.where(ops.less(0, hit), new, reshape(x, size))
    return reshape(result, x.spec.shape)


def _is_last(places: Tensor) -> Tensor:
    """Whether no later element names the same place."""
    count = places.spec.size
    if count < 2:
        return broadcast_to(constant(True), (count,))
    order = ops.argsort(places, axis=0, descending=False)
    ordered = ops.take(places, order, axis=0)
    later = take_slice(ordered, 0, 1, count)
    sooner = take_slice(ordered, 0, 0, count - 1)
    end = constant(np.ones(1, np.bool_))
    last = ops.concatenate(ops.not_equal(sooner, later), end, axis=0)
    # the order is a permutation: sorting it gives its inverse
    inverse = ops.argsort(order, axis=0, descending=False)
    return ops.take(last, inverse, axis=0)
