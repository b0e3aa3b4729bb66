"""The matrix product against NumPy, its reach in memory, and its bits."""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.compiler.engine import host_target
from chainrule.compiler.kernels.gemm import (
    FUNCTIONS,
    GemmLibrary,
    function_type,
    gemm_library,
    module_text,
    transposed_product,
)
from chainrule.compiler.kernels.gemm_driver import (
    AHEAD_BYTES,
    PACKING_ROWS,
    SCATTERED_BYTES,
)
from chainrule.compiler.kernels.gemm_panel import DEPTH
from chainrule.errors import DTypeError

Array = npt.NDArray[Any]
DTYPES = ("float32", "float64")
PRODUCTS = ("nn", "tn", "nt_packed", "nt")
NAMES = {
    "nt_packed": "gemm_nt_packed",
    "ahead": "gemm_nn_ahead",
    "nt_ahead": "gemm_nt_packed_ahead",
}
CANARY = 31337.0
NOWHERE = np.arange(0, 9 << 14, 1 << 14)
# Large enough that a transposed A is packed: batches, rows, k, columns.
SCATTERED = (1, 530, SCATTERED_BYTES // 4 // 530 + 1, 272)
# Large enough that the next slab of B is asked for.
FAR = (1, PACKING_ROWS + 7, DEPTH + 90, AHEAD_BYTES // 4 // (DEPTH + 90) + 70)
by_dtype = pytest.mark.parametrize("dtype", DTYPES)
by_product = pytest.mark.parametrize("product", PRODUCTS)


# Bytes and number of vector registers: this machine's, and narrower ones, for which
# the code is another but must be right here too.
MACHINES = [None, (32, 16), (16, 32), (16, 16)]


@pytest.fixture(params=MACHINES, ids=str, scope="module", autouse=True)
def machine(request: pytest.FixtureRequest) -> Any:
    LIBRARIES.clear()
    for dtype in DTYPES:
        if request.param is None:
            LIBRARIES[dtype] = gemm_library(dtype)
        else:
            width, registers = request.param
            target = replace(
                host_target(), vector_bytes=width, vector_registers=registers
            )
            LIBRARIES[dtype] = GemmLibrary(dtype, target)
    return request.param


LIBRARIES: dict[str, GemmLibrary] = {}


def native(dtype: str, name: str) -> Callable[..., None]:
    pointer = function_type("transpose").args[0]
    kinds = [
        ctypes.c_void_p if kind == pointer else ctypes.c_int64
        for kind in function_type(name).args
    ]
    return ctypes.CFUNCTYPE(None, *kinds)(LIBRARIES[dtype].address(name))


def one_run(
    dtype: str, product: str, places: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    """A product whose rows are one run: A, its two strides, B, its one, C, its one."""
    a, a_row, a_k, b, b_step, c, c_row = places
    if product == "nt":
        native(dtype, "gemm_nt")(a, a_row, b, b_step, c, c_row, *sizes)
        return
    name = NAMES.get(product, "gemm_nn")
    runs = (c_row, sizes[0], 0)
    more = asked(sizes[2]) if product.endswith("ahead") else ()
    places = (a, a_row, a_row, a_k, b, b_step, c, c_row)
    native(dtype, name)(*places, *runs, *sizes, 0, *more)


def asked(lines: int) -> tuple[int, int]:
    """Lines of memory that nobody may read, in stretches, and how many of them."""
    return NOWHERE.ctypes.data, min(lines, 4 * len(NOWHERE))


class Guarded:
    """A matrix with rows of a given stride, canaries in every gap and on both ends."""

    def __init__(self, shape: tuple[int, ...], gap: int, dtype: str) -> None:
        batches, rows, columns = shape
        self.stride = columns + gap
        self.memory = np.full(64 + batches * rows * self.stride + 64, CANARY, dtype)
        inner = self.memory[64 : 64 + batches * rows * self.stride]
        self.view = inner.reshape(batches, rows, self.stride)[:, :, :columns]
        self.address = inner.ctypes.data
        self.batch = rows * self.stride

    def fill(self, values: Array) -> Guarded:
        self.view[...] = values
        return self

    def untouched(self) -> bool:
        """Whether all canaries live; the matrix itself is overwritten by the check."""
        self.view[...] = CANARY
        return bool((self.memory == CANARY).all())


def multiply(product: str, a: Array, b: Array, gap: int = 3) -> Array:
    """sum over r of a[r] @ b[r], by a native product on guarded copies."""
    dtype = a.dtype.name
    batches, rows, k = a.shape
    columns = b.shape[2]
    left = a.swapaxes(1, 2) if product in ("tn", "ahead") else a
    right = b.swapaxes(1, 2) if product.startswith("nt") else b
    x = Guarded(left.shape, gap, dtype).fill(left)
    y = Guarded(right.shape, gap, dtype).fill(right)
    c = Guarded((1, rows, columns), gap, dtype)
    sizes = (rows, columns, k, batches, x.batch, y.batch)
    strides = (1, x.stride) if left is not a else (x.stride, 1)
    left, right = (x.address, *strides), (y.address, y.stride)
    one_run(dtype, product, (*left, *right, c.address, c.stride), sizes)
    result: Array = c.view[0].copy()
    assert c.untouched()
    return result


def operands(seed: int, sizes: tuple[int, int, int, int], dtype: str) -> Any:
    batches, rows, k, columns = sizes
    generator = np.random.default_rng(seed)
    a = generator.standard_normal((batches, rows, k)).astype(dtype)
    b = generator.standard_normal((batches, k, columns)).astype(dtype)
    return a, b


def assert_close(result: Array, a: Array, b: Array) -> None:
    """A sum of n products errs by at most n eps times the sum of their sizes."""
    exact = (a.astype(np.float64) @ b.astype(np.float64)).sum(0)
    size = (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)).sum(0)
    terms = a.shape[0] * a.shape[2] + 8
    assert (np.abs(result - exact) <= terms * np.finfo(a.dtype).eps * size).all()


@by_dtype
@by_product
@given(
    sizes=st.tuples(
        st.integers(1, 3), st.integers(0, 40), st.integers(0, 70), st.integers(0, 110)
    ),
    gap=st.integers(0, 9),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_equals_numpy_and_stays_inside(
    dtype: str, product: str, sizes: Any, gap: int, seed: int
) -> None:
    a, b = operands(seed, sizes, dtype)
    assert_close(multiply(product, a, b, gap), a, b)


@by_dtype
@by_product
@pytest.mark.parametrize(
    "sizes",
    [
        (1, PACKING_ROWS + 3, 40, 530),
        (1, 11, 2 * DEPTH + 5, 50),
        (3, 9, DEPTH // 2 + 1, 20),
        (2, PACKING_ROWS, DEPTH + 1, 300),
        (20, 7, DEPTH // 8, 33),
        SCATTERED,
        FAR,
        (*FAR[:3], FAR[3] // 64 * 64 + 80),
    ],
)
def test_slabs_and_packing(dtype: str, product: str, sizes: Any) -> None:
    a, b = operands(5, sizes, dtype)
    assert_close(multiply(product, a, b), a, b)


@by_dtype
@pytest.mark.parametrize("product", ["nn", "nt_packed"])
def test_panels_of_all_widths_follow_slabs_that_ask(dtype: str, product: str) -> None:
    for more in (1, 17, 33, 49, 65, 81, 97, 113):
        a, b = operands(5, (1, PACKING_ROWS, DEPTH + 9, 512 + more), dtype)
        assert_close(multiply(product, a, b), a, b)


@by_dtype
@by_product
def test_nothing_to_sum_gives_zeros(dtype: str, product: str) -> None:
    for sizes in [(2, 5, 0, 21), (0, 5, 3, 21)]:
        a, b = operands(0, sizes, dtype)
        assert (multiply(product, a, b) == 0).all()


@by_dtype
@by_product
@pytest.mark.parametrize(
    "sizes",
    [
        (2, 37, 29, 75),
        (1, PACKING_ROWS + 30, 530, 300),
        (1, 20, 1100, 40),
        SCATTERED,
        FAR,
    ],
)
def test_shares_have_the_bits_of_the_whole(
    dtype: str, product: str, sizes: tuple[int, int, int, int]
) -> None:
    a, b = operands(7, sizes, dtype)
    whole = multiply(product, a, b)
    generator = np.random.default_rng(11)
    for _ in range(6):
        row, column = (int(generator.integers(1, sizes[n])) for n in (1, 3))
        top = np.hstack(
            [multiply(product, a[:, :row], b[:, :, s]) for s in cuts(column)]
        )
        bottom = np.hstack(
            [multiply(product, a[:, row:], b[:, :, s]) for s in cuts(column)]
        )
        assert np.array_equal(np.vstack([top, bottom]), whole)


def cuts(column: int) -> tuple[slice, slice]:
    return slice(None, column), slice(column, None)


@by_dtype
@pytest.mark.parametrize("product", ["nn", "tn"])
def test_a_row_alone_has_the_bits_of_a_row_among_others(
    dtype: str, product: str
) -> None:
    # widths of one, of several and of many vectors, on both sides of whole ones
    for columns in (1, 7, 8, 9, 16, 17, 65, 250, 256, 263, 511, 512, 700):
        for batches, k in ((1, 40), (2, DEPTH + 3)):
            a, b = operands(columns, (batches, 3, k, columns), dtype)
            whole = multiply(product, a, b)
            for row in range(3):
                alone = multiply(product, a[:, row : row + 1], b)
                assert np.array_equal(alone[0], whole[row]), (columns, k)


@by_dtype
def test_products_over_panels_agree_in_every_bit(dtype: str) -> None:
    a, b = operands(3, (2, 130, 150, 270), dtype)
    first = multiply("nn", a, b)
    assert np.array_equal(first, multiply("tn", a, b))
    assert np.array_equal(first, multiply("nt_packed", a, b))


@by_dtype
@pytest.mark.parametrize("rows", [1, 6, 12, 23])
@pytest.mark.parametrize("columns", [13, 64, 80, 150])
@pytest.mark.parametrize("batches", [1, 2])
def test_asking_for_memory_changes_no_bit(
    dtype: str, rows: int, columns: int, batches: int
) -> None:
    for k in (0, 1, 40, DEPTH + 2):
        a, b = operands(rows, (batches, rows, k, columns), dtype)
        whole = multiply("tn", a, b)
        assert np.array_equal(multiply("ahead", a, b), whole)
        assert np.array_equal(multiply("nt_ahead", a, b), whole)


@by_dtype
@pytest.mark.parametrize(
    "name", ["gemm_nn", "gemm_nt_packed", "gemm_nn_ahead", "gemm_nt_packed_ahead"]
)
@given(
    run=st.integers(1, 20),
    bounds=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    columns=st.integers(1, 70),
    accumulate=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_rows_come_in_runs(
    dtype: str, name: str, run: int, bounds: Any, columns: int, accumulate: bool
) -> None:
    first, last = min(bounds), max(bounds) + 1
    runs = -(-last // run)
    generator = np.random.default_rng(run)
    # rows 5 apart, between runs 2 more in A and 7 more columns in C
    a = generator.standard_normal((runs, 5 * run + 2)).astype(dtype)
    b = generator.standard_normal((4, columns)).astype(dtype)
    c = np.full((runs, run * columns + 7), 3.0, dtype)
    rows = np.arange(first, last)
    left = np.stack([a[i // run, 5 * (i % run) :][:4] for i in rows])
    expected = c.copy()
    for i, line in zip(rows, left @ b, strict=True):
        place = expected[i // run, columns * (i % run) :][:columns]
        place[:] = line + (place if accumulate else 0)
    right = b if name.startswith("gemm_nn") else np.ascontiguousarray(b.T)
    place, start = divmod(first, run)
    x = a[place:].ctypes.data + 5 * start * a.itemsize
    y = c[place:].ctypes.data + columns * start * c.itemsize
    steps = (5, 7, 1, right.ctypes.data, right.shape[1])
    lines = (y, columns, columns + 7, run, start)
    sizes = (last - first, columns, 4, 1, 0, 0, int(accumulate))
    more = asked(rows.size) if name.endswith("ahead") else ()
    native(dtype, name)(x, *steps, *lines, *sizes, *more)
    np.testing.assert_allclose(c, expected, rtol=1e-4, atol=1e-5)


@by_dtype
@by_product
def test_special_values_do_not_leak_from_gaps(dtype: str, product: str) -> None:
    a, b = operands(1, (1, 9, 17, 35), dtype)
    a[0, 3, 5] = np.inf
    b[0, 2, 30] = np.nan
    finite = np.isfinite(multiply(product, a, b))
    expected = np.ones((9, 35), bool)
    expected[3] = False
    expected[:, 30] = False
    assert np.array_equal(finite, expected)


class PageEnd:
    """Room for a matrix that ends where an unreadable page begins."""

    def __init__(self, dtype: str) -> None:
        self.itemsize = np.dtype(dtype).itemsize
        self.map = mmap.mmap(-1, 9 * mmap.PAGESIZE)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.end = self.start + 8 * mmap.PAGESIZE
        library = ctypes.CDLL(None)
        page = ctypes.c_void_p(self.end)
        assert library.mprotect(page, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0

    def place(self, values: Array) -> int:
        address = self.end - values.size * self.itemsize
        flat = np.ascontiguousarray(values)
        ctypes.memmove(address, flat.ctypes.data, flat.nbytes)
        return address


@by_dtype
@by_product
def test_reads_nothing_past_the_end(dtype: str, product: str) -> None:
    pages = [PageEnd(dtype) for _ in range(3)]
    generator = np.random.default_rng(2)
    for _ in range(60):
        rows, k, columns = (int(n) for n in generator.integers(1, 34, 3))
        a, b = operands(4, (1, rows, k, columns), dtype)
        left = a[0].T if product == "tn" else a[0]
        right = b[0].T if product.startswith("nt") else b[0]
        x, y = pages[0].place(left), pages[1].place(right)
        c = pages[2].place(np.zeros((rows, columns), dtype))
        strides = (1, rows) if product == "tn" else (k, 1)
        places = (x, *strides, y, right.shape[1], c, columns)
        one_run(dtype, product, places, (rows, columns, k, 1, 0, 0))
        result = np.empty((rows, columns), dtype)
        ctypes.memmove(result.ctypes.data, c, result.nbytes)
        assert_close(result, a, b)


@by_dtype
@given(
    rows=st.integers(0, 70),
    columns=st.integers(0, 70),
    gaps=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
@settings(max_examples=60, deadline=None)
def test_transpose(dtype: str, rows: int, columns: int, gaps: tuple[int, int]) -> None:
    values = np.arange(rows * columns, dtype=dtype).reshape(1, rows, columns)
    source = Guarded(values.shape, gaps[0], dtype).fill(values)
    target = Guarded((1, columns, rows), gaps[1], dtype)
    native(dtype, "transpose")(
        source.address, source.stride, target.address, target.stride, rows, columns
    )
    assert np.array_equal(target.view[0], values[0].T)
    assert target.untouched()


@by_dtype
def test_the_module_needs_nothing_from_outside(dtype: str) -> None:
    text = module_text(dtype, host_target())
    declared = [line for line in text.splitlines() if line.startswith("declare")]
    assert all("@llvm." in line for line in declared)


def test_functions_have_types() -> None:
    for name in FUNCTIONS:
        signature = re.search(
            rf"define void @{name}\((.*)\)", module_text("float32", host_target())
        )
        assert signature is not None
        kinds = [str(kind) for kind in function_type(name).args]
        assert [part.split()[0] for part in signature[1].split(", ")] == kinds


def test_integers_are_refused() -> None:
    with pytest.raises(DTypeError, match="float32 or float64"):
        module_text("int32", host_target())


def test_dot_products_are_for_few_rows_and_long_sums() -> None:
    def chosen(rows: int, k: int) -> str:
        return transposed_product(rows, columns=128, k=k, lanes=16)

    assert [chosen(rows, 1024) for rows in (1, 8, 128)] == [
        "gemm_nt",
        "gemm_nt",
        "gemm_nt_packed",
    ]
    assert chosen(32, 10) == "gemm_nt_packed"
