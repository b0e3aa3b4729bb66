"""Products of bfloat16 in pairs: against exact sums, their reach, and their bits."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import ops
from chainrule.compiler.engine import host_target
from chainrule.compiler.kernels.gemm import GemmLibrary, function_type, module_text
from chainrule.compiler.kernels.gemm_panel import DEPTH
from chainrule.compiler.passes import halves
from chainrule.compiler.program import Program
from chainrule.errors import DTypeError
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import as_array, bfloat16, widen
from chainrule.ir.graph import evaluate
from tests.tolerances import assert_close

Array = npt.NDArray[Any]
CANARY = 31337.0
EPS = np.finfo(np.float32).eps
PRODUCTS = ("nn", "tn", "nt", "tt")
by_product = pytest.mark.parametrize("product", PRODUCTS)
pairs_only = pytest.mark.skipif(
    not host_target().multiplies_pairs, reason="a machine that multiplies pairs"
)
WIDTHS = [64, 32]
LIBRARIES: dict[int, GemmLibrary] = {}


@pytest.fixture(params=WIDTHS, ids=str, scope="module")
def width(request: pytest.FixtureRequest) -> Any:
    target = replace(host_target(), vector_bytes=request.param)
    LIBRARIES[request.param] = GemmLibrary("bfloat16", target)
    return request.param


class Rows:
    """A matrix of bfloat16 with gaps that are not-a-number."""

    def __init__(self, values: Array, gap: int) -> None:
        batches, rows, columns = values.shape
        self.stride = columns + gap
        memory = np.full(batches * rows * self.stride + 64, np.nan, np.float32)
        inside = memory[32:-32].reshape(batches, rows, self.stride)
        inside[:, :, :columns] = values
        self.memory = as_array(memory, bfloat16)
        self.address = self.memory.ctypes.data + 2 * 32
        self.batch = rows * self.stride


def multiply(width: int, product: str, a: Array, b: Array, gap: int = 3) -> Array:
    """sum over r of a[r] @ b[r], in a result with canaries around it."""
    batches, rows, k = a.shape
    columns = b.shape[2]
    x = Rows(a.swapaxes(1, 2) if product[0] == "t" else a, gap)
    y = Rows(b.swapaxes(1, 2) if product[1] == "t" else b, gap)
    c = np.full((rows + 2, columns + gap), CANARY, np.float32)
    steps = (1, x.stride) if product[0] == "t" else (x.stride, 1)
    name = "gemm_nt_packed" if product[1] == "t" else "gemm_nn"
    line = c.shape[1]
    places = (y.address, y.stride, c[1:].ctypes.data, line, line, max(rows, 1), 0)
    sizes = (rows, columns, k, batches, x.batch, y.batch, 0)
    native(width, name)(x.address, steps[0], steps[0], steps[1], *places, *sizes)
    result = c[1:-1, :columns].copy()
    c[1:-1, :columns] = CANARY
    assert (c == CANARY).all()
    return result


def native(width: int, name: str) -> Any:
    pointer = function_type("transpose").args[0]
    kinds = [
        ctypes.c_void_p if kind == pointer else ctypes.c_int64
        for kind in function_type(name).args
    ]
    return ctypes.CFUNCTYPE(None, *kinds)(LIBRARIES[width].address(name))


def operands(seed: int, sizes: tuple[int, int, int, int]) -> tuple[Array, Array]:
    """Numbers that bfloat16 holds."""
    batches, rows, k, columns = sizes
    generator = np.random.default_rng(seed)
    a = generator.standard_normal((batches, rows, k))
    b = generator.standard_normal((batches, k, columns))
    return widen(as_array(a, bfloat16)), widen(as_array(b, bfloat16))


def check(result: Array, a: Array, b: Array) -> None:
    """A sum of n products errs by at most n eps times the sum of their sizes."""
    exact = (a.astype(np.float64) @ b).sum(0)
    size = (np.abs(a).astype(np.float64) @ np.abs(b)).sum(0)
    terms = a.shape[0] * a.shape[2] + 8
    assert (np.abs(result - exact) <= terms * EPS * size).all()


@pairs_only
@by_product
@given(
    sizes=st.tuples(
        st.integers(1, 3), st.integers(0, 40), st.integers(0, 70), st.integers(0, 110)
    ),
    gap=st.integers(0, 9),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_equals_exact_sums_and_stays_inside(
    width: int, product: str, sizes: Any, gap: int, seed: int
) -> None:
    a, b = operands(seed, sizes)
    check(multiply(width, product, a, b, gap), a, b)


@pairs_only
@by_product
@pytest.mark.parametrize(
    "sizes",
    [
        (1, 131, 40, 300),
        (1, 11, 2 * DEPTH + 1, 50),
        (3, 9, DEPTH // 2 + 1, 20),
        (2, 260, DEPTH + 1, 70),
        (20, 7, DEPTH // 8 - 1, 33),
        (600, 3, 1, 17),
    ],
)
def test_slabs_and_chunks(width: int, product: str, sizes: Any) -> None:
    a, b = operands(5, sizes)
    check(multiply(width, product, a, b), a, b)


@pairs_only
@by_product
def test_shares_have_the_bits_of_the_whole(width: int, product: str) -> None:
    a, b = operands(7, (2, 137, 129, 75))
    whole = multiply(width, product, a, b)
    for row, column in ((1, 70), (64, 16), (131, 33)):
        columns = slice(None, column), slice(column, None)
        parts = [
            np.hstack([multiply(width, product, part, b[:, :, s]) for s in columns])
            for part in (a[:, :row], a[:, row:])
        ]
        assert np.array_equal(np.vstack(parts), whole)


@pairs_only
@pytest.mark.parametrize("product", ["nn", "tn"])
def test_infinities_stay_where_they_belong(width: int, product: str) -> None:
    a, b = operands(1, (1, 9, 17, 35))
    a[0, 3, 16] = np.inf
    b[0, 2, 30] = np.nan
    expected = np.ones((9, 35), bool)
    expected[3] = False
    expected[:, 30] = False
    assert np.array_equal(np.isfinite(multiply(width, product, a, b)), expected)


@pairs_only
@pytest.mark.parametrize("name", ["gemm_nn", "gemm_nt_packed"])
@given(
    run=st.integers(1, 20),
    bounds=st.tuples(st.integers(0, 160), st.integers(0, 160)),
    columns=st.integers(1, 70),
    k=st.integers(1, 5),
    transposed=st.booleans(),
    accumulate=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_rows_come_in_runs(
    width: int,
    name: str,
    run: int,
    bounds: Any,
    columns: int,
    k: int,
    transposed: bool,
    accumulate: bool,
) -> None:
    first, last = min(bounds), max(bounds) + 1
    runs = -(-last // run)
    generator = np.random.default_rng(run)
    # rows 9 apart, between runs 2 more in A and 7 more columns in C; along the sum
    # every second element where A is neither way contiguous
    step = 2 if transposed else 1
    line = 9 * run + 2
    a = as_array(generator.standard_normal(runs * line + 9), bfloat16)
    b = as_array(generator.standard_normal((k, columns)), bfloat16)
    c = np.full((runs, run * columns + 7), 3.0, np.float32)
    rows = np.arange(first, last)
    starts = [(i // run) * line + 9 * (i % run) for i in rows]
    left = np.stack([widen(a)[s : s + k * step : step] for s in starts])
    expected = c.copy()
    for i, sums in zip(rows, left @ widen(b), strict=True):
        place = expected[i // run, columns * (i % run) :][:columns]
        place[:] = sums + (place if accumulate else 0)
    right = b if name == "gemm_nn" else np.ascontiguousarray(b.T)
    place, start = divmod(first, run)
    x = int(a.ctypes.data + 2 * starts[0])
    y = int(c[place:].ctypes.data + columns * start * c.itemsize)
    steps = (9, 11, step, right.ctypes.data, right.shape[1])
    lines = (y, columns, columns + 7, run, start)
    sizes = (int(last - first), columns, k, 1, 0, 0, int(accumulate))
    native(width, name)(x, *steps, *lines, *sizes)
    np.testing.assert_allclose(c, expected, rtol=1e-5, atol=1e-5)


@pairs_only
def test_the_module_needs_nothing_from_outside() -> None:
    text = module_text("bfloat16", host_target())
    declared = [line for line in text.splitlines() if line.startswith("declare")]
    assert all("@llvm." in line for line in declared)


def test_other_machines_are_refused() -> None:
    plain = replace(host_target(), features="+avx2,+fma")
    with pytest.raises(DTypeError, match="on this machine"):
        module_text("bfloat16", plain)


# ---- in programs ---------------------------------------------------------------------

SHAPES = [(5, 3, 7), (33, 17, 19), (70, 65, 130), (130, 1, 3), (3, 40, 1)]


@pytest.mark.parametrize("native_pairs", [True, False], ids=["pairs", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_programs_agree_with_the_reference(
    monkeypatch: pytest.MonkeyPatch, native_pairs: bool, shape: tuple[int, int, int]
) -> None:
    rows, k, columns = shape
    if native_pairs and not host_target().multiplies_pairs:
        pytest.skip("a machine that multiplies pairs")
    if not native_pairs:
        target = replace(host_target(), features="")
        monkeypatch.setattr(halves, "host_target", lambda: target)
    generator = np.random.default_rng(3)
    sides = [(rows, k), (k, columns), (rows, columns)]
    arrays = [as_array(generator.normal(size=side), bfloat16) for side in sides]

    def step(x: Any, w: Any, g: Any) -> list[Any]:
        y = ops.contract(x, w, sums=((1,), (0,)), batch=((), ()))
        back = ops.contract(g, w, sums=((1,), (1,)), batch=((), ()))
        slope = ops.contract(x, g, sums=((0,), (0,)), batch=((), ()))
        return [ops.tanh(y), back, ops.multiply(slope, 0.5)]

    graph, _ = trace(step, [Spec(side, bfloat16) for side in sides])
    expected = evaluate(graph, arrays)
    first: list[bytes] = []
    for threads in (1, 2, 3):
        results = Program(graph, threads=threads)(arrays)
        for result, right in zip(results, expected, strict=True):
            # a bfloat16 apart where the sums differ in the last bits of float32, and
            # more where terms cancel
            near = np.abs(widen(result) - widen(right))
            assert (near <= 2.0**-7 * np.abs(widen(right)) + 1e-5 * k).all()
        bits = [result.tobytes() for result in results]
        first = first or bits
        assert bits == first


def test_sums_are_float32() -> None:
    """256 + 1 is 256 in bfloat16: a sum of ones that was rounded would stop there."""
    ones = as_array(np.ones((3, 4096)), bfloat16)

    def sums(x: Any) -> list[Any]:
        product = ops.contract(x, x, sums=((1,), (1,)), batch=((), ()))
        last = ops.cumulative_sum(x, axis=1)
        return [ops.reduce_sum(x, axes=(1,)), product, last]

    graph, _ = trace(sums, [Spec(ones.shape, bfloat16)])
    for results in (evaluate(graph, [ones]), Program(graph, threads=2)([ones])):
        assert (widen(results[0]) == 4096).all()
        assert (widen(results[1]) == 4096).all()
        assert_close(widen(results[2])[:, -1], np.full(3, 4096, np.float32))
