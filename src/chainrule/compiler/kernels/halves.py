"""Floats of 16 bits between memory and registers.

In memory they are integers of 16 bits, in registers float32: everything is computed in
float32, and rounded to nearest, ties to even, where it is stored.
"""

from __future__ import annotations

from chainrule.compiler.llvm_types import IRBuilder, IRType, IRValue, ir
from chainrule.ir.dtype import DType, bfloat16

SHIFT = 16  # bits of a float32 that bfloat16 leaves out
BELOW_HALF = 0x7FFF  # just less than half a unit of the last place that stays
NOT_A_NUMBER = 0x7FC00000


def widened(b: IRBuilder, dtype: DType, words: IRValue) -> IRValue:
    """The float32 numbers of words of 16 bits; exact."""
    if dtype is not bfloat16:
        half = b.bitcast(words, _like(words, ir.HalfType()))
        return b.fpext(half, _like(words, ir.FloatType()))
    wide = b.zext(words, _like(words, ir.IntType(32)))
    shifted = b.shl(wide, _number(wide, SHIFT))
    return b.bitcast(shifted, _like(words, ir.FloatType()))


def narrowed(b: IRBuilder, dtype: DType, x: IRValue) -> IRValue:
    """The words of 16 bits nearest to float32 numbers."""
    word = _like(x, ir.IntType(16))
    if dtype is not bfloat16:
        return b.bitcast(b.fptrunc(x, _like(x, ir.HalfType())), word)
    bits = b.bitcast(x, _like(x, ir.IntType(32)))
    odd = b.and_(b.lshr(bits, _number(bits, SHIFT)), _number(bits, 1))
    above = b.add(bits, b.add(odd, _number(bits, BELOW_HALF)))
    missing = b.fcmp_unordered("uno", x, x)
    known = b.select(missing, _number(bits, NOT_A_NUMBER), above)
    return b.trunc(b.lshr(known, _number(known, SHIFT)), word)


def rounded(b: IRBuilder, dtype: DType, x: IRValue) -> IRValue:
    """Float32 numbers rounded to what `dtype` holds; others as they are."""
    return widened(b, dtype, narrowed(b, dtype, x)) if dtype.is_half else x


def _like(value: IRValue, element: IRType) -> IRType:
    """`element`, or a vector of it as long as `value`."""
    kind = value.type
    return ir.VectorType(element, kind.count) if _is_vector(kind) else element


def _number(value: IRValue, number: int) -> IRValue:
    kind = value.type
    return ir.Constant(kind, [number] * kind.count if _is_vector(kind) else number)


def _is_vector(kind: IRType) -> bool:
    return isinstance(kind, ir.VectorType)
