"""Kernels written by hand: orders, cumulative sums, and what is put at places.

Each is a loop over the lines along one axis. They read and write in an order that does
not depend on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from chainrule.compiler.emit import I64, Emitter, integer
from chainrule.compiler.engine import Target
from chainrule.compiler.kernel import LibraryKernel
from chainrule.compiler.kernels import elementwise
from chainrule.compiler.kernels.elementwise import element_type, number
from chainrule.compiler.lines import SCATTER_LANES, Lines, without
from chainrule.compiler.llvm_types import IRValue
from chainrule.compiler.sorting import argsort
from chainrule.errors import GraphError
from chainrule.ir.dtype import int64

# the buffers of an update with rows: what is changed, what comes to it, what is given
ROWS = (0, 2, 3)


def emit_library(kernel: LibraryKernel, target: Target) -> str:
    """The text of a module with the function `kernel`."""
    emitter = Emitter("kernel", kernel.dtypes, target, 4)
    writer = WRITERS.get(kernel.operation)
    if writer is None:
        raise GraphError("the operation has no kernel", where=kernel.operation)
    writer(Lines(kernel, emitter))
    return emitter.finish()


def _cumulative_sum(lines: Lines) -> None:
    kernel, emitter, builder = lines.kernel, lines.emitter, lines.builder
    axis, shape = lines.params["axis"], kernel.shapes[0]
    others = without(shape, axis)
    first, last = lines.share(math.prod(others))
    dtype = kernel.dtypes[0]
    cell = builder.alloca(element_type(dtype))
    with emitter.loop(first, last) as line:
        places = [
            lines.place(line, others, without(kernel.strides[buffer], axis))
            for buffer in (0, 1)
        ]
        builder.store(number(element_type(dtype), 0), cell)
        with emitter.loop(integer(0), integer(shape[axis])) as step:
            at = [
                builder.add(base, builder.mul(step, integer(kernel.strides[i][axis])))
                for i, base in enumerate(places)
            ]
            old = builder.load(cell, typ=element_type(dtype))
            value = lines.load(0, at[0])
            total = elementwise.ROWS["add"](builder, dtype, old, value)
            builder.store(total, cell)
            lines.store(1, at[1], total)


def _scatter_add(lines: Lines) -> None:
    """Threads share the columns that lie behind the axis, or the first does it all.

    What is added to one element is added in the order of the positions.
    """
    if _whole_rows(lines.kernel, lines.params["axis"]):
        _scatter_rows(lines)
    else:
        _scatter_columns(lines)


def _whole_rows(kernel: LibraryKernel, axis: int) -> bool:
    """Whether what lies behind the first axis is one piece of memory in each buffer."""
    rest = kernel.shapes[0][1:]
    tails = [strides[-len(rest) :] for strides in map(kernel.strides.__getitem__, ROWS)]
    return axis == 0 and bool(rest) and all(tail == dense(rest) for tail in tails)


def dense(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of an array of this shape without gaps.

    Example:
        >>> dense((2, 3, 4))
        (12, 4, 1)
    """
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _scatter_rows(lines: Lines) -> None:
    """Row after row, so that memory is read and written along it."""
    kernel, emitter, builder = lines.kernel, lines.emitter, lines.builder
    rest, positions = kernel.shapes[0][1:], kernel.shapes[1]
    count, width = len(positions), math.prod(rest)
    share = emitter.part(width, SCATTER_LANES)
    before, after = (emitter.address(buffer, integer(0)) for buffer in (0, 3))
    # a sum that takes the place of its input in memory is there already
    with (
        emitter.only_if(builder.icmp_unsigned("!=", before, after)),
        emitter.loop(integer(0), integer(kernel.shapes[0][0])) as row,
    ):
        places = [builder.mul(row, integer(kernel.strides[i][0])) for i in (0, 3)]
        lines.along(share, lambda at, lanes: lines.copy(0, places, at, lanes))
    with emitter.loop(integer(0), integer(math.prod(positions))) as number_:
        chosen = lines.load(1, lines.place(number_, positions, kernel.strides[1]))
        index = _checked(lines, chosen, kernel.shapes[0][0])
        target = builder.mul(index, integer(kernel.strides[3][0]))
        update = lines.place(number_, positions, kernel.strides[2][:count])
        pair = update, target
        lines.along(share, lambda at, lanes: lines.increase(pair, at, lanes))


def _scatter_columns(lines: Lines) -> None:
    """Column after column, whatever the layout."""
    kernel, emitter, builder = lines.kernel, lines.emitter, lines.builder
    axis, shape = lines.params["axis"], kernel.shapes[0]
    lead, rest = shape[:axis], shape[axis + 1 :]
    positions = kernel.shapes[1]
    first, last = lines.share(math.prod(lead) * math.prod(rest))
    pieces = (*lead, *rest)
    before, after = (emitter.address(buffer, integer(0)) for buffer in (0, 3))
    elsewhere = builder.icmp_unsigned("!=", before, after)
    with emitter.loop(first, last) as piece:
        source, target = (
            lines.place(piece, pieces, without(kernel.strides[i], axis)) for i in (0, 3)
        )
        # a sum that takes the place of its input in memory is there already
        with (
            emitter.only_if(elsewhere),
            emitter.loop(integer(0), integer(shape[axis])) as step,
        ):
            read = builder.add(
                source, builder.mul(step, integer(kernel.strides[0][axis]))
            )
            write = builder.add(
                target, builder.mul(step, integer(kernel.strides[3][axis]))
            )
            lines.store(3, write, lines.load(0, read))
        count = len(positions)
        outer = (*kernel.strides[2][:axis], *kernel.strides[2][axis + count :])
        updates = lines.place(piece, pieces, outer)
        inner = kernel.strides[2][axis : axis + count]
        with emitter.loop(integer(0), integer(math.prod(positions))) as number_:
            chosen = lines.load(1, lines.place(number_, positions, kernel.strides[1]))
            index = _checked(lines, chosen, shape[axis])
            place = builder.add(
                target, builder.mul(index, integer(kernel.strides[3][axis]))
            )
            update = lines.load(
                2, builder.add(updates, lines.place(number_, positions, inner))
            )
            dtype = kernel.dtypes[0]
            total = elementwise.ROWS["add"](
                builder, dtype, lines.load(3, place), update
            )
            lines.store(3, place, total)


def _put_rows(lines: Lines) -> None:
    """Row after row, in order; threads share what lies behind the axis."""
    kernel, emitter, builder = lines.kernel, lines.emitter, lines.builder
    length, count = kernel.shapes[0][0], kernel.shapes[1][0]
    width = math.prod(kernel.shapes[0][1:])
    if _whole_rows(kernel, 0):
        share = emitter.part(width, SCATTER_LANES)
    else:
        share = lines.share(width)
    before, after = (emitter.address(buffer, integer(0)) for buffer in (0, 3))
    # what takes the place of its input in memory is there already
    with (
        emitter.only_if(builder.icmp_unsigned("!=", before, after)),
        emitter.loop(integer(0), integer(length)) as row,
    ):
        _copy_row(lines, 0, (row, row), share)
    with emitter.loop(integer(0), integer(count)) as number_:
        place = builder.mul(number_, integer(kernel.strides[1][0]))
        index = _checked(lines, lines.load(1, place), length, nowhere=True)
        with emitter.only_if(builder.icmp_signed("<", index, integer(length))):
            _copy_row(lines, 2, (number_, index), share)


def _copy_row(
    lines: Lines,
    buffer: int,
    rows: tuple[IRValue, IRValue],
    share: tuple[IRValue, IRValue],
) -> None:
    """A thread's share of a row of a buffer, to a row of the last buffer."""
    kernel, builder = lines.kernel, lines.builder
    strides = kernel.strides[buffer], kernel.strides[3]
    starts = [
        builder.mul(row, integer(own[0]))
        for row, own in zip(rows, strides, strict=True)
    ]
    if _whole_rows(kernel, 0):
        lines.along(share, lambda at, lanes: lines.copy(buffer, starts, at, lanes))
        return
    rest = kernel.shapes[0][1:]
    with lines.emitter.loop(*share) as element:
        ends = [lines.place(element, rest, own[1:]) for own in strides]
        source, target = map(builder.add, starts, ends)
        lines.store(3, target, lines.load(buffer, source))


def _checked(
    lines: Lines, value: IRValue, extent: int, nowhere: bool = False
) -> IRValue:
    """An index as a position: reported where it is outside, negative ones wrapped.

    With `nowhere` the extent itself is allowed, and stands for what is reported too.
    """
    b, dtype = lines.builder, lines.kernel.dtypes[1]
    wide = elementwise.convert(b, dtype, int64, value)
    low = b.icmp_signed("<", wide, integer(-extent))
    high = b.icmp_signed(">" if nowhere else ">=", wide, integer(extent))
    wrong = b.or_(low, high)
    status = lines.emitter.status_argument()
    old = b.load(status, typ=I64)
    b.store(b.select(wrong, integer(lines.params["code"]), old), status)
    negative = b.icmp_signed("<", wide, integer(0))
    wrapped = b.select(negative, b.add(wide, integer(extent)), wide)
    return b.select(wrong, integer(extent if nowhere else 0), wrapped)


WRITERS: dict[str, Callable[[Lines], None]] = {
    "argsort": argsort,
    "cumulative_sum": _cumulative_sum,
    "put_rows": _put_rows,
    "scatter_add": _scatter_add,
}
