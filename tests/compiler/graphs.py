"""Random graphs whose values are small whole numbers, so that results are exact.

A tape of numbers decides every choice, so that a failing graph shrinks to a short tape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.ir import Spec, constant
from chainrule.ir.dtype import (
    DType,
    as_array,
    as_dtype,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int64,
)

Array = np.ndarray[Any, Any]
EXTENTS = (3, 1, 2, 5, 8, 17, 7, 4, 16, 33, 0, 70, 66)
DTYPES = (float32, float64, as_dtype("int32"), int8, bfloat16, float16)
MOST_ELEMENTS = 6000
LIMIT = 9  # the largest number that is kept; products of two fit in 8 bits


class Tape:
    """Choices, read one after the other; behind its end the first is taken."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = iter(numbers)
        self.left = len(numbers)

    def number(self, count: int) -> int:
        """A number below `count`."""
        self.left -= 1
        return next(self._numbers, 0) % count

    def choose(self, options: Sequence[Any]) -> Any:
        """One of the options."""
        return options[self.number(len(options))]

    def subset(self, options: Sequence[Any]) -> list[Any]:
        """Some of the options, maybe none."""
        return [option for option in options if self.number(2)]

    def order(self, count: int) -> tuple[int, ...]:
        """A permutation."""
        left = list(range(count))
        return tuple(left.pop(self.number(len(left))) for _ in range(count))


def random_shape(tape: Tape, most: int = 3) -> tuple[int, ...]:
    """A shape of a few axes and a bounded number of elements."""
    shape: tuple[int, ...] = ()
    for _ in range(tape.number(most + 1)):
        extent = tape.choose(EXTENTS)
        if math.prod(shape) * max(extent, 1) <= MOST_ELEMENTS:
            shape = (*shape, extent)
    return shape


def random_inputs(tape: Tape, dtypes: Sequence[DType] = DTYPES) -> list[Array]:
    """One to three arrays of small whole numbers."""
    random = np.random.default_rng(tape.number(1000))
    arrays = []
    for _ in range(1 + tape.number(3)):
        shape, dtype = random_shape(tape), tape.choose(dtypes)
        numbers = random.integers(-LIMIT, LIMIT + 1, shape)
        arrays.append(as_array(numbers, dtype))
    return arrays


# ---- steps ---------------------------------------------------------------------------


def bounded(x: Any) -> Any:
    """`x` cut to small numbers."""
    if x.spec.dtype is bool_:
        return x
    return ops.maximum(ops.minimum(x, LIMIT), -LIMIT)


def as_number(x: Any, dtype: DType = float32) -> Any:
    """`x` with a dtype that has arithmetic."""
    return ops.cast(x, dtype=dtype) if x.spec.dtype is bool_ else x


def alike(a: Any, b: Any) -> tuple[Any, Any]:
    """Two values with the dtype of the first, and shapes that broadcast."""
    a = as_number(a)
    b = ops.cast(b, dtype=a.spec.dtype)
    try:
        shape = np.broadcast_shapes(a.spec.shape, b.spec.shape)
    except ValueError:
        shape = ()
    too_many = math.prod(shape) > MOST_ELEMENTS
    if too_many or (not shape and a.spec.ndim and b.spec.ndim):
        b = ops.reduce_sum(b, axes=tuple(range(b.spec.ndim)))
    return a, bounded(b)


def _unary(tape: Tape, a: Any, b: Any) -> Any:
    x = as_number(a)
    choice = tape.number(7)
    if choice == 0:
        return ops.negative(x)
    if choice == 1:
        return ops.absolute(x)
    if choice == 2:
        return ops.add(x, 1)
    if choice == 3:
        return ops.multiply(x, -1)
    if choice == 4 and x.spec.dtype.is_float:
        return ops.sqrt(ops.multiply(x, x))
    if choice == 5 and x.spec.dtype.is_float:
        return ops.divide(ops.multiply(x, 3), 3)
    return ops.subtract(ops.multiply(x, x), 5)


def _binary(tape: Tape, a: Any, b: Any) -> Any:
    operation = tape.choose(
        [ops.add, ops.subtract, ops.multiply, ops.maximum, ops.minimum]
    )
    return operation(*alike(a, b))


def _compare(tape: Tape, a: Any, b: Any) -> Any:
    a, b = alike(a, b)
    if a.spec.shape != b.spec.shape:
        b = ops.add(b, ops.multiply(a, 0))
        a = ops.add(a, ops.multiply(b, 0))
    condition = tape.choose([ops.less, ops.equal, ops.less_equal])(a, b)
    return ops.where(condition, a, b) if tape.number(2) else condition


def _cast(tape: Tape, a: Any, b: Any) -> Any:
    return ops.cast(a, dtype=tape.choose([*DTYPES, bool_]))


def _reshape(tape: Tape, a: Any, b: Any) -> Any:
    size, shape = a.spec.size, []
    if not size:
        return ops.reshape(a, shape=(tape.number(3), 0))
    for _ in range(tape.number(3)):
        divisors = [n for n in range(1, size + 1) if size % n == 0]
        shape.append(tape.choose(divisors))
        size //= shape[-1]
    return ops.reshape(a, shape=(*shape, size))


def _permute(tape: Tape, a: Any, b: Any) -> Any:
    return ops.permute_dims(a, axes=tape.order(a.spec.ndim))


def _flip(tape: Tape, a: Any, b: Any) -> Any:
    return ops.flip(a, axes=tuple(tape.subset(range(a.spec.ndim))))


def _slice(tape: Tape, a: Any, b: Any) -> Any:
    starts = [tape.number(min(n, 3) + 1) for n in a.spec.shape]
    stops = [
        max(start, n - tape.number(3))
        for start, n in zip(starts, a.spec.shape, strict=True)
    ]
    steps = [1 + tape.number(3) for _ in starts]
    return ops.slice_(a, start=tuple(starts), stop=tuple(stops), step=tuple(steps))


def _pad(tape: Tape, a: Any, b: Any) -> Any:
    a = as_number(a)
    if a.spec.size > MOST_ELEMENTS // 4:
        return a
    widths = [
        tuple(tape.choose((0, 1, 0, 3)) for _ in a.spec.shape) for _ in ("low", "high")
    ]
    interior = tuple(tape.choose((0, 0, 1)) for _ in a.spec.shape)
    fill = constant(4, dtype=a.spec.dtype)
    return ops.pad(a, fill, low=widths[0], high=widths[1], interior=interior)


def _concatenate(tape: Tape, a: Any, b: Any) -> Any:
    if not a.spec.ndim:
        return a
    axis = tape.number(a.spec.ndim)
    b = ops.cast(b, dtype=a.spec.dtype)
    shapes = [[*x.spec.shape] for x in (a, b)]
    fits = len(shapes[0]) == len(shapes[1])
    if fits:
        for shape in shapes:
            del shape[axis]
    parts = [a, b] if fits and shapes[0] == shapes[1] else [a, ops.flip(a, axes=(0,))]
    return ops.concatenate(*parts[: 1 + tape.number(2)], a, axis=axis)


def _broadcast(tape: Tape, a: Any, b: Any) -> Any:
    shape = [tape.choose((1, 2, 5)) if n == 1 else n for n in a.spec.shape]
    if a.spec.size < MOST_ELEMENTS // 8 and tape.number(2):
        shape = [tape.choose((1, 2, 8)), *shape]
    return ops.broadcast_to(a, shape=tuple(shape))


def _reduce(tape: Tape, a: Any, b: Any) -> Any:
    x, axes = as_number(a), tuple(tape.subset(range(a.spec.ndim)))
    choice = tape.number(6)
    empty = any(a.spec.shape[axis] == 0 for axis in axes)
    if choice == 0:
        signs = ops.maximum(ops.minimum(x, 1), -1)
        return ops.reduce_prod(signs, axes=axes)
    if choice == 1 and not empty:
        return ops.reduce_max(x, axes=axes)
    if choice == 2 and not empty:
        return ops.reduce_min(x, axes=axes)
    if choice == 3:
        return ops.reduce_any(ops.cast(a, dtype=bool_), axes=axes)
    if choice == 4:
        return ops.reduce_all(ops.cast(a, dtype=bool_), axes=axes)
    return ops.reduce_sum(x, axes=axes)


def _extreme(tape: Tape, a: Any, b: Any) -> Any:
    if not a.spec.ndim or a.spec.dtype is bool_ or 0 in a.spec.shape:
        return a
    operation = tape.choose([ops.argmax, ops.argmin])
    place = operation(a, axis=tape.number(a.spec.ndim))
    return ops.cast(place, dtype=tape.choose(DTYPES))


def _contract(tape: Tape, a: Any, b: Any) -> Any:
    a = as_number(a)
    b = ops.cast(b, dtype=a.spec.dtype)
    chosen: list[list[tuple[int, int]]] = [[], []]
    free = [set(range(a.spec.ndim)), set(range(b.spec.ndim))]
    for i, n in enumerate(a.spec.shape):
        partners = [j for j in sorted(free[1]) if b.spec.shape[j] == n]
        kind = tape.number(3)
        if partners and kind < 2:
            j = tape.choose(partners)
            chosen[kind].append((i, j))
            free[0].discard(i)
            free[1].discard(j)
    size = math.prod(a.spec.shape) * math.prod(b.spec.shape[j] for j in free[1])
    if size > 20 * MOST_ELEMENTS:
        return a
    pairs = [tape_order(tape, part) for part in chosen]
    sums, batch = (
        tuple(tuple(pair[side] for pair in part) for side in (0, 1)) for part in pairs
    )
    result = ops.contract(a, b, sums=sums, batch=batch)
    return (
        result
        if result.spec.size <= MOST_ELEMENTS
        else ops.reduce_sum(result, axes=tuple(range(result.spec.ndim)))
    )


def tape_order(tape: Tape, items: Sequence[Any]) -> list[Any]:
    """The items in another order."""
    return [items[place] for place in tape.order(len(items))]


def _positions(tape: Tape, b: Any, shape: tuple[int, ...], length: int) -> Any:
    """Indices into an axis: constants, or computed from `b`."""
    if tape.number(2) and b.spec.dtype is not bool_:
        total = ops.reduce_sum(b, axes=tuple(range(b.spec.ndim)))
        base = ops.broadcast_to(ops.cast(total, dtype=int64), shape=shape)
        for axis in range(len(shape)):
            base = ops.add(base, ops.iota(shape=shape, axis=axis, dtype=int64))
        return ops.subtract(ops.remainder(base, length), tape.number(2) * length)
    random = np.random.default_rng(tape.number(100))
    return constant(random.integers(-length, length, shape))


def _take(tape: Tape, a: Any, b: Any) -> Any:
    if not a.spec.ndim or 0 in a.spec.shape or a.spec.size > MOST_ELEMENTS // 4:
        return a
    axis = tape.number(a.spec.ndim)
    length = a.spec.shape[axis]
    if tape.number(2):
        shape = (*a.spec.shape[:axis], 1 + tape.number(4), *a.spec.shape[axis + 1 :])
        return ops.take_along_axis(a, _positions(tape, b, shape, length), axis=axis)
    shape = tape.choose(((), (3,), (2, 2), (0,)))
    return ops.take(a, _positions(tape, b, shape, length), axis=axis)


def _scatter(tape: Tape, a: Any, b: Any) -> Any:
    a = as_number(a)
    if not a.spec.ndim or 0 in a.spec.shape or a.spec.size > MOST_ELEMENTS // 4:
        return a
    axis = tape.number(a.spec.ndim)
    indices = _positions(tape, b, (tape.choose((1, 3, 20)),), a.spec.shape[axis])
    updates = bounded(ops.multiply(ops.take(a, indices, axis=axis), 2))
    return ops.scatter_add(a, indices, updates, axis=axis)


def _lines(tape: Tape, a: Any, b: Any) -> Any:
    a = as_number(a)
    if not a.spec.ndim:
        return a
    axis = tape.number(a.spec.ndim)
    if tape.number(2):
        return ops.cumulative_sum(a, axis=axis)
    order = ops.argsort(a, axis=axis, descending=bool(tape.number(2)))
    return ops.cast(order, dtype=a.spec.dtype)


def _create(tape: Tape, a: Any, b: Any) -> Any:
    shape = random_shape(tape)
    if not shape:
        return constant(np.asarray(tape.number(5), np.float32))
    if tape.number(2):
        return ops.iota(shape=shape, axis=tape.number(len(shape)), dtype=float32)
    key = constant(np.array([1, tape.number(9)], np.uint32))
    bits = ops.random_bits(key, shape=shape)
    return ops.cast(ops.remainder(bits, 8), dtype=float64)


STEPS: tuple[Callable[[Tape, Any, Any], Any], ...] = (
    _binary,
    _unary,
    _reduce,
    _reshape,
    _permute,
    _contract,
    _binary,
    _broadcast,
    _slice,
    _flip,
    _pad,
    _concatenate,
    _compare,
    _cast,
    _extreme,
    _take,
    _scatter,
    _lines,
    _create,
)
# whose gradients are of whole numbers, too
SMOOTH = (
    _binary,
    _reduce,
    _reshape,
    _permute,
    _contract,
    _broadcast,
    _slice,
    _flip,
    _pad,
    _concatenate,
    _take,
    _scatter,
)


def grow(
    tape: Tape, values: list[Any], steps: Sequence[Callable[..., Any]] = STEPS
) -> list[Any]:
    """Append values computed from `values` until the tape is at its end."""
    while tape.left > 0 and len(values) < 40:
        step = tape.choose(steps)
        a, b = (values[-1 - tape.number(len(values))] for _ in range(2))
        made = step(tape, a, b)
        if made is not a:
            values.append(bounded(made))
    return values


def some(tape: Tape, values: Sequence[Any]) -> list[Any]:
    """Some of the values, the last among them, maybe one twice."""
    count = tape.number(5)
    return [values[-1], *(tape.choose(values) for _ in range(count))]


def spec_of(array: Array) -> Spec:
    """The spec of an array."""
    return Spec(array.shape, as_dtype(array.dtype))
