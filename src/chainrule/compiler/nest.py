"""Loop kernels as LLVM code: rows shared by threads, lanes, folds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

from chainrule.compiler.abreast import abreast
from chainrule.compiler.emit import Emitter, Scope, integer
from chainrule.compiler.engine import Target
from chainrule.compiler.expression import Expression
from chainrule.compiler.fold_state import FoldState
from chainrule.compiler.index import Axis
from chainrule.compiler.inside import one_loop, parts, size_of
from chainrule.compiler.kernel import Fold, LoopKernel, Write
from chainrule.compiler.llvm_types import IRBuilder, IRValue, ir
from chainrule.compiler.shares import LOOP_ROWS, SHARED_ROWS, cut_axis, together
from chainrule.compiler.turned import turned

LONG_SUM = 4096  # terms from which on a sum is added in pieces
PIECE = 128  # steps of a piece
WIDE = 4  # vectors side by side where lanes fold down columns
DEEP = 64  # rows from which on that pays
SPARE = 8  # registers that hold something else than sums
LEAST_BLOCKS = 16  # of lanes that threads share, of more than one vector each
SPARED = 8  # the share of an axis that its last block may be short of
WAYS = 4  # blocks of a row that are taken together
ROW_BLOCKS = 8  # vectors of a row that stays in registers
ROW_SIZE = 1024  # operations that are written out for such a row
UNROLLED = 64  # steps of a fold from which on it stays a loop
UNROLLED_SIZE = 512  # operations that a fold without loop may have


def lanes_for(kernel: LoopKernel, target: Target) -> int:
    """How many elements are computed side by side.

    As many as a vector register holds of the widest number that is computed with, or as
    some of them hold (`_folded`, `_lane_vectors`).
    """
    width = vector_lanes(kernel, target)
    if kernel.lane is None:
        return width
    if any(isinstance(stage, Fold) for stage in kernel.stages):
        return _folded(kernel, kernel.lane, width, target) * width
    return _lane_vectors(kernel, kernel.lane, width, target) * width


def vector_lanes(kernel: LoopKernel, target: Target) -> int:
    """How many of the widest number computed with a vector register holds."""
    floats = [d.compute.itemsize for d in kernel.dtypes if d.is_float]
    writes = [stage for stage in kernel.stages if isinstance(stage, Write)]
    written = [kernel.dtypes[stage.buffer].itemsize for stage in writes]
    every = [d.itemsize for d in kernel.dtypes]
    return max(4, target.lanes(max(floats or written or every or [4])))


def _folded(kernel: LoopKernel, lane: Axis, width: int, target: Target) -> int:
    """Vectors side by side where lanes fold down the columns of a matrix.

    They are so many that each row gives whole stretches of memory.
    """
    folds = [stage for stage in kernel.stages if isinstance(stage, Fold)]
    deep = max(math.prod(a.extent for a in stage.axes) for stage in folds) >= DEEP
    sums = len(folds) * math.prod(axis.extent for axis in kernel.inside)
    factor = WIDE
    while factor > 1 and (
        not deep
        or factor * sums > target.vector_registers - SPARE
        or factor * width > lane.extent
    ):
        factor //= 2
    return factor


def _lane_vectors(kernel: LoopKernel, lane: Axis, width: int, target: Target) -> int:
    """Vectors side by side where an element takes long, and all lanes have work."""
    if kernel.inside:
        return 1
    factor = abreast((stage.expression for stage in kernel.stages), target)
    least = 1 if kernel.rows else LEAST_BLOCKS
    while factor > 1 and (
        lane.extent < factor * width * least
        or -lane.extent % (factor * width) > lane.extent // SPARED
        or (kernel.piece and not kernel.rows and kernel.piece % (factor * width))
    ):
        factor //= 2
    return factor


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
        self.stages = StageEmitter(emitter, kernel.lane is None, kernel.inside)

    def emit(self) -> None:
        rows = math.prod(axis.extent for axis in self.kernel.rows)
        lane = self.kernel.lane
        share_rows = rows >= LOOP_ROWS or lane is None
        share_rows = share_rows or bool(self.kernel.piece and self.kernel.rows)
        if lane is not None and rows > -(-lane.extent // self.emitter.lanes):
            share_rows = True  # they are more than the blocks of lanes
        if not rows:
            return
        outer, last = self._loops()
        count = math.prod(axis.extent for axis in outer)
        start, stop = integer(0), integer(count)
        if share_rows:
            start, stop = self._share_rows(count)
        with self.emitter.loop(start, stop) as flat, ExitStack() as loops:
            positions = self._decode(flat, outer)
            loops.enter_context(self.emitter.level(positions))
            if last is not None:
                bounds = integer(0), integer(last.extent)
                place = loops.enter_context(self.emitter.loop(*bounds))
                loops.enter_context(self.emitter.level({last: place}))
            self._row(share_rows)

    def _loops(self) -> tuple[tuple[Axis, ...], Axis | None]:
        """The axes that are run through, and shared, as one, and the one within."""
        rows = self.kernel.rows
        outer = math.prod(axis.extent for axis in rows[:-1])
        if len(rows) > 1 and outer >= SHARED_ROWS:
            return rows[:-1], rows[-1]
        return rows, None

    def _share_rows(self, count: int) -> tuple[IRValue, IRValue]:
        """This thread's part of the rows: whole positions of an axis that is cut."""
        emitter, axis = self.emitter, self.cut
        if axis is None:
            return emitter.part(count, 1)
        inner = integer(count // axis.extent)
        piece = self.kernel.piece or together(axis.extent)
        first, last = emitter.part(axis.extent, piece)
        builder = emitter.builder
        return builder.mul(first, inner), builder.mul(last, inner)

    def _share_lanes(self, lane: Axis) -> tuple[IRValue, IRValue]:
        """This thread's part of the blocks of lanes."""
        emitter, width = self.emitter, self.emitter.lanes
        if self.cut is not lane:
            return emitter.part(-(-lane.extent // width), 1)
        piece = self.kernel.piece or together(lane.extent)
        first, last = emitter.part(lane.extent, piece)
        builder, size = emitter.builder, integer(width)
        last = builder.add(last, integer(width - 1))
        return builder.sdiv(first, size), builder.sdiv(last, size)

    def _decode(self, flat: IRValue, rows: Sequence[Axis]) -> dict[Axis, IRValue]:
        """The positions of these axes in the row number `flat`."""
        builder, positions = self.emitter.builder, {}
        for axis in reversed(rows[1:]):
            extent = integer(axis.extent)
            positions[axis] = builder.urem(flat, extent)
            flat = builder.udiv(flat, extent)
        if rows:
            positions[rows[0]] = flat
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


def _rows_of_blocks(
    emitter: Emitter, axis: Axis, count: int
) -> Iterator[tuple[Scope, int]]:
    """Levels for the blocks of a row, some at a time, each with its number among them.

    Blocks that are taken together are independent: the processor computes them side by
    side. A level is of `count` blocks where there are as many.
    """
    width, builder = emitter.lanes, emitter.builder
    full, rest = divmod(axis.extent, width)
    most = full - full % WAYS
    if most:
        with emitter.loop(integer(0), integer(most), WAYS) as first:
            for number in range(0, WAYS, count):
                block = builder.add(first, integer(number))
                base = builder.mul(block, integer(width))
                with emitter.abreast(count), emitter.level({axis: base}, axis) as scope:
                    yield scope, number
    for block in range(most, full + bool(rest)):
        mask = _tail(axis, block * width, width)
        with emitter.level({axis: integer(block * width)}, axis, mask) as scope:
            yield scope, block - most


def _tail(axis: Axis, start: int, width: int) -> IRValue | None:
    """The lanes from `start` on that are inside of `axis`; None where all are."""
    rest = axis.extent - start
    return first_lanes(width, rest) if rest < width else None


def first_lanes(width: int, count: int) -> IRValue:
    """A mask of the first `count` lanes."""
    kind = ir.VectorType(ir.IntType(1), width)
    return ir.Constant(kind, [int(lane < count) for lane in range(width)])


class StageEmitter:
    """Writes the stages of a kernel at the present point.

    With `per_row`, a stage with axes of its own is vectorised along the last of them;
    otherwise every lane runs through them by itself. Along the axes `inside`, all
    points are computed together.
    """

    def __init__(
        self, emitter: Emitter, per_row: bool, inside: Sequence[Axis] = ()
    ) -> None:
        self.emitter = emitter
        self.per_row = per_row
        self.inside = inside
        self.points = list(_points(inside))
        self._size = 0
        self._abreast = 1
        self._short: dict[tuple[Scope, Axis, int], tuple[Scope, int]] = {}

    def run(self, stages: tuple[Write | Fold, ...]) -> None:
        """Emit `stages` in order; what is stored at the point itself comes last.

        Folds that can share a loop do. A value may be stored over one that later stages
        read at the same point: all of them are computed before the first is stored.
        """
        self._size = sum(1 for _ in parts(stage.expression for stage in stages))
        self._abreast = self._vectors_abreast(stages)
        late: list[Write] = []
        folded: list[tuple[Fold, list[IRValue]]] = []
        waiting = list(stages)
        while waiting:
            stage = waiting.pop(0)
            if isinstance(stage, Write) and not stage.axes:
                if len(self.points) == 1:
                    self.emitter.emit(stage.expression)
                late.append(stage)
            elif self.per_row and stage.axes:
                shared_rows = one_row_loop(stage, waiting)
                waiting = [other for other in waiting if other not in shared_rows]
                self._row_stages(shared_rows)
            elif isinstance(stage, Write):
                self._write(stage)
            else:
                shared = one_loop(stage, waiting)
                waiting = [other for other in waiting if other not in shared]
                folded += zip(shared, self._fold_lanes(shared), strict=True)
        self._store(folded, late)

    def _vectors_abreast(self, stages: tuple[Write | Fold, ...]) -> int:
        """How many blocks of a row are one vector, where lanes lie along rows."""
        folds = [stage.operation for stage in stages if isinstance(stage, Fold)]
        if not self.per_row or any(name.startswith("arg") for name in folds):
            return 1
        rows = [stage.expression for stage in stages if stage.axes]
        return abreast(rows, self.emitter.target)

    def _store(
        self, folded: list[tuple[Fold, list[IRValue]]], late: list[Write]
    ) -> None:
        """Store what was computed, at every point inside."""
        known = turned(self.emitter, late, self.inside)
        for number, point in enumerate(self.points if len(self.points) > 1 else []):
            with self.emitter.level(point):
                for stage, values in folded:
                    self.emitter.set_local(stage.local, values[number])
                for load, values in known.items():
                    self.emitter.set_local(load, values[number])
                for write in late:
                    self.emitter.emit(write.expression)
                for write in late:
                    self._write(write)
        if len(self.points) == 1:
            for write in late:
                self._write(write)

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

    def _columns(self, axis: Axis, shared: bool) -> Iterator[tuple[Scope, int]]:
        """The blocks of lanes along a row, each with one of the numbers below `WAYS`.

        Those of a short row are written out, and entered again by all stages, so that
        they share what they compute. Others are taken some at a time.
        """
        emitter, width = self.emitter, self.emitter.lanes
        blocks = -(-axis.extent // width)
        few = blocks == 1 or blocks * self._size <= ROW_SIZE
        if not (shared and few and blocks <= ROW_BLOCKS):
            yield from _rows_of_blocks(emitter, axis, self._abreast)
            return
        outside, number = emitter.scope, 0
        while number < blocks:
            key = (outside, axis, number)
            if key not in self._short:
                self._short[key] = self._short_block(axis, number)
            scope, count = self._short[key]
            emitter.scopes.append(scope)
            with emitter.abreast(count):
                yield scope, number % WAYS
            emitter.scopes.pop()
            number += count

    def _short_block(self, axis: Axis, number: int) -> tuple[Scope, int]:
        """The level that begins with this block of a short row, and its blocks."""
        width, count = self.emitter.lanes, self._abreast
        while (number + count) * width > axis.extent and count > 1:
            count //= 2
        start = number * width
        scope = Scope({axis: integer(start)}, self.emitter.builder.block)
        scope.lane, scope.mask = axis, _tail(axis, start, width * count)
        return scope, count

    # ---- folds -----------------------------------------------------------------------

    def _fold_lanes(self, stages: Sequence[Fold]) -> list[list[IRValue]]:
        """Each lane, or the one scalar, folds its own elements in one serial loop.

        The values of each stage, at every point inside.
        """
        emitter = self.emitter
        wide = emitter.lane() is not None
        states = self._states(stages, wide)
        if is_long_sum(stages[0]):
            self._fold_pieces(stages, states, wide)
        else:
            with ExitStack() as loops:
                for _ in self._inner_loops(stages, loops):
                    self._fold_in(stages, states, wide)
        values = [[state.result() for state in own] for own in states]
        if len(self.points) == 1:
            for stage, own in zip(stages, values, strict=True):
                emitter.set_local(stage.local, own[0])
        return values

    def _states(self, stages: Sequence[Fold], wide: bool) -> list[list[FoldState]]:
        emitter = self.emitter
        return [[FoldState(emitter, s, wide) for _ in self.points] for s in stages]

    def _fold_in(
        self, stages: Sequence[Fold], states: list[list[FoldState]], wide: bool
    ) -> None:
        """Fold in the elements at the present position, at every point inside."""
        emitter = self.emitter
        for number, point in enumerate(self.points):
            with emitter.level(point):
                for stage, own in zip(stages, states, strict=True):
                    value = emitter.emit(stage.expression)
                    plain = emitter.splat(value) if wide else value.value
                    own[number].add(plain, self._count(stage, wide))

    def _inner_loops(self, stages: Sequence[Fold], loops: ExitStack) -> Iterator[None]:
        """Loops around what folds compute; short ones are written out."""
        axes = stages[0].axes
        steps = math.prod(axis.extent for axis in axes)
        size = sum(size_of(stage.expression) for stage in stages)
        if steps <= UNROLLED and steps * size * len(self.points) <= UNROLLED_SIZE:
            for point in _points(axes):
                with self.emitter.level(point):
                    yield
        else:
            loops.enter_context(self._outer_loops(axes))
            yield

    def _fold_pieces(
        self, stages: Sequence[Fold], states: list[list[FoldState]], wide: bool
    ) -> None:
        """Long sums by each lane, in pieces with sums of their own."""
        emitter, axes = self.emitter, stages[0].axes
        axis = axes[-1]
        with (
            self._outer_loops(axes[:-1]),
            emitter.loop(integer(0), integer(axis.extent), PIECE) as first,
            emitter.level({}),
        ):
            parts = self._states(stages, wide)
            stop = least(emitter, first, PIECE, axis.extent)
            with emitter.loop(first, stop) as place, emitter.level({axis: place}):
                self._fold_in(stages, parts, wide)
            for own, pieces in zip(states, parts, strict=True):
                for state, piece in zip(own, pieces, strict=True):
                    state.add(piece.result(), None)

    def _count(self, stage: Fold, wide: bool) -> IRValue | None:
        """The position along the folded axis, for positions of extremes."""
        if not stage.operation.startswith("arg"):
            return None
        position = integer(0)
        for scope in self.emitter.scopes:
            position = scope.positions.get(stage.axes[0], position)
        return self.emitter.repeat(position) if wide else position

    def _row_stages(self, stages: Sequence[Write | Fold]) -> None:
        """Stages that share the loop along a row.

        For a fold, all lanes fold the row, then are folded in a fixed tree.
        """
        emitter, axes = self.emitter, stages[0].axes
        folds = [stage for stage in stages if isinstance(stage, Fold)]
        states = {stage: self._ways(stage) for stage in folds}
        if len(stages) == 1 and folds and is_long_sum(folds[0]):
            self._fold_row_pieces(folds[0], states[folds[0]][0])
        else:
            with self._outer_loops(axes[:-1]):
                for scope, way in self._columns(axes[-1], len(axes) == 1):
                    for stage in stages:
                        if isinstance(stage, Write):
                            where = stage.buffer, stage.offset
                            emitter.store(*where, stage.expression)
                        else:
                            self._fold_block(stage, states[stage], way, scope)
        for stage, ways in states.items():
            while len(ways) > 1:  # in halves, as lanes are
                half = len(ways) // 2
                for state, other in zip(ways[:half], ways[half:], strict=True):
                    state.add(other.result(), None)
                ways = ways[:half]
            emitter.set_local(stage.local, ways[0].fold_lanes())

    def _ways(self, stage: Fold) -> list[FoldState]:
        """What a row is folded into: some values side by side, as each takes time."""
        blocks = -(-stage.axes[-1].extent // self.emitter.lanes)
        plain = not stage.operation.startswith("arg") and not is_long_sum(stage)
        count = WAYS if plain and blocks >= WAYS else 1
        return [FoldState(self.emitter, stage, wide=True) for _ in range(count)]

    def _fold_block(
        self, stage: Fold, states: list[FoldState], way: int, scope: Scope
    ) -> None:
        """Fold in the elements of some blocks of a row, the first one in `way`."""
        emitter, position = self.emitter, None
        value = emitter.vector(stage.expression)
        if stage.operation.startswith("arg"):
            base = emitter.repeat(scope.positions[stage.axes[-1]])
            position = emitter.builder.add(base, emitter.lane_offsets(None, 1))
        pieces = cut_lanes(emitter.builder, value, states[0].kind.count)
        for number, piece in enumerate(pieces, way):
            states[number % len(states)].add(piece, position, scope.mask)

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


def cut_lanes(builder: IRBuilder, value: IRValue, width: int) -> list[IRValue]:
    """The pieces of a vector with `width` lanes each."""
    if value.type.count == width:
        return [value]
    undefined = ir.Constant(value.type, ir.Undefined)
    kind = ir.VectorType(ir.IntType(32), width)
    return [
        builder.shuffle_vector(
            value, undefined, ir.Constant(kind, list(range(start, start + width)))
        )
        for start in range(0, value.type.count, width)
    ]


def _points(axes: Sequence[Axis]) -> Iterator[dict[Axis, IRValue]]:
    """All positions of these axes, in row-major order."""
    for point in itertools.product(*(range(axis.extent) for axis in axes)):
        yield {axis: integer(place) for axis, place in zip(axes, point, strict=True)}


def is_long_sum(stage: Fold) -> bool:
    """Whether a sum has so many terms that rounding errors would add up.

    Pieces of the sum are added by themselves first, so that the error grows with the
    length of a piece and the number of pieces, not with their product (Higham, "The
    accuracy of floating point summation", 1993).
    """
    floats = stage.operation == "sum" and stage.expression.dtype.is_float
    return floats and math.prod(axis.extent for axis in stage.axes) > LONG_SUM


def one_row_loop(
    first: Write | Fold, others: Sequence[Write | Fold]
) -> list[Write | Fold]:
    """`first` with those behind it that can share its loop along a row.

    They run over the same axes, follow one another, and need nothing that is known
    only after the loop. What is stored at the end of a row may stand between them.
    """
    shared = [first]
    known_later: set[Expression] = set()
    for stage in (first, *others):
        if isinstance(stage, Write) and not stage.axes:
            continue
        needed = {part for part in parts([stage.expression]) if part.kind == "local"}
        long = isinstance(stage, Fold) and is_long_sum(stage)
        alone = long and stage is not first
        if alone or stage.axes != first.axes or needed & known_later:
            break
        if stage is not first:
            shared.append(stage)
        if isinstance(stage, Fold):
            known_later.add(stage.local)
        if long:
            break
    return shared


def least(emitter: Emitter, first: IRValue, step: int, end: int) -> IRValue:
    """`min(first + step, end)`."""
    builder = emitter.builder
    after = builder.add(first, integer(step))
    inside = builder.icmp_signed("<", after, integer(end))
    return builder.select(inside, after, integer(end))
