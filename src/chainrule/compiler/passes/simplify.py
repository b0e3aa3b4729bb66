"""Simplification: constants folded, equal nodes merged, identities applied, dead code
dropped, in one walk over the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.compiler.passes.algebra import rewrite
from chainrule.compiler.passes.rebuild import Builder, Environment, literal
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import Trait
from chainrule.ir.value import Node, Value

FOLDED_SIZE = 1024  # larger results are cheaper to compute than to carry along


def simplify(graph: Graph) -> Graph:
    """`graph` with the same outputs and no more nodes than it had."""
    builder, environment = Builder(), Environment(graph)
    merged: dict[Any, tuple[Value, ...]] = {}
    for node in graph.nodes:
        inputs = environment.read(node.inputs)
        results = _fold(node, inputs)
        if results is None:
            results = _simplified(node, inputs, builder, merged)
        for old, new in zip(node.outputs, results, strict=True):
            environment[old] = new
    outputs = environment.read(graph.outputs)
    return drop_dead(Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs))


def _fold(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
    """The results of a node whose inputs are all constants."""
    if any(value.data is None for value in inputs):
        return None
    if node.primitive.traits & {Trait.CALL, Trait.LOOP} or not inputs:
        return None
    if sum(value.spec.size for value in node.outputs) > FOLDED_SIZE:
        return None
    with np.errstate(all="ignore"):
        results = node.primitive.compute([_numbers(v) for v in inputs], node.params)
    many = results if node.primitive.multiple else (results,)
    return tuple(literal(np.asarray(result)) for result in many)


def _numbers(value: Value) -> np.ndarray[Any, Any]:
    assert value.data is not None
    return value.data


def _simplified(
    node: Node,
    inputs: tuple[Value, ...],
    builder: Builder,
    merged: dict[Any, tuple[Value, ...]],
) -> tuple[Value, ...]:
    def apply(primitive: Any, operands: Any, params: dict[str, Any]) -> Value:
        """A node that stands for the old one: folded or merged where possible."""
        key = node_key(primitive, operands, params)
        if key not in merged:
            merged[key] = builder.apply(primitive, operands, params, node.scope)
        return merged[key][0]

    replacement = rewrite(node, inputs, apply)
    if replacement is not None:
        return (replacement,)
    key = node_key(node.primitive, inputs, node.params)
    if key not in merged:
        merged[key] = builder.apply(node.primitive, inputs, node.params, node.scope)
    return merged[key]


def node_key(primitive: Any, inputs: tuple[Value, ...], params: dict[str, Any]) -> Any:
    """Equal for nodes that compute the same."""
    operands = [_operand_key(value) for value in inputs]
    if Trait.COMMUTATIVE in primitive.traits:
        operands.sort(key=repr)
    items = tuple(
        (name, item if _is_plain(item) else id(item)) for name, item in params.items()
    )
    return primitive.name, tuple(operands), items


def _is_plain(item: Any) -> bool:
    try:
        hash(item)
    except TypeError:
        return False
    return True


def _operand_key(value: Value) -> Any:
    if value.data is not None and value.spec.size <= 1:
        return ("number", str(value.spec), value.data.tobytes())
    return ("value", id(value))


def drop_dead(graph: Graph) -> Graph:
    """`graph` without the nodes that no output depends on."""
    alive = {id(value) for value in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(id(value) in alive for value in node.outputs):
            kept.append(node)
            alive.update(id(value) for value in node.inputs)
    return Graph(graph.name, graph.inputs, tuple(reversed(kept)), graph.outputs)
