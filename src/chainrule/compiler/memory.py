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
    """

    key: int
    nbytes: int
    first: int
    last: int


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

    Largest first, each at the lowest offset that is free for its whole life. With
    `guard`, as many bytes stay unused behind each block, for tests that watch them.

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
        taken = sorted(
            (start, end)
            for other, start, end in placed
            if other.first <= block.last and block.first <= other.last
        )
        offset = 0
        for start, end in taken:
            if offset + size <= start:
                break
            offset = max(offset, end)
        offsets[block.key] = offset
        placed.append((block, offset, offset + size))
        total = max(total, offset + size)
    sizes = {block.key: _rounded(block.nbytes + guard) for block in lifetimes}
    return Arena(offsets, sizes, total)


def _rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
