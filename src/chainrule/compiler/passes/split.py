"""Products with weights that are updated: long sums in parts, for threads to own."""

from __future__ import annotations

from collections.abc import Collection

from chainrule.compiler.passes.rebuild import Builder, Environment
from chainrule.ir.graph import Graph
from chainrule.ir.value import Node, Value
from chainrule.ops import contract, reduce_sum, reshape

PARTS = (4, 2)  # how many parts a sum is cut into, where it can be
LEAST_TERMS = 64  # of a part
LEAST_COLUMNS = 64
LEAST_WORK = 1 << 20  # multiply-adds from which on it pays
# Weights with two averages up to this size stay in the second-level caches of cores.
MOST_BYTES = 4 << 20
SLOTS = 3


def split_sums(graph: Graph, owned: Collection[int]) -> Graph:
    """`graph` with products of few rows and `owned` weights summed in parts.

    The update of weights is shared by rows, which are the terms of the sums here: a
    thread that takes parts of the sums instead of columns finds the weights it wrote.
    `owned` are the ids of the inputs that are updated in place.
    """
    builder, environment = Builder(), Environment(graph)
    for node in graph.nodes:
        inputs = environment.read(node.inputs)
        parts = parts_of(node)
        if parts > 1 and id(node.inputs[1]) in owned:
            environment[node.outputs[0]] = _in_parts(node, inputs, parts, builder)
            continue
        results = builder.apply(node.primitive, inputs, node.params, node.scope)
        for old, new in zip(node.outputs, results, strict=True):
            environment[old] = new
    outputs = environment.read(graph.outputs)
    return Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs)


def parts_of(node: Node) -> int:
    """How many parts the sum of a product is cut into: by its shape alone."""
    if node.primitive.name != "contract":
        return 1
    x, weights = (value.spec for value in node.inputs)
    plain = {"sums": ((1,), (0,)), "batch": ((), ())}
    if node.params != plain or x.ndim != 2 or weights.ndim != 2:
        return 1
    if not weights.dtype.is_float:
        return 1
    rows, (terms, columns) = x.shape[0], weights.shape
    small = SLOTS * weights.nbytes <= MOST_BYTES and columns >= LEAST_COLUMNS
    if not small or rows * terms * columns < LEAST_WORK:
        return 1
    for parts in PARTS:
        fits = terms % parts == 0 and terms >= parts * LEAST_TERMS
        # what is written and read again is little against the weights
        if fits and 2 * parts * rows <= terms:
            return parts
    return 1


def _in_parts(
    node: Node, inputs: tuple[Value, ...], parts: int, builder: Builder
) -> Value:
    x, weights = inputs
    rows, (terms, columns) = x.spec.shape[0], weights.spec.shape
    each = terms // parts
    shapes = (rows, parts, each), (parts, each, columns)
    split = [
        builder.apply(reshape.primitive, (value,), {"shape": shape}, node.scope)[0]
        for value, shape in zip(inputs, shapes, strict=True)
    ]
    how = {"sums": ((2,), (1,)), "batch": ((1,), (0,))}
    (products,) = builder.apply(contract.primitive, split, how, node.scope)
    (total,) = builder.apply(
        reduce_sum.primitive, (products,), {"axes": (0,)}, node.scope
    )
    return total
