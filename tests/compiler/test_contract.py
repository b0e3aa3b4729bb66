"""Native code against the reference: operations, dtypes, layouts, thread counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.compiler import fuse, lower
from chainrule.compiler.kernels import elementwise, math
from chainrule.compiler.library import WRITERS
from chainrule.compiler.program import Program
from chainrule.functional.promotion import finfo
from chainrule.ir import PRIMITIVES, Graph, Sample, Trait, bind, trace
from chainrule.ir.dtype import DType, as_array, as_dtype
from chainrule.ir.graph import evaluate
from tests.checks import layouts, same_bits, spec_of, variants
from tests.compiler.kernels import share_and_check_kernels
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
NAMES = sorted(PRIMITIVES)
THREADS = (1, 2, 3)
# in native code these have formulas of their own, which round differently
ROUNDED = {*math.FUNCTIONS} - {"abs", "sign", "floor", "ceil", "trunc", "round", "sqrt"}
ROUNDED |= {"contract", "sum", "prod", "cumulative_sum", "call", "scan"}


@pytest.fixture(autouse=True)
def all_kernels_are_shared_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    share_and_check_kernels(monkeypatch)


def together(samples: Sequence[tuple[Any, Sample]]) -> tuple[Graph, list[Array]]:
    """One graph that computes every sample, and its inputs."""
    arrays = [array for _, sample in samples for array in sample.arrays]

    def function(*inputs: Any) -> list[Any]:
        given, results = iter(inputs), []
        for primitive, sample in samples:
            own = [next(given) for _ in sample.arrays]
            made = bind(primitive, *own, **sample.params)
            results += list(made) if primitive.multiple else [made]
        return results

    return trace(function, list(map(spec_of, arrays)))[0], arrays


def check(graph: Graph, arrays: Sequence[Array], exact: bool, where: str) -> None:
    """With 1, 2 and 3 threads the same bits, and what the reference gives."""
    expected = evaluate(graph, arrays)
    first: tuple[Array, ...] = ()
    for threads in THREADS:
        results = Program(graph, threads=threads)(arrays)
        for index, (result, right) in enumerate(zip(results, expected, strict=True)):
            place = f"{where}, output {index}, {threads} threads"
            if exact or not as_dtype(right.dtype).is_float:
                same_bits(result, right, place)
            else:
                assert_close(result, right, where=place)
        for result, other in zip(results, first or results, strict=True):
            assert result.tobytes() == other.tobytes(), where
        first = first or results


def _every_sample(name: str) -> list[tuple[Any, Sample]]:
    primitive = PRIMITIVES[name]
    return [
        (primitive, variant)
        for sample in primitive.samples()
        for variant in variants(primitive, sample)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_in_every_dtype(name: str) -> None:
    samples = _every_sample(name)
    graph, arrays = together(samples)
    check(graph, arrays, name not in ROUNDED, name)
    check_layouts(Program(graph, threads=1), arrays, name)


def check_layouts(program: Program, arrays: Sequence[Array], where: str) -> None:
    """Memory order does not change the result, and inputs are never written to."""
    expected = program(arrays)
    for kinds in zip(*map(layouts, arrays), strict=True):
        moved = [array for _, array in kinds]
        for result, right in zip(program(moved), expected, strict=True):
            same_bits(result, right, f"{where}: {kinds[0][0]}")
        for array, original in zip(moved, arrays, strict=True):
            same_bits(array, original, f"{where} wrote to its input")


# ---- special values ------------------------------------------------------------------

ELEMENTWISE = [n for n in NAMES if Trait.ELEMENTWISE in PRIMITIVES[n].traits]


def special(dtype: DType) -> Array:
    """The numbers of a dtype at which operations go wrong."""
    if dtype.is_bool:
        return np.array([False, True])
    if dtype.is_float:
        info = finfo(dtype)
        small = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0, 1e9]
        least = info.smallest_normal * info.eps  # of the subnormal numbers
        positive = [*small, info.max, info.smallest_normal, least, np.inf]
        return as_array([*positive, *(-x for x in positive), np.nan], dtype)
    limits = np.iinfo(dtype.numpy)
    numbers = [0, 1, 2, 3, 7, limits.max, limits.max - 1, dtype.bits, dtype.bits - 1]
    if limits.min:
        numbers += [limits.min, limits.min + 1, -1, -2, -3, -7]
    return np.array(numbers, dtype.numpy)


def _special_samples(name: str) -> Iterator[tuple[Any, Sample]]:
    primitive = PRIMITIVES[name]
    sample = next(s for s in primitive.samples() if s.arrays)
    for variant in variants(primitive, sample):
        kinds = [special(as_dtype(array.dtype)) for array in variant.arrays]
        grids = np.meshgrid(*kinds, indexing="ij")
        arrays = tuple(np.ascontiguousarray(grid.reshape(-1)) for grid in grids)
        yield primitive, Sample(arrays, variant.params)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_special_values(name: str) -> None:
    graph, arrays = together(list(_special_samples(name)))
    # elementary functions have a test of their own, which counts units in last place
    if name in ROUNDED and any(as_dtype(array.dtype).is_float for array in arrays):
        samples = [
            s
            for s in _special_samples(name)
            if not as_dtype(s[1].arrays[0].dtype).is_float
        ]
        graph, arrays = together(samples)
    check(graph, arrays, exact=True, where=name)


def test_floats_saturate_in_integers() -> None:
    wide = np.array(
        [np.nan, np.inf, -np.inf, 1e30, -1e30, 300.7, -300.7, 127.5, -0.5, 2.0**63],
        np.float64,
    )
    integers = [d for d in PRIMITIVES["cast"].dtypes if d.is_integer]

    def function(x: Any, y: Any) -> list[Any]:
        return [ops.cast(v, dtype=dtype) for v in (x, y) for dtype in integers]

    arrays = [wide, wide.astype(np.float32)]
    graph, _ = trace(function, list(map(spec_of, arrays)))
    check(graph, arrays, exact=True, where="cast")


# ---- shapes --------------------------------------------------------------------------


def _most(x: Any) -> Any:
    most = ops.reduce_max(x, axes=(1,))
    return ops.reshape(most, shape=(x.spec.shape[0], 1))


FAMILIES: dict[str, Callable[[Any], list[Any]]] = {
    "elements": lambda x: [ops.multiply(ops.add(x, 1.0), x)],
    "rows": lambda x: [ops.reduce_max(x, axes=(1,)), ops.argmax(x, axis=1)],
    "columns": lambda x: [ops.reduce_max(x, axes=(0,)), ops.argmin(x, axis=0)],
    "all": lambda x: [ops.reduce_min(x, axes=(0, 1))],
    "turned": lambda x: [ops.add(ops.permute_dims(x, axes=(1, 0)), 1.0)],
    "normalised": lambda x: [ops.subtract(x, _most(x))],
}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_length_up_to_70(family: str) -> None:
    random = np.random.default_rng(0)
    lengths = [*range(1, 20), *range(30, 36), *range(62, 71)]
    shapes = [(rows, n) for n in lengths for rows in (1, 3)]
    arrays = [random.normal(size=shape).astype(np.float32) for shape in shapes]

    def function(*inputs: Any) -> list[Any]:
        return [result for x in inputs for result in FAMILIES[family](x)]

    graph, _ = trace(function, list(map(spec_of, arrays)))
    check(graph, arrays, exact=True, where=family)


# ---- completeness --------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_has_a_lowering(name: str) -> None:
    ways = [
        name in lower.ROWS,
        name in fuse.REDUCTIONS,
        name in WRITERS,
        name in ("contract", "call", fuse.LOOP),
        Trait.ELEMENTWISE in PRIMITIVES[name].traits
        and name in {*elementwise.ROWS, "cast", "bitcast"},
    ]
    assert sum(ways) == 1
    assert set(fuse.LIBRARY) == set(WRITERS)
    assert set(fuse.COSTLY) | set(lower.READS_STORED) <= set(NAMES)
