"""A step driven over rows of data without coming back to Python between steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.arenas import address_of
from chainrule.compiler.interpret import Part
from chainrule.compiler.passage import Passage
from chainrule.compiler.program import Program, alone_with, programs
from chainrule.compiler.rooms import NO_ROOM, StateBuffer, rooms
from chainrule.ir.dtype import as_dtype
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Spec, spec_of

Array = np.ndarray[Any, Any]
KEPT_PASSAGES = 2  # on one room


class NativeLoop:
    """Runs the graph of a step many times in one native call.

    Subnormal numbers count as 0: the averages of an optimizer for a unit that is dead
    become subnormal, and some processors take a hundred times as long for those.

    The graph's inputs are the state, the data, the numbers of the rows of a batch, and
    what the step captured; its outputs the new state and what the step returns.
    """

    def __init__(self) -> None:
        self._programs: dict[Graph, Program] = {}
        self._room = NO_ROOM
        self._data: list[Array] = []
        self._data_at: list[int] = []

    @property
    def _state(self) -> list[StateBuffer]:
        return self._room.buffers

    def begin(
        self,
        state: Sequence[Array],
        data: Sequence[Array],
        specs: Sequence[Spec] | None = None,
    ) -> None:
        """Copy the state in; the data are read where they are.

        Args:
            state: the values.
            data: the arrays whose rows are taken.
            specs: of the values, where they are at hand.
        """
        if specs is None:
            specs = [spec_of(array.shape, as_dtype(array.dtype)) for array in state]
        if self._room.specs != specs:
            rooms.give(self._room)
            self._room = rooms.take(specs)
        for buffer, array in zip(self._state, state, strict=True):
            buffer.array[...] = array
        self.feed(data)

    def feed(self, data: Sequence[Array]) -> None:
        """Set the data, which are read where they are; the state stays."""
        self._data = [np.ascontiguousarray(array) for array in data]
        self._data_at = [address_of(array) for array in self._data]

    def write(self, places: Sequence[int], arrays: Sequence[Array]) -> None:
        """Set a part of the state, named by positions."""
        for place, array in zip(places, arrays, strict=True):
            self._state[place].array[...] = array

    def read(self, places: Sequence[int]) -> list[Array]:
        """A part of the state now."""
        return [self._state[place].copy() for place in places]

    def run(
        self, graph: Graph, rows: Array, batch_size: int, captured: Sequence[Array]
    ) -> list[Array]:
        """Take a step for each `batch_size` rows; their number divides that of rows."""
        program = self.program(graph)
        inputs, outputs = program.plan.graph.inputs, program.plan.graph.outputs
        count = len(self._state)
        steps = len(rows) // batch_size
        rows = np.ascontiguousarray(rows, np.int64)
        arrays = [rows, *map(np.ascontiguousarray, captured)]
        addresses = [buffer.address for buffer in self._state]
        addresses += [*self._data_at, *map(address_of, arrays)]
        places = list(zip(inputs, addresses, strict=True))
        moving = [(inputs[count + len(self._data)], 8 * batch_size)]
        results = []
        for value in outputs[count:]:
            shape = (steps * value.spec.shape[0], *value.spec.shape[1:])
            result = np.empty(shape, value.spec.dtype.numpy)
            places.append((value, address_of(result)))
            moving.append((value, value.spec.nbytes))
            results.append(result)
        program.launch(places, steps, moving, flush=True)
        return results

    def seconds(self, graph: Graph) -> float | None:
        """How long a step takes; None where that is not known, or being tried."""
        pace = self.program(graph).pace
        return None if pace.settled is None else pace.step_seconds

    def passes(
        self, parts: Sequence[Part], orders: Array, fresh: Mapping[int, Array]
    ) -> list[Array]:
        """Take the steps of several passes over the data in one native call.

        Args:
            parts: what each pass is made of; their steps return nothing but the state.
            orders: for each pass the numbers of its rows.
            fresh: what stands at some places of the state before each pass.

        Returns:
            For each of these places what stood there after every pass.
        """
        orders = np.ascontiguousarray(orders, np.int64)
        captured = [part.captured for part in parts]
        with alone_with([self.program(part.graph) for part in parts]):
            passage = self._passage(parts, len(orders), tuple(fresh))
            return passage.run(self._data_at, orders, captured, [*fresh.values()])

    def _passage(
        self, parts: Sequence[Part], count: int, fresh: tuple[int, ...]
    ) -> Passage:
        """What was prepared for passes like these, on the room that the state is in."""
        programs = [self.program(part.graph) for part in parts]
        threads = programs[0].pace.settled or 1
        made_of = [
            (id(program), part.batch_size, part.rows, len(part.captured))
            for program, part in zip(programs, parts, strict=True)
        ]
        key = tuple(made_of), count, fresh, threads
        known = self._room.passages
        passage: Passage | None = known.get(key)
        if passage is None:
            passage = Passage(programs, parts, self._room, fresh, count, threads)
            # what is borrowed lies elsewhere the next time
            if not any(program.arena is None for program in programs):
                while len(known) >= KEPT_PASSAGES:
                    known.pop(next(iter(known)))
                known[key] = passage
        return passage

    def state(self) -> list[Array]:
        """The state now."""
        return [buffer.copy() for buffer in self._state]

    def program(self, graph: Graph) -> Program:
        """The program made of `graph`."""
        if graph not in self._programs:
            donations = [(i, i) for i in range(len(self._state))]
            self._programs[graph] = programs.get(graph, donations)
        return self._programs[graph]
