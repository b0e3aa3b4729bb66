"""Shares of threads: which part of a kernel is whose, and what it touches.

Where threads cut the leading axis of what they read and write in the same way in one
kernel after another, each finds what it wrote itself: nobody need wait for the others,
and nothing moves between the caches of cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from chainrule.compiler.expression import Expression, Place
from chainrule.compiler.index import Axis, FromData, Index, of
from chainrule.compiler.kernel import (
    ContractKernel,
    Kernel,
    LibraryKernel,
    LoopKernel,
    Operand,
    ScanKernel,
    Write,
)
from chainrule.compiler.lower import Store
from chainrule.ir.value import Value

SHARED_OUTER = 8  # from so many products on, threads share whole products
SHARED_ROWS = 32  # from so many rows on, they may share the rows of one
LOOP_ROWS = 8  # from so many rows on, they share rows of a loop rather than lanes
MANY = 128  # positions from which on shares are whole vectors
FEW_TOGETHER, MANY_TOGETHER = 4, 16


def together(extent: int) -> int:
    """How many positions of an axis always belong to one thread."""
    return MANY_TOGETHER if extent >= MANY else FEW_TOGETHER


def shares_rows(kernel: ContractKernel) -> bool:
    """Whether threads share the rows of a product rather than its columns.

    Where the left operand and the result are larger than the right operand, which each
    thread then reads whole. A thread's rows also lie together in memory: of columns
    side by side, each core would fetch ahead what another core is writing.
    """
    rows, columns, depth = kernel.m.extent, kernel.n.extent, math.prod(kernel.sums)
    return rows >= SHARED_ROWS and rows * (depth + columns) > depth * columns


def shares_columns(kernel: ContractKernel, lanes: int) -> bool:
    """Whether threads share the columns of a product."""
    return kernel.n.extent >= 2 * lanes and not shares_rows(kernel)


def cut_axis(kernel: Kernel, lanes: int) -> Axis | None:
    """The axis that threads cut into pieces of `together(extent)`.

    None where they share the kernel in another way. `lanes` are those of its code.
    """
    if isinstance(kernel, LibraryKernel | ScanKernel):
        return None
    if kernel.piece:
        return first_axis(kernel)
    if isinstance(kernel, ContractKernel):
        if math.prod(axis.extent for axis in kernel.outer) != 1:
            return None
        if not shares_columns(kernel, lanes):
            return kernel.m
        return kernel.n if together(kernel.n.extent) % lanes == 0 else None
    return _cut_loop(kernel, lanes)


def first_axis(kernel: LoopKernel | ContractKernel) -> Axis:
    """The axis of which threads have pieces where the kernel says how large."""
    if isinstance(kernel, ContractKernel):
        return next((a for a in kernel.outer if a.extent != 1), kernel.m)
    axis = kernel.rows[0] if kernel.rows else kernel.lane
    assert axis is not None
    return axis


def _cut_loop(kernel: LoopKernel, lanes: int) -> Axis | None:
    if not kernel.rows:
        lane = kernel.lane
        if lane is None or together(lane.extent) % lanes:
            return None
        return lane
    count = math.prod(axis.extent for axis in kernel.rows)
    by_rows = count >= LOOP_ROWS or kernel.lane is None
    first = kernel.rows[0]
    return first if by_rows and first.extent >= SHARED_ROWS else None


def own_buffers(
    kernel: Kernel,
    axis: Axis,
    values: Sequence[Value],
    stores: dict[int, Store],
    within: Mapping[int, Value],
    each: int = 1,
) -> set[int]:
    """The buffers of which a position of `axis` touches only what lies at it.

    That is, at the same position of the leading axis of the value in the buffer, and of
    the value that this lies `within`. With `each`, so many positions of `axis` in a row
    are one of the leading axis.
    """
    strangers: set[int] = set()
    touched: set[int] = set()
    for buffer, offset in accesses(kernel):
        touched.add(buffer)
        value = values[buffer]
        shape, strides = value.spec.shape, stores[id(value)].strides
        whole = stores[id(within.get(id(value), value))].strides
        if (
            not shape
            or strides[0] != whole[0]
            or shape[0] * each != axis.extent
            or strides[0] % each
            or not _stays_at(offset, axis, strides[0] // each)
        ):
            strangers.add(buffer)
    return touched - strangers


def sample_buffers(
    kernel: Kernel,
    samples: int,
    values: Sequence[Value],
    stores: dict[int, Store],
    within: Mapping[int, Value],
) -> dict[int, int]:
    """The buffers of which each sample touches only what belongs to it.

    A sample is one of `samples` equal parts of the first axis of the kernel, and of the
    leading axis of the value in a buffer; by the numbers of the buffers, how many
    elements it takes there.
    """
    assert isinstance(kernel, LoopKernel | ContractKernel)
    axis = first_axis(kernel)
    sample, rest = Axis(samples), Axis(axis.extent // samples)
    place = {axis: of(sample) * rest.extent + of(rest)}
    own: dict[int, int] = {}
    strangers: set[int] = set()
    for buffer, offset in accesses(kernel):
        value = values[buffer]
        own[buffer] = _sample_stride(value, samples, stores)
        whole = _sample_stride(within.get(id(value), value), samples, stores)
        stays = _stays_at(offset.substitute(place), sample, own[buffer])
        if own[buffer] != whole or not stays:
            strangers.add(buffer)
    return {buffer: stride for buffer, stride in own.items() if buffer not in strangers}


def _sample_stride(value: Value, samples: int, stores: dict[int, Store]) -> int:
    """From sample to sample of the leading axis of a value; 0 where there are none."""
    shape = value.spec.shape
    if not shape or shape[0] % samples:
        return 0
    return stores[id(value)].strides[0] * (shape[0] // samples)


def _stays_at(offset: Index, axis: Axis, stride: int) -> bool:
    """Whether an offset lies in the stretch of `stride` that belongs to `axis`."""
    if axis.extent == 1 or offset.coefficient(axis) != stride:
        return False
    low, high = (offset + of(axis) * -stride).bounds()
    return low >= 0 and high < stride


def accesses(kernel: Kernel) -> Iterator[tuple[int, Index]]:
    """Every buffer with an offset at which it is read or written."""
    if isinstance(kernel, LibraryKernel | ScanKernel):
        return
    if isinstance(kernel, ContractKernel):
        runs = of(kernel.m) // kernel.run * (kernel.wrap - kernel.a.row)
        rows = _operand_offset(kernel, kernel.a, kernel.m)
        yield kernel.a.buffer, rows + runs
        yield kernel.b.buffer, _operand_offset(kernel, kernel.b, kernel.n)
    for stage in kernel.stages:
        if isinstance(stage, Write):
            yield stage.buffer, stage.offset
    yield from loads([stage.expression for stage in kernel.stages])


def _operand_offset(kernel: ContractKernel, operand: Operand, axis: Axis) -> Index:
    offset = of(axis) * operand.row + operand.offset
    for extent, stride in zip(kernel.sums, operand.sums, strict=True):
        offset = offset + of(Axis(extent)) * stride
    for outer, stride in zip(kernel.outer, operand.outer, strict=True):
        offset = offset + of(outer) * stride
    return offset


def loads(expressions: Sequence[Expression]) -> Iterator[tuple[int, Index]]:
    """What expressions read, in indices that are data as well."""
    seen: set[int] = set()
    stack = list(expressions)
    while stack:
        expression = stack.pop()
        if id(expression) in seen:
            continue
        seen.add(id(expression))
        stack.extend(expression.inputs)
        detail = expression.detail
        if isinstance(detail, Place):
            yield detail.buffer, _guarded(detail.offset, expression.inputs)
            stack.extend(_data(detail.offset))
        elif isinstance(detail, Index):
            stack.extend(_data(detail))


def _guarded(offset: Index, conditions: Sequence[Expression]) -> Index:
    """The offset of a load, over the positions alone at which it is made."""
    mapping: dict[Axis, Index] = {}
    for axis, (first, last) in _limits(conditions).items():
        if 0 <= first <= last < axis.extent:
            mapping[axis] = of(Axis(last - first + 1)) + first
    return offset.substitute(mapping) if mapping else offset


def _limits(conditions: Sequence[Expression]) -> dict[Axis, tuple[int, int]]:
    """The first and the last position of axes where all conditions hold."""
    found: dict[Axis, tuple[int, int]] = {}
    stack = list(conditions)
    while stack:
        condition = stack.pop()
        if condition.kind == "logical_and":
            stack.extend(condition.inputs)
        elif condition.kind in ("less", "less_equal"):
            axis, first, last = _limit(condition)
            if axis is not None:
                known = found.get(axis, (0, axis.extent - 1))
                found[axis] = max(known[0], first), min(known[1], last)
    return found


def _limit(condition: Expression) -> tuple[Axis | None, int, int]:
    """What a comparison of one position with a number says of it."""
    left, right = condition.inputs
    strict = int(condition.kind == "less")
    for side, other in ((left, right), (right, left)):
        if side.kind != "position" or other.kind != "number":
            continue
        index: Index = side.detail
        if len(index.terms) != 1 or index.terms[0][1] != 1:
            break
        axis = index.terms[0][0]
        if not isinstance(axis, Axis):
            break
        bound = int(other.detail[2]) - index.constant
        if side is left:
            return axis, 0, bound - strict
        return axis, bound + strict, axis.extent - 1
    return None, 0, 0


def _data(index: Index) -> Iterator[Expression]:
    for atom, _ in index.terms:
        if isinstance(atom, FromData):
            yield atom.expression
        elif not isinstance(atom, Axis):
            yield from _data(atom.index)
