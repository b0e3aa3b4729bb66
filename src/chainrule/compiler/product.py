"""Contraction kernels as LLVM code: tiles of the building block and their epilogues."""

from __future__ import annotations

import math

from chainrule.compiler.emit import BYTE, I64, Emitter, integer
from chainrule.compiler.engine import Target, host_target
from chainrule.compiler.index import Axis
from chainrule.compiler.kernel import ContractKernel, Operand
from chainrule.compiler.kernels.elementwise import stored_type
from chainrule.compiler.kernels.gemm import function_type, transposed_product
from chainrule.compiler.llvm_types import IRValue, ir
from chainrule.compiler.nest import StageEmitter, first_lanes

TILE_ROWS = 24  # of a product with a short sum; its tile stays in the first cache
TALL_TILE_ROWS = 128  # of one with a long sum, whose right operand is read once a tile
LONG_SUM = 192
TILE_COLUMNS = 64
SCRATCH_BYTES = TALL_TILE_ROWS * TILE_COLUMNS * 8
SHARED_OUTER = 8
SHARED_ROWS = 32


def is_plain(kernel: ContractKernel) -> bool:
    """Whether the product itself is all that is stored, row by row."""
    if len(kernel.stages) != 1:
        return False
    stage = kernel.stages[0]
    unit = stage.offset.coefficient(kernel.n) == 1 or kernel.n.extent == 1
    return stage.expression is kernel.product and unit


def emit_product(kernel: ContractKernel, target: Target) -> str:
    """The text of a module with the function `kernel`.

    Behind the status word it takes the address of the scratch memory and that of the
    building block.
    """
    lanes = target.lanes(kernel.product.dtype.itemsize)
    emitter = Emitter("kernel", kernel.dtypes, target, lanes)
    _Product(kernel, emitter).emit()
    return emitter.finish()


class _Product:
    """Writes the loops around the building block."""

    def __init__(self, kernel: ContractKernel, emitter: Emitter) -> None:
        self.kernel = kernel
        self.emitter = emitter
        self.item = stored_type(kernel.product.dtype)
        self.block = emitter.builder.ptrtoint(emitter.extra_argument(1), I64)
        self.scratch = self._own_scratch()
        long = math.prod(kernel.sums) >= LONG_SUM
        packed = block_function(kernel) == "gemm_nt_packed"
        self.tile_rows = TALL_TILE_ROWS if long or packed else TILE_ROWS

    def _own_scratch(self) -> IRValue:
        """The scratch memory of this thread."""
        builder = self.emitter.builder
        offset = builder.mul(self.emitter.thread, integer(SCRATCH_BYTES))
        return builder.gep(self.emitter.extra_argument(0), [offset], source_etype=BYTE)

    def emit(self) -> None:
        kernel = self.kernel
        outer = math.prod(axis.extent for axis in kernel.outer)
        bounds = [integer(0), integer(outer)]
        rows = [integer(0), integer(kernel.m.extent)]
        columns = [integer(0), integer(kernel.n.extent)]
        lanes = self.emitter.lanes
        if outer >= SHARED_OUTER:
            bounds = self._share(outer, 1, outer)
        elif kernel.n.extent >= 2 * lanes and not shares_rows(kernel):
            blocks = -(-kernel.n.extent // lanes)
            columns = self._share(blocks, lanes, kernel.n.extent)
        else:
            blocks = -(-kernel.m.extent // 4)
            rows = self._share(blocks, 4, kernel.m.extent)
        with self.emitter.loop(bounds[0], bounds[1]) as flat:
            positions = self._decode(flat)
            with self.emitter.level(positions):
                if is_plain(kernel):
                    self._plain(rows, columns)
                else:
                    self._tiles(rows, columns)

    def _share(self, blocks: int, width: int, extent: int) -> list[IRValue]:
        """This thread's part of `blocks` blocks of `width`, cut at `extent`."""
        builder, thread = self.emitter.builder, self.emitter.thread
        bounds = []
        for who in (thread, builder.add(thread, integer(1))):
            block = builder.sdiv(
                builder.mul(who, integer(blocks)), self.emitter.threads
            )
            bounds.append(
                self._least(builder.mul(block, integer(width)), integer(extent))
            )
        return bounds

    def _least(self, a: IRValue, b: IRValue) -> IRValue:
        builder = self.emitter.builder
        return builder.select(builder.icmp_signed("<", a, b), a, b)

    def _decode(self, flat: IRValue) -> dict[Axis, IRValue]:
        builder, positions = self.emitter.builder, {}
        for axis in reversed(self.kernel.outer[1:]):
            positions[axis] = builder.urem(flat, integer(axis.extent))
            flat = builder.udiv(flat, integer(axis.extent))
        if self.kernel.outer:
            positions[self.kernel.outer[0]] = flat
        return positions

    def _plain(self, rows: list[IRValue], columns: list[IRValue]) -> None:
        """The whole share at once, into its place."""
        builder, stage = self.emitter.builder, self.kernel.stages[0]
        m, n = self.kernel.m, self.kernel.n
        with self.emitter.level({m: rows[0], n: columns[0]}):
            base = self.emitter.index(stage.offset).value
            target = self.emitter.address(stage.buffer, base)
            height = builder.sub(rows[1], rows[0])
            width = builder.sub(columns[1], columns[0])
            pitch = integer(stage.offset.coefficient(m))
            self._call(target, pitch, (rows[0], height), (columns[0], width))

    def _tiles(self, rows: list[IRValue], columns: list[IRValue]) -> None:
        """Tile by tile into scratch memory, each followed by its epilogue."""
        emitter, builder = self.emitter, self.emitter.builder
        with emitter.loop(columns[0], columns[1], TILE_COLUMNS) as column:
            rest = builder.sub(columns[1], column)
            width = self._least(rest, integer(TILE_COLUMNS))
            with (
                emitter.level({}),
                emitter.loop(rows[0], rows[1], self.tile_rows) as row,
            ):
                left = builder.sub(rows[1], row)
                height = self._least(left, integer(self.tile_rows))
                pitch = integer(TILE_COLUMNS)
                self._call(self.scratch, pitch, (row, height), (column, width))
                with emitter.level({}):
                    self._epilogue((row, height), (column, width))

    def _epilogue(
        self, rows: tuple[IRValue, IRValue], columns: tuple[IRValue, IRValue]
    ) -> None:
        emitter, builder = self.emitter, self.emitter.builder
        with emitter.loop(integer(0), rows[1]) as line:
            position = builder.add(rows[0], line)
            start = builder.mul(line, integer(TILE_COLUMNS))
            with emitter.level({self.kernel.m: position}):
                self._line(start, columns)

    def _line(self, start: IRValue, columns: tuple[IRValue, IRValue]) -> None:
        """One row of a tile: full blocks of lanes, then the rest."""
        emitter, builder = self.emitter, self.emitter.builder
        lanes, n = emitter.lanes, self.kernel.n
        if n.extent == 1:
            pointer = builder.gep(self.scratch, [start], source_etype=self.item)
            emitter.set_local(self.kernel.product, builder.load(pointer, typ=self.item))
            StageEmitter(emitter, per_row=False).run(self.kernel.stages)
            return
        full = builder.mul(builder.sdiv(columns[1], integer(lanes)), integer(lanes))
        with emitter.loop(integer(0), full, lanes) as column:
            base = builder.add(columns[0], column)
            with emitter.level({n: base}, n):
                self._stages(builder.add(start, column), None)
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
        size = self.kernel.product.dtype.itemsize
        if mask is None:
            value = builder.load(pointer, typ=kind, align=size)
        else:
            value = emitter.masked_load(pointer, kind, mask, size)
        emitter.set_local(self.kernel.product, value)
        StageEmitter(emitter, per_row=False).run(self.kernel.stages)

    def _call(
        self,
        target: IRValue,
        pitch: IRValue,
        rows: tuple[IRValue, IRValue],
        columns: tuple[IRValue, IRValue],
    ) -> None:
        """A call of the building block for a piece of the product."""
        a, b = self.kernel.a, self.kernel.b
        left = self._operand(a, rows[0])
        right = self._operand(b, columns[0])
        sums = (
            self.kernel.sums if len(self.kernel.sums) == 2 else (1, *self.kernel.sums)
        )
        strides = [s if len(s) == 2 else (0, *s) for s in (a.sums, b.sums)]
        shape = [rows[1], columns[1], integer(sums[1]), integer(sums[0])]
        shape += [integer(strides[0][0]), integer(strides[1][0])]
        name = block_function(self.kernel)
        k_strides = [] if name == "gemm_nt" else [integer(strides[0][1])]
        step = integer(strides[1][1] if name == "gemm_nn" else b.row)
        matrices = [left, integer(a.row), *k_strides, right, step, target, pitch]
        arguments = [*matrices, *shape]
        kind = function_type(name).as_pointer()
        function = self.emitter.builder.inttoptr(self.block, kind)
        self.emitter.builder.call(function, arguments)

    def _operand(self, operand: Operand, position: IRValue) -> IRValue:
        """The address of the operand's first element from `position` on."""
        builder = self.emitter.builder
        place = builder.mul(position, integer(operand.row))
        place = builder.add(place, integer(operand.offset))
        for axis, stride in zip(self.kernel.outer, operand.outer, strict=True):
            index = self.emitter.position_of(axis).value
            place = builder.add(place, builder.mul(index, integer(stride)))
        return self.emitter.address(operand.buffer, place)


def shares_rows(kernel: ContractKernel) -> bool:
    """Whether threads share the rows of a product rather than its columns.

    Where the left operand and the result are larger than the right operand, which each
    thread then reads whole. A thread's rows also lie together in memory: of columns
    side by side, each core would fetch ahead what another core is writing.
    """
    rows, columns, depth = kernel.m.extent, kernel.n.extent, math.prod(kernel.sums)
    return rows >= SHARED_ROWS and rows * (depth + columns) > depth * columns


def block_function(kernel: ContractKernel) -> str:
    """Which function of the building block fits the layout of the operands.

    The right operand lies along columns (`gemm_nn`) or along the sum; dot products are
    faster for few rows and for a single column.
    """
    a, b = kernel.a, kernel.b
    if b.row == 1 or b.sums[-1] != 1:
        return "gemm_nn"
    if a.sums[-1] != 1:
        return "gemm_nt_packed"
    item = kernel.product.dtype.itemsize
    sizes = kernel.m.extent, kernel.n.extent, math.prod(kernel.sums)
    return transposed_product(*sizes, host_target().lanes(item))
