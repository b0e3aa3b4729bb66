"""Sequences of unequal lengths as arrays: padding, and lengths that batches share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from chainrule.errors import ArgumentError, DataError

Array = np.ndarray[Any, Any]
Side = Literal["pre", "post"]

MOST_LENGTHS = 256  # different lengths among which the limits of buckets are looked for


class Ragged:
    """Sequences of unequal lengths, one behind the other in one array.

    Args:
        sequences: each a sequence of numbers, or an array `(steps, ...)`.
        name: what messages call them.
        dtype: that of the numbers; by default int32 for whole numbers, else float32.

    Attributes:
        lengths: how many steps each has.

    Raises:
        DataError: when a sequence holds no numbers, or other shapes than the rest.

    Example:
        >>> words = Ragged([[3, 1, 4], [], [1]])
        >>> words.lengths.tolist(), words.padded(np.array([0, 1, 2]), 4, 0).tolist()
        ([3, 0, 1], [[3, 1, 4, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    """

    def __init__(
        self, sequences: Sequence[Any], name: str = "sequences", dtype: Any = None
    ) -> None:
        parts = [as_steps(each, name, i) for i, each in enumerate(sequences)]
        self.lengths = np.array([len(part) for part in parts], np.int64)
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._flat = _joined([part for part in parts if len(part)], name, dtype)

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(
        self,
        rows: Array,
        length: int,
        value: Any,
        padding: Side = "post",
        truncating: Side = "post",
    ) -> Array:
        """Some sequences as rows of `length` steps, filled up with `value`.

        Args:
            rows: which ones.
            length: the steps of a row; what is beyond them is cut off.
            value: what fills up.
            padding: the end that is filled up.
            truncating: the end that is cut off.
        """
        shape = (len(rows), length, *self._flat.shape[1:])
        filled = np.full(shape, value, self._flat.dtype)
        if not filled.size or not len(self._flat):
            return filled
        kept = np.minimum(self.lengths[rows], length)[:, None]
        first = self._starts[rows][:, None]
        if truncating == "pre":
            first = first + self.lengths[rows][:, None] - kept
        step = np.arange(length)[None, :]
        if padding == "pre":
            step = step - (length - kept)
        there = (step >= 0) & (step < kept)
        places = np.where(there, first + step, 0)
        filled[there] = self._flat[places[there]]
        return filled


def as_steps(sequence: Any, name: str, number: int) -> Array:
    """A sequence as an array with steps in front.

    Raises:
        DataError: when it is no sequence of numbers.
    """
    array: Array | None
    try:
        array = np.asarray(sequence)
    except ValueError:
        array = None
    if (
        array is None
        or array.ndim == 0
        or (array.size and array.dtype.kind not in "biuf")
    ):
        raise DataError(
            "a sequence holds numbers, one or an array of them for each step",
            where=f"{name}, sequence {number}",
            got=f"{sequence!r:.60}",
            fix="tokens = tokenizer.encode(text)"
            if isinstance(sequence, str)
            else None,
        )
    return array


def _joined(parts: Sequence[Array], name: str, dtype: Any) -> Array:
    if not parts:
        return np.zeros(0, dtype or np.int32)
    if len({part.shape[1:] for part in parts}) > 1:
        shapes = sorted({str(part.shape[1:]) for part in parts})
        raise DataError(
            "the steps of all sequences have one shape",
            where=name,
            got=" and ".join(shapes[:3]),
        )
    flat = np.concatenate(parts)
    if dtype is None:
        dtype = np.int32 if flat.dtype.kind in "biu" else np.float32
    return flat.astype(dtype, copy=False)


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: Side = "pre",
    truncating: Side = "pre",
    value: float = 0.0,
    *,
    multiple: int = 1,
) -> Array:
    """Sequences of unequal lengths as the rows of one array.

    Args:
        sequences: each a sequence of numbers, or an array `(steps, ...)`.
        maxlen: the length of a row; that of the longest sequence by default.
        dtype: the dtype of the array.
        padding: the end at which shorter ones are filled up, `pre` or `post`. Networks
            that attend to earlier steps only want `post`.
        truncating: the end at which longer ones are cut off.
        value: what fills up.
        multiple: rows are as long as the next multiple of it. Batches whose lengths are
            few compile few times.

    Raises:
        ArgumentError: for another end, or a length below 0.
        DataError: when a sequence holds no numbers.

    Example:
        >>> pad_sequences([[1, 2, 3], [4], []], padding="post").tolist()
        [[1, 2, 3], [4, 0, 0], [0, 0, 0]]
        >>> pad_sequences([[1, 2, 3], [4]], maxlen=2).tolist()
        [[2, 3], [0, 4]]
        >>> pad_sequences([[1, 2, 3]], padding="post", multiple=4).tolist()
        [[1, 2, 3, 0]]
    """
    for name, end in (("padding", padding), ("truncating", truncating)):
        if end not in ("pre", "post"):
            raise ArgumentError(
                f"{name} is an end of the row",
                where="pad_sequences",
                got=f"{name}={end!r}",
                expected="'pre' or 'post'",
            )
    check_least("pad_sequences", "multiple", multiple, 1)
    ragged = Ragged(sequences, dtype=np.dtype(dtype))
    if maxlen is None:
        maxlen = int(ragged.lengths.max(initial=0))
    check_least("pad_sequences", "maxlen", maxlen, 0)
    length = round_up(maxlen, multiple)
    return ragged.padded(np.arange(len(ragged)), length, value, padding, truncating)


def check_least(where: str, name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number from `least` on.

    Raises:
        ArgumentError: for anything else.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise ArgumentError(
            f"{name} must be a whole number from {least} on",
            where=where,
            got=f"{name}={value!r}",
        )


def round_up(length: int, multiple: int) -> int:
    """The next multiple.

    Example:
        >>> round_up(9, 8), round_up(8, 8), round_up(0, 8)
        (16, 8, 0)
    """
    return -(-length // multiple) * multiple


def bucket_limits(lengths: Any, buckets: int, multiple: int = 1) -> list[int]:
    """The lengths to which sequences are filled up so that least is filled up in all.

    Args:
        lengths: those of the sequences.
        buckets: how many different lengths there may be.
        multiple: all are multiples of it, 1 step at least.

    Returns:
        Rising lengths, the last one no shorter than the longest sequence.

    Example:
        >>> bucket_limits([3, 3, 4, 9, 10, 30], 3)
        [4, 10, 30]
        >>> bucket_limits([3, 3, 4, 9, 10, 30], 2, multiple=8)
        [16, 32]
    """
    rounded = np.maximum(-(-np.asarray(lengths, np.int64) // multiple), 1) * multiple
    found, counts = np.unique(rounded, return_counts=True)
    if len(found) > MOST_LENGTHS:
        return bucket_limits(lengths, buckets, 2 * multiple)
    count = len(found)
    before = np.concatenate([[0], np.cumsum(counts)])
    # waste[i, j]: steps of the rows when lengths i to j are filled up to that of j
    waste = (before[None, 1:] - before[:-1, None]) * found[None, :].astype(float)
    waste[np.tril_indices(count, -1)] = np.inf
    least, cuts = waste[0], []
    for _ in range(min(buckets, count) - 1):
        # the last bucket begins behind length i - 1, all before it is as it was
        through = np.concatenate([[np.inf], least[:-1]])[:, None] + waste
        cuts.append(through.argmin(axis=0))
        least = through.min(axis=0)
    last, limits = count - 1, [int(found[-1])]
    for cut in reversed(cuts):
        last = int(cut[last]) - 1
        limits.append(int(found[last]))
    return limits[::-1]
