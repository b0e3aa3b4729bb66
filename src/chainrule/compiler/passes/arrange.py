"""Passes that prepare a graph for planning: operands in order, outputs of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.compiler.passes.rebuild import Builder, Environment
from chainrule.compiler.view import contiguous_axis
from chainrule.ir.graph import Graph
from chainrule.ir.value import Node, Value
from chainrule.ops import identity, permute_dims
from chainrule.ops.contract import free_axes

MANY_ROWS = 1024  # of a product, from which on its right operand is turned beforehand
LITTLE_BYTES, MOST_BYTES = 1 << 12, 1 << 20  # of that operand


def separate_outputs(graph: Graph, donations: Sequence[tuple[int, int]] = ()) -> Graph:
    """`graph` with outputs that are distinct and computed by nodes.

    An output that is an input, a constant or an earlier output becomes a copy; but not
    one that is the very input whose place in memory it takes.

    Args:
        graph: what is computed.
        donations: pairs of an input and the output that takes its place.
    """
    copies = Builder()
    seen: set[int] = set()
    outputs: list[Value] = []
    donors = {target: graph.inputs[source] for source, target in donations}
    for place, value in enumerate(graph.outputs):
        stays = donors.get(place) is value and id(value) not in seen
        made = value.node is not None and id(value) not in seen
        if not stays and (not made or _is_state(value)):
            (value,) = copies.apply(identity.primitive, (value,), {})
        seen.add(id(value))
        outputs.append(value)
    nodes = (*graph.nodes, *copies.nodes)
    return Graph(graph.name, graph.inputs, nodes, tuple(outputs))


def _is_state(value: Value) -> bool:
    """Whether a value is the last state of a scan, which lies where the first lay."""
    node = value.node
    scan = node is not None and node.primitive.name == "scan"
    return scan and value.index < node.params["carried"]  # type: ignore[union-attr]


def separate_states(graph: Graph) -> Graph:
    """`graph` with first states of scans that are copies, to be updated in place."""
    if not any(node.primitive.name == "scan" for node in graph.nodes):
        return graph
    builder, environment = Builder(), Environment(graph)
    for node in graph.nodes:
        inputs = environment.read(node.inputs)
        if node.primitive.name == "scan":
            end = len(inputs) - node.params["sequences"]
            begin = end - node.params["carried"]
            copies = [
                builder.apply(identity.primitive, (value,), {}, node.scope)[0]
                for value in inputs[begin:end]
            ]
            inputs = (*inputs[:begin], *copies, *inputs[end:])
        results = builder.apply(node.primitive, inputs, node.params, node.scope)
        for old, new in zip(node.outputs, results, strict=True):
            environment[old] = new
    outputs = environment.read(graph.outputs)
    return Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs)


def arrange_operands(graph: Graph) -> tuple[Graph, set[int]]:
    """`graph` with operands of contractions that matrix kernels can read.

    The right operand must be contiguous along its last free or its last summed axis;
    others are copied into order, and so are small ones along the sum that many rows
    are multiplied with, which matrix kernels would turn again for some rows at a time.

    Returns:
        The graph, and the ids of the copies, which must be stored.
    """
    builder, environment = Builder(), Environment(graph)
    forced: set[int] = set()
    for node in graph.nodes:
        inputs = environment.read(node.inputs)
        params = node.params
        if node.primitive.name == "contract" and node.outputs[0].spec.dtype.is_float:
            inputs, params = _arranged(node, inputs, builder, forced)
        results = builder.apply(node.primitive, inputs, params, node.scope)
        for old, new in zip(node.outputs, results, strict=True):
            environment[old] = new
    outputs = environment.read(graph.outputs)
    return Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs), forced


def _arranged(
    node: Node, inputs: tuple[Value, ...], builder: Builder, forced: set[int]
) -> tuple[tuple[Value, ...], dict[str, Any]]:
    sums, batch = node.params["sums"], node.params["batch"]
    a, b = inputs
    columns = free_axes(b.spec.ndim, sums[1], batch[1])
    ends = {columns[-1] if columns else None, sums[1][-1] if sums[1] else None}
    fits = contiguous_axis(b, forced) in ends or b.spec.size == 1
    if fits and not _turns_often(node, b, (columns, forced)):
        return inputs, node.params
    order = (*batch[1], *sums[1], *columns)
    (ordered,) = builder.apply(
        permute_dims.primitive, (b,), {"axes": order}, node.scope
    )
    forced.add(id(ordered))
    first, last = len(batch[1]), len(batch[1]) + len(sums[1])
    params = {
        "sums": (sums[0], tuple(range(first, last))),
        "batch": (batch[0], tuple(range(first))),
    }
    return (a, ordered), params


def _turns_often(node: Node, b: Value, known: tuple[tuple[int, ...], set[int]]) -> bool:
    """Whether a small operand lies along the sum, and is needed for many rows."""
    columns, forced = known
    sums, batch = node.params["sums"][1], node.params["batch"][1]
    if not columns or not sums or batch or b.spec.dtype.is_half:
        return False
    width = math.prod(b.spec.shape[axis] for axis in columns)
    rows = node.outputs[0].spec.size // max(width, 1)
    small = LITTLE_BYTES <= b.spec.nbytes <= MOST_BYTES
    along = contiguous_axis(b, forced) == sums[-1]
    return along and small and rows >= MANY_ROWS and width > 1
