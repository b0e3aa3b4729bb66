"""Wholes and their parts: values that are computed where they lie within another.

What is put side by side, or surrounded by zeros, is not copied: each part is computed
in its place within the whole, which no kernel makes. So a convolution writes its result
inside the padding that the next one needs, the phases of a strided gradient are written
in turns, and the groups of a convolution side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from chainrule.compiler.build import merge
from chainrule.compiler.fuse import LIBRARY, LOOP, uses_blocks
from chainrule.compiler.lower import MOVES, Store, padded_strides
from chainrule.compiler.passes.rebuild import Builder
from chainrule.compiler.view import split_strides
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Shape
from chainrule.ir.value import Node, Value
from chainrule.ops import broadcast_to, identity

# Elements side by side from which on a loop writes them into a whole at full speed.
LEAST_CHUNK = 16
# A whole may be so many times as large as the parts that need no copy.
MOST_SPREAD = 4


@dataclass
class Wholes:
    """Which values are made in parts, and where these lie.

    Attributes:
        graph: the graph, with nodes that fill or copy what nothing else writes.
        parts: for each value that no kernel makes, by identity: what it consists of.
        within: for each value that lies within another, by identity: that other.
        stores: where values lie, by identity.
        fills: for each fill and copy, by identity: what is computed before it.
    """

    graph: Graph
    parts: dict[int, tuple[Value, ...]] = field(default_factory=dict)
    within: dict[int, Value] = field(default_factory=dict)
    stores: dict[int, Store] = field(default_factory=dict)
    fills: dict[int, Value | None] = field(default_factory=dict)

    def computed(self) -> set[int]:
        """The ids of all parts."""
        return {id(part) for parts in self.parts.values() for part in parts}


def find_wholes(
    graph: Graph,
    roots: Sequence[Value],
    stores: Mapping[int, Store],
    fixed: Container[int],
) -> Wholes:
    """The values that are best made in parts.

    Args:
        graph: what is computed.
        roots: the values that are stored.
        stores: how they are laid out.
        fixed: the ids of values that lie where something else says.
    """
    finder = _Finder(graph, roots, stores, fixed)
    for value in _candidates(graph, roots):
        if id(value) not in fixed:
            finder.try_whole(value)
    return finder.finish()


def _candidates(graph: Graph, roots: Sequence[Value]) -> Iterator[Value]:
    """What may be a whole; what others may lie within comes first."""
    stored = {id(value) for value in roots}
    for node in reversed(graph.nodes):
        name, value = node.primitive.name, node.outputs[0]
        if name == "concatenate" or (id(value) in stored and name in PLACES):
            yield value


@dataclass(frozen=True)
class _Spot:
    """A place within a whole: where it begins, and steps along its axes."""

    offset: int
    strides: Shape


# a value and its spot
_Piece: TypeAlias = "tuple[Value, _Spot]"


def _reshaped(node: Node, spot: _Spot) -> list[_Piece] | None:
    given = node.inputs[0]
    joined = merge(zip(node.params["shape"], spot.strides, strict=True))
    extents, steps = zip(*joined, strict=True)
    strides = split_strides(extents, steps, given.spec.shape)
    return None if strides is None else [(given, _Spot(spot.offset, strides))]


def _permuted(node: Node, spot: _Spot) -> list[_Piece]:
    axes = node.params["axes"]
    strides = tuple(spot.strides[axes.index(axis)] for axis in range(len(axes)))
    return [(node.inputs[0], _Spot(spot.offset, strides))]


def _concatenated(node: Node, spot: _Spot) -> list[_Piece]:
    axis, offset = node.params["axis"], spot.offset
    pieces = []
    for part in node.inputs:
        pieces.append((part, _Spot(offset, spot.strides)))
        offset += part.spec.shape[axis] * spot.strides[axis]
    return pieces


def _padded(node: Node, spot: _Spot) -> list[_Piece] | None:
    """What is padded, and slabs of the fill: around the first axis, the next, ..."""
    source, fill = node.inputs
    low, high, interior = (node.params[key] for key in ("low", "high", "interior"))
    if any(interior) or any(width < 0 for width in (*low, *high)):
        return None
    inside = spot.offset + sum(map(math.prod, zip(low, spot.strides, strict=True)))
    pieces = [(source, _Spot(inside, spot.strides))]
    shape, offset = list(node.outputs[0].spec.shape), spot.offset
    for axis, step in enumerate(spot.strides):
        own = source.spec.shape[axis]
        for width, start in ((low[axis], 0), (high[axis], low[axis] + own)):
            slab = (*shape[:axis], width, *shape[axis + 1 :])
            if math.prod(slab):
                builder = Builder()
                (value,) = builder.apply(
                    broadcast_to.primitive, (fill,), {"shape": slab}, node.scope
                )
                pieces.append((value, _Spot(offset + start * step, spot.strides)))
        shape[axis] = own
        offset += low[axis] * step
    return pieces


PLACES: Mapping[str, Callable[[Node, _Spot], list[_Piece] | None]] = {
    "reshape": _reshaped,
    "permute_dims": _permuted,
    "concatenate": _concatenated,
    "pad": _padded,
}


class _Finder:
    """Tries values one after the other; what lies in one cannot lie in the next."""

    def __init__(
        self,
        graph: Graph,
        roots: Sequence[Value],
        stores: Mapping[int, Store],
        fixed: Container[int],
    ) -> None:
        self.graph = graph
        self.roots = {id(value) for value in roots}
        self.stores = stores
        self.fixed = fixed
        self.bound = {id(value) for value in (*graph.inputs, *graph.outputs)}
        for node in graph.nodes:
            if node.primitive.name in (*LIBRARY, LOOP):
                self.bound.update(map(id, (*node.inputs, *node.outputs)))
        self.found = Wholes(graph)
        self.before: dict[int, list[Node]] = {}

    def try_whole(self, value: Value) -> None:
        """Make `value` in parts, where that saves copies."""
        shape = value.spec.shape
        if id(value) in self.found.stores or 0 in shape:
            return
        store = self.stores.get(id(value))
        strides = padded_strides(shape, value.spec.dtype.itemsize)
        trial = _Trial(self, value)
        spot = _Spot(0, strides if store is None else store.strides)
        parts = trial.taken_apart(value, spot)
        if parts is not None and MOST_SPREAD * trial.saved >= value.spec.size:
            self._keep(trial)

    def is_free(self, value: Value) -> bool:
        """Whether a kernel computes this, and may do so anywhere."""
        taken = (self.bound, self.fixed, self.found.stores)
        return value.node is not None and not any(id(value) in ids for ids in taken)

    def _keep(self, trial: _Trial) -> None:
        found = self.found
        found.parts |= trial.parts
        found.fills |= trial.fills
        for key, (value, spot) in trial.spots.items():
            found.stores[key] = Store(value, spot.strides, spot.offset)
            if value is not trial.whole:
                found.within[key] = trial.whole
        for user, nodes in trial.before.items():
            self.before.setdefault(user, []).extend(nodes)

    def finish(self) -> Wholes:
        """What was found, in a graph with the nodes that it needs."""
        nodes: list[Node] = []
        for node in self.graph.nodes:
            nodes += self.before.get(id(node), ())
            nodes.append(node)
        old = self.graph
        self.found.graph = Graph(old.name, old.inputs, tuple(nodes), old.outputs)
        return self.found


class _Trial:
    """One value, taken apart.

    Attributes:
        spots: the values that lie within it, by identity, and where.
        parts: for each that is taken apart, what it consists of.
        fills: fills and copies, and what is computed before each.
        before: by the identity of a node, the fills and copies that are its parts.
        saved: how many elements are computed in place that were copied else.
    """

    def __init__(self, finder: _Finder, whole: Value) -> None:
        self.finder = finder
        self.whole = whole
        self.spots: dict[int, _Piece] = {}
        self.parts: dict[int, tuple[Value, ...]] = {}
        self.fills: dict[int, Value | None] = {}
        self.before: dict[int, list[Node]] = {}
        self.saved = 0

    def taken_apart(self, value: Value, spot: _Spot) -> tuple[Value, ...] | None:
        """The parts of a value at a spot; None where it cannot be taken apart."""
        node = value.node
        if node is None or node.primitive.name not in PLACES:
            return None
        pieces = PLACES[node.primitive.name](node, spot)
        if pieces is None:
            return None
        before = self._notes()
        self.spots[id(value)] = value, spot
        parts: list[Value] = []
        for piece, place in pieces:
            mine = self._put(piece, place, node)
            if mine is None:
                self._forget(before)
                return None
            parts += mine
        self._order(node, parts)
        self.parts[id(value)] = tuple(parts)
        return self.parts[id(value)]

    def _notes(self) -> tuple[Any, ...]:
        """What was noted so far."""
        added = {user: list(nodes) for user, nodes in self.before.items()}
        return {**self.spots}, {**self.parts}, {**self.fills}, added, self.saved

    def _forget(self, notes: tuple[Any, ...]) -> None:
        """Go back to these notes: what a failed attempt placed is not made there."""
        self.spots, self.parts, self.fills, self.before, self.saved = notes

    def _put(self, value: Value, spot: _Spot, user: Node) -> Sequence[Value] | None:
        """The parts of an input of `user`, computed or copied to a spot."""
        if 0 in value.spec.shape:
            return ()
        if all(value is not source for source in user.inputs):
            return self._add(value, spot, user)
        free = self.finder.is_free(value) and id(value) not in self.spots
        if not (free and _lies_along(value.spec.shape, spot.strides)):
            return self._copied(value, spot, user)
        return self.taken_apart(value, spot) or self._leaf(value, spot)

    def _leaf(self, value: Value, spot: _Spot) -> Sequence[Value] | None:
        """A value that is computed at its spot."""
        node = value.node
        assert node is not None
        if not uses_blocks(node) and _chunk(value.spec.shape, spot) < LEAST_CHUNK:
            return None
        if id(value) in self.finder.roots and node.primitive.name not in MOVES:
            self.saved += value.spec.size
        self.spots[id(value)] = value, spot
        return (value,)

    def _copied(self, value: Value, spot: _Spot, user: Node) -> Sequence[Value] | None:
        """A copy of a value that lies somewhere else."""
        if _chunk(value.spec.shape, spot) < LEAST_CHUNK:
            return None
        (copy,) = Builder().apply(identity.primitive, (value,), {}, user.scope)
        return self._add(copy, spot, user)

    def _add(self, value: Value, spot: _Spot, user: Node) -> Sequence[Value]:
        """A fill or a copy, which `user` gets as a part."""
        assert value.node is not None
        self.before.setdefault(id(user), []).append(value.node)
        self.fills[id(value)] = None
        self.spots[id(value)] = value, spot
        return (value,)

    def _order(self, user: Node, parts: Sequence[Value]) -> None:
        """Fills wait for what is computed beside them: only then is memory taken."""
        first = next((part for part in parts if id(part) not in self.fills), None)
        for node in self.before.get(id(user), ()):
            self.fills[id(node.outputs[0])] = first


def _lies_along(shape: Shape, strides: Shape) -> bool:
    """Whether neighbours along the last axis are neighbours in memory."""
    steps = [step for n, step in zip(shape, strides, strict=True) if n != 1]
    return not steps or steps[-1] == 1


def _chunk(shape: Shape, spot: _Spot) -> int:
    """How many elements lie side by side."""
    chunk = 1
    for extent, step in zip(reversed(shape), reversed(spot.strides), strict=True):
        if extent != 1 and step != chunk:
            break
        chunk *= extent
    return chunk
