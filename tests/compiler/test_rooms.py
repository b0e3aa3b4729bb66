"""Memory of states that one loop hands on to the next, and what is prepared on it."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler import native_loop, rooms
from chainrule.compiler.interpret import InterpretedLoop, Part
from chainrule.compiler.native_loop import NativeLoop
from chainrule.ir.dtype import float64, int64
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Spec
from chainrule.ir.trace import trace
from chainrule.ops import add, multiply, reduce_sum, take

RNG = np.random.default_rng(0)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> rooms._Rooms:
    """Where no room is free at first."""
    found = rooms._Rooms()
    monkeypatch.setattr(native_loop, "rooms", found)
    return found


def step_of(batch: int, width: int) -> Graph:
    """A step that sums rows, scaled by something that it captures."""

    def step(state, total, data, rows, scale):
        new = add(
            state, multiply(reduce_sum(take(data, rows, axis=0), axes=(0,)), scale)
        )
        return [new, add(total, reduce_sum(new, axes=(0,)))]

    specs = [Spec((width,), float64), Spec((), float64), Spec((7, width), float64)]
    return trace(step, [*specs, Spec((batch,), int64), Spec((), float64)])[0]


def passes(loop, parts: list[Part], width: int, seed: int):
    """What a loop makes of numbers of its own: sums after each pass, and the state."""
    rng = np.random.default_rng(seed)
    loop.begin([rng.normal(size=width), np.array(7.0)], [rng.normal(size=(7, width))])
    orders = np.array([rng.permutation(7) for _ in range(3)])
    captured = [np.array(rng.normal())]
    parts = [Part(x.graph, x.batch_size, x.rows, captured) for x in parts]
    found = loop.passes(parts, orders, {1: np.array(rng.normal())})
    state = loop.state()
    loop.begin([], [])
    return [*found, *state]


@pytest.mark.parametrize("width", [1, 5, 40])
def test_another_run_in_a_room_is_the_run_of_a_new_loop(
    width: int, free: rooms._Rooms
) -> None:
    graphs = step_of(3, width), step_of(1, width)
    parts = [Part(graphs[0], 3, 6, []), Part(graphs[1], 1, 1, [])]
    for seed in range(4):
        found = passes(NativeLoop(), parts, width, seed)
        wanted = passes(InterpretedLoop(), parts, width, seed)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)
        assert len(free) == 1
    (room,) = free._free.values()
    assert len(room.passages) == 1


def test_what_a_run_gave_is_not_written_over(free: rooms._Rooms) -> None:
    parts = [Part(step_of(7, 5), 7, 7, [])]
    first = passes(NativeLoop(), parts, 5, 0)
    kept = [array.copy() for array in first]
    passes(NativeLoop(), parts, 5, 1)
    for one, other in zip(first, kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_loops_at_once_have_rooms_of_their_own(free: rooms._Rooms) -> None:
    loops = [NativeLoop(), NativeLoop()]
    for number, loop in enumerate(loops):
        loop.begin([np.full(3, float(number))], [])
    assert [loop.state()[0][0] for loop in loops] == [0.0, 1.0]
    for loop in loops:
        loop.begin([], [])
    assert len(free) == 2
    loops[0].begin([np.zeros(3)], [])
    assert len(free) == 1


def test_few_and_small_rooms_are_kept(
    free: rooms._Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "KEPT_ROOMS", 2)
    loop = NativeLoop()
    for length in (1, 2, 3, 4, rooms.KEPT_BYTES):
        loop.begin([np.zeros(length)], [])
    loop.begin([], [])
    assert len(free) == 2
