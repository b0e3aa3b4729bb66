"""What operations make of not-a-number, infinity, signed zeros and tiny numbers.

The expected values are those of NumPy and of the C standard's Annex F, written down
here, so that a change of a reference (and a compiled backend) is held to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import grad
from chainrule.ir import constant
from chainrule.ir.dtype import (
    FLOATS,
    SIGNED,
    UNSIGNED,
    DType,
    as_array,
    as_dtype,
    widen,
)
from tests.checks import same_bits

NAN, INF = np.nan, np.inf
TINY = {"float32": 1e-45, "float64": 5e-324}
FLOAT_NAMES = ("float32", "float64")

UNARY: dict[str, Callable[..., Any]] = {
    "absolute": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "expm1": np.expm1,
    "floor": np.floor,
    "log": np.log,
    "log1p": np.log1p,
    "negative": np.negative,
    "round_": np.rint,
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
}
BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "atan2": np.arctan2,
    "divide": np.divide,
    "equal": np.equal,
    "floor_divide": np.floor_divide,
    "less": np.less,
    "less_equal": np.less_equal,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "multiply": np.multiply,
    "not_equal": np.not_equal,
    "power": np.power,
    "remainder": np.remainder,
    "subtract": np.subtract,
}


def _special(dtype: str) -> np.ndarray[Any, Any]:
    info = np.finfo(dtype)
    numbers = [0.0, TINY[dtype], float(info.tiny), 0.5, 1.0, 2.5, float(info.max), INF]
    return np.array([NAN, *numbers, *(-x for x in numbers)], dtype)


@pytest.mark.parametrize("dtype", FLOAT_NAMES)
@pytest.mark.parametrize("name", sorted(UNARY))
def test_unary(name: str, dtype: str) -> None:
    x = _special(dtype)
    with np.errstate(all="ignore"):
        expected = UNARY[name](x)
    same_bits(getattr(ops, name)(constant(x)).data, expected, name)


@pytest.mark.parametrize("dtype", FLOAT_NAMES)
@pytest.mark.parametrize("name", sorted(BINARY))
def test_binary(name: str, dtype: str) -> None:
    x = _special(dtype)
    with np.errstate(all="ignore"):
        expected = BINARY[name](x[:, None], x[None, :])
    actual = getattr(ops, name)(constant(x[:, None]), constant(x[None, :])).data
    same_bits(actual, expected, name)


@pytest.mark.parametrize("dtype", FLOAT_NAMES)
def test_sigmoid_and_erf_saturate(dtype: str) -> None:
    x = np.array([NAN, INF, -INF, 1e4, -1e4, 0.0], dtype)
    same_bits(
        ops.sigmoid(constant(x)).data,
        np.array([NAN, 1, 0, 1, 0, 0.5], dtype),
        "sigmoid",
    )
    same_bits(ops.erf(constant(x)).data, np.array([NAN, 1, -1, 1, -1, 0], dtype), "erf")
    same_bits(ops.erf(constant(-x)).data[-1], np.array(-0.0, dtype), "erf of -0")


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "erf", "exp", "expm1", "atan"])
@pytest.mark.parametrize("dtype", FLOAT_NAMES)
def test_gradients_vanish_where_functions_saturate(name: str, dtype: str) -> None:
    function = getattr(ops, name)
    for x in (-1e4, -INF) if name.startswith("exp") else (-1e4, 1e4):
        slope = grad(function)(constant(x, dtype=as_dtype(dtype))).data
        assert 0 <= slope <= 2e-8


NUMBERS = (NAN, INF, -INF, 1e30, -1e30, 300.7, -300.7, 127.9, -128.9, 1.5, -0.5, -0.0)


@pytest.mark.parametrize("target", [*SIGNED, *UNSIGNED, *FLOATS], ids=str)
@pytest.mark.parametrize("dtype", FLOAT_NAMES)
def test_conversion_saturates(dtype: str, target: DType) -> None:
    x = np.array(NUMBERS, dtype)
    actual = ops.cast(constant(x), dtype=target).data
    assert actual.dtype == target.numpy
    if target.is_float:
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(widen(actual), widen(as_array(x, target)))
        return
    low, high = np.iinfo(target.numpy).min, np.iinfo(target.numpy).max

    def saturated(number: float) -> int:
        if number != number:
            return 0
        if abs(number) == INF:
            return high if number > 0 else low
        return min(max(int(number), low), high)

    assert actual.tolist() == [saturated(float(number)) for number in x]


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("dtype", FLOAT_NAMES)
def test_conversion_at_the_ends_of_integers(dtype: str, bits: int) -> None:
    for target in (as_dtype(f"int{bits}"), as_dtype(f"uint{bits}")):
        info = np.iinfo(target.numpy)
        for end in (info.min, info.max):
            near = np.array(float(end), dtype)
            around = [np.nextafter(near, np.array(s * INF, dtype)) for s in (-1, 1)]
            x = np.array([near, *around], dtype)
            actual = ops.cast(constant(x), dtype=target).data
            expected = [min(max(int(v), int(info.min)), int(info.max)) for v in x]
            assert actual.tolist() == expected


def test_conversion_to_bool_and_between_integers() -> None:
    x = np.array([NAN, 0.0, -0.0, 1e-45, INF], np.float32)
    actual = ops.cast(constant(x), dtype=as_dtype("bool")).data
    assert actual.tolist() == [True, False, False, True, True]
    wrapped = ops.cast(constant(np.array([-1, 256, 300])), dtype=as_dtype("uint8")).data
    assert wrapped.tolist() == [255, 0, 44]
