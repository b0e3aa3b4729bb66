"""The order of kernels that one thread runs: little memory in use at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional as f
from chainrule.compiler import plan
from chainrule.compiler.kernel import Plan, ScanKernel
from chainrule.compiler.program import Program
from chainrule.ir import Graph, Spec, trace
from chainrule.ir.dtype import float32
from chainrule.ir.graph import evaluate
from tests.compiler.test_random_graphs import GUARD, run_guarded
from tests.tolerances import assert_close

PIECES, ROWS = 6, 32


def _wide_in_the_middle(xs: Any, weights: Any) -> list[Any]:
    """Of each piece something large, all of them first, and then something small."""

    def step(_: None, x: Any) -> tuple[None, Any]:
        large = [f.exp(x @ (weights * float(i + 1))) for i in range(PIECES)]
        return None, [part @ f.matrix_transpose(weights) for part in large]

    return list(chainrule.scan(step, None, xs, keep=False)[1])


def _traced(function: Any = _wide_in_the_middle) -> tuple[Graph, list[Any]]:
    random = np.random.default_rng(0)
    shapes = [(4, ROWS, 8), (8, 256)]
    arrays = [random.normal(size=s).astype(np.float32) / 8 for s in shapes]
    specs = [Spec(s, float32) for s in shapes]
    return trace(function, specs)[0], arrays


def _step(graph: Graph) -> Plan:
    kernels = [step.kernel for step in plan.make_plan(graph).steps]
    (loop,) = [kernel for kernel in kernels if isinstance(kernel, ScanKernel)]
    assert loop.spread
    return loop.plan


def test_what_is_large_is_there_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    large = ROWS * 256 * 4
    graph, _ = _traced()
    frugal = _step(graph)
    assert frugal.arena.nbytes < 3 * large
    assert not any(step.barrier or step.parallel for step in frugal.steps)
    monkeypatch.setattr(plan, "in_frugal_order", lambda groups, room: list(groups))
    assert _step(graph).arena.nbytes >= PIECES * large


def _rows_that_others_read(xs: Any, weights: Any) -> list[Any]:
    """A loop within writes over its rows, which something behind it reads as well."""

    def inner(state: Any, row: Any) -> tuple[Any, Any]:
        state = f.tanh(state + row)
        return state, state * row

    def step(_: None, x: Any) -> tuple[None, Any]:
        rows = f.exp(x @ weights)
        last, kept = chainrule.scan(inner, f.zeros(256), rows)
        return None, (last, kept, f.sum(rows * rows, axis=0))

    return list(chainrule.scan(step, None, xs, keep=False)[1])


def _rows_in_place(xs: Any, weights: Any) -> list[Any]:
    """Products, exponentials of their rows, and products of these."""

    def step(_: None, x: Any) -> tuple[None, Any]:
        scores = x @ weights
        powers = f.exp(scores - f.max(scores, axis=-1, keepdims=True))
        slopes = (x @ (weights * 2.0)) * powers
        turned = f.matrix_transpose(weights)
        return None, (powers @ turned, slopes @ turned, f.sum(powers, axis=-1))

    return list(chainrule.scan(step, None, xs, keep=False)[1])


@pytest.mark.parametrize(
    "function", [_wide_in_the_middle, _rows_that_others_read, _rows_in_place]
)
def test_results_are_those_of_the_reference(function: Any) -> None:
    graph, arrays = _traced(function)
    for threads in (1, 2, 3):
        results = run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for mine, wanted in zip(results, evaluate(graph, arrays), strict=True):
            assert_close(mine, wanted)


def test_what_is_read_for_the_last_time_is_written_over() -> None:
    step = _step(_traced(_rows_in_place)[0])
    large = [v for s in step.steps for v in s.values if v.spec.shape == (ROWS, 256)]
    computed = {id(value) for value in large}
    owners = {id(step.over.get(id(value), value)) for value in large}
    assert len(computed) == 3
    assert len(owners) == 1


@pytest.mark.parametrize("again", ["scores", "powers"])
def test_what_is_read_again_is_not_written_over(again: str) -> None:
    def function(xs: Any, weights: Any) -> list[Any]:
        def step(_: None, x: Any) -> tuple[None, Any]:
            scores = x @ weights
            powers = f.exp(scores - f.max(scores, axis=-1, keepdims=True))
            other = {"scores": scores, "powers": powers}[again]
            return None, (f.flip(powers, axis=0) @ f.matrix_transpose(other), powers)

        return list(chainrule.scan(step, None, xs, keep=False)[1])

    graph, arrays = _traced(function)
    results = run_guarded(Program(graph, threads=1, guard=GUARD), arrays)
    for mine, wanted in zip(results, evaluate(graph, arrays), strict=True):
        assert_close(mine, wanted)
