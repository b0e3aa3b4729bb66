"""Loops that carry nothing: threads take their steps each for itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional as f
from chainrule.compiler import plan
from chainrule.compiler.kernel import ScanKernel
from chainrule.compiler.program import Program
from chainrule.errors import OutOfBoundsError
from chainrule.ir import Graph, Spec, trace
from chainrule.ir.dtype import float32, int64
from chainrule.ir.graph import evaluate
from tests.compiler.test_random_graphs import GUARD, run_guarded
from tests.tolerances import assert_close

SIZE = 19


def _mapped(step: Any, *stacked: Any, reverse: bool = False) -> Any:
    def alone(_: None, given: Any) -> Any:
        return None, step(*given)

    return chainrule.scan(alone, None, stacked, reverse=reverse, keep=False)[1]


def _products(weights: Any, xs: Any) -> list[Any]:
    """Products, rows of exponentials, and more than one result of each step."""

    def step(x: Any) -> Any:
        shares = f.softmax(x @ weights)
        return shares @ weights, f.sum(shares, axis=0)

    return list(_mapped(step, xs))


def _with_a_loop(weights: Any, xs: Any) -> list[Any]:
    """A loop within each step, which carries a state."""

    def step(x: Any) -> Any:
        def inner(state: Any, row: Any) -> Any:
            state = f.tanh(state @ weights + row)
            return state, f.sum(state)

        last, sums = chainrule.scan(inner, f.zeros(SIZE), x)
        return last, sums

    return list(_mapped(step, xs))


def _spread_within(weights: Any, xs: Any) -> list[Any]:
    """A loop that carries a state, and in each step one that does not."""

    def step(state: Any, x: Any) -> Any:
        rows = _mapped(lambda row: f.exp(-row) @ weights, x + state)
        return state + f.sum(rows, axis=0), rows

    last, rows = chainrule.scan(step, f.zeros(SIZE), xs)
    return [last, rows]


def _backwards(weights: Any, xs: Any) -> list[Any]:
    return [_mapped(lambda x: f.sin(x) @ weights, xs, reverse=True)]


def _gradients(weights: Any, xs: Any) -> list[Any]:
    """The loop back adds up what the weights get, and is not spread."""

    def loss(weights: Any, xs: Any) -> Any:
        return f.sum(_products(weights, xs)[0] ** 2)

    return list(chainrule.grad(loss, argnums=(0, 1))(weights, xs))


CASES = [_products, _with_a_loop, _spread_within, _backwards, _gradients]


def _traced(function: Any, length: int) -> tuple[Graph, list[Any]]:
    random = np.random.default_rng(length)
    shapes = [(SIZE, SIZE), (length, 21, SIZE)]
    arrays = [random.normal(size=s).astype(np.float32) / 3 for s in shapes]
    return trace(function, [Spec(s, float32) for s in shapes])[0], arrays


def _loops(graph: Graph) -> list[ScanKernel]:
    kernels = [step.kernel for step in plan.make_plan(graph).steps]
    return [kernel for kernel in kernels if isinstance(kernel, ScanKernel)]


@pytest.mark.parametrize("length", [1, 2, 3, 8])
@pytest.mark.parametrize("function", CASES)
def test_steps_agree_with_the_reference_on_any_number_of_threads(
    function: Any, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph, arrays = _traced(function, length)
    expected = evaluate(graph, arrays)
    programs = [Program(graph, threads=n, guard=GUARD) for n in (1, 2, 3, 5)]
    alone, *others = [run_guarded(program, arrays) for program in programs]
    for mine, wanted in zip(alone, expected, strict=True):
        assert_close(mine, wanted)
    for other in others:
        for mine, first in zip(other, alone, strict=True):
            np.testing.assert_array_equal(mine, first)


def test_many_runs_give_the_same_bits() -> None:
    graph, arrays = _traced(_with_a_loop, 8)
    program = Program(graph, threads=3)
    first = program(arrays)
    for _ in range(200):
        for mine, wanted in zip(program(arrays), first, strict=True):
            np.testing.assert_array_equal(mine, wanted)


def test_what_carries_nothing_is_spread_and_nothing_else() -> None:
    assert [kernel.spread for kernel in _loops(_traced(_products, 8)[0])] == [True]
    assert [kernel.spread for kernel in _loops(_traced(_products, 1)[0])] == [False]
    assert [kernel.spread for kernel in _loops(_traced(_gradients, 8)[0])][-1] is False


def test_each_thread_has_memory_of_its_own() -> None:
    graph, _ = _traced(_with_a_loop, 8)
    (programs,) = Program(graph, threads=3).inner.values()
    places = {program.arena.__array_interface__["data"][0] for program in programs}
    assert len(places) == 3
    deeper = {
        id(one) for each in programs for one in each.inner[next(iter(each.inner))]
    }
    assert len(deeper) == 3


@pytest.mark.parametrize("wrong", [0, 3, 7])
def test_an_index_outside_is_an_error_whichever_thread_meets_it(wrong: int) -> None:
    def look_up(table: Any, places: Any) -> list[Any]:
        return [_mapped(lambda place: f.take(table, place, axis=0), places)]

    specs = [Spec((4, 33), float32), Spec((8, 5), int64)]
    program = Program(trace(look_up, specs)[0], threads=3)
    table = np.arange(132, dtype=np.float32).reshape(4, 33)
    places = np.random.default_rng(0).integers(0, 4, (8, 5))
    np.testing.assert_array_equal(program([table, places])[0], table[places])
    bad = places.copy()
    bad[wrong, 2] = 4
    with pytest.raises(OutOfBoundsError):
        program([table, bad])
    np.testing.assert_array_equal(program([table, places])[0], table[places])
