"""Matrix products with both operands contiguous along k: dot products.

A tile holds one vector of partial sums for each of its elements of C; lane l sums the
products at l, l + V, l + 2V, ... The lanes are added up by a tree that does so for many
elements at once and has the same shape for each of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.compiler.kernels.assembly import Assembly
from chainrule.compiler.kernels.gemm_driver import begin
from chainrule.compiler.kernels.register_tile import RegisterTile, lanes_below

DOT_COLUMNS = 4

_SIGNATURE = (
    "define void @gemm_nt(ptr %a, i64 %a_row, ptr %b, i64 %b_column, ptr %c, "
    "i64 %c_row, i64 %rows, i64 %columns, i64 %k, i64 %batches, i64 %a_batch, "
    "i64 %b_batch) #0"
)


@dataclass
class DotProducts:
    """Emits the function `gemm_nt`."""

    tile: RegisterTile
    code: Assembly = field(default_factory=lambda: Assembly(_SIGNATURE))

    def emit(self) -> str:
        """The text of the function."""
        code = self.code
        begin(code, runs=False)
        rest = code.value(f"urem i64 %k, {self.tile.lanes}")
        self.whole = code.subtract("%k", rest)
        self.has_whole = code.compare("sgt", self.whole, 0)
        self.has_rest = code.compare("sgt", rest, 0)
        self.mask = lanes_below(code, rest, self.tile.lanes)
        self.last_row = code.subtract("%rows", 1)
        self.last_column = code.subtract("%columns", 1)
        with (
            code.loop("%rows", step=self.tile.dot_rows) as row,
            code.loop("%columns", step=DOT_COLUMNS) as column,
        ):
            self.tile_at(row.index, column.index)
        code.do("ret void")
        return code.text()

    def lines(
        self, base: str, first: str, count: int, limits: tuple[str, str]
    ) -> list[str]:
        """Where rows of an operand begin; past the last they are the last again."""
        code, (last, stride) = self.code, limits
        result = []
        for number in range(count):
            row = code.smaller(code.add(first, number), last)
            result.append(code.at(self.tile.element, base, code.multiply(row, stride)))
        return result

    def tile_at(self, row: str, column: str) -> None:
        """Compute one tile of C."""
        tile = self.tile
        a = self.lines("%a", row, tile.dot_rows, (self.last_row, "%a_row"))
        b = self.lines("%b", column, DOT_COLUMNS, (self.last_column, "%b_column"))
        sums = self.sum_batches(a, b)
        self.store(row, column, self.add_lanes(sums))

    def sum_batches(self, a: list[str], b: list[str]) -> list[str]:
        """The partial sums over all batches."""
        code, vector, tile = self.code, self.tile.vector, self.tile
        count = tile.dot_rows * DOT_COLUMNS
        carried = [("i64", "0"), ("i64", "0"), *[(vector, "zeroinitializer")] * count]
        with code.loop("%batches", carried=carried) as batch:
            a_offset, b_offset, *sums = batch.carried
            a_here = [code.at(tile.element, line, a_offset) for line in a]
            b_here = [code.at(tile.element, line, b_offset) for line in b]
            sums = self.sum_whole(a_here, b_here, sums)
            sums = self.sum_rest(a_here, b_here, sums)
            batch.following = [
                code.add(a_offset, "%a_batch"),
                code.add(b_offset, "%b_batch"),
                *sums,
            ]
        return batch.following[2:]

    def joined(self, after: str, arms: list[tuple[str, list[str]]]) -> list[str]:
        """Sums that come from one of two blocks."""
        code, vector = self.code, self.tile.vector
        code.go(after)
        code.start(after)
        (first, left), (second, right) = arms
        return [
            code.value(f"phi {vector} [ {x}, %{first} ], [ {y}, %{second} ]")
            for x, y in zip(left, right, strict=True)
        ]

    def sum_whole(self, a: list[str], b: list[str], sums: list[str]) -> list[str]:
        """Add the products of whole vectors along k."""
        code, vector = self.code, self.tile.vector
        before, body, after = code.block, code.fresh("whole"), code.fresh("after")
        code.branch(self.has_whole, body, after)
        code.start(body)
        carried = [(vector, value) for value in sums]
        with code.loop(self.whole, step=self.tile.lanes, carried=carried) as step:
            a_step = [code.at(self.tile.element, line, step.index) for line in a]
            b_step = [code.at(self.tile.element, line, step.index) for line in b]
            left = [self.tile.load(code, address) for address in a_step]
            right = [self.tile.load(code, address) for address in b_step]
            step.following = self.products(left, right, step.carried)
        return self.joined(after, [(before, sums), (code.block, step.following)])

    def sum_rest(self, a: list[str], b: list[str], sums: list[str]) -> list[str]:
        """Add the products of the last, short vector along k."""
        code, tile = self.code, self.tile
        before, body, after = code.block, code.fresh("rest"), code.fresh("after")
        code.branch(self.has_rest, body, after)
        code.start(body)
        a_rest = [code.at(tile.element, line, self.whole) for line in a]
        b_rest = [code.at(tile.element, line, self.whole) for line in b]
        left = [tile.masked_load(code, address, self.mask) for address in a_rest]
        right = [tile.masked_load(code, address, self.mask) for address in b_rest]
        total = self.products(left, right, sums)
        return self.joined(after, [(before, sums), (body, total)])

    def products(self, a: list[str], b: list[str], sums: list[str]) -> list[str]:
        """Add every vector of A times every vector of B."""
        pairs = [(left, right) for left in a for right in b]
        return [
            self.tile.multiply_add(self.code, left, right, total)
            for (left, right), total in zip(pairs, sums, strict=True)
        ]

    def add_lanes(self, sums: list[str]) -> list[str]:
        """For each row of the tile, the totals of its columns in a short vector."""
        tile, code = self.tile, self.code
        vectors, width = sums, tile.lanes
        while width > 1:
            width //= 2
            low = [n for n in range(2 * tile.lanes) if not n & width]
            high = [n + width for n in low]
            # Where the vectors are used up, the other half repeats and is ignored.
            seconds = vectors[1::2] or vectors
            vectors = [
                code.value(
                    f"fadd {tile.vector} {tile.shuffle(code, x, y, low)}, "
                    f"{tile.shuffle(code, x, y, high)}"
                )
                for x, y in zip(vectors[::2], seconds, strict=True)
            ]
        totals = []
        for row in range(tile.dot_rows):
            first, offset = divmod(row * DOT_COLUMNS, tile.lanes)
            second = min(first + 1, len(vectors) - 1)
            lanes = list(range(offset, offset + DOT_COLUMNS))
            pair = vectors[first], vectors[second]
            totals.append(tile.shuffle(code, *pair, lanes))
        return totals

    def store(self, row: str, column: str, totals: list[str]) -> None:
        """Write the tile, without what lies outside of C."""
        code, element = self.code, self.tile.element
        kind, size = f"<{DOT_COLUMNS} x {element}>", self.tile.size
        name = f"v{DOT_COLUMNS}f{8 * size}"
        left = code.subtract("%columns", column)
        mask = lanes_below(code, left, DOT_COLUMNS)
        full = code.compare("sge", left, DOT_COLUMNS)
        for number, total in enumerate(totals):
            line = code.add(row, number)
            with code.when(code.compare("slt", line, "%rows")):
                target = code.add(code.multiply(line, "%c_row"), column)
                target = code.at(element, "%c", target)
                plain, masked, after = (code.fresh(x) for x in ("plain", "part", "end"))
                code.branch(full, plain, masked)
                code.start(plain)
                code.do(f"store {kind} {total}, ptr {target}, align {size}")
                code.go(after)
                code.start(masked)
                code.do(
                    f"call void @llvm.masked.store.{name}.p0({kind} {total}, ptr align "
                    f"{size} {target}, i32 {size}, <{DOT_COLUMNS} x i1> {mask})"
                )
                code.go(after)
                code.start(after)


def emit_dot_products(tile: RegisterTile) -> str:
    """The exported `gemm_nt`."""
    return DotProducts(tile).emit()
