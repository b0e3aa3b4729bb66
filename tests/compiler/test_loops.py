"""Scans in native code: what they share, what they keep, and their bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional as f
from chainrule.compiler import plan
from chainrule.compiler.kernel import ContractKernel, ScanKernel
from chainrule.compiler.program import Program
from chainrule.compiler.text import fingerprint
from chainrule.ir import Graph, Spec, trace
from chainrule.ir.dtype import float32
from chainrule.ir.graph import evaluate
from tests.compiler.test_random_graphs import GUARD, run_guarded
from tests.tolerances import assert_close

UNITS, ROWS, STEPS = 9, 5, 7
SHAPES = [(UNITS, 4 * UNITS), (STEPS, ROWS, 4 * UNITS), (ROWS, UNITS), (ROWS, UNITS)]


def gates(w: Any, xs: Any, h: Any, c: Any, keep: bool = True) -> Any:
    """The loss of a cell with gates."""

    def step(state: Any, x: Any) -> Any:
        h, c = state
        a, b, g, o = f.split(f.matmul(h, w) + x, 4, axis=-1)
        c = f.sigmoid(a) * c + f.sigmoid(b) * f.tanh(g)
        h = f.sigmoid(o) * f.tanh(c)
        return (h, c), h

    (h, c), hs = chainrule.scan(step, (h, c), xs, keep=keep)
    return f.sum(h * c) + f.sum(hs**2)


def step_of_training(keep: bool = True) -> tuple[Graph, list[Any]]:
    random = np.random.default_rng(0)
    arrays = [random.normal(size=s).astype(np.float32) / 2 for s in SHAPES]

    def function(*values: Any) -> list[Any]:
        loss = chainrule.value_and_grad(
            lambda w, xs, h, c: gates(w, xs, h, c, keep), argnums=(0, 1, 2, 3)
        )
        value, found = loss(*values)
        return [value, *found]

    return trace(function, [Spec(s, float32) for s in SHAPES])[0], arrays


def scans(graph: Graph) -> list[ScanKernel]:
    kernels = [step.kernel for step in plan.make_plan(graph).steps]
    return [kernel for kernel in kernels if isinstance(kernel, ScanKernel)]


def products(kernel: ScanKernel) -> int:
    return sum(isinstance(s.kernel, ContractKernel) for s in kernel.plan.steps)


@pytest.mark.parametrize("keep", [True, False])
def test_bits_are_the_same_for_any_number_of_threads(
    keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph, arrays = step_of_training(keep)
    expected = evaluate(graph, arrays)
    results = [
        run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for threads in (1, 2, 3)
    ]
    for others in zip(expected, *results, strict=True):
        assert_close(others[1], others[0])
        np.testing.assert_array_equal(others[2], others[1])
        np.testing.assert_array_equal(others[3], others[1])


def test_one_loop_forward_and_one_backward_without_its_products() -> None:
    forward, backward = scans(step_of_training()[0])
    # h w forward; the gradient of h backward; that of w is one product behind the loop
    assert (products(forward), products(backward)) == (1, 1)


def test_a_loop_that_keeps_nothing_computes_its_products_again() -> None:
    forward, backward = scans(step_of_training(keep=False)[0])
    # h w once more, and the gradient of w, which is summed up in the loop
    assert (products(forward), products(backward)) == (1, 3)
    lean = sum(b.stride != 0 for b in forward.bindings)
    assert lean < sum(b.stride != 0 for b in scans(step_of_training()[0])[0].bindings)


def test_what_nobody_reads_is_not_computed() -> None:
    def last(xs: Any) -> list[Any]:
        def step(state: Any, x: Any) -> Any:
            total, unused = state
            return (total + x, f.exp(unused) + x), f.sin(x)

        zero = f.zeros(3)
        (total, _), _ = chainrule.scan(step, (zero, zero), xs)
        return [total]

    (kernel,) = scans(trace(last, [Spec((4, 3), float32)])[0])
    assert len(kernel.bindings) == 2
    assert not any(b.buffer in kernel.written for b in kernel.bindings)


def test_loops_of_other_steps_are_other_programs() -> None:
    def graph(factor: float) -> Graph:
        def function(xs: Any) -> list[Any]:
            return [chainrule.scan(lambda c, x: (c + factor * x, None), 0.0, xs)[0]]

        return trace(function, [Spec((4,), float32)])[0]

    assert fingerprint(graph(2.0)) == fingerprint(graph(2.0))
    assert fingerprint(graph(2.0)) != fingerprint(graph(3.0))


def test_an_index_outside_is_an_error_within_a_loop_too() -> None:
    def look_up(table: Any, places: Any) -> Any:
        return chainrule.scan(lambda c, i: (c + f.take(table, i), None), 0.0, places)[0]

    compiled = chainrule.jit(look_up)
    table = chainrule.asarray([1.0, 2.0])
    assert compiled(table, chainrule.asarray([0, 1, 1])).item() == 5.0
    with pytest.raises(chainrule.errors.OutOfBoundsError):
        compiled(table, chainrule.asarray([0, 2, 1]))
    assert compiled(table, chainrule.asarray([1, 1, 1])).item() == 6.0


def test_the_report_counts_every_step() -> None:
    graph, _ = step_of_training()
    report = Program(graph).report()
    row = next(k for k in report.kernels if k.name == "scan")
    assert row.shape == (STEPS,)
    assert row.flops > STEPS * 2 * ROWS * UNITS * 4 * UNITS
    assert "scan of 7 steps" in Program(graph).show()
