"""What is around the layer that is being called."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, NamedTuple

from chainrule.ir.trace import scope
from chainrule.variable import reading_as, reads_as


class Surroundings(NamedTuple):
    """What the layer that is being called tells the layers inside it."""

    path: str = ""
    training: bool = False


_around: ContextVar[Surroundings] = ContextVar(
    "surroundings",
    default=Surroundings(),  # noqa: B039 (a tuple)
)


def around() -> Surroundings:
    """What the layer around tells; nothing outside of any."""
    return _around.get()


def join(path: str, name: str) -> str:
    """The path of something inside of `path`."""
    return f"{path}/{name}" if path else name


class Within:
    """Within the block, operations and layers are inside a layer.

    Args:
        layer: the layer.
        surroundings: what it tells the layers inside it.
    """

    __slots__ = ("_around", "_blocks", "_surroundings")

    def __init__(self, layer: Any, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._blocks: list[Any] = [scope(layer.name)]
        dtype = layer._reading_dtype
        if dtype is not reads_as():
            self._blocks.append(reading_as(dtype))

    def __enter__(self) -> None:
        self._around = _around.set(self._surroundings)
        for block in self._blocks:
            block.__enter__()

    def __exit__(self, *exception: Any) -> None:
        for block in reversed(self._blocks):
            block.__exit__(*exception)
        _around.reset(self._around)
