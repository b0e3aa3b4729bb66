"""log, log1p, asinh, acosh and atanh as straight-line vector code.

x = 2^n m with m in [2/3, 4/3) is found by integer arithmetic on the stored form; then
log(x) = n log(2) + f - f^2/2 + f^3 P(f) with f = m - 1 and log(2) in two pieces. log1p
finds f from x itself, not from the rounded 1 + x, by scaling x and 1 apart.

Papers: P. T. P. Tang, "Table-driven implementation of the logarithm function in IEEE
floating-point arithmetic", 1990; J.-M. Muller, "Elementary Functions", chapter 11.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from chainrule.compiler.kernels.exponential import LOG2_HIGH, LOG2_LOW
from chainrule.compiler.kernels.lanes import Lanes, fma, polynomial, where
from chainrule.compiler.kernels.polynomials import LOGARITHM

# The stored form of 2/3, where the significand's range begins.
TWO_THIRDS = {32: 0x3F2AAAAB, 64: 0x3FE5555555555555}


class Split(NamedTuple):
    """x = 2^exponent (1 + fraction); the exponent is held as a float."""

    exponent: Lanes
    fraction: Lanes


def split(x: Lanes) -> Split:
    """Take a positive finite number apart, subnormal ones too."""
    form = x.format
    subnormal = x < form.smallest_normal
    up = form.fraction + 1
    bits = where(subnormal, x * 2.0**up, x).as_integer()
    exponent = (bits - TWO_THIRDS[x.bits]).shift_arithmetic(form.fraction)
    significand = (bits - (exponent << form.fraction)).as_float()
    base = form.round_to_integer
    count = integer_to_float(exponent) - where(subnormal, x.constant(base + up), base)
    return Split(count, significand - 1.0)


def integer_to_float(number: Lanes) -> Lanes:
    """A small signed integer as a float, plus 1.5 * 2^fraction."""
    form = number.format
    base = form.power_bits(form.fraction) | 1 << (form.fraction - 1)
    return (number + base).as_float()


def _join(exponent: Lanes, fraction: Lanes) -> Lanes:
    """exponent log(2) + log(1 + fraction)."""
    bits = fraction.bits
    series = polynomial(fraction, LOGARITHM[bits])
    tail = fma(fraction, series, -0.5)
    tail = fma(fraction * fraction, tail, exponent * LOG2_LOW[bits])
    return fma(exponent, LOG2_HIGH[bits], fraction + tail)


def log(x: Lanes) -> Lanes:
    """n log(2) + log(1 + f); -inf at zero, nan below."""
    result = _join(*split(x))
    inside = (x > 0.0) & (x < math.inf)
    outside = where(x < 0.0, math.nan, where(x.equals(0.0), -math.inf, x))
    return where(inside, result, outside)


def log1p(x: Lanes) -> Lanes:
    """log(1 + x), exact to the last places near zero too."""
    inside = (x > -1.0) & (x < math.inf)
    outside = where(x < -1.0, math.nan, where(x.equals(-1.0), -math.inf, x))
    return where(inside, _log1p(x, x.constant(0.0)), outside).with_sign_of(x)


def _log1p(x: Lanes, doublings: Lanes) -> Lanes:
    """log(1 + x) + doublings * log(2), for -1 < x < inf.

    With 2^n near 1 + x, f = 2^-n x + (2^-n - 1): only the last sum rounds. 2^-n is
    taken four times too large and multiplied by 1/4, so that it is never subnormal.
    """
    form = x.format
    nearest = (x + 1.0).as_integer() - TWO_THIRDS[x.bits]
    exponent = nearest.shift_arithmetic(form.fraction)
    shift = exponent << form.fraction
    scaled = (x.as_integer() - shift).as_float()
    four = (x.as_integer().constant(form.power_bits(2)) - shift).as_float()
    fraction = scaled + fma(four, 0.25, -1.0)
    count = integer_to_float(exponent) - form.round_to_integer
    return _join(count + doublings, fraction)


def asinh(x: Lanes) -> Lanes:
    """log1p(a + a^2/(1 + sqrt(1 + a^2))) with a = |x|; log(2 a) from 2^60 on."""
    size = x.absolute()
    large = size > 2.0**60
    square = size * size
    argument = size + square / ((square + 1.0).square_root() + 1.0)
    return _log1p_or_double(size, large, argument).with_sign_of(x)


def acosh(x: Lanes) -> Lanes:
    """log1p(t + sqrt(t^2 + 2 t)) with t = x - 1; log(2 x) from 2^60 on."""
    excess = x - 1.0
    argument = excess + fma(excess, excess, excess + excess).square_root()
    result = _log1p_or_double(x, x > 2.0**60, argument)
    return where(x < 1.0, math.nan, result)


def _log1p_or_double(x: Lanes, large: Lanes, argument: Lanes) -> Lanes:
    doublings = where(large, x.constant(1.0), 0.0)
    result = _log1p(where(large, x, argument), doublings)
    return where(x < math.inf, result, x)


def atanh(x: Lanes) -> Lanes:
    """log1p(2 a/(1 - a))/2 with a = |x|."""
    size = x.absolute()
    result = log1p((size + size) / (1.0 - size)) * 0.5
    return result.with_sign_of(x)
