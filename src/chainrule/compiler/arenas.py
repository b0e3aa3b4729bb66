"""Memory that programs borrow while they run, so that idle programs hold none.

Training on batches of several lengths, measuring and predicting are programs of their
own, one of which runs at a time. The memory for what they compute on the way is the
greatest part of what training takes beside the data, and nothing in it outlives a run.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SHARED_BYTES = 1 << 20  # programs that need less have memory of their own


class Arenas:
    """Blocks of memory that are lent to one program at a time.

    There are as many as programs have run at once. None stays that is larger than what
    a program which is still there may ask for.

    Example:
        >>> arenas, owner = Arenas(), threading.Event()
        >>> arenas.join(owner, 128)
        >>> block = arenas.borrow(128)
        >>> arenas.give_back(block)
        >>> arenas.borrow(64) is block
        True
    """

    def __init__(self) -> None:
        self._wanted: dict[int, int] = {}  # bytes, by the identity of a program
        self._idle: list[Array] = []
        self.begin_after_fork()

    def begin_after_fork(self) -> None:
        """Let the child of a fork in, whoever was inside."""
        # programs may be collected, and leave, while this thread is inside
        self._lock = threading.RLock()

    @property
    def idle_bytes(self) -> int:
        """How many bytes are lent to nobody."""
        with self._lock:
            return sum(block.nbytes for block in self._idle)

    def join(self, owner: Any, nbytes: int) -> None:
        """Say that `owner` may ask for so many bytes, as long as it lives."""
        with self._lock:
            self._wanted[id(owner)] = nbytes
        weakref.finalize(owner, self._leave, id(owner)).atexit = False

    def borrow(self, nbytes: int) -> Array:
        """A block of `nbytes` bytes or more that begins on a cache line."""
        with self._lock:
            fitting = [block for block in self._idle if block.nbytes >= nbytes]
            found = min(fitting, key=lambda block: block.nbytes, default=None)
            # what is too small now would be too small again
            self._idle = [b for b in self._idle if fitting and b is not found]
        return aligned(nbytes) if found is None else found

    def give_back(self, block: Array) -> None:
        """Return a block that was borrowed."""
        with self._lock:
            self._idle.append(block)
            self._trim()

    def _leave(self, owner: int) -> None:
        with self._lock:
            self._wanted.pop(owner, None)
            self._trim()

    def _trim(self) -> None:
        largest = max(self._wanted.values(), default=0)
        self._idle = [block for block in self._idle if block.nbytes <= largest]


def aligned(nbytes: int) -> Array:
    """Uninitialised bytes that begin on a cache line."""
    raw = np.empty(nbytes + 64, np.uint8)
    start = -address_of(raw) % 64
    return raw[start : start + nbytes]


def address_of(array: Array) -> int:
    """Where the elements of an array begin."""
    place: int = array.__array_interface__["data"][0]
    return place


arenas = Arenas()
