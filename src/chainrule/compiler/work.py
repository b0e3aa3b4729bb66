"""What a kernel does: how much it computes, and which of its buffers it writes."""

from __future__ import annotations

import math

from chainrule.compiler.kernel import (
    ContractKernel,
    Fold,
    Kernel,
    LibraryKernel,
    ScanKernel,
    Write,
)


def written_buffers(kernel: Kernel) -> set[int]:
    """The numbers of the buffers that a kernel writes."""
    if isinstance(kernel, ScanKernel):
        return set(kernel.written)
    if isinstance(kernel, LibraryKernel):
        return {len(kernel.shapes) - 1}
    return {stage.buffer for stage in kernel.stages if isinstance(stage, Write)}


def work_of(kernel: Kernel) -> int:
    """An estimate of the operations of a kernel."""
    if isinstance(kernel, ScanKernel):
        return kernel.length * sum(step.work for step in kernel.plan.steps)
    if isinstance(kernel, LibraryKernel):
        return 8 * math.prod(kernel.domain)
    if isinstance(kernel, ContractKernel):
        points = math.prod(a.extent for a in (*kernel.outer, kernel.m, kernel.n))
        return points * (math.prod(kernel.sums) + 8 * len(kernel.stages)) // 8
    points = math.prod(axis.extent for axis in (*kernel.rows, *kernel.inside))
    points *= kernel.lane.extent if kernel.lane is not None else 1
    total = 0
    for stage in kernel.stages:
        own = math.prod(axis.extent for axis in stage.axes)
        total += points * own * (3 if isinstance(stage, Fold) else 4)
    return total // 4
