"""Kernels whose stages run along the same rows: in registers, or in shared loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import functional, ops
from chainrule.autodiff import vjp
from chainrule.compiler import plan
from chainrule.compiler.engine import host_target
from chainrule.compiler.nest import WAYS, emit_loops
from chainrule.compiler.program import Program
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import DType, float32, float64
from chainrule.ir.graph import Graph, evaluate
from tests.compiler.test_random_graphs import GUARD, run_guarded

# around vectors of 16 and of 8 lanes, and around the eight that stay in registers
LENGTHS = [1, 5, 8, 15, 16, 17, 31, 63, 64, 65, 100, 127, 128, 129, 200, 300]


def _softmax(x: Any) -> list[Any]:
    """What is stored and what is summed come from one exponential."""
    largest = functional.max(x, axis=-1, keepdims=True)
    powers = functional.exp(x - largest)
    return [powers, functional.sum(powers, axis=-1), functional.log_softmax(x)]


def _normalised(x: Any) -> list[Any]:
    def norm(x: Any) -> Any:
        centred = x - functional.mean(x, axis=-1, keepdims=True)
        variance = functional.mean(centred * centred, axis=-1, keepdims=True)
        return centred / functional.sqrt(variance + 1e-3)

    y, pullback = vjp(norm, x)
    return [y, *pullback(y * y)]


def _causal(x: Any) -> list[Any]:
    """Rows of which each shows one element more."""
    places = functional.arange(x.shape[-1])
    seen = places <= functional.arange(x.shape[-2])[:, None]
    shown = functional.where(seen, x, -np.inf)
    return [functional.softmax(shown), functional.argmax(shown, axis=-1)]


def _over_itself(x: Any) -> list[Any]:
    """The second result may lie where the first is read."""
    double = x * 2.0
    total = functional.sum(double, axis=-1, keepdims=True)
    return [double - total, functional.max(double - total, axis=-1)]


CASES = [_softmax, _normalised, _causal, _over_itself]


def _traced(function: Callable[..., Any], shape: Any, dtype: DType) -> Any:
    x = np.random.default_rng(0).normal(size=shape).astype(dtype.numpy)
    return trace(function, [Spec(shape, dtype)])[0], [x]


def _check(graph: Graph, arrays: list[Any]) -> None:
    alone, *others = [
        run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for threads in (1, 2, 3)
    ]
    for mine, wanted in zip(alone, evaluate(graph, arrays), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=3e-5, atol=3e-5)
    for other in others:
        for mine, first in zip(other, alone, strict=True):
            np.testing.assert_array_equal(mine, first)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("function", CASES)
def test_rows_of_every_length(
    function: Callable[..., Any], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    _check(*_traced(function, (7, length), float32))


@pytest.mark.parametrize("length", [3, 33, 64, 70])
def test_rows_of_double_precision(length: int) -> None:
    _check(*_traced(_softmax, (5, length), float64))


@pytest.mark.parametrize("length", [64, 1000])
def test_an_exponential_is_computed_once(length: int) -> None:
    """For a sum and for what is stored, whether or not the row stays in registers."""
    lanes = host_target().lanes(4)
    whole, rest = divmod(length, lanes)
    few = length <= 8 * lanes
    together = 4 if host_target().vector_registers >= 32 else 2
    blocks = whole // together if few else WAYS // together + whole % WAYS + bool(rest)
    once = _multiplications(lambda x: [ops.exp(x)], (48 * lanes,))
    assert once
    both = _multiplications(lambda x: _softmax(x)[:2], (48, length))
    assert both == blocks * once


def _multiplications(function: Callable[..., Any], shape: tuple[int, ...]) -> int:
    """How many multiplications with additions the code of the only kernel has."""
    graph, _ = _traced(function, shape, float32)
    (step,) = plan.make_plan(graph).steps
    lines = emit_loops(step.kernel, host_target()).splitlines()
    return sum("call" in line and "llvm.fma" in line for line in lines)
