"""Text as the places of its characters in a vocabulary, by NumPy alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

CODEC = "utf-32-le"
LIMIT = 0x110000  # code points end here


def code_points(text: str) -> Array:
    """The numbers of the characters, halves of surrogate pairs too.

    Example:
        >>> code_points("aß").tolist()
        [97, 223]
    """
    return np.frombuffer(text.encode(CODEC, "surrogatepass"), "<u4")


def from_code_points(points: Array) -> str:
    """The text of which these are the characters.

    Example:
        >>> from_code_points(np.array([97, 223]))
        'aß'
    """
    return points.astype("<u4").tobytes().decode(CODEC, "surrogatepass")


def count_characters(texts: Iterable[str]) -> Array:
    """How often each code point stands in the texts."""
    counts = np.zeros(LIMIT, np.int64)
    for text in texts:
        points = code_points(text)
        if len(points) < 4096:
            np.add.at(counts, points, 1)
        else:
            found = np.bincount(points)
            counts[: len(found)] += found
    return counts


def choose_characters(counts: Array, most: int | None, least: int) -> list[str]:
    """The characters to keep, in the order of their numbers.

    Args:
        counts: of `count_characters`.
        most: how many to keep, the most frequent ones; None keeps all.
        least: how often a character has to stand in the texts.
    """
    points = np.flatnonzero(counts >= max(least, 1))
    if most is not None and len(points) > most:
        order = np.lexsort((points, -counts[points]))
        points = np.sort(points[order[:most]])
    return [chr(point) for point in points.tolist()]


class CharacterTable:
    """The places of characters, found many at a time.

    Args:
        characters: the vocabulary, in order.
        first: the place of the first of them.
        unknown: the place of all others; None leaves them at -1.

    Example:
        >>> CharacterTable(["a", "b"], 2, 1).places("abc").tolist()
        [2, 3, 1]
    """

    def __init__(
        self, characters: Sequence[str], first: int, unknown: int | None
    ) -> None:
        points = np.array([ord(each) for each in characters], np.int64)
        self.last = int(points.max(initial=-1)) + 1
        self.table = np.full(
            self.last + 1, -1 if unknown is None else unknown, np.int32
        )
        self.table[points] = first + np.arange(len(points), dtype=np.int32)

    def places(self, text: str) -> Array:
        """The place of every character."""
        return np.asarray(self.table[np.minimum(code_points(text), self.last)])
