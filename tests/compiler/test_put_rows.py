"""Rows that are put into a table: where it lies, by threads, and only where asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.compiler import plan
from chainrule.compiler.native_loop import NativeLoop
from chainrule.compiler.plan import make_plan
from chainrule.compiler.program import Program
from chainrule.compiler.traffic import touched_bytes
from chainrule.errors import OutOfBoundsError
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import bool_, float32, int64
from chainrule.ir.graph import Graph
from tests.compiler.test_program import traced
from tests.compiler.test_random_graphs import GUARD, run_guarded


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
@pytest.mark.parametrize(
    ("rows", "rest", "count"),
    [(5, (), 7), (5, (1,), 9), (7, (3, 5), 12), (4, (33,), 0), (300, (130,), 1000)],
)
def test_the_last_one_stays_for_any_number_of_threads(
    rows: int,
    rest: tuple[int, ...],
    count: int,
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    random = np.random.default_rng(3)
    x, new = (
        (random.normal(size=shape) * 9).astype(dtype)
        for shape in ((rows, *rest), (count, *rest))
    )
    chosen = random.integers(-rows, rows + 1, count)
    wanted = x.copy()
    for place, row in zip(chosen, new, strict=True):
        if place != rows:
            wanted[place] = row
    graph = traced(lambda x, i, u: [ops.put_rows(x, i, u)], x, chosen, new)
    for threads in (1, 2, 3):
        compiled = Program(graph, threads=threads, guard=GUARD)
        found = run_guarded(compiled, [x, chosen, new])
        np.testing.assert_array_equal(found[0], wanted)


@pytest.mark.parametrize("index", [4, -4, 2**40, -(2**40)])
def test_an_index_outside_is_an_error_and_touches_nothing(index: int) -> None:
    x, rows = np.ones((3, 4), np.float32), np.zeros((2, 4), np.float32)
    graph = traced(lambda x, i, u: [ops.put_rows(x, i, u)], x, np.array([0, 3]), rows)
    loop = NativeLoop()
    loop._programs[graph] = made = Program(graph, [(0, 0)], threads=1)
    loop.begin([x], [])
    state, where = loop._state[0], made.plan.graph.inputs
    arrays = [np.array([3, index]), rows]
    with pytest.raises(OutOfBoundsError, match=r"-3 to 2"):
        made.launch(
            [(where[0], state.address)]
            + [(v, a.ctypes.data) for v, a in zip(where[1:], arrays, strict=True)]
        )
    np.testing.assert_array_equal(loop.state()[0], x)


# which of the places are halved, where the flag holds for the first 8
WHEN = {"always": slice(0, 12), "where": slice(0, 8), "where not": slice(8, 12)}


def moving(rows: int, width: int, batch: int, when: str = "always") -> Graph:
    """A table of which each batch halves some rows: always, or by a flag."""

    def step(table: Any, flags: Any, places: Any, numbers: Any) -> list[Any]:
        chosen = ops.take(places, numbers, axis=0)
        halves = ops.multiply(ops.take(table, chosen, axis=0), 0.5)
        new = ops.put_rows(table, chosen, halves)
        flag = ops.reduce_all(ops.take(flags, numbers, axis=0), axes=(0,))
        if when == "where":
            new = ops.where(flag, new, table)
        if when == "where not":
            new = ops.where(flag, table, new)
        return [new, ops.reduce_sum(halves, axes=(1,))]

    specs = [Spec((rows, width), float32), Spec((batch * 3,), bool_)]
    specs += [Spec((batch * 3,), int64), Spec((batch,), int64)]
    return trace(step, specs)[0]


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_rows_are_put_where_the_table_lies(
    threads: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph = moving(50, 40, 4, when)
    random = np.random.default_rng(0)
    table = random.normal(size=(50, 40)).astype(np.float32)
    places = random.permutation(50)[:12]
    flags = np.arange(12) < 8
    loop = NativeLoop()
    loop.begin([table], [flags, places])
    loop._programs[graph] = made = Program(graph, [(0, 0)], threads=threads)
    output = made.plan.graph.outputs[0]
    assert made.plan.over[id(output)] is made.plan.graph.inputs[0]
    loop.run(graph, np.arange(12), 4, [])
    wanted = table.copy()
    wanted[places[WHEN[when]]] *= np.float32(0.5)
    np.testing.assert_array_equal(loop.state()[0], wanted)


@pytest.mark.parametrize("when", WHEN)
def test_the_work_does_not_grow_with_the_table(when: str) -> None:
    few, many = (
        make_plan(moving(rows, 8, 4, when), [(0, 0)]) for rows in (100, 1_000_000)
    )
    assert many.arena.nbytes == few.arena.nbytes
    assert [s.work for s in many.steps] == [s.work for s in few.steps]
    small, large = (sum(map(touched_bytes, each.steps)) for each in (few, many))
    assert large == small < 2000


def test_what_a_step_leaves_as_it_is_is_not_copied() -> None:
    def step(kept: Any, moved: Any, numbers: Any) -> list[Any]:
        return [kept, ops.add(moved, ops.reduce_sum(kept, axes=(0,)))]

    specs = [Spec((6,), float32), Spec((), float32), Spec((1,), int64)]
    graph = trace(step, specs)[0]
    loop = NativeLoop()
    loop.begin([np.ones(6, np.float32), np.float32(1)], [])
    loop.run(graph, np.arange(3), 1, [])
    assert [array.sum() for array in loop.state()] == [6.0, 19.0]
    program = loop.program(graph)
    assert not any("identity" in step.kernel.name for step in program.plan.steps)


def test_states_that_change_places_are_copied() -> None:
    def step(one: Any, other: Any, numbers: Any) -> list[Any]:
        return [other, one]

    specs = [Spec((3,), float32), Spec((3,), float32), Spec((1,), int64)]
    graph = trace(step, specs)[0]
    loop = NativeLoop()
    loop.begin([np.zeros(3, np.float32), np.ones(3, np.float32)], [])
    loop.run(graph, np.arange(3), 1, [])
    assert [array.tolist() for array in loop.state()] == [[1.0] * 3, [0.0] * 3]
