"""Long sums down columns, stretch by stretch: for threads to share, and for caches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chainrule.compiler.passes.rebuild import Builder, Environment
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Shape
from chainrule.ir.value import Node, Value
from chainrule.ops import reduce_sum, reshape

LEAST_TERMS = 512  # of a sum that is cut
STRETCHES = 8  # at least
MOST = 512  # terms of a stretch
LEAST = 32
LEAST_OF_SAMPLE = 64  # of a sample that makes a stretch of its own
FEWEST_COLUMNS = 4


@dataclass(frozen=True)
class _Cut:
    """Where the terms of a sum are cut.

    Attributes:
        axis: the one that is cut in two; all before it count stretches.
        step: positions of it in a stretch.
        terms: of a stretch.
    """

    axis: int
    step: int
    terms: int


def sum_in_stretches(graph: Graph) -> Graph:
    """`graph` with long sums over leading axes made of sums of stretches.

    The sums of a picture's channels have as many results as there are channels, too few
    for threads to share. Where the sum is cut depends on its shape alone.
    """
    builder, environment = Builder(), Environment(graph)
    for node in graph.nodes:
        inputs = environment.read(node.inputs)
        cut = _cut_of(node)
        if cut is not None:
            environment[node.outputs[0]] = _in_stretches(node, inputs[0], cut, builder)
            continue
        results = builder.apply(node.primitive, inputs, node.params, node.scope)
        for old, new in zip(node.outputs, results, strict=True):
            environment[old] = new
    outputs = environment.read(graph.outputs)
    return Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs)


def _cut_of(node: Node) -> _Cut | None:
    """Where the sum of this node is cut; None where it is not."""
    if node.primitive.name != "sum" or not node.outputs[0].spec.dtype.is_float:
        return None
    shape, axes = node.inputs[0].spec.shape, tuple(node.params["axes"])
    leading = tuple(range(len(axes)))
    if axes != leading or node.outputs[0].spec.size < FEWEST_COLUMNS:
        return None
    terms = math.prod(shape[: len(axes)])
    if terms < LEAST_TERMS:
        return None
    each = terms // shape[0]
    if shape[0] >= STRETCHES and LEAST_OF_SAMPLE <= each <= MOST:
        return _Cut(0, 1, each)  # what a thread sums of the sample that it has
    cuts = _cuts(shape[: len(axes)])
    fitting = [c for c in cuts if c.terms <= min(MOST, terms // STRETCHES)]
    best = max(fitting, key=lambda c: c.terms, default=None)
    if best is None or best.terms < LEAST:
        longer = [c for c in cuts if LEAST <= c.terms <= terms // STRETCHES]
        best = min(longer, key=lambda c: c.terms, default=None)
    return best


def _cuts(shape: Shape) -> list[_Cut]:
    """Every way to cut the terms of a sum over axes of these lengths evenly."""
    return [
        _Cut(axis, step, step * math.prod(shape[axis + 1 :]))
        for axis, length in enumerate(shape)
        for step in range(1, min(length, LEAST_TERMS) + 1)
        if length % step == 0 and (step < length or not axis)
    ]


def _in_stretches(node: Node, x: Value, cut: _Cut, builder: Builder) -> Value:
    shape, axis, count = x.spec.shape, cut.axis, len(node.params["axes"])
    if cut.step > 1:
        split = (shape[axis] // cut.step, cut.step)
        apart = {"shape": (*shape[:axis], *split, *shape[axis + 1 :])}
        (x,) = builder.apply(reshape.primitive, (x,), apart, node.scope)
        count += 1
    for axes in (range(axis + 1, count), range(axis + 1)):
        params = {"axes": tuple(axes)}
        (x,) = builder.apply(reduce_sum.primitive, (x,), params, node.scope)
    return x
