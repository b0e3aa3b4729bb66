"""The reference backend: a graph run by the NumPy reference of each node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.ir.graph import Graph, evaluate
from chainrule.ir.spec import Spec


class InterpretedProgram:
    """A graph as something to call with arrays.

    Example:
        >>> from chainrule.ir import Spec, trace
        >>> from chainrule.ir.dtype import float32
        >>> from chainrule.ops import multiply
        >>> graph, _ = trace(lambda x: [multiply(x, x)], [Spec((2,), float32)])
        >>> InterpretedProgram(graph)([np.array([1, 3], np.float32)])[0].tolist()
        [1.0, 9.0]
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __call__(
        self, arrays: Sequence[np.ndarray[Any, Any]]
    ) -> tuple[np.ndarray[Any, Any], ...]:
        """The outputs for these inputs."""
        return evaluate(self.graph, arrays)


@dataclass(frozen=True)
class Part:
    """Steps of a pass over the data.

    Attributes:
        graph: the step.
        batch_size: the rows that it takes.
        rows: the rows of all of them.
        captured: what the step captured.
    """

    graph: Graph
    batch_size: int
    rows: int
    captured: Sequence[np.ndarray[Any, Any]]


class InterpretedLoop:
    """A step driven over rows of data, one interpreted run of its graph each.

    The graph's inputs are the state, the data, the numbers of the rows of a batch, and
    what the step captured; its outputs the new state and what the step returns.
    """

    def __init__(self) -> None:
        self._state: list[np.ndarray[Any, Any]] = []
        self._data: list[np.ndarray[Any, Any]] = []

    def begin(
        self,
        state: Sequence[np.ndarray[Any, Any]],
        data: Sequence[np.ndarray[Any, Any]],
        specs: Sequence[Spec] | None = None,
    ) -> None:
        """Set the state and the data."""
        self._state = list(state)
        self._data = list(data)

    def feed(self, data: Sequence[np.ndarray[Any, Any]]) -> None:
        """Set the data; the state stays."""
        self._data = list(data)

    def write(
        self, places: Sequence[int], arrays: Sequence[np.ndarray[Any, Any]]
    ) -> None:
        """Set a part of the state, named by positions."""
        for place, array in zip(places, arrays, strict=True):
            self._state[place] = array

    def read(self, places: Sequence[int]) -> list[np.ndarray[Any, Any]]:
        """A part of the state now."""
        return [self._state[place] for place in places]

    def run(
        self,
        graph: Graph,
        rows: np.ndarray[Any, Any],
        batch_size: int,
        captured: Sequence[np.ndarray[Any, Any]],
    ) -> list[np.ndarray[Any, Any]]:
        """Take a step for each `batch_size` rows; what the steps returned, stacked."""
        pieces: list[tuple[np.ndarray[Any, Any], ...]] = []
        count = len(self._state)
        for start in range(0, len(rows), batch_size):
            batch = np.asarray(rows[start : start + batch_size], np.int64)
            results = evaluate(graph, [*self._state, *self._data, batch, *captured])
            self._state = list(results[:count])
            pieces.append(results[count:])
        return [np.concatenate(column) for column in zip(*pieces, strict=True)]

    def seconds(self, graph: Graph) -> float | None:
        """How long a step takes: as long as Python takes, and nobody knows."""
        return None

    def passes(
        self,
        parts: Sequence[Part],
        orders: np.ndarray[Any, Any],
        fresh: Mapping[int, np.ndarray[Any, Any]],
    ) -> list[np.ndarray[Any, Any]]:
        """Take the steps of several passes; what stood at some places after each."""
        kept = []
        for order in orders:
            self.write([*fresh], [*fresh.values()])
            first = 0
            for part in parts:
                rows = order[first : first + part.rows]
                self.run(part.graph, rows, part.batch_size, part.captured)
                first += part.rows
            kept.append(self.read([*fresh]))
        return [np.stack(column) for column in zip(*kept, strict=True)]

    def state(self) -> list[np.ndarray[Any, Any]]:
        """The state now."""
        return list(self._state)
