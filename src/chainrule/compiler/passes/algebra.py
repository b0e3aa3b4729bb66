"""Identities that remove work without changing any bit of a result.

Each row is a function of the node that returns what it equals, or None. A row that
would change rounding, a signed zero or a not-a-number has no place here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.ir.dtype import as_array, float32, float64, int64, widen
from chainrule.ir.primitive import PRIMITIVES
from chainrule.ir.spec import Spec
from chainrule.ir.value import Node, Value
from chainrule.ops.contract import Axes, free_axes

Apply = Callable[[Any, tuple[Value, ...], dict[str, Any]], Value]
Row = Callable[[Node, tuple[Value, ...], Apply], Value | None]


def rewrite(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    """What `node` equals by the first row that fits, or None."""
    for row in ROWS.get(node.primitive.name, ()):
        result = row(node, inputs, apply)
        if result is not None:
            return result
    return None


def _number(value: Value) -> float | None:
    """The number of a constant whose elements are all the same."""
    if value.data is None or value.spec.size != 1:
        return None
    return float(widen(value.data).reshape(()).item())


def _fits(value: Value, node: Node) -> bool:
    """Whether `value` can stand for the result of `node` without being broadcast."""
    return value.spec == node.outputs[0].spec


def _is_float(node: Node) -> bool:
    return node.outputs[0].spec.dtype.is_float


def _first(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value:
    return inputs[0]


def _times_one(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # x * 1 -> x
    for x, other in (inputs, inputs[::-1]):
        if _number(other) == 1 and _fits(x, node):
            return x
    return None


def _over_one(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # x / 1 -> x
    return inputs[0] if _number(inputs[1]) == 1 and _fits(inputs[0], node) else None


def _minus_zero(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # x - 0 -> x: right for every x, as -0 - 0 = -0; but -0 - (-0) = 0
    number = _number(inputs[1])
    if number != 0 or math.copysign(1, number) < 0:
        return None
    return inputs[0] if _fits(inputs[0], node) else None


def _by_power_of_two(
    node: Node, inputs: tuple[Value, ...], apply: Apply
) -> Value | None:
    # x / 2**n -> x * 2**-n: exact, and a division is slow
    number = _number(inputs[1])
    if number is None or not math.isfinite(number) or not _is_float(node):
        return None
    mantissa, exponent = math.frexp(number)
    if mantissa not in (0.5, -0.5) or abs(exponent) > 120:
        return None
    data = inputs[1].data
    assert data is not None
    inverse = Value(inputs[1].spec, as_array(1 / widen(data), inputs[1].spec.dtype))
    return apply(PRIMITIVES["multiply"], (inputs[0], inverse), {})


def _twice(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # -(-x) -> x, not (not x) -> x
    inner = inputs[0].node
    same = inner is not None and inner.primitive is node.primitive
    return inner.inputs[0] if inner is not None and same else None


def _narrowed_back(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # a float of 16 bits, widened and narrowed again -> itself
    inner = inputs[0].node
    if inner is None or inner.primitive.name != "cast":
        return None
    source, middle = inner.inputs[0], inner.params["dtype"]
    exact = source.spec.dtype.is_half and middle.is_float and not middle.is_half
    return source if exact and node.params["dtype"] is source.spec.dtype else None


def _same_dtype(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # x as its own dtype -> x
    return inputs[0] if node.params["dtype"] is inputs[0].spec.dtype else None


def _same_shape(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # a reshape or a broadcast to the shape that x has -> x
    return inputs[0] if _fits(inputs[0], node) else None


def _reshape_twice(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # reshape(reshape(x)) -> reshape(x)
    inner = inputs[0].node
    if inner is None or inner.primitive.name != "reshape":
        return None
    source = inner.inputs[0]
    if source.spec == node.outputs[0].spec:
        return source
    return apply(node.primitive, (source,), node.params)


def _permute_twice(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # permute(permute(x)) -> permute(x)
    inner = inputs[0].node
    if inner is None or inner.primitive.name != "permute_dims":
        return None
    axes = tuple(inner.params["axes"][axis] for axis in node.params["axes"])
    if axes == tuple(range(len(axes))):
        return inner.inputs[0]
    return apply(node.primitive, (inner.inputs[0],), {"axes": axes})


def _in_order(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # permute in order -> x
    axes = node.params["axes"]
    return inputs[0] if axes == tuple(range(len(axes))) else None


def _over_nothing(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # a reduction over axes of length 1, or over no axis, moves elements only; but the
    # sum of -0 is 0
    shape = inputs[0].spec.shape
    if any(shape[axis] != 1 for axis in node.params["axes"]):
        return None
    if node.primitive.name == "sum" and _is_float(node):
        return None
    target = node.outputs[0].spec
    if target == inputs[0].spec:
        return inputs[0]
    return apply(PRIMITIVES["reshape"], (inputs[0],), {"shape": target.shape})


def _broadcast_twice(
    node: Node, inputs: tuple[Value, ...], apply: Apply
) -> Value | None:
    # broadcast(broadcast(x)) -> broadcast(x)
    inner = inputs[0].node
    if inner is None or inner.primitive.name != "broadcast_to":
        return None
    return apply(node.primitive, (inner.inputs[0],), node.params)


def _chosen(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # where(true, a, b) -> a, where(c, a, a) -> a
    condition, a, b = inputs
    number = _number(condition)
    if number is not None:
        chosen = a if number else b
        return chosen if _fits(chosen, node) else None
    return a if a is b and _fits(a, node) else None


def _put_if(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # where(c, x with rows put into it, x) -> x with rows put into it where c holds, so
    # that a table that keeps its place is not walked
    condition, a, b = inputs
    for changed, other, holds in ((a, b, True), (b, a, False)):
        made = changed.node
        if made is None or made.primitive.name != "put_rows" or condition.spec.shape:
            continue
        table, indices, rows = made.inputs
        if table is other and indices.spec.dtype is int64:
            number = Value(Spec((), int64), np.array(table.spec.shape[0], np.int64))
            pair = (indices, number) if holds else (number, indices)
            chosen = apply(node.primitive, (condition, *pair), {})
            return apply(made.primitive, (table, chosen, rows), {})
    return None


def _slice_all(node: Node, inputs: tuple[Value, ...], apply: Apply) -> Value | None:
    # the slice of everything -> x
    return inputs[0] if _fits(inputs[0], node) else None


def _single_products(
    node: Node, inputs: tuple[Value, ...], apply: Apply
) -> Value | None:
    # sums of one product each -> the products; adding 0 makes 0 of -0, as a sum does
    a, b = inputs
    sums, batch = node.params["sums"], node.params["batch"]
    if a.spec.dtype not in (float32, float64):
        return None
    if math.prod(a.spec.shape[axis] for axis in sums[0]) != 1 or not sums[0]:
        return None
    target = node.outputs[0].spec
    rows = len(free_axes(a.spec.ndim, sums[0], batch[0]))
    inside = target.shape[: len(batch[0]) + rows]
    columns = (1,) * (target.ndim - len(inside))
    left = _lined_up(a, (*inside, *columns), batch[0], sums[0], apply)
    middle = (*inside[: len(batch[0])], *(1,) * rows, *target.shape[len(inside) :])
    right = _lined_up(b, middle, batch[1], sums[1], apply)
    product = apply(PRIMITIVES["multiply"], (left, right), {})
    zero = Value(Spec((), target.dtype), np.zeros((), target.dtype.numpy))
    return apply(PRIMITIVES["add"], (product, zero), {})


def _lined_up(
    x: Value, shape: tuple[int, ...], batch: Axes, sums: Axes, apply: Apply
) -> Value:
    """x with its batch axes first, in a shape where its contracted axes are gone.

    These have length 1, so that it does not matter where they stand.
    """
    order = (*batch, *free_axes(x.spec.ndim, sums, batch))
    if list(order) != sorted(order):
        x = apply(PRIMITIVES["permute_dims"], (x,), {"axes": (*order, *sums)})
    if x.spec.shape == shape:
        return x
    return apply(PRIMITIVES["reshape"], (x,), {"shape": shape})


ROWS: dict[str, tuple[Row, ...]] = {
    "identity": (_first,),
    "stop_gradient": (_first,),
    "multiply": (_times_one,),
    "divide": (_over_one, _by_power_of_two),
    "subtract": (_minus_zero,),
    "negative": (_twice,),
    "logical_not": (_twice,),
    "contract": (_single_products,),
    "cast": (_same_dtype, _narrowed_back),
    "reshape": (_same_shape, _reshape_twice),
    "broadcast_to": (_same_shape, _broadcast_twice),
    "permute_dims": (_in_order, _permute_twice),
    "slice": (_slice_all,),
    "where": (_chosen, _put_if),
    **dict.fromkeys(("sum", "prod", "max", "min", "any", "all"), (_over_nothing,)),
}
