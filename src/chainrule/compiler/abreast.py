"""Vectors that are computed side by side, where each takes long.

An elementary function is a chain of some twenty operations, each of which waits for the
one before. A processor looks ahead over a chain or two, which is too few to keep it
busy. Of vectors some times as long as its registers LLVM makes so many operations in a
row, and that many chains are under way at any time.
"""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.compiler.engine import Target
from chainrule.compiler.expression import Expression
from chainrule.compiler.inside import parts
from chainrule.compiler.kernels.math import WRITTEN_OUT

MOST = 4  # with registers for the values and the constants of so many
FEW_REGISTERS = 32  # below, half as many
MOST_LONG = 2  # elementary functions in one kernel, above that half as many
SPREADING = frozenset({"bounded", "random_bits"})  # what has vectors of other numbers


def abreast(expressions: Iterable[Expression], target: Target) -> int:
    """How many vectors of these expressions are computed side by side.

    Example:
        >>> from chainrule.compiler.engine import host_target
        >>> abreast([], host_target())
        1
    """
    kinds = [part.kind for part in parts(expressions)]
    long = sum(kind in WRITTEN_OUT for kind in kinds)
    if not long or SPREADING & set(kinds):
        return 1
    few = target.vector_registers < FEW_REGISTERS or long > MOST_LONG
    return MOST // 2 if few else MOST
