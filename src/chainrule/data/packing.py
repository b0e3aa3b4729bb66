"""Short sequences packed into common rows, and masks that keep them apart."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from chainrule.data.sequences import Array, as_steps, check_least
from chainrule.errors import ArgumentError, DataError


@dataclass(frozen=True)
class Packed:
    """Sequences in common rows; what `pack_sequences` gives.

    Attributes:
        tokens: `(rows, length)`, the sequences one behind the other, then filled up.
        segments: `(rows, length)`, which sequence of its row a step belongs to, from 1
            on; 0 where nothing is.
        positions: `(rows, length)`, the place of a step in its sequence, from 0 on.
        places: `(sequences, 3)`, for each sequence its row, first step and length.
    """

    tokens: Array
    segments: Array
    positions: Array
    places: Array

    def unpack(self, values: Any) -> list[Array]:
        """What `values`, `(rows, length, ...)`, has for each sequence.

        Example:
            >>> packed = pack_sequences([[1, 2, 3], [4, 5], [6]], 4)
            >>> [part.tolist() for part in packed.unpack(packed.tokens)]
            [[1, 2, 3], [4, 5], [6]]
        """
        array = np.asarray(values)
        return [
            array[row, first : first + length]
            for row, first, length in self.places.tolist()
        ]


def pack_sequences(
    sequences: Sequence[Any],
    length: int,
    value: Any = 0,
    dtype: Any = "int32",
    too_long: Literal["error", "truncate"] = "error",
) -> Packed:
    """Several short sequences in one row, so that hardly anything is filled up.

    The longest are placed first, each in the row that it fills up best. A network must
    keep those of a row apart: `segment_mask` for attention, `positions` for positions.

    Args:
        sequences: each a sequence of numbers. An empty one takes no place.
        length: that of a row.
        value: what fills up.
        dtype: the dtype of `tokens`.
        too_long: what becomes of sequences longer than a row: an error, or they are cut
            off.

    Raises:
        DataError: for a sequence that is too long, or holds no numbers.
        ArgumentError: for a length below 1, or another `too_long`.

    Example:
        >>> packed = pack_sequences([[1, 2, 3], [4, 5], [6]], 4)
        >>> packed.tokens.tolist(), packed.segments.tolist()
        ([[1, 2, 3, 6], [4, 5, 0, 0]], [[1, 1, 1, 2], [1, 1, 0, 0]])
        >>> packed.positions.tolist()
        [[0, 1, 2, 0], [0, 1, 0, 0]]
    """
    check_least("pack_sequences", "length", length, 1)
    if too_long not in ("error", "truncate"):
        raise ArgumentError(
            "sequences that are too long are an error, or cut off",
            where="pack_sequences",
            got=f"too_long={too_long!r}",
            expected="'error' or 'truncate'",
        )
    parts = [as_steps(each, "sequences", i) for i, each in enumerate(sequences)]
    lengths = np.array([len(part) for part in parts], np.int64)
    if too_long == "error" and len(lengths) and lengths.max() > length:
        worst = int(lengths.argmax())
        raise DataError(
            "a sequence is longer than a row",
            where=f"sequence {worst}",
            got=f"{lengths[worst]} steps",
            expected=f"{length} at most",
            fix="too_long='truncate', or a greater length",
        )
    places, rows = _placed(np.minimum(lengths, length), length)
    return _filled(parts, places, (rows, length), value, dtype)


def _placed(lengths: Array, length: int) -> tuple[Array, int]:
    """Row, first step and length of each sequence; and how many rows there are."""
    places = np.zeros((len(lengths), 3), np.int64)
    room: list[tuple[int, int]] = []  # what is left in a row, and its number; sorted
    rows = 0
    for number in np.argsort(-lengths, kind="stable").tolist():
        need = int(lengths[number])
        found = bisect_left(room, (need, -1))
        if found < len(room):
            left, row = room.pop(found)
        elif need:
            left, row, rows = length, rows, rows + 1
        else:
            left, row = length, 0  # it takes no place
        places[number] = row, length - left, need
        if need and left > need:
            insort(room, (left - need, row))
    return places, rows


def _filled(
    parts: Sequence[Array],
    places: Array,
    shape: tuple[int, int],
    value: Any,
    dtype: Any,
) -> Packed:
    tokens = np.full(shape, value, np.dtype(dtype))
    segments, positions = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    seen = np.zeros(shape[0], np.int32)
    for number in np.lexsort((places[:, 1], places[:, 0])).tolist():
        row, first, length = places[number].tolist()
        if not length:
            continue
        seen[row] += 1
        there = slice(first, first + length)
        tokens[row, there] = parts[number][:length]
        segments[row, there] = seen[row]
        positions[row, there] = np.arange(length)
    return Packed(tokens, segments, positions, places)


def segment_mask(segments: Any, key_segments: Any = None) -> Any:
    """Which steps may see which: those of the same sequence of a row.

    Args:
        segments: `(rows, steps)`, as `Packed.segments`; an array, or a tensor in a
            network.
        key_segments: those of the steps that are seen; `segments` by default.

    Returns:
        `(rows, steps, steps that are seen)`, true where one sees the other. What fills
        up sees nothing, and nobody sees it.

    Example:
        >>> segment_mask(np.array([[1, 2, 0]])).astype(int).tolist()
        [[[1, 0, 0], [0, 1, 0], [0, 0, 0]]]
    """
    seen = segments if key_segments is None else key_segments
    queries, keys = segments[:, :, None], seen[:, None, :]
    return (queries == keys) & (queries != 0)
