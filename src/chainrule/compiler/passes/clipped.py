"""Comparisons that are asked of what is stored anyway.

Where `y = where(x <= 0, 0, x)` is the operand of a product, the backward pass asks
whether `x <= 0`. That is so exactly where `y <= 0`: asked of y, x need not be stored.
"""

from __future__ import annotations

import math

from chainrule.compiler.fuse import uses_blocks
from chainrule.compiler.lower import MOVES
from chainrule.compiler.passes.rebuild import Builder, Environment
from chainrule.ir.dtype import widen
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import Trait
from chainrule.ir.value import Node, Value


def ask_clipped(graph: Graph) -> Graph:
    """`graph` with comparisons of clipped values instead of those before clipping."""
    users: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for key in {id(value) for value in node.inputs}:
            users.setdefault(key, []).append(node)
    answers = _answers(graph, users)
    if not answers:
        return graph
    builder, environment = Builder(), Environment(graph)
    asked: dict[int, Value] = {}
    for node in graph.nodes:
        inputs = tuple(
            asked.get(id(old), new)
            for old, new in zip(node.inputs, environment.read(node.inputs), strict=True)
        )
        results = builder.apply(node.primitive, inputs, node.params, node.scope)
        for old, new in zip(node.outputs, results, strict=True):
            environment[old] = new
        condition = answers.get(id(node.outputs[0]))
        if condition is not None:
            clipped, comparison = node.outputs[0], condition.node
            assert comparison is not None
            operands = tuple(
                environment[value] if value.data is not None else environment[clipped]
                for value in comparison.inputs
            )
            made = builder.apply(comparison.primitive, operands, {}, comparison.scope)
            asked[id(condition)] = made[0]
    outputs = environment.read(graph.outputs)
    return Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs)


def _answers(graph: Graph, users: dict[int, list[Node]]) -> dict[int, Value]:
    """By the id of each clipped value that is worth asking: the comparison."""
    operands = {
        id(_moved(value))
        for node in graph.nodes
        if uses_blocks(node)
        for value in node.inputs
    }
    taken = {id(value) for value in graph.outputs}
    found: dict[int, Value] = {}
    for node in graph.nodes:
        if node.primitive.name != "where" or id(node.outputs[0]) not in operands:
            continue
        condition, source = node.inputs[0], node.inputs[2]
        again = len(users[id(condition)]) > 1 and _clips(node)
        if not again or {id(source), id(condition)} & taken:
            continue
        if len(users[id(source)]) == 2 and _is_spent(source, users):
            found[id(node.outputs[0])] = condition
    return found


def _clips(node: Node) -> bool:
    """Whether this is `where(x <= k, k, x)` or `where(k <= x, k, x)`, k a number."""
    condition, bound, source = node.inputs
    comparison = condition.node
    if comparison is None or comparison.primitive.name != "less_equal":
        return False
    number, spec = _number(bound), node.outputs[0].spec
    if number is None or math.isnan(number):
        return False
    others = [value for value in comparison.inputs if value is not source]
    same = len(others) == 1 and _number(others[0]) == number
    return same and source.spec == spec and spec.dtype.is_float


def _number(value: Value) -> float | None:
    if value.data is None or value.spec.size != 1:
        return None
    return float(widen(value.data).reshape(()).item())


def _moved(value: Value) -> Value:
    """The value whose elements these are."""
    while value.node is not None and value.node.primitive.name in MOVES:
        value = value.node.inputs[0]
    return value


def _is_spent(value: Value, users: dict[int, list[Node]]) -> bool:
    """Whether it comes from one product that nothing else needs."""
    while value.node is not None and not uses_blocks(value.node):
        node = value.node
        plain = {Trait.ELEMENTWISE, Trait.MOVEMENT} & node.primitive.traits
        large = [v for v in node.inputs if v.spec.size == value.spec.size]
        if not plain or len(large) != 1 or len(users[id(large[0])]) > 1:
            return False
        (value,) = large
    return value.node is not None
