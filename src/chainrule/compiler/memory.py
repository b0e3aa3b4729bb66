"""Memory planning: where every stored value of a program lies, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True)
class Lifetime:
    """A block of memory that is needed from one kernel to another.

    Attributes:
        key: whose memory it is.
        nbytes: how much.
        first: the position of the kernel that writes it first.
        last: the position of the last kernel that reads or writes it.
        exact: the same positions, where `first` and `last` are those of the first and
            the last kernel that other threads may be at meanwhile; None where equal.
        head: from where on threads run without waiting when it is first needed, and how
            they own it all that time; None where they don't.
        tail: likewise of when it is last needed.
    """

    key: int
    nbytes: int
    first: int
    last: int
    exact: tuple[int, int] | None = None
    head: tuple[int, tuple[int, ...]] | None = None
    tail: tuple[int, tuple[int, ...]] | None = None

    def meets(self, other: Lifetime) -> bool:
        """Whether both are needed at once, by whatever threads."""
        return other.first <= self.last and self.first <= other.last

    def replaces(self, other: Lifetime) -> bool:
        """Whether each thread may write its share over its share of the other.

        Threads never wait meanwhile, and each needs the other no more.
        """
        if self.exact is None or other.exact is None or self.head is None:
            return False
        return self.head == other.tail and other.exact[1] < self.exact[0]


@dataclass(frozen=True)
class Arena:
    """Offsets in one block of memory.

    Attributes:
        offsets: where each key lies.
        sizes: how much each key takes.
        nbytes: the size of the block.
    """

    offsets: dict[int, int]
    sizes: dict[int, int]
    nbytes: int

    def aligned(self, key: int, other: int) -> bool:
        """Whether two values begin at the same place."""
        known = key in self.offsets and other in self.offsets
        return key == other or (known and self.offsets[key] == self.offsets[other])

    def overlap(self, key: int, other: int) -> bool:
        """Whether two values share memory; outside the arena none do."""
        if key == other:
            return True
        if key not in self.offsets or other not in self.offsets:
            return False
        start, following = self.offsets[key], self.offsets[other]
        return (
            start < following + self.sizes[other]
            and following < start + self.sizes[key]
        )


def plan_arena(lifetimes: Sequence[Lifetime], guard: int = 0) -> Arena:
    """Place blocks so that those alive at once do not overlap.

    Largest first, each over one that it replaces, or at the lowest offset that is free
    for its whole life. With `guard`, as many bytes stay unused behind each block, for
    tests that watch them.

    Example:
        >>> spans = [(1, 100, 0, 1), (2, 100, 1, 2), (3, 64, 2, 3)]
        >>> arena = plan_arena([Lifetime(*span) for span in spans])
        >>> arena.offsets, arena.nbytes
        ({1: 0, 2: 128, 3: 0}, 256)
    """
    placed: list[tuple[Lifetime, int, int]] = []
    offsets: dict[int, int] = {}
    total = 0
    for block in sorted(lifetimes, key=lambda b: (-b.nbytes, b.first, b.key)):
        size = _rounded(block.nbytes + guard)
        met = [place for place in placed if place[0].meets(block)]
        found = _over_another(block, size, met)
        offset = _first_gap(size, met) if found is None else found
        offsets[block.key] = offset
        placed.append((block, offset, offset + size))
        total = max(total, offset + size)
    sizes = {block.key: _rounded(block.nbytes + guard) for block in lifetimes}
    return Arena(offsets, sizes, total)


def peak_bytes(lifetimes: Sequence[Lifetime]) -> int:
    """How much is needed at once, at most, where kernels run one after the other.

    Example:
        >>> peak_bytes([Lifetime(1, 100, 0, 1), Lifetime(2, 64, 1, 2)])
        192
    """
    changes: list[tuple[int, int]] = []
    for life in lifetimes:
        first, last = life.exact or (life.first, life.last)
        size = _rounded(life.nbytes)
        changes += [(first, size), (last + 1, -size)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def _over_another(
    block: Lifetime, size: int, met: Sequence[tuple[Lifetime, int, int]]
) -> int | None:
    """The lowest place of a block of the same size that may be written over."""
    places: dict[int, bool] = {}
    for other, start, end in met:
        exchanged = block.replaces(other) or other.replaces(block)
        if exchanged and end - start == size:
            places[start] = True
    for other, start, end in met:
        for place in places:
            if start < place + size and place < end:
                exchanged = block.replaces(other) or other.replaces(block)
                places[place] &= exchanged and (start, end) == (place, place + size)
    return min((place for place, free in places.items() if free), default=None)


def _first_gap(size: int, met: Sequence[tuple[Lifetime, int, int]]) -> int:
    """The lowest place where nothing lies that is needed at the same time."""
    offset = 0
    for start, end in sorted((start, end) for _, start, end in met):
        if offset + size <= start:
            break
        offset = max(offset, end)
    return offset


def _rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
