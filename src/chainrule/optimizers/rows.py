"""Updates of those rows of a table alone that a step used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainrule import functional, ops
from chainrule.autodiff.rows import RowGradient
from chainrule.functional.promotion import Tensor

Gradient = Tensor | RowGradient


@dataclass(frozen=True)
class Rows:
    """Which rows of a table are moved.

    Attributes:
        places: their numbers, each once, in rising order, and behind them the length of
            the table, as often as it takes to fill up.
        length: how many rows the table has.
    """

    places: Tensor
    length: int

    def read(self, table: Tensor) -> Tensor:
        """These rows of a table; whatever where it is filled up."""
        inside = functional.minimum(self.places, self.length - 1)
        return functional.take(table, inside, axis=0)

    def write(self, table: Tensor, rows: Tensor) -> Tensor:
        """The table with these rows; what is filled up is put nowhere."""
        changed: Tensor = ops.put_rows(table, self.places, rows)
        return changed


def numbers(gradient: Gradient) -> Tensor:
    """All numbers of a gradient that may not be 0."""
    return gradient.values if isinstance(gradient, RowGradient) else gradient


def merged(
    gradients: Sequence[Gradient],
) -> tuple[list[Rows | None], list[Tensor]]:
    """For each parameter the rows that are moved, or None, and what moves them."""
    rows: list[Rows | None] = []
    sums: list[Tensor] = []
    for gradient in gradients:
        found: Any = None, gradient
        if isinstance(gradient, RowGradient):
            found = merge(gradient)
        rows.append(found[0])
        sums.append(found[1])
    return rows, sums


def merge(gradient: RowGradient) -> tuple[Rows, Tensor]:
    """The rows of a gradient, and for each the sum of what comes to it.

    Sums are made in the order in which the rows were read, as those of a gradient that
    is not kept by rows. The work is that for `n * log(n)` numbers and n rows, where n
    rows were read, however long the table is.

    Example:
        >>> ids = functional.asarray([5, 2, 5])
        >>> values = functional.asarray([[1.0], [2.0], [4.0]])
        >>> rows, sums = merge(RowGradient(ids, values, (9, 1)))
        >>> rows.places.tolist(), sums.tolist()
        ([2, 5, 9], [[2.0], [5.0], [0.0]])
    """
    length, count = gradient.shape[0], gradient.indices.shape[0]
    if not count:
        return Rows(gradient.indices, length), gradient.values
    ids = functional.where(
        gradient.indices < 0, gradient.indices + length, gradient.indices
    )
    order = functional.argsort(ids)
    ordered = functional.take(ids, order, axis=0)
    begins = functional.astype(ordered[1:] != ordered[:-1], "int64")
    number = functional.concat([functional.zeros(1, dtype="int64"), begins])
    number = functional.cumulative_sum(number)
    most = min(length, count)
    nowhere: Any = functional.full((most,), length, dtype="int64")
    places = ops.put_rows(nowhere, number, ordered)
    # the same numbers in the order in which the rows were read
    target = ops.put_rows(functional.zeros_like(order), order, number)
    zeros = functional.zeros((most, *gradient.shape[1:]), dtype=gradient.dtype)
    sums = ops.scatter_add(zeros, target, gradient.values, axis=0)
    return Rows(places, length), sums
