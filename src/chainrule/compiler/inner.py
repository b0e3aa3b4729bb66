"""The tables with which native code runs the step of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from chainrule.compiler.kernel import Binding, ScanKernel
from chainrule.ir.value import Value

Array = np.ndarray[Any, Any]


class StepProgram(Protocol):
    """The program of one step."""

    table: Array
    threads: int

    def slots_of(self, value: Value) -> list[int]:
        """The positions in the table that hold the address of `value`."""

    def stretch(self, steps: int, tables: Array, patches: Array) -> Any:
        """So many steps, with a table for each thread."""

    def context(self, stretches: Sequence[Any], flush: bool = False) -> Array:
        """What the native loop is told to run."""


class InnerLoop:
    """A program that runs within another, by the bindings of a scan.

    Args:
        kernel: the scan.
        program: of its step; it belongs to this loop alone.

    Attributes:
        address: of the descriptor that native code reads.
    """

    def __init__(self, kernel: ScanKernel, program: StepProgram) -> None:
        self.program = program
        self._tables = np.empty((program.threads, len(program.table)), np.int64)
        self._tables[:] = program.table
        moving = [
            [8 * slot, binding.stride]
            for binding in kernel.bindings
            for slot in program.slots_of(binding.value)
            if binding.stride
        ]
        self._steps = program.stretch(kernel.length, self._tables, _rows(moving, 2))
        self._context = program.context([self._steps])
        # behind the addresses of the buffers come two words more
        words = len(kernel.dtypes) + 2
        bound = [row for b in kernel.bindings for row in _bound(program, b, words)]
        self._bindings = _rows(bound, 3)
        place = [self._context.ctypes.data, self._bindings.ctypes.data, len(bound)]
        self._descriptor = np.array(place, np.int64)
        self.address: int = self._descriptor.ctypes.data


def _bound(program: StepProgram, binding: Binding, words: int) -> list[list[int]]:
    buffer = 8 * (binding.buffer - words)
    return [[8 * s, buffer, binding.start] for s in program.slots_of(binding.value)]


def _rows(rows: Sequence[Sequence[int]], width: int) -> Array:
    return np.array(rows, np.int64).reshape(len(rows), width)
