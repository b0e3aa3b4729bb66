"""What a graph will cost, from its plan: before anything is compiled or run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from chainrule.compiler.kernel import ContractKernel, Kernel, ScanKernel, Step
from chainrule.compiler.plan import make_plan
from chainrule.compiler.report import flops_of, machine_gflops
from chainrule.compiler.threads import default_threads
from chainrule.compiler.traffic import touched_bytes
from chainrule.ir.graph import Graph

# Shares of the multiply-add limit that kernels reach, and what beginning one costs:
# round figures from the measured rows of `program.report()`.
PRODUCT_SHARE = 0.5
LOOP_SHARE = 0.12
SECOND_THREAD = 0.5  # what every further thread adds to the first
START_SECONDS = 4e-7
CACHE_BYTES = 4 << 20  # what fits here is read so many times faster than memory
CACHE_GAIN = 5.0


@dataclass(frozen=True)
class Estimate:
    """What one run of a graph takes.

    Attributes:
        flops: arithmetic operations; an elementary function counts as one.
        arena_bytes: memory of intermediate values.
        seconds: about how long it takes on this machine.
    """

    flops: int
    arena_bytes: int
    seconds: float


def estimate_graph(graph: Graph, donations: Sequence[tuple[int, int]] = ()) -> Estimate:
    """The cost of a graph: each kernel takes as long as its arithmetic or its traffic.

    Args:
        graph: what is to be computed.
        donations: pairs of an input and the output that is written over it.
    """
    plan = make_plan(graph, donations)
    stored = {id(v): v.spec.nbytes for step in plan.steps for v in step.values}
    gain = CACHE_GAIN if sum(stored.values()) <= CACHE_BYTES else 1.0
    bandwidth = machine_bandwidth() * gain
    alone = sum(_seconds(step, 1, bandwidth) for step in plan.steps)
    shared = sum(_seconds(step, default_threads(), bandwidth) for step in plan.steps)
    return Estimate(
        sum(flops_of(step.kernel) for step in plan.steps),
        plan.arena.nbytes,
        min(alone, shared),
    )


def _seconds(step: Step, threads: int, bandwidth: float) -> float:
    if isinstance(step.kernel, ScanKernel):
        inner = step.kernel.plan.steps
        once = sum(_seconds(part, threads, bandwidth) for part in inner)
        return step.kernel.length * once
    shares = 1 + SECOND_THREAD * (threads - 1) if step.parallel else 1
    rate = machine_gflops() * 1e9 * _share(step.kernel) * shares
    nbytes = touched_bytes(step)
    return max(flops_of(step.kernel) / rate, nbytes / bandwidth) + START_SECONDS


def _share(kernel: Kernel) -> float:
    return PRODUCT_SHARE if isinstance(kernel, ContractKernel) else LOOP_SHARE


@cache
def machine_bandwidth() -> float:
    """Bytes a second between one core and memory, measured once, in some 20 ms."""
    source = np.zeros(4 << 20)
    target = np.empty_like(source)
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return float(2 * source.nbytes / best)
