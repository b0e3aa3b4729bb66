"""LLVM assembly written as text: names, blocks, and loops that carry values.

Text is some ten times faster to make than objects of `llvmlite.ir`, which counts for
modules of thousands of instructions whose hash is taken at every start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Loop:
    """A running loop: its index, what it carries, and what the next turn carries.

    `step` may be set to a value that the body computes.
    """

    index: str
    carried: list[str]
    step: str | int
    following: list[str] = field(default_factory=list)


class Assembly:
    """The body of one function under construction.

    Example:
        >>> code = Assembly("define i64 @twice(i64 %x)")
        >>> doubled = code.value("add i64 %x, %x")
        >>> code.do(f"ret i64 {doubled}")
        >>> print(code.text())
        define i64 @twice(i64 %x) {
        entry:
          %v1 = add i64 %x, %x
          ret i64 %v1
        }
    """

    def __init__(self, signature: str) -> None:
        self.lines = [f"{signature} {{"]
        self.block = ""
        self._count = 0
        self.start("entry")

    def fresh(self, prefix: str) -> str:
        """A name that no other value or block of the function has."""
        self._count += 1
        return f"{prefix}{self._count}"

    def value(self, instruction: str) -> str:
        """Append an instruction; its result's name."""
        name = self.fresh("%v")
        self.lines.append(f"  {name} = {instruction}")
        return name

    def do(self, instruction: str) -> None:
        """Append an instruction without a result."""
        self.lines.append(f"  {instruction}")

    def start(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.block = label

    def go(self, label: str) -> None:
        """Jump."""
        self.do(f"br label %{label}")

    def branch(self, condition: str, yes: str, no: str) -> None:
        """Jump to one of two blocks."""
        self.do(f"br i1 {condition}, label %{yes}, label %{no}")

    def add(self, left: str, right: str | int) -> str:
        """left + right, as i64."""
        return self.value(f"add i64 {left}, {right}")

    def subtract(self, left: str | int, right: str | int) -> str:
        """left - right, as i64."""
        return self.value(f"sub i64 {left}, {right}")

    def multiply(self, left: str, right: str | int) -> str:
        """left * right, as i64."""
        return self.value(f"mul i64 {left}, {right}")

    def compare(self, relation: str, left: str, right: str | int) -> str:
        """`icmp` of two i64."""
        return self.value(f"icmp {relation} i64 {left}, {right}")

    def smaller(self, left: str, right: str | int) -> str:
        """min(left, right), as i64."""
        less = self.compare("slt", left, right)
        return self.value(f"select i1 {less}, i64 {left}, i64 {right}")

    def at(self, kind: str, pointer: str, index: str | int) -> str:
        """The address of an element."""
        return self.value(f"getelementptr {kind}, ptr {pointer}, i64 {index}")

    @contextmanager
    def loop(
        self,
        end: str | int,
        step: str | int = 1,
        carried: Sequence[tuple[str, str]] = (),
    ) -> Iterator[Loop]:
        """Count from 0 while below `end`; the body runs at least once.

        `carried` are pairs of type and first value; the body sets `following`. After
        the loop, `following` holds the last values.
        """
        before, head = self.block, self.fresh("loop")
        self.go(head)
        self.start(head)
        loop = Loop(self.fresh("%i"), [self.fresh("%c") for _ in carried], step)
        first = len(self.lines)
        self.lines.extend([""] * (1 + len(carried)))
        yield loop
        index = self.add(loop.index, loop.step)
        again, after = self.compare("slt", index, end), self.fresh("after")
        self.branch(again, head, after)
        rows = [("i64", loop.index, "0", index)]
        for (kind, start), name, last in zip(
            carried, loop.carried, loop.following, strict=True
        ):
            rows.append((kind, name, start, last))
        for line, (kind, name, start, last) in enumerate(rows, first):
            arms = f"[ {start}, %{before} ], [ {last}, %{self.block} ]"
            self.lines[line] = f"  {name} = phi {kind} {arms}"
        self.start(after)

    @contextmanager
    def when(self, condition: str, leave: bool = False) -> Iterator[None]:
        """Run the body only where the condition holds; `leave` returns after it."""
        yes, after = self.fresh("then"), self.fresh("after")
        self.branch(condition, yes, after)
        self.start(yes)
        yield
        if leave:
            self.do("ret void")
        else:
            self.go(after)
        self.start(after)

    def text(self) -> str:
        """The whole function."""
        return "\n".join([*self.lines, "}"])
