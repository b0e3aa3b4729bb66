"""Orders of rows, drawn from a key: the definition, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.ops.random import threefry2x32

Array = np.ndarray[Any, Any]


def reference_orders(key: tuple[int, int], turns: range, rows: int) -> Array:
    """An order of the rows for each of these turns, a function of key and turn alone.

    Row `i` gets a random word of the counter `(i mod half, turn)`, where half of the
    rows is rounded up: the first of the pair below half, and the second from there on.
    Rows are sorted by their words, and where these are equal, by their numbers.

    Args:
        key: two words of 32 bits.
        turns: the numbers of the turns, below 2**32.
        rows: how many rows there are, at most 2**32.

    Returns:
        Numbers of rows, int64, of shape `(turns, rows)`.

    Example:
        >>> reference_orders((1, 2), range(2), 5).tolist()
        [[0, 4, 1, 3, 2], [2, 4, 0, 3, 1]]
    """
    # the turn is the counter's second word: one pass, without a key for each turn
    count = np.arange(-(-rows // 2), dtype=np.uint32)
    numbers = np.array(turns, np.uint32)[:, None]
    pairs = threefry2x32(key, count, numbers)
    words = np.concatenate(pairs, axis=1)[:, :rows]
    # the row in the lower half: NumPy sorts numbers faster than positions
    keys = words.astype(np.uint64) << np.uint64(32)
    keys |= np.arange(rows, dtype=np.uint64)
    keys.sort(axis=1)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
