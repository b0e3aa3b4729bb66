"""The rules that every graph keeps."""

from __future__ import annotations

from chainrule.errors import GraphError
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import PRIMITIVES
from chainrule.ir.value import Node, Value


def verify(graph: Graph) -> Graph:
    """Check `graph` and return it.

    Every value is made once and before it is read; every node's primitive is
    registered; specs are what the primitive's rule says; constants match their data.
    Graphs that nodes carry are checked too.

    Raises:
        GraphError: names the node and the rule that it breaks.
    """
    made: dict[int, Value] = {}
    for value in graph.inputs:
        _make(made, value, "input")
    for position, node in enumerate(graph.nodes):
        where = f"{graph.name}, node {position} ({node.primitive.name})"
        if PRIMITIVES.get(node.primitive.name) is not node.primitive:
            raise GraphError("the primitive is not registered", where=where)
        for value in node.inputs:
            _check_read(made, value, where)
        _check_specs(node, where)
        for carried in node.params.values():
            if isinstance(carried, Graph):
                verify(carried)
        for index, value in enumerate(node.outputs):
            if value.node is not node or value.index != index:
                raise GraphError("an output does not name its node", where=where)
            _make(made, value, where)
    for value in graph.outputs:
        _check_read(made, value, f"{graph.name}, output")
    return graph


def _make(made: dict[int, Value], value: Value, where: str) -> None:
    if id(value) in made:
        raise GraphError("a value is made twice", where=where, got=value.spec)
    made[id(value)] = value


def _check_read(made: dict[int, Value], value: Value, where: str) -> None:
    if value.data is None and id(value) not in made:
        raise GraphError(
            "a value is read before it is made", where=where, got=value.spec
        )
    if value.data is not None and id(value) not in made:
        data = value.data
        if data.shape != value.spec.shape or data.dtype != value.spec.dtype.numpy:
            raise GraphError(
                "a constant does not match its data",
                where=where,
                got=f"{data.dtype}{list(data.shape)}",
                expected=value.spec,
            )


def _check_specs(node: Node, where: str) -> None:
    rule = node.primitive.spec(*[value.spec for value in node.inputs], **node.params)
    expected = rule if isinstance(rule, tuple) else (rule,)
    actual = tuple(value.spec for value in node.outputs)
    if actual != expected:
        raise GraphError(
            "specs differ from the primitive's rule",
            where=where,
            got=", ".join(map(str, actual)),
            expected=", ".join(map(str, expected)),
        )
