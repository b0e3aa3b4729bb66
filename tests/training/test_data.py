import numpy as np
import pytest

import chainrule
from chainrule.training.data import (
    check_finite,
    describe_place,
    split_rows,
    to_array,
)


class Table:
    """What has `__array__`, as tables of pandas do."""

    def __init__(self, rows):
        self.rows = rows

    def __array__(self, dtype=None, copy=None):
        return np.array(self.rows, dtype=dtype)


@pytest.mark.parametrize(
    "data",
    [
        np.arange(6.0).reshape(3, 2),
        [[0, 1], [2, 3], [4, 5]],
        ((0, 1), (2, 3), (4, 5)),
        [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])],
        Table([[0, 1], [2, 3], [4, 5]]),
        chainrule.asarray([[0, 1], [2, 3], [4, 5]]),
    ],
    ids=["numpy", "lists", "tuples", "rows", "table", "tensor"],
)
def test_everything_with_rows_becomes_an_array(data):
    array, mistakes = to_array(data, "x")
    assert mistakes == []
    assert array.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_an_array_is_not_copied():
    data = np.zeros((4, 3), np.uint8)
    assert to_array(data, "x")[0].base is data or to_array(data, "x")[0] is data


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float16, np.float32),
        (np.longdouble, np.float64),
        (">f4", np.float32),
        (np.uint8, np.uint8),
        (np.bool_, np.bool_),
    ],
)
def test_dtypes_that_the_core_lacks_are_widened(given, kept):
    array, mistakes = to_array(np.ones((2, 2), given), "x")
    assert mistakes == []
    assert array.dtype == kept
    assert array.dtype.isnative
    assert (array == 1).all()


@pytest.mark.parametrize(
    ("data", "name", "problem", "got", "fix"),
    [
        ([[1, 2], [3]], "x", "rows differ in length", "row 1 with 1", None),
        (3.0, "x", "one row a sample", "float", "numpy.asarray"),
        ((i for i in range(3)), "x", "one row a sample", "generator", "numpy.asarray"),
        (["a", "b"], "y", "not real numbers", "'a'", "numpy.unique(y"),
        (["a", "b"], "x", "not real numbers", "'a'", "astype('float32')"),
        ([1j], "x", "not real numbers", "complex128", "x.real"),
        (
            np.array(["2026-01-01"], "M8[D]"),
            "x",
            "not real numbers",
            "datetime64",
            "astype",
        ),
        (
            np.array([[1, 2], [3, None]], object),
            "x",
            "Python objects",
            "row 1, column 1 holds None",
            "after replacing",
        ),
        (np.array([1, 2], object), "y", "Python objects", "dtype object", "y.astype"),
        (np.array(["a", 2], object), "y", "Python objects", "row 0", "numpy.unique"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), "x", "masked", "", "x.filled"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_remedy(data, name, problem, got, fix):
    array, (mistake,) = to_array(data, name)
    assert array is None
    assert mistake.where == name
    assert problem in mistake.problem
    assert got in (mistake.got or "")
    assert (fix or "") in (mistake.corrected or "")


def test_sparse_matrices_are_told_to_become_dense():
    class Sparse:
        def toarray(self):
            return np.eye(2)

    assert to_array(Sparse(), "x")[1][0].corrected == "x = x.toarray()"


@pytest.mark.parametrize("shape", [(50,), (50, 7), (50, 4, 5)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_found(shape, value):
    array = np.zeros(shape, np.float32)
    array[(31, *[n - 1 for n in shape[1:]])] = value
    array[(40, *[0] * (len(shape) - 1))] = np.nan
    (mistake,) = check_finite(array, "x")
    nans, infinities = (2, 0) if np.isnan(value) else (1, 1)
    assert f"{nans} NaN, {infinities} infinite" in mistake.got
    place = describe_place((31, *[n - 1 for n in shape[1:]]))
    assert f"is {value} in {place}" in mistake.got


def test_places_are_right_beyond_one_chunk():
    array = np.zeros((300_000, 8), np.float32)
    array[299_998, 3] = np.nan
    (mistake,) = check_finite(array, "x")
    assert "row 299998, column 3" in mistake.got


def test_large_sums_are_no_infinity():
    assert check_finite(np.full(100, 3e38, np.float32), "x") == []
    assert check_finite(np.array([1, 2]), "x") == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_remedy_for_values_that_are_not_finite_works(bad):
    x = np.array([[1.0, 2.0], [bad, 4.0], [3.0, 9.0]])
    names = {"x": x, "numpy": np}
    exec(check_finite(x, "x")[0].corrected, names)
    assert np.isfinite(names["x"]).all()
    y = np.array([1.0, bad, 2.0])
    names = {"x": x, "y": y, "numpy": np}
    exec(check_finite(y, "y")[0].corrected, names)
    assert names["y"].tolist() == [1.0, 2.0]
    assert len(names["x"]) == 2


def test_the_split_is_that_of_keras():
    assert [split_rows(100, share) for share in (0.1, 0.2, 0.25, 0.33)] == [
        90,
        80,
        75,
        67,
    ]
