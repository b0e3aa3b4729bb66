"""Matrix products with B contiguous along columns: tiles of C in registers.

A panel is a few vectors of columns of C. Its function walks down the rows in full tiles
and ends with one tile of what rows are left. Every element of C is one chain of
multiply-adds in the order of k, whatever the tile it lies in.

Rows come in runs: within a run the next row is `row` elements away, at its end `wrap`.
So the pixels of a picture under one tap of a convolution are rows, where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from chainrule.compiler.kernels.assembly import Assembly
from chainrule.compiler.kernels.register_tile import RegisterTile, lanes_below

# Steps of k after which the accumulators go to memory, so that the slab of B that a
# panel walks through again and again stays in the cache nearest but one.
DEPTH = 512

PANEL = (
    "ptr %a, i64 %a_row, i64 %a_wrap, i64 %a_k, ptr %b, i64 %b_k, ptr %c, "
    "i64 %c_row, i64 %c_wrap, i64 %run, i64 %first, i64 %rows, i64 %k, "
    "i64 %batches, i64 %a_batch, i64 %b_batch, i64 %tail, i1 %accumulate"
)


class Rows(NamedTuple):
    """Where a row is: in A, in C, and its place in its run."""

    a: str
    c: str
    place: str


@dataclass
class Panel:
    """Emits the function of panels of one width.

    `%first` is the place of the first row in its run.

    Attributes:
        tile: the machine's register tile.
        vectors: width of the panel.
        code: the function under construction.
        mask: the lanes of the last vector that are columns of C.
        left: the type that elements of A are counted in; that of C unless another.
    """

    tile: RegisterTile
    vectors: int
    code: Assembly
    mask: str = ""
    left: str = ""

    def emit(self) -> str:
        """The text of the function."""
        code, rows = self.code, self.tile.height(self.vectors)
        self.left = self.left or self.tile.element
        self.mask = lanes_below(code, "%tail", self.tile.lanes)
        self.whole = code.compare("eq", "%tail", self.tile.lanes)
        rest = code.value(f"urem i64 %rows, {rows}")
        full = code.subtract("%rows", rest)
        start = Rows("%a", "%c", "%first")
        before, has_full, tails = code.block, code.fresh("full"), code.fresh("tails")
        code.branch(code.compare("sgt", full, 0), has_full, tails)
        code.start(has_full)
        carried = [("ptr", start.a), ("ptr", start.c), ("i64", start.place)]
        with code.loop(full, step=rows, carried=carried) as loop:
            after = self.tile_at(Rows(*loop.carried), rows)
            loop.following = [after.a, after.c, after.place]
        code.go(tails)
        last = code.block
        code.start(tails)
        start = Rows(
            *(
                code.value(f"phi {kind} [ {x}, %{before} ], [ {y}, %{last} ]")
                for (kind, x), y in zip(carried, loop.following, strict=True)
            )
        )
        labels = {row: code.fresh("rows") for row in range(1, rows)}
        arms = " ".join(f"i64 {row}, label %{name}" for row, name in labels.items())
        code.do(f"switch i64 {rest}, label %done [{arms}]")
        for row, name in labels.items():
            code.start(name)
            self.tile_at(start, row)
            code.go("done")
        code.start("done")
        code.do("ret void")
        return code.text()

    def next_row(self, rows: Rows, offset: str) -> tuple[Rows, str]:
        """The row below, and how far its A is from that of `rows`, given its own."""
        code = self.code
        place = code.add(rows.place, 1)
        wraps = code.compare("eq", place, "%run")
        steps = [
            code.value(f"select i1 {wraps}, i64 %{side}_wrap, i64 %{side}_row")
            for side in ("a", "c")
        ]
        c = code.at(self.tile.element, rows.c, steps[1])
        place = code.value(f"select i1 {wraps}, i64 0, i64 {place}")
        return Rows(rows.a, c, place), code.add(offset, steps[0])

    def tile_at(self, start: Rows, rows: int) -> Rows:
        """Compute `rows` rows of C from `start` on; where the next begin."""
        code, element = self.code, self.tile.element
        line, offset = start, "0"
        self.offsets, lines = [], []
        for _ in range(rows):
            self.offsets.append(offset)
            lines.append(line.c)
            line, offset = self.next_row(line, offset)
        targets = [
            [code.at(element, line, v * self.tile.lanes) for v in range(self.vectors)]
            for line in lines
        ]
        sums = self.sum_batches(start.a, rows, self.initial(targets))
        self.store(targets, sums)
        return Rows(code.at(self.left, start.a, offset), line.c, line.place)

    def initial(self, targets: list[list[str]]) -> list[str]:
        """Zeros, or the sums so far, read from C."""
        code, tile = self.code, self.tile
        before, reads, after = code.block, code.fresh("read"), code.fresh("sum")
        code.branch("%accumulate", reads, after)
        code.start(reads)
        values = []
        for line in targets:
            values += [tile.load(code, address) for address in line[:-1]]
            values.append(tile.masked_load(code, line[-1], self.mask))
        code.go(after)
        code.start(after)
        return [
            code.value(
                f"phi {tile.vector} [ zeroinitializer, %{before} ], "
                f"[ {value}, %{reads} ]"
            )
            for value in values
        ]

    def sum_batches(self, a: str, rows: int, sums: list[str]) -> list[str]:
        """Add the products of all batches."""
        code, element = self.code, self.tile.element
        carried = [("ptr", a), ("ptr", "%b")]
        carried += [(self.tile.vector, value) for value in sums]
        with code.loop("%batches", carried=carried) as batch:
            a_now, b_now, *values = batch.carried
            self.at_batch(batch.index)
            with code.loop(
                "%k",
                carried=[
                    ("ptr", a_now),
                    ("ptr", b_now),
                    *((self.tile.vector, value) for value in values),
                ],
            ) as step:
                a_step, b_step, *values = step.carried
                self.at_step(step.index)
                step.following = [
                    code.at(element, a_step, "%a_k"),
                    code.at(element, b_step, "%b_k"),
                    *self.outer_product(a_step, b_step, rows, values),
                ]
            batch.following = [
                code.at(element, a_now, "%a_batch"),
                code.at(element, b_now, "%b_batch"),
                *step.following[2:],
            ]
        return batch.following[2:]

    def at_batch(self, index: str) -> None:
        """What else is done at the beginning of a batch."""

    def at_step(self, index: str) -> None:
        """What else is done at a step of k."""

    def outer_product(self, a: str, b: str, rows: int, sums: list[str]) -> list[str]:
        """Add a column of A times a row of B."""
        code, tile = self.code, self.tile
        line = []
        for vector in range(self.vectors):
            address = code.at(tile.element, b, vector * tile.lanes)
            if tile.masks and vector == self.vectors - 1:
                line.append(tile.masked_load(code, address, self.mask))
            else:
                line.append(tile.load(code, address))
        result = []
        for row in range(rows):
            address = code.at(tile.element, a, self.offsets[row])
            left = tile.broadcast(code, address)
            for vector in range(self.vectors):
                total = sums[row * self.vectors + vector]
                result.append(tile.multiply_add(code, left, line[vector], total))
        return result

    def store(self, targets: list[list[str]], sums: list[str]) -> None:
        """Write the tile to C."""
        code, tile = self.code, self.tile
        last = []
        for number, line in enumerate(targets):
            values = sums[number * self.vectors : (number + 1) * self.vectors]
            for value, address in zip(values[:-1], line[:-1], strict=True):
                tile.store(code, value, address)
            last.append((values[-1], line[-1]))
        if tile.masks:
            for value, address in last:
                tile.masked_store(code, value, address, self.mask)
            return
        plain, masked, after = (code.fresh(x) for x in ("plain", "masked", "after"))
        code.branch(self.whole, plain, masked)
        code.start(plain)
        for value, address in last:
            tile.store(code, value, address)
        code.go(after)
        code.start(masked)
        for value, address in last:
            tile.masked_store(code, value, address, self.mask)
        code.go(after)
        code.start(after)


def _panel(tile: RegisterTile, vectors: int, name: str) -> str:
    signature = f"define internal void @panel_{name}({PANEL}) #0"
    return Panel(tile, vectors, Assembly(signature)).emit()


def emit_panels(tile: RegisterTile) -> list[str]:
    """Functions for panels of half a vector and of 1 to `tile.vectors` vectors.

    And for those of a single row, which are wider.
    """
    half = tile.half()
    widths = range(1, tile.vectors + 1)
    found = [_panel(tile, vectors, str(vectors)) for vectors in widths]
    if half is not None:
        found.append(_panel(half, 1, "half"))
    thin = tile.thin()
    if thin is not None:
        widths = range(1, thin.vectors + 1)
        found += [_panel(thin, vectors, f"thin_{vectors}") for vectors in widths]
    return found
