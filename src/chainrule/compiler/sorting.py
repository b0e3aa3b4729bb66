"""Orders of the elements along an axis.

Floats are sorted by merging, whole numbers digit by digit. Both ways are stable.
"""

from __future__ import annotations

import math

from chainrule.compiler.emit import BYTE, I64, integer
from chainrule.compiler.kernel import LibraryKernel
from chainrule.compiler.kernels import elementwise
from chainrule.compiler.lines import Lines, without
from chainrule.compiler.llvm_types import IRBuilder, IRValue, ir
from chainrule.ir.dtype import DType, int64

DIGIT = 8  # bits
COUNTS = 1 << DIGIT
LONG = 64  # elements from which on counting digits is faster than merging
FALSE = ir.Constant(ir.IntType(1), 0)


def argsort(lines: Lines) -> None:
    """A stable order of each line; each thread has scratch memory of its own."""
    kernel, emitter, builder = lines.kernel, lines.emitter, lines.builder
    axis, shape = lines.params["axis"], kernel.shapes[0]
    length = shape[axis]
    others = without(shape, axis)
    first, last = lines.share(math.prod(others))
    own = builder.mul(emitter.worker, integer(workspace_bytes(kernel)))
    room = builder.gep(emitter.extra_argument(0), [own], source_etype=BYTE)
    sorter = _Counting if _counts(kernel) else _Merging
    with emitter.loop(first, last) as line:
        source, target = (
            lines.place(line, others, without(kernel.strides[i], axis)) for i in (0, 1)
        )
        result = sorter(lines, source, kernel.strides[0][axis]).sort(room, length)
        with emitter.loop(integer(0), integer(length)) as step:
            value = builder.load(word(builder, result, step), typ=I64)
            place = builder.add(
                target, builder.mul(step, integer(kernel.strides[1][axis]))
            )
            lines.store(1, place, value)


def _counts(kernel: LibraryKernel) -> bool:
    """Whether digits are counted."""
    length = kernel.shapes[0][dict(kernel.params)["axis"]]
    return kernel.dtypes[0].is_integer and length >= LONG


def workspace_bytes(kernel: LibraryKernel) -> int:
    """The scratch memory that each thread needs."""
    if kernel.operation != "argsort":
        return 0
    length = kernel.shapes[0][dict(kernel.params)["axis"]]
    return 8 * (4 * length + COUNTS if _counts(kernel) else 2 * length)


def word(builder: IRBuilder, base: IRValue, at: IRValue | int) -> IRValue:
    """The address of a word of 64 bits behind another."""
    place = integer(at) if isinstance(at, int) else at
    return builder.gep(base, [place], source_etype=I64)


class _Line:
    """One line whose positions are sorted."""

    def __init__(self, lines: Lines, source: IRValue, stride: int) -> None:
        self.lines = lines
        self.builder = lines.builder
        self.source = source
        self.stride = stride
        self.dtype: DType = lines.kernel.dtypes[0]
        self.descending = bool(lines.params["descending"])


class _Merging(_Line):
    """Merge sort of the positions along one line."""

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

    def sort(self, room: IRValue, length: int) -> IRValue:
        """The order, in a part of the room: runs of doubling length are merged."""
        builder, emitter = self.builder, self.lines.emitter
        order, other = (word(builder, room, at) for at in (0, length))
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


class _Counting(_Line):
    """Sort of the positions along a line of whole numbers by digits, lowest first.

    Numbers are taken as their distance from the least one, or from the largest where
    they descend, so that few digits are left of them.
    """

    def sort(self, room: IRValue, length: int) -> IRValue:
        """The order, in a part of the room, which is for orders, keys and counts."""
        b = self.builder
        halves = [word(b, room, at * length) for at in (0, 2)]
        counts = word(b, room, 4 * length)
        least, most = self._bounds(length)
        self._fill(halves[0], least, most, length)
        with b.goto_entry_block():
            cells = [b.alloca(halves[0].type) for _ in halves]
        for cell, half in zip(cells, halves, strict=True):
            b.store(half, cell)
        with self.lines.emitter.loop(integer(0), self._digits(least, most)) as digit:
            source, target = (b.load(cell, typ=halves[0].type) for cell in cells)
            shift = b.mul(digit, integer(DIGIT))
            self._count(source, counts, shift, length)
            self._place(source, target, counts, shift, length)
            b.store(target, cells[0])
            b.store(source, cells[1])
        return b.load(cells[0], typ=halves[0].type)

    def _number(self, position: IRValue) -> IRValue:
        """An element as a number without a sign, in the same order."""
        b = self.builder
        place = b.add(self.source, b.mul(position, integer(self.stride)))
        wide = elementwise.convert(b, self.dtype, int64, self.lines.load(0, place))
        return b.xor(wide, integer(-(2**63))) if self.dtype.kind == "i" else wide

    def _bounds(self, length: int) -> tuple[IRValue, IRValue]:
        """The least and the largest number of the line."""
        b = self.builder
        with b.goto_entry_block():
            cells = [b.alloca(I64) for _ in range(2)]
        first = self._number(integer(0))
        for cell in cells:
            b.store(first, cell)
        with self.lines.emitter.loop(integer(1), integer(length)) as step:
            value = self._number(step)
            for cell, sign in zip(cells, "<>", strict=True):
                old = b.load(cell, typ=I64)
                b.store(b.select(b.icmp_unsigned(sign, value, old), value, old), cell)
        return b.load(cells[0], typ=I64), b.load(cells[1], typ=I64)

    def _digits(self, least: IRValue, most: IRValue) -> IRValue:
        """How many digits the largest distance has."""
        b = self.builder
        zeros = b.ctlz(b.sub(most, least), FALSE)
        used = b.sub(integer(64), zeros)
        return b.udiv(b.add(used, integer(DIGIT - 1)), integer(DIGIT))

    def _fill(self, half: IRValue, least: IRValue, most: IRValue, length: int) -> None:
        """Positions in their order, and behind them what they are sorted by."""
        b = self.builder
        with self.lines.emitter.loop(integer(0), integer(length)) as step:
            value = self._number(step)
            key = b.sub(most, value) if self.descending else b.sub(value, least)
            b.store(step, word(b, half, step))
            b.store(key, word(b, half, b.add(step, integer(length))))

    def _digit(self, key: IRValue, shift: IRValue) -> IRValue:
        return self.builder.and_(self.builder.lshr(key, shift), integer(COUNTS - 1))

    def _count(
        self, half: IRValue, counts: IRValue, shift: IRValue, length: int
    ) -> None:
        """For each digit the place of the first position that has it."""
        b, loop = self.builder, self.lines.emitter.loop
        with loop(integer(0), integer(COUNTS)) as value:
            b.store(integer(0), word(b, counts, value))
        with loop(integer(length), integer(2 * length)) as step:
            key = b.load(word(b, half, step), typ=I64)
            cell = word(b, counts, self._digit(key, shift))
            b.store(b.add(b.load(cell, typ=I64), integer(1)), cell)
        with b.goto_entry_block():
            total = b.alloca(I64)
        b.store(integer(0), total)
        with loop(integer(0), integer(COUNTS)) as value:
            cell, before = word(b, counts, value), b.load(total, typ=I64)
            b.store(b.add(before, b.load(cell, typ=I64)), total)
            b.store(before, cell)

    def _place(
        self,
        source: IRValue,
        target: IRValue,
        counts: IRValue,
        shift: IRValue,
        length: int,
    ) -> None:
        """Positions and keys in the order of this digit."""
        b = self.builder
        with self.lines.emitter.loop(integer(0), integer(length)) as step:
            position = b.load(word(b, source, step), typ=I64)
            behind = word(b, source, b.add(step, integer(length)))
            key = b.load(behind, typ=I64)
            cell = word(b, counts, self._digit(key, shift))
            place = b.load(cell, typ=I64)
            b.store(b.add(place, integer(1)), cell)
            b.store(position, word(b, target, place))
            b.store(key, word(b, target, b.add(place, integer(length))))
