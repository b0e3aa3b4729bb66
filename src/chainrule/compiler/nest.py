"""Loop kernels as LLVM code: rows shared by threads, lanes, folds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

from chainrule.compiler.emit import I32, I64, Emitter, Scope, integer
from chainrule.compiler.engine import Target
from chainrule.compiler.index import Axis
from chainrule.compiler.kernel import Fold, LoopKernel, Write
from chainrule.compiler.kernels import elementwise
from chainrule.compiler.kernels.elementwise import element_type, number
from chainrule.compiler.llvm_types import IRValue, ir
from chainrule.compiler.shares import LOOP_ROWS, cut_axis, together
from chainrule.ir.dtype import DType

LONG_SUM = 4096  # terms from which on a sum is added in pieces
PIECE = 128  # steps of a piece
WIDE = 4  # vectors side by side where lanes fold down columns
DEEP = 64  # rows from which on that pays


def lanes_for(kernel: LoopKernel, target: Target) -> int:
    """How many elements are computed side by side.

    As many as a vector register holds of the widest number that is computed with. Where
    lanes fold down the columns of a matrix they are four times as many, so that each
    row gives whole stretches of memory.
    """
    floats = [d.itemsize for d in kernel.dtypes if d.is_float]
    writes = [stage for stage in kernel.stages if isinstance(stage, Write)]
    written = [kernel.dtypes[stage.buffer].itemsize for stage in writes]
    every = [d.itemsize for d in kernel.dtypes]
    width = max(4, target.lanes(max(floats or written or every or [4])))
    folds = [stage for stage in kernel.stages if isinstance(stage, Fold)]
    if kernel.lane is None or kernel.lane.extent < WIDE * width or not folds:
        return width
    deep = max(math.prod(a.extent for a in stage.axes) for stage in folds) >= DEEP
    return WIDE * width if deep else width


def emit_loops(kernel: LoopKernel, target: Target) -> str:
    """The text of a module with the function `kernel`."""
    emitter = Emitter("kernel", kernel.dtypes, target, lanes_for(kernel, target))
    _Nest(kernel, emitter).emit()
    return emitter.finish()


class _Nest:
    """Writes the loops of one kernel."""

    def __init__(self, kernel: LoopKernel, emitter: Emitter) -> None:
        self.kernel = kernel
        self.emitter = emitter
        self.cut = cut_axis(kernel, emitter.lanes)
        self.stages = StageEmitter(emitter, per_row=kernel.lane is None)

    def emit(self) -> None:
        rows = math.prod(axis.extent for axis in self.kernel.rows)
        share_rows = rows >= LOOP_ROWS or self.kernel.lane is None
        if not rows:
            return
        start, stop = integer(0), integer(rows)
        if share_rows:
            start, stop = self._share_rows(rows)
        with self.emitter.loop(start, stop) as flat:
            positions = self._decode(flat)
            with self.emitter.level(positions):
                self._row(share_rows)

    def _share_rows(self, count: int) -> tuple[IRValue, IRValue]:
        """This thread's part of the rows: whole positions of an axis that is cut."""
        emitter, axis = self.emitter, self.cut
        if axis is None:
            return emitter.part(count, 1)
        inner = integer(count // axis.extent)
        first, last = emitter.part(axis.extent, together(axis.extent))
        builder = emitter.builder
        return builder.mul(first, inner), builder.mul(last, inner)

    def _share_lanes(self, lane: Axis) -> tuple[IRValue, IRValue]:
        """This thread's part of the blocks of lanes."""
        emitter, width = self.emitter, self.emitter.lanes
        if self.cut is not lane:
            return emitter.part(-(-lane.extent // width), 1)
        first, last = emitter.part(lane.extent, together(lane.extent))
        builder, size = emitter.builder, integer(width)
        last = builder.add(last, integer(width - 1))
        return builder.sdiv(first, size), builder.sdiv(last, size)

    def _decode(self, flat: IRValue) -> dict[Axis, IRValue]:
        """The positions of the row axes in the row number `flat`."""
        builder, positions = self.emitter.builder, {}
        for axis in reversed(self.kernel.rows[1:]):
            extent = integer(axis.extent)
            positions[axis] = builder.urem(flat, extent)
            flat = builder.udiv(flat, extent)
        if self.kernel.rows:
            positions[self.kernel.rows[0]] = flat
        return positions

    def _row(self, rows_are_shared: bool) -> None:
        lane = self.kernel.lane
        if lane is None:
            self.stages.run(self.kernel.stages)
            return
        width = self.emitter.lanes
        blocks = -(-lane.extent // width)
        bounds = integer(0), integer(blocks)
        if not rows_are_shared:
            bounds = self._share_lanes(lane)
        for _ in lane_blocks(self.emitter, lane, bounds, exact=rows_are_shared):
            self.stages.run(self.kernel.stages)


def lane_blocks(
    emitter: Emitter, lane: Axis, bounds: tuple[IRValue, IRValue], *, exact: bool
) -> Iterator[Scope]:
    """Levels that together cover the blocks of lanes from `bounds[0]` to `bounds[1]`.

    The caller emits its code once for each level that is yielded: for a loop over full
    blocks, and for the last block where it is not full. `exact` says that the bounds
    are those of the whole axis.
    """
    width, builder = emitter.lanes, emitter.builder
    full, rest = divmod(lane.extent, width)
    first, last = bounds
    if exact and full == 1:
        with emitter.level({lane: integer(0)}, lane) as scope:
            yield scope
    elif full:
        stop = integer(full)
        if not exact:
            stop = builder.select(builder.icmp_signed("<", last, stop), last, stop)
        with emitter.loop(first, stop) as block:
            base = builder.mul(block, integer(width))
            with emitter.level({lane: base}, lane) as scope:
                yield scope
    if rest:
        present = builder.icmp_signed(">", last, integer(full))
        here = builder.icmp_signed("<=", first, integer(full))
        guard = nullcontext() if exact else emitter.only_if(builder.and_(present, here))
        with guard:
            mask = first_lanes(width, rest)
            with emitter.level({lane: integer(full * width)}, lane, mask) as scope:
                yield scope


def first_lanes(width: int, count: int) -> IRValue:
    """A mask of the first `count` lanes."""
    kind = ir.VectorType(ir.IntType(1), width)
    return ir.Constant(kind, [int(lane < count) for lane in range(width)])


class StageEmitter:
    """Writes the stages of a kernel at the present point.

    With `per_row`, a stage with axes of its own is vectorised along the last of them;
    otherwise every lane runs through them by itself.
    """

    def __init__(self, emitter: Emitter, per_row: bool) -> None:
        self.emitter = emitter
        self.per_row = per_row
        self._short: dict[tuple[Scope, Axis], Scope] = {}

    def run(self, stages: tuple[Write | Fold, ...]) -> None:
        """Emit `stages` in order; what is stored at the point itself comes last.

        A value may be stored over one that later stages read at the same point: all of
        them are computed before the first is stored.
        """
        late: list[Write] = []
        for stage in stages:
            if isinstance(stage, Write) and not stage.axes:
                self.emitter.emit(stage.expression)
                late.append(stage)
            elif isinstance(stage, Write):
                self._write(stage)
            elif self.per_row and stage.axes:
                self._fold_row(stage)
            else:
                self._fold_lanes(stage)
        for stage in late:
            self._write(stage)

    def _write(self, stage: Write) -> None:
        if not stage.axes:
            self.emitter.store(stage.buffer, stage.offset, stage.expression)
            return
        with self._outer_loops(stage.axes[:-1]):
            for _ in self._columns(stage.axes[-1], len(stage.axes) == 1):
                self.emitter.store(stage.buffer, stage.offset, stage.expression)

    @contextmanager
    def _outer_loops(self, axes: tuple[Axis, ...]) -> Iterator[None]:
        """Serial loops around what is emitted."""
        emitter = self.emitter
        with ExitStack() as loops:
            for axis in axes:
                bounds = integer(0), integer(axis.extent)
                counter = loops.enter_context(emitter.loop(*bounds))
                loops.enter_context(emitter.level({axis: counter}))
            yield

    def _columns(self, axis: Axis, shared: bool) -> Iterator[Scope]:
        """The blocks of lanes along a row; a row of one block is entered once for all
        stages, so that they share what they compute."""
        emitter = self.emitter
        if axis.extent > emitter.lanes or not shared:
            whole = integer(0), integer(-(-axis.extent // emitter.lanes))
            yield from lane_blocks(emitter, axis, whole, exact=True)
            return
        key = (emitter.scope, axis)
        scope = self._short.get(key)
        if scope is None:
            full = axis.extent == emitter.lanes
            mask = None if full else first_lanes(emitter.lanes, axis.extent)
            block = emitter.builder.block
            scope = Scope({axis: integer(0)}, block, axis, mask)
            self._short[key] = scope
        emitter.scopes.append(scope)
        yield scope
        emitter.scopes.pop()

    # ---- folds -----------------------------------------------------------------------

    def _fold_lanes(self, stage: Fold) -> None:
        """Each lane, or the one scalar, folds its own elements in a serial loop."""
        emitter = self.emitter
        wide = emitter.lane() is not None
        state = FoldState(emitter, stage, wide)
        if is_long_sum(stage):
            self._fold_pieces(stage, state)
        else:
            with self._outer_loops(stage.axes):
                value = emitter.emit(stage.expression)
                plain = emitter.splat(value) if wide else value.value
                state.add(plain, self._count(stage, wide))
        emitter.set_local(stage.local, state.result())

    def _fold_pieces(self, stage: Fold, state: FoldState) -> None:
        """A long sum by each lane, in pieces with sums of their own."""
        emitter, axis = self.emitter, stage.axes[-1]
        with (
            self._outer_loops(stage.axes[:-1]),
            emitter.loop(integer(0), integer(axis.extent), PIECE) as first,
            emitter.level({}),
        ):
            part = FoldState(emitter, stage, state.wide)
            stop = least(emitter, first, PIECE, axis.extent)
            with emitter.loop(first, stop) as place, emitter.level({axis: place}):
                value = emitter.emit(stage.expression)
                part.add(emitter.splat(value) if state.wide else value.value, None)
            state.add(part.result(), None)

    def _count(self, stage: Fold, wide: bool) -> IRValue | None:
        """The position along the folded axis, for positions of extremes."""
        if not stage.operation.startswith("arg"):
            return None
        position = integer(0)
        for scope in self.emitter.scopes:
            position = scope.positions.get(stage.axes[0], position)
        return self.emitter.repeat(position) if wide else position

    def _fold_row(self, stage: Fold) -> None:
        """All lanes fold one row, then are folded themselves in a fixed tree."""
        emitter = self.emitter
        state = FoldState(emitter, stage, wide=True)
        if is_long_sum(stage):
            self._fold_row_pieces(stage, state)
            emitter.set_local(stage.local, state.fold_lanes())
            return
        with self._outer_loops(stage.axes[:-1]):
            for scope in self._columns(stage.axes[-1], len(stage.axes) == 1):
                value = emitter.vector(stage.expression)
                position = None
                if stage.operation.startswith("arg"):
                    base = scope.positions[stage.axes[-1]]
                    lanes = emitter.lane_offsets(None, 1)
                    position = emitter.builder.add(emitter.repeat(base), lanes)
                state.add(value, position, scope.mask)
        emitter.set_local(stage.local, state.fold_lanes())

    def _fold_row_pieces(self, stage: Fold, state: FoldState) -> None:
        """A long sum by all lanes, in pieces with sums of their own."""
        emitter, axis = self.emitter, stage.axes[-1]
        blocks = -(-axis.extent // emitter.lanes)
        with (
            self._outer_loops(stage.axes[:-1]),
            emitter.loop(integer(0), integer(blocks), PIECE) as first,
            emitter.level({}),
        ):
            part = FoldState(emitter, stage, wide=True)
            bounds = first, least(emitter, first, PIECE, blocks)
            for scope in lane_blocks(emitter, axis, bounds, exact=False):
                part.add(emitter.vector(stage.expression), None, scope.mask)
            state.add(part.result(), None)


def is_long_sum(stage: Fold) -> bool:
    """Whether a sum has so many terms that rounding errors would add up.

    Pieces of the sum are added by themselves first, so that the error grows with the
    length of a piece and the number of pieces, not with their product (Higham, "The
    accuracy of floating point summation", 1993).
    """
    floats = stage.operation == "sum" and stage.expression.dtype.is_float
    return floats and math.prod(axis.extent for axis in stage.axes) > LONG_SUM


def least(emitter: Emitter, first: IRValue, step: int, end: int) -> IRValue:
    """`min(first + step, end)`."""
    builder = emitter.builder
    after = builder.add(first, integer(step))
    inside = builder.icmp_signed("<", after, integer(end))
    return builder.select(inside, after, integer(end))


class FoldState:
    """The running value of a fold, in memory that LLVM turns into registers."""

    def __init__(self, emitter: Emitter, stage: Fold, wide: bool) -> None:
        self.emitter = emitter
        self.operation = stage.operation
        self.dtype: DType = stage.expression.dtype
        self.wide = wide
        self.kind = self._shaped(element_type(self.dtype))
        self.is_position = stage.operation.startswith("arg")
        self.start = number(self.kind, identity_of(self.operation, self.dtype))
        self.value = self._cell(self.kind, self.start)
        where = self._shaped(I64)
        self.position = (
            self._cell(where, number(where, 0)) if self.is_position else None
        )
        flag = self._shaped(ir.IntType(1))
        self.any = self._cell(flag, number(flag, 0)) if self.is_position else None

    def _shaped(self, element: IRValue) -> IRValue:
        return ir.VectorType(element, self.emitter.lanes) if self.wide else element

    def _cell(self, kind: IRValue, start: IRValue) -> IRValue:
        builder = self.emitter.builder
        with builder.goto_entry_block():
            cell = builder.alloca(kind)
        builder.store(start, cell)
        return cell

    def add(
        self, value: IRValue, position: IRValue | None, mask: IRValue | None = None
    ) -> None:
        """Fold in a value; only the lanes in `mask` count."""
        b = self.emitter.builder
        old = b.load(self.value, typ=self.kind)
        if self.is_position:
            self._add_position(value, position, mask, old)
            return
        if mask is not None:
            value = b.select(mask, value, self.start)
        b.store(self.combine(old, value), self.value)

    def _add_position(
        self, value: IRValue, position: IRValue, mask: IRValue | None, old: IRValue
    ) -> None:
        b = self.emitter.builder
        assert self.position is not None
        assert self.any is not None
        seen = b.load(self.any, typ=self._shaped(ir.IntType(1)))
        better = b.or_(b.not_(seen), self._better(value, old))
        if mask is not None:
            better = b.and_(better, mask)
        where = b.load(self.position, typ=self._shaped(I64))
        b.store(b.select(better, value, old), self.value)
        b.store(b.select(better, position, where), self.position)
        b.store(b.or_(seen, better), self.any)

    def _better(self, value: IRValue, old: IRValue) -> IRValue:
        """Whether `value` comes before `old`, which stands earlier."""
        b = self.emitter.builder
        pair = (value, old) if self.operation == "argmin" else (old, value)
        better = elementwise.ROWS["less"](b, self.dtype, *pair)
        if not self.dtype.is_float:
            return better
        missing = b.fcmp_unordered("uno", value, value)
        return b.or_(better, b.and_(missing, b.fcmp_ordered("ord", old, old)))

    def combine(self, a: IRValue, b: IRValue) -> IRValue:
        """Two partial results as one."""
        name = COMBINE[self.operation]
        return elementwise.ROWS[name](self.emitter.builder, self.dtype, a, b)

    def result(self) -> IRValue:
        """The value now."""
        if self.position is not None:
            return self.emitter.builder.load(self.position, typ=self._shaped(I64))
        return self.emitter.builder.load(self.value, typ=self.kind)

    def fold_lanes(self) -> IRValue:
        """The lanes folded into one value, in halves."""
        b = self.emitter.builder
        value = b.load(self.value, typ=self.kind)
        if self.position is not None:
            return self._fold_positions(value)
        width = self.emitter.lanes
        while width > 1:
            width //= 2
            low, high = (_half(b, value, width, side) for side in (0, 1))
            value = self.combine(low, high)
        return b.extract_element(value, ir.Constant(I32, 0))

    def _fold_positions(self, value: IRValue) -> IRValue:
        b = self.emitter.builder
        assert self.position is not None
        assert self.any is not None
        where = b.load(self.position, typ=self._shaped(I64))
        seen = b.load(self.any, typ=self._shaped(ir.IntType(1)))
        width = self.emitter.lanes
        while width > 1:
            width //= 2
            values = [_half(b, value, width, side) for side in (0, 1)]
            places = [_half(b, where, width, side) for side in (0, 1)]
            flags = [_half(b, seen, width, side) for side in (0, 1)]
            # of equals the one with the smaller position is first
            better = self._better(values[1], values[0])
            equal = b.not_(b.or_(better, self._better(values[0], values[1])))
            earlier = b.and_(equal, b.icmp_signed("<", places[1], places[0]))
            take = b.and_(flags[1], b.or_(b.or_(better, earlier), b.not_(flags[0])))
            value = b.select(take, values[1], values[0])
            where = b.select(take, places[1], places[0])
            seen = b.or_(flags[0], flags[1])
        return b.extract_element(where, ir.Constant(I32, 0))


def _half(builder: IRValue, value: IRValue, width: int, side: int) -> IRValue:
    """The lower or upper `width` lanes of a vector of twice as many."""
    undefined = ir.Constant(value.type, ir.Undefined)
    lanes = [side * width + lane for lane in range(width)]
    mask = ir.Constant(ir.VectorType(I32, width), lanes)
    return builder.shuffle_vector(value, undefined, mask)


COMBINE = {
    "sum": "add",
    "prod": "multiply",
    "max": "maximum",
    "min": "minimum",
    "any": "logical_or",
    "all": "logical_and",
}


def identity_of(operation: str, dtype: DType) -> float | int:
    """What a fold starts from."""
    if operation in ("sum", "any"):
        return 0
    if operation in ("prod", "all"):
        return 1
    if operation.startswith("arg"):
        return 0
    if dtype.is_float:
        return -math.inf if operation == "max" else math.inf
    unsigned = dtype.kind == "u"
    least = 0 if unsigned else -(2 ** (dtype.bits - 1))
    most = 2**dtype.bits - 1 if unsigned else 2 ** (dtype.bits - 1) - 1
    return least if operation == "max" else most
