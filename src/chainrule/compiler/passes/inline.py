"""Calls replaced by the nodes of the graphs that they carry."""

from __future__ import annotations

from chainrule.compiler.passes.rebuild import Builder, Environment
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import Trait
from chainrule.ir.value import Node, Value


def inline_calls(graph: Graph) -> Graph:
    """`graph` without nodes that carry graphs.

    Constants keep their identity; nodes of other kinds are copied.
    """
    if not any(Trait.CALL in node.primitive.traits for node in graph.nodes):
        return graph
    builder, environment = Builder(), Environment(graph)
    _copy(graph, builder, environment, "")
    outputs = environment.read(graph.outputs)
    return Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs)


def _copy(graph: Graph, builder: Builder, environment: Environment, scope: str) -> None:
    for node in graph.nodes:
        inputs = environment.read(node.inputs)
        if Trait.CALL in node.primitive.traits:
            results = _expand(node, inputs, builder, _join(scope, node.scope))
        else:
            place = _join(scope, node.scope)
            results = builder.apply(node.primitive, inputs, node.params, place)
        for old, new in zip(node.outputs, results, strict=True):
            environment[old] = new


def _expand(
    node: Node, inputs: tuple[Value, ...], builder: Builder, scope: str
) -> tuple[Value, ...]:
    inner: Graph = node.params["graph"]
    environment = Environment(inner)
    for old, new in zip(inner.inputs, inputs, strict=True):
        environment[old] = new
    _copy(inner, builder, environment, scope)
    return environment.read(inner.outputs)


def _join(outer: str, inner: str) -> str:
    return f"{outer}/{inner}" if outer and inner else outer or inner
