"""Shapes: broadcasting and axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import ShapeError
from chainrule.ir import Spec, broadcast_shapes, normalize_axes, normalize_axis
from chainrule.ir.dtype import float32, int64

SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


def test_sizes() -> None:
    spec = Spec((2, 3, 4), float32)
    assert (spec.ndim, spec.size, spec.nbytes, str(spec)) == (
        3,
        24,
        96,
        "float32[2, 3, 4]",
    )
    assert (Spec((), int64).size, Spec((0, 5), int64).nbytes) == (1, 0)
    assert str(Spec((), int64)) == "int64[]"


def test_specs_are_values() -> None:
    assert Spec((2,), float32) == Spec((2,), float32)
    assert len({Spec((2,), float32), Spec((2,), float32), Spec((2,), int64)}) == 2


@given(st.lists(SHAPES, max_size=3))
def test_broadcasting_is_that_of_numpy(shapes: list[tuple[int, ...]]) -> None:
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError, match="cannot be broadcast"):
            broadcast_shapes(*shapes)
    else:
        assert broadcast_shapes(*shapes) == expected


def test_the_error_names_the_axis_and_the_shapes() -> None:
    with pytest.raises(ShapeError) as caught:
        broadcast_shapes((2, 3), (4, 3), where="add")
    text = str(caught.value)
    assert "add: " in text
    assert "axis -2" in text
    assert "(2, 3) with (4, 3)" in text


def test_axes_are_counted_from_the_front() -> None:
    assert [normalize_axis(a, 3) for a in (-3, -1, 0, 2)] == [0, 2, 0, 2]
    assert normalize_axes(None, 3) == (0, 1, 2)
    assert normalize_axes((-1, 0), 3) == (0, 2)
    assert normalize_axes(-1, 2) == (1,)


@pytest.mark.parametrize(
    ("axis", "ndim"), [(3, 3), (-4, 3), (0, 0), ((0, 0), 2), ((0, -2), 2)]
)
def test_axes_that_do_not_exist_are_refused(axis: Any, ndim: int) -> None:
    with pytest.raises(ShapeError):
        normalize_axes(axis, ndim)
