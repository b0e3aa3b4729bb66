"""Loops within folds: what sums of one loop share is read once.

The gradient of a depthwise kernel is a sum over all positions for each of its taps.
With the taps inside of the loop over positions, and a sum in registers for each, the
cotangent is read once, and each element of the picture comes from the first cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from chainrule.compiler.expression import Expression
from chainrule.compiler.index import Axis
from chainrule.compiler.kernel import Fold, LoopKernel, Write

MOST_SUMS = 12  # sums in registers
LEAST_STEPS = 16  # of a loop that it pays for


def with_inside(kernel: LoopKernel) -> LoopKernel:
    """`kernel` with its last loops inside of its folds, where something is shared."""
    folds = [stage for stage in kernel.stages if isinstance(stage, Fold)]
    if kernel.lane is None or not folds or not _is_one_loop(kernel.stages, folds):
        return kernel
    steps = math.prod(axis.extent for axis in folds[0].axes)
    sums, rows = len(folds), list(kernel.rows)
    inside: list[Axis] = []
    while rows and steps >= LEAST_STEPS:
        axis = rows[-1]
        if sums * axis.extent > MOST_SUMS or not _shares(folds, axis):
            break
        inside.insert(0, rows.pop())
        sums *= axis.extent
    return replace(kernel, rows=tuple(rows), inside=tuple(inside))


def _is_one_loop(stages: Sequence[Write | Fold], folds: Sequence[Fold]) -> bool:
    """Whether all folds share a loop, and nothing else has one."""
    whole = all(not stage.axes for stage in stages if isinstance(stage, Write))
    positions = any(stage.operation.startswith("arg") for stage in folds)
    return whole and not positions and len(one_loop(folds[0], folds[1:])) == len(folds)


def _shares(folds: Sequence[Fold], axis: Axis) -> bool:
    """Whether something is read at each step that does not depend on `axis`."""
    steps = set(folds[0].axes)
    return any(
        part.kind == "load" and axis not in part.axes and steps & set(part.axes)
        for part in parts(stage.expression for stage in folds)
    )


def one_loop(first: Fold, others: Iterable[Write | Fold]) -> list[Fold]:
    """`first` with those of the folds behind it that can share its loop.

    They run over the same axes and need nothing that is known only after it.
    """
    shared = [first]
    later: set[Expression] = set()
    for stage in others:
        if not isinstance(stage, Fold):
            continue
        needs = {part for part in parts([stage.expression]) if part.kind == "local"}
        arguments = stage.operation.startswith("arg")
        alike = stage.axes == first.axes and not arguments
        if alike and not needs & {first.local, *later}:
            shared.append(stage)
        later.add(stage.local)
    return shared


def parts(expressions: Iterable[Expression]) -> Iterator[Expression]:
    """Every part of some expressions, once."""
    seen: set[int] = set()
    stack = list(expressions)
    while stack:
        part = stack.pop()
        if id(part) not in seen:
            seen.add(id(part))
            yield part
            stack.extend(part.inputs)


def size_of(expression: Expression) -> int:
    """How many parts an expression has."""
    return sum(1 for _ in parts([expression]))
