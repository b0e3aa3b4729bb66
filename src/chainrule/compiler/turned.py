"""Blocks of rows and lanes that change places in registers.

Where a block is read across its rows, whole vectors are read along memory, one for each
lane, and transposed: after Eklundh, "A fast computer method for matrix transposing"
(IEEE Transactions on Computers, 1972).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chainrule.compiler.emit import I32, Emitter, integer
from chainrule.compiler.expression import Expression, Place
from chainrule.compiler.index import Axis
from chainrule.compiler.inside import parts
from chainrule.compiler.kernel import Fold, Write
from chainrule.compiler.kernels.elementwise import stored_type
from chainrule.compiler.llvm_types import IRValue, ir

LEAST_STRIDE = 16  # elements between numbers that were read side by side


def crossing(
    stages: Sequence[Write | Fold], row: Axis, lane: Axis
) -> Iterator[Expression]:
    """The loads whose neighbours in memory are read from row to row."""
    for part in parts(stage.expression for stage in stages):
        if not isinstance(part.detail, Place) or part.inputs or part.dtype.is_bool:
            continue
        index = part.detail.offset
        if index.is_affine_in(row) and index.is_affine_in(lane):
            across = abs(index.coefficient(lane))
            if index.coefficient(row) == 1 and across >= LEAST_STRIDE:
                yield part


def turned(
    emitter: Emitter, stages: Sequence[Write], inside: Sequence[Axis]
) -> dict[Expression, list[IRValue]]:
    """For each load across the rows of a block, its vectors for all of them."""
    lane = emitter.lane()
    if lane is None or len(inside) != 1 or inside[0].extent != emitter.lanes:
        return {}
    with emitter.level({inside[0]: integer(0)}):
        return {
            load: _turned_load(emitter, load, lane)
            for load in crossing(stages, inside[0], lane)
        }


def _turned_load(emitter: Emitter, load: Expression, lane: Axis) -> list[IRValue]:
    place, builder = load.detail, emitter.builder
    first = emitter.split(place.offset)[0].value
    kind = ir.VectorType(stored_type(load.dtype), emitter.lanes)
    rows = []
    for number in range(emitter.lanes):
        step = integer(number * place.offset.coefficient(lane))
        pointer = emitter.address(place.buffer, builder.add(first, step))
        rows.append(builder.load(pointer, typ=kind, align=load.dtype.itemsize))
    lines = _exchanged(builder, rows)
    return [emitter.register(line, load.dtype) for line in lines]


def _exchanged(builder: IRValue, rows: list[IRValue]) -> list[IRValue]:
    """A square of vectors, transposed: in the round of each bit, rows that differ in it
    swap the lanes in which they differ.
    """
    size = len(rows)
    kind, bit = ir.VectorType(I32, size), size // 2
    while bit:
        low = [n if not n & bit else size + n - bit for n in range(size)]
        high = [n + bit if not n & bit else size + n for n in range(size)]
        for number in (n for n in range(size) if not n & bit):
            pair = rows[number], rows[number + bit]
            rows[number] = builder.shuffle_vector(*pair, ir.Constant(kind, low))
            rows[number + bit] = builder.shuffle_vector(*pair, ir.Constant(kind, high))
        bit //= 2
    return rows
