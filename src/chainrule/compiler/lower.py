"""From graph values to scalar expressions: a row per operation not elementwise.

`Lowering.element(value, indices)` is the expression of one element of a value. It
follows the graph up to values that are stored somewhere; movement operations change the
indices and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chainrule.compiler.expression import Expression, Pool
from chainrule.compiler.index import (
    FromData,
    Index,
    dot,
    flatten_index,
    unflatten_index,
)
from chainrule.errors import GraphError
from chainrule.ir.dtype import bool_, int64, uint32, widen
from chainrule.ir.primitive import Trait
from chainrule.ir.spec import Shape
from chainrule.ir.value import Node, Value

Indices = tuple[Index, ...]
PADDED_BYTES = 2048
CACHE_LINE = 64


def dense_strides(shape: Shape) -> Shape:
    """Row-major strides in elements."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def padded_strides(shape: Shape, itemsize: int) -> Shape:
    """Row-major strides whose rows do not fall on the same lines of the cache.

    Rows of a multiple of 2 KiB would all map to a few sets of the first-level cache;
    one more line a row spreads them.
    """
    dense = dense_strides(shape)
    if len(shape) < 2 or not shape[-1] or shape[-1] * itemsize % PADDED_BYTES:
        return dense
    pitch = shape[-1] + CACHE_LINE // itemsize
    lead = dense_strides((*shape[:-1], 1))
    return (*(step * pitch for step in lead[:-1]), 1)


@dataclass(frozen=True)
class Store:
    """Where a value is kept: its strides, and where it begins, in elements."""

    value: Value
    strides: Shape
    offset: int = 0

    @property
    def extent(self) -> int:
        """Elements from the beginning of the memory to behind the last."""
        shape = self.value.spec.shape
        if 0 in shape:
            return 0
        steps = zip(shape, self.strides, strict=True)
        return self.offset + 1 + sum((n - 1) * step for n, step in steps)

    def place(self, indices: tuple[Index, ...]) -> Index:
        """Where the element at `indices` is."""
        return dot(indices, self.strides) + self.offset


@dataclass
class Lowering:
    """Makes the expressions of one kernel.

    Attributes:
        stores: the values that are kept in memory, by identity.
        pool: makes each expression once.
        buffers: the values that the kernel touches; their positions are buffer numbers.
        reads: the indices at which stored values and members were read.
        members: how to express values that the kernel itself computes.
        codes: bounds checks: nodes and extents; positions plus one are status codes.
    """

    stores: dict[int, Store]
    pool: Pool = field(default_factory=Pool)
    buffers: list[Value] = field(default_factory=list)
    reads: dict[int, set[Indices]] = field(default_factory=dict)
    members: dict[int, Callable[[Indices], Expression | None]] = field(
        default_factory=dict
    )
    codes: list[tuple[Node, int]] = field(default_factory=list)
    _memo: dict[Any, Expression] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=dict)

    def buffer(self, value: Value) -> int:
        """The number of the buffer that holds `value`."""
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self.buffers)
            self.buffers.append(value)
        return self._numbers[id(value)]

    def element(self, value: Value, indices: Indices) -> Expression:
        """The element of `value` at `indices`."""
        key = (id(value), indices)
        if key not in self._memo:
            self._memo[key] = self._make(value, indices)
        return self._memo[key]

    def _make(self, value: Value, indices: Indices) -> Expression:
        if value.data is not None and value.spec.size == 1:
            return self.pool.number(widen(value.data).item(), value.spec.dtype)
        if id(value) in self.stores:
            return self.load(value, indices)
        if value.node is None:
            raise GraphError("a value is neither stored nor computed", got=value.spec)
        return self.compute(value, indices)

    def load(
        self, value: Value, indices: Indices, condition: Expression | None = None
    ) -> Expression:
        """A read of a stored value, or of one that moves its elements; of a member of
        the kernel, its expression.
        """
        node = value.node
        while id(value) not in self.stores and node is not None:
            indices = MOVES[node.primitive.name](node, indices)
            value, node = node.inputs[0], node.inputs[0].node
        self.reads.setdefault(id(value), set()).add(indices)
        made = self.members.get(id(value), _nothing)(indices)
        if made is not None:
            return made
        offset = self.stores[id(value)].place(indices)
        return self.pool.load(self.buffer(value), offset, value.spec.dtype, condition)

    def compute(self, value: Value, indices: Indices) -> Expression:
        """The element of a value that is not stored, from its node."""
        node = value.node
        assert node is not None
        row = ROWS.get(node.primitive.name)
        if row is not None:
            return row(self, node, indices)
        if Trait.ELEMENTWISE not in node.primitive.traits:
            raise GraphError(
                "the operation has no lowering within a loop", where=node.primitive.name
            )
        inputs = tuple(self.operand(part, indices) for part in node.inputs)
        detail = tuple(sorted((k, str(v)) for k, v in node.params.items()))
        return self.pool.make(node.primitive.name, value.spec.dtype, inputs, detail)

    def operand(self, value: Value, indices: Indices) -> Expression:
        """The element of an input that is broadcast against the result."""
        return self.element(value, fitted(value.spec.shape, indices))

    def compare(self, name: str, a: Expression, b: Expression) -> Expression:
        """A comparison of two expressions."""
        return self.pool.make(name, bool_, (a, b), ())

    def both(self, a: Expression | None, b: Expression) -> Expression:
        """The conjunction of conditions."""
        return b if a is None else self.pool.make("logical_and", bool_, (a, b), ())


# ---- what only moves elements --------------------------------------------------------


def _reshaped(node: Node, indices: Indices) -> Indices:
    flat = flatten_index(indices, node.params["shape"])
    return unflatten_index(flat, node.inputs[0].spec.shape)


def _permuted(node: Node, indices: Indices) -> Indices:
    axes = node.params["axes"]
    return tuple(indices[axes.index(axis)] for axis in range(len(axes)))


def _broadcast(node: Node, indices: Indices) -> Indices:
    return fitted(node.inputs[0].spec.shape, indices)


def fitted(shape: Shape, indices: Indices) -> Indices:
    """The indices in a value of `shape` that is broadcast against the result."""
    own = indices[len(indices) - len(shape) :]
    return tuple(Index() if n == 1 else i for i, n in zip(own, shape, strict=True))


def _sliced(node: Node, indices: Indices) -> Indices:
    start, step = node.params["start"], node.params["step"]
    return tuple(
        index * each + first
        for index, first, each in zip(indices, start, step, strict=True)
    )


def _flipped(node: Node, indices: Indices) -> Indices:
    shape, axes = node.inputs[0].spec.shape, node.params["axes"]
    return tuple(
        index * -1 + (shape[axis] - 1) if axis in axes else index
        for axis, index in enumerate(indices)
    )


def _windowed(node: Node, indices: Indices) -> Indices:
    axis, stride = node.params["axis"], node.params["stride"]
    position = indices[axis] * stride + indices[-1] * node.params["dilation"]
    return (*indices[:axis], position, *indices[axis + 1 :])


# where an element of the result is found in the input
MOVES: dict[str, Callable[[Node, Indices], Indices]] = {
    "reshape": _reshaped,
    "permute_dims": _permuted,
    "broadcast_to": _broadcast,
    "slice": _sliced,
    "flip": _flipped,
    "to_windows": _windowed,
}


def _move(low: Lowering, node: Node, indices: Indices) -> Expression:
    return low.element(node.inputs[0], MOVES[node.primitive.name](node, indices))


# ---- what reads on a condition -------------------------------------------------------


def _pad(low: Lowering, node: Node, indices: Indices) -> Expression:
    source, fill = node.inputs
    condition: Expression | None = None
    moved: list[Index] = []
    for axis, index in enumerate(indices):
        extent = source.spec.shape[axis]
        widths = [node.params[key][axis] for key in ("low", "high", "interior")]
        inside, condition = _unpadded(low, index, extent, widths, condition)
        moved.append(inside)
    outside = low.element(fill, ())
    if source.spec.size == 0:
        return outside
    if condition is None:
        return low.element(source, tuple(moved))
    # the source must be stored: reading it is conditional, computing it could not be
    place = low.load(source, tuple(moved), condition)
    return low.pool.make("where", source.spec.dtype, (condition, place, outside), ())


def _unpadded(
    low: Lowering,
    index: Index,
    extent: int,
    widths: list[int],
    condition: Expression | None,
) -> tuple[Index, Expression | None]:
    """The index in the source along one axis, and the condition to be inside it."""
    before, after, interior = widths
    if not (before or after or interior):
        return index, condition
    step = interior + 1
    shifted = index + -before
    position = low.pool.position(shifted, int64)
    span = max((extent - 1) * step, 0)
    least, most = shifted.bounds()
    if least < 0:
        zero = low.pool.number(0, int64)
        condition = low.both(condition, low.compare("less_equal", zero, position))
    if most > span:
        last = low.pool.number(span, int64)
        condition = low.both(condition, low.compare("less_equal", position, last))
    if interior:
        rest = low.pool.position(shifted % step, int64)
        exact = low.compare("equal", rest, low.pool.number(0, int64))
        condition = low.both(condition, exact)
    return shifted // step, condition


def _from_windows(low: Lowering, node: Node, indices: Indices) -> Expression:
    source, axis = node.inputs[0], node.params["axis"]
    zero = low.pool.number(0, source.spec.dtype)
    if source.spec.size == 0:
        return zero
    position = indices[axis] + indices[-1] * -node.params["dilation"]
    widths = [0, 1, node.params["stride"] - 1]
    extent = source.spec.shape[axis]
    window, condition = _unpadded(low, position, extent, widths, None)
    moved = (*indices[:axis], window, *indices[axis + 1 :])
    if condition is None:
        return low.element(source, moved)
    place = low.load(source, moved, condition)
    return low.pool.make("where", source.spec.dtype, (condition, place, zero), ())


def _concatenate(low: Lowering, node: Node, indices: Indices) -> Expression:
    axis, start = node.params["axis"], 0
    position = low.pool.position(indices[axis], int64)
    result: Expression | None = None
    for part in node.inputs:
        extent = part.spec.shape[axis]
        if not extent:
            continue
        own = (*indices[:axis], indices[axis] + -start, *indices[axis + 1 :])
        # from this part on, until the next one says otherwise
        inside = low.compare("less_equal", low.pool.number(start, int64), position)
        end = low.pool.number(start + extent, int64)
        inside = low.both(inside, low.compare("less", position, end))
        element = low.load(part, own, inside)
        if result is None:
            result = element
        else:
            parts = (inside, element, result)
            result = low.pool.make("where", element.dtype, parts, ())
        start += extent
    if result is None:
        return low.pool.number(0, node.outputs[0].spec.dtype)
    return result


def _iota(low: Lowering, node: Node, indices: Indices) -> Expression:
    return low.pool.position(indices[node.params["axis"]], node.params["dtype"])


def _random_bits(low: Lowering, node: Node, indices: Indices) -> Expression:
    key, shape = node.inputs[0], node.params["shape"]
    lead = indices[: len(indices) - len(shape)]
    flat = flatten_index(indices[len(lead) :], shape)
    words = tuple(low.element(key, (*lead, Index((), word))) for word in (0, 1))
    position = low.pool.position(flat, int64)
    return low.pool.make("random_bits", uint32, (*words, position), ())


def _bounded(low: Lowering, node: Node, index: Expression, extent: int) -> Index:
    """An index read from data: checked, and negative ones counted from the end."""
    wide = index
    if index.dtype is not int64:
        wide = low.pool.make("cast", int64, (index,), (("dtype", "int64"),))
    low.codes.append((node, extent))
    detail = (("extent", extent), ("code", len(low.codes)))
    bounded = low.pool.make("bounded", int64, (wide,), detail)
    return Index(((_from_data(low, bounded, extent), 1),))


def _from_data(low: Lowering, expression: Expression, extent: int) -> FromData:
    key = ("from data", id(expression))
    if key not in low._memo:
        low._memo[key] = FromData(expression, extent)  # type: ignore[assignment]
    found: Any = low._memo[key]
    return found


def _take(low: Lowering, node: Node, indices: Indices) -> Expression:
    source, positions = node.inputs
    axis, rank = node.params["axis"], positions.spec.ndim
    if 0 in source.spec.shape:
        return low.pool.number(0, source.spec.dtype)
    chosen = low.element(positions, indices[axis : axis + rank])
    index = _bounded(low, node, chosen, source.spec.shape[axis])
    return low.element(source, (*indices[:axis], index, *indices[axis + rank :]))


def _take_along_axis(low: Lowering, node: Node, indices: Indices) -> Expression:
    source, positions = node.inputs
    axis = node.params["axis"]
    if 0 in source.spec.shape:
        return low.pool.number(0, source.spec.dtype)
    index = _bounded(
        low, node, low.element(positions, indices), source.spec.shape[axis]
    )
    return low.element(source, (*indices[:axis], index, *indices[axis + 1 :]))


def _nothing(indices: Indices) -> Expression | None:
    """What is known of a value that the kernel does not compute."""
    return None


Row = Callable[[Lowering, Node, Indices], Expression]

ROWS: dict[str, Row] = {
    **dict.fromkeys(MOVES, _move),
    "pad": _pad,
    "concatenate": _concatenate,
    "from_windows": _from_windows,
    "iota": _iota,
    "random_bits": _random_bits,
    "take": _take,
    "take_along_axis": _take_along_axis,
}

# operations whose inputs, or what those move, are stored: they are read on a condition
READS_STORED: dict[str, tuple[int, ...]] = {
    "pad": (0,),
    "concatenate": (-1,),
    "from_windows": (0,),
}
