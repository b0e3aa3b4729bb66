from __future__ import annotations

import sys

import numpy as np
import pytest

from chainrule.datasets import digits
from chainrule.errors import ArgumentError, DependencyError

pytest.importorskip("sklearn")

FIRST_TRAIN = [8, 8, 8, 8, 8, 8, 5, 5, 5, 8, 5, 5]
FIRST_TEST = [0, 1, 8, 2, 2, 6, 1, 6, 7, 6, 2, 3]


def test_shapes_types_and_range() -> None:
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert x_train.shape == (1438, 8, 8)
    assert x_test.shape == (359, 8, 8)
    assert x_train.dtype == x_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert (x_train.min(), x_train.max()) == (0.0, 1.0)
    assert sorted(set(y_train)) == list(range(10))


def test_every_row_is_in_exactly_one_part() -> None:
    from sklearn.datasets import load_digits  # noqa: PLC0415 - an optional package

    (x_train, y_train), (x_test, y_test) = digits.load_data(seed=5)
    whole = load_digits()
    found = np.concatenate([x_train, x_test]).reshape(-1, 64) * 16
    rows = np.column_stack([found, np.concatenate([y_train, y_test])])
    expected = np.column_stack([whole.data, whole.target])
    np.testing.assert_array_equal(
        rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)]
    )


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_every_digit_has_its_share_of_the_test_rows(fraction: float) -> None:
    (_, y_train), (_, y_test) = digits.load_data(test_split=fraction)
    whole = np.bincount(y_train) + np.bincount(y_test)
    assert len(y_test) == round(1797 * fraction)
    assert np.abs(np.bincount(y_test) - whole * fraction).max() <= 1


def test_the_split_is_fixed() -> None:
    (x_train, y_train), (_, y_test) = digits.load_data()
    assert y_train[:12].tolist() == FIRST_TRAIN
    assert y_test[:12].tolist() == FIRST_TEST
    again = digits.load_data()
    np.testing.assert_array_equal(again[0][0], x_train)


def test_another_seed_gives_another_split() -> None:
    one, other = digits.load_data(seed=0), digits.load_data(seed=1)
    assert not np.array_equal(one[1][0], other[1][0])


def test_nothing_kept_for_testing() -> None:
    (x_train, _), (x_test, y_test) = digits.load_data(test_split=0)
    assert len(x_train) == 1797
    assert x_test.shape == (0, 8, 8)
    assert y_test.shape == (0,)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 20, float("nan")])
def test_a_split_that_is_no_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(ArgumentError, match="test_split is a fraction"):
        digits.load_data(test_split=fraction)


def test_without_scikit_learn_the_command_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DependencyError, match=r"pip install 'chainrule\[sklearn\]'"):
        digits.load_data()
