"""Gradient levels: which gradients, of those being taken, a value takes part in.

Each gradient in progress has a bit. A value carries the bits of the levels that it
belongs to; the eager interpreter keeps a node only for levels that record. Bit 0 is the
level of `requires_grad` and `Tensor.backward()`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from threading import RLock
from typing import Any

from chainrule.ir.trace import LevelsInProgress, recording
from chainrule.ir.value import Value, new_value
from chainrule.ops import identity

TAPE_BIT = 1


class _Pool:
    """Bits, and which of them are in use."""

    def __init__(self) -> None:
        self.free: list[int] = []
        self.used = 1
        # a level may end while another begins: in another thread, or because the
        # garbage collector runs just then
        self.lock = RLock()
        LevelsInProgress.mask |= TAPE_BIT

    def take(self) -> int:
        with self.lock:
            if not self.free:
                self.free.append(1 << self.used)
                self.used += 1
            bit = self.free.pop()
            LevelsInProgress.mask |= bit
            return bit

    def give(self, bit: int) -> None:
        with self.lock:
            LevelsInProgress.mask &= ~bit
            self.free.append(bit)


_pool = _Pool()


class Level:
    """One gradient in progress; its bit is given back when nobody refers to it."""

    def __init__(self) -> None:
        self.bit = _pool.take()

    def __del__(self) -> None:
        _pool.give(self.bit)

    def track(self, value: Value) -> Any:
        """`value` as a new value with respect to which this level differentiates."""
        tracked = identity(value)
        tracked.tape |= self.bit
        return tracked

    def walking(self) -> AbstractContextManager[None]:
        """Within the block, nodes are kept for the other levels only."""
        return recording(~self.bit)

    def release(self, value: Any) -> Any:
        """`value` without the tape that only this level needed."""
        if value is None or not value.tape & self.bit:
            return value
        rest = value.tape & ~self.bit & LevelsInProgress.mask
        if value.owner is not None and value.payload is None:
            # a traced value is known by its identity, and its trace keeps every node
            value.tape = rest
            return value
        return new_value(
            value.spec,
            value.data,
            node=value.node if rest else None,
            index=value.index,
            tape=rest,
            owner=value.owner,
            payload=value.payload,
        )


def no_grad() -> AbstractContextManager[None]:
    """Within the block, nothing is kept for `Tensor.backward()`.

    It is about what is kept while computing at once: `grad` and functions that are
    being traced take no notice of it. `stop_gradient` cuts every gradient.

    Example:
        >>> import chainrule
        >>> w = chainrule.asarray([1.0, 2.0], requires_grad=True)
        >>> with no_grad():
        ...     print((w * 2).requires_grad)
        False
    """
    return recording(~TAPE_BIT)
