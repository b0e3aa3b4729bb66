"""Elementwise operations on numbers: arithmetic, exponentials, trigonometry, rounding.

Inputs broadcast against one another and have one dtype. Backward rules are written
with the operations themselves, as `rule(cotangent, output, *inputs)`; the reverse walk
sums a cotangent over broadcast axes, so no rule needs to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.ir.dtype import FLOATS, SIGNED, UNSIGNED, DType
from chainrule.ir.primitive import Trait, Vjp, per_input
from chainrule.ops.define import (
    Array,
    Operation,
    Samples,
    elementwise_spec,
    operation,
    real_pairs,
    reals,
)
from chainrule.ops.logic import equal, less, less_equal, logical_and, where

INTEGERS = (*SIGNED, *UNSIGNED)
NUMBERS = (*INTEGERS, *FLOATS)


def _unary(
    name: str,
    reference: Callable[[Array], Any],
    rule: Callable[..., Any] | None,
    samples: Samples,
    *,
    dtypes: Sequence[DType] = FLOATS,
    doc: str = "",
) -> Operation:
    """Define a function of one number; without a rule its gradient is zero."""
    return operation(
        name,
        spec=elementwise_spec(name, dtypes),
        reference=reference,
        vjp=per_input(rule or _zero),
        dtypes=dtypes,
        samples=samples,
        traits=[Trait.ELEMENTWISE],
        doc=doc,
    )


def _zero(g: Any, y: Any, *inputs: Any) -> None:
    """The gradient of a step function: nothing flows."""


def _binary(
    name: str,
    reference: Callable[[Array, Array], Any],
    vjp: Vjp,
    samples: Samples,
    *,
    dtypes: Sequence[DType] = NUMBERS,
    commutative: bool = False,
    doc: str = "",
) -> Operation:
    traits = [Trait.ELEMENTWISE] + [Trait.COMMUTATIVE] * commutative
    return operation(
        name,
        spec=elementwise_spec(name, dtypes),
        reference=reference,
        vjp=vjp,
        dtypes=dtypes,
        samples=samples,
        traits=traits,
        doc=doc,
    )


# ---- arithmetic ----------------------------------------------------------------------

_ANY = (-2.0, 2.0)
_AWAY = (0.4, 2.0)

add = _binary(
    "add",
    np.add,
    per_input(lambda g, y, a, b: g, lambda g, y, a, b: g),
    real_pairs(_ANY, _ANY),
    commutative=True,
    doc="`a + b`; integers wrap around.",
)
subtract = _binary(
    "subtract",
    np.subtract,
    per_input(lambda g, y, a, b: g, lambda g, y, a, b: negative(g)),
    real_pairs(_ANY, _ANY),
    doc="`a - b`; integers wrap around.",
)
multiply: Operation = _binary(
    "multiply",
    np.multiply,
    per_input(lambda g, y, a, b: multiply(g, b), lambda g, y, a, b: multiply(g, a)),
    real_pairs(_ANY, _ANY),
    commutative=True,
    doc="`a * b`; integers wrap around.",
)
divide: Operation = _binary(
    "divide",
    np.divide,
    per_input(
        lambda g, y, a, b: divide(g, b),
        lambda g, y, a, b: negative(divide(multiply(g, y), b)),
    ),
    real_pairs(_ANY, _AWAY),
    dtypes=FLOATS,
    doc="`a / b`; by zero, infinity or not-a-number.",
)


def _floor_divide(a: Array, b: Array) -> Any:
    """`floor(a / b)`; an integer divided by zero gives 0."""
    return np.floor_divide(a, b)


def _remainder(a: Array, b: Array) -> Any:
    """`a - floor(a / b) * b`, with the sign of b; an integer modulo zero gives 0."""
    return np.remainder(a, b)


floor_divide = _binary(
    "floor_divide",
    _floor_divide,
    per_input(_zero),
    real_pairs((-7.3, 7.3), _AWAY, smooth=False),
)
remainder = _binary(
    "remainder",
    _remainder,
    per_input(
        lambda g, y, a, b: g,
        lambda g, y, a, b: negative(multiply(g, floor_divide(a, b))),
    ),
    real_pairs((0.45, 0.55), (0.6, 0.8)),
)


def _power(a: Array, b: Array) -> Any:
    """`a ** b`; integers to a negative power are truncated towards zero, as in C."""
    if np.asarray(b).dtype.kind != "i":
        return np.power(a, b)
    result = np.power(a, np.maximum(b, 0))
    odd = np.where(np.asarray(b) % 2 == 1, a, 1)
    inverse = np.where(np.abs(a) == 1, odd, 0).astype(result.dtype)
    return np.where(np.asarray(b) < 0, inverse, result)


def _power_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    # b * a**(b-1), and 0 where a = b = 0, where a**-1 is infinite
    origin = logical_and(equal(a, 0.0), equal(b, 0.0))
    return multiply(g, multiply(b, power(a, where(origin, 1.0, subtract(b, 1.0)))))


def _power_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    # y * log(a), and 0 where a = 0 <= b: the limit for a positive exponent. Of a
    # negative number no power but a whole one exists: not-a-number, by the logarithm
    at_zero = logical_and(equal(a, 0.0), less_equal(0.0, b))
    return multiply(g, multiply(y, log(where(at_zero, 1.0, a))))


power = _binary(
    "power", _power, per_input(_power_base, _power_exponent), real_pairs(_AWAY, _ANY)
)

negative: Operation = _unary(
    "negative",
    np.negative,
    lambda g, y, x: negative(g),
    reals(-2, 2),
    dtypes=NUMBERS,
    doc="`-x`; integers wrap around.",
)
absolute = _unary(
    "absolute",
    np.abs,
    lambda g, y, x: multiply(g, sign(x)),
    reals(0.3, 2),
    dtypes=NUMBERS,
    doc="`|x|`; the smallest integer is its own.",
)
sign: Operation = _unary(
    "sign",
    np.sign,
    None,
    reals(0.3, 2),
    dtypes=NUMBERS,
    doc="-1, 0 or 1; not-a-number stays.",
)
maximum = _binary(
    "maximum",
    np.maximum,
    per_input(lambda g, y, a, b: _share(g, a, b), lambda g, y, a, b: _share(g, b, a)),
    real_pairs((-2, -0.1), (0, 2)),
    commutative=True,
    doc="The larger of both; not-a-number wins. A tie shares its gradient.",
)
minimum = _binary(
    "minimum",
    np.minimum,
    per_input(lambda g, y, a, b: _share(g, b, a), lambda g, y, a, b: _share(g, a, b)),
    real_pairs((-2, -0.1), (0, 2)),
    commutative=True,
    doc="The smaller of both; not-a-number wins. A tie shares its gradient.",
)


def _share(g: Any, winner: Any, loser: Any) -> Any:
    # nothing for the loser, half in a tie; all for both where one is not a number, so
    # that the fault shows in the gradient too
    shared = where(equal(winner, loser), multiply(g, 0.5), g)
    return where(less(winner, loser), 0.0, shared)


# ---- exponentials and logarithms -----------------------------------------------------

exp = _unary(
    "exp",
    np.exp,
    lambda g, y, x: multiply(g, y),
    reals(-3, 3),
    doc="`e ** x`.",
)
expm1 = _unary(
    "expm1",
    np.expm1,
    lambda g, y, x: multiply(g, add(y, 1.0)),
    reals(-3, 3),
    doc="`e ** x - 1`, exact near 0.",
)
log = _unary(
    "log",
    np.log,
    lambda g, y, x: divide(g, x),
    reals(0.2, 4),
    doc="The natural logarithm; not-a-number below 0.",
)
log1p = _unary(
    "log1p",
    np.log1p,
    lambda g, y, x: divide(g, add(x, 1.0)),
    reals(-0.7, 4),
    doc="`log(1 + x)`, exact near 0.",
)
sqrt = _unary(
    "sqrt",
    np.sqrt,
    lambda g, y, x: divide(multiply(g, 0.5), y),
    reals(0.2, 4),
    doc="The square root; not-a-number below 0.",
)


def _sigmoid(x: Array) -> Any:
    """`1 / (1 + exp(-x))`, without overflow on either side."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


sigmoid = _unary(
    "sigmoid",
    _sigmoid,
    lambda g, y, x: multiply(g, multiply(y, subtract(1.0, y))),
    reals(-3, 3),
)

_exact_erf = np.frompyfunc(math.erf, 1, 1)


def _erf(x: Array) -> Any:
    """The error function, `2 / sqrt(pi) * integral of exp(-t**2) from 0 to x`."""
    return np.asarray(_exact_erf(x)).astype(np.asarray(x).dtype)


erf = _unary(
    "erf",
    _erf,
    lambda g, y, x: multiply(
        g, multiply(exp(negative(multiply(x, x))), 2 / math.sqrt(math.pi))
    ),
    reals(-2, 2),
)

# ---- trigonometric and hyperbolic ----------------------------------------------------

sin = _unary(
    "sin",
    np.sin,
    lambda g, y, x: multiply(g, cos(x)),
    reals(-3, 3),
    doc="The sine of x radians.",
)
cos: Operation = _unary(
    "cos",
    np.cos,
    lambda g, y, x: negative(multiply(g, sin(x))),
    reals(-3, 3),
    doc="The cosine of x radians.",
)
tan = _unary(
    "tan",
    np.tan,
    lambda g, y, x: multiply(g, add(multiply(y, y), 1.0)),
    reals(-1.2, 1.2),
    doc="The tangent of x radians.",
)
asin = _unary(
    "asin",
    np.arcsin,
    lambda g, y, x: divide(g, sqrt(subtract(1.0, multiply(x, x)))),
    reals(-0.9, 0.9),
    doc="The angle in [-pi/2, pi/2] whose sine is x.",
)
acos = _unary(
    "acos",
    np.arccos,
    lambda g, y, x: negative(divide(g, sqrt(subtract(1.0, multiply(x, x))))),
    reals(-0.9, 0.9),
    doc="The angle in [0, pi] whose cosine is x.",
)
atan = _unary(
    "atan",
    np.arctan,
    lambda g, y, x: divide(g, add(multiply(x, x), 1.0)),
    reals(-3, 3),
    doc="The angle in [-pi/2, pi/2] whose tangent is x.",
)


def _atan2_scale(g: Any, y: Any, a: Any, b: Any) -> Any:
    return divide(g, add(multiply(a, a), multiply(b, b)))


atan2 = _binary(
    "atan2",
    np.arctan2,
    per_input(
        lambda g, y, a, b: multiply(_atan2_scale(g, y, a, b), b),
        lambda g, y, a, b: negative(multiply(_atan2_scale(g, y, a, b), a)),
    ),
    real_pairs(_AWAY, _AWAY),
    dtypes=FLOATS,
    doc="The angle of the point (b, a) in [-pi, pi].",
)
sinh = _unary(
    "sinh",
    np.sinh,
    lambda g, y, x: multiply(g, cosh(x)),
    reals(-3, 3),
    doc="`(exp(x) - exp(-x)) / 2`.",
)
cosh: Operation = _unary(
    "cosh",
    np.cosh,
    lambda g, y, x: multiply(g, sinh(x)),
    reals(-3, 3),
    doc="`(exp(x) + exp(-x)) / 2`.",
)
tanh = _unary(
    "tanh",
    np.tanh,
    lambda g, y, x: multiply(g, subtract(1.0, multiply(y, y))),
    reals(-3, 3),
    doc="`sinh(x) / cosh(x)`.",
)
asinh = _unary(
    "asinh",
    np.arcsinh,
    lambda g, y, x: divide(g, sqrt(add(multiply(x, x), 1.0))),
    reals(-3, 3),
    doc="The number whose hyperbolic sine is x.",
)
acosh = _unary(
    "acosh",
    np.arccosh,
    lambda g, y, x: divide(g, sqrt(multiply(subtract(x, 1.0), add(x, 1.0)))),
    reals(1.3, 4),
    doc="The number >= 0 whose hyperbolic cosine is x.",
)
atanh = _unary(
    "atanh",
    np.arctanh,
    lambda g, y, x: divide(g, subtract(1.0, multiply(x, x))),
    reals(-0.9, 0.9),
    doc="The number whose hyperbolic tangent is x.",
)

# ---- rounding ------------------------------------------------------------------------

floor = _unary(
    "floor",
    np.floor,
    None,
    reals(0.1, 0.9),
    doc="The largest whole number not above x.",
)
ceil = _unary(
    "ceil",
    np.ceil,
    None,
    reals(0.1, 0.9),
    doc="The smallest whole number not below x.",
)
trunc = _unary(
    "trunc",
    np.trunc,
    None,
    reals(0.1, 0.9),
    doc="x without its fraction.",
)
round_ = _unary(
    "round",
    np.rint,
    None,
    reals(0.6, 1.4),
    doc="The nearest whole number; halves go to the even one.",
)
