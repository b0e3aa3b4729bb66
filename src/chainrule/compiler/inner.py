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
        programs: of its step, for each thread that takes steps alone; they belong to
            this loop.

    Attributes:
        address: of the descriptor that native code reads.
    """

    def __init__(self, kernel: ScanKernel, programs: Sequence[StepProgram]) -> None:
        self.programs = programs
        self._held: list[Any] = []
        contexts = [self._prepared(kernel, program) for program in programs]
        # behind the addresses of the buffers come two words more
        words = len(kernel.dtypes) + 2
        first = programs[0]
        bound = [row for b in kernel.bindings for row in _bound(first, b, words)]
        self._bindings = _rows(bound, 4)
        self._contexts = np.array(contexts, np.int64)
        place = [self._contexts.ctypes.data, self._bindings.ctypes.data]
        self._descriptor = np.array([*place, len(bound), kernel.length], np.int64)
        self.address: int = self._descriptor.ctypes.data

    def _prepared(self, kernel: ScanKernel, program: StepProgram) -> int:
        """The address of what the native loop is told to run."""
        tables = np.empty((program.threads, len(program.table)), np.int64)
        tables[:] = program.table
        moving = [
            [8 * slot, binding.stride]
            for binding in kernel.bindings
            for slot in program.slots_of(binding.value)
            if binding.stride
        ]
        steps = program.stretch(kernel.length, tables, _rows(moving, 2))
        context = program.context([steps])
        self._held += [tables, steps, context]
        return int(context.ctypes.data)


def _bound(program: StepProgram, binding: Binding, words: int) -> list[list[int]]:
    row = [8 * (binding.buffer - words), binding.start, binding.stride]
    return [[8 * slot, *row] for slot in program.slots_of(binding.value)]


def _rows(rows: Sequence[Sequence[int]], width: int) -> Array:
    return np.array(rows, np.int64).reshape(len(rows), width)
