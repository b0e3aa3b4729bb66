"""Data types and their promotion, against the reference of the array API standard."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import array_api_strict
import numpy as np
import pytest

from chainrule.errors import DTypeError
from chainrule.ir.dtype import (
    ALL,
    HALVES,
    DType,
    as_array,
    as_dtype,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int64,
    promote,
    widen,
)

PAIRS = list(itertools.product(ALL, repeat=2))
STANDARD = [pair for pair in PAIRS if not pair[0].is_half and not pair[1].is_half]
KIND = {"b": 0, "i": 1, "u": 1, "f": 2}


def _standard(dtype: DType) -> Any:
    return getattr(array_api_strict, dtype.name)


@pytest.mark.parametrize(("first", "second"), STANDARD, ids=str)
def test_promotion_is_that_of_the_standard(first: DType, second: DType) -> None:
    try:
        expected = array_api_strict.result_type(_standard(first), _standard(second))
    except TypeError:
        expected = None
    if expected is not None:
        assert promote(first, second) == str(expected).removeprefix("array_api_strict.")
    elif KIND[first.kind] != KIND[second.kind]:
        # beyond the standard: the higher kind wins
        assert promote(first, second) is max(first, second, key=lambda d: KIND[d.kind])
    else:
        with pytest.raises(DTypeError, match="no common type"):
            promote(first, second)


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=str)
def test_promotion_does_not_depend_on_the_order(first: DType, second: DType) -> None:
    def attempt(a: DType, b: DType) -> DType | None:
        try:
            return promote(a, b)
        except DTypeError:
            return None

    assert attempt(first, second) is attempt(second, first)


def test_floats_of_16_bits_are_promoted_as_the_widest_they_meet() -> None:
    for half in HALVES:
        for other in ALL:
            wider = other in (float32, float64)
            assert promote(half, other) is (other if wider else half) or other in HALVES
    assert promote(bfloat16, float16) is float32
    assert promote(bfloat16, bfloat16) is bfloat16


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_names_of_a_dtype(dtype: DType) -> None:
    # the record that holds the bits of a bfloat16 has no scalar type of its own
    types = [] if dtype is bfloat16 else [dtype.numpy.type]
    for name in (dtype, dtype.name, dtype.numpy, *types):
        assert as_dtype(name) is dtype
        assert dtype == name
    assert as_dtype(dtype.numpy.newbyteorder(">")) is dtype
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert dtype.itemsize == dtype.numpy.itemsize
    assert dtype.bits == 8 * dtype.itemsize
    assert [dtype.is_bool, dtype.is_integer, dtype.is_float].count(True) == 1
    assert repr(dtype) == f"chainrule.{dtype.name}"
    assert sum(dtype == other for other in ALL) == 1


def test_python_types_are_the_defaults() -> None:
    assert as_dtype(float) is float32
    assert as_dtype(int) is int64
    assert as_dtype(bool) is bool_
    names: list[Any] = [float, "float32", "f8"]
    assert [float32 == name for name in names] == [True, True, False]
    assert [float64 == name for name in names] == [False, False, True]


@pytest.mark.parametrize(
    "wrong", ["complex64", "float128", "object", "nonsense", None, 3, "U4"]
)
def test_other_types_are_refused(wrong: Any) -> None:
    assert all(dtype != wrong for dtype in ALL)
    with pytest.raises(DTypeError, match="no such data type"):
        as_dtype(wrong)


def test_spec_of_numpy() -> None:
    for dtype in ALL:
        assert as_dtype(np.zeros(1, dtype.numpy).dtype) is dtype


def _every_word() -> np.ndarray[Any, Any]:
    """Every bfloat16."""
    return np.arange(1 << 16, dtype=np.uint16).view(bfloat16.numpy)


def test_every_bfloat16_survives_float32() -> None:
    words = _every_word()
    wide = widen(words)
    back = as_array(wide, bfloat16)
    missing = np.isnan(wide)
    assert missing.sum() == 2 * 127
    np.testing.assert_array_equal(
        back.view(np.uint16)[~missing], words.view(np.uint16)[~missing]
    )
    assert np.isnan(widen(back)[missing]).all()


def test_bfloat16_is_the_nearest_and_the_even_one_in_a_tie() -> None:
    words = _every_word()
    # finite and not negative, and not so small that float32 has no room between two
    low = widen(words[0x0080:0x7F7F])
    high = widen(words[0x0081:0x7F80])
    gap = high.astype(np.float64) - low
    for share, expected in ((0.25, low), (0.75, high), (0.499, low), (0.501, high)):
        numbers = (low + share * gap).astype(np.float32)
        given = widen(as_array(numbers, bfloat16))
        np.testing.assert_array_equal(given, expected)
        np.testing.assert_array_equal(widen(as_array(-numbers, bfloat16)), -given)
    middle = (low + 0.5 * gap).astype(np.float32)
    even = np.where(np.arange(len(low)) % 2 == 0, low, high)
    np.testing.assert_array_equal(widen(as_array(middle, bfloat16)), even)


def test_what_is_too_large_for_bfloat16_is_infinite() -> None:
    largest = np.float32(3.3895314e38)
    numbers = np.array([largest, 3.4e38, 3.39e38, np.inf, -3.4e38], np.float32)
    expected = [largest, np.inf, largest, np.inf, -np.inf]
    assert widen(as_array(numbers, bfloat16)).tolist() == [float(x) for x in expected]


def test_doubles_go_through_float32() -> None:
    """Just above a tie, by less than float32 can tell: down to the even one."""
    assert as_array(1.0 + 2.0**-11 + 2.0**-40, float16).item() == 1.0
    assert widen(as_array(1.0 + 2.0**-8 + 2.0**-40, bfloat16)).item() == 1.0


def test_arithmetic_on_bits_by_mistake_is_refused() -> None:
    ones = as_array(np.ones(3), bfloat16)
    with pytest.raises(TypeError):
        ones + ones
