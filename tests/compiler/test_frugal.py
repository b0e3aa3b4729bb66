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


def _traced() -> tuple[Graph, list[Any]]:
    random = np.random.default_rng(0)
    shapes = [(4, ROWS, 8), (8, 256)]
    arrays = [random.normal(size=s).astype(np.float32) / 8 for s in shapes]
    specs = [Spec(s, float32) for s in shapes]
    return trace(_wide_in_the_middle, specs)[0], arrays


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


def test_results_are_those_of_the_reference() -> None:
    graph, arrays = _traced()
    for threads in (1, 2, 3):
        results = run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for mine, wanted in zip(results, evaluate(graph, arrays), strict=True):
            assert_close(mine, wanted)
