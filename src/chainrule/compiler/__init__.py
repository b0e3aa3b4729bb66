"""The compiler: a graph becomes kernels, LLVM code and one native program.

What runs a graph is a backend: `native` code, or `interpret`, the NumPy reference that
defines what a graph means. Importing this package loads no compiler; the first use of
native code does.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np

from chainrule.compiler.interpret import InterpretedLoop, InterpretedProgram, Part
from chainrule.compiler.orders import reference_orders
from chainrule.errors import ArgumentError
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Spec
from chainrule.ops.random import random_bits, threefry_word
from chainrule.settings import SETTINGS

__all__ = [
    "BACKENDS",
    "Loops",
    "Part",
    "Runs",
    "compile_graph",
    "make_loop",
    "random_orders",
    "random_pair",
    "random_units",
    "random_words",
]

BACKENDS = ("native", "interpret")
Array = np.ndarray[Any, Any]
# words that are drawn without native code before it is worth loading some
WORDS_BEFORE = 1 << 17
CALL_WORDS = 1 << 12  # how many take NumPy as long as a call does
PAIR_WORDS = 1 << 7
SAFE = 1e38  # the difference of two numbers that are smaller together is finite
_drawn = [0]


class Runs(Protocol):
    """A compiled graph."""

    def __call__(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """The outputs for these inputs."""


class Loops(Protocol):
    """A compiled step, driven over the rows of data."""

    def begin(
        self,
        state: Sequence[Array],
        data: Sequence[Array],
        specs: Sequence[Spec] | None = None,
    ) -> None:
        """Set the state, whose specs may be told, and the data."""

    def feed(self, data: Sequence[Array]) -> None:
        """Set the data; the state stays."""

    def write(self, places: Sequence[int], arrays: Sequence[Array]) -> None:
        """Set a part of the state, named by positions."""

    def read(self, places: Sequence[int]) -> list[Array]:
        """A part of the state now."""

    def run(
        self, graph: Graph, rows: Array, batch_size: int, captured: Sequence[Array]
    ) -> list[Array]:
        """Take a step for each `batch_size` rows; what the steps returned, stacked."""

    def seconds(self, graph: Graph) -> float | None:
        """How long a step takes, where that is known."""

    def passes(
        self, parts: Sequence[Part], orders: Array, fresh: Mapping[int, Array]
    ) -> list[Array]:
        """Take the steps of several passes; what stood at some places after each."""

    def state(self) -> list[Array]:
        """The state now."""


def _checked(backend: str | None) -> str:
    chosen = backend or SETTINGS.backend
    if chosen not in BACKENDS:
        raise ArgumentError(
            "there is no such backend",
            where="backend",
            got=chosen,
            expected=" or ".join(BACKENDS),
            fix="CHAINRULE_BACKEND=native",
        )
    return chosen


def compile_graph(graph: Graph, backend: str | None = None) -> Runs:
    """`graph` as a program of the given backend; `CHAINRULE_BACKEND` where None."""
    if _checked(backend) == "interpret":
        return InterpretedProgram(graph)
    # LLVM is loaded by the first program, not by `import chainrule`
    native = importlib.import_module("chainrule.compiler.program")
    program: Runs = native.programs.get(graph)
    return program


def make_loop(backend: str | None = None) -> Loops:
    """A driver of steps on the given backend."""
    if _checked(backend) == "interpret":
        return InterpretedLoop()
    loop: Loops = _native("loop").NativeLoop()
    return loop


def random_orders(
    key: tuple[int, int], turns: range, rows: int, backend: str | None = None
) -> Array:
    """An order of the rows for each of these turns; see `orders.reference_orders`.

    Example:
        >>> random_orders((1, 2), range(2), 5).tolist()
        [[0, 4, 1, 3, 2], [2, 4, 0, 3, 1]]
    """
    if _checked(backend) == "interpret":
        return reference_orders(key, turns, rows)
    orders: Array = _native("orders").random_orders(key, turns, rows)
    return orders


def random_words(
    key: Array, shape: tuple[int, ...], backend: str | None = None
) -> Array:
    """What `ops.random_bits` gives, by native code once many words were asked for.

    Args:
        key: two words of 32 bits.
        shape: the shape of the result.
        backend: as in `compile_graph`.

    Example:
        >>> hex(random_words(np.zeros(2, np.uint32), (3,))[0])
        '0x6b200159'
    """
    _drawn[0] += math.prod(shape) + CALL_WORDS
    if _checked(backend) == "interpret" or _drawn[0] <= WORDS_BEFORE:
        return np.asarray(random_bits.primitive.reference(key, shape=shape))
    words: Array = _native("words").draw_words(tuple(key.tolist()), shape)
    return words


def random_units(key: Array, shape: tuple[int, ...], low: float, high: float) -> Array:
    """Numbers of equal chance between two float32, of 24 of the bits of `random_words`.

    Example:
        >>> random_units(np.zeros(2, np.uint32), (1,), 0.0, 1.0).tolist()
        [0.4184570908546448]
    """
    first, last = np.float32(low), np.float32(high)
    with nullcontext() if abs(low) + abs(high) < SAFE else np.errstate(all="ignore"):
        width = last - first
        if _drawn[0] > WORDS_BEFORE and SETTINGS.backend == "native":
            found: Array = _native("words").draw_units(
                tuple(key.tolist()), shape, first, width
            )
            return found
        words = random_words(key, shape) >> np.uint32(8)
        unit = words.astype(np.float32) * np.float32(2.0**-24)
        return np.asarray(first + unit * width)


@functools.cache
def _native(what: str) -> Any:
    """A module of native code, which is not loaded before it is needed."""
    return importlib.import_module(f"chainrule.compiler.native_{what}")


def random_pair(key: tuple[int, int], first: int) -> tuple[int, int]:
    """Words number `first` and `first + 1` of those that `random_words` gives.

    Example:
        >>> hex(random_pair((0, 0), 0)[0])
        '0x6b200159'
    """
    _drawn[0] += PAIR_WORDS
    if _drawn[0] <= WORDS_BEFORE or SETTINGS.backend == "interpret":
        return threefry_word(key, first), threefry_word(key, first + 1)
    words: tuple[int, int] = _native("words").draw_pair(key, first)
    return words
