"""What the elementary functions should give, and how far off a result is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def _sigmoid(x: Array) -> Array:
    tail = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, tail, 1) / (1 + tail))


def _erf(x: Array) -> Array:
    values = [math.erf(value) for value in x.tolist()]
    return np.array(values, x.dtype)


def _sign(x: Array) -> Array:
    return np.where(x == 0, x.dtype.type(0), np.sign(x))


REFERENCE: dict[str, Callable[..., Array]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": _erf,
    "sigmoid": _sigmoid,
    "power": np.power,
    "sqrt": np.sqrt,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.rint,
    "abs": np.abs,
    "sign": _sign,
}
BINARY = ("atan2", "power")
UNARY = tuple(name for name in REFERENCE if name not in BINARY)
# A more precise format than float64, where the machine has one.
EXTENDED = np.longdouble
HAS_EXTENDED = np.finfo(EXTENDED).nmant > 60


def evaluate(name: str, arrays: list[Array]) -> Array:
    """The reference in the next wider format: float64, or the extended one."""
    wide = np.float64 if arrays[0].dtype == np.float32 else EXTENDED
    with np.errstate(all="ignore"):
        return REFERENCE[name](*(array.astype(wide) for array in arrays))


def ulp_error(got: Array, expected: Array) -> Array:
    """Distance in units in the last place; infinite where a special value is wrong.

    An infinite result counts as the power of two just above the largest number; a wrong
    sign, also of a zero, and a nan in the wrong place are infinitely far off.
    """
    format_ = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        rounded = expected.astype(got.dtype)
        exponent = np.frexp(expected)[1] - 1
        smallest = np.maximum(exponent, format_.minexp) - format_.nmant
        unit = np.ldexp(np.ones_like(expected), smallest)
        beyond = np.ldexp(expected.dtype.type(1), format_.maxexp)
        wide = got.astype(expected.dtype)
        wide = np.where(np.isinf(got), np.copysign(beyond, wide), wide)
        distance = np.abs(wide - expected) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    distance = np.where(same & ~np.isfinite(rounded), 0, distance)
    wrong_sign = (np.signbit(got) != np.signbit(rounded)) & ~np.isnan(rounded)
    return np.where(np.isnan(distance) | wrong_sign, np.inf, distance)
