"""The general batched matrix product, of which every product of arrays is a case."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ir.dtype import FLOATS, SIGNED, UNSIGNED
from chainrule.ir.primitive import Sample, Trait, per_input
from chainrule.ir.spec import Spec
from chainrule.ops.define import Array, check_dtype, operation, same_dtype
from chainrule.ops.movement import inverse_order, permute_dims

NUMBERS = (*SIGNED, *UNSIGNED, *FLOATS)
Axes = tuple[int, ...]
Pair = tuple[Axes, Axes]


def free_axes(ndim: int, sums: Axes, batch: Axes) -> Axes:
    """The axes that are neither contracted nor batch axes, in order."""
    return tuple(axis for axis in range(ndim) if axis not in sums and axis not in batch)


def _spec(a: Spec, b: Spec, sums: Pair, batch: Pair) -> Spec:
    dtype = same_dtype("contract", (a, b))
    check_dtype("contract", dtype, NUMBERS)
    for kind, (left, right) in (("contracted", sums), ("batch", batch)):
        lengths = [a.shape[i] for i in left], [b.shape[i] for i in right]
        if lengths[0] != lengths[1]:
            raise ShapeError(
                f"{kind} axes have different lengths",
                where="contract",
                got=f"{a.shape} over axes {left} with {b.shape} over axes {right}",
                expected=f"equal lengths, not {lengths[0]} and {lengths[1]}",
            )
    rows = free_axes(a.ndim, sums[0], batch[0])
    columns = free_axes(b.ndim, sums[1], batch[1])
    shape = [a.shape[i] for i in (*batch[0], *rows)] + [b.shape[i] for i in columns]
    return Spec(tuple(shape), dtype)


def _as_matrices(x: Array, batch: Axes, rows: Axes, columns: Axes) -> Array:
    """x as a stack of matrices: all of `batch`, all of `rows`, all of `columns`."""
    moved = np.transpose(x, (*batch, *rows, *columns))
    lengths = [math.prod(x.shape[i] for i in part) for part in (batch, rows, columns)]
    return moved.reshape(lengths)


def _reference(a: Array, b: Array, sums: Pair, batch: Pair) -> Array:
    """Sums of products over the axes in `sums`, for each index of the `batch` axes.

    `sums` and `batch` pair axes of a with axes of b. The result has the batch axes,
    then the free axes of a, then those of b. A plain matrix product has
    `sums=((1,), (0,)), batch=((), ())`.
    """
    rows = free_axes(a.ndim, sums[0], batch[0])
    columns = free_axes(b.ndim, sums[1], batch[1])
    left = _as_matrices(a, batch[0], rows, sums[0])
    right = _as_matrices(b, batch[1], sums[1], columns)
    shape = [a.shape[i] for i in (*batch[0], *rows)] + [b.shape[i] for i in columns]
    result: Array = np.matmul(left, right)
    return result.reshape(shape)


def _left_rule(g: Any, y: Any, a: Any, b: Any, sums: Pair, batch: Pair) -> Any:
    """Cotangent of a: g contracted with b over the free axes of b."""
    count = len(batch[0])
    columns = free_axes(b.spec.ndim, sums[1], batch[1])
    rows = free_axes(a.spec.ndim, sums[0], batch[0])
    over = tuple(range(count + len(rows), g.spec.ndim))
    both = (tuple(range(count)), batch[1])
    # the result's axes: batch, rows of a, then the contracted axes in b's order
    result = contract(g, b, sums=(over, columns), batch=both)
    summed = tuple(sums[0][i] for i in np.argsort(sums[1], kind="stable"))
    return permute_dims(result, axes=inverse_order((*batch[0], *rows, *summed)))


def _right_rule(g: Any, y: Any, a: Any, b: Any, sums: Pair, batch: Pair) -> Any:
    """Cotangent of b: a contracted with g over the free axes of a."""
    count = len(batch[0])
    rows = free_axes(a.spec.ndim, sums[0], batch[0])
    columns = free_axes(b.spec.ndim, sums[1], batch[1])
    over = tuple(range(count, count + len(rows)))
    own = tuple(range(count))
    if columns and sums[1] and max(columns) < min(sums[1]):
        # as b lies: its columns, then the contracted axes in a's order
        turned = contract(g, a, sums=(over, rows), batch=(own, batch[0]))
        summed = tuple(sums[1][i] for i in np.argsort(sums[0], kind="stable"))
        return permute_dims(turned, axes=inverse_order((*batch[1], *columns, *summed)))
    # the result's axes: batch, the contracted axes in a's order, then columns of b
    result = contract(a, g, sums=(rows, over), batch=(batch[0], own))
    summed = tuple(sums[1][i] for i in np.argsort(sums[0], kind="stable"))
    return permute_dims(result, axes=inverse_order((*batch[1], *summed, *columns)))


def _batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: dict[str, Any]
) -> list[Any]:
    a, b = inputs
    sums, batch = params["sums"], params["batch"]
    left, right = (
        tuple(axis + has for axis in pair)
        for pair, has in zip((sums[0], sums[1]), batched, strict=True)
    )
    left_batch, right_batch = (
        tuple(axis + has for axis in pair)
        for pair, has in zip((batch[0], batch[1]), batched, strict=True)
    )
    if all(batched):
        joint = ((0, *left_batch), (0, *right_batch))
        return [contract(a, b, sums=(left, right), batch=joint)]
    result = contract(a, b, sums=(left, right), batch=(left_batch, right_batch))
    # the batch axis is the first free axis of the side that has it; bring it forward
    count = len(batch[0])
    rows = a.spec.ndim - len(left) - count
    position = count if batched[0] else count + rows
    rest = tuple(axis for axis in range(result.spec.ndim) if axis != position)
    return [permute_dims(result, axes=(position, *rest))]


def _samples() -> Iterable[Sample]:
    random = np.random.default_rng(11)
    none: Pair = ((), ())
    cases: list[tuple[tuple[int, ...], tuple[int, ...], Pair, Pair]] = [
        ((3, 4), (4, 5), ((1,), (0,)), none),
        ((4, 3), (5, 4), ((0,), (1,)), none),
        ((2, 3, 4), (2, 4, 5), ((2,), (1,)), ((0,), (0,))),
        ((3, 2, 4, 5), (5, 6, 2, 4), ((3, 2), (0, 3)), ((1,), (2,))),
        ((3,), (4,), none, none),
        ((7,), (7,), ((0,), (0,)), none),
        ((0, 4), (4, 3), ((1,), (0,)), none),
        ((3, 0), (0, 2), ((1,), (0,)), none),
        ((17, 33), (33, 19), ((1,), (0,)), none),
    ]
    for a, b, sums, batch in cases:
        arrays = random.normal(size=a), random.normal(size=b)
        yield Sample(arrays, {"sums": sums, "batch": batch})


contract = operation(
    "contract",
    spec=_spec,
    reference=_reference,
    vjp=per_input(_left_rule, _right_rule),
    dtypes=NUMBERS,
    samples=_samples,
    batch=_batch,
    traits=[Trait.CONTRACTION],
)
