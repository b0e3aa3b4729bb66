"""The emission row of every elementwise operation.

A row takes the builder, the dtype of the inputs and their values (scalars, or vectors
all of one length) and returns the value of the result. Booleans are single bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.compiler.kernels import math
from chainrule.compiler.kernels.halves import rounded
from chainrule.compiler.kernels.threefry import emit_threefry2x32
from chainrule.compiler.llvm_types import IRBuilder, IRType, IRValue, ir
from chainrule.errors import GraphError
from chainrule.ir.dtype import DType, float32

Row = Callable[..., IRValue]


def element_type(dtype: DType) -> IRType:
    """The type of a value in a register; a boolean is one bit, a float at least 32."""
    if dtype.is_float:
        return ir.DoubleType() if dtype.bits == 64 else ir.FloatType()
    return ir.IntType(1 if dtype.is_bool else dtype.bits)


def stored_type(dtype: DType) -> IRType:
    """The type of a value in memory; a boolean is a byte, a float of 16 bits a word."""
    if dtype.is_half:
        return ir.IntType(16)
    return ir.IntType(8) if dtype.is_bool else element_type(dtype)


def like(value: IRValue, element: IRType) -> IRType:
    """`element`, or a vector of it as long as `value`."""
    if isinstance(value.type, ir.VectorType):
        return ir.VectorType(element, value.type.count)
    return element


def number(kind: IRType, value: Any) -> IRValue:
    """A constant of a scalar or vector type."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [value] * kind.count)
    return ir.Constant(kind, value)


def intrinsic(builder: IRBuilder, name: str, *arguments: IRValue) -> IRValue:
    """A call of an LLVM intrinsic whose arguments and result have one type."""
    kind = arguments[0].type
    ending = suffix(kind)
    signature = ir.FunctionType(kind, [a.type for a in arguments])
    full = f"llvm.{name}.{ending}"
    function = builder.module.globals.get(full)
    if function is None:
        function = ir.Function(builder.module, signature, full)
    return builder.call(function, arguments)


def suffix(kind: IRType) -> str:
    """How LLVM names a type in the name of an intrinsic, such as `v16f32`."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{suffix(kind.element)}"
    if isinstance(kind, ir.IntType):
        return f"i{kind.width}"
    return "f32" if isinstance(kind, ir.FloatType) else "f64"


# ---- arithmetic ----------------------------------------------------------------------


def _arithmetic(for_floats: str, for_integers: str) -> Row:
    def row(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
        return getattr(b, for_floats if dtype.is_float else for_integers)(x, y)

    return row


def _divide(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
    return b.fdiv(x, y)


def _safe_division(
    b: IRBuilder, dtype: DType, x: IRValue, y: IRValue
) -> tuple[IRValue, IRValue, IRValue]:
    """Quotient and remainder towards zero, and whether the divisor is zero.

    A zero divisor, and -1 below the smallest integer, would stop the processor: they
    are replaced by 1 first.
    """
    zero, one = number(y.type, 0), number(y.type, 1)
    is_zero = b.icmp_signed("==", y, zero)
    divisor = b.select(is_zero, one, y)
    if dtype.kind == "u":
        return b.udiv(x, divisor), b.urem(x, divisor), is_zero
    minus = b.icmp_signed("==", divisor, number(y.type, -1))
    divisor = b.select(minus, one, divisor)
    quotient = b.sdiv(x, divisor)
    quotient = b.select(minus, b.sub(zero, x), quotient)
    rest = b.select(minus, zero, b.srem(x, divisor))
    return quotient, rest, is_zero


def _integer_floor(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
    quotient, rest, is_zero = _safe_division(b, dtype, x, y)
    zero = number(x.type, 0)
    if dtype.kind == "i":
        signs = b.icmp_signed("<", b.xor(rest, y), zero)
        uneven = b.and_(b.icmp_signed("!=", rest, zero), signs)
        quotient = b.select(uneven, b.sub(quotient, number(x.type, 1)), quotient)
    return b.select(is_zero, zero, quotient)


def _integer_modulo(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
    _, rest, is_zero = _safe_division(b, dtype, x, y)
    zero = number(x.type, 0)
    if dtype.kind == "i":
        signs = b.icmp_signed("<", b.xor(rest, y), zero)
        uneven = b.and_(b.icmp_signed("!=", rest, zero), signs)
        rest = b.select(uneven, b.add(rest, y), rest)
    return b.select(is_zero, zero, rest)


def _float_modulo(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
    # the remainder of C is exact and has the sign of x; move it to the sign of y
    rest = b.frem(x, y)
    zero = number(x.type, 0.0)
    nonzero = b.fcmp_unordered("!=", rest, zero)
    moved = b.select(_turns(b, rest, y), b.fadd(rest, y), rest)
    return b.select(nonzero, moved, intrinsic(b, "copysign", zero, y))


def _turns(b: IRBuilder, rest: IRValue, y: IRValue) -> IRValue:
    """Whether a remainder is not zero and has not the sign of the divisor."""
    zero = number(rest.type, 0.0)
    differ = b.xor(b.fcmp_ordered("<", rest, zero), b.fcmp_ordered("<", y, zero))
    return b.and_(b.fcmp_unordered("!=", rest, zero), differ)


def _floor_divide(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
    if not dtype.is_float:
        return _integer_floor(b, dtype, x, y)
    zero, half = number(x.type, 0.0), number(x.type, 0.5)
    rest = b.frem(x, y)
    quotient = b.fdiv(b.fsub(x, rest), y)
    lower = b.fsub(quotient, number(x.type, 1.0))
    quotient = b.select(_turns(b, rest, y), lower, quotient)
    floor = intrinsic(b, "floor", quotient)
    above = b.fcmp_ordered(">", b.fsub(quotient, floor), half)
    near = b.select(above, b.fadd(floor, number(x.type, 1.0)), floor)
    exact = b.fdiv(x, y)
    near = b.select(
        b.fcmp_ordered("==", quotient, zero),
        intrinsic(b, "copysign", zero, exact),
        near,
    )
    # a zero divisor gives what the division gives, as in NumPy
    return b.select(b.fcmp_ordered("==", y, zero), exact, near)


def _remainder(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
    if not dtype.is_float:
        return _integer_modulo(b, dtype, x, y)
    return _float_modulo(b, dtype, x, y)


def _integer_power(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
    zero, one = number(x.type, 0), number(x.type, 1)
    result, base, exponent = one, x, y
    for _ in range(dtype.bits):
        odd = b.icmp_signed("!=", b.and_(exponent, one), zero)
        result = b.select(odd, b.mul(result, base), result)
        base = b.mul(base, base)
        exponent = b.lshr(exponent, one)
    if dtype.kind == "u":
        return result
    odd = b.icmp_signed("!=", b.and_(y, one), zero)
    minus = b.icmp_signed("==", x, number(x.type, -1))
    unit = b.or_(minus, b.icmp_signed("==", x, one))
    inverse = b.select(unit, b.select(odd, x, one), zero)
    return b.select(b.icmp_signed("<", y, zero), inverse, result)


def _power(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
    if dtype.is_float:
        return math.emit(b, "power", x, y)
    return _integer_power(b, dtype, x, y)


def _negative(b: IRBuilder, dtype: DType, x: IRValue) -> IRValue:
    return b.fneg(x) if dtype.is_float else b.neg(x)


def _absolute(b: IRBuilder, dtype: DType, x: IRValue) -> IRValue:
    if dtype.is_float:
        return intrinsic(b, "fabs", x)
    if dtype.kind == "u":
        return x
    below = b.icmp_signed("<", x, number(x.type, 0))
    return b.select(below, b.neg(x), x)


def _sign(b: IRBuilder, dtype: DType, x: IRValue) -> IRValue:
    if dtype.is_float:
        return math.emit(b, "sign", x)
    zero, one = number(x.type, 0), number(x.type, 1)
    if dtype.kind == "u":
        return b.select(b.icmp_unsigned("!=", x, zero), one, zero)
    below = b.select(b.icmp_signed("<", x, zero), number(x.type, -1), zero)
    return b.select(b.icmp_signed(">", x, zero), one, below)


def _extreme(relation: str) -> Row:
    def row(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
        if not dtype.is_float:
            return b.select(_compare(b, dtype, relation, x, y), x, y)
        # not-a-number wins, and of two the first
        first = b.fcmp_ordered(relation, x, y)
        first = b.or_(first, b.fcmp_unordered("uno", x, x))
        return b.select(first, x, y)

    return row


# ---- comparison and logic ------------------------------------------------------------


def _compare(
    b: IRBuilder, dtype: DType, relation: str, x: IRValue, y: IRValue
) -> IRValue:
    if dtype.is_float:
        ordered = b.fcmp_unordered if relation == "!=" else b.fcmp_ordered
        return ordered(relation, x, y)
    if dtype.kind == "i":
        return b.icmp_signed(relation, x, y)
    return b.icmp_unsigned(relation, x, y)


def _comparison(relation: str) -> Row:
    def row(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
        return _compare(b, dtype, relation, x, y)

    return row


def _bits(name: str) -> Row:
    def row(b: IRBuilder, dtype: DType, x: IRValue, y: IRValue) -> IRValue:
        return getattr(b, name)(x, y)

    return row


def _not(b: IRBuilder, dtype: DType, x: IRValue) -> IRValue:
    return b.not_(x)


def _shift_left(b: IRBuilder, dtype: DType, x: IRValue, count: IRValue) -> IRValue:
    inside = b.icmp_unsigned("<", count, number(count.type, dtype.bits))
    zero = number(x.type, 0)
    shifted = b.shl(x, b.select(inside, count, zero))
    return b.select(inside, shifted, zero)


def _shift_right(b: IRBuilder, dtype: DType, x: IRValue, count: IRValue) -> IRValue:
    inside = b.icmp_unsigned("<", count, number(count.type, dtype.bits))
    zero = number(x.type, 0)
    if dtype.kind == "u":
        shifted = b.lshr(x, b.select(inside, count, zero))
        return b.select(inside, shifted, zero)
    return b.ashr(x, b.select(inside, count, number(x.type, dtype.bits - 1)))


def _where(
    b: IRBuilder, dtype: DType, condition: IRValue, x: IRValue, y: IRValue
) -> IRValue:
    return b.select(condition, x, y)


# ---- conversion ----------------------------------------------------------------------


def convert(b: IRBuilder, source: DType, target: DType, x: IRValue) -> IRValue:
    """`x` in another dtype; a float saturates in an integer type."""
    if target.is_half:
        return rounded(b, target, convert(b, source, float32, x))
    source = source.compute
    if source is target:
        return x
    kind = like(x, element_type(target))
    if target.is_bool:
        return _compare(b, source, "!=", x, number(x.type, 0))
    if source.is_float:
        return _from_float(b, source, target, x, kind)
    if target.is_float:
        return b.sitofp(x, kind) if source.kind == "i" else b.uitofp(x, kind)
    if target.bits < source.bits and not source.is_bool:
        return b.trunc(x, kind)
    if target.bits == source.bits and not source.is_bool:
        return x
    return b.sext(x, kind) if source.kind == "i" else b.zext(x, kind)


def _from_float(
    b: IRBuilder, source: DType, target: DType, x: IRValue, kind: IRType
) -> IRValue:
    if target.is_float:
        wider = target.bits > source.bits
        return b.fpext(x, kind) if wider else b.fptrunc(x, kind)
    name = "fptosi" if target.kind == "i" else "fptoui"
    full = f"llvm.{name}.sat.{suffix(kind)}.{suffix(x.type)}"
    function = b.module.globals.get(full)
    if function is None:
        function = ir.Function(b.module, ir.FunctionType(kind, [x.type]), full)
    return b.call(function, [x])


def _elementary(name: str) -> Row:
    def row(b: IRBuilder, dtype: DType, *inputs: IRValue) -> IRValue:
        return math.emit(b, name, *inputs)

    return row


ROWS: dict[str, Row] = {
    "add": _arithmetic("fadd", "add"),
    "subtract": _arithmetic("fsub", "sub"),
    "multiply": _arithmetic("fmul", "mul"),
    "divide": _divide,
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "power": _power,
    "negative": _negative,
    "absolute": _absolute,
    "sign": _sign,
    "maximum": _extreme(">"),
    "minimum": _extreme("<"),
    "equal": _comparison("=="),
    "not_equal": _comparison("!="),
    "less": _comparison("<"),
    "less_equal": _comparison("<="),
    "logical_and": _bits("and_"),
    "logical_or": _bits("or_"),
    "logical_xor": _bits("xor"),
    "logical_not": _not,
    "bitwise_and": _bits("and_"),
    "bitwise_or": _bits("or_"),
    "bitwise_xor": _bits("xor"),
    "bitwise_invert": _not,
    "shift_left": _shift_left,
    "shift_right": _shift_right,
    "where": _where,
    "identity": lambda b, dtype, x: x,
    "stop_gradient": lambda b, dtype, x: x,
    **{
        name: _elementary(name)
        for name in math.FUNCTIONS
        if name not in ("power", "abs", "sign")
    },
}


# Where the result leaps, a float of 16 bits counts as it is stored: what compares equal
# in memory compares equal in registers.
LEAPS = frozenset({"equal", "not_equal", "less", "less_equal", "floor", "ceil"})
LEAPS |= {"trunc", "round", "floor_divide", "remainder"}


def emit(
    b: IRBuilder,
    name: str,
    result: DType,
    sources: tuple[DType, ...],
    inputs: tuple[IRValue, ...],
) -> IRValue:
    """The value of the operation `name` of scalars, or of vectors of one length."""
    if name in LEAPS or (name == "cast" and not result.is_float):
        pairs = zip(sources, inputs, strict=True)
        inputs = tuple(rounded(b, source, x) for source, x in pairs)
    if name == "cast":
        return convert(b, sources[0], result, inputs[0])
    if name == "bitcast":
        return b.bitcast(inputs[0], like(inputs[0], element_type(result)))
    if name == "random_bits":
        return _random_bits(b, *inputs)
    if name not in ROWS:
        raise GraphError("the operation has no emission row", where=name)
    return ROWS[name](b, sources[-1] if name == "where" else sources[0], *inputs)


def _random_bits(
    b: IRBuilder, key0: IRValue, key1: IRValue, position: IRValue
) -> IRValue:
    word = like(position, ir.IntType(32))
    low = b.trunc(position, word)
    high = b.trunc(b.lshr(position, number(position.type, 32)), word)
    first, _ = emit_threefry2x32(b, key0, key1, low, high)
    return first
