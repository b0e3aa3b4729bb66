"""How much of its buffers a kernel touches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainrule.compiler.kernel import LibraryKernel, ScanKernel, Step
from chainrule.compiler.shares import accesses
from chainrule.ir.value import Value


def touched_bytes(step: Step) -> int:
    """The bytes that a step reads and writes, each counted once, at most.

    Of a table whose rows are chosen by data, these are the rows that can be chosen, and
    not the table.
    """
    kernel, values = step.kernel, step.values
    if isinstance(kernel, LibraryKernel) and kernel.operation == "put_rows":
        table, indices, rows, _ = values
        return indices.spec.nbytes + 2 * min(rows.spec.nbytes, table.spec.nbytes)
    whole = [value.spec.nbytes for value in values]
    if isinstance(kernel, LibraryKernel | ScanKernel):
        return sum(whole)
    points: dict[int, int] = {}
    for buffer, offset in accesses(kernel):
        extent = math.prod(axis.extent for axis in set(offset.axes()))
        points[buffer] = points.get(buffer, 0) + extent
    return _bounded(points, values)


def _bounded(points: dict[int, int], values: Sequence[Value]) -> int:
    """Bytes of so many elements of each value, which may have fewer."""
    specs = [value.spec for value in values]
    return sum(
        min(spec.nbytes, points.get(buffer, spec.size) * spec.dtype.itemsize)
        for buffer, spec in enumerate(specs)
    )
