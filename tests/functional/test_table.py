"""The table of calls: values, traced = eager, batched = loop, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.ir import constant, evaluate, trace, verify
from tests.checks import (
    Array,
    check_batching,
    check_gradients,
    combinations,
    layouts,
    run_eagerly,
    same_bits,
    spec_of,
)
from tests.functional.cases import CASES, Case
from tests.tolerances import ROUNDING, assert_close, tolerance_of


def cases(chosen: Callable[[Case], bool] = lambda case: True) -> Any:
    """A test of every row, or of those that are `chosen`."""
    rows = [case for case in CASES if chosen(case)]
    return pytest.mark.parametrize("case", rows, ids=lambda case: case.name)


def as_list(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (list, tuple)) else [result]


@cases(lambda case: case.reference is not None)
def test_values_are_those_of_numpy(case: Case) -> None:
    assert case.reference is not None
    actual = run_eagerly(case.outputs, case.arrays)
    with np.errstate(all="ignore"):
        expected = as_list(case.reference(*case.arrays))
    assert len(actual) == len(expected)
    for found, right in zip(actual, expected, strict=True):
        assert_close(found, right, where=case.name)


@cases(lambda case: case.reference is not None and case.smooth)
def test_float32_stays_float32_and_is_close(case: Case) -> None:
    assert case.reference is not None
    narrow = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in case.arrays]
    wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in narrow]
    allowed = tolerance_of(np.float32, ROUNDING)
    for found, right in zip(
        run_eagerly(case.outputs, narrow), as_list(case.reference(*wide)), strict=True
    ):
        if np.asarray(right).dtype.kind == "f":
            assert found.dtype == np.float32
        np.testing.assert_allclose(
            found, right, rtol=allowed.relative, atol=10 * allowed.absolute
        )


@cases()
def test_traced_equals_eager_to_the_bit(case: Case) -> None:
    eager = run_eagerly(case.outputs, case.arrays)
    graph, captured = trace(case.outputs, list(map(spec_of, case.arrays)))
    assert not captured
    verify(graph)
    traced = evaluate(graph, list(case.arrays))
    for found, right in zip(traced, eager, strict=True):
        same_bits(found, right, case.name)


@cases(lambda case: case.batched)
def test_batched_equals_a_loop(case: Case) -> None:
    for batched in combinations(len(case.arrays)):
        for size in (3, 0):
            check_batching(case.outputs, case.arrays, batched, size, case.name)


@cases(lambda case: case.smooth)
def test_gradients_are_those_of_central_differences(case: Case) -> None:
    fixed = [None if a.dtype.kind == "f" else constant(a) for a in case.arrays]

    def function(*values: Any) -> list[Any]:
        given = iter(values)
        inputs = [next(given) if x is None else x for x in fixed]
        return [y for y in case.outputs(*inputs) if y.dtype.is_float]

    floats = [a for a in case.arrays if a.dtype.kind == "f"]
    if floats:
        check_gradients(function, floats, order=2, where=case.name)


@cases()
def test_memory_order_does_not_matter(case: Case) -> None:
    expected = run_eagerly(case.outputs, case.arrays)
    for kinds in zip(*map(layouts, case.arrays), strict=True):
        arrays: list[Array] = [array for _, array in kinds]
        for found, right in zip(
            run_eagerly(case.outputs, arrays), expected, strict=True
        ):
            assert_close(found, right, where=f"{case.name}, {kinds[0][0]}")


CHECKED_ELSEWHERE = """
    arange asarray empty empty_like eye from_dlpack full full_like linspace ones
    ones_like zeros zeros_like astype can_cast finfo iinfo isdtype result_type
    broadcast_shapes e inf nan newaxis pi nonzero unique_all unique_counts
    unique_inverse unique_values set_seed stop_gradient bitwise_and bitwise_or
    bitwise_xor bitwise_invert logical_not bitwise_left_shift bitwise_right_shift
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64
    float16 bfloat16
    __array_namespace_info__
"""


def test_the_table_has_every_public_function_of_arrays() -> None:
    called = {case.name.split()[0].split("(")[0].split("{")[0] for case in CASES}
    called |= {"random", "linalg"}
    elsewhere = set(CHECKED_ELSEWHERE.split())
    assert set(cr.functional.__all__) - called - elsewhere == set()
    assert elsewhere <= set(cr.functional.__all__)
