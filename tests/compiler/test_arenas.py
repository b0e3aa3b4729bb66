"""Memory that programs borrow while they run."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.compiler.arenas import Arenas, address_of, arenas
from chainrule.compiler.program import Program
from chainrule.errors import OutOfBoundsError
from chainrule.ir import trace
from chainrule.ir.graph import Graph, evaluate
from tests.compiler.graphs import spec_of
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def programs_borrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.compiler.program.SHARED_BYTES", 1 << 12)


def graph_of(x: Array) -> Graph:
    """A graph with two values between input and output."""

    def function(x: Any) -> list[Any]:
        y = ops.contract(x, x, sums=((1,), (1,)), batch=((), ()))
        return [ops.contract(ops.tanh(y), y, sums=((1,), (0,)), batch=((), ()))]

    return trace(function, [spec_of(x)])[0]


def floats(*shape: int) -> Array:
    random = np.random.default_rng(sum(shape))
    return np.asarray(random.normal(size=shape, scale=0.1).astype(np.float32))


def test_a_block_is_lent_once_and_the_smallest_that_fits() -> None:
    own, one = Arenas(), threading.Event()
    own.join(one, 4096)
    large, small = own.borrow(4096), own.borrow(64)
    assert large is not small
    assert address_of(large) % 64 == address_of(small) % 64 == 0
    own.give_back(large)
    own.give_back(small)
    assert own.borrow(64) is small
    assert own.borrow(64) is large
    assert own.idle_bytes == 0


def test_blocks_that_are_too_small_make_room_for_a_larger_one() -> None:
    own, one = Arenas(), threading.Event()
    own.join(one, 4096)
    own.give_back(own.borrow(64))
    own.give_back(own.borrow(128))
    assert own.idle_bytes == 128
    assert own.borrow(4096).nbytes == 4096
    assert own.idle_bytes == 0


def test_nothing_stays_that_nobody_may_ask_for() -> None:
    own, large, small = Arenas(), threading.Event(), threading.Event()
    own.join(large, 4096)
    own.join(small, 64)
    block = own.borrow(4096)
    own.give_back(block)
    assert own.idle_bytes == 4096
    del large
    gc.collect()
    assert own.idle_bytes == 0
    own.give_back(own.borrow(64))
    del small
    gc.collect()
    assert own.idle_bytes == 0


# ---- programs ------------------------------------------------------------------------


def test_programs_that_run_one_after_the_other_share_memory() -> None:
    gc.collect()
    before = arenas.idle_bytes
    inputs = [floats(n, 20) for n in (40, 70, 50, 70, 40)]
    made = [Program(graph_of(x)) for x in inputs]
    for _ in range(2):
        for program, x in zip(made, inputs, strict=True):
            (found,) = program([x])
            assert_close(found, evaluate(program.source, [x])[0])
    largest = max(program.plan.arena.nbytes for program in made)
    assert arenas.idle_bytes == max(before, largest)
    del made, program
    gc.collect()
    assert arenas.idle_bytes == before


def test_programs_that_run_at_once_have_memory_of_their_own() -> None:
    inputs = [floats(n, 20) for n in (40, 70, 50, 90)]
    made = [Program(graph_of(x)) for x in inputs]
    wanted = [p([x])[0] for p, x in zip(made, inputs, strict=True)]

    def work(number: int) -> bool:
        own = number % len(made)
        results = [made[own]([inputs[own]])[0] for _ in range(50)]
        return all((found == wanted[own]).all() for found in results)

    with ThreadPoolExecutor(6) as callers:
        assert all(callers.map(work, range(6)))


def test_an_error_gives_the_memory_back() -> None:
    def look_up(table: Any, places: Any) -> list[Any]:
        rows = ops.take(ops.exp(table), places, axis=0)
        return [ops.tanh(ops.contract(rows, rows, sums=((1,), (1,)), batch=((), ())))]

    table, places = floats(50, 30), np.arange(50)
    program = Program(trace(look_up, [spec_of(table), spec_of(places)])[0])
    wanted = program([table, places])
    idle = arenas.idle_bytes
    assert program.arena is None
    assert idle >= program.plan.arena.nbytes
    with pytest.raises(OutOfBoundsError):
        program([table, places + 1])
    assert arenas.idle_bytes == idle
    np.testing.assert_array_equal(program([table, places])[0], wanted[0])


def test_small_programs_and_those_with_guards_have_memory_of_their_own() -> None:
    x = floats(40, 20)
    assert Program(graph_of(x)).arena is None
    assert Program(graph_of(x), guard=64).arena is not None
    assert Program(graph_of(floats(4, 3))).arena is not None
