"""A traced computation: inputs, nodes in order, outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import GraphError, ShapeError
from chainrule.ir.spec import Spec
from chainrule.ir.value import Node, Value


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """A straight-line program.

    A value that a node reads is an input, the output of an earlier node, or a constant
    (a value with data).

    Attributes:
        name: the name of the traced function.
        inputs: the values to be supplied.
        nodes: in an order in which every value is made before it is read.
        outputs: the values that are returned; an input or a constant may be one.
    """

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]

    def __repr__(self) -> str:
        return f"<{self.name}, {len(self.nodes)} nodes>"

    @property
    def input_specs(self) -> tuple[Spec, ...]:
        """Specs of the inputs."""
        return tuple(value.spec for value in self.inputs)

    @property
    def output_specs(self) -> tuple[Spec, ...]:
        """Specs of the outputs."""
        return tuple(value.spec for value in self.outputs)

    def constants(self) -> Iterator[Value]:
        """The values with data that nodes or outputs read, each once."""
        seen: set[int] = set()
        reads = [value for node in self.nodes for value in node.inputs]
        for value in (*reads, *self.outputs):
            if value.data is not None and id(value) not in seen:
                seen.add(id(value))
                yield value


def evaluate(
    graph: Graph, arrays: Sequence[np.ndarray[Any, Any]]
) -> tuple[np.ndarray[Any, Any], ...]:
    """Run `graph` by the reference of each node: the definition of what it means.

    A value is dropped after its last use, so that peak memory is that of the values
    alive at once.

    Raises:
        ShapeError: when `arrays` do not match the graph's inputs.
    """
    environment = _bind(graph, arrays)
    last_use = _last_uses(graph)
    for position in _compute(graph, environment):
        for dead in last_use.get(position, ()):
            environment.pop(dead, None)
    return tuple(_read(environment, value) for value in graph.outputs)


def evaluate_all(
    graph: Graph, arrays: Sequence[np.ndarray[Any, Any]]
) -> dict[int, np.ndarray[Any, Any]]:
    """Run `graph`, and keep every value: inputs, constants and outputs, by `id`."""
    environment = _bind(graph, arrays)
    environment.update({id(v): np.asarray(v.data) for v in graph.constants()})
    for _ in _compute(graph, environment):
        pass
    return environment


def _bind(
    graph: Graph, arrays: Sequence[np.ndarray[Any, Any]]
) -> dict[int, np.ndarray[Any, Any]]:
    _check_inputs(graph, arrays)
    return {id(v): a for v, a in zip(graph.inputs, arrays, strict=True)}


def _compute(
    graph: Graph, environment: dict[int, np.ndarray[Any, Any]]
) -> Iterator[int]:
    """Compute node after node; gives the position of each when it is done."""
    for position, node in enumerate(graph.nodes):
        operands = [_read(environment, value) for value in node.inputs]
        with np.errstate(all="ignore"):
            results = node.primitive.compute(operands, node.params)
        many = results if node.primitive.multiple else (results,)
        for value, result in zip(node.outputs, many, strict=True):
            environment[id(value)] = np.asarray(result)
        del operands, results, many
        yield position


def _check_inputs(graph: Graph, arrays: Sequence[np.ndarray[Any, Any]]) -> None:
    if len(arrays) != len(graph.inputs):
        raise ShapeError(
            "wrong number of arrays",
            where=graph.name,
            got=len(arrays),
            expected=len(graph.inputs),
        )
    for position, (value, array) in enumerate(zip(graph.inputs, arrays, strict=True)):
        spec = value.spec
        if array.shape != spec.shape or array.dtype != spec.dtype.numpy:
            raise ShapeError(
                f"input {position} does not match",
                where=graph.name,
                got=f"{array.dtype}{list(array.shape)}",
                expected=spec,
            )


def _read(environment: dict[int, Any], value: Value) -> Any:
    if id(value) in environment:
        return environment[id(value)]
    if value.data is None:
        raise GraphError("a value is read before it is made", got=value.spec)
    return value.data


def _last_uses(graph: Graph) -> dict[int, list[int]]:
    """For each node position, the ids of the values that nobody reads afterwards."""
    last: dict[int, int] = {}
    for position, node in enumerate(graph.nodes):
        for value in (*node.inputs, *node.outputs):
            last[id(value)] = position
    for value in graph.outputs:
        last.pop(id(value), None)
    result: dict[int, list[int]] = {}
    for key, position in last.items():
        result.setdefault(position, []).append(key)
    return result
