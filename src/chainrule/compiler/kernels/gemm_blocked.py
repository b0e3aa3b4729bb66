"""Matrix products with a large, transposed A: blocks of its rows are packed.

Where A is contiguous along rows and its columns lie far apart, each step along k reads
another page. If A does not stay in the caches, it is read so for every panel; then it
pays to gather the rows of a tile side by side, block by block.
"""

from __future__ import annotations

from chainrule.compiler.kernels.assembly import Assembly
from chainrule.compiler.kernels.gemm_driver import (
    DRIVER,
    batches_together,
    call_panel,
    next_width,
    started,
)
from chainrule.compiler.kernels.gemm_panel import DEPTH
from chainrule.compiler.kernels.register_tile import RegisterTile, lanes_below

# Bytes of a block, which lies on the stack and in the cache nearest but one.
_BLOCK_BYTES = 192 << 10


def _gather(tile: RegisterTile) -> str:
    """Rows of A tile by tile, each tile along k; short tiles keep gaps."""
    code = Assembly(
        "define internal void @gather(ptr %a, i64 %a_k, ptr %target, i64 %rows, "
        "i64 %k) #0"
    )
    with code.loop("%k") as step, code.loop("%rows", step=tile.rows) as row:
        source = code.add(code.multiply(step.index, "%a_k"), row.index)
        target = code.multiply(row.index, "%k")
        target = code.add(target, code.multiply(step.index, tile.rows))
        left = code.smaller(code.subtract("%rows", row.index), tile.rows)
        for lane in range(0, tile.rows, tile.lanes):
            mask = lanes_below(code, code.subtract(left, lane), tile.lanes)
            here = code.at(tile.element, "%a", code.add(source, lane))
            there = code.at(tile.element, "%target", code.add(target, lane))
            tile.masked_store(code, tile.masked_load(code, here, mask), there, mask)
    code.do("ret void")
    return code.text()


def _block_rows(tile: RegisterTile) -> int:
    return _BLOCK_BYTES // (DEPTH * tile.size) // tile.rows * tile.rows


def _blocked(tile: RegisterTile) -> str:
    """Slabs of k, blocks of rows, panels."""
    code = Assembly(f"define internal void @gemm_blocked({DRIVER}) #0")
    element, limit = tile.element, _block_rows(tile)
    buffer = code.value(f"alloca [{limit * DEPTH} x {element}], align 64")
    together = batches_together(code)
    with (
        code.loop("%batches", step=together) as batch,
        code.loop("%k", step=DEPTH) as depth,
        code.loop("%rows", step=limit) as row,
    ):
        count = code.smaller(code.subtract("%batches", batch.index), together)
        k = code.smaller(code.subtract("%k", depth.index), DEPTH)
        rows = code.smaller(code.subtract("%rows", row.index), limit)
        tiles = code.value(f"udiv i64 {code.add(rows, tile.rows - 1)}, {tile.rows}")
        size = code.multiply(code.multiply(tiles, tile.rows), k)
        a = code.at(element, "%a", code.multiply(batch.index, "%a_batch"))
        a = code.at(element, a, code.multiply(depth.index, "%a_k"))
        a = code.at(element, a, row.index)
        with code.loop(count) as one:
            source = code.at(element, a, code.multiply(one.index, "%a_batch"))
            target = code.at(element, buffer, code.multiply(one.index, size))
            code.do(
                f"call void @gather(ptr {source}, i64 %a_k, ptr {target}, "
                f"i64 {rows}, i64 {k})"
            )
        b = code.at(element, "%b", code.multiply(batch.index, "%b_batch"))
        b = code.at(element, b, code.multiply(depth.index, "%b_step"))
        c = code.at(element, "%c", code.multiply(row.index, "%c_row"))
        accumulate = started(code, batch.index, depth.index)
        # the rows of a packed tile are a run
        wrap = code.subtract(code.multiply(k, tile.rows), tile.rows - 1)
        packed = f"ptr {buffer}, i64 1, i64 {wrap}, i64 {tile.rows}"
        sizes = f"i64 {rows}, i64 {k}, i64 {count}, i64 {size}, i64 %b_batch"
        _panels(code, tile, (b, c), (packed, sizes, accumulate))
    code.do("ret void")
    return code.text()


def _panels(
    code: Assembly,
    tile: RegisterTile,
    places: tuple[str, str],
    arguments: tuple[str, str, str],
) -> None:
    """All columns for one block."""
    packed, sizes, accumulate = arguments
    widths = {number: str(number) for number in range(1, tile.vectors + 1)}
    last = code.add("%columns", tile.lanes - 1)
    vectors = code.value(f"udiv i64 {last}, {tile.lanes}")
    with code.loop(vectors) as panel:
        width = next_width(code, tile, code.subtract(vectors, panel.index))
        panel.step = width
        column = code.multiply(panel.index, tile.lanes)
        full = code.multiply(code.subtract(width, 1), tile.lanes)
        left = code.subtract(code.subtract("%columns", column), full)
        tail = code.smaller(left, tile.lanes)
        b, c = (code.at(tile.element, place, column) for place in places)
        call_panel(
            code,
            widths,
            width,
            f"{packed}, ptr {b}, i64 %b_step, ptr {c}, i64 %c_row, i64 %c_row, "
            f"i64 {tile.rows}, i64 0, {sizes}, i64 {tail}, i1 {accumulate}",
        )


def emit_blocked(tile: RegisterTile) -> list[str]:
    """The driver `gemm_blocked` and what it calls."""
    return [_gather(tile), _blocked(tile)]
