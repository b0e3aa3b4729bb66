"""sin, cos, tan, asin, acos, atan and atan2 as straight-line vector code.

sin and cos need x modulo pi/2, for arguments as large as 2^1023. Following Payne and
Hanek, only the bits of 2/pi matter that stand near the exponent of x: those before them
contribute whole turns, those after them nothing that could be seen. The bits are chosen
by selects among constants (no table in memory), multiplied by the integer significand
modulo 2^64 (float32) or 2^128 (float64), and what remains is the exact fraction of a
quarter turn in fixed point. All arguments above pi/4 take this one path.

Papers: M. Payne and R. Hanek, "Radian reduction for trigonometric functions", 1983;
K. C. Ng, "Argument reduction for huge arguments: good to the last bit", 1992.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from chainrule.compiler.kernels.lanes import Lanes, fma, polynomial, where
from chainrule.compiler.kernels.polynomials import (
    ARCSINE,
    ARCTANGENT,
    COSINE,
    SINE,
)

# The binary digits of 2/pi after the point, 64 a word, behind a word of zeros that
# serves arguments near one.
TWO_OVER_PI = (
    0x0000000000000000,
    0xA2F9836E4E441529,
    0xFC2757D1F534DDC0,
    0xDB6295993C439041,
    0xFE5163ABDEBBC561,
    0xB7246E3A424DD2E0,
    0x06492EEA09D1921C,
    0xFE1DEB1CB129A73E,
    0xE88235F52EBB4484,
    0xE99C7026B45F7E41,
    0x3991D639835339F4,
    0x9C845F8BBDF9283B,
    0x1FF897FFDE05980F,
    0xEF2F118B5A0A6D1F,
    0x6D367ECF27CB09B7,
    0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B,
    0x3D0739F78A5292EA,
    0x6BFB5FB11F8D5D08,
    0x56033046FC7B6BAB,
)
LOW_32 = 0xFFFFFFFF

# pi/2 as the nearest number of the format, and what is left
HALF_PI_HIGH = {32: 1.57079637050628662109375, 64: math.pi / 2}
HALF_PI_LOW = {32: -4.371139e-08, 64: 6.123233995736766e-17}


Pair = tuple[Lanes, Lanes]


class Turn(NamedTuple):
    """|x| = quarters * pi/2 + angle + rest, |angle| <= pi/4; quarters modulo 4.

    `quarters` is an integer of the width of x. `rest` is None in float32, where `angle`
    is rounded from float64.
    """

    quarters: Lanes
    angle: Lanes
    rest: Lanes | None


def reduce(x: Lanes) -> Turn:
    """Subtract quarter turns from |x|; angle is nan where x is not finite."""
    size = x.absolute()
    whole = size.as_integer().resize(64)
    exponent = whole >> x.format.fraction
    hidden = 1 << x.format.fraction
    significand = (whole & (hidden - 1)) | hidden
    skipped = exponent - (x.format.bias + x.format.fraction + 2 - 64)
    turn = _turn32 if x.bits == 32 else _turn64
    quarters, angle, rest = turn(significand, skipped)
    near = size <= math.pi / 4
    angle = where(near, size, where(size < math.inf, angle, math.nan))
    rest = None if rest is None else where(near, 0.0, rest)
    return Turn(where(near, 0, quarters).resize(x.bits), angle, rest)


def _turn32(significand: Lanes, skipped: Lanes) -> Turn:
    """64 bits of the fraction, good for 2^-61 of a quarter turn."""
    high, middle = _window(skipped, TWO_OVER_PI[:5], levels=2, words=2)
    fixed = significand * high + (significand * (middle >> 32) >> 32)
    quarters, signed = _round_quarters(fixed)
    angle = signed.signed_to_double() * (math.pi / 2 * 2.0**-62)
    return Turn(quarters, angle.narrow(), None)


def _turn64(significand: Lanes, skipped: Lanes) -> Turn:
    """128 bits of the fraction; the angle is the sum of two numbers."""
    high, middle, low = _window(skipped, TWO_OVER_PI, levels=5, words=3)
    carried = _multiply_high(significand, low)
    below = significand * middle + carried
    carry = (below < carried).resize(64)
    fixed = significand * high + _multiply_high(significand, middle) + carry
    quarters, signed = _round_quarters(fixed)
    negative = signed.shift_arithmetic(63)
    angle, rest = _quarters_to_radians(signed ^ negative, below ^ negative)
    return Turn(quarters, _flip(angle, negative), _flip(rest, negative))


def _quarters_to_radians(high: Lanes, low: Lanes) -> Pair:
    """(high + 2^-64 low) 2^-62 pi/2 as a sum of two numbers, for 0 <= high < 2^62."""
    coarse = (high & ~0xFFF).signed_to_double() * 2.0**-62
    fine = ((high & 0xFFF) << 51) | (low >> 13)
    fine_part = fine.signed_to_double() * 2.0**-113
    product = coarse * HALF_PI_HIGH[64]
    error = fma(coarse, HALF_PI_HIGH[64], -product)
    error = fma(coarse, HALF_PI_LOW[64], error)
    error = fma(fine_part, HALF_PI_LOW[64], error)
    error = fma(fine_part, HALF_PI_HIGH[64], error)
    angle = product + error
    return angle, product - angle + error


def _round_quarters(fixed: Lanes) -> tuple[Lanes, Lanes]:
    """The nearest number of quarters (top two bits), and the signed remainder."""
    quarters = fixed + (1 << 61) >> 62
    return quarters, fixed - (quarters << 62)


def _window(
    skipped: Lanes, digits: Sequence[int], levels: int, words: int
) -> list[Lanes]:
    """`words` words of the digits that begin after `skipped` bits.

    The index of the first word is resolved bit by bit, the highest first, so that the
    number of selects grows with the number of digits and not with its product.
    """
    index = skipped >> 6
    chosen: list[Lanes] = [skipped.constant(word) for word in digits]
    for level in reversed(range(levels)):
        step = 1 << level
        mask = (index & step).differs(0)
        needed = min(words + step, len(chosen))
        chosen = [
            where(mask, chosen[i + step], chosen[i])
            if i + step < len(chosen)
            else chosen[i]
            for i in range(needed)
        ]
    return [chosen[i].intrinsic("fshl", chosen[i + 1], skipped) for i in range(words)]


def _multiply_high(left: Lanes, right: Lanes) -> Lanes:
    """The upper 64 bits of a product of 64-bit integers, left < 2^54."""
    left_low, left_high = left & LOW_32, left >> 32
    right_low, right_high = right & LOW_32, right >> 32
    first = left_high * right_low + (left_low * right_low >> 32)
    second = left_low * right_high + (first & LOW_32)
    return left_high * right_high + (first >> 32) + (second >> 32)


def _sine_cosine(turn: Turn) -> tuple[Lanes, Lanes]:
    """Of the reduced angle; `rest` enters by the first term of Taylor's series."""
    angle, rest = turn.angle, turn.rest
    bits = angle.bits
    square = angle * angle
    sine_series = square * polynomial(square, SINE[bits])
    cosine_series = polynomial(square, COSINE[bits])
    half = square * 0.5
    head = 1.0 - half
    lost = 1.0 - head - half
    if rest is None:
        sine = fma(angle, sine_series, angle)
        return sine, head + fma(square * square, cosine_series, lost)
    sine = angle + fma(angle, sine_series, fma(-half, rest, rest))
    return sine, head + fma(square * square, cosine_series, fma(-angle, rest, lost))


def _flip(value: Lanes, sign: Lanes) -> Lanes:
    """Exchange the sign where the top bit of the integer `sign` is set."""
    top = sign & (1 << (value.bits - 1))
    return (value.as_integer() ^ top).as_float()


def _quadrant_sign(quarters: Lanes) -> Lanes:
    """Bit 1 of the quarters moved to the place of the sign."""
    return quarters << (quarters.bits - 2)


def sin(x: Lanes) -> Lanes:
    """By the quarter: sin, cos, -sin, -cos of the reduced angle."""
    turn = reduce(x)
    sine, cosine = _sine_cosine(turn)
    odd = (turn.quarters & 1).differs(0)
    sign = _quadrant_sign(turn.quarters) ^ x.as_integer()
    return _flip(where(odd, cosine, sine), sign)


def cos(x: Lanes) -> Lanes:
    """By the quarter: cos, -sin, -cos, sin of the reduced angle."""
    turn = reduce(x)
    sine, cosine = _sine_cosine(turn)
    odd = (turn.quarters & 1).differs(0)
    return _flip(where(odd, sine, cosine), _quadrant_sign(turn.quarters + 1))


def tan(x: Lanes) -> Lanes:
    """sin/cos in even quarters, -cos/sin in odd ones."""
    turn = reduce(x)
    sine, cosine = _sine_cosine(turn)
    odd = (turn.quarters & 1).differs(0)
    ratio = where(odd, -cosine, sine) / where(odd, sine, cosine)
    return _flip(ratio, x.as_integer())


def _arcsine(x: Lanes, finish: Callable[[Lanes, Lanes], Lanes]) -> Lanes:
    """`finish(big, angle)`: the angle is asin|x|, or asin sqrt((1 - |x|)/2) if big."""
    size = x.absolute()
    big = size > 0.5
    square = where(big, fma(size, -0.5, 0.5), size * size)
    root = where(big, square.square_root(), size)
    series = polynomial(square, ARCSINE[x.bits])
    return finish(big, fma(root * square, series, root))


def asin(x: Lanes) -> Lanes:
    """asin|x|, or pi/2 - 2 asin sqrt((1 - |x|)/2) above one half."""

    def finish(big: Lanes, angle: Lanes) -> Lanes:
        rest = fma(angle, -2.0, HALF_PI_LOW[x.bits]) + HALF_PI_HIGH[x.bits]
        return where(big, rest, angle).with_sign_of(x)

    return _arcsine(x, finish)


def acos(x: Lanes) -> Lanes:
    """pi/2 - asin(x), or from the ends, where that would cancel."""

    def finish(big: Lanes, angle: Lanes) -> Lanes:
        signed = angle.with_sign_of(x)
        middle = HALF_PI_HIGH[x.bits] - (signed - HALF_PI_LOW[x.bits])
        double = angle + angle
        left = 2.0 * HALF_PI_HIGH[x.bits] - (double - 2.0 * HALF_PI_LOW[x.bits])
        return where(big, where(x < 0.0, left, double), middle)

    return _arcsine(x, finish)


def _arctangent(tangent: Lanes) -> Lanes:
    square = tangent * tangent
    series = polynomial(square, ARCTANGENT[tangent.bits])
    return fma(tangent * square, series, tangent)


def atan(x: Lanes) -> Lanes:
    """atan|x|, or pi/2 - atan(1/|x|) above one."""
    size = x.absolute()
    big = size > 1.0
    angle = _arctangent(where(big, 1.0 / size, size))
    rest = HALF_PI_HIGH[x.bits] - (angle - HALF_PI_LOW[x.bits])
    return where(big, rest, angle).with_sign_of(x)


def atan2(y: Lanes, x: Lanes) -> Lanes:
    """The angle of the point (x, y): atan of the smaller over the larger, unfolded."""
    bits = y.bits
    height, width = y.absolute(), x.absolute()
    steep = height > width
    small, large = where(steep, width, height), where(steep, height, width)
    level = small.equals(large)
    ratio = where(level, where(large.equals(0.0), large, 1.0), small / large)
    angle = _arctangent(ratio)
    angle = where(steep, HALF_PI_HIGH[bits] - (angle - HALF_PI_LOW[bits]), angle)
    unfolded = 2.0 * HALF_PI_HIGH[bits] - (angle - 2.0 * HALF_PI_LOW[bits])
    left = (x.as_integer() >> (bits - 1)).differs(0)
    angle = where(left, unfolded, angle)
    return where(x.is_nan(), x, angle).with_sign_of(y)
