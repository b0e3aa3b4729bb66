"""Cutting a matrix product into panels and slabs of k, with or without packing.

A driver goes over the columns of C panel by panel, and for each over the batches and
over k in slabs. Where packing pays, the slab of B is first copied side by side into a
buffer on the stack: a B with long rows would else fall on few sets of the caches and on
many pages.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.compiler.kernels.assembly import Assembly
from chainrule.compiler.kernels.gemm_ahead import (
    AHEAD,
    STRETCH_BYTES,
    STRETCH_LINES,
    asks,
)
from chainrule.compiler.kernels.gemm_panel import DEPTH
from chainrule.compiler.kernels.register_tile import RegisterTile, lanes_below

_ARGUMENTS = (
    "ptr %a, i64 %a_row, i64 %a_wrap, i64 %a_k, ptr {b}, i64 {b_step}, "
    "ptr {c}, i64 %c_row, i64 %c_wrap, i64 %run, i64 %first, i64 %rows, "
    "i64 {columns}, i64 %k, i64 %batches, i64 %a_batch, i64 %b_batch, i64 %accumulate"
)
DRIVER = _ARGUMENTS.format(b="%b", b_step="%b_step", c="%c", columns="%columns")
# Fewer rows than this use a slab of B too few times to repay its copy.
PACKING_ROWS = 96
# Bytes in a row of B from which on its copy is worth while.
PACKING_STRIDE = 1024
# How far ahead of the copy rows of B are asked for; each may be on a page of its own.
PREFETCH_ROWS = 8
# Bytes between columns of A, bytes in all of it, and panels of C, from which on it is
# worth while to pack A.
SCATTERED_STRIDE = 2048
SCATTERED_BYTES = 1 << 20
SCATTERED_PANELS = 4
# Bytes of a B from which on the next slab is asked for during the products of this one.
AHEAD_BYTES = 1 << 20


def _forward(b: str, c: str, columns: str) -> str:
    names = _ARGUMENTS.format(b=b, b_step="%b_step", c=c, columns=columns)
    return f"{names}, {AHEAD}"


def batches_together(code: Assembly) -> str:
    """How many batches make a slab: all, where that is not too deep."""
    depth = code.multiply("%k", "%batches")
    before, divides, after = code.block, code.fresh("divide"), code.fresh("after")
    code.branch(code.compare("sgt", depth, DEPTH), divides, after)
    code.start(divides)
    quotient = code.value(f"udiv i64 {DEPTH}, %k")
    some = code.compare("sgt", quotient, 0)
    count = code.value(f"select i1 {some}, i64 {quotient}, i64 1")
    code.go(after)
    code.start(after)
    return code.value(f"phi i64 [ %batches, %{before} ], [ {count}, %{divides} ]")


def started(code: Assembly, batch: str, depth: str) -> str:
    """Whether C holds sums that this slab is added to."""
    before = code.value(f"or i64 {batch}, {depth}")
    return code.compare("ne", code.value(f"or i64 {before}, %accumulate"), 0)


def next_width(code: Assembly, tile: RegisterTile, left: str) -> str:
    """Vectors in the next panel: full ones, and two equal ones to end with."""
    half = code.value(f"lshr i64 {code.add(left, 1)}, 1")
    fits = code.compare("sle", left, tile.vectors)
    ending = code.value(f"select i1 {fits}, i64 {left}, i64 {half}")
    many = code.compare("sge", left, 2 * tile.vectors)
    return code.value(f"select i1 {many}, i64 {tile.vectors}, i64 {ending}")


def call_panel(
    code: Assembly, widths: dict[int, str], width: str, arguments: str
) -> None:
    """Call the function of panels of this width."""
    labels = {number: code.fresh("width") for number in widths}
    arms = " ".join(f"i64 {n}, label %{name}" for n, name in labels.items())
    after = code.fresh("after")
    code.do(f"switch i64 {width}, label %{after} [{arms}]")
    for number, label in labels.items():
        code.start(label)
        code.do(f"call void @panel_{widths[number]}({arguments})")
        code.go(after)
    code.start(after)


@dataclass
class Driver:
    """Emits the function that cuts a product, in one of three modes.

    Attributes:
        tile: the machine's register tile.
        mode: `direct` reads B where it is; `copied` packs slabs of it; `transposed`
            packs slabs of a B that is contiguous along k.
        code: the function under construction.
        buffer: the address of the packed slab.
        table: the address of the names of what is asked for ahead.
        together: how many batches make a slab.
        prefix: of the names of the panels.
    """

    tile: RegisterTile
    mode: str
    code: Assembly
    buffer: str = ""
    table: str = ""
    together: str = ""
    prefix: str = ""

    def emit(self) -> str:
        """The text of the function `gemm_<mode>`."""
        code, tile = self.code, self.tile
        if self.mode != "direct":
            room = (DEPTH + tile.lanes) * tile.vectors * tile.lanes
            self.buffer = code.value(f"alloca [{room} x {tile.element}], align 64")
            self.table = code.value(f"alloca [{DEPTH} x ptr], align 64")
        self.together = batches_together(code)
        self.panels()
        code.do("ret void")
        return code.text()

    def panels(self) -> None:
        """All columns, panel by panel."""
        code, tile = self.code, self.tile
        last = code.add("%columns", tile.lanes - 1)
        vectors = code.value(f"udiv i64 {last}, {tile.lanes}")
        with code.loop(vectors) as loop:
            width = next_width(code, tile, code.subtract(vectors, loop.index))
            self.slabs(code.multiply(loop.index, tile.lanes), width)
            loop.step = width

    def call_panel(self, width: str, tail: str, arguments: str) -> None:
        """Call a panel's function; width 0 stands for half a vector."""
        code, tile = self.code, self.tile
        numbers = range(1, tile.vectors + 1)
        widths = {number: f"{self.prefix}{number}" for number in numbers}
        if tile.half() is not None:
            widths[0] = "half"
            one = code.compare("eq", width, 1)
            little = code.compare("sle", tail, tile.lanes // 2)
            half = code.value(f"and i1 {one}, {little}")
            width = code.value(f"select i1 {half}, i64 0, i64 {width}")
        call_panel(code, widths, width, arguments)

    def slabs(self, column: str, width: str) -> None:
        """One panel: all batches and all of k, slab by slab."""
        code, element = self.code, self.tile.element
        left = code.subtract("%columns", column)
        full = code.multiply(code.subtract(width, 1), self.tile.lanes)
        tail = code.smaller(code.subtract(left, full), self.tile.lanes)
        stride = "%b_step" if self.mode == "transposed" else "1"
        b = code.at(element, "%b", code.multiply(column, stride))
        c = code.at(element, "%c", column)
        with (
            code.loop("%batches", step=self.together) as batch,
            code.loop("%k", step=DEPTH) as depth,
        ):
            count = code.smaller(code.subtract("%batches", batch.index), self.together)
            k = code.smaller(code.subtract("%k", depth.index), DEPTH)
            b_here = code.at(element, b, code.multiply(batch.index, "%b_batch"))
            stride = "1" if self.mode == "transposed" else "%b_step"
            b_here = code.at(element, b_here, code.multiply(depth.index, stride))
            packed = self.packed(b_here, (width, tail, k, count))
            a_here = code.at(element, "%a", code.multiply(batch.index, "%a_batch"))
            a_here = code.at(element, a_here, code.multiply(depth.index, "%a_k"))
            accumulate = started(code, batch.index, depth.index)
            arguments = (
                f"ptr {a_here}, i64 %a_row, i64 %a_wrap, i64 %a_k, {packed[0]}, "
                f"ptr {c}, i64 %c_row, i64 %c_wrap, i64 %run, i64 %first, i64 %rows, "
                f"i64 {k}, i64 {count}, i64 %a_batch, {packed[1]}, i64 {tail}, "
                f"i1 {accumulate}"
            )
            place = column, batch.index, depth.index
            self.multiply(place, (width, tail), arguments)

    def multiply(
        self, place: tuple[str, str, str], panel: tuple[str, str], arguments: str
    ) -> None:
        """Call the panel of a slab: one that asks for lines, if there are any.

        The first slab asks for what the caller names, others for the next slab.
        """
        code, tile = self.code, self.tile
        if self.prefix:
            self.call_panel(*panel, arguments)
            return
        column, batch, depth = place
        somewhere = code.value(
            f"or i64 {code.value(f'or i64 {column}, {batch}')}, {depth}"
        )
        begins = code.compare("eq", somewhere, 0)
        named = code.compare("sgt", "%lines", 0)
        given = code.value(f"and i1 {begins}, {named}")
        table, lines = "%ahead", code.value(f"select i1 {given}, i64 %lines, i64 0")
        if self.looks_ahead:
            rows, each, source = self.next_slab(column, depth)
            more = code.multiply(code.multiply(rows, each), STRETCH_LINES)
            lines = code.value(f"select i1 {given}, i64 %lines, i64 {more}")
            table = code.value(f"select i1 {given}, ptr %ahead, ptr {self.table}")
        asking, plain, after = (code.fresh(x) for x in ("asking", "plain", "after"))
        code.branch(asks(code, tile, panel[0], lines), asking, plain)
        code.start(asking)
        if self.looks_ahead:
            with code.when(code.value(f"xor i1 {given}, true")):
                code.do(
                    f"call void @stretches(ptr {self.table}, {source}, i64 {rows}, "
                    f"i64 {each})"
                )
        code.do(f"call void @panel_ahead({arguments}, ptr {table}, i64 {lines})")
        code.go(after)
        code.start(plain)
        self.call_panel(*panel, arguments)
        code.go(after)
        code.start(after)

    @property
    def looks_ahead(self) -> bool:
        """Whether the next slab may be asked for while this one is multiplied."""
        tile = self.tile
        wide = tile.vectors * tile.lanes * tile.size == STRETCH_BYTES
        return self.mode != "direct" and wide

    def next_slab(self, column: str, depth: str) -> tuple[str, str, str]:
        """The slab after this one, of this panel or the next.

        Its rows of memory, 0 where there is none that comes from afar, the stretches in
        each, and where it begins, with the bytes from row to row.
        """
        code, tile = self.code, self.tile
        deeper = code.add(depth, DEPTH)
        same = code.compare("slt", deeper, "%k")
        beside = code.add(column, tile.vectors * tile.lanes)
        column = code.value(f"select i1 {same}, i64 {column}, i64 {beside}")
        depth = code.value(f"select i1 {same}, i64 {deeper}, i64 0")
        k = code.smaller(code.subtract("%k", depth), DEPTH)
        left = code.subtract("%columns", column)
        along = [code.multiply(depth, "%b_step"), column]
        rows, each = k, "1"
        if self.mode == "transposed":
            along = [code.multiply(column, "%b_step"), depth]
            size = code.add(code.multiply(k, tile.size), STRETCH_BYTES - 1)
            rows = code.smaller(left, tile.vectors * tile.lanes)
            each = code.value(f"udiv i64 {size}, {STRETCH_BYTES}")
        rows = code.value(f"select i1 {self.far(left)}, i64 {rows}, i64 0")
        b = code.at(tile.element, "%b", code.add(*along))
        return rows, each, f"ptr {b}, i64 {code.multiply('%b_step', tile.size)}"

    def far(self, left: str) -> str:
        """Whether columns are left, of a B that does not stay in the caches."""
        code = self.code
        size = code.multiply("%columns", code.multiply("%k", self.tile.size))
        conditions = [
            code.compare("sgt", left, 0),
            code.compare("sge", size, AHEAD_BYTES),
            code.compare("eq", "%batches", 1),
        ]
        both = code.value(f"and i1 {conditions[0]}, {conditions[1]}")
        return code.value(f"and i1 {both}, {conditions[2]}")

    def packed(self, b: str, sizes: tuple[str, str, str, str]) -> tuple[str, str]:
        """Pack a slab; the panel's arguments for where B is and for its batches."""
        if self.mode == "direct":
            return f"ptr {b}, i64 %b_step", "i64 %b_batch"
        code = self.code
        width, tail, k, count = sizes
        row = code.multiply(width, self.tile.lanes)
        size = code.multiply(row, k)
        with code.loop(count) as batch:
            source = code.at(
                self.tile.element, b, code.multiply(batch.index, "%b_batch")
            )
            target = code.at(
                self.tile.element, self.buffer, code.multiply(batch.index, size)
            )
            columns = code.add(code.subtract(row, self.tile.lanes), tail)
            if self.mode == "copied":
                code.do(
                    f"call void @copy(ptr {source}, i64 %b_step, ptr {target}, "
                    f"i64 {row}, i64 {k}, i64 {columns})"
                )
            else:
                code.do(
                    f"call void @transpose(ptr {source}, i64 %b_step, ptr {target}, "
                    f"i64 {row}, i64 {columns}, i64 {k})"
                )
        return f"ptr {self.buffer}, i64 {row}", f"i64 {size}"


def _copy(tile: RegisterTile) -> str:
    """Rows of a slab of B, side by side; a short last vector is filled with zeros."""
    code = Assembly(
        "define internal void @copy(ptr %source, i64 %source_row, ptr %target, "
        "i64 %target_row, i64 %rows, i64 %columns) #0"
    )
    with code.loop("%rows") as row:
        source = code.at(
            tile.element, "%source", code.multiply(row.index, "%source_row")
        )
        target = code.at(
            tile.element, "%target", code.multiply(row.index, "%target_row")
        )
        with code.loop("%columns", step=tile.lanes) as column:
            here = code.at(tile.element, source, column.index)
            there = code.at(tile.element, target, column.index)
            left = code.subtract("%columns", column.index)
            ahead = code.multiply("%source_row", PREFETCH_ROWS)
            ahead = code.at(tile.element, here, ahead)
            code.do(f"call void @llvm.prefetch.p0(ptr {ahead}, i32 0, i32 3, i32 1)")
            if tile.masks:
                mask = lanes_below(code, left, tile.lanes)
                tile.store(code, tile.masked_load(code, here, mask), there)
            else:
                _copy_vector(code, tile, left, (here, there))
    code.do("ret void")
    return code.text()


def _copy_vector(
    code: Assembly, tile: RegisterTile, left: str, places: tuple[str, str]
) -> None:
    """A whole vector, or what is left of a row."""
    here, there = places
    plain, masked, after = (code.fresh(x) for x in ("plain", "masked", "after"))
    code.branch(code.compare("sge", left, tile.lanes), plain, masked)
    code.start(plain)
    tile.store(code, tile.load(code, here), there)
    code.go(after)
    code.start(masked)
    mask = lanes_below(code, left, tile.lanes)
    tile.store(code, tile.masked_load(code, here, mask), there)
    code.go(after)
    code.start(after)


def zeros(tile: RegisterTile) -> str:
    """The empty sum. Written out: `memset` would be a symbol to link."""
    code = Assembly(
        "define internal void @zeros(ptr %c, i64 %c_row, i64 %c_wrap, i64 %run, "
        "i64 %first, i64 %rows, i64 %columns) #0"
    )
    with code.loop("%rows", carried=[("ptr", "%c"), ("i64", "%first")]) as row:
        line, place = row.carried
        with code.loop("%columns", step=tile.lanes) as column:
            left = code.subtract("%columns", column.index)
            mask = lanes_below(code, left, tile.lanes)
            target = code.at(tile.element, line, column.index)
            tile.masked_store(code, "zeroinitializer", target, mask)
        place = code.add(place, 1)
        wraps = code.compare("eq", place, "%run")
        step = code.value(f"select i1 {wraps}, i64 %c_wrap, i64 %c_row")
        place = code.value(f"select i1 {wraps}, i64 0, i64 {place}")
        row.following = [code.at(tile.element, line, step), place]
    code.do("ret void")
    return code.text()


def begin(code: Assembly, runs: bool) -> None:
    """Return where C has no elements; write zeros where there is nothing to sum.

    `runs` says whether rows come in runs, and whether sums may go on from those in C.
    """
    for name in ("%rows", "%columns"):
        with code.when(code.compare("sle", name, 0), leave=True):
            pass
    depth = code.multiply("%k", "%batches")
    with code.when(code.compare("sle", depth, 0), leave=True):
        if runs:
            with code.when(code.compare("ne", "%accumulate", 0), leave=True):
                pass
        steps = "%c_wrap, i64 %run, i64 %first" if runs else "%c_row, i64 %rows, i64 0"
        code.do(
            f"call void @zeros(ptr %c, i64 %c_row, i64 {steps}, i64 %rows, "
            "i64 %columns)"
        )


def scattered(code: Assembly, tile: RegisterTile) -> str:
    """Whether A is transposed and does not stay in the caches."""
    size = code.multiply("%rows", "%k")
    last = code.add("%first", "%rows")
    conditions = [
        code.compare("sle", last, "%run"),
        code.compare("eq", "%a_row", 1),
        code.compare("sge", "%a_k", SCATTERED_STRIDE // tile.size),
        code.compare("sgt", size, SCATTERED_BYTES // tile.size),
        code.compare("sgt", "%columns", SCATTERED_PANELS * tile.vectors * tile.lanes),
    ]
    if not tile.masks:
        # The panels read whole vectors of B.
        rest = code.value(f"urem i64 %columns, {tile.lanes}")
        conditions.append(code.compare("eq", rest, 0))
    result = conditions[0]
    for condition in conditions[1:]:
        result = code.value(f"and i1 {result}, {condition}")
    return result


def _product(tile: RegisterTile) -> str:
    """`gemm_nn_ahead`: choose whether to pack."""
    names = f"{DRIVER}, {AHEAD}".replace("b_step", "b_k")
    code = Assembly(f"define void @gemm_nn_ahead({names}) #0")
    arguments = _forward("%b", "%c", "%columns").replace("b_step", "b_k")
    begin(code, runs=True)
    with code.when(scattered(code, tile), leave=True):
        plain = DRIVER.replace("b_step", "b_k")
        code.do(f"call void @gemm_blocked({plain})")
    if tile.thin() is not None:
        with code.when(code.compare("eq", "%rows", 1), leave=True):
            code.do(f"call void @gemm_thin({arguments})")
    rows = code.compare("sge", "%rows", PACKING_ROWS)
    stride = code.compare("sge", "%b_k", PACKING_STRIDE // tile.size)
    pays = code.value(f"and i1 {rows}, {stride}")
    with code.when(pays, leave=True):
        code.do(f"call void @gemm_copied({arguments})")
    if tile.masks:
        code.do(f"call void @gemm_direct({arguments})")
    else:
        _split(code, tile)
    code.do("ret void")
    return code.text()


def _split(code: Assembly, tile: RegisterTile) -> None:
    """Whole vectors of columns where they are, and a packed tail."""
    rest = code.value(f"urem i64 %columns, {tile.lanes}")
    whole = code.subtract("%columns", rest)
    with code.when(code.compare("sgt", whole, 0)):
        arguments = _forward("%b", "%c", whole).replace("b_step", "b_k")
        code.do(f"call void @gemm_direct({arguments})")
    with code.when(code.compare("sgt", rest, 0)):
        b, c = (code.at(tile.element, name, whole) for name in ("%b", "%c"))
        arguments = _forward(b, c, rest).replace("b_step", "b_k")
        code.do(f"call void @gemm_copied({arguments})")


def _product_packed() -> str:
    """`gemm_nt_packed_ahead`: B is contiguous along k and is packed."""
    names = f"{DRIVER}, {AHEAD}".replace("b_step", "b_column")
    code = Assembly(f"define void @gemm_nt_packed_ahead({names}) #0")
    begin(code, runs=True)
    arguments = _forward("%b", "%c", "%columns").replace("b_step", "b_column")
    code.do(f"call void @gemm_transposed({arguments})")
    code.do("ret void")
    return code.text()


def _without_asking(name: str, step: str) -> str:
    """The product that asks for nothing."""
    names = DRIVER.replace("b_step", step)
    code = Assembly(f"define void @{name}({names}) #0")
    code.do(f"call void @{name}_ahead({names}, ptr null, i64 0)")
    code.do("ret void")
    return code.text()


def emit_drivers(tile: RegisterTile) -> list[str]:
    """The exported products over panels, and what they call."""
    drivers = [
        Driver(tile, mode, _internal(mode))
        for mode in ("direct", "copied", "transposed")
    ]
    thin = tile.thin()
    if thin is not None:
        drivers.append(Driver(thin, "direct", _internal("thin"), prefix="thin_"))
    texts = [driver.emit() for driver in drivers]
    prefetch = "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"
    helpers = [prefetch, _copy(tile), zeros(tile)]
    products = [_product(tile), _product_packed()]
    products.append(_without_asking("gemm_nn", "b_k"))
    products.append(_without_asking("gemm_nt_packed", "b_column"))
    return [*texts, *helpers, *products]


def _internal(mode: str) -> Assembly:
    return Assembly(f"define internal void @gemm_{mode}({DRIVER}, {AHEAD}) #0")
