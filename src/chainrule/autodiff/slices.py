"""Cotangents of slices that meet at the value they were cut from.

The cotangent of a slice is surrounded by zeros. Added up, those of many slices of one
value would cost as many sums of the whole; side by side, they are that sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff.rows import Rows
from chainrule.ir.spec import Spec
from chainrule.ir.trace import constant
from chainrule.ir.value import Node, Value
from chainrule.ops import add, broadcast_to, concatenate


@dataclass(frozen=True)
class _Piece:
    """A cotangent that is zero outside a range of one axis.

    Attributes:
        axis: along which it is zero outside.
        start: where the range begins.
        inside: the cotangent within the range.
        whole: the cotangent.
    """

    axis: int
    start: int
    inside: Any
    whole: Any

    @property
    def stop(self) -> int:
        """Where the range ends."""
        return self.start + int(self.inside.spec.shape[self.axis])


class Slices:
    """The sum of cotangents of slices along one axis.

    Args:
        first: the first of them.
    """

    def __init__(self, first: _Piece) -> None:
        self.axis = first.axis
        self.pieces = [first]

    def takes(self, piece: _Piece | None) -> bool:
        """Whether `piece` can stand beside those that are here."""
        return (
            piece is not None
            and piece.axis == self.axis
            and all(
                piece.stop <= other.start or other.stop <= piece.start
                for other in self.pieces
            )
        )

    def total(self) -> Any:
        """The sum, as one value."""
        first = self.pieces[0]
        full = (piece for piece in self.pieces if piece.start < piece.stop)
        pieces = sorted(full, key=lambda piece: piece.start)
        if len(self.pieces) == 1 or not pieces:
            return first.whole
        whole = first.whole.spec
        parts, place = [], 0
        for piece in pieces:
            if piece.start > place:
                parts.append(self._gap(whole, piece.start - place))
            parts.append(piece.inside)
            place = piece.stop
        if place < whole.shape[self.axis]:
            parts.append(self._gap(whole, whole.shape[self.axis] - place))
        return concatenate(*parts, axis=self.axis)

    def _gap(self, whole: Spec, length: int) -> Any:
        shape = list(whole.shape)
        shape[self.axis] = length
        return broadcast_to(constant(0, dtype=whole.dtype), shape=tuple(shape))


def piece_of(cotangent: Any) -> _Piece | None:
    """The cotangent of a slice along one axis; None for any other."""
    node = getattr(cotangent, "node", None)
    if not isinstance(node, Node) or node.primitive.name != "pad":
        return None
    low, high, interior = (node.params[key] for key in ("low", "high", "interior"))
    fill = node.inputs[1].data
    around = [axis for axis in range(len(low)) if low[axis] or high[axis]]
    plain = not any(interior) and min((*low, *high), default=0) >= 0
    if len(around) != 1 or not plain or fill is None or np.any(fill):
        return None
    (axis,) = around
    return _Piece(axis, low[axis], node.inputs[0], cotangent)


def met(present: Any, cotangent: Any) -> Any:
    """The sum of what was there, or None, and one more; slices stay side by side."""
    if isinstance(present, Rows):
        present = present.total().dense()
    piece = piece_of(cotangent)
    if present is None:
        return cotangent if piece is None else Slices(piece)
    if isinstance(present, Slices):
        if present.takes(piece):
            assert piece is not None
            present.pieces.append(piece)
            return present
        present = present.total()
    return add(present, cotangent)


def met_rows(present: Any, table: Value, indices: Any, rows: Any) -> Any:
    """The sum of what was there, or None, and of rows that were taken from `table`."""
    if isinstance(present, Rows):
        present.add(indices, rows)
        return present
    total = Rows(table)
    total.add(indices, rows)
    return total if present is None else met(present, total.total().dense())


def value_of(total: Any) -> Any:
    """A sum as one value, or by rows."""
    return total.total() if isinstance(total, (Slices, Rows)) else total
