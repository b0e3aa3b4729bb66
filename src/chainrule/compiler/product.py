"""Contraction kernels as LLVM code: tiles of the building block and their epilogues."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeAlias

from chainrule.compiler.abreast import abreast
from chainrule.compiler.emit import BYTE, I64, POINTER, Emitter, integer
from chainrule.compiler.engine import Target, host_target
from chainrule.compiler.expression import Place, in_order
from chainrule.compiler.index import Axis, Index
from chainrule.compiler.kernel import ContractKernel, Operand
from chainrule.compiler.kernels.elementwise import element_type
from chainrule.compiler.kernels.gemm import function_type, transposed_product
from chainrule.compiler.kernels.gemm_ahead import LINE_BYTES, STRETCH_LINES
from chainrule.compiler.kernels.gemm_panel import DEPTH
from chainrule.compiler.kernels.register_tile import ROWS
from chainrule.compiler.llvm_types import IRValue, ir
from chainrule.compiler.nest import StageEmitter, first_lanes
from chainrule.compiler.shares import (
    SHARED_OUTER,
    first_axis,
    shares_columns,
    together,
)

# Of a product with a short sum, whose tile stays in the first cache; with fewer columns
# than fill a tile, as many more.
TILE_ROWS = 24
STREAM_TILE_ROWS = 12  # the same, where as many rows of other matrices are read along
TALL_TILE_ROWS = 128  # of one with a long sum, whose right operand is read once a tile
LONG_SUM = 192
TILE_COLUMNS = 64
TILE_BYTES = TALL_TILE_ROWS * TILE_COLUMNS * 8
NAMES_BYTES = 16 << 10  # of the addresses of what a tile asks for, behind it
SCRATCH_BYTES = TILE_BYTES + NAMES_BYTES
# Of a product with a sum so long that both operands leave the caches, all columns of
# some rows are summed slab by slab, so that operands are read from memory once.
LONG_SLABS = 2  # slabs of a sum from which on
BLOCK_BYTES = 192 << 10  # of the sums, which stay in the second-level cache
MOST_BLOCK_BYTES = 2 * BLOCK_BYTES
BLOCK_SUMS = 2  # axes that the building block sums over
# What an epilogue touches is asked for ahead where second-level caches cannot hold it,
# unless it is little and the sum so short that there are fewer steps than lines.
FETCHED_BYTES = 512 << 10
FAR_BYTES = 4 << 20
ASKING = ("gemm_nn", "gemm_nt_packed")  # functions that ask for memory, as `_ahead`
# A right operand up to this size stays in a second-level cache from row to row.
KEPT_OPERAND_BYTES = 1 << 20
# Rows of the left operand and the result that are computed before the next.
ROWS_BYTES = 512 << 10
FULL_BLOCK = 96  # rows, of which full tiles of all heights are made


# of an axis: where it begins, and where it ends or how long it is
Piece: TypeAlias = "tuple[IRValue, IRValue]"


def is_plain(kernel: ContractKernel) -> bool:
    """Whether the product itself is all that is stored, row by row."""
    if len(kernel.stages) != 1 or kernel.product.dtype.is_half:
        return False
    stage = kernel.stages[0]
    unit = stage.offset.coefficient(kernel.n) == 1 or kernel.n.extent == 1
    return stage.expression is kernel.product and unit


def emit_product(kernel: ContractKernel, target: Target) -> str:
    """The text of a module with the function `kernel`.

    Behind the status word it takes the address of the scratch memory and that of the
    building block.
    """
    lanes = target.lanes(kernel.product.dtype.compute.itemsize)
    emitter = Emitter("kernel", kernel.dtypes, target, lanes)
    _Product(kernel, emitter).emit()
    return emitter.finish()


class _Product:
    """Writes the loops around the building block."""

    def __init__(self, kernel: ContractKernel, emitter: Emitter) -> None:
        self.kernel = kernel
        self.emitter = emitter
        self.item = element_type(kernel.product.dtype)
        self.block = emitter.builder.ptrtoint(emitter.extra_argument(1), I64)
        self.scratch = self._own_scratch()
        self.tile_rows = tile_rows(kernel)
        self.pitch = block_pitch(kernel) if slab_rows(kernel) else tile_pitch(kernel)
        self.ahead: list[IRValue] = []  # what the building block asks for

    def _own_scratch(self) -> IRValue:
        """The scratch memory of this thread."""
        builder = self.emitter.builder
        offset = builder.mul(self.emitter.worker, integer(scratch_bytes(self.kernel)))
        return builder.gep(self.emitter.extra_argument(0), [offset], source_etype=BYTE)

    def emit(self) -> None:
        kernel = self.kernel
        outer = math.prod(axis.extent for axis in kernel.outer)
        part, lanes = self.emitter.part, self.emitter.lanes
        if outer > 1 and not kernel.piece and shares_columns(kernel, lanes):
            self._blocks(outer, -(-kernel.n.extent // lanes))
            return
        bounds = integer(0), integer(outer)
        rows = integer(0), integer(kernel.m.extent)
        columns = integer(0), integer(kernel.n.extent)
        if kernel.piece and outer > 1:
            axis = first_axis(kernel)
            inner = integer(outer // axis.extent)
            first, last = part(axis.extent, kernel.piece)
            builder = self.emitter.builder
            bounds = builder.mul(first, inner), builder.mul(last, inner)
        elif outer >= SHARED_OUTER:
            bounds = part(outer, 1)
        elif kernel.piece:
            rows = part(kernel.m.extent, kernel.piece)
        elif shares_columns(kernel, lanes):
            unit = together(kernel.n.extent)
            columns = part(kernel.n.extent, lanes if unit % lanes else unit)
        else:
            rows = part(kernel.m.extent, together(kernel.m.extent))
        with self.emitter.loop(bounds[0], bounds[1]) as flat:
            self._product(flat, rows, columns)

    def _blocks(self, outer: int, blocks: int) -> None:
        """This thread's blocks of columns of several products, one after the other."""
        emitter, builder, n = self.emitter, self.emitter.builder, self.kernel.n.extent
        rows = integer(0), integer(self.kernel.m.extent)
        first, last = emitter.part(outer * blocks, 1)
        each, lanes = integer(blocks), integer(emitter.lanes)
        after = builder.sdiv(builder.add(last, integer(blocks - 1)), each)
        with emitter.loop(builder.sdiv(first, each), after) as flat:
            before = builder.mul(flat, each)
            columns = []
            for bound in (first, last):
                inside = emitter.least(builder.sub(bound, before), blocks)
                below = builder.icmp_signed("<", inside, integer(0))
                block = builder.select(below, integer(0), inside)
                columns.append(emitter.least(builder.mul(block, lanes), n))
            self._product(flat, rows, (columns[0], columns[1]))

    def _product(self, flat: IRValue, rows: Piece, columns: Piece) -> None:
        """Rows and columns, from where to where, of the product number `flat`."""
        positions = self._decode(flat)
        with self.emitter.level(positions):
            if is_plain(self.kernel):
                self._plain(rows, columns)
            elif slab_rows(self.kernel):
                self._slabs(rows, columns)
            else:
                self._tiles(rows, columns)

    def _decode(self, flat: IRValue) -> dict[Axis, IRValue]:
        builder, positions = self.emitter.builder, {}
        for axis in reversed(self.kernel.outer[1:]):
            positions[axis] = builder.urem(flat, integer(axis.extent))
            flat = builder.udiv(flat, integer(axis.extent))
        if self.kernel.outer:
            positions[self.kernel.outer[0]] = flat
        return positions

    def _plain(self, rows: Piece, columns: Piece) -> None:
        """The whole share, into its place, in blocks of rows that caches hold."""
        emitter, stage = self.emitter, self.kernel.stages[0]
        m, n = self.kernel.m, self.kernel.n
        steps = integer(_step(stage.offset, m, 1))
        wrap = integer(_step(stage.offset, m, self.kernel.run))
        width = emitter.builder.sub(columns[1], columns[0])
        with (
            self._leading() as (moved, accumulate),
            self._blocks_of(rows) as block,
            emitter.level({m: block[0], n: columns[0]}),
        ):
            base = emitter.index(stage.offset).value
            target = emitter.address(stage.buffer, base), steps, wrap
            self._call(target, block, (columns[0], width), moved, accumulate)

    def _blocks_of(self, rows: Piece) -> AbstractContextManager[Piece]:
        """Blocks of rows: where each begins and how long it is."""
        size = block_rows(self.kernel)
        if size >= self.kernel.m.extent:
            return nullcontext((rows[0], self.emitter.builder.sub(rows[1], rows[0])))
        return self._pieces(rows, size)

    def _tiles(self, rows: Piece, columns: Piece) -> None:
        """Tile by tile into scratch memory, each followed by its epilogue."""
        along_rows = goes_along_rows(self.kernel)
        spans = (rows, self.tile_rows), (columns, TILE_COLUMNS)
        outer, inner = spans if along_rows else spans[::-1]
        with self._pieces(*outer) as first, self._pieces(*inner) as second:
            row, column = (first, second) if along_rows else (second, first)
            if fetches(self.kernel):
                self._fetch(row, column)
            self._sum(integer(self.pitch), row, column)
            with self.emitter.level({}):
                self._epilogue(row, column)

    def _slabs(self, rows: Piece, columns: Piece) -> None:
        """All columns of some rows into scratch memory, slab by slab of the sum."""
        emitter, builder = self.emitter, self.emitter.builder
        target = self.scratch, integer(self.pitch), integer(self.pitch)
        batches, depth = (1, *self.kernel.sums)[-BLOCK_SUMS:]
        wide = columns[0], builder.sub(columns[1], columns[0])
        with self._pieces(rows, slab_rows(self.kernel)) as block:
            with (
                self._leading() as (moved, started),
                emitter.loop(integer(0), integer(batches), batches_at_once(depth)) as b,
                emitter.loop(integer(0), integer(depth), DEPTH) as k,
            ):
                count = emitter.least(
                    builder.sub(integer(batches), b), batches_at_once(depth)
                )
                some = emitter.least(builder.sub(integer(depth), k), DEPTH)
                places = [
                    builder.add(place, builder.add(*self._steps(operand, b, k)))
                    for place, operand in zip(
                        moved, (self.kernel.a, self.kernel.b), strict=True
                    )
                ]
                accumulate = builder.or_(started, builder.or_(b, k))
                self._call(target, block, wide, places, accumulate, (count, some))
            with emitter.level({}):
                self._epilogue(block, wide)

    def _steps(self, operand: Operand, batch: IRValue, k: IRValue) -> list[IRValue]:
        """How far an operand moves along the sums of the building block."""
        steps = (0, *operand.sums)[-BLOCK_SUMS:]
        return [
            self.emitter.builder.mul(index, integer(step))
            for index, step in zip((batch, k), steps, strict=True)
        ]

    @contextmanager
    def _pieces(self, bounds: Piece, size: int) -> Iterator[Piece]:
        """A loop over pieces of `size`: where each begins and how long it is."""
        emitter = self.emitter
        with emitter.level({}), emitter.loop(bounds[0], bounds[1], size) as start:
            rest = emitter.builder.sub(bounds[1], start)
            yield start, emitter.least(rest, size)

    def _fetch(self, rows: Piece, columns: Piece) -> None:
        """Name what the epilogue of a tile will touch, for the product to ask for."""
        emitter, builder, kernel = self.emitter, self.emitter.builder, self.kernel
        places, step = touched(kernel), stretch_columns(kernel)
        per_row = names_per_row(kernel)
        begin = [integer(TILE_BYTES)]
        table = builder.gep(self.scratch, begin, source_etype=BYTE)
        with emitter.level({}), emitter.loop(integer(0), rows[1]) as line:
            position = builder.add(rows[0], line)
            place = builder.mul(line, integer(per_row))
            for number in range(0, TILE_COLUMNS, step):
                column = builder.add(columns[0], integer(number))
                with emitter.level({kernel.m: position, kernel.n: column}):
                    for buffer, offset in places:
                        base = emitter.index(offset).value
                        address = emitter.address(buffer, base)
                        at = builder.gep(table, [place], source_etype=POINTER)
                        builder.store(address, at)
                        place = builder.add(place, integer(1))
        lines = builder.mul(rows[1], integer(per_row * STRETCH_LINES))
        self.ahead = [table, lines]

    def _sum(self, pitch: IRValue, rows: Piece, columns: Piece) -> None:
        """A tile in scratch memory, summed over all axes."""
        target = self.scratch, pitch, pitch
        with self._leading() as (moved, accumulate):
            self._call(target, rows, columns, moved, accumulate)

    @contextmanager
    def _leading(self) -> Iterator[tuple[list[IRValue], IRValue]]:
        """A loop over the summed axes that the block leaves, if there are any.

        How far both operands move at each position, and whether it is not the first.
        """
        emitter, builder = self.emitter, self.emitter.builder
        leading = self.kernel.sums[:-BLOCK_SUMS]
        moves = [integer(0), integer(0)]
        if math.prod(leading) == 1:
            yield moves, integer(0)
            return
        with emitter.loop(integer(0), integer(math.prod(leading))) as number:
            rest = number
            for axis in reversed(range(len(leading))):
                extent = integer(leading[axis])
                index = builder.urem(rest, extent) if axis else rest
                rest = builder.udiv(rest, extent) if axis else rest
                for side, operand in enumerate((self.kernel.a, self.kernel.b)):
                    step = builder.mul(index, integer(operand.sums[axis]))
                    moves[side] = builder.add(moves[side], step)
            with emitter.level({}):
                yield moves, number

    def _epilogue(self, rows: Piece, columns: Piece) -> None:
        emitter, builder = self.emitter, self.emitter.builder
        with emitter.loop(integer(0), rows[1]) as line:
            position = builder.add(rows[0], line)
            start = builder.mul(line, integer(self.pitch))
            with emitter.level({self.kernel.m: position}):
                self._line(start, columns)

    def _line(self, start: IRValue, columns: Piece) -> None:
        """One row of a tile: full blocks of lanes, then the rest."""
        emitter, builder = self.emitter, self.emitter.builder
        lanes, n = emitter.lanes, self.kernel.n
        if n.extent == 1:
            pointer = builder.gep(self.scratch, [start], source_etype=self.item)
            emitter.set_local(self.kernel.product, builder.load(pointer, typ=self.item))
            StageEmitter(emitter, per_row=False).run(self.kernel.stages)
            return
        count = abreast((s.expression for s in self.kernel.stages), emitter.target)
        full = integer(0)
        whole = n.extent % (count * lanes) == 0 and not shares_columns(
            self.kernel, lanes
        )
        for vectors in (count,) if whole or count == 1 else (count, 1):
            step = integer(lanes * vectors)
            stop = builder.mul(builder.sdiv(columns[1], step), step)
            with (
                emitter.loop(full, stop, lanes * vectors) as column,
                emitter.abreast(vectors),
                emitter.level({n: builder.add(columns[0], column)}, n),
            ):
                self._stages(builder.add(start, column), None)
            full = stop
        rest = n.extent % lanes
        if not rest:
            return
        with emitter.only_if(builder.icmp_signed("<", full, columns[1])):
            base = builder.add(columns[0], full)
            mask = first_lanes(lanes, rest)
            with emitter.level({n: base}, n, mask):
                self._stages(builder.add(start, full), mask)

    def _stages(self, place: IRValue, mask: IRValue | None) -> None:
        emitter, builder = self.emitter, self.emitter.builder
        pointer = builder.gep(self.scratch, [place], source_etype=self.item)
        kind = ir.VectorType(self.item, emitter.lanes)
        size = self.kernel.product.dtype.compute.itemsize
        if mask is None:
            value = builder.load(pointer, typ=kind, align=size)
        else:
            value = emitter.masked_load(pointer, kind, mask, size)
        emitter.set_local(self.kernel.product, value)
        StageEmitter(emitter, per_row=False).run(self.kernel.stages)

    def _call(
        self,
        target: tuple[IRValue, IRValue, IRValue],
        rows: Piece,
        columns: Piece,
        moved: Sequence[IRValue],
        accumulate: IRValue,
        extents: Sequence[IRValue] = (),
    ) -> None:
        """A call of the building block for a piece of the product.

        `target` is its address, the way from row to row, and that from run to run;
        `extents` are those of the sums, where these are not whole.
        """
        kernel, builder = self.kernel, self.emitter.builder
        a, b = kernel.a, kernel.b
        left = self._operand(a, rows[0], moved[0])
        right = self._operand(b, columns[0], moved[1])
        sums = (1, *kernel.sums)[-BLOCK_SUMS:]
        strides = [(0, *steps)[-BLOCK_SUMS:] for steps in (a.sums, b.sums)]
        batches, depth = extents or map(integer, sums)
        shape = [rows[1], columns[1], depth, batches]
        shape += [integer(strides[0][0]), integer(strides[1][0])]
        name = called_function(kernel)
        step = integer(strides[1][1] if name.startswith("gemm_nn") else b.row)
        address, pitch, wrap = target
        arguments = [left, integer(a.row), right, step, address, pitch, *shape]
        if name != "gemm_nt":
            first = builder.urem(rows[0], integer(kernel.run))
            steps = [integer(a.row), integer(kernel.wrap), integer(strides[0][1])]
            runs = [pitch, wrap, integer(kernel.run), first]
            arguments = [left, *steps, right, step, address, *runs, *shape, accumulate]
            arguments += self.ahead
        kind = function_type(name).as_pointer()
        function = builder.inttoptr(self.block, kind)
        builder.call(function, arguments)

    def _operand(self, operand: Operand, position: IRValue, moved: IRValue) -> IRValue:
        """The address of the operand's first element from `position` on."""
        builder = self.emitter.builder
        place = builder.mul(position, integer(operand.row))
        run, more = self.kernel.run, self.kernel.wrap - operand.row
        if operand is self.kernel.a and run < self.kernel.m.extent:
            runs = builder.udiv(position, integer(run))
            place = builder.add(place, builder.mul(runs, integer(more)))
        place = builder.add(place, integer(operand.offset))
        place = builder.add(place, moved)
        for axis, stride in zip(self.kernel.outer, operand.outer, strict=True):
            index = self.emitter.position_of(axis).value
            place = builder.add(place, builder.mul(index, integer(stride)))
        return self.emitter.address(operand.buffer, place)


def _step(offset: Index, axis: Axis, position: int) -> int:
    """How far it is to a position of an axis from the one before it."""
    if position >= axis.extent:
        return 0  # there is none
    here, before = (
        offset.substitute({axis: Index((), n)}) for n in (position, position - 1)
    )
    return (here + before * -1).constant


def block_rows(kernel: ContractKernel) -> int:
    """How many rows of a product are computed before the next.

    Its rows are read for each panel of columns and each slab of a long sum: blocks of
    them are to stay in a second-level cache meanwhile.
    """
    depth = math.prod((1, *kernel.sums)[-BLOCK_SUMS:])
    size = kernel.product.dtype.itemsize
    if kernel.n.extent <= TILE_COLUMNS and depth <= DEPTH:
        return kernel.m.extent
    width = min(depth, kernel.a.row or depth) + min(kernel.n.extent, TILE_COLUMNS)
    rows = ROWS_BYTES // (width * size)
    return max(rows // FULL_BLOCK, 1) * FULL_BLOCK


def streams(kernel: ContractKernel) -> tuple[Place, ...]:
    """The matrices that the epilogue reads row by row, besides the product."""
    found: dict[Place, None] = {}
    seen: set[int] = set()
    for stage in kernel.stages:
        for part in in_order(stage.expression, lambda e: id(e) in seen):
            seen.add(id(part))
            place = part.detail
            if not isinstance(place, Place):
                continue
            if _along_rows(place.offset, kernel):
                found[place] = None
    return tuple(found)


def touched(kernel: ContractKernel) -> list[tuple[int, Index]]:
    """The matrices that the epilogue reads or writes, row by row.

    For each that is read another may be written, which most often lies in its place:
    only those are named that are written besides.
    """
    found = [(place.buffer, place.offset) for place in streams(kernel)]
    written = [
        (stage.buffer, stage.offset)
        for stage in kernel.stages
        if _along_rows(stage.offset, kernel)
    ]
    return found + written[len(found) :]


def _along_rows(offset: Index, kernel: ContractKernel) -> bool:
    """Whether a matrix lies row by row."""
    return offset.coefficient(kernel.n) == 1 and offset.coefficient(kernel.m) > 1


def sums_long(kernel: ContractKernel) -> bool:
    """Whether the right operand is read once for many rows of a product."""
    long = math.prod(kernel.sums) >= LONG_SUM
    packed = kernel.product.dtype.is_half or block_function(kernel) == "gemm_nt_packed"
    return long or packed


def tile_rows(kernel: ContractKernel) -> int:
    """How many rows of a product are computed before their epilogue."""
    if sums_long(kernel):
        return TALL_TILE_ROWS
    rows = STREAM_TILE_ROWS if streams(kernel) else TILE_ROWS
    return min(rows * (TILE_COLUMNS // tile_pitch(kernel)), TALL_TILE_ROWS)


def batches_at_once(depth: int) -> int:
    """How many batches of a sum make a slab, as in the building block."""
    return max(DEPTH // depth, 1)


def slab_rows(kernel: ContractKernel) -> int:
    """How many rows of a product are summed slab by slab; 0 where tiles are.

    Only their sums are kept meanwhile, and all columns of them: these must be few.
    """
    terms, size = math.prod(kernel.sums), kernel.product.dtype.itemsize
    block = block_function(kernel)
    if terms < LONG_SLABS * DEPTH or kernel.product.dtype.is_half or block == "gemm_nt":
        return 0
    if kernel.n.extent == 1 or is_plain(kernel):
        return 0
    each = block_pitch(kernel) * size
    rows = max(BLOCK_BYTES // each // FULL_BLOCK, 1) * FULL_BLOCK
    if kernel.m.extent * each <= MOST_BLOCK_BYTES:
        rows = kernel.m.extent
    return rows if rows * each <= MOST_BLOCK_BYTES else 0


def block_pitch(kernel: ContractKernel) -> int:
    """From row to row of sums that are kept together: not a multiple of a page."""
    lanes = host_target().lanes(kernel.product.dtype.compute.itemsize)
    return (-(-kernel.n.extent // lanes) + 1) * lanes


def scratch_bytes(kernel: ContractKernel) -> int:
    """The scratch memory that each thread needs."""
    rows = slab_rows(kernel)
    each = block_pitch(kernel) * kernel.product.dtype.compute.itemsize
    return max(SCRATCH_BYTES, rows * each)


def tile_pitch(kernel: ContractKernel) -> int:
    """From row to row of a tile: as many vectors of columns as there are."""
    lanes = host_target().lanes(kernel.product.dtype.compute.itemsize)
    return min(-(-kernel.n.extent // lanes) * lanes, TILE_COLUMNS)


def goes_along_rows(kernel: ContractKernel) -> bool:
    """Whether the tile to the right comes next, rather than the one below.

    Whole rows of what the epilogue reads follow one another in memory, as the machine
    expects when it reads ahead.
    """
    operand = math.prod(kernel.sums) * kernel.n.extent * kernel.product.dtype.itemsize
    if sums_long(kernel) or not streams(kernel):
        return False
    return operand <= KEPT_OPERAND_BYTES


def stretch_columns(kernel: ContractKernel) -> int:
    """How many columns lie in the lines of memory that have one name."""
    return STRETCH_LINES * LINE_BYTES // kernel.product.dtype.itemsize


def names_per_row(kernel: ContractKernel) -> int:
    """How many names there are for what the epilogue of a row of a tile touches."""
    return -(-TILE_COLUMNS // stretch_columns(kernel)) * len(touched(kernel))


def fetches(kernel: ContractKernel) -> bool:
    """Whether the building block asks for what the epilogue of a tile will touch."""
    if is_plain(kernel) or kernel.product.dtype.is_half or slab_rows(kernel):
        return False
    room = tile_rows(kernel) * names_per_row(kernel) * 8
    if block_function(kernel) not in ASKING or not 0 < room <= NAMES_BYTES:
        return False
    points = math.prod(a.extent for a in (*kernel.outer, kernel.m, kernel.n))
    size = points * kernel.product.dtype.itemsize * len(touched(kernel))
    steps = math.prod(kernel.sums) // ROWS  # for each row of a tile
    enough = steps >= names_per_row(kernel) * STRETCH_LINES
    return size > (FETCHED_BYTES if enough else FAR_BYTES)


def called_function(kernel: ContractKernel) -> str:
    """Which function of the building block a kernel calls."""
    return block_function(kernel) + ("_ahead" if fetches(kernel) else "")


def block_function(kernel: ContractKernel) -> str:
    """Which function of the building block fits the layout of the operands.

    The right operand lies along columns (`gemm_nn`) or along the sum; dot products are
    faster for few rows and for a single column.
    """
    a, b = kernel.a, kernel.b
    if b.row == 1 or b.sums[-1] != 1:
        return "gemm_nn"
    single = kernel.run == kernel.m.extent and len(kernel.sums) <= BLOCK_SUMS
    if a.sums[-1] != 1 or not single or kernel.product.dtype.is_half:
        return "gemm_nt_packed"
    item = kernel.product.dtype.itemsize
    sizes = kernel.m.extent, kernel.n.extent, math.prod(kernel.sums)
    return transposed_product(*sizes, host_target().lanes(item))
