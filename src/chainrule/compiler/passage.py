"""Several passes over data in one native call, prepared once for many runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.compiler.arenas import address_of
from chainrule.compiler.interpret import Part
from chainrule.compiler.program import Program, Stretch
from chainrule.compiler.rooms import Room, StateBuffer
from chainrule.ir.value import Value

Array = np.ndarray[Any, Any]


class Passage:
    """The steps of some programs over and over, on the state in one room.

    Where everything lies is in tables that are written once. What another run has
    elsewhere (the data, the orders of the rows, what the steps captured) is written
    anew each time.

    Args:
        programs: one for each of `parts`; their steps return nothing but the state.
        parts: what each pass is made of, one after the other.
        room: where the state lies.
        fresh: the places of the state that begin anew in each pass.
        count: how many passes there are.
        threads: how many threads take the steps.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        parts: Sequence[Part],
        room: Room,
        fresh: Sequence[int],
        count: int,
        threads: int,
    ) -> None:
        self.programs = list(programs)
        self.threads = threads
        self.steps = count * sum(part.rows // part.batch_size for part in parts)
        buffers = [room.buffers[place] for place in fresh]
        self._starts = [buffer.room_for(1) for buffer in buffers]
        self._ends = [buffer.room_for(count) for buffer in buffers]
        pairs = list(zip(buffers, self._starts, self._ends, strict=True))
        self._start_views = [buffer.view(start) for buffer, start, _ in pairs]
        self._end_views = [buffer.view(end) for buffer, _, end in pairs]
        self._moves = _moves(buffers, self._starts, self._ends, count)
        length = 8 * sum(part.rows for part in parts)
        self._parts = []
        first = 0
        for program, part in zip(programs, parts, strict=True):
            size = count, threads, length
            self._parts.append(_PartTables(program, part, room, size, 8 * first))
            first += part.rows
        self._context = self._written(count)

    def _written(self, count: int) -> Array:
        """What the native loop is told: steps, and moves before and after a pass."""
        stretches = []
        for number in range(count):
            before: Array | None = self._moves[number]
            for part in self._parts:
                made = part.stretch(number)
                stretches.append(Stretch(made.words, made.held, before))
                before = None
        words = [0, 0, *self._parts[0].stretch(0).words[2:]]
        stretches.append(Stretch(words, (), self._moves[count]))
        return self.programs[0].context(stretches, flush=True)

    def run(
        self,
        data: Sequence[int],
        orders: Array,
        captured: Sequence[Sequence[Array]],
        fresh: Sequence[Array],
    ) -> list[Array]:
        """Take all steps.

        Args:
            data: the addresses of the arrays of the data.
            orders: for each pass the numbers of its rows.
            captured: what the steps of each part captured.
            fresh: what stands at the places that begin anew.

        Returns:
            For each of these places what stood there after every pass.
        """
        for view, array in zip(self._start_views, fresh, strict=True):
            view[...] = array
        at = address_of(orders)
        held = [[np.ascontiguousarray(x) for x in each] for each in captured]
        for part, arrays in zip(self._parts, held, strict=True):
            part.place([*data, at, *map(address_of, arrays)])
        main, *others = self.programs
        main.run_with(others, self._context, self.steps, self.threads)
        return [view.copy() for view in self._end_views]


class _PartTables:
    """The tables of one program: for each pass, and for each thread in it.

    Args:
        program: the program.
        part: the steps that it takes.
        room: where the state lies.
        size: passes, threads, and the bytes of an order.
        first: the byte of an order where its rows begin.
    """

    def __init__(
        self,
        program: Program,
        part: Part,
        room: Room,
        size: tuple[int, int, int],
        first: int,
    ) -> None:
        count, threads, length = size
        inputs, state = program.plan.graph.inputs, len(room.buffers)
        places = [
            (value, buffer.address)
            for value, buffer in zip(inputs, room.buffers, strict=False)
        ]
        table = program.addressed(places)
        self.tables = np.empty((count, threads, len(table)), np.int64)
        self.tables[:] = table
        rows = inputs[-1 - len(part.captured)]
        self._patches = program.patches([(rows, 8 * part.batch_size)])
        self._program = program
        self._steps = part.rows // part.batch_size
        self._index(inputs[state:], rows, length, first)

    def _index(
        self, moving: Sequence[Value], rows: Value, length: int, first: int
    ) -> None:
        """Where the addresses of values go that lie elsewhere in each run."""
        found = [
            (slot, owner, value is rows)
            for owner, value in enumerate(moving)
            for slot in self._program.slots_of(value)
        ]
        slots, owners, walks = np.array(found, np.int64).reshape(-1, 3).T
        count, threads, words = self.tables.shape
        lines = np.arange(count * threads, dtype=np.int64)[:, None]
        self._places = (lines * words + slots).ravel()
        self._owners = np.tile(owners, count * threads)
        self._offsets = ((lines // threads * length + first) * walks).ravel()
        self._flat = self.tables.reshape(-1)

    def place(self, addresses: Sequence[int]) -> None:
        """Write down where data, orders and what was captured lie now."""
        found = np.array(addresses, np.int64)[self._owners]
        self._flat[self._places] = found + self._offsets

    def stretch(self, number: int) -> Stretch:
        """The steps in a pass."""
        return self._program.stretch(self._steps, self.tables[number], self._patches)


def _moves(
    buffers: Sequence[StateBuffer],
    starts: Sequence[Array],
    ends: Sequence[Array],
    count: int,
) -> list[Array]:
    """The moves before each pass, and those after the last.

    What stands in the buffers is put to their ends, and their starts are put there.
    """
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
        moves.append(np.array(words, np.int64).reshape(-1, 3))
    return moves
