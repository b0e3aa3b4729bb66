"""Where the batches of an epoch come from, as chunks that the native loop runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from chainrule.compiler import random_orders
from chainrule.training.data import Array

AT_ONCE = 16  # orders of epochs that are drawn together
ROWS_AT_ONCE = 1 << 16
PASSES_AT_ONCE = 1 << 20  # rows of all epochs that are run in one native call


@dataclass(frozen=True)
class Chunk:
    """Rows in memory, and which of them make the next steps.

    Attributes:
        data: a tree of arrays, rows in front.
        order: the numbers of the rows, step after step; of several epochs, a line each.
        batch_size: rows of a step; the last step may have fewer.
    """

    data: Any
    order: Array
    batch_size: int


class Source(Protocol):
    """Batches, epoch by epoch.

    Attributes:
        rows: rows of an epoch; None where nobody knows.
        steps: batches of an epoch; None where nobody knows.
        continues: whether an epoch begins where the one before it ended.
    """

    rows: int | None
    steps: int | None
    continues: bool

    def epoch(self, number: int) -> Iterator[Chunk]:
        """The chunks of an epoch, counted from 0."""

    def passes(self, first: int, most: int) -> Chunk | None:
        """Several epochs at once, with an order for each; None where there are none.

        Args:
            first: the first epoch.
            most: how many are wanted at most; 0 to see what they would be like.
        """

    def close(self) -> None:
        """Let go of what was held, such as threads."""


class ArraySource:
    """Arrays in memory: one chunk an epoch, in an order of its own.

    Args:
        data: a tree of arrays, rows in front.
        rows: how many rows there are, or the numbers of those to use.
        batch_size: rows of a step.
        key: decides the order of the rows; None for the order in which they stand.
        steps: how many batches make an epoch; all of them where None. With fewer, the
            next epoch goes on where this one stopped; with more, it passes over the
            data again, in another order.

    Example:
        >>> source = ArraySource({"x": np.arange(5)}, 5, 2, steps=2)
        >>> [[c.order.tolist() for c in source.epoch(n)] for n in range(2)]
        [[[0, 1, 2, 3]], [[4], [0, 1]]]
    """

    def __init__(
        self,
        data: Any,
        rows: int | Array,
        batch_size: int,
        key: Any = None,
        steps: int | None = None,
    ) -> None:
        self.data = data
        self.continues = False
        self.batch_size = batch_size
        self.key = None if key is None else tuple(key.numpy().tolist())
        self._orders: dict[int, Array] = {}
        self._among = None if isinstance(rows, int) else rows
        self._whole = rows if isinstance(rows, int) else len(rows)
        self._per_pass = -(-self._whole // batch_size)
        self.steps: int | None = steps or self._per_pass
        self.rows: int | None = self._whole
        if self.steps != self._per_pass:
            passes, rest = divmod(self.steps, self._per_pass)
            self.rows = passes * self._whole + rest * batch_size

    def epoch(self, number: int) -> Iterator[Chunk]:
        """The rows of an epoch."""
        assert self.steps is not None
        if self.steps == self._per_pass:
            yield Chunk(self.data, self._order(number), self.batch_size)
            return
        first, left = number * self.steps, self.steps
        while left:
            turn, batch = divmod(first, self._per_pass)
            taken = min(left, self._per_pass - batch)
            start, size = batch * self.batch_size, taken * self.batch_size
            order = self._order(turn)[start : start + size]
            yield Chunk(self.data, order, self.batch_size)
            first, left = first + taken, left - taken

    def _order(self, turn: int) -> Array:
        if turn not in self._orders:
            # several at once: for few rows, each call of NumPy costs more than its work
            count = max(1, min(AT_ONCE, ROWS_AT_ONCE // max(self._whole, 1)))
            turns = range(turn, turn + count)
            found = epoch_orders(self.key, turns, self._whole)
            self._orders = dict(zip(turns, found, strict=True))
        order = self._orders[turn]
        return order if self._among is None else self._among[order]

    def passes(self, first: int, most: int) -> Chunk | None:
        """Several epochs at once, where each is one pass over the data."""
        if self.steps != self._per_pass:
            return None
        count = min(most, max(1, PASSES_AT_ONCE // max(self._whole, 1)))
        orders = epoch_orders(self.key, range(first, first + count), self._whole)
        if self._among is not None:
            orders = self._among[orders]
        return Chunk(self.data, orders, self.batch_size)

    def close(self) -> None:
        """Nothing is held."""


def epoch_order(key: tuple[int, int] | None, epoch: int, rows: int) -> Array:
    """The order of the rows in one epoch: a function of the key and the epoch alone.

    Args:
        key: two words; None for the order in which rows stand.
        epoch: its number.
        rows: how many rows there are.

    Example:
        >>> bool((epoch_order((1, 2), 3, 100) == epoch_order((1, 2), 3, 100)).all())
        True
        >>> epoch_order(None, 0, 4).tolist()
        [0, 1, 2, 3]
    """
    order: Array = epoch_orders(key, range(epoch, epoch + 1), rows)[0]
    return order


def epoch_orders(key: tuple[int, int] | None, epochs: range, rows: int) -> Array:
    """The order of the rows in each of some epochs, a line each; see `epoch_order`."""
    if not len(epochs):
        return np.empty((0, rows), np.int64)
    if key is None:
        return np.tile(np.arange(rows, dtype=np.int64), (len(epochs), 1))
    return random_orders(key, epochs, rows)
