"""Reading and writing at positions that are data, and the order of elements.

Indices are integers; a negative one counts from the end, as in NumPy, and one outside
its axis is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import DTypeError, OutOfBoundsError, ShapeError
from chainrule.ir.dtype import ALL, FLOATS, SIGNED, UNSIGNED, int64
from chainrule.ir.primitive import Sample, Trait, per_input
from chainrule.ir.spec import Shape, Spec
from chainrule.ir.trace import constant
from chainrule.ops.create import iota
from chainrule.ops.define import Array, check_dtype, operation, same_dtype
from chainrule.ops.elementwise import add, multiply
from chainrule.ops.logic import cast, equal, less, logical_and, logical_not, where
from chainrule.ops.movement import broadcast_to, permute_dims, reshape

NUMBERS = (*SIGNED, *UNSIGNED, *FLOATS)
Params = dict[str, Any]


def _check_indices(name: str, indices: Spec) -> None:
    if not indices.dtype.is_integer:
        raise DTypeError(
            "indices must be integers",
            where=name,
            got=indices,
            fix="cast them: chainrule.astype(indices, 'int64')",
        )


def _check_bounds(name: str, indices: Array, length: int) -> None:
    if indices.size and (indices.min() < -length or indices.max() >= length):
        wrong = indices[(indices < -length) | (indices >= length)]
        raise OutOfBoundsError(
            "an index points outside its axis",
            where=name,
            got=int(wrong.flat[0]),
            expected=f"-{length} to {length - 1}",
        )


def _indices(shape: Shape, length: int) -> Array:
    return np.random.default_rng(12).integers(-length, length, shape)


# ---- take ----------------------------------------------------------------------------


def _take_spec(x: Spec, indices: Spec, axis: int) -> Spec:
    _check_indices("take", indices)
    return Spec(x.shape[:axis] + indices.shape + x.shape[axis + 1 :], x.dtype)


def _take_reference(x: Array, indices: Array, axis: int) -> Any:
    """`y[..., i, ...] = x[..., indices[i], ...]`, on `axis`."""
    _check_bounds("take", indices, x.shape[axis])
    return np.take(x, indices, axis=axis)


def _take_rule(g: Any, y: Any, x: Any, indices: Any, axis: int) -> Any:
    zeros = broadcast_to(constant(0, dtype=x.spec.dtype), shape=x.spec.shape)
    return scatter_add(zeros, indices, g, axis=axis)


def _take_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    x, indices = inputs
    axis = params["axis"]
    if not batched[1]:
        return [take(x, indices, axis=axis + 1)]
    if not batched[0]:
        result = take(x, indices, axis=axis)
        rest = [a for a in range(result.spec.ndim) if a != axis]
        return [permute_dims(result, axes=(axis, *rest))]
    # both: make example and position one axis, at the front
    order = (0, axis + 1, *(a for a in range(1, x.spec.ndim) if a != axis + 1))
    front = permute_dims(x, axes=order)
    length = front.spec.shape[1]
    rows = reshape(front, shape=(size * length, *front.spec.shape[2:]))
    flat = _rows_of_examples(indices, size, length)
    taken = take(rows, flat, axis=0)
    count = indices.spec.ndim - 1
    before = tuple(range(count + 1, count + 1 + axis))
    middle = tuple(range(1, count + 1))
    after = tuple(range(count + 1 + axis, taken.spec.ndim))
    return [permute_dims(taken, axes=(0, *before, *middle, *after))]


def _rows_of_examples(indices: Any, size: int, length: int) -> Any:
    """Positions in a table where each of `size` examples has `length` rows."""
    shape = indices.spec.shape
    wide = cast(indices, dtype=int64)
    example = iota(shape=shape, axis=0, dtype=int64)
    return add(nonnegative(wide, length), multiply(example, length))


def nonnegative(indices: Any, length: int) -> Any:
    """`indices` with negative ones counted from the front."""
    return where(less(indices, 0), add(indices, length), indices)


def _take_samples() -> Iterable[Sample]:
    random = np.random.default_rng(13)
    cases: list[tuple[Shape, Shape, int]] = [
        ((5, 3), (4,), 0),
        ((3, 5), (2, 3), 1),
        ((7,), (), 0),
        ((2, 6, 3), (0,), 1),
        ((0, 4), (3,), 1),
    ]
    for shape, index_shape, axis in cases:
        indices = np.asarray(_indices(index_shape, shape[axis]))
        yield Sample((random.normal(size=shape), indices), {"axis": axis})


take = operation(
    "take",
    spec=_take_spec,
    reference=_take_reference,
    vjp=per_input(_take_rule, None),
    dtypes=ALL,
    samples=_take_samples,
    batch=_take_batch,
    traits=[Trait.INDEXING],
)

# ---- scatter_add ---------------------------------------------------------------------


def _scatter_spec(x: Spec, indices: Spec, updates: Spec, axis: int) -> Spec:
    _check_indices("scatter_add", indices)
    check_dtype("scatter_add", same_dtype("scatter_add", (x, updates)), NUMBERS)
    expected = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
    if updates.shape != expected:
        raise ShapeError(
            "updates do not match the indices",
            where="scatter_add",
            got=updates.shape,
            expected=expected,
        )
    return x


def _scatter_reference(x: Array, indices: Array, updates: Array, axis: int) -> Array:
    """x with `updates[..., i, ...]` added at `[..., indices[i], ...]`, in order."""
    _check_bounds("scatter_add", indices, x.shape[axis])
    result = np.array(x, copy=True)
    places: Any = (slice(None),) * axis + (indices,)
    np.add.at(result, places, updates)
    return result


def _scatter_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    x, indices, updates = inputs
    axis = params["axis"]
    x = x if batched[0] else broadcast_to(x, shape=(size, *x.spec.shape))
    if not batched[2]:
        updates = broadcast_to(updates, shape=(size, *updates.spec.shape))
    if not batched[1]:
        return [scatter_add(x, indices, updates, axis=axis + 1)]
    order = (0, axis + 1, *(a for a in range(1, x.spec.ndim) if a != axis + 1))
    front = permute_dims(x, axes=order)
    length = front.spec.shape[1]
    rows = reshape(front, shape=(size * length, *front.spec.shape[2:]))
    count = indices.spec.ndim - 1
    middle = tuple(range(axis + 1, axis + 1 + count))
    others = tuple(a for a in range(1, updates.spec.ndim) if a not in middle)
    moved = permute_dims(updates, axes=(0, *middle, *others))
    flat = _rows_of_examples(indices, size, length)
    result = reshape(scatter_add(rows, flat, moved, axis=0), shape=front.spec.shape)
    inverse = tuple(order.index(a) for a in range(x.spec.ndim))
    return [permute_dims(result, axes=inverse)]


def _scatter_samples() -> Iterable[Sample]:
    random = np.random.default_rng(14)
    for sample in _take_samples():
        x, indices = sample.arrays
        axis = sample.params["axis"]
        shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
        yield Sample((x, indices, random.normal(size=shape)), sample.params)


scatter_add = operation(
    "scatter_add",
    spec=_scatter_spec,
    reference=_scatter_reference,
    vjp=per_input(
        lambda g, y, x, indices, updates, axis: g,
        None,
        lambda g, y, x, indices, updates, axis: take(g, indices, axis=axis),
    ),
    dtypes=NUMBERS,
    samples=_scatter_samples,
    batch=_scatter_batch,
    traits=[Trait.INDEXING],
)

# ---- put_rows ------------------------------------------------------------------------


def _put_spec(x: Spec, indices: Spec, rows: Spec) -> Spec:
    _check_indices("put_rows", indices)
    same_dtype("put_rows", (x, rows))
    if x.ndim < 1 or indices.ndim != 1 or rows.shape != indices.shape + x.shape[1:]:
        raise ShapeError(
            "each index needs a row of the shape of those that are there",
            where="put_rows",
            got=f"{x}, {indices}, {rows}",
            expected="(n, ...), (k,), (k, ...)",
        )
    return x


def _put_reference(x: Array, indices: Array, rows: Array) -> Array:
    """x with `rows[i]` in the place of `x[indices[i]]`, in order: the last one stays.

    The index `len(x)` is that of no row, and what comes with it is put nowhere.
    """
    length = len(x)
    inside = indices != length
    _check_bounds("put_rows", indices[inside], length)
    result = np.array(x, copy=True)
    result[indices[inside]] = rows[inside]
    return result


def _put_into_rule(g: Any, y: Any, x: Any, indices: Any, rows: Any) -> Any:
    zeros = broadcast_to(constant(0, dtype=g.spec.dtype), shape=rows.spec.shape)
    return put_rows(g, indices, zeros)


def _put_rule(g: Any, y: Any, x: Any, indices: Any, rows: Any) -> Any:
    length, count = x.spec.shape[0], indices.spec.shape[0]
    zeros = broadcast_to(constant(0, dtype=g.spec.dtype), shape=rows.spec.shape)
    if not length or not count:
        return zeros
    # only what was put last into a row is there
    number = iota(shape=(count,), axis=0, dtype=int64)
    none = broadcast_to(constant(-1, dtype=int64), shape=(length,))
    last = put_rows(none, indices, number)
    outside = equal(indices, length)
    safe = where(outside, 0, indices)
    stays = logical_and(logical_not(outside), equal(take(last, safe, axis=0), number))
    shape = (count, *(1,) * (rows.spec.ndim - 1))
    wide = broadcast_to(reshape(stays, shape=shape), shape=rows.spec.shape)
    return where(wide, take(g, safe, axis=0), zeros)


def _put_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    x, indices, rows = (
        value if has else broadcast_to(value, shape=(size, *value.spec.shape))
        for value, has in zip(inputs, batched, strict=True)
    )
    length, count = x.spec.shape[1], indices.spec.shape[1]
    rest = x.spec.shape[2:]
    wide = cast(indices, dtype=int64)
    flat = where(
        equal(wide, length), size * length, _rows_of_examples(wide, size, length)
    )
    result = put_rows(
        reshape(x, shape=(size * length, *rest)),
        reshape(flat, shape=(size * count,)),
        reshape(rows, shape=(size * count, *rest)),
    )
    return [reshape(result, shape=x.spec.shape)]


def _put_samples() -> Iterable[Sample]:
    random = np.random.default_rng(17)
    for shape, count in [
        ((5, 3), 4),
        ((7,), 9),
        ((3, 2, 20), 2),
        ((4, 2), 0),
        ((0, 4), 3),
    ]:
        indices = random.integers(-shape[0], shape[0] + 1, (count,))
        rows = random.normal(size=(count, *shape[1:]))
        yield Sample((random.normal(size=shape), indices, rows))


put_rows = operation(
    "put_rows",
    spec=_put_spec,
    reference=_put_reference,
    vjp=per_input(_put_into_rule, None, _put_rule),
    dtypes=ALL,
    samples=_put_samples,
    batch=_put_batch,
    traits=[Trait.INDEXING],
)

# ---- take_along_axis -----------------------------------------------------------------


def _along_spec(x: Spec, indices: Spec, axis: int) -> Spec:
    _check_indices("take_along_axis", indices)
    others = x.shape[:axis] + x.shape[axis + 1 :]
    if indices.shape[:axis] + indices.shape[axis + 1 :] != others:
        raise ShapeError(
            "indices must have the shape of x except along the axis",
            where="take_along_axis",
            got=indices.shape,
            expected=f"{x.shape} but for axis {axis}",
        )
    return Spec(indices.shape, x.dtype)


def _along_reference(x: Array, indices: Array, axis: int) -> Any:
    """`y[..., i, ...] = x[..., indices[..., i, ...], ...]`, on `axis`."""
    _check_bounds("take_along_axis", indices, x.shape[axis])
    return np.take_along_axis(x, indices, axis=axis)


def _along_rule(g: Any, y: Any, x: Any, indices: Any, axis: int) -> Any:
    shape = x.spec.shape
    zeros = broadcast_to(constant(0, dtype=x.spec.dtype), shape=(x.spec.size,))
    places = reshape(_flat_positions(indices, shape, axis), shape=(indices.spec.size,))
    flat = scatter_add(zeros, places, reshape(g, shape=(g.spec.size,)), axis=0)
    return reshape(flat, shape=shape)


def _flat_positions(indices: Any, shape: Shape, axis: int) -> Any:
    """Row-major positions in an array of `shape` of what `indices` name on `axis`."""
    total = multiply(
        nonnegative(cast(indices, dtype=int64), shape[axis]),
        math.prod(shape[axis + 1 :]),
    )
    for other in range(len(shape)):
        if other != axis:
            place = iota(shape=indices.spec.shape, axis=other, dtype=int64)
            total = add(total, multiply(place, math.prod(shape[other + 1 :])))
    return total


def _along_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    x, indices = (
        value if has else broadcast_to(value, shape=(size, *value.spec.shape))
        for value, has in zip(inputs, batched, strict=True)
    )
    return [take_along_axis(x, indices, axis=params["axis"] + 1)]


def _along_samples() -> Iterable[Sample]:
    random = np.random.default_rng(15)
    cases = [
        ((3, 5), (3, 2), 1),
        ((5, 3), (7, 3), 0),
        ((9,), (4,), 0),
        ((0, 4), (0, 2), 1),
    ]
    for shape, index_shape, axis in cases:
        indices = _indices(index_shape, shape[axis])
        yield Sample((random.normal(size=shape), indices), {"axis": axis})


take_along_axis = operation(
    "take_along_axis",
    spec=_along_spec,
    reference=_along_reference,
    vjp=per_input(_along_rule, None),
    dtypes=ALL,
    samples=_along_samples,
    batch=_along_batch,
    traits=[Trait.INDEXING],
)

# ---- argsort -------------------------------------------------------------------------


def _argsort_reference(x: Array, axis: int, descending: bool) -> Any:
    """The stable order of the elements along `axis`; not-a-number comes last.

    Equal elements keep their order, ascending or descending.
    """
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    turned = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    order = np.flip(x.shape[axis] - 1 - turned, axis)
    if x.dtype.kind != "f":
        return order
    # flipping brought not-a-number to the front: move it behind, in order
    missing = np.take_along_axis(np.isnan(x), order, axis)
    behind = np.argsort(missing, axis=axis, kind="stable")
    return np.take_along_axis(order, behind, axis)


def _argsort_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    return [argsort(inputs[0], **{**params, "axis": params["axis"] + 1})]


def _argsort_samples() -> Iterable[Sample]:
    random = np.random.default_rng(16)
    cases = [
        ((3, 5), 1, False),
        ((17, 2), 0, True),
        ((0, 4), 0, False),
        ((33,), 0, True),
    ]
    for shape, axis, descending in cases:
        array = random.integers(0, 9, shape).astype(float)
        yield Sample((array,), {"axis": axis, "descending": descending}, smooth=False)


argsort = operation(
    "argsort",
    spec=lambda x, axis, descending: Spec(x.shape, int64),
    reference=_argsort_reference,
    not_differentiable="its result is an order",
    dtypes=ALL,
    samples=_argsort_samples,
    batch=_argsort_batch,
    traits=[Trait.INDEXING],
)
