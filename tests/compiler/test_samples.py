"""Loops whose threads keep to their samples: where that can be, and its bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional as f
from chainrule.compiler import samples
from chainrule.compiler.kernel import ContractKernel, LoopKernel, ScanKernel
from chainrule.compiler.plan import make_plan
from chainrule.compiler.program import Program
from chainrule.ir import Graph, Spec, trace
from chainrule.ir.dtype import float32
from chainrule.ir.graph import evaluate
from tests.compiler.test_random_graphs import GUARD, run_guarded
from tests.tolerances import assert_close

STEPS = 5
Cell = Callable[[Any, Any, Any, Any], Any]


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "default_threads", lambda: 2)


def gated(w: Any, b: Any, state: Any, x: Any) -> Any:
    """Four gates, a memory and an output."""
    h, c = state
    i, k, g, o = f.split(f.matmul(h, w) + x + b, 4, axis=-1)
    c = f.sigmoid(k) * c + f.sigmoid(i) * f.tanh(g)
    return f.sigmoid(o) * f.tanh(c), c


def reset(w: Any, b: Any, state: Any, x: Any) -> Any:
    """Three gates, one of which acts behind the product; a step may be skipped."""
    h, c = state
    u, r, g, _ = f.split(f.matmul(h, w) + b, 4, axis=-1)
    p, q, s, skip = f.split(x, 4, axis=-1)
    z = f.sigmoid(u + p)
    new = z * h + (1.0 - z) * f.tanh(s + f.sigmoid(r + q) * g)
    return f.where(skip[:, :1] > 0.5, h, new), c


def centred(w: Any, b: Any, state: Any, x: Any) -> Any:
    """Every sample sees the mean of all."""
    h, c = gated(w, b, state, x)
    return h - f.mean(h, axis=0), c


def training(
    cell: Cell, count: int, units: int, reverse: bool = False
) -> tuple[Graph, list[Any]]:
    """A loss over the outputs of all steps, and its gradients."""

    def loss(w: Any, b: Any, xs: Any, h: Any, c: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            state = cell(w, b, state, x)
            return state, state[0]

        (h, c), hs = chainrule.scan(step, (h, c), xs, reverse=reverse)
        return f.mean(h * c) + f.sum(hs**2) / count

    def function(*values: Any) -> list[Any]:
        value, found = chainrule.value_and_grad(loss, argnums=(0, 1, 2, 3))(*values)
        return [value, *found]

    wide = 4 * units
    shapes = [(units, wide), (wide,), (STEPS, count, wide), *[(count, units)] * 2]
    random = np.random.default_rng(3)
    arrays = [random.normal(size=s).astype(np.float32) / 2 for s in shapes]
    return trace(function, [Spec(s, float32) for s in shapes])[0], arrays


def loops(graph: Graph) -> list[ScanKernel]:
    kernels = [step.kernel for step in make_plan(graph).steps]
    return [kernel for kernel in kernels if isinstance(kernel, ScanKernel)]


@pytest.mark.parametrize(("cell", "reverse"), [(gated, False), (reset, True)])
@pytest.mark.parametrize(("count", "units"), [(32, 16), (45, 12), (67, 32)])
def test_bits_are_the_same_for_any_number_of_threads(
    cell: Cell, reverse: bool, count: int, units: int
) -> None:
    graph, arrays = training(cell, count, units, reverse)
    assert all(kernel.plan.apart for kernel in loops(graph))
    expected = evaluate(graph, arrays)
    results = [
        run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for threads in (1, 2, 3, 5)
    ]
    for wanted, alone, *others in zip(expected, *results, strict=True):
        assert_close(alone, wanted)
        for other in others:
            np.testing.assert_array_equal(other, alone)


@pytest.mark.parametrize("cell", [gated, reset])
def test_threads_do_not_meet_in_the_loop(cell: Cell) -> None:
    forward, backward = loops(training(cell, 32, 16)[0])
    for kernel in (forward, backward):
        assert kernel.plan.apart
        assert all(step.parallel and not step.barrier for step in kernel.plan.steps)
        for step in kernel.plan.steps:
            assert isinstance(step.kernel, LoopKernel | ContractKernel)
            assert step.kernel.piece


def test_values_of_a_loop_have_memory_of_their_own() -> None:
    for kernel in loops(training(gated, 32, 16)[0]):
        arena = kernel.plan.arena
        keys = list(arena.offsets)
        for number, key in enumerate(keys):
            assert not any(arena.overlap(key, other) for other in keys[:number])


def test_few_samples_share_columns() -> None:
    for kernel in loops(training(gated, 31, 16)[0]):
        assert not kernel.plan.apart


def test_steps_that_mix_samples_are_not_run_apart() -> None:
    graph, arrays = training(centred, 32, 16)
    assert not any(kernel.plan.apart for kernel in loops(graph))
    expected = evaluate(graph, arrays)
    for threads in (1, 2):
        found = run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for value, wanted in zip(found, expected, strict=True):
            assert_close(value, wanted)


def test_the_gradient_of_a_bias_is_one_sum_behind_the_loop() -> None:
    _, backward = loops(training(reset, 32, 16)[0])
    states = [b for b in backward.plan.graph.inputs if b.spec.shape == (64,)]
    assert not states
