"""x to the power y as straight-line vector code, with every special case of C99.

|x|^y = exp(y log|x|) needs the logarithm to about ten bits more than the result, since
y log|x| can reach the hundreds. For float32 both steps are done in float64. For float64
the logarithm is the sum of two numbers: log(m) = 2 atanh(s) with s = (m - 1)/(m + 1),
the leading terms of the series in double-double arithmetic.

Papers: T. J. Dekker, "A floating-point technique for extending the available
precision", 1971; P. T. P. Tang, 1990; ISO C99, annex F.9.4.4 (special cases).
"""

from __future__ import annotations

import math

from chainrule.compiler.kernels.exponential import (
    LOG2_E,
    LOG2_HIGH,
    reduce,
    scale,
    scale_twice,
)
from chainrule.compiler.kernels.lanes import Lanes, fma, polynomial, where
from chainrule.compiler.kernels.logarithm import split
from chainrule.compiler.kernels.polynomials import (
    POWER_ARCTANH,
    POWER_EXPONENTIAL,
    POWER_LOGARITHM,
)

Pair = tuple[Lanes, Lanes]

THIRD_HIGH = 1.0 / 3.0
THIRD_LOW = 1.850371707708594e-17
# log(2) with so few bits that n times it is exact, and what is left
LOG2_SHORT = 0.6931471805598903
LOG2_REST = 5.497923018708371e-14


def power(x: Lanes, y: Lanes) -> Lanes:
    """exp(y log|x|), its sign, and the cases in which the formula has no answer."""
    size = x.absolute()
    result = _power32(size, y) if x.bits == 32 else _power64(size, y)
    result = where(size.equals(1.0) & y.equals(y), 1.0, result)
    whole = y.intrinsic("floor").equals(y)
    half = y * 0.5
    odd = whole & ~half.intrinsic("floor").equals(half)
    impossible = (x < 0.0) & (x > -math.inf) & ~whole
    result = where(impossible, math.nan, result)
    result = where(odd, result.with_sign_of(x), result)
    return where(x.equals(1.0) | y.equals(0.0), 1.0, result)


def _with_ends(size: Lanes, logarithm: Lanes) -> Lanes:
    """log(0) = -inf; the logarithm of inf and of nan is the argument."""
    logarithm = where(size < math.inf, logarithm, size)
    return where(size.equals(0.0), -math.inf, logarithm)


def _bounded(exponent: Lanes, low: float, high: float) -> Lanes:
    exponent = where(exponent < low, low, exponent)
    return where(exponent > high, high, exponent)


def _power32(size: Lanes, y: Lanes) -> Lanes:
    wide = size.widen()
    count, fraction = split(wide)
    series = polynomial(fraction, POWER_LOGARITHM)
    logarithm = fma(fraction * fraction, series, fraction)
    logarithm = _with_ends(wide, fma(count, LOG2_HIGH[64], logarithm))
    exponent = _bounded(y.widen() * logarithm, -110.0, 90.0)
    shift = exponent.format.round_to_integer + exponent.format.bias
    shifted = fma(exponent, LOG2_E, shift)
    r = fma(shifted - shift, -LOG2_HIGH[64], exponent)
    minus_one = fma(r * r, polynomial(r, POWER_EXPONENTIAL), r)
    two_to_n = scale(shifted)
    return fma(minus_one, two_to_n, two_to_n).narrow()


def _power64(size: Lanes, y: Lanes) -> Lanes:
    high, low = _logarithm(size)
    product = y * _with_ends(size, high)
    error = fma(y, high, -product) + y * low
    exponent = _bounded(product, -750.0, 710.0)
    minus_one, shifted = reduce(exponent, 2 * exponent.format.bias)
    error = where(product.absolute() < 800.0, error, 0.0)
    result = fma(error, minus_one + 1.0, minus_one) + 1.0
    return scale_twice(result, shifted)


def _fast_two_sum(large: Lanes, small: Lanes) -> Pair:
    """The sum and its rounding error, where |large| >= |small| or large = 0."""
    total = large + small
    return total, large - total + small


def _logarithm(size: Lanes) -> Pair:
    count, fraction = split(size)
    s_high, s_low = _atanh_argument(fraction)
    square = s_high * s_high
    square_low = fma(s_high, s_high, -square) + s_high * s_low * 2.0
    term = square * THIRD_HIGH
    term_low = fma(square, THIRD_HIGH, -term)
    term_low = fma(square, THIRD_LOW, fma(square_low, THIRD_HIGH, term_low))
    rest = square * square * polynomial(square, POWER_ARCTANH)
    series, series_low = _fast_two_sum(term, rest)
    series_low = series_low + term_low
    product = s_high * series
    product_low = fma(s_high, series, -product)
    product_low = fma(s_high, series_low, fma(s_low, series, product_low))
    half, half_low = _fast_two_sum(s_high, product)
    half_low = half_low + (s_low + product_low)
    total, total_low = _fast_two_sum(count * LOG2_SHORT, half + half)
    total_low = fma(count, LOG2_REST, half_low + half_low) + total_low
    return _fast_two_sum(total, total_low)


def _atanh_argument(fraction: Lanes) -> Pair:
    """s = f/(2 + f) as a sum of two numbers, with one division."""
    below = fraction + 2.0
    below_low = fraction - (below - 2.0)
    reciprocal = 1.0 / below
    s_high = fraction * reciprocal
    remainder = fma(-s_high, below, fraction)
    remainder = fma(-s_high, below_low, remainder)
    return s_high, remainder * reciprocal
