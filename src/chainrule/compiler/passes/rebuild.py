"""Rebuilding a graph node by node: what every pass does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.ir.dtype import as_dtype
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import Primitive
from chainrule.ir.spec import Spec
from chainrule.ir.value import Node, Value


class Builder:
    """Collects the nodes of a new graph."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def apply(
        self,
        primitive: Primitive,
        inputs: Sequence[Value],
        params: dict[str, Any],
        scope: str = "",
    ) -> tuple[Value, ...]:
        """Append a node; its outputs."""
        spec = primitive.spec(*[value.spec for value in inputs], **params)
        node = Node(primitive, tuple(inputs), params, scope)
        specs = spec if isinstance(spec, tuple) else (spec,)
        node.outputs = tuple(
            Value(s, node=node, index=index) for index, s in enumerate(specs)
        )
        self.nodes.append(node)
        return node.outputs


def literal(array: Any) -> Value:
    """A constant."""
    data = np.asarray(array)
    return Value(Spec(data.shape, as_dtype(data.dtype)), data)


class Environment:
    """What each value of the old graph is in the new one."""

    def __init__(self, graph: Graph) -> None:
        self._known: dict[int, Value] = {id(value): value for value in graph.inputs}

    def __getitem__(self, value: Value) -> Value:
        return self._known.get(id(value), value)

    def __setitem__(self, old: Value, new: Value) -> None:
        self._known[id(old)] = new

    def read(self, values: Sequence[Value]) -> tuple[Value, ...]:
        """The new values for `values`."""
        return tuple(self[value] for value in values)
