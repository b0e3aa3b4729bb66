"""Loops that threads run apart: each has samples of its own from first step to last.

What one step of a recurrent network computes of a sample depends on that sample alone,
and on weights that no step changes. A thread that keeps its samples through the whole
loop never waits for another, and finds the state in its own cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from chainrule.compiler.engine import host_target
from chainrule.compiler.index import Axis
from chainrule.compiler.kernel import ContractKernel, Kernel, LoopKernel, Write
from chainrule.compiler.lower import Store
from chainrule.compiler.nest import lanes_for
from chainrule.compiler.shares import first_axis, own_buffers, together
from chainrule.compiler.threads import default_threads
from chainrule.ir.value import Node, Value

# Each thread reads all weights: so many rows of a product repay that.
ROWS_OF_A_THREAD = 16
LEAST_THREADS = 2

Built = tuple[Kernel, list[Value]]


def samples_of(node: Node) -> int:
    """How many samples a scan has that threads may keep to; 0 where there are too few.

    That is the leading extent of all that it carries.
    """
    end = len(node.inputs) - node.params["sequences"]
    states = node.inputs[end - node.params["carried"] : end]
    extents = {value.spec.shape[0] if value.spec.shape else 0 for value in states}
    if len(extents) != 1:
        return 0
    count: int = extents.pop()
    threads = max(default_threads(), LEAST_THREADS)
    return count if count >= ROWS_OF_A_THREAD * threads else 0


def run_apart(
    built: Sequence[Built],
    samples: int,
    stores: dict[int, Store],
    within: Mapping[int, Value],
    memory: Callable[[Value], Value],
) -> list[Kernel] | None:
    """The kernels of a step, cut so that no thread touches the samples of another.

    None where one of them mixes samples, or cannot be cut.

    Args:
        built: kernels, each with the values in its buffers.
        samples: how many there are.
        stores: how each stored value is laid out, by identity.
        within: the values that are made in parts, by identity of each part.
        memory: the value whose memory a value lies in.
    """
    changed = {
        id(memory(values[stage.buffer]))
        for kernel, values in built
        for stage in getattr(kernel, "stages", ())
        if isinstance(stage, Write)
    }
    kernels: list[Kernel] = []
    for kernel, values in built:
        cut = _cut(kernel, samples)
        if cut is None:
            return None
        axis = first_axis(cut)
        each = axis.extent // samples
        own = own_buffers(cut, axis, values, stores, within, each)
        for number, value in enumerate(values):
            if number not in own and id(memory(value)) in changed:
                return None
        kernels.append(cut)
    return kernels


def _cut(kernel: Kernel, samples: int) -> LoopKernel | ContractKernel | None:
    """The kernel, shared by pieces of its first axis that are whole samples."""
    if not isinstance(kernel, LoopKernel | ContractKernel):
        return None
    axis: Axis | None
    if isinstance(kernel, ContractKernel):
        single = math.prod(axis.extent for axis in kernel.outer) == 1
        axis = kernel.m if single else None
    else:
        axis = kernel.rows[0] if kernel.rows else kernel.lane
    if axis is None or axis.extent % samples or not axis.extent:
        return None
    piece = together(samples) * (axis.extent // samples)
    by_lanes = isinstance(kernel, LoopKernel) and not kernel.rows
    cut = replace(kernel, piece=piece)
    if by_lanes and piece % lanes_for(cut, host_target()):  # type: ignore[arg-type]
        return None
    return cut
