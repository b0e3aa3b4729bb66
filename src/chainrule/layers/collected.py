"""The losses that layers add while they are called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_collector: ContextVar[list[Any] | None] = ContextVar("collector", default=None)


@contextmanager
def collected_losses() -> Iterator[list[Any]]:
    """Within the block, what layers pass to `add_loss` is appended to its list.

    Example:
        >>> from chainrule.layers import Dense
        >>> layer = Dense(1, kernel_initializer="ones", activity_regularizer="l1")
        >>> with collected_losses() as losses:
        ...     output = layer([[2.0, 3.0]])
        >>> [round(loss.item(), 4) for loss in losses]
        [0.05]
    """
    losses: list[Any] = []
    token = _collector.set(losses)
    try:
        yield losses
    finally:
        _collector.reset(token)


def collector() -> list[Any] | None:
    """The list of the innermost `collected_losses` in force, if there is one."""
    return _collector.get()
