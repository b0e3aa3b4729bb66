"""Indexing against NumPy, with indices that hypothesis makes up."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.errors import (
    ArgumentError,
    DTypeError,
    OutOfBoundsError,
    ShapeError,
    TraceError,
)
from chainrule.ir import Spec, evaluate, trace
from chainrule.ir.dtype import as_dtype

SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@st.composite
def indexed(draw: Any) -> tuple[np.ndarray[Any, Any], Any]:
    """An array and an index of it: basic parts, integer arrays and masks mixed."""
    shape = draw(SHAPES)
    x = np.arange(int(np.prod(shape))).reshape(shape)
    common = draw(arrays_of.array_shapes(min_dims=0, max_dims=2, max_side=3))
    parts: list[Any] = []
    axis = 0
    while axis < len(shape) and draw(st.booleans() if axis else st.just(True)):
        length = shape[axis]
        kinds = ["slice", "new"]
        if length:
            kinds += ["integer", "array", "array", "mask"]
        kind = draw(st.sampled_from(kinds))
        axis += kind != "new"
        if kind == "new":
            parts.append(None)
        elif kind == "slice":
            parts.append(draw(st.slices(length)))
        elif kind == "integer":
            parts.append(draw(st.integers(-length, length - 1)))
        elif kind == "array":
            lengths = tuple(n if draw(st.booleans()) else 1 for n in common)
            lengths = lengths[draw(st.integers(0, len(lengths))) :]
            elements = st.integers(-length, length - 1)
            parts.append(draw(arrays_of.arrays(np.int64, lengths, elements=elements)))
        else:
            parts.append(np.eye(length, dtype=bool)[draw(st.integers(0, length - 1))])
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), Ellipsis)
    return x, tuple(parts)


def outcome(function: Any) -> Any:
    """The result, or None where the index does not fit."""
    try:
        return function()
    except (IndexError, ValueError):
        return None


@settings(max_examples=600, deadline=None)
@given(indexed())
def test_any_index_reads_what_numpy_reads(case: Any) -> None:
    x, key = case
    expected = outcome(lambda: x[key])
    actual = outcome(lambda: cr.asarray(x)[key])
    if expected is None:
        assert actual is None
        return
    np.testing.assert_array_equal(np.asarray(actual), expected, strict=True)


@settings(max_examples=200, deadline=None)
@given(indexed())
def test_any_index_writes_where_numpy_writes(case: Any) -> None:
    x, key = case
    expected = outcome(lambda: x[key])
    if expected is None:
        return
    values = 100 + np.arange(expected.size).reshape(expected.shape)
    written, added = x.copy(), x.copy()
    written[key] = values
    np.add.at(added, key, values)
    at = cr.asarray(x).at[key]
    np.testing.assert_array_equal(at.set(values).numpy(), written, strict=True)
    np.testing.assert_array_equal(at.add(values).numpy(), added, strict=True)


X = np.arange(24).reshape(2, 3, 4)

KEYS: list[Any] = [
    (),
    Ellipsis,
    None,
    True,
    False,
    (True, 0),
    [1, 0],
    [],
    X > 5,
    (X[:, :, 0] > 5, 2),
    (slice(None), X[0] > 5),
    ([True, False], [0, 2]),
    (0, [0, 1], None, [1, 2]),
    (0, slice(None), [1, 2]),
    (slice(None), 0, [1, 2]),
    ([0, 1], slice(None), 2),
    ([0, 1], None, [0, 1], [[1], [2]]),
    (np.int8(1), np.uint8(2)),
    (slice(5, 0, -2), slice(-1, -9, -1), slice(2, 1)),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indices_of_every_kind(key: Any) -> None:
    np.testing.assert_array_equal(cr.asarray(X)[key].numpy(), X[key], strict=True)
    expected = X.copy()
    expected[key] = -1
    np.testing.assert_array_equal(cr.asarray(X).at[key].set(-1).numpy(), expected)


def test_indices_may_be_tensors() -> None:
    x = cr.asarray(X)
    i = cr.asarray(1)
    assert x[i, i : i + 1].shape == (1, 4)
    assert x[cr.asarray([0, 1]), i].tolist() == X[[0, 1], 1].tolist()
    assert x[x > 20].tolist() == [21, 22, 23]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ((0, 0, 0, 0), OutOfBoundsError),
        (2, OutOfBoundsError),
        (-3, OutOfBoundsError),
        ([0, 2], OutOfBoundsError),
        ((slice(None), [0], [4]), OutOfBoundsError),
        ((Ellipsis, Ellipsis), ArgumentError),
        (1.5, ArgumentError),
        ("a", ArgumentError),
        ([0.5], DTypeError),
        (np.array([True, False, True]), ShapeError),
        (([0, 1], [0, 1, 2]), ShapeError),
    ],
    ids=str,
)
def test_wrong_indices_are_refused(key: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        cr.asarray(X)[key]


def test_a_wrong_traced_index_is_not_taken_for_a_right_one() -> None:
    specs = [Spec((2, 3), as_dtype("int64")), Spec((1,), as_dtype("int64"))]
    graph, _ = trace(lambda x, i: [x[i, i + 1]], specs)
    x = np.arange(6).reshape(2, 3)
    assert evaluate(graph, [x, np.array([1])])[0].tolist() == [5]
    # on both axes together place (0, 3) would be place (1, 0)
    with pytest.raises(OutOfBoundsError):
        evaluate(graph, [x, np.array([2])])


def test_a_traced_mask_is_refused_with_the_way_out() -> None:
    with pytest.raises(TraceError, match=r"chainrule\.where"):
        trace(lambda x: [x[x > 0]], [Spec((3,), as_dtype("float32"))])


def test_a_known_mask_may_be_used_while_tracing() -> None:
    mask = np.array([True, False, True])
    graph, _ = trace(lambda x: [x[mask]], [Spec((3,), as_dtype("int64"))])
    assert evaluate(graph, [np.array([4, 5, 6])])[0].tolist() == [4, 6]


def test_updates_at_repeated_places() -> None:
    x = cr.zeros(3)
    assert x.at[[1, 1]].add([2.0, 5.0]).tolist() == [0, 7, 0]
    assert x.at[[1, 1]].subtract(1).tolist() == [0, -2, 0]
    assert x.at[[1, 1]].set([2.0, 5.0]).tolist() == [0, 5, 0]
    y = cr.ones(3)
    assert y.at[[1, 1]].multiply([2.0, 5.0]).tolist() == [1, 5, 1]
    assert y.at[0].divide(4).tolist() == [0.25, 1, 1]
    assert y.at[0].minimum(-1).tolist() == [-1, 1, 1]
    assert y.at[1:].maximum([0.0, 3.0]).tolist() == [1, 1, 3]
    assert y.at[1].get().item() == 1
    mask = cr.asarray([True, True, False]).at[[0, 2]].set(False)
    assert mask.tolist() == [False, True, False]


def test_gradient_of_an_update_goes_to_whoever_wrote_last() -> None:
    def f(x: Any, values: Any) -> Any:
        weights = cr.asarray([1.0, 10.0, 100.0])
        return cr.sum(x.at[cr.asarray([1, 1])].set(values) * weights)

    x, values = cr.zeros(3), cr.asarray([5.0, 6.0])
    to_x, to_values = cr.grad(f, argnums=(0, 1))(x, values)
    assert to_x.tolist() == [1, 0, 100]
    assert to_values.tolist() == [0, 10]


def test_a_tensor_cannot_be_written_to() -> None:
    x = cr.zeros(3)
    with pytest.raises(TypeError, match=r"x\.at\[index\]\.set"):
        x[0] = 1
    view = np.asarray(x)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
