"""Transposing a matrix block by block, each block in registers.

A block of V vectors of V lanes is transposed in log2(V) rounds; in the round of bit d,
rows i and i + d swap the lanes in which they differ, after Eklundh ("A fast computer
method for matrix transposing", IEEE Transactions on Computers, 1972).
"""

from __future__ import annotations

from chainrule.compiler.kernels.assembly import Assembly
from chainrule.compiler.kernels.register_tile import RegisterTile, lanes_below

_BLOCK = (
    "ptr %source, i64 %source_row, ptr %target, i64 %target_row, "
    "i64 %rows, i64 %columns"
)


def transposed(code: Assembly, tile: RegisterTile, rows: list[str]) -> list[str]:
    """Transpose in registers."""
    bit = tile.lanes // 2
    while bit:
        low = [n if not n & bit else tile.lanes + n - bit for n in range(tile.lanes)]
        high = [n + bit if not n & bit else tile.lanes + n for n in range(tile.lanes)]
        for number in range(tile.lanes):
            if not number & bit:
                pair = rows[number], rows[number + bit]
                rows[number] = tile.shuffle(code, *pair, low)
                rows[number + bit] = tile.shuffle(code, *pair, high)
        bit //= 2
    return rows


def _full_block(code: Assembly, tile: RegisterTile) -> None:
    """A block all of whose rows and columns exist."""
    element, lanes = tile.element, range(tile.lanes)
    sources = [
        code.at(element, "%source", code.multiply("%source_row", n)) for n in lanes
    ]
    values = [tile.load(code, address) for address in sources]
    for number, value in enumerate(transposed(code, tile, values)):
        target = code.at(element, "%target", code.multiply("%target_row", number))
        tile.store(code, value, target)


def _edge_block(code: Assembly, tile: RegisterTile) -> None:
    """A block at the end: rows past the last are the last again, and not written."""
    element, lanes = tile.element, range(tile.lanes)
    columns = lanes_below(code, "%columns", tile.lanes)
    last = code.subtract("%rows", 1)
    values = []
    for number in lanes:
        row = code.value(f"call i64 @llvm.smin.i64(i64 {last}, i64 {number})")
        source = code.at(element, "%source", code.multiply("%source_row", row))
        values.append(tile.masked_load(code, source, columns))
    rows = lanes_below(code, "%rows", tile.lanes)
    done = code.fresh("done")
    for number, value in enumerate(transposed(code, tile, values)):
        following = code.fresh("row")
        code.branch(code.compare("sgt", "%columns", number), following, done)
        code.start(following)
        target = code.at(element, "%target", code.multiply("%target_row", number))
        tile.masked_store(code, value, target, rows)
    code.go(done)
    code.start(done)


def _block(tile: RegisterTile) -> str:
    """One block of up to V by V elements."""
    code = Assembly(f"define internal void @transpose_block({_BLOCK}) #0")
    rows = code.compare("sge", "%rows", tile.lanes)
    columns = code.compare("sge", "%columns", tile.lanes)
    with code.when(code.value(f"and i1 {rows}, {columns}"), leave=True):
        _full_block(code, tile)
    _edge_block(code, tile)
    code.do("ret void")
    return code.text()


def emit_transpose(tile: RegisterTile) -> list[str]:
    """The exported `transpose`, and what it calls."""
    code = Assembly(f"define void @transpose({_BLOCK}) #0")
    for name in ("%rows", "%columns"):
        with code.when(code.compare("sle", name, 0), leave=True):
            pass
    element = tile.element
    with (
        code.loop("%rows", step=tile.lanes) as row,
        code.loop("%columns", step=tile.lanes) as column,
    ):
        source = code.multiply(row.index, "%source_row")
        source = code.at(element, "%source", code.add(source, column.index))
        target = code.multiply(column.index, "%target_row")
        target = code.at(element, "%target", code.add(target, row.index))
        rows = code.subtract("%rows", row.index)
        columns = code.subtract("%columns", column.index)
        code.do(
            f"call void @transpose_block(ptr {source}, i64 %source_row, "
            f"ptr {target}, i64 %target_row, i64 {rows}, i64 {columns})"
        )
    code.do("ret void")
    return ["declare i64 @llvm.smin.i64(i64, i64)", _block(tile), code.text()]
