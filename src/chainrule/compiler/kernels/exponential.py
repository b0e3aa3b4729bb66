"""exp, expm1, sinh, cosh, tanh, sigmoid and erf as straight-line vector code.

All rest on one reduction (Cody and Waite): x = n log(2) + r with |r| <= log(2)/2, where
log(2) is held in two pieces; exp(r) = 1 + r + r^2 P(r) and exp(x) = 2^n exp(r). Adding
1.5 * 2^fraction rounds to an integer and leaves it in the low bits, so n becomes an
exponent by shifts alone.

Papers: W. J. Cody and W. Waite, "Software Manual for the Elementary Functions", 1980;
P. T. P. Tang, "Table-driven implementation of the expm1 function in IEEE floating-point
arithmetic", 1992 (for the way in which 2^n - 1 and 2^n expm1(r) are put together).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from chainrule.compiler.kernels.lanes import (
    Lanes,
    at_least,
    at_most,
    fma,
    polynomial,
    where,
)
from chainrule.compiler.kernels.polynomials import (
    ERROR_LARGE,
    ERROR_SMALL,
    EXPONENTIAL,
    HYPERBOLIC_SINE,
    HYPERBOLIC_TANGENT,
)

# log(2) as the nearest number of the format, and what is left
LOG2_HIGH = {32: 0.693147182464599609375, 64: math.log(2.0)}
LOG2_LOW = {32: -1.9046542e-09, 64: 2.3190468138462996e-17}
LOG2_E = 1.4426950408889634

# Below the first, exp rounds to zero; above the second, to infinity.
EXP_RANGE = {32: (-104.0, 89.0), 64: (-746.0, 710.0)}


class Reduced(NamedTuple):
    """x = n log(2) + r.

    Attributes:
        minus_one: exp(r) - 1.
        shifted: the float whose low bits hold n plus the offset that was asked for.
    """

    minus_one: Lanes
    shifted: Lanes


def reduce(x: Lanes, offset: int) -> Reduced:
    """Split x and evaluate exp(r) - 1; `offset` is added to n in the low bits."""
    bits = x.bits
    shift = x.format.round_to_integer + offset
    shifted = fma(x, LOG2_E, shift)
    n = shifted - shift
    r = fma(n, -LOG2_HIGH[bits], x)
    r = fma(n, -LOG2_LOW[bits], r)
    minus_one = fma(r * r, polynomial(r, EXPONENTIAL[bits]), r)
    return Reduced(minus_one, shifted)


def scale(shifted: Lanes) -> Lanes:
    """2^(low bits - bias), for exponents in the normal range."""
    return (shifted.as_integer() << shifted.format.fraction).as_float()


def scale_twice(x: Lanes, shifted: Lanes) -> Lanes:
    """x * 2^(low bits - 2 bias) in two steps, so that the result may be subnormal."""
    fraction = shifted.format.fraction
    both = shifted.as_integer()
    half = both >> 1
    rest = both - half
    return x * (half << fraction).as_float() * (rest << fraction).as_float()


def _exp(x: Lanes, exponent: int) -> Lanes:
    """exp(x) * 2^exponent; the caller bounds x."""
    minus_one, shifted = reduce(x, 2 * x.format.bias + exponent)
    return scale_twice(minus_one + 1.0, shifted)


def exp(x: Lanes) -> Lanes:
    """2^n exp(r), rounded once more where the result is subnormal."""
    low, high = EXP_RANGE[x.bits]
    return _exp(at_most(at_least(x, low), high), 0)


def expm1(x: Lanes) -> Lanes:
    """2 (2^(n-1) expm1(r) + (2^(n-1) - 1/2)): halves keep 2^n finite at the top."""
    low = {32: -18.0, 64: -38.0}[x.bits]
    bounded = at_most(at_least(x, low), EXP_RANGE[x.bits][1])
    minus_one, shifted = reduce(bounded, x.format.bias - 1)
    half = scale(shifted)
    result = fma(minus_one, half, half - 0.5) * 2.0
    tiny = 2.0 ** (-x.format.fraction - 2)
    return where(x.absolute() < tiny, x, result)


def sinh(x: Lanes) -> Lanes:
    """An odd polynomial up to 1, then e/2 - 1/(2 e) with e = exp(|x|)."""
    size = x.absolute()
    square = size * size
    small = fma(size * square, polynomial(square, HYPERBOLIC_SINE[x.bits]), size)
    half = _half_exp(size)
    return where(size < 1.0, small, half - 0.25 / half).with_sign_of(x)


def cosh(x: Lanes) -> Lanes:
    """e/2 + 1/(2 e) with e = exp(|x|)."""
    half = _half_exp(x.absolute())
    return half + 0.25 / half


def _half_exp(size: Lanes) -> Lanes:
    """exp(size)/2, finite wherever sinh and cosh are."""
    return _exp(at_most(size, EXP_RANGE[size.bits][1] + 1.0), -1)


def tanh(x: Lanes) -> Lanes:
    """An odd polynomial up to 0.625, then 1 - 2/(exp(2|x|) + 1)."""
    size = x.absolute()
    square = size * size
    small = fma(size * square, polynomial(square, HYPERBOLIC_TANGENT[x.bits]), size)
    bounded = at_most(size, {32: 10.0, 64: 20.0}[x.bits])
    minus_one, shifted = reduce(bounded + bounded, x.format.bias)
    power = scale(shifted)
    large = 1.0 - 2.0 / fma(minus_one, power, power + 1.0)
    return where(size < 0.625, small, large).with_sign_of(x)


def sigmoid(x: Lanes) -> Lanes:
    """1/(1 + e) for x >= 0 and e/(1 + e) below, with e = exp(-|x|), never above 1."""
    tail = _exp(at_least(-x.absolute(), EXP_RANGE[x.bits][0]), 0)
    return where(x < 0.0, tail, 1.0) / (tail + 1.0)


def erf(x: Lanes) -> Lanes:
    """x + x P(x^2) up to 1, then 1 - exp(-Q(|x|))."""
    size = x.absolute()
    square = size * size
    small = fma(size, polynomial(square, ERROR_SMALL[x.bits]), size)
    bounded = at_most(size, {32: 4.0, 64: 6.0}[x.bits])
    exponent = -polynomial(bounded, ERROR_LARGE[x.bits])
    minus_one, shifted = reduce(exponent, x.format.bias)
    power = scale(shifted)
    large = fma(-minus_one, power, 1.0 - power)
    return where(size < 1.0, small, large).with_sign_of(x)
