"""A thread that reads batches ahead and puts them together to chunks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from chainrule.training.source import Chunk

WAIT = 0.1  # seconds between two looks at whether somebody closed
AHEAD = 2  # chunks that wait to be used


class Room(Protocol):
    """Room for the batches of one chunk; see `streams.Buffer`."""

    rows: int

    def takes(self, batch: Any) -> bool:
        """Whether the batch can follow."""

    def add(self, batch: Any) -> None:
        """Put a batch behind the others."""

    def chunk(self) -> Chunk:
        """What is in it."""


class Prefetch:
    """Iterates over chunks that a thread made in advance.

    A chunk is handed over when it is full, or as soon as nobody has another one to work
    on. Chunks are used one after the other: the room of one is filled again when the
    next was asked for.

    Args:
        batches: the batches, read in the thread.
        make_room: makes the room for a chunk, given its first batch.
    """

    def __init__(self, batches: Iterator[Any], make_room: Callable[[Any], Any]) -> None:
        self._batches = batches
        self._make_room = make_room
        self._ready: queue.Queue[Any] = queue.Queue(AHEAD)
        self._used: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._hungry = threading.Event()
        self._thread = threading.Thread(
            target=self._read, name="chainrule-prefetch", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Iterator[Chunk]:
        while True:
            room = self._next()
            if room is None:
                return
            if isinstance(room, BaseException):
                raise room
            yield room.chunk()
            self._used.put(room)

    def close(self) -> None:
        """End the thread; it stops behind the batch that it is reading."""
        self._closed.set()
        if self._thread is not threading.current_thread():
            self._thread.join(WAIT)

    def _next(self) -> Any:
        try:
            return self._ready.get_nowait()
        except queue.Empty:
            self._hungry.set()
        while True:
            try:
                found = self._ready.get(timeout=WAIT)
            except queue.Empty:
                if not self._thread.is_alive() and self._ready.empty():
                    return None
                continue
            self._hungry.clear()
            return found

    def _read(self) -> None:
        try:
            self._fill()
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _fill(self) -> None:
        room: Any = None
        for batch in self._batches:
            if self._closed.is_set():
                return
            if room is not None and not room.takes(batch):
                self._put(room)
                room = None
            if room is None:
                room = self._room_for(batch)
            room.add(batch)
            if self._hungry.is_set():
                self._hungry.clear()
                self._put(room)
                room = None
        if room is not None:
            self._put(room)

    def _room_for(self, batch: Any) -> Any:
        """Room that was used before, where there is some that suits."""
        while True:
            try:
                room = self._used.get_nowait()
            except queue.Empty:
                return self._make_room(batch)
            room.rows = 0
            if room.takes(batch):
                return room

    def _put(self, item: Any) -> None:
        while not self._closed.is_set():
            try:
                self._ready.put(item, timeout=WAIT)
                return
            except queue.Full:
                continue
