"""Floats of 16 bits in sums that are kept in memory while they are made."""

from __future__ import annotations

from chainrule.compiler.engine import host_target
from chainrule.compiler.passes.rebuild import Builder, Environment
from chainrule.ir.dtype import DType, bfloat16, float32
from chainrule.ir.graph import Graph
from chainrule.ir.value import Node, Value
from chainrule.ops import cast

# operations that add to what they have stored, and would round it every time
ADDING = frozenset({"scatter_add", "cumulative_sum"})


def sum_widely(graph: Graph) -> Graph:
    """`graph` with sums of floats of 16 bits in float32, where kernels keep them so.

    Loops fold in registers, which hold float32 anyway; what adds to memory gets
    operands and results of 32 bits, and so do products of matrices, unless the machine
    multiplies pairs of bfloat16.
    """
    if not any(_is_widened(node) for node in graph.nodes):
        return graph
    builder, environment = Builder(), Environment(graph)
    for node in graph.nodes:
        inputs = environment.read(node.inputs)
        if _is_widened(node):
            results = _widened(node, inputs, builder)
        else:
            results = builder.apply(node.primitive, inputs, node.params, node.scope)
        for old, new in zip(node.outputs, results, strict=True):
            environment[old] = new
    outputs = environment.read(graph.outputs)
    return Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs)


def _is_widened(node: Node) -> bool:
    dtype, name = node.outputs[0].spec.dtype, node.primitive.name
    if name == "contract":
        native = dtype is bfloat16 and host_target().multiplies_pairs
        return dtype.is_half and not native
    return dtype.is_half and name in ADDING


def _widened(
    node: Node, inputs: tuple[Value, ...], builder: Builder
) -> tuple[Value, ...]:
    def as_dtype(value: Value, dtype: DType) -> Value:
        return builder.apply(cast.primitive, (value,), {"dtype": dtype}, node.scope)[0]

    wide = [as_dtype(v, float32) if v.spec.dtype.is_half else v for v in inputs]
    results = builder.apply(node.primitive, wide, node.params, node.scope)
    pairs = zip(results, node.outputs, strict=True)
    return tuple(as_dtype(value, old.spec.dtype) for value, old in pairs)
