"""Sums of what lies side by side, made a concatenation.

The gradient of a matrix that was cut into pieces is a sum of the pieces' gradients,
each surrounded by zeros. Where they cover the whole, each is in its place: nothing need
be added. The one difference is that -0 + 0 is 0, and -0 stays -0.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from chainrule.compiler.passes.rebuild import Builder, Environment
from chainrule.compiler.passes.simplify import drop_dead
from chainrule.ir.graph import Graph
from chainrule.ir.value import Node, Value
from chainrule.ops import concatenate


@dataclass(frozen=True)
class _Piece:
    """A value within zeros: along which axis, and from where on."""

    value: Value
    axis: int
    start: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + self.value.spec.shape[self.axis]


def join_pieces(graph: Graph) -> Graph:
    """`graph` with such sums as concatenations."""
    if not any(node.primitive.name == "pad" for node in graph.nodes):
        return graph
    pieces: dict[int, tuple[_Piece, ...]] = {}
    builder, environment = Builder(), Environment(graph)
    for node in graph.nodes:
        found = _pieces(node, pieces)
        inputs = environment.read(node.inputs)
        if found:
            pieces[id(node.outputs[0])] = found
        if found and node.primitive.name == "add" and _covers(node, found):
            parts = environment.read([piece.value for piece in found])
            params = {"axis": found[0].axis}
            results = builder.apply(concatenate.primitive, parts, params, node.scope)
        else:
            results = builder.apply(node.primitive, inputs, node.params, node.scope)
        for old, new in zip(node.outputs, results, strict=True):
            environment[old] = new
    outputs = environment.read(graph.outputs)
    return drop_dead(Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs))


def _pieces(
    node: Node, known: dict[int, tuple[_Piece, ...]]
) -> tuple[_Piece, ...] | None:
    """What the result of a node consists of besides zeros, in order."""
    if node.primitive.name == "pad":
        return _padded(node)
    if node.primitive.name != "add":
        return None
    sides = [known.get(id(value)) for value in node.inputs]
    if sides[0] is None or sides[1] is None:
        return None
    joined = sorted((*sides[0], *sides[1]), key=lambda piece: piece.start)
    if any(piece.axis != joined[0].axis for piece in joined):
        return None
    apart = all(a.end <= b.start for a, b in pairwise(joined))
    return tuple(joined) if apart else None


def _padded(node: Node) -> tuple[_Piece, ...] | None:
    source, fill = node.inputs
    low, high, interior = (node.params[key] for key in ("low", "high", "interior"))
    if any(interior) or min((*low, *high), default=0) < 0 or 0 in source.spec.shape:
        return None
    if fill.data is None or fill.data.any():
        return None
    axes = [axis for axis in range(len(low)) if low[axis] or high[axis]]
    return (_Piece(source, axes[0], low[axes[0]]),) if len(axes) == 1 else None


def _covers(node: Node, pieces: tuple[_Piece, ...]) -> bool:
    """Whether no zeros are left."""
    shape = node.outputs[0].spec.shape
    filled = sum(piece.end - piece.start for piece in pieces)
    return filled == shape[pieces[0].axis]
