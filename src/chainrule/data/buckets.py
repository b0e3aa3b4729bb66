"""Batches of sequences of like lengths: little is filled up, and little compiled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.data.dataset import leaves, map_tree
from chainrule.data.sequences import Array, Ragged, bucket_limits, check_least, round_up
from chainrule.errors import ArgumentError, DataError


class Epochs:
    """Batches that can be asked for by the number of the pass.

    `fit` takes them like any other iterable, and a run that is resumed goes on with the
    very batches that it would have had. Subclasses define `epoch`.

    Example:
        >>> class Twice(Epochs):
        ...     def epoch(self, number):
        ...         yield from (number, number)
        >>> batches = Twice()
        >>> list(batches), list(batches), list(batches.epoch(0))
        ([0, 0], [1, 1], [0, 0])
    """

    _next = 0

    def epoch(self, number: int) -> Iterator[Any]:
        """The batches of a pass, counted from 0; the same ones each time."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        number, self._next = self._next, self._next + 1
        return self.epoch(number)


class BucketedBatches(Epochs):
    """Batches of sequences of like lengths, each filled up to one of few lengths.

    The lengths, `limits`, are chosen so that least is filled up in all. Every sample is
    in one batch of each pass. What does not fill a batch of its bucket goes to the next
    longer one, so that a network is compiled for `len(limits) + 1` shapes at most.

    Args:
        data: what a batch looks like, with all samples in the place of those of the
            batch: a tuple such as `(x, y)`, in which `x` may be a dict. Each part is a
            list of sequences, or an array with a row for each sample.
        batch_size: samples of a batch.
        tokens: instead, the steps of a batch, filled up: samples times length. Long
            sequences then come in small batches.
        buckets: how many lengths there are at most.
        multiple: all lengths are multiples of it.
        max_length: longer sequences are cut off behind so many steps.
        value: what fills up.
        shuffle: whether every pass has its own order.
        seed: decides the orders.

    Attributes:
        limits: the lengths of the buckets: that of the longest part of a sample.

    Raises:
        ArgumentError: unless either `batch_size` or `tokens` is given.
        DataError: without sequences, or when parts differ in their number of samples.

    Example:
        >>> words = [[1, 2], [3], [4, 5, 6, 7, 8], [9, 9]]
        >>> labels = np.array([0, 1, 2, 3])
        >>> batches = BucketedBatches((words, labels), 2, buckets=2, shuffle=False)
        >>> batches.limits, len(batches)
        ([2, 5], 2)
        >>> for x, y in batches:
        ...     print(x.tolist(), y.tolist())
        [[1, 2], [3, 0]] [0, 1]
        [[9, 9, 0, 0, 0], [4, 5, 6, 7, 8]] [3, 2]
    """

    def __init__(
        self,
        data: Any,
        batch_size: int | None = None,
        *,
        tokens: int | None = None,
        buckets: int = 8,
        multiple: int = 1,
        max_length: int | None = None,
        value: Any = 0,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        self._check(batch_size, tokens, buckets, multiple, max_length)
        self.data = map_tree(as_column, data)
        self.value, self.shuffle, self.seed = value, shuffle, seed
        columns = list(leaves(self.data))
        counts = sorted({len(column) for column in columns})
        ragged = [column for column in columns if isinstance(column, Ragged)]
        if len(counts) != 1 or not counts[0] or not ragged:
            raise DataError(
                "there must be sequences, and as many of them in every part",
                where="BucketedBatches",
                got=f"{len(ragged)} parts with sequences; samples: {counts}",
                expected="(sequences, labels), (sequences, sequences), ...",
            )
        lengths = np.stack([each.lengths for each in ragged])
        if max_length is not None:
            lengths = np.minimum(lengths, max_length)
        self._place(lengths, buckets, multiple)
        self._widths = self._find_widths(ragged, lengths, multiple)
        self.rows = [batch_size or max(1, (tokens or 0) // n) for n in self.limits]

    def _check(
        self,
        batch_size: int | None,
        tokens: int | None,
        buckets: int,
        multiple: int,
        max_length: int | None,
    ) -> None:
        if (batch_size is None) == (tokens is None):
            raise ArgumentError(
                "give either the samples of a batch or its steps",
                where="BucketedBatches",
                got=f"batch_size={batch_size}, tokens={tokens}",
                fix="batch_size=32, or tokens=2048",
            )
        given = {
            "batch_size": batch_size,
            "tokens": tokens,
            "buckets": buckets,
            "multiple": multiple,
            "max_length": max_length,
        }
        for name, number in given.items():
            if number is not None:
                check_least("BucketedBatches", name, number, 1)

    def _place(self, lengths: Array, buckets: int, multiple: int) -> None:
        """Choose the lengths, and find the bucket of each sample."""
        longest = lengths.max(axis=0)
        self.limits = bucket_limits(longest, buckets, multiple)
        places = np.searchsorted(self.limits, longest)
        self._members = [np.flatnonzero(places == k) for k in range(len(self.limits))]

    def _find_widths(
        self, ragged: list[Ragged], lengths: Array, multiple: int
    ) -> dict[int, list[int]]:
        """For each part the lengths of its rows in the buckets, rising."""
        found = {}
        for part, own in zip(ragged, lengths, strict=True):
            most = [int(own[rows].max(initial=1)) for rows in self._members]
            rising = np.maximum.accumulate([round_up(n, multiple) for n in most])
            found[id(part)] = rising.tolist()
        return found

    def __len__(self) -> int:
        left = done = 0
        for rows, members in zip(self.rows, self._members, strict=True):
            full, left = divmod(left + len(members), rows)
            done += full
        return done + (left > 0)

    def plan(self, number: int) -> list[tuple[int, Array]]:
        """The batches of a pass: the bucket of each, and the numbers of its samples."""
        generator = np.random.default_rng([self.seed, number])
        batches: list[tuple[int, Array]] = []
        left = np.zeros(0, np.int64)
        for bucket, (rows, members) in enumerate(
            zip(self.rows, self._members, strict=True)
        ):
            order = generator.permutation(members) if self.shuffle else members
            order = np.concatenate([left, order])
            full = len(order) // rows * rows
            batches += [(bucket, part) for part in order[:full].reshape(-1, rows)]
            left = order[full:]
        if len(left):
            batches.append((len(self.limits) - 1, left))
        if self.shuffle:
            turns = generator.permutation(len(batches)).tolist()
            batches = [batches[turn] for turn in turns]
        return batches

    def epoch(self, number: int) -> Iterator[Any]:
        """The batches of a pass, counted from 0; the same ones each time."""
        return itertools.starmap(self._batch, self.plan(number))

    def _batch(self, bucket: int, rows: Array) -> Any:
        def part(column: Any) -> Array:
            if not isinstance(column, Ragged):
                return np.asarray(column[rows])
            return column.padded(rows, self._widths[id(column)][bucket], self.value)

        return map_tree(part, self.data)

    @property
    def filled(self) -> float:
        """The share of what batches hold that only fills up."""
        columns = [each for each in leaves(self.data) if isinstance(each, Ragged)]
        whole = kept = 0
        for bucket, rows in self.plan(0):
            for column in columns:
                width = self._widths[id(column)][bucket]
                whole += width * len(rows)
                kept += int(np.minimum(column.lengths[rows], width).sum())
        return 1 - kept / max(whole, 1)


def as_column(part: Any) -> Any:
    """A part of the data: an array with a row for each sample, or sequences."""
    if isinstance(part, Ragged):
        return part
    if isinstance(part, np.ndarray) and part.dtype.kind != "O":
        return part
    if len(part) and np.ndim(part[0]) == 0 and not isinstance(part[0], str):
        return np.asarray(part)
    return Ragged(part)
