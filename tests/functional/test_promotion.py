"""Promotion: the standard's table, weak Python scalars, integers to float32."""

from __future__ import annotations

from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.errors import ArgumentError, DTypeError
from chainrule.ir.dtype import ALL, FLOATS, SIGNED, UNSIGNED, as_dtype

NAMES = [dtype.name for dtype in ALL]
STANDARD = [dtype.name for dtype in ALL if not dtype.is_half]
every_name = st.sampled_from(NAMES)


def oracle(*operands: Any) -> str | None:
    """The dtype by array-api-strict; None for a mix that the standard leaves open."""
    try:
        return str(np.dtype(strict.result_type(*operands)._np_dtype))
    except (TypeError, ValueError):
        return None


@given(st.sampled_from(STANDARD), st.sampled_from(STANDARD))
def test_two_dtypes_are_promoted_by_the_standards_table(
    first: str, second: str
) -> None:
    expected = oracle(getattr(strict, first), getattr(strict, second))
    if expected is not None:
        assert cr.result_type(first, second) == expected
        x = cr.ones(2, dtype=first), cr.ones(2, dtype=second)
        assert cr.where(True, *x).dtype == expected
        assert cr.equal(*x).dtype == cr.bool
        if expected != "bool":
            assert cr.add(*x).dtype == (x[0] * x[1]).dtype == expected


@pytest.mark.parametrize("integer", [*SIGNED, *UNSIGNED])
@pytest.mark.parametrize("floating", FLOATS)
def test_floats_win_over_integers(integer: Any, floating: Any) -> None:
    assert cr.result_type(integer, floating) is floating
    assert (cr.ones(1, dtype=floating) - cr.ones(1, dtype=integer)).dtype is floating


def test_wide_unsigned_with_signed_is_refused() -> None:
    with pytest.raises(DTypeError, match="no common type"):
        cr.ones(2, dtype="uint64") + cr.ones(2, dtype="int8")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scalar", [True, 3, 0.5])
def test_python_scalars_give_way(name: str, scalar: float) -> None:
    x = cr.ones(2, dtype=name)
    kinds = {"b": 0, "i": 1, "u": 1, "f": 2}
    weak = {bool: ("bool", 0), int: ("int64", 1), float: ("float32", 2)}[type(scalar)]
    expected = name if kinds[x.dtype.kind] >= weak[1] else weak[0]
    assert cr.result_type(x, scalar) == expected
    if expected != "bool":
        assert (x * scalar).dtype == (scalar * x).dtype == expected
        assert cr.where(x == 1, x, scalar).dtype == expected


@given(st.lists(st.one_of(every_name, st.sampled_from([1, 2.5, False])), min_size=1))
def test_the_order_of_scalars_does_not_matter(operands: list[Any]) -> None:
    try:
        expected = cr.result_type(*operands)
    except DTypeError:
        return
    scalars = [x for x in operands if not isinstance(x, str)]
    dtypes = [x for x in operands if isinstance(x, str)]
    assert cr.result_type(*scalars, *dtypes) is expected
    assert cr.result_type(*dtypes, *scalars) is expected


def test_scalars_traced_by_jit_give_way_too() -> None:
    @cr.jit
    def scaled(x: Any, scale: Any) -> Any:
        return x * scale, x * (scale * 2), cr.exp(scale)

    x = cr.ones(2, dtype="float32")
    for scale in (2.5, 3):
        assert [y.dtype.name for y in scaled(x, scale)] == ["float32"] * 3
    narrow = cr.ones(2, dtype="int8")
    assert [y.dtype.name for y in scaled(narrow, 3)] == ["int8", "int8", "float32"]
    assert [y.dtype.name for y in scaled(narrow, 1.5)] == ["float32"] * 3


def test_numpy_operands() -> None:
    x = cr.ones(2)
    assert (x * np.ones(2)).dtype == (np.ones(2) * x).dtype == "float64"
    assert isinstance(np.ones(2) * x, cr.Tensor)
    assert isinstance(np.float32(2) * x, cr.Tensor)
    assert (x * np.float32(2)).dtype == "float32"
    # a NumPy float64 scalar is a Python float
    assert (x * np.float64(2)).dtype == (np.float64(2) * x).dtype == "float32"
    assert (cr.ones(2, dtype="int8") + np.int32(1)).dtype == "int32"


@pytest.mark.parametrize("name", ["bool", "int8", "int64", "uint16"])
def test_functions_with_fractions_make_float32_of_integers(name: str) -> None:
    x = cr.ones(2, dtype=name)
    for function in (cr.exp, cr.sqrt, cr.mean, cr.softmax, cr.tanh, cr.std, cr.sigmoid):
        assert function(x).dtype == "float32", function
    assert (x / x).dtype == cr.atan2(x, x).dtype == "float32"
    assert (x / cr.ones(2, dtype="float64")).dtype == "float64"


def test_sums_of_integers_are_wide() -> None:
    assert cr.sum(cr.ones(3, dtype="int8")).dtype == "int64"
    assert cr.prod(cr.ones(3, dtype="uint8")).dtype == "uint64"
    assert cr.cumulative_sum(cr.ones(3, dtype="uint16")).dtype == "uint64"
    assert cr.sum(cr.asarray([True, True])).item() == 2
    assert cr.sum(cr.ones(3), dtype="float64").dtype == "float64"
    assert cr.sum(cr.full(300, 1, dtype="uint8")).item() == 300


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ArgumentError, match="does not fit"):
        cr.ones(2, dtype="int8") + 300
    with pytest.raises(ArgumentError, match="does not fit"):
        cr.full(2, -1, dtype="uint8")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_can_cast_is_promotion(name: str, other: str) -> None:
    try:
        expected = cr.result_type(name, other) == other
    except DTypeError:
        expected = False
    assert cr.can_cast(name, other) is expected
    assert cr.can_cast(cr.ones(1, dtype=name), other) is expected


@pytest.mark.parametrize("name", NAMES)
def test_kinds_are_those_of_the_standard(name: str) -> None:
    kinds = (
        "bool",
        "signed integer",
        "unsigned integer",
        "integral",
        "real floating",
        "complex floating",
        "numeric",
    )
    for kind in (*kinds, ("bool", "integral")):
        # beyond the standard, floats of 16 bits are floats as others
        known = name if name in STANDARD else "float32"
        expected = strict.isdtype(getattr(strict, known), kind)
        assert cr.isdtype(name, kind) is expected
    assert cr.isdtype(name, as_dtype(name))
    with pytest.raises(ArgumentError, match="kind"):
        cr.isdtype(name, "number")


def test_limits() -> None:
    for name in ("float32", "float64"):
        info, expected = cr.finfo(name), np.finfo(name)
        found = (info.bits, info.eps, info.max, info.min, info.smallest_normal)
        right = (expected.bits, expected.eps, expected.max, expected.min)
        assert found == (*right, expected.smallest_normal)
        assert info.dtype == name
    for dtype in (*SIGNED, *UNSIGNED):
        limits, known = cr.iinfo(cr.zeros(1, dtype=dtype)), np.iinfo(dtype.numpy)
        assert (limits.bits, limits.max, limits.min) == (
            known.bits,
            known.max,
            known.min,
        )
    with pytest.raises(DTypeError):
        cr.finfo("int8")
    with pytest.raises(DTypeError):
        cr.iinfo("float32")


def test_floats_beyond_an_integer_dtype_saturate() -> None:
    x = cr.asarray([-5, 0, 5])
    assert cr.clip(x, -np.inf, 2.5).tolist() == [-5, 0, 2]
    assert cr.full(1, np.nan, dtype="int8").tolist() == [0]


def test_conversion_saturates() -> None:
    x = cr.asarray([-1e30, -1.7, float("nan"), 1.7, float("inf")])
    assert cr.astype(x, "int8").tolist() == [-128, -1, 0, 1, 127]
    assert x.astype("bool").tolist() == [True] * 5
    assert cr.astype(x, "float64").dtype == "float64"


@given(
    st.lists(st.integers(1, 3), max_size=4).map(tuple),
    st.lists(st.integers(1, 3), max_size=4).map(tuple),
)
def test_shapes_broadcast_as_in_numpy(first: tuple[int, ...], second: Any) -> None:
    try:
        expected = np.broadcast_shapes(first, second)
    except ValueError:
        with pytest.raises(ValueError, match="broadcast"):
            cr.ones(first) + cr.ones(second)
        return
    assert (cr.ones(first) + cr.ones(second)).shape == expected
    assert [x.shape for x in cr.broadcast_arrays(cr.ones(first), cr.ones(second))] == [
        expected,
        expected,
    ]
