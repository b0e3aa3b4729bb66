"""The native loop: how numbers are treated between the steps of a run."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler import plan
from chainrule.compiler.engine import host_target
from chainrule.compiler.native_loop import NativeLoop
from chainrule.compiler.program import Program
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32, int64
from chainrule.ir.graph import Graph
from chainrule.ops import multiply, reduce_sum, take

TINY = np.float32(np.finfo(np.float32).smallest_normal)
flushing = pytest.mark.skipif(
    host_target().architecture not in ("x86_64", "aarch64", "arm64"),
    reason="this processor's modes are not known",
)


def decay(width: int) -> Graph:
    """A state that is halved in each step, and the sum of what was read."""

    def step(state, data, rows):
        batch = take(data, rows, axis=0)
        return [multiply(state, 0.5), reduce_sum(batch, axes=(1,))]

    specs = [Spec((width,), float32), Spec((3, 4), float32), Spec((1,), int64)]
    return trace(step, specs)[0]


@flushing
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_subnormal_numbers_count_as_zero_on_every_thread(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph = decay(100)
    loop = NativeLoop()
    loop.begin([np.full(100, TINY * 4)], [np.full((3, 4), TINY / 2)])
    loop._programs[graph] = Program(graph, [(0, 0)], threads=threads)
    (sums,) = loop.run(graph, np.zeros(2, np.int64), 1, [])
    # still normal, and what is read as 0 adds up to 0
    np.testing.assert_array_equal(loop.state()[0], np.full(100, TINY))
    np.testing.assert_array_equal(sums, np.zeros(2))
    loop.run(graph, np.zeros(1, np.int64), 1, [])
    np.testing.assert_array_equal(loop.state()[0], np.zeros(100))


@pytest.mark.parametrize("threads", [1, 2])
def test_other_programs_keep_subnormal_numbers(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph = decay(100)
    loop = NativeLoop()
    loop.begin([np.full(100, TINY)], [np.ones((3, 4), np.float32)])
    loop.run(graph, np.zeros(1, np.int64), 1, [])
    compiled = Program(graph, threads=threads)
    state, sums = compiled(
        [np.full(100, TINY), np.full((3, 4), TINY / 8), np.zeros(1, np.int64)]
    )
    np.testing.assert_array_equal(state, np.full(100, TINY / 2))
    np.testing.assert_array_equal(sums, [TINY / 2])
