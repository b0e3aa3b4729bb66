"""Random bits: Threefry-2x32 with 20 rounds, on scalars or vectors of 32-bit integers.

A block cipher without secrets: two words of key and two of counter give two words that
pass every test of randomness, so random numbers need no state and come out the same in
whatever order or width they are made.

Paper: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1,
2, 3", SC 2011.
"""

from __future__ import annotations

from chainrule.compiler.kernels.lanes import Lanes
from chainrule.compiler.llvm_types import IRBuilder, IRValue

ROUNDS = 20
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
# Added into the key schedule, so that a key of zeros is no weak key.
PARITY = 0x1BD11BDA


def emit_threefry2x32(
    builder: IRBuilder,
    key0: IRValue,
    key1: IRValue,
    counter0: IRValue,
    counter1: IRValue,
) -> tuple[IRValue, IRValue]:
    """Encrypt a counter under a key.

    Args:
        builder: an llvmlite `IRBuilder` that stands where the code is to go.
        key0: first word of the key: `i32`, or a vector of them, as the other three.
        key1: second word of the key.
        counter0: first word of the counter.
        counter1: second word of the counter.

    Returns:
        The two words of random bits.

    Example:
        >>> from chainrule.compiler.llvm_types import ir
        >>> word = ir.IntType(32)
        >>> kind = ir.FunctionType(word, [word] * 4)
        >>> function = ir.Function(ir.Module(), kind, "bits")
        >>> builder = ir.IRBuilder(function.append_basic_block())
        >>> first, second = emit_threefry2x32(builder, *function.args)
        >>> print(first.type)
        i32
    """
    keys = [Lanes(builder, key0), Lanes(builder, key1)]
    keys.append(keys[0] ^ keys[1] ^ PARITY)
    first = Lanes(builder, counter0) + keys[0]
    second = Lanes(builder, counter1) + keys[1]
    for index in range(ROUNDS):
        first = first + second
        second = second.intrinsic("fshl", second, ROTATIONS[index % 8]) ^ first
        if index % 4 == 3:
            group = index // 4 + 1
            first = first + keys[group % 3]
            second = second + keys[(group + 1) % 3] + group
    return first.value, second.value
