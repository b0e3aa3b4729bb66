"""Sums down columns: which of them share a kernel, and that threads share the work."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from chainrule.compiler import plan
from chainrule.compiler.fuse import FOLDED, SMALL
from chainrule.compiler.kernel import LoopKernel
from chainrule.compiler.passes.stretches import LEAST_TERMS, sum_in_stretches
from chainrule.compiler.plan import make_plan
from chainrule.compiler.program import Program, kernel_code
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32
from chainrule.ir.graph import Graph, evaluate
from chainrule.ops import multiply, reduce_sum
from tests.compiler.test_random_graphs import GUARD, run_guarded


def sums(count: int, shape: tuple[int, ...]) -> Graph:
    """The sums down the columns of as many arrays, and of their squares."""

    def function(*arrays: Any) -> list[Any]:
        axes = tuple(range(len(shape) - 1))
        plain = [reduce_sum(x, axes=axes) for x in arrays]
        return plain + [reduce_sum(multiply(x, x), axes=axes) for x in arrays]

    return trace(function, [Spec(shape, float32)] * count)[0]


def columns_of(graph: Graph) -> int:
    """How many kernels fold what the program is given."""
    given = {id(value) for value in graph.inputs}
    steps = make_plan(graph).steps
    return sum(any(id(v) in given for v in step.values) for step in steps)


def test_large_sums_of_other_arrays_have_kernels_of_their_own() -> None:
    width = FOLDED * SMALL // LEAST_TERMS
    assert columns_of(sums(3, (LEAST_TERMS, width + 1))) == 3
    assert columns_of(sums(3, (LEAST_TERMS // 2, width + 1))) == 1


@pytest.mark.parametrize("shape", [(LEAST_TERMS, 70), (12, 64, 33), (601, 65)])
def test_sums_in_stretches_are_right(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph = sums(2, shape)
    random = np.random.default_rng(3)
    arrays = [random.normal(size=shape).astype(np.float32) for _ in range(2)]
    right = evaluate(graph, arrays)
    for threads in (1, 2, 3):
        results = run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for mine, wanted in zip(results, right, strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-4)


def test_short_sums_stay_whole() -> None:
    graph = sums(1, (LEAST_TERMS - 1, 8))
    assert len(sum_in_stretches(graph).nodes) == len(graph.nodes)
    graph = sums(1, (LEAST_TERMS, 8))
    assert len(sum_in_stretches(graph).nodes) > len(graph.nodes)


@pytest.mark.parametrize(("rows", "columns"), [(2, 16), (4, 32), (7, 40)])
def test_few_rows_of_few_lanes_are_shared(rows: int, columns: int) -> None:
    def function(x: Any) -> list[Any]:
        return [reduce_sum(x, axes=(0,))]

    graph, _ = trace(function, [Spec((9, rows, columns), float32)])
    (step,) = make_plan(graph).steps
    assert isinstance(step.kernel, LoopKernel)
    x = np.ones((9, rows, columns), np.float32)
    status = np.zeros(2, np.int64)
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    code = kernel_code(step.kernel)
    for thread in (0, 1):
        out = np.zeros((rows, columns), np.float32)
        words = np.array([a.ctypes.data for a in (x, out, status, status, status)])
        kernel(code.address("kernel"))(words.ctypes.data, thread, 2)
        assert 0 < np.count_nonzero(out) < out.size
