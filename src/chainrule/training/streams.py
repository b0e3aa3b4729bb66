"""Data that comes in batches: generators, loaders, data sets read item by item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

import numpy as np

from chainrule.data.buckets import Epochs
from chainrule.ir import tree
from chainrule.ir.value import Value
from chainrule.training.data import Array
from chainrule.training.prefetch import Prefetch
from chainrule.training.source import Chunk, epoch_order

CHUNK_BYTES = 1 << 22  # of batches that are handed to the native loop together
CHUNK_BATCHES = 256
Convert = Callable[[Any, int], Any]


def is_stream(data: Any) -> bool:
    """Whether `data` gives batches, or samples by their number, and is no array.

    Example:
        >>> is_stream(iter([])), is_stream([[1.0]]), is_stream(np.zeros(3))
        (True, False, False)
    """
    if data is None or isinstance(data, (Value, list, tuple, Mapping, str, bytes)):
        return False
    if hasattr(data, "__array__") or hasattr(data, "__dataframe__"):
        return False
    return hasattr(data, "__iter__") or _has_samples(data)


def _has_samples(data: Any) -> bool:
    return hasattr(data, "__getitem__") and hasattr(data, "__len__")


class Stream:
    """What the user gave, as batches; the first one can be looked at in advance.

    Args:
        data: an iterator, which can be passed over once; an iterable of batches; or a
            data set with `__len__` and `__getitem__`, which gives samples.
        batch_size: how many samples make a batch.

    Example:
        >>> stream = Stream([(1,), (2,)], 32)
        >>> stream.first(), list(stream.batches(0)), list(stream.batches(1))
        ((1,), [(1,), (2,)], [(1,), (2,)])
    """

    def __init__(self, data: Any, batch_size: int) -> None:
        self.data = data
        self.batch_size = batch_size
        self.samples = not hasattr(data, "__iter__")
        self.once = hasattr(data, "__next__")
        self.numbered = isinstance(data, Epochs)
        self._pending: Iterator[Any] | None = None
        self._order: tuple[int, int] | None = None

    @property
    def steps(self) -> int | None:
        """Batches of a pass; None where nobody knows."""
        try:
            count = len(self.data)
        except TypeError:
            return None
        return -(-count // self.batch_size) if self.samples else count

    def first(self) -> Any:
        """The first batch, which stays the first; None where there is none."""
        iterator = self.batches(0)
        batch = next(iterator, None)
        if self.numbered:
            return batch
        self._pending = iter(()) if batch is None else chain([batch], iterator)
        return batch

    def shuffle(self, key: Any) -> None:
        """Give samples in an order of their own in each pass; None for theirs."""
        self._order = None if key is None else tuple(key.numpy())
        if self.samples:
            self._pending = None  # the first batch becomes another one

    def batches(self, number: int) -> Iterator[Any]:
        """The batches of a pass."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            return pending
        if self.samples:
            return self._collated(number)
        if self.numbered:
            return iter(self.data.epoch(number))
        return iter(self.data)

    def _collated(self, number: int) -> Iterator[Any]:
        """Batches made of samples."""
        order = epoch_order(self._order, number, len(self.data))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size].tolist()
            yield collate([self.data[row] for row in rows])


def collate(samples: list[Any]) -> Any:
    """Samples, trees of numbers and arrays, as one batch.

    Example:
        >>> collate([([1.0, 2.0], 0), ([3.0, 4.0], 1)])[1].tolist()
        [0, 1]
    """
    first = samples[0]
    if isinstance(first, Mapping):
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple):
        return tuple(collate(list(parts)) for parts in zip(*samples, strict=True))
    return np.stack([np.asarray(sample) for sample in samples])


class StreamSource:
    """Batches of a stream, several of them at once for the native loop.

    A thread reads ahead. What is put together changes no number: each batch is a step.

    Args:
        stream: where batches come from.
        convert: makes arrays of a batch, given its number.
        steps: batches of an epoch; None for passes.
    """

    def __init__(
        self, stream: Stream, convert: Convert, steps: int | None = None
    ) -> None:
        self.stream = stream
        self.convert = convert
        self._asked = steps
        self.steps = stream.steps if steps is None else steps
        self.rows: int | None = None
        self.continues = stream.once or steps is not None
        self._running: Iterator[Any] | None = None
        self._prefetch: Prefetch | None = None

    def epoch(self, number: int) -> Iterator[Chunk]:
        """The chunks of an epoch."""
        steps = self._asked
        found = self.stream.batches(number) if steps is None else self._some(steps)
        batches = enumerate(found)
        made = (self.convert(batch, place) for place, batch in batches)
        self._prefetch = Prefetch(made, make_buffer)
        try:
            yield from self._prefetch
        finally:
            self.close()

    def _some(self, left: int) -> Iterator[Any]:
        """So many batches from where the last epoch ended.

        A stream that can be passed over again starts anew where it ends.
        """
        turn = 0
        while left:
            if self._running is None:
                self._running = self.stream.batches(turn)
            taken = 0
            for batch in islice(self._running, left):
                taken += 1
                yield batch
            left -= taken
            if left and (self.stream.once or not taken):
                return  # it cannot begin again
            if left:
                self._running, turn = None, turn + 1

    def passes(self, first: int, most: int) -> None:
        """None: what comes next is known when it is read."""

    def close(self) -> None:
        """End the thread."""
        if self._prefetch is not None:
            self._prefetch.close()
            self._prefetch = None


class Buffer:
    """Room for the batches of a chunk.

    Args:
        batch: the first batch, a tree of arrays; the others have its shapes.
    """

    def __init__(self, batch: Any) -> None:
        leaves, self.structure = tree.flatten(batch)
        self.batch_size = len(leaves[0])
        size = max(1, sum(leaf.nbytes for leaf in leaves))
        self.capacity = max(1, min(CHUNK_BATCHES, CHUNK_BYTES // size))
        rows = self.capacity * self.batch_size
        self.arrays = [np.empty((rows, *x.shape[1:]), x.dtype) for x in leaves]
        self.rows = 0

    def takes(self, batch: Any) -> bool:
        """Whether the batch can follow those in here."""
        leaves, structure = tree.flatten(batch)
        whole = self.rows % self.batch_size == 0
        room = self.rows < self.capacity * self.batch_size
        return whole and room and self.suits(leaves, structure)

    def suits(self, leaves: list[Array], structure: Any) -> bool:
        """Whether a batch looks like the first, and is not longer."""
        return (
            structure == self.structure
            and len(leaves[0]) <= self.batch_size
            and all(
                a.dtype == b.dtype and a.shape[1:] == b.shape[1:]
                for a, b in zip(leaves, self.arrays, strict=True)
            )
        )

    def add(self, batch: Any) -> None:
        """Put a batch behind the others."""
        leaves = tree.flatten(batch)[0]
        end = self.rows + len(leaves[0])
        for array, leaf in zip(self.arrays, leaves, strict=True):
            array[self.rows : end] = leaf
        self.rows = end

    def chunk(self) -> Chunk:
        """What is in here."""
        data = tree.unflatten(self.structure, self.arrays)
        return Chunk(data, np.arange(self.rows), self.batch_size)


def make_buffer(batch: Any) -> Buffer:
    """Room for a batch, and others like it."""
    return Buffer(batch)


def unpack(batch: Any, several: bool = False) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights of a batch; None for those that it lacks.

    A tuple is `(x,)`, `(x, y)` or `(x, y, sample_weight)`; so is a list of two or three
    arrays, unless the model takes several inputs. All else is `x`.

    Example:
        >>> unpack((1, 2)), unpack(3)
        ((1, 2, None), (3, None, None))
    """
    listed = isinstance(batch, list) and len(batch) in (1, 2, 3) and not several
    if isinstance(batch, tuple) or listed:
        x, y, weight = (*batch, None, None)[:3]
        return x, y, weight
    return batch, None, None
