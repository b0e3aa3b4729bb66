"""Arithmetic on LLVM values, written as Python expressions.

`Lanes` wraps a scalar or a vector of floats, integers or booleans, so that a function
reads like its formula. Every operation emits one instruction (or one intrinsic) without
fast-math flags: the bits of a result do not depend on how many lanes there are.

A comparison is ordered (false where an operand is nan) and gives lanes of `i1`; `where`
picks by them. Integer lanes have no sign: `>>` shifts in zeros, `shift_arithmetic`
copies the sign.

Example:
    >>> from chainrule.compiler.llvm_types import ir
    >>> single = ir.FloatType()
    >>> function = ir.Function(ir.Module(), ir.FunctionType(single, [single]), "f")
    >>> builder = ir.IRBuilder(function.append_basic_block())
    >>> x = Lanes(builder, function.args[0])
    >>> print(where(x < 0.0, 0.0, fma(x, x, 1.0)).value.type)
    float
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.compiler.llvm_types import IRBuilder, IRType, IRValue, ir


@dataclass(frozen=True)
class Format:
    """What the algorithms need to know about an IEEE 754 binary format.

    Attributes:
        bits: width of the format, and of the integer with the same bits.
        fraction: stored bits of the significand.
        bias: added to the exponent in the stored form.
    """

    bits: int
    fraction: int
    bias: int

    @property
    def smallest_normal(self) -> float:
        """Below it, numbers lose bits."""
        return float(2.0 ** (1 - self.bias))

    @property
    def round_to_integer(self) -> float:
        """1.5 * 2^fraction: adding it rounds to an integer, kept in the low bits."""
        return float(1.5 * 2.0**self.fraction)

    def power_bits(self, exponent: int) -> int:
        """The stored form of 2^exponent."""
        return (exponent + self.bias) << self.fraction


FORMATS = {32: Format(32, 23, 127), 64: Format(64, 52, 1023)}


@dataclass(frozen=True, eq=False)
class Lanes:
    """A scalar or vector of one element type, and the builder that emits for it."""

    builder: IRBuilder
    value: IRValue

    # -- types ---------------------------------------------------------------------

    @property
    def element(self) -> IRType:
        """The type of one lane."""
        kind = self.value.type
        return kind.element if isinstance(kind, ir.VectorType) else kind

    @property
    def is_float(self) -> bool:
        """Whether the lanes are float32 or float64."""
        return isinstance(self.element, (ir.FloatType, ir.DoubleType))

    @property
    def bits(self) -> int:
        """Width of one lane."""
        if isinstance(self.element, ir.IntType):
            return int(self.element.width)
        return 32 if isinstance(self.element, ir.FloatType) else 64

    @property
    def format(self) -> Format:
        """The floating-point format of this width."""
        return FORMATS[self.bits]

    def _like(self, element: IRType) -> IRType:
        kind = self.value.type
        if isinstance(kind, ir.VectorType):
            return ir.VectorType(element, kind.count)
        return element

    def _wrap(self, value: IRValue) -> Lanes:
        return Lanes(self.builder, value)

    def constant(self, number: float) -> Lanes:
        """The same number in every lane, in the type of this value."""
        kind = self.value.type
        if isinstance(kind, ir.VectorType):
            return self._wrap(ir.Constant(kind, [number] * kind.count))
        return self._wrap(ir.Constant(kind, number))

    def lift(self, other: Lanes | float) -> Lanes:
        """A number becomes lanes of this type; lanes stay as they are."""
        return other if isinstance(other, Lanes) else self.constant(other)

    # -- arithmetic ----------------------------------------------------------------

    def _binary(self, float_op: str, integer_op: str, other: Lanes | float) -> Lanes:
        name = float_op if self.is_float else integer_op
        emit = getattr(self.builder, name)
        return self._wrap(emit(self.value, self.lift(other).value))

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._binary("fadd", "add", other)

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._binary("fsub", "sub", other)

    def __rsub__(self, other: float) -> Lanes:
        return self.constant(other) - self

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self._binary("fmul", "mul", other)

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self._wrap(self.builder.fdiv(self.value, self.lift(other).value))

    def __rtruediv__(self, other: float) -> Lanes:
        return self.constant(other) / self

    def __neg__(self) -> Lanes:
        return self._wrap(self.builder.fneg(self.value))

    # -- bits ----------------------------------------------------------------------

    def __and__(self, other: Lanes | int) -> Lanes:
        return self._wrap(self.builder.and_(self.value, self.lift(other).value))

    def __or__(self, other: Lanes | int) -> Lanes:
        return self._wrap(self.builder.or_(self.value, self.lift(other).value))

    def __xor__(self, other: Lanes | int) -> Lanes:
        return self._wrap(self.builder.xor(self.value, self.lift(other).value))

    def __invert__(self) -> Lanes:
        return self._wrap(self.builder.not_(self.value))

    def __lshift__(self, other: Lanes | int) -> Lanes:
        return self._wrap(self.builder.shl(self.value, self.lift(other).value))

    def __rshift__(self, other: Lanes | int) -> Lanes:
        return self._wrap(self.builder.lshr(self.value, self.lift(other).value))

    def shift_arithmetic(self, count: int) -> Lanes:
        """Shift right, with copies of the top bit."""
        return self._wrap(self.builder.ashr(self.value, self.lift(count).value))

    # -- comparisons ---------------------------------------------------------------

    def _compare(self, relation: str, other: Lanes | float) -> Lanes:
        right = self.lift(other).value
        if self.is_float:
            return self._wrap(self.builder.fcmp_ordered(relation, self.value, right))
        return self._wrap(self.builder.icmp_unsigned(relation, self.value, right))

    def __lt__(self, other: Lanes | float) -> Lanes:
        return self._compare("<", other)

    def __le__(self, other: Lanes | float) -> Lanes:
        return self._compare("<=", other)

    def __gt__(self, other: Lanes | float) -> Lanes:
        return self._compare(">", other)

    def __ge__(self, other: Lanes | float) -> Lanes:
        return self._compare(">=", other)

    def equals(self, other: Lanes | float) -> Lanes:
        """Whether the values are equal: false where one is nan."""
        return self._compare("==", other)

    def differs(self, other: Lanes | float) -> Lanes:
        """Whether the values are ordered and differ: false where one is nan."""
        return self._compare("!=", other)

    def is_nan(self) -> Lanes:
        """Whether the value is not a number."""
        unordered = self.builder.fcmp_unordered("uno", self.value, self.value)
        return self._wrap(unordered)

    # -- conversions ---------------------------------------------------------------

    def as_integer(self) -> Lanes:
        """The integer with the same bits."""
        kind = self._like(ir.IntType(self.bits))
        return self._wrap(self.builder.bitcast(self.value, kind))

    def as_float(self) -> Lanes:
        """The float with the same bits."""
        element = ir.FloatType() if self.bits == 32 else ir.DoubleType()
        return self._wrap(self.builder.bitcast(self.value, self._like(element)))

    def resize(self, bits: int) -> Lanes:
        """Integer lanes of another width: cut, or filled with zeros."""
        if bits == self.bits:
            return self
        kind = self._like(ir.IntType(bits))
        emit = self.builder.zext if bits > self.bits else self.builder.trunc
        return self._wrap(emit(self.value, kind))

    def widen(self) -> Lanes:
        """float32 to float64, exactly."""
        kind = self._like(ir.DoubleType())
        return self._wrap(self.builder.fpext(self.value, kind))

    def narrow(self) -> Lanes:
        """float64 to float32, rounded to nearest."""
        kind = self._like(ir.FloatType())
        return self._wrap(self.builder.fptrunc(self.value, kind))

    def signed_to_double(self) -> Lanes:
        """The signed integer as a float64, rounded to nearest."""
        kind = self._like(ir.DoubleType())
        return self._wrap(self.builder.sitofp(self.value, kind))

    # -- intrinsics ----------------------------------------------------------------

    def intrinsic(self, name: str, *others: Lanes | float) -> Lanes:
        """Call `llvm.<name>` on lanes of this type."""
        values = [self.value, *(self.lift(other).value for other in others)]
        function = _declare(self.builder.module, name, self.value.type, len(values))
        return self._wrap(self.builder.call(function, values))

    def absolute(self) -> Lanes:
        """The value without its sign."""
        return self.intrinsic("fabs")

    def square_root(self) -> Lanes:
        """The correctly rounded square root."""
        return self.intrinsic("sqrt")

    def with_sign_of(self, other: Lanes) -> Lanes:
        """This size with the sign of the other, zeros and nan included."""
        return self.intrinsic("copysign", other)


def _declare(module: IRValue, name: str, kind: IRType, arguments: int) -> IRValue:
    element, prefix = kind, ""
    if isinstance(kind, ir.VectorType):
        element, prefix = kind.element, f"v{kind.count}"
    full = f"llvm.{name}.{prefix}{element.intrinsic_name}"
    known = module.globals.get(full)
    if known is not None:
        return known
    return ir.Function(module, ir.FunctionType(kind, [kind] * arguments), full)


def fma(left: Lanes, right: Lanes | float, addend: Lanes | float) -> Lanes:
    """left * right + addend, rounded once."""
    return left.intrinsic("fma", right, addend)


def where(mask: Lanes, yes: Lanes | float, no: Lanes | float) -> Lanes:
    """`yes` where the mask holds, else `no`; at least one of them must be lanes."""
    if isinstance(yes, Lanes):
        no = yes.lift(no)
    else:
        assert isinstance(no, Lanes)
        yes = no.lift(yes)
    return Lanes(mask.builder, mask.builder.select(mask.value, yes.value, no.value))


def at_most(x: Lanes, limit: float) -> Lanes:
    """min(x, limit); nan stays nan."""
    return where(x > limit, limit, x)


def at_least(x: Lanes, limit: float) -> Lanes:
    """max(x, limit); nan stays nan."""
    return where(x < limit, limit, x)


def polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """sum_i coefficients[i] x^i by Horner's rule."""
    *lower, highest = coefficients
    result = x.constant(highest)
    for coefficient in reversed(lower):
        result = fma(result, x, coefficient)
    return result
