"""Sequences that loops write over sequences that they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional as f
from chainrule.compiler import plan
from chainrule.compiler.kernel import ScanKernel
from chainrule.compiler.plan import make_plan
from chainrule.compiler.program import Program
from chainrule.ir import Graph, Spec, trace
from chainrule.ir.dtype import float32
from chainrule.ir.graph import evaluate
from tests.compiler.test_random_graphs import GUARD, run_guarded
from tests.compiler.test_samples import Cell, gated, reset
from tests.tolerances import assert_close

STEPS, UNITS = 4, 16


def layer(
    cell: Cell, count: int, also: Callable[[Any], Any] = lambda rows: 0.0
) -> tuple[Graph, list[Any]]:
    """A loss of a recurrent layer whose inputs are weighted before the loop.

    `also` is what is added to the loss, of the weighted inputs.
    """

    def loss(k: Any, w: Any, b: Any, xs: Any, h: Any, c: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            state = cell(w, b, state, x)
            return state, state[0]

        rows = f.matmul(xs, k)
        (h, c), hs = chainrule.scan(step, (h, c), rows)
        return f.mean(h * c) + f.sum(hs**2) / count + also(rows)

    def function(*values: Any) -> list[Any]:
        value, found = chainrule.value_and_grad(loss, argnums=(0, 1, 2, 3))(*values)
        return [value, *found]

    wide = 4 * UNITS
    shapes = [(5, wide), (UNITS, wide), (wide,), (STEPS, count, 5)]
    shapes += [(count, UNITS)] * 2
    random = np.random.default_rng(7)
    arrays = [random.normal(size=s).astype(np.float32) / 2 for s in shapes]
    return trace(function, [Spec(s, float32) for s in shapes])[0], arrays


def written_over(graph: Graph) -> int:
    """How many sequences of loops lie where others were."""
    made = make_plan(graph)
    results = {
        id(value)
        for node in made.graph.nodes
        if node.primitive.name == "scan"
        for value in node.outputs[node.params["carried"] :]
    }
    assert any(isinstance(step.kernel, ScanKernel) for step in made.steps)
    return len(results & made.over.keys())


def check(graph: Graph, arrays: list[Any]) -> None:
    expected = evaluate(graph, arrays)
    results = [
        run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for threads in (1, 2, 3)
    ]
    for wanted, alone, *others in zip(expected, *results, strict=True):
        assert_close(alone, wanted)
        for other in others:
            np.testing.assert_array_equal(other, alone)


@pytest.mark.parametrize("count", [5, 32, 37])
def test_gates_lie_where_their_inputs_were_and_gradients_where_gates_were(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph, arrays = layer(gated, count)
    assert written_over(graph) == 2
    check(graph, arrays)


@pytest.mark.parametrize("count", [5, 32])
def test_other_cells_give_the_same(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    check(*layer(reset, count))


def test_who_reads_the_rows_too_comes_first() -> None:
    graph, arrays = layer(gated, 32, lambda rows: f.mean(f.exp(rows)))
    check(graph, arrays)


def test_inputs_of_the_program_are_not_written_over() -> None:
    def function(xs: Any) -> list[Any]:
        step = lambda total, x: (total + f.sum(x), f.exp(x))  # noqa: E731
        total, found = chainrule.scan(step, f.zeros(()), xs)
        return [total, f.sum(f.sin(found), axis=(0, 1))]

    xs = np.linspace(0, 1, 40, dtype=np.float32).reshape(5, 8)
    graph = trace(function, [Spec(xs.shape, float32)])[0]
    assert not written_over(graph)
    before = xs.copy()
    check(graph, [xs])
    np.testing.assert_array_equal(xs, before)


def turned(x: Any) -> Any:
    return f.flip(x, axis=-1)


def same(x: Any) -> Any:
    return x


@pytest.mark.parametrize(("change", "count"), [(turned, 0), (same, 1)])
def test_rows_that_are_read_elsewhere_stay(
    change: Callable[[Any], Any], count: int
) -> None:
    def function(xs: Any, w: Any) -> list[Any]:
        def step(total: Any, x: Any) -> Any:
            return total + 1.0, f.exp(change(x))

        rows = f.matmul(xs, w)
        total, found = chainrule.scan(step, f.zeros((3, 8)), rows)
        return [total, f.matmul(found, w)]

    random = np.random.default_rng(1)
    arrays = [random.normal(size=s).astype(np.float32) for s in ((6, 3, 8), (8, 8))]
    graph = trace(function, [Spec(a.shape, float32) for a in arrays])[0]
    assert written_over(graph) == count
    check(graph, arrays)
