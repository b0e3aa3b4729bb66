"""Kernels written by hand: orders, scatters and cumulative sums.

Each is a loop over the lines along one axis. They read and write in an order that does
not depend on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from chainrule.compiler.emit import BYTE, I64, Emitter, integer
from chainrule.compiler.engine import Target
from chainrule.compiler.kernel import LibraryKernel
from chainrule.compiler.kernels import elementwise
from chainrule.compiler.kernels.elementwise import element_type, number, stored_type
from chainrule.compiler.llvm_types import IRValue, ir
from chainrule.errors import GraphError
from chainrule.ir.dtype import DType, int64

ROWS = (0, 2, 3)  # the buffers of a scatter with rows: what is added to, added, given
SCATTER_LANES = 16


def emit_library(kernel: LibraryKernel, target: Target) -> str:
    """The text of a module with the function `kernel`."""
    emitter = Emitter("kernel", kernel.dtypes, target, 4)
    writer = WRITERS.get(kernel.operation)
    if writer is None:
        raise GraphError("the operation has no kernel", where=kernel.operation)
    writer(Lines(kernel, emitter))
    return emitter.finish()


class Lines:
    """Access to a kernel's buffers, element by element."""

    def __init__(self, kernel: LibraryKernel, emitter: Emitter) -> None:
        self.kernel = kernel
        self.emitter = emitter
        self.builder = emitter.builder
        self.params = dict(kernel.params)

    def share(self, count: int) -> tuple[IRValue, IRValue]:
        """This thread's part of `count` pieces."""
        builder, emitter = self.builder, self.emitter
        total, after = integer(count), builder.add(emitter.thread, integer(1))
        start = builder.sdiv(builder.mul(emitter.thread, total), emitter.threads)
        return start, builder.sdiv(builder.mul(after, total), emitter.threads)

    def load(self, buffer: int, place: IRValue) -> IRValue:
        """The element of a buffer, as it is computed with."""
        dtype = self.kernel.dtypes[buffer]
        pointer = self.emitter.address(buffer, place)
        value = self.builder.load(pointer, typ=stored_type(dtype))
        return self.emitter.register(value, dtype)

    def store(self, buffer: int, place: IRValue, value: IRValue) -> None:
        """Write an element of a buffer."""
        dtype = self.kernel.dtypes[buffer]
        pointer = self.emitter.address(buffer, place)
        self.builder.store(self.emitter.memory(value, dtype), pointer)

    def place(
        self, flat: IRValue, shape: Sequence[int], strides: Sequence[int]
    ) -> IRValue:
        """Where the element with row-major number `flat` in `shape` lies."""
        builder, total = self.builder, integer(0)
        for extent, stride in reversed(list(zip(shape, strides, strict=True))):
            position = builder.urem(flat, integer(extent))
            flat = builder.udiv(flat, integer(extent))
            total = builder.add(total, builder.mul(position, integer(stride)))
        return total

    # ---- along a row of memory -------------------------------------------------------

    def along(
        self, share: tuple[IRValue, IRValue], body: Callable[[IRValue, int], None]
    ) -> None:
        """`body(position, lanes)` for whole vectors, then for what is left of a row."""
        builder, (first, last) = self.builder, share
        whole = builder.and_(builder.sub(last, first), integer(-SCATTER_LANES))
        middle = builder.add(first, whole)
        with self.emitter.loop(first, middle, SCATTER_LANES) as position:
            body(position, SCATTER_LANES)
        with self.emitter.loop(middle, last) as position:
            body(position, 1)

    def copy(self, rows: Sequence[IRValue], position: IRValue, lanes: int) -> None:
        """Elements of the first buffer to the last."""
        source, target = (self.builder.add(row, position) for row in rows)
        self._put(3, target, self._get(0, source, lanes))

    def increase(
        self, rows: tuple[IRValue, IRValue], position: IRValue, lanes: int
    ) -> None:
        """Add elements of the third buffer to those of the last."""
        source, target = (self.builder.add(row, position) for row in rows)
        old, update = self._get(3, target, lanes), self._get(2, source, lanes)
        dtype = self.kernel.dtypes[0]
        total = elementwise.ROWS["add"](self.builder, dtype, old, update)
        self._put(3, target, total)

    def _get(self, buffer: int, place: IRValue, lanes: int) -> IRValue:
        dtype = self.kernel.dtypes[buffer]
        kind = stored_type(dtype)
        kind = ir.VectorType(kind, lanes) if lanes > 1 else kind
        pointer = self.emitter.address(buffer, place)
        return self.builder.load(pointer, typ=kind, align=dtype.itemsize)

    def _put(self, buffer: int, place: IRValue, value: IRValue) -> None:
        pointer = self.emitter.address(buffer, place)
        self.builder.store(value, pointer, align=self.kernel.dtypes[buffer].itemsize)


def _without(items: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*items[:axis], *items[axis + 1 :])


def _cumulative_sum(lines: Lines) -> None:
    kernel, emitter, builder = lines.kernel, lines.emitter, lines.builder
    axis, shape = lines.params["axis"], kernel.shapes[0]
    others = _without(shape, axis)
    first, last = lines.share(math.prod(others))
    dtype = kernel.dtypes[0]
    cell = builder.alloca(element_type(dtype))
    with emitter.loop(first, last) as line:
        places = [
            lines.place(line, others, _without(kernel.strides[buffer], axis))
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
        lines.along(share, lambda at, lanes: lines.copy(places, at, lanes))
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
            lines.place(piece, pieces, _without(kernel.strides[i], axis))
            for i in (0, 3)
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


def _checked(lines: Lines, value: IRValue, extent: int) -> IRValue:
    """An index as a position: reported where it is outside, negative ones wrapped."""
    b, dtype = lines.builder, lines.kernel.dtypes[1]
    wide = elementwise.convert(b, dtype, int64, value)
    low = b.icmp_signed("<", wide, integer(-extent))
    high = b.icmp_signed(">=", wide, integer(extent))
    wrong = b.or_(low, high)
    status = lines.emitter.status_argument()
    old = b.load(status, typ=I64)
    b.store(b.select(wrong, integer(lines.params["code"]), old), status)
    negative = b.icmp_signed("<", wide, integer(0))
    wrapped = b.select(negative, b.add(wide, integer(extent)), wide)
    return b.select(wrong, integer(0), wrapped)


def _argsort(lines: Lines) -> None:
    """A stable order by insertion into runs that are merged, bottom up.

    Each thread has room for two orders of a line in its own part of the scratch memory.
    """
    kernel, emitter, builder = lines.kernel, lines.emitter, lines.builder
    axis, shape = lines.params["axis"], kernel.shapes[0]
    length = shape[axis]
    others = _without(shape, axis)
    first, last = lines.share(math.prod(others))
    own = builder.mul(emitter.thread, integer(workspace_bytes(kernel)))
    order = builder.gep(emitter.extra_argument(0), [own], source_etype=BYTE)
    other = builder.gep(order, [integer(length)], source_etype=I64)
    with emitter.loop(first, last) as line:
        source, target = (
            lines.place(line, others, _without(kernel.strides[i], axis)) for i in (0, 1)
        )
        sorter = _Sorter(lines, source, kernel.strides[0][axis])
        result = sorter.sort(order, other, length)
        with emitter.loop(integer(0), integer(length)) as step:
            value = builder.load(builder.gep(result, [step], source_etype=I64), typ=I64)
            place = builder.add(
                target, builder.mul(step, integer(kernel.strides[1][axis]))
            )
            lines.store(1, place, value)


def workspace_bytes(kernel: LibraryKernel) -> int:
    """The scratch memory that each thread needs."""
    if kernel.operation != "argsort":
        return 0
    return 16 * kernel.shapes[0][dict(kernel.params)["axis"]]


class _Sorter:
    """Merge sort of the positions along one line."""

    def __init__(self, lines: Lines, source: IRValue, stride: int) -> None:
        self.lines = lines
        self.builder = lines.builder
        self.source = source
        self.stride = stride
        self.dtype: DType = lines.kernel.dtypes[0]
        self.descending = bool(lines.params["descending"])

    def key(self, position: IRValue) -> IRValue:
        place = self.builder.mul(position, integer(self.stride))
        return self.lines.load(0, self.builder.add(self.source, place))

    def before(self, later: IRValue, earlier: IRValue) -> IRValue:
        """Whether the element of the later run goes strictly before the earlier one."""
        b = self.builder
        x, y = self.key(later), self.key(earlier)
        pair = (y, x) if self.descending else (x, y)
        less = elementwise.ROWS["less"](b, self.dtype, *pair)
        if not self.dtype.is_float:
            return less
        missing = b.fcmp_unordered("uno", y, y)
        return b.or_(less, b.and_(missing, b.fcmp_ordered("ord", x, x)))

    def sort(self, order: IRValue, other: IRValue, length: int) -> IRValue:
        """Fill `order` with positions and merge runs of doubling length."""
        builder, emitter = self.builder, self.lines.emitter
        with emitter.loop(integer(0), integer(length)) as step:
            builder.store(step, builder.gep(order, [step], source_etype=I64))
        source, target, run = order, other, 1
        while run < length:
            with emitter.loop(integer(0), integer(length), 2 * run) as start:
                self._merge(source, target, start, run, length)
            source, target, run = target, source, 2 * run
        return source

    def _merge(
        self, source: IRValue, target: IRValue, start: IRValue, run: int, length: int
    ) -> None:
        b = self.builder
        middle = self._least(b.add(start, integer(run)), length)
        end = self._least(b.add(start, integer(2 * run)), length)
        with b.goto_entry_block():
            left, right = b.alloca(I64), b.alloca(I64)
        b.store(start, left)
        b.store(middle, right)
        with self.lines.emitter.loop(start, end) as place:
            i, j = b.load(left, typ=I64), b.load(right, typ=I64)
            left_done = b.icmp_signed(">=", i, middle)
            right_done = b.icmp_signed(">=", j, end)
            # an exhausted run is not read behind its end
            safe_i = b.select(left_done, start, i)
            safe_j = b.select(right_done, start, j)
            x = b.load(b.gep(source, [safe_i], source_etype=I64), typ=I64)
            y = b.load(b.gep(source, [safe_j], source_etype=I64), typ=I64)
            wins = b.or_(left_done, self.before(y, x))
            take = b.and_(b.not_(right_done), wins)
            b.store(b.select(take, y, x), b.gep(target, [place], source_etype=I64))
            one, zero = integer(1), integer(0)
            b.store(b.add(i, b.select(take, zero, one)), left)
            b.store(b.add(j, b.select(take, one, zero)), right)

    def _least(self, value: IRValue, limit: int) -> IRValue:
        b = self.builder
        inside = b.icmp_signed("<", value, integer(limit))
        return b.select(inside, value, integer(limit))


WRITERS: dict[str, Callable[[Lines], None]] = {
    "argsort": _argsort,
    "cumulative_sum": _cumulative_sum,
    "scatter_add": _scatter_add,
}
