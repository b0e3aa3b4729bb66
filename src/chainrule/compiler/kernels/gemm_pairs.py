"""Matrix products of bfloat16 with sums in float32, on machines that multiply pairs.

One instruction adds two products to each lane: those of two neighbours along the sum.
To it a vector of B is a row of pairs, from two rows of B side by side, and A gives a
pair of neighbours to all lanes. So the panels are those of float32 over pairs. B is
always packed, slab by slab; A is read where it lies if it is contiguous along the sum,
and else packed as well. An odd term at the end is paired with zeros.

Strides are counted in elements of A, B and C, as for the other types; C is float32.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.compiler.kernels.assembly import Assembly
from chainrule.compiler.kernels.gemm_driver import DRIVER, Driver, begin, started, zeros
from chainrule.compiler.kernels.gemm_panel import DEPTH, PANEL, Panel
from chainrule.compiler.kernels.register_tile import RegisterTile, lanes_below
from chainrule.compiler.kernels.transpose import transposed

WORD = "i16"
CHUNK = 128  # rows of A that are packed together
PITCH = CHUNK + 16  # pairs from row to row of them: not a power of two, for the caches


@dataclass(frozen=True)
class PairTile(RegisterTile):
    """A register tile whose lanes are pairs."""

    @property
    def words(self) -> str:
        """LLVM's name of a vector of words, one for each lane."""
        return f"<{self.lanes} x {WORD}>"

    def multiply_add(self, code: Assembly, left: str, right: str, addend: str) -> str:
        """The sum of two products more in every lane."""
        pairs = f"<{2 * self.lanes} x bfloat>"
        sides = [
            code.value(f"bitcast {self.vector} {side} to {pairs}")
            for side in (left, right)
        ]
        return code.value(
            f"call {self.vector} @{self.instruction}({self.vector} {addend}, "
            f"{pairs} {sides[0]}, {pairs} {sides[1]})"
        )

    @property
    def instruction(self) -> str:
        """The intrinsic of the machine."""
        return f"llvm.x86.avx512bf16.dpbf16ps.{32 * self.lanes}"

    def pair(self, code: Assembly, address: str) -> str:
        """Two neighbours in every lane."""
        return self._spread(code, code.value(f"load i32, ptr {address}, align 2"))

    def single(self, code: Assembly, address: str) -> str:
        """An element and zero in every lane."""
        word = code.value(f"load {WORD}, ptr {address}, align 2")
        return self._spread(code, code.value(f"zext {WORD} {word} to i32"))

    def _spread(self, code: Assembly, bits: str) -> str:
        vector = self.vector
        one = code.value(f"bitcast i32 {bits} to float")
        seat = code.value(f"insertelement {vector} poison, float {one}, i64 0")
        return code.value(
            f"shufflevector {vector} {seat}, {vector} poison, "
            f"<{self.lanes} x i32> zeroinitializer"
        )


def pair_declarations(tile: PairTile) -> str:
    """The intrinsics of this module, beside those of every tile."""
    lines = []
    for kind in (tile, tile.half() or tile):
        assert isinstance(kind, PairTile)
        pairs = f"<{2 * kind.lanes} x bfloat>"
        lines.append(
            f"declare {kind.vector} @{kind.instruction}({kind.vector}, {pairs}, "
            f"{pairs})"
        )
    for lanes in (tile.lanes, 2 * tile.lanes):
        words = f"<{lanes} x {WORD}>"
        lines.append(
            f"declare {words} @llvm.masked.load.v{lanes}i16.p0(ptr, i32, "
            f"<{lanes} x i1>, {words})"
        )
    return "\n".join(dict.fromkeys(lines))


def _masked_words(code: Assembly, address: str, mask: str, lanes: int) -> str:
    words = f"<{lanes} x {WORD}>"
    return code.value(
        f"call {words} @llvm.masked.load.v{lanes}i16.p0(ptr align 2 {address}, i32 2, "
        f"<{lanes} x i1> {mask}, {words} zeroinitializer)"
    )


# ---- panels --------------------------------------------------------------------------


@dataclass
class PairPanel(Panel):
    """A panel over pairs: `%k` counts them, `%odd` says that one element is left."""

    left: str = WORD

    def sum_batches(self, a: str, rows: int, sums: list[str]) -> list[str]:
        """Add the products of all batches."""
        code, vector = self.code, self.tile.vector
        carried = [("ptr", a), ("ptr", "%b"), *((vector, value) for value in sums)]
        with code.loop("%batches", carried=carried) as batch:
            a_now, b_now, *values = batch.carried
            inner = [("ptr", a_now), ("ptr", b_now), *((vector, v) for v in values)]
            with code.loop("%k", carried=inner) as step:
                a_step, b_step, *values = step.carried
                step.following = [
                    code.at(WORD, a_step, "%a_k"),
                    code.at("float", b_step, "%b_k"),
                    *self.outer_product(a_step, b_step, rows, values),
                ]
            batch.following = [
                code.at(WORD, a_now, "%a_batch"),
                code.at("float", b_now, "%b_batch"),
                *self._last(step.following, rows),
            ]
        return batch.following[2:]

    def _last(self, state: list[str], rows: int) -> list[str]:
        """Add the products of the element that is left, if there is one."""
        code, vector = self.code, self.tile.vector
        a, b, *sums = state
        before, single, after = code.block, code.fresh("single"), code.fresh("after")
        code.branch("%odd", single, after)
        code.start(single)
        values = self.outer_product(a, b, rows, sums, single=True)
        last = code.block
        code.go(after)
        code.start(after)
        return [
            code.value(f"phi {vector} [ {old}, %{before} ], [ {new}, %{last} ]")
            for old, new in zip(sums, values, strict=True)
        ]

    def outer_product(
        self, a: str, b: str, rows: int, sums: list[str], single: bool = False
    ) -> list[str]:
        """Add a column of pairs of A times a row of pairs of B."""
        code, tile = self.code, self.tile
        assert isinstance(tile, PairTile)
        line = []
        for vector in range(self.vectors):
            address = code.at("float", b, vector * tile.lanes)
            if vector == self.vectors - 1:
                line.append(tile.masked_load(code, address, self.mask))
            else:
                line.append(tile.load(code, address))
        result = []
        for row in range(rows):
            address = code.at(WORD, a, self.offsets[row])
            left = (tile.single if single else tile.pair)(code, address)
            for vector in range(self.vectors):
                total = sums[row * self.vectors + vector]
                result.append(tile.multiply_add(code, left, line[vector], total))
        return result


def _panel(tile: RegisterTile, vectors: int, name: str) -> str:
    signature = f"define internal void @panel_{name}({PANEL}, i1 %odd) #0"
    return PairPanel(tile, vectors, Assembly(signature)).emit()


# ---- packing -------------------------------------------------------------------------


def _joined(code: Assembly, tile: PairTile, low: str, high: str) -> str:
    """Words of two rows as pairs."""
    wide = f"<{tile.lanes} x i32>"
    first, second = (
        code.value(f"zext {tile.words} {words} to {wide}") for words in (low, high)
    )
    sixteen = ", ".join(["i32 16"] * tile.lanes)
    moved = code.value(f"shl {wide} {second}, <{sixteen}>")
    return code.value(f"or {wide} {first}, {moved}")


def _interleave(tile: PairTile) -> str:
    """Two rows of a matrix side by side in one row of pairs; lanes behind are zeros."""
    code = Assembly(
        "define internal void @interleave(ptr %source, i64 %source_row, ptr %target, "
        "i64 %target_row, i64 %rows, i64 %columns) #0"
    )
    lanes = tile.lanes
    with (
        code.loop("%columns", step=lanes) as column,
        code.loop("%rows", step=2) as row,
    ):
        mask = lanes_below(code, code.subtract("%columns", column.index), lanes)
        place = code.add(code.multiply(row.index, "%source_row"), column.index)
        low = code.at(WORD, "%source", place)
        whole = code.compare("slt", code.add(row.index, 1), "%rows")
        step = code.value(f"select i1 {whole}, i64 %source_row, i64 0")
        bits = f"<{lanes} x i1>"
        present = code.value(
            f"select i1 {whole}, {bits} {mask}, {bits} zeroinitializer"
        )
        words = [
            _masked_words(code, low, mask, lanes),
            _masked_words(code, code.at(WORD, low, step), present, lanes),
        ]
        pairs = _joined(code, tile, words[0], words[1])
        half = code.value(f"lshr i64 {row.index}, 1")
        there = code.add(code.multiply(half, "%target_row"), column.index)
        target = code.at("i32", "%target", there)
        code.do(f"store <{lanes} x i32> {pairs}, ptr {target}, align 4")
    code.do("ret void")
    return code.text()


def _turn(tile: PairTile) -> str:
    """Columns that are contiguous along the sum as rows of pairs, block by block."""
    code = Assembly(
        "define internal void @turn(ptr %source, i64 %source_row, ptr %target, "
        "i64 %target_row, i64 %columns, i64 %k) #0"
    )
    lanes = tile.lanes
    with (
        code.loop("%columns", step=lanes) as column,
        code.loop("%k", step=2 * lanes) as depth,
    ):
        last = code.subtract("%columns", code.add(column.index, 1))
        mask = lanes_below(code, code.subtract("%k", depth.index), 2 * lanes)
        source = code.multiply(column.index, "%source_row")
        source = code.at(WORD, "%source", code.add(source, depth.index))
        rows = []
        for number in range(lanes):
            near = code.smaller(last, number)
            here = code.at(WORD, source, code.multiply(near, "%source_row"))
            words = _masked_words(code, here, mask, 2 * lanes)
            rows.append(
                code.value(f"bitcast <{2 * lanes} x {WORD}> {words} to {tile.vector}")
            )
        half = code.value(f"lshr i64 {depth.index}, 1")
        there = code.add(code.multiply(half, "%target_row"), column.index)
        for number, value in enumerate(transposed(code, tile, rows)):
            line = code.add(there, code.multiply("%target_row", number))
            tile.store(code, value, code.at("float", "%target", line))
    code.do("ret void")
    return code.text()


_LEFT = (
    "ptr %a, i64 %a_row, i64 %a_wrap, i64 %a_k, i64 %run, i64 %first, i64 %rows, "
    "i64 %k, ptr %target"
)


def _pack_left() -> str:
    """Rows of A as columns of pairs: vectors of a transposed A, else one by one."""
    code = Assembly(f"define internal void @pack_left({_LEFT}) #0")
    unit = code.compare("eq", "%a_row", 1)
    within = code.compare("sle", code.add("%first", "%rows"), "%run")
    with code.when(code.value(f"and i1 {unit}, {within}"), leave=True):
        code.do(
            f"call void @interleave(ptr %a, i64 %a_k, ptr %target, i64 {PITCH}, "
            "i64 %k, i64 %rows)"
        )
    with code.loop("%rows", carried=[("ptr", "%a"), ("i64", "%first")]) as row:
        line, place = row.carried
        with code.loop("%k", step=2) as depth:
            here = code.at(WORD, line, code.multiply(depth.index, "%a_k"))
            whole = code.compare("slt", code.add(depth.index, 1), "%k")
            step = code.value(f"select i1 {whole}, i64 %a_k, i64 0")
            first, second = (
                code.value(f"load {WORD}, ptr {address}, align 2")
                for address in (here, code.at(WORD, here, step))
            )
            second = code.value(f"select i1 {whole}, {WORD} {second}, {WORD} 0")
            low, high = (
                code.value(f"zext {WORD} {word} to i32") for word in (first, second)
            )
            both = code.value(f"or i32 {low}, {code.value(f'shl i32 {high}, 16')}")
            half = code.value(f"lshr i64 {depth.index}, 1")
            there = code.add(code.multiply(half, PITCH), row.index)
            code.do(f"store i32 {both}, ptr {code.at('i32', '%target', there)}")
        place = code.add(place, 1)
        wraps = code.compare("eq", place, "%run")
        step = code.value(f"select i1 {wraps}, i64 %a_wrap, i64 %a_row")
        place = code.value(f"select i1 {wraps}, i64 0, i64 {place}")
        row.following = [code.at(WORD, line, step), place]
    code.do("ret void")
    return code.text()


# ---- drivers -------------------------------------------------------------------------


def _pairs_of(code: Assembly, k: str) -> str:
    """How many pairs hold `k` elements."""
    return code.value(f"lshr i64 {code.add(k, 1)}, 1")


def _batches_together(code: Assembly) -> str:
    """How many batches make a slab."""
    quotient = code.value(f"udiv i64 {DEPTH // 2}, {_pairs_of(code, '%k')}")
    some = code.compare("sgt", quotient, 0)
    return code.smaller(
        code.value(f"select i1 {some}, i64 {quotient}, i64 1"), "%batches"
    )


@dataclass
class PairDriver(Driver):
    """Cuts a product into panels and slabs, all packed: `copied` or `transposed`."""

    left: str = ""

    def emit(self) -> str:
        """The text of the function `gemm_<mode>`."""
        room = (DEPTH // 2 + self.tile.lanes) * self.tile.vectors * self.tile.lanes
        code = self.code
        self.buffer = code.value(f"alloca [{room} x i32], align 64")
        self.left = code.value(f"alloca [{DEPTH // 2 * PITCH} x i32], align 64")
        self.together = _batches_together(code)
        self.panels()
        code.do("ret void")
        return code.text()

    def slabs(self, column: str, width: str) -> None:
        """One panel: all batches and all of k, slab by slab."""
        code, lanes = self.code, self.tile.lanes
        left = code.subtract("%columns", column)
        full = code.multiply(code.subtract(width, 1), lanes)
        tail = code.smaller(code.subtract(left, full), lanes)
        turned = self.mode == "transposed"
        b = code.at(WORD, "%b", code.multiply(column, "%b_step" if turned else "1"))
        c = code.at("float", "%c", column)
        with (
            code.loop("%batches", step=self.together) as batch,
            code.loop("%k", step=DEPTH) as depth,
        ):
            count = code.smaller(code.subtract("%batches", batch.index), self.together)
            k = code.smaller(code.subtract("%k", depth.index), DEPTH)
            b_here = code.at(WORD, b, code.multiply(batch.index, "%b_batch"))
            step = code.multiply(depth.index, "1" if turned else "%b_step")
            right = self.packed(code.at(WORD, b_here, step), (width, tail, k, count))
            a = code.at(WORD, "%a", code.multiply(batch.index, "%a_batch"))
            a = code.at(WORD, a, code.multiply(depth.index, "%a_k"))
            accumulate = started(code, batch.index, depth.index)
            end = f"i64 {tail}, i1 {accumulate}"
            self._rows((a, c), (k, count), (width, tail), (*right, end))

    def packed(self, b: str, sizes: tuple[str, str, str, str]) -> tuple[str, str]:
        """Pack a slab; the panel's arguments for where B is and for its batches."""
        code = self.code
        width, tail, k, count = sizes
        row = code.multiply(width, self.tile.lanes)
        size = code.multiply(row, _pairs_of(code, k))
        columns = code.add(code.subtract(row, self.tile.lanes), tail)
        shape = f"i64 {k}, i64 {columns}"
        if self.mode == "transposed":
            shape = f"i64 {columns}, i64 {k}"
        pack = "turn" if self.mode == "transposed" else "interleave"
        with code.loop(count) as batch:
            source = code.at(WORD, b, code.multiply(batch.index, "%b_batch"))
            target = code.at("i32", self.buffer, code.multiply(batch.index, size))
            code.do(
                f"call void @{pack}(ptr {source}, i64 %b_step, ptr {target}, "
                f"i64 {row}, {shape})"
            )
        return f"ptr {self.buffer}, i64 {row}", f"i64 {size}"

    def _rows(
        self,
        places: tuple[str, str],
        sums: tuple[str, str],
        panel: tuple[str, str],
        right: tuple[str, str, str],
    ) -> None:
        """All rows of a panel: of an A that lies along k, or chunks of another."""
        code, (a, c), (k, count) = self.code, places, sums
        along = code.compare("eq", "%a_k", 1)
        along = code.value(f"and i1 {along}, {code.compare('sge', k, 2)}")
        direct, packs, after = (code.fresh(x) for x in ("direct", "pack", "after"))
        code.branch(along, direct, packs)
        code.start(direct)
        whole = code.value(f"lshr i64 {k}, 1")
        odd = code.value(f"trunc i64 {k} to i1")
        self.call_panel(
            *panel,
            f"ptr {a}, i64 %a_row, i64 %a_wrap, i64 2, {right[0]}, ptr {c}, "
            f"i64 %c_row, i64 %c_wrap, i64 %run, i64 %first, i64 %rows, i64 {whole}, "
            f"i64 {count}, i64 %a_batch, {right[1]}, {right[2]}, i1 {odd}",
        )
        code.go(after)
        code.start(packs)
        pairs = _pairs_of(code, k)
        size = code.multiply(pairs, PITCH)
        words = code.multiply(size, 2)
        with code.loop("%rows", step=CHUNK) as chunk:
            rows = code.smaller(code.subtract("%rows", chunk.index), CHUNK)
            first, steps = self._skip(chunk.index)
            a_here, c_here = code.at(WORD, a, steps[0]), code.at("float", c, steps[1])
            with code.loop(count) as batch:
                source = code.at(WORD, a_here, code.multiply(batch.index, "%a_batch"))
                target = code.at("i32", self.left, code.multiply(batch.index, size))
                code.do(
                    f"call void @pack_left(ptr {source}, i64 %a_row, i64 %a_wrap, "
                    f"i64 %a_k, i64 %run, i64 {first}, i64 {rows}, i64 {k}, "
                    f"ptr {target})"
                )
            self.call_panel(
                *panel,
                f"ptr {self.left}, i64 2, i64 2, i64 {2 * PITCH}, {right[0]}, "
                f"ptr {c_here}, i64 %c_row, i64 %c_wrap, i64 %run, i64 {first}, "
                f"i64 {rows}, i64 {pairs}, i64 {count}, i64 {words}, {right[1]}, "
                f"{right[2]}, i1 false",
            )
        code.go(after)
        code.start(after)

    def _skip(self, rows: str) -> tuple[str, list[str]]:
        """The place in its run of a row so far down, and how far A and C are there."""
        code = self.code
        place = code.add("%first", rows)
        runs = code.value(f"udiv i64 {place}, %run")
        first = code.value(f"urem i64 {place}, %run")
        steps = []
        for side in ("a", "c"):
            more = code.subtract(f"%{side}_wrap", f"%{side}_row")
            plain = code.multiply(rows, f"%{side}_row")
            steps.append(code.add(plain, code.multiply(runs, more)))
        return first, steps


def _exported(name: str, mode: str, step: str) -> str:
    code = Assembly(f"define void @{name}({DRIVER.replace('b_step', step)}) #0")
    begin(code, runs=True)
    code.do(f"call void @gemm_{mode}({DRIVER.replace('b_step', step)})")
    code.do("ret void")
    return code.text()


def emit_pairs(tile: PairTile) -> list[str]:
    """The exported products of pairs, and what they call."""
    widths = range(1, tile.vectors + 1)
    panels = [_panel(tile, vectors, str(vectors)) for vectors in widths]
    half = tile.half()
    if half is not None:
        panels.append(_panel(half, 1, "half"))
    drivers = [
        PairDriver(
            tile, mode, Assembly(f"define internal void @gemm_{mode}({DRIVER}) #0")
        ).emit()
        for mode in ("copied", "transposed")
    ]
    return [
        pair_declarations(tile),
        *panels,
        *drivers,
        _interleave(tile),
        _turn(tile),
        _pack_left(),
        zeros(tile),
        _exported("gemm_nn", "copied", "b_k"),
        _exported("gemm_nt_packed", "transposed", "b_column"),
    ]
