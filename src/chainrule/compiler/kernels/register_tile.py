"""The register tile: how much of a matrix product is held in vector registers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chainrule.compiler.kernels.assembly import Assembly

ROWS = 6  # of a full tile
NARROW_ROWS = 8  # of a tile narrower than the widest
THIN_VECTORS = 16  # in a tile of a single row, which reads long stretches of B


@dataclass(frozen=True)
class RegisterTile:
    """Sizes that follow from the element type and the machine's vector registers.

    Attributes:
        element: LLVM's name of the type, `float` or `double`.
        lanes: elements in a vector.
        rows: rows of a full tile of C.
        vectors: vectors in a row of a full tile of C.
        dot_rows: rows of a tile of dot products; their columns are `DOT_COLUMNS`.
        masks: whether a masked load costs no more than a plain one.
        narrow_rows: rows of a tile narrower than the widest, at least.
    """

    element: str
    lanes: int
    rows: int
    vectors: int
    dot_rows: int
    masks: bool
    narrow_rows: int = NARROW_ROWS

    @classmethod
    def of(
        cls, element: str, vector_bits: int, registers: int, masks: bool
    ) -> RegisterTile:
        """Choose the tile: accumulators, a row of B and a broadcast must fit."""
        lanes = vector_bits // (32 if element == "float" else 64)
        many = registers >= 32
        return cls(
            element,
            lanes,
            rows=ROWS,
            vectors=4 if many else 2,
            dot_rows=4 if many else 2,
            masks=masks,
        )

    def height(self, vectors: int) -> int:
        """Rows of a tile of so many vectors: narrow tiles are taller.

        As many sums must be under way as multiply-adds take cycles, times two.
        """
        return (
            self.rows if vectors == self.vectors else max(self.rows, self.narrow_rows)
        )

    def half(self) -> RegisterTile | None:
        """The tile for less than half a vector of columns, where it is faster.

        A machine with masks may work through two halves in the time of one vector.
        """
        if not self.masks:
            return None
        return replace(self, lanes=self.lanes // 2, rows=NARROW_ROWS, vectors=1)

    def thin(self) -> RegisterTile | None:
        """The tile for a single row, where there are registers for it.

        What takes the time is to read B: the longer the stretch of a row of B that is
        read at once, the better it can be fetched ahead.
        """
        if not self.masks or self.vectors < 4:
            return None
        return replace(self, rows=1, vectors=THIN_VECTORS, narrow_rows=1)

    @property
    def vector(self) -> str:
        """LLVM's name of the vector type."""
        return f"<{self.lanes} x {self.element}>"

    @property
    def size(self) -> int:
        """Bytes in an element, which plain loads and stores are aligned to."""
        return 4 if self.element == "float" else 8

    @property
    def suffix(self) -> str:
        """How intrinsics name the vector type."""
        return f"v{self.lanes}f{8 * self.size}"

    def load(self, code: Assembly, address: str) -> str:
        """A vector of neighbours."""
        return code.value(f"load {self.vector}, ptr {address}, align {self.size}")

    def store(self, code: Assembly, value: str, address: str) -> None:
        """Write a vector to neighbours."""
        code.do(f"store {self.vector} {value}, ptr {address}, align {self.size}")

    def masked_load(self, code: Assembly, address: str, mask: str) -> str:
        """A vector of which some lanes are read, the others are 0."""
        return code.value(
            f"call {self.vector} @llvm.masked.load.{self.suffix}.p0(ptr align "
            f"{self.size} {address}, i32 {self.size}, <{self.lanes} x i1> {mask}, "
            f"{self.vector} zeroinitializer)"
        )

    def masked_store(self, code: Assembly, value: str, address: str, mask: str) -> None:
        """Write some lanes of a vector."""
        code.do(
            f"call void @llvm.masked.store.{self.suffix}.p0({self.vector} {value}, "
            f"ptr align {self.size} {address}, i32 {self.size}, "
            f"<{self.lanes} x i1> {mask})"
        )

    def multiply_add(self, code: Assembly, left: str, right: str, addend: str) -> str:
        """left * right + addend, fused where the machine fuses."""
        vector = self.vector
        return code.value(
            f"call {vector} @llvm.fmuladd.{self.suffix}({vector} {left}, "
            f"{vector} {right}, {vector} {addend})"
        )

    def broadcast(self, code: Assembly, address: str) -> str:
        """A vector with one element in every lane."""
        vector, lanes = self.vector, self.lanes
        one = code.value(f"load {self.element}, ptr {address}, align {self.size}")
        seat = code.value(f"insertelement {vector} poison, {self.element} {one}, i64 0")
        return code.value(
            f"shufflevector {vector} {seat}, {vector} poison, "
            f"<{lanes} x i32> zeroinitializer"
        )

    def shuffle(self, code: Assembly, left: str, right: str, lanes: list[int]) -> str:
        """Pick lanes from two vectors put one after the other."""
        picks = ", ".join(f"i32 {lane}" for lane in lanes)
        return code.value(
            f"shufflevector {self.vector} {left}, {self.vector} {right}, "
            f"<{len(lanes)} x i32> <{picks}>"
        )


def declarations(tile: RegisterTile) -> str:
    """The intrinsics that kernels use, for vectors of all widths."""
    shorter = [replace(tile, lanes=4), tile.half() or tile]
    lines = []
    for kind in (tile, *shorter):
        vector, mask = kind.vector, f"<{kind.lanes} x i1>"
        lines += [
            f"declare {vector} @llvm.fmuladd.{kind.suffix}"
            f"({vector}, {vector}, {vector})",
            f"declare {vector} @llvm.masked.load.{kind.suffix}.p0"
            f"(ptr, i32, {mask}, {vector})",
            f"declare void @llvm.masked.store.{kind.suffix}.p0"
            f"({vector}, ptr, i32, {mask})",
        ]
    return "\n".join(dict.fromkeys(lines))


def lanes_below(code: Assembly, count: str, lanes: int) -> str:
    """A mask of the first `count` lanes; counts may exceed the lanes."""
    wide = f"<{lanes} x i32>"
    short = code.value(f"trunc i64 {code.smaller(count, lanes)} to i32")
    seat = code.value(f"insertelement {wide} poison, i32 {short}, i64 0")
    every = code.value(
        f"shufflevector {wide} {seat}, {wide} poison, {wide} zeroinitializer"
    )
    numbers = ", ".join(f"i32 {lane}" for lane in range(lanes))
    return code.value(f"icmp slt {wide} <{numbers}>, {every}")
