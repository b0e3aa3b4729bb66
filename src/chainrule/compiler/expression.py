"""Scalar expressions: what a kernel computes at one point of its loop nest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from chainrule.compiler.index import Axis, Index
from chainrule.ir.dtype import DType


@dataclass(frozen=True, eq=False, slots=True)
class Expression:
    """A node of an expression. Equal expressions of one `Pool` are one object.

    Attributes:
        kind: `load`, `number`, `position`, `local`, or the name of a primitive.
        dtype: the dtype of its value.
        inputs: what it is computed from.
        detail: the buffer and index of a load, the number, the index of a position, the
            name of a local, or the parameters of an operation.
        axes: the loop variables that it depends on.
    """

    kind: str
    dtype: DType
    inputs: tuple[Expression, ...]
    detail: Any
    axes: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a load reads.

    Attributes:
        buffer: the number of the buffer among the kernel's arguments.
        offset: in elements.
    """

    buffer: int
    offset: Index


@dataclass(frozen=True, slots=True)
class Local:
    """A value made by an earlier stage of the kernel, such as the sum over a row."""

    name: str


def in_order(
    expression: Expression, is_known: Callable[[Expression], bool]
) -> Iterator[Expression]:
    """`expression` and what it is computed from, inputs first.

    What is known is left out; the caller makes each known before asking for the next.
    """
    stack = [(expression, False)]
    while stack:
        part, is_ready = stack.pop()
        if is_known(part):
            continue
        if is_ready:
            yield part
            continue
        stack.append((part, True))
        stack.extend((source, False) for source in reversed(part.inputs))


class Pool:
    """Makes expressions, each once."""

    def __init__(self) -> None:
        self._known: dict[Any, Expression] = {}

    def __len__(self) -> int:
        return len(self._known)

    def make(
        self,
        kind: str,
        dtype: DType,
        inputs: tuple[Expression, ...] = (),
        detail: Any = None,
        axes: tuple[Axis, ...] = (),
    ) -> Expression:
        """The expression with these parts; `axes` are those of `detail`."""
        key = (kind, dtype.name, tuple(map(id, inputs)), detail, axes)
        found = self._known.get(key)
        if found is None:
            every = dict.fromkeys(axes)
            for part in inputs:
                every.update(dict.fromkeys(part.axes))
            found = Expression(kind, dtype, inputs, detail, tuple(every))
            self._known[key] = found
        return found

    def number(self, value: Any, dtype: DType) -> Expression:
        """A constant; `value` is a Python number."""
        return self.make(
            "number", dtype, detail=(type(value).__name__, repr(value), value)
        )

    def load(
        self,
        buffer: int,
        offset: Index,
        dtype: DType,
        condition: Expression | None = None,
    ) -> Expression:
        """The element of a buffer; nothing is read where `condition` fails."""
        axes = tuple(dict.fromkeys(offset.axes()))
        inputs = () if condition is None else (condition,)
        return self.make("load", dtype, inputs, Place(buffer, offset), axes)

    def position(self, index: Index, dtype: DType) -> Expression:
        """An index as a number."""
        axes = tuple(dict.fromkeys(index.axes()))
        return self.make("position", dtype, (), index, axes)

    def local(self, name: str, dtype: DType, axes: tuple[Axis, ...]) -> Expression:
        """The result of an earlier stage, which depends on these axes."""
        return self.make("local", dtype, (), Local(name), axes)
