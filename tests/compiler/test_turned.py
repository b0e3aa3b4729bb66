"""Loops that read across their rows, in blocks that are turned in registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.compiler import plan
from chainrule.compiler.engine import host_target
from chainrule.compiler.kernel import LoopKernel
from chainrule.compiler.program import Program
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import DType, bool_, float32, float64, int8, int64, uint16
from chainrule.ir.graph import Graph, evaluate
from tests.compiler.test_random_graphs import GUARD, run_guarded

Function = Callable[..., list[Any]]


def _swapped(x: Any) -> list[Any]:
    return [ops.permute_dims(x, axes=(0, 2, 1))]


def _reversed(x: Any) -> list[Any]:
    """The first axis backwards: how kernels are read for the gradient of x."""
    return [ops.permute_dims(ops.flip(x, axes=(0,)), axes=(0, 2, 1))]


def _both_ways(x: Any) -> list[Any]:
    """Read along and across, in sums of both, of which two are stored."""
    turned = ops.permute_dims(x, axes=(0, 2, 1))
    return [ops.add(turned, ops.multiply(x, x)), ops.add(x, turned)]


def _cut(x: Any) -> list[Any]:
    """A part that begins within vectors and ends before the memory does."""
    part = ops.slice_(x, start=(0, 3, 5), stop=(2, 35, 53), step=(1, 1, 1))
    return [
        ops.permute_dims(part, axes=(2, 0, 1)),
        ops.permute_dims(part, axes=(0, 2, 1)),
    ]


CASES: list[tuple[Function, tuple[int, ...]]] = [
    (_swapped, (3, 32, 64)),
    (_swapped, (1, 16, 16)),
    (_swapped, (40, 32, 16)),
    (_swapped, (2, 33, 48)),
    (_swapped, (2, 31, 17)),
    (_reversed, (5, 48, 32)),
    (_both_ways, (3, 48, 48)),
    (_cut, (2, 37, 55)),
]


def _traced(function: Function, shape: tuple[int, ...], dtype: DType) -> Any:
    numbers = np.random.default_rng(0).integers(0, 99, shape)
    graph, _ = trace(function, [Spec(shape, dtype)])
    return graph, [numbers.astype(dtype.numpy)]


def _check(graph: Graph, arrays: list[Any]) -> None:
    expected = evaluate(graph, arrays)
    for threads in (1, 2, 3):
        found = run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for mine, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, wanted)


@pytest.mark.parametrize(("function", "shape"), CASES)
def test_every_element_arrives_on_any_number_of_threads(
    function: Function, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    _check(*_traced(function, shape, float32))


@pytest.mark.parametrize("dtype", [float64, int8, uint16, int64, bool_], ids=str)
def test_every_dtype(dtype: DType) -> None:
    _check(*_traced(_swapped, (2, 64, 32), dtype))


def test_blocks_are_as_large_as_vectors() -> None:
    graph, _ = _traced(_reversed, (9, 64, 128), float32)
    (step,) = plan.make_plan(graph).steps
    kernel, lanes = step.kernel, host_target().lanes(4)
    assert isinstance(kernel, LoopKernel)
    assert kernel.lane is not None
    assert [axis.extent for axis in kernel.inside] == [lanes]
    assert kernel.lane.extent == lanes


def test_what_is_read_along_rows_is_not_cut_into_blocks() -> None:
    graph, _ = _traced(lambda x: [ops.exp(x)], (9, 64, 128), float32)
    (step,) = plan.make_plan(graph).steps
    assert isinstance(step.kernel, LoopKernel)
    assert not step.kernel.inside
