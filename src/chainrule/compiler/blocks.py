"""Loops in blocks, where reads go across rows.

A loop that transposes writes along rows and reads along columns: each number that it
reads lies on a line of its own. Blocks of as many rows as there are lanes are turned in
registers (`compiler/turned.py`).
"""

from __future__ import annotations

from dataclasses import replace

from chainrule.compiler.collapse import substituted
from chainrule.compiler.engine import Target
from chainrule.compiler.expression import Pool
from chainrule.compiler.index import Axis, of
from chainrule.compiler.kernel import Fold, LoopKernel
from chainrule.compiler.nest import vector_lanes
from chainrule.compiler.turned import crossing


def in_blocks(kernel: LoopKernel, pool: Pool, target: Target) -> LoopKernel:
    """`kernel` with blocks of its two last loops inside, where it reads across rows."""
    if kernel.lane is None or not kernel.rows or not _is_plain(kernel):
        return kernel
    row, lane, size = kernel.rows[-1], kernel.lane, vector_lanes(kernel, target)
    if row.extent % size or lane.extent % size or size & (size - 1):
        return kernel
    if not any(True for _ in crossing(kernel.stages, row, lane)):
        return kernel
    tall, wide = Axis(row.extent // size), Axis(lane.extent // size)
    below, beside = Axis(size), Axis(size)
    mapping = {row: of(tall) * size + of(below), lane: of(wide) * size + of(beside)}
    stages, _ = substituted(kernel, mapping, pool)
    outer = [axis for axis in (tall, wide) if axis.extent != 1]
    rows = (*kernel.rows[:-1], *outer)
    return replace(kernel, rows=rows, lane=beside, inside=(below,), stages=stages)


def _is_plain(kernel: LoopKernel) -> bool:
    """Whether everything is computed at the points of the loops themselves."""
    return not any(isinstance(stage, Fold) or stage.axes for stage in kernel.stages)
