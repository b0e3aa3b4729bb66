"""Ctrl-C that ends a run after the step in progress, and not the script."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# Without the enumerations of `signal`, which take longer than all the rest.
_plain: Any = getattr(signal, "_signal", signal)


@dataclass
class Interrupt:
    """Whether Ctrl-C was pressed.

    Attributes:
        requested: set by the first Ctrl-C; a second one raises at once.
    """

    requested: bool = False

    def check(self) -> None:
        """Raise the interrupt that was held back.

        Raises:
            KeyboardInterrupt: once Ctrl-C was pressed.
        """
        if self.requested:
            raise KeyboardInterrupt


@contextmanager
def hold_interrupts() -> Iterator[Interrupt]:
    """Within the block the first Ctrl-C only sets a mark.

    Does nothing outside the main thread, or where the program handles Ctrl-C itself.

    Example:
        >>> with hold_interrupts() as interrupt:
        ...     signal.raise_signal(signal.SIGINT)
        ...     interrupt.requested
        True
    """
    interrupt = Interrupt()
    main = threading.current_thread() is threading.main_thread()
    if not main or _plain.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return

    def handle(number: int, frame: Any) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.requested = True

    _plain.signal(signal.SIGINT, handle)
    try:
        yield interrupt
    finally:
        _plain.signal(signal.SIGINT, signal.default_int_handler)
