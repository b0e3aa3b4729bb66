"""Tensors made from numbers, arrays, other libraries and nothing."""

from __future__ import annotations

from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    ShapeError,
    TraceError,
)
from chainrule.ir.dtype import ALL
from tests.tolerances import assert_close


@pytest.mark.parametrize(
    ("given_", "dtype"),
    [
        (True, "bool"),
        (3, "int64"),
        (0.5, "float32"),
        ([1, 2], "int64"),
        ([1, 2.5], "float32"),
        ([[True], [False]], "bool"),
        ([], "float32"),
        ([[], []], "float32"),
        (np.float32(1), "float32"),
        (np.ones(2), "float64"),
        ([np.ones(2), np.ones(2)], "float64"),
        (np.ones(2, ">f4"), "float32"),
        (range(3), "int64"),
        (np.zeros((2, 0), np.uint16), "uint16"),
    ],
    ids=str,
)
def test_the_dtype_of_what_is_converted(given_: Any, dtype: str) -> None:
    x = cr.asarray(given_)
    assert x.dtype == dtype
    assert x.shape == np.asarray(given_).shape
    np.testing.assert_array_equal(x.numpy(), np.asarray(given_))


@pytest.mark.parametrize(
    ("given_", "error"),
    [
        (1j, DTypeError),
        ("text", DTypeError),
        ([[1, 2], [3]], ArgumentError),
        (None, DTypeError),
        pytest.param(object(), DTypeError, id="object"),
        (2**70, DTypeError),
    ],
    ids=str,
)
def test_what_is_not_numbers_is_refused(given_: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        cr.asarray(given_)


def test_an_array_is_copied_unless_it_is_promised_not_to_change() -> None:
    array = np.ones(3, np.float32)
    own, shared = cr.asarray(array), cr.asarray(array, copy=False)
    part = cr.asarray(array[1:])
    array[:] = 7
    assert own.tolist() == [1, 1, 1]
    assert part.tolist() == [1, 1]
    assert shared.tolist() == [7, 7, 7]


def test_numpy_gives_a_copy() -> None:
    x = cr.zeros(3)
    x.numpy()[:] = 1
    assert x.tolist() == [0, 0, 0]


def test_lists_of_tensors_are_stacked_with_their_gradients() -> None:
    def f(a: Any) -> Any:
        return cr.sum(cr.asarray([[a, 2 * a], [1.0, a * a]]) * 3)

    assert cr.grad(f)(cr.asarray(2.0)).item() == pytest.approx(3 * (1 + 2 + 4))
    assert cr.asarray([cr.asarray(1), 2.5]).dtype == "float32"


def test_devices() -> None:
    x = cr.asarray(1.0, device="cpu")
    assert x.device == "cpu"
    assert x.to_device("cpu") is x
    with pytest.raises(ArgumentError, match="device"):
        cr.zeros(2, device="cuda")
    with pytest.raises(ArgumentError, match="device"):
        x.to_device("cuda")


@pytest.mark.parametrize("dtype", [d.name for d in ALL])
def test_constant_tensors(dtype: str) -> None:
    for shape in (3, (2, 0), ()):
        # the numbers of bfloat16 come out as float32
        kind = "float32" if dtype == "bfloat16" else dtype
        expected, nothing = np.ones(shape, kind), np.zeros(shape, kind)
        assert_close(cr.ones(shape, dtype=dtype), expected)
        assert_close(cr.zeros(shape, dtype=dtype), nothing)
        assert_close(cr.empty(shape, dtype=dtype), nothing)
        assert_close(cr.full(shape, 1, dtype=dtype), expected)
        like = cr.ones(shape, dtype=dtype)
        assert like.dtype == cr.zeros_like(like).dtype == dtype
        assert_close(cr.zeros_like(like), nothing)
        assert_close(cr.ones_like(like), expected)
        assert_close(cr.empty_like(like), nothing)
        assert_close(cr.full_like(like, True), expected)
    assert cr.zeros_like(cr.ones(2), dtype=dtype).dtype == dtype


def test_the_default_dtypes() -> None:
    assert cr.zeros(2).dtype == cr.ones(2).dtype == cr.eye(2).dtype == "float32"
    assert cr.linspace(0, 1, 3).dtype == cr.arange(0.0, 1.0).dtype == "float32"
    assert cr.full(2, 1).dtype == cr.arange(3).dtype == "int64"
    assert cr.full(2, True).dtype == "bool"


steps = st.integers(-20, 20)


@given(steps, steps, steps.filter(bool))
def test_arange_counts_as_the_standard_says(start: int, stop: int, step: int) -> None:
    expected = np.arange(start, stop, step)
    assert_close(cr.arange(start, stop, step), expected)
    halves = cr.arange(start / 2, stop / 2, step / 2, dtype="float64")
    assert_close(halves, np.arange(start / 2, stop / 2, step / 2))


def test_arange_far_from_0() -> None:
    assert cr.arange(2**60, 2**60 + 3).tolist() == [2**60, 2**60 + 1, 2**60 + 2]
    assert cr.arange(3, dtype="uint8").dtype == "uint8"
    with pytest.raises(ArgumentError, match="step"):
        cr.arange(1, 2, 0)


@given(steps, steps, st.integers(0, 9), st.booleans())
def test_linspace(start: int, stop: int, count: int, endpoint: bool) -> None:
    found = cr.linspace(start, stop, count, dtype="float64", endpoint=endpoint)
    assert_close(found, np.linspace(start, stop, count, endpoint=endpoint))


@pytest.mark.parametrize("k", [-3, -1, 0, 2, 9])
def test_eye_and_triangles(k: int) -> None:
    assert_close(cr.eye(3, 5, k=k), np.eye(3, 5, k=k, dtype=np.float32))
    for dtype in ("bool", "int8", "float64"):
        x = np.ones((2, 3, 4), dtype)
        assert_close(cr.tril(x, k=k), np.tril(x, k=k))
        assert_close(cr.triu(x, k=k), np.triu(x, k=k))
    with pytest.raises(ShapeError, match="matrix"):
        cr.tril(cr.ones(3))


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_meshgrid(indexing: Any, count: int) -> None:
    axes = [np.arange(i + 2) for i in range(count)]
    expected = np.meshgrid(*axes, indexing=indexing)
    found = cr.meshgrid(*axes, indexing=indexing)
    assert len(found) == count
    for x, right in zip(found, expected, strict=True):
        assert_close(x, right)
    with pytest.raises(ArgumentError, match="order"):
        cr.meshgrid(axes, indexing="ji")


def test_bfloat16_has_no_dlpack() -> None:
    with pytest.raises(BufferError, match="float32"):
        np.from_dlpack(cr.ones(3, dtype="bfloat16"))


@pytest.mark.parametrize("dtype", [d.name for d in ALL if d.name != "bfloat16"])
def test_dlpack_both_ways(dtype: str) -> None:
    x = cr.ones((2, 3), dtype=dtype)
    assert_close(np.from_dlpack(x), np.ones((2, 3), dtype))
    assert_close(np.from_dlpack(x, copy=True), np.ones((2, 3), dtype))
    assert_close(cr.from_dlpack(np.ones((2, 3), dtype)), np.ones((2, 3), dtype))
    assert_close(cr.from_dlpack(x), np.ones((2, 3), dtype))
    assert x.__dlpack_device__() == (1, 0)


def test_dlpack_shares_only_what_cannot_be_written_to() -> None:
    x = cr.zeros(3)
    array = np.from_dlpack(x)
    assert np.shares_memory(array, x.data)
    assert not array.flags.writeable
    source = np.zeros(3)
    own = cr.from_dlpack(source)
    shared = cr.from_dlpack(source, copy=False)
    source[:] = 1
    assert own.tolist() == [0, 0, 0]
    assert shared.tolist() == [1, 1, 1]
    with pytest.raises(BufferError):
        x.__dlpack__(copy=False)
    with pytest.raises(BufferError):
        x.__dlpack__(dl_device=(2, 0))


def test_gradients_may_be_asked_of_floats_only() -> None:
    assert cr.asarray([1.0], requires_grad=True).requires_grad
    with pytest.raises(GradientError, match="floating-point"):
        cr.asarray([1], requires_grad=True)


# ---- results whose shape depends on the numbers --------------------------------------


@pytest.mark.parametrize("dtype", ["bool", "int8", "float32"])
def test_positions_and_sets(dtype: str) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 4, (3, 5)).astype(dtype)
    for found, right in zip(cr.nonzero(x), np.nonzero(x), strict=True):
        assert_close(found, right)
    all_of = cr.unique_all(x)
    expected = np.unique_all(x)
    for name in ("values", "indices", "inverse_indices", "counts"):
        assert_close(getattr(all_of, name), getattr(expected, name))
    assert_close(cr.unique_values(x), expected.values)
    assert_close(cr.unique_counts(x).counts, expected.counts)
    assert_close(cr.unique_inverse(x).inverse_indices, expected.inverse_indices)


def test_every_not_a_number_is_distinct() -> None:
    assert cr.unique_counts([np.nan, 1.0, np.nan]).counts.tolist() == [1, 1, 1]
    with pytest.raises(ShapeError):
        cr.nonzero(1)


@pytest.mark.parametrize(
    "function",
    [
        cr.nonzero,
        cr.unique_all,
        cr.unique_values,
        lambda x: cr.repeat(x, x),
        lambda x: x[x > 0],
    ],
)
def test_unknown_shapes_cannot_be_traced(function: Any) -> None:
    x = cr.asarray([1, 2])
    for transform in (cr.jit, cr.vmap):
        with pytest.raises(TraceError, match="shape of the result"):
            transform(function)(x if transform is cr.jit else cr.asarray([[1, 2]]))


# ---- bits, and the namespace ---------------------------------------------------------


@given(
    st.sampled_from(["int8", "uint8", "int32", "uint64", "int64"]),
    st.lists(st.tuples(st.integers(0, 127), st.integers(0, 7)), min_size=1),
)
def test_bits(dtype: str, pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, dtype).T
    for name in (
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "bitwise_left_shift",
        "bitwise_right_shift",
    ):
        assert_close(getattr(cr, name)(a, b), getattr(np, name)(a, b))
    assert_close(cr.bitwise_invert(a), np.bitwise_invert(a))
    x, y = cr.asarray(a), cr.asarray(b)
    assert_close((x & y) | (x ^ y), a | b)
    assert_close(x << y >> y, a << b >> b)
    assert_close(~x, ~a)


def test_truths() -> None:
    a, b = np.array([True, True, False]), np.array([True, False, False])
    x, y = cr.asarray(a), cr.asarray(b)
    for left, right in (((x & y), a & b), ((x | y), a | b), ((x ^ y), a ^ b), (~x, ~a)):
        assert_close(left, right)
    assert_close(cr.logical_not(cr.asarray([0.0, 2.0])), np.array([True, False]))


def test_the_namespace_describes_itself() -> None:
    info = cr.__array_namespace_info__()
    known = strict.__array_namespace_info__()
    for kind in (None, "bool", "integral", "real floating", ("bool", "numeric")):
        ours = {name: str(dtype) for name, dtype in info.dtypes(kind=kind).items()}
        theirs = {
            n: str(np.dtype(d._np_dtype)) for n, d in known.dtypes(kind=kind).items()
        }
        assert ours == {n: d for n, d in theirs.items() if "complex" not in n}
    assert info.default_device() == "cpu"
    assert info.devices() == ["cpu"]
    assert info.default_dtypes()["real floating"] == "float32"
    assert set(info.capabilities()) == set(known.capabilities())
    namespace = cr.ones(1).__array_namespace__(api_version="2024.12")
    assert namespace.sum is cr.sum
    assert namespace.int8 is cr.int8
    with pytest.raises(ArgumentError, match="version"):
        cr.ones(1).__array_namespace__(api_version="2031.12")


LEFT_OUT = {"conj", "imag", "real", "complex64", "complex128"}


def test_every_name_of_the_standard_is_there_but_for_the_complex_ones() -> None:
    ours = set(cr.functional.__all__)
    extra = {
        "fft",
        "linalg",
        "get_array_api_strict_flags",
        "set_array_api_strict_flags",
    }
    extra |= {"reset_array_api_strict_flags", "ArrayAPIStrictFlags", "Device"}
    standard = {name for name in strict.__all__ if not name.startswith("_")} - extra
    assert standard - ours == LEFT_OUT
