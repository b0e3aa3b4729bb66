"""A step driven over rows of data without coming back to Python between steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.interpret import Part
from chainrule.compiler.memory import ALIGNMENT
from chainrule.compiler.plan import state_strides
from chainrule.compiler.program import Program, Stretch, address_of, aligned, programs
from chainrule.ir.dtype import as_dtype
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Spec

Array = np.ndarray[Any, Any]


class StateBuffer:
    """A value that stays in memory from step to step, in the layout of programs."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._strides = state_strides(spec)
        steps = zip(spec.shape, self._strides, strict=True)
        extent = 1 + sum((n - 1) * step for n, step in steps) if spec.size else 0
        lines = -(-max(extent, 1) * spec.dtype.itemsize // ALIGNMENT)
        self.nbytes = lines * ALIGNMENT

    def lie_at(self, room: Array, start: int, address: int) -> None:
        """Take `nbytes` bytes of `room` from `start` on; the room is at `address`."""
        spec = self.spec
        steps = tuple(step * spec.dtype.itemsize for step in self._strides)
        # the function of NumPy for this costs ten times as much
        self.array: Array = np.ndarray(spec.shape, spec.dtype.numpy, room, start, steps)
        self.address = address + start

    def room_for(self, count: int) -> Array:
        """Bytes for so many copies, one after the other."""
        return np.zeros((count, self.nbytes), np.uint8)

    def view(self, room: Array) -> Array:
        """The values in the bytes of several copies."""
        spec = self.spec
        steps = tuple(step * spec.dtype.itemsize for step in self._strides)
        shape = (len(room), *spec.shape)
        return np.ndarray(shape, spec.dtype.numpy, room, 0, (self.nbytes, *steps))

    def copy(self) -> Array:
        """The value now, dense."""
        return np.array(self.array, order="C")


def _placed(buffers: list[StateBuffer]) -> list[StateBuffer]:
    """Give buffers their memory, one after the other.

    In one block, which NumPy asks large pages for, they need fewer entries of the
    tables that translate addresses than each in a block of its own.
    """
    room = aligned(sum(buffer.nbytes for buffer in buffers))
    start, address = 0, address_of(room)
    for buffer in buffers:
        buffer.lie_at(room, start, address)
        start += buffer.nbytes
    return buffers


def _moves(
    buffers: Sequence[StateBuffer], starts: Sequence[Array], ends: Sequence[Array]
) -> list[Array]:
    """The moves before each pass, and those after the last.

    What stands in the buffers is put to their ends, and their starts are put there.
    """
    count = len(ends[0]) if ends else 0
    starts_at, ends_at = map(address_of, starts), map(address_of, ends)
    places = list(zip(buffers, starts_at, ends_at, strict=True))
    moves = []
    for number in range(count + 1):
        words = []
        for buffer, start, end in places:
            size, address = buffer.nbytes, buffer.address
            if number:
                words.append([end + (number - 1) * size, address, size // 8])
            if number < count:
                words.append([address, start, size // 8])
        moves.append(np.array(words, np.int64))
    return moves


class NativeLoop:
    """Runs the graph of a step many times in one native call.

    Subnormal numbers count as 0: the averages of an optimizer for a unit that is dead
    become subnormal, and some processors take a hundred times as long for those.

    The graph's inputs are the state, the data, the numbers of the rows of a batch, and
    what the step captured; its outputs the new state and what the step returns.
    """

    def __init__(self) -> None:
        self._programs: dict[Graph, Program] = {}
        self._state: list[StateBuffer] = []
        self._data: list[Array] = []
        self._data_at: list[int] = []

    def begin(self, state: Sequence[Array], data: Sequence[Array]) -> None:
        """Copy the state in; the data are read where they are."""
        specs = [Spec(array.shape, as_dtype(array.dtype)) for array in state]
        if [buffer.spec for buffer in self._state] != specs:
            self._state = _placed([StateBuffer(spec) for spec in specs])
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
        count, _length = orders.shape
        buffers = [self._state[place] for place in fresh]
        starts = [buffer.room_for(1) for buffer in buffers]
        for buffer, start, array in zip(buffers, starts, fresh.values(), strict=True):
            buffer.view(start)[...] = array
        ends = [buffer.room_for(count) for buffer in buffers]
        moves = _moves(buffers, starts, ends)
        main = self.program(parts[0].graph)
        threads = main.pace.settled or 1
        columns, first = [], 0
        for part in parts:
            before = [None] * count if first else moves[:count]
            columns.append(self._stretches(part, orders[:, first:], threads, before))
            first += part.rows
        stretches = [stretch for each in zip(*columns, strict=True) for stretch in each]
        words = [0, 0, *columns[0][0].words[2:]]
        stretches.append(Stretch(words, (), moves[count]))
        others = [self.program(part.graph) for part in parts[1:]]
        main.run_with(others, stretches, threads)
        return [b.view(end) for b, end in zip(buffers, ends, strict=True)]

    def _stretches(
        self,
        part: Part,
        orders: Array,
        threads: int,
        moves: Sequence[Array | None],
    ) -> list[Stretch]:
        """The steps of a part in each pass, the rows of which begin `orders`."""
        program = self.program(part.graph)
        inputs, count = program.plan.graph.inputs, len(self._state)
        arrays = [orders, *map(np.ascontiguousarray, part.captured)]
        addresses = [buffer.address for buffer in self._state]
        addresses += [*self._data_at, *map(address_of, arrays)]
        table = program.addressed(list(zip(inputs, addresses, strict=True)))
        rows = inputs[count + len(self._data)]
        tables = np.empty((len(orders), threads, len(table)), np.int64)
        tables[:] = table
        offsets = orders.strides[0] * np.arange(len(orders), dtype=np.int64)
        tables[:, :, program.slots_of(rows)] += offsets[:, None, None]
        patches = program.patches([(rows, 8 * part.batch_size)])
        steps = part.rows // part.batch_size
        made = program.stretch(steps, tables, patches)
        held = (*made.held, *arrays)
        size = tables.strides[0]
        return [
            Stretch(program.moved(made.words, number * size), held, before)
            for number, before in enumerate(moves)
        ]

    def state(self) -> list[Array]:
        """The state now."""
        return [buffer.copy() for buffer in self._state]

    def program(self, graph: Graph) -> Program:
        """The program made of `graph`."""
        if graph not in self._programs:
            donations = [(i, i) for i in range(len(self._state))]
            self._programs[graph] = programs.get(graph, donations)
        return self._programs[graph]
