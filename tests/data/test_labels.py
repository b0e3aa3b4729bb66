"""Labels in other forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule.errors import DataError
from chainrule.utils import to_categorical


def test_classes_become_one_hot() -> None:
    made = to_categorical([1, 0, 2])
    np.testing.assert_array_equal(made, np.eye(3)[[1, 0, 2]])
    assert made.dtype == np.float32
    np.testing.assert_array_equal(to_categorical([[1], [0]], 4), np.eye(4)[[1, 0]])
    assert to_categorical(np.zeros((2, 3), "uint8"), 5).shape == (2, 3, 5)
    assert to_categorical(np.zeros(0, "int64")).shape == (0, 0)
    np.testing.assert_array_equal(to_categorical([1.0, 0.0]), np.eye(2)[[1, 0]])


@pytest.mark.parametrize(("classes", "count"), [([0.5], 3), ([-1], 3), ([3], 3)])
def test_what_is_no_class_is_named(classes: Any, count: int) -> None:
    with pytest.raises(DataError, match=str(classes[0])):
        to_categorical(classes, count)
