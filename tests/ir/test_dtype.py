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
    DType,
    as_dtype,
    bool_,
    float32,
    float64,
    int64,
    promote,
)

PAIRS = list(itertools.product(ALL, repeat=2))
KIND = {"b": 0, "i": 1, "u": 1, "f": 2}


def _standard(dtype: DType) -> Any:
    return getattr(array_api_strict, dtype.name)


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=str)
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


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_names_of_a_dtype(dtype: DType) -> None:
    for name in (dtype, dtype.name, dtype.numpy, dtype.numpy.type):
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
    "wrong", ["complex64", "float16", "object", "nonsense", None, 3, "U4"]
)
def test_other_types_are_refused(wrong: Any) -> None:
    assert all(dtype != wrong for dtype in ALL)
    with pytest.raises(DTypeError, match="no such data type"):
        as_dtype(wrong)


def test_spec_of_numpy() -> None:
    for dtype in ALL:
        assert as_dtype(np.zeros(1, dtype.numpy).dtype) is dtype
