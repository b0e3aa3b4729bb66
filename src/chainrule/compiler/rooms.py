"""Memory that the state of a loop lives in from step to step."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.compiler.arenas import address_of, aligned
from chainrule.compiler.memory import ALIGNMENT
from chainrule.compiler.plan import state_strides
from chainrule.ir.spec import Spec

Array = np.ndarray[Any, Any]
KEPT_ROOMS = 16
KEPT_BYTES = 1 << 20  # of a room, at most, for it to be kept


class StateBuffer:
    """A value that stays in memory from step to step, in the layout of programs."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._strides = state_strides(spec)
        steps = zip(spec.shape, self._strides, strict=True)
        extent = 1 + sum((n - 1) * step for n, step in steps) if spec.size else 0
        lines = -(-max(extent, 1) * spec.dtype.itemsize // ALIGNMENT)
        self.nbytes = lines * ALIGNMENT

    def lie_at(self, room: Array, start: int, address: int) -> None:
        """Take `nbytes` bytes of `room` from `start` on; the room is at `address`."""
        spec = self.spec
        steps = tuple(step * spec.dtype.itemsize for step in self._strides)
        # the function of NumPy for this costs ten times as much
        self.array: Array = np.ndarray(spec.shape, spec.dtype.numpy, room, start, steps)
        self.address = address + start

    def room_for(self, count: int) -> Array:
        """Bytes for so many copies, one after the other."""
        return np.zeros((count, self.nbytes), np.uint8)

    def view(self, room: Array) -> Array:
        """The values in the bytes of several copies."""
        spec = self.spec
        steps = tuple(step * spec.dtype.itemsize for step in self._strides)
        shape = (len(room), *spec.shape)
        return np.ndarray(shape, spec.dtype.numpy, room, 0, (self.nbytes, *steps))

    def copy(self) -> Array:
        """The value now, dense."""
        return self.array.copy()


class Room:
    """The memory of a state.

    Its values lie in one block: NumPy asks large pages for it, and they need fewer
    entries of the tables that translate addresses than each in a block of its own.

    Attributes:
        specs: of the values.
        buffers: where each lies.
        passages: what was prepared to run on it, by what that is made of.
    """

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.specs = list(specs)
        self.buffers = [StateBuffer(spec) for spec in specs]
        self.nbytes = sum(buffer.nbytes for buffer in self.buffers)
        self.passages: dict[Any, Any] = {}
        memory = aligned(self.nbytes)
        start, address = 0, address_of(memory)
        for buffer in self.buffers:
            buffer.lie_at(memory, start, address)
            start += buffer.nbytes


NO_ROOM = Room([])


class _Rooms:
    """Rooms that nobody uses now: alike models need alike ones, one after the other."""

    def __init__(self) -> None:
        self._free: OrderedDict[int, Room] = OrderedDict()
        self.begin_after_fork()

    def begin_after_fork(self) -> None:
        """Let the child of a fork in, whoever was inside."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._free)

    def take(self, specs: Sequence[Spec]) -> Room:
        """A room for values of these specs; what is in it may be anything."""
        wanted = list(specs)
        if not wanted:
            return NO_ROOM
        with self._lock:
            for key, room in reversed(self._free.items()):
                if room.specs == wanted:
                    return self._free.pop(key)
        return Room(wanted)

    def give(self, room: Room) -> None:
        """Take a room back from one who needs it no longer."""
        if not room.specs or room.nbytes > KEPT_BYTES:
            return
        with self._lock:
            self._free[id(room)] = room
            while len(self._free) > KEPT_ROOMS:
                self._free.popitem(last=False)


rooms = _Rooms()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=rooms.begin_after_fork)
