"""Products that ask for memory which is needed next, step by step of the sum.

A processor can wait for some dozens of lines of memory at a time. Asked for more at
once, it stands still; asked for one by one between multiply-adds, it multiplies while
they arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.compiler.kernels.assembly import Assembly
from chainrule.compiler.kernels.gemm_panel import PANEL, Panel, Rows
from chainrule.compiler.kernels.register_tile import RegisterTile, lanes_below

# Lines of memory that follow one another, of which the first is named.
STRETCH_LINES = 4
LINE_BYTES = 64
STRETCH_BYTES = STRETCH_LINES * LINE_BYTES
AHEAD = "ptr %ahead, i64 %lines"


@dataclass
class AheadPanel(Panel):
    """Emits the panel of full width that asks for a line of memory at each step.

    `%ahead` are the addresses of stretches of `STRETCH_LINES` lines, of which `%lines`
    are asked for, one or more; the last is asked for again and again. The rows that
    fill no tile are left to the plain panel.

    Attributes:
        asked: how many lines were asked for before the present tile.
        before: the same, before the present batch.
    """

    asked: str = "0"
    before: str = "0"

    def emit(self) -> str:
        """The text of the function."""
        code, rows = self.code, self.tile.height(self.vectors)
        self.left = self.tile.element
        self.mask = lanes_below(code, "%tail", self.tile.lanes)
        self.whole = code.compare("eq", "%tail", self.tile.lanes)
        self.last = code.subtract("%lines", 1)
        self.steps = code.multiply("%k", "%batches")
        rest = code.value(f"urem i64 %rows, {rows}")
        full = code.subtract("%rows", rest)
        carried = [("ptr", "%a"), ("ptr", "%c"), ("i64", "%first"), ("i64", "0")]
        with code.loop(full, step=rows, carried=carried) as loop:
            *start, self.asked = loop.carried
            after = self.tile_at(Rows(*start), rows)
            asked = code.add(self.asked, self.steps)
            loop.following = [after.a, after.c, after.place, asked]
        with code.when(code.compare("sgt", rest, 0)):
            a, c, place, _ = loop.following
            code.do(
                f"call void @panel_{self.vectors}(ptr {a}, i64 %a_row, i64 %a_wrap, "
                f"i64 %a_k, ptr %b, i64 %b_k, ptr {c}, i64 %c_row, i64 %c_wrap, "
                f"i64 %run, i64 {place}, i64 {rest}, i64 %k, "
                "i64 %batches, i64 %a_batch, i64 %b_batch, i64 %tail, i1 %accumulate)"
            )
        code.do("ret void")
        return code.text()

    def at_batch(self, index: str) -> None:
        """Go on behind the lines of the batches before."""
        done = self.code.multiply(index, "%k")
        self.before = self.code.add(self.asked, done)

    def at_step(self, index: str) -> None:
        """Ask for one more line."""
        code = self.code
        number = code.smaller(code.add(self.before, index), self.last)
        shift = STRETCH_LINES.bit_length() - 1
        entry = code.at("ptr", "%ahead", code.value(f"lshr i64 {number}, {shift}"))
        stretch = code.value(f"load ptr, ptr {entry}")
        line = code.value(f"and i64 {number}, {STRETCH_LINES - 1}")
        address = code.at("i8", stretch, code.multiply(line, LINE_BYTES))
        code.do(f"call void @llvm.prefetch.p0(ptr {address}, i32 1, i32 3, i32 1)")


def asks(code: Assembly, tile: RegisterTile, width: str, lines: str) -> str:
    """Whether a panel of so many vectors is one that can ask for lines."""
    conditions = [
        code.compare("eq", width, tile.vectors),
        code.compare("sge", "%rows", tile.rows),
        code.compare("sgt", lines, 0),
    ]
    first, second, third = conditions
    both = code.value(f"and i1 {first}, {second}")
    return code.value(f"and i1 {both}, {third}")


def _stretches() -> str:
    """The addresses of the stretches of rows of memory, for a panel to ask for."""
    code = Assembly(
        "define internal void @stretches(ptr %target, ptr %source, i64 %row_bytes, "
        "i64 %rows, i64 %each) #0"
    )
    with code.loop("%rows") as row:
        start = code.at("i8", "%source", code.multiply(row.index, "%row_bytes"))
        place = code.multiply(row.index, "%each")
        with code.loop("%each") as stretch:
            address = code.multiply(stretch.index, STRETCH_BYTES)
            address = code.at("i8", start, address)
            target = code.at("ptr", "%target", code.add(place, stretch.index))
            code.do(f"store ptr {address}, ptr {target}")
    code.do("ret void")
    return code.text()


def emit_ahead(tile: RegisterTile) -> list[str]:
    """The panel that asks, and what names the lines of a slab."""
    signature = f"define internal void @panel_ahead({PANEL}, {AHEAD}) #0"
    panel = AheadPanel(tile, tile.vectors, Assembly(signature))
    return [panel.emit(), _stretches()]
