"""Elementary functions for the compiler: LLVM has none that are vectors.

`emit` writes a function out as straight-line code on scalars or vectors of float32 or
float64: no branch, no call of a C library's function, no table in memory, no fast-math
flag. A value depends on the argument alone, never on how many lanes there are. Where a
machine has no fused multiply-add, LLVM calls its own exact replacement.

`MAXIMUM_ULP` bounds the error in units in the last place of the correctly rounded
result, subnormal results included: measured over all float32 arguments for functions of
one argument, and over dense samples for float64 and for functions of two. Special
values follow C99, annex F; `sign` of a zero is 0 and `round` goes to even, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable

from chainrule.compiler.kernels import exponential, logarithm, trigonometric
from chainrule.compiler.kernels.lanes import Lanes, where
from chainrule.compiler.kernels.power import power
from chainrule.compiler.llvm_types import IRBuilder, IRValue
from chainrule.errors import ArgumentError


def _intrinsic(name: str) -> Callable[[Lanes], Lanes]:
    def emit_intrinsic(x: Lanes) -> Lanes:
        return x.intrinsic(name)

    return emit_intrinsic


def _sign(x: Lanes) -> Lanes:
    """-1, 0 or 1; nan stays nan."""
    nonzero = where(x > 0.0, 1.0, where(x < 0.0, x.constant(-1.0), x))
    return where(x.equals(0.0), 0.0, nonzero)


# How each primitive is written out, by its name.
FUNCTIONS: dict[str, Callable[..., Lanes]] = {
    "exp": exponential.exp,
    "expm1": exponential.expm1,
    "log": logarithm.log,
    "log1p": logarithm.log1p,
    "sin": trigonometric.sin,
    "cos": trigonometric.cos,
    "tan": trigonometric.tan,
    "asin": trigonometric.asin,
    "acos": trigonometric.acos,
    "atan": trigonometric.atan,
    "atan2": trigonometric.atan2,
    "sinh": exponential.sinh,
    "cosh": exponential.cosh,
    "tanh": exponential.tanh,
    "asinh": logarithm.asinh,
    "acosh": logarithm.acosh,
    "atanh": logarithm.atanh,
    "erf": exponential.erf,
    "sigmoid": exponential.sigmoid,
    "power": power,
    "sqrt": _intrinsic("sqrt"),
    "floor": _intrinsic("floor"),
    "ceil": _intrinsic("ceil"),
    "trunc": _intrinsic("trunc"),
    "round": _intrinsic("rint"),
    "abs": _intrinsic("fabs"),
    "sign": _sign,
}

# Those that are more than one instruction or two.
WRITTEN_OUT = frozenset(FUNCTIONS) - {
    "sqrt",
    "floor",
    "ceil",
    "trunc",
    "round",
    "abs",
    "sign",
}

# Largest error in units in the last place, by width of the format in bits.
MAXIMUM_ULP: dict[str, dict[int, float]] = {
    "exp": {32: 1.0, 64: 1.0},
    "expm1": {32: 1.5, 64: 2.0},
    "log": {32: 1.0, 64: 1.0},
    "log1p": {32: 2.0, 64: 2.0},
    "sin": {32: 1.5, 64: 1.5},
    "cos": {32: 1.5, 64: 1.5},
    "tan": {32: 3.5, 64: 3.0},
    "asin": {32: 2.5, 64: 2.5},
    "acos": {32: 1.5, 64: 1.5},
    "atan": {32: 1.5, 64: 1.5},
    "atan2": {32: 2.0, 64: 2.0},
    "sinh": {32: 2.0, 64: 2.0},
    "cosh": {32: 2.0, 64: 2.0},
    "tanh": {32: 1.5, 64: 1.5},
    "asinh": {32: 2.5, 64: 2.5},
    "acosh": {32: 2.5, 64: 2.5},
    "atanh": {32: 2.5, 64: 2.5},
    "erf": {32: 1.5, 64: 1.5},
    "sigmoid": {32: 2.5, 64: 2.5},
    "power": {32: 1.0, 64: 3.0},
    "sqrt": {32: 0.5, 64: 0.5},
    "floor": {32: 0.0, 64: 0.0},
    "ceil": {32: 0.0, 64: 0.0},
    "trunc": {32: 0.0, 64: 0.0},
    "round": {32: 0.0, 64: 0.0},
    "abs": {32: 0.0, 64: 0.0},
    "sign": {32: 0.0, 64: 0.0},
}


def emit(builder: IRBuilder, name: str, *arguments: IRValue) -> IRValue:
    """Write out one elementary function.

    Args:
        builder: an llvmlite `IRBuilder` that stands where the code is to go.
        name: the primitive's name, a key of `FUNCTIONS`.
        *arguments: values of one type: float, double, or a vector of them.

    Returns:
        A value of the type of the arguments.

    Raises:
        ArgumentError: there is no such function.

    Example:
        >>> from chainrule.compiler.llvm_types import ir
        >>> kind = ir.VectorType(ir.FloatType(), 8)
        >>> function = ir.Function(ir.Module(), ir.FunctionType(kind, [kind]), "f")
        >>> builder = ir.IRBuilder(function.append_basic_block())
        >>> print(emit(builder, "tanh", function.args[0]).type)
        <8 x float>
    """
    if name not in FUNCTIONS:
        raise ArgumentError(
            "no such elementary function",
            where="emit",
            got=name,
            expected=", ".join(sorted(FUNCTIONS)),
        )
    lanes = (Lanes(builder, argument) for argument in arguments)
    return FUNCTIONS[name](*lanes).value
