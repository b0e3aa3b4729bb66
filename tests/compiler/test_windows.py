"""Windows, slices and repeated axes, read in place by matrix kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import functional
from chainrule.autodiff import vjp
from chainrule.compiler import plan
from chainrule.compiler.kernel import ContractKernel
from chainrule.compiler.program import Program
from chainrule.functional.convolution import conv
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import DType, float32, float64
from chainrule.ir.graph import Graph, evaluate
from chainrule.ops import broadcast_to, contract, multiply, permute_dims, slice_
from tests.compiler.test_random_graphs import GUARD, run_guarded

SHAPES = [
    # x, kernel, cotangent: taps over one, two and three axes, odd lengths and widths
    ((3, 19, 5), (4, 5, 7), (3, 16, 7)),
    ((2, 7, 9, 3), (3, 2, 3, 17), (2, 5, 8, 17)),
    ((5, 12, 11, 1), (3, 3, 1, 33), (5, 10, 9, 33)),
    ((2, 4, 5, 6, 2), (2, 3, 2, 2, 9), (2, 3, 3, 5, 9)),
]


def convolution(x: Any, kernel: Any, g: Any) -> list[Any]:
    """A convolution and both of its gradients."""
    y, pullback = vjp(lambda x, kernel: functional.relu(conv(x, kernel)), x, kernel)
    return [y, *pullback(g)]


def traced(function: Any, shapes: Any, dtype: DType) -> tuple[Graph, list[Any]]:
    random = np.random.default_rng(0)
    arrays = [random.normal(size=s).astype(dtype.numpy) for s in shapes]
    graph, _ = trace(function, [Spec(tuple(s), dtype) for s in shapes])
    return graph, arrays


HOW = [
    # strides, dilations, groups and padding: rows in runs, phases, parts of channels
    ((3, 9, 10, 5), (3, 3, 5, 18), {"strides": 2, "padding": "same"}),
    ((2, 8, 7, 3), (2, 2, 3, 9), {"strides": (2, 3), "dilation": (1, 2)}),
    ((2, 9, 7, 6), (3, 2, 2, 9), {"groups": 3, "padding": "same"}),
    ((2, 6, 7, 4), (1, 1, 4, 5), {"strides": 2}),
    ((2, 3, 4, 5, 6), (2, 3, 2, 6, 4), {"padding": "same", "dilation": 2}),
]


@pytest.mark.parametrize(("x", "kernel", "how"), HOW, ids=str)
def test_convolutions_of_all_kinds_agree_with_the_reference(
    x: Any, kernel: Any, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)

    def function(x: Any, kernel: Any) -> list[Any]:
        y, pullback = vjp(lambda x, kernel: conv(x, kernel, **how), x, kernel)
        return [functional.relu(y), *pullback(multiply(y, y))]

    graph, arrays = traced(function, (x, kernel), float32)
    alone, *others = [
        run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for threads in (1, 2, 3)
    ]
    for mine, wanted in zip(alone, evaluate(graph, arrays), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-3)
    for other in others:
        for mine, first in zip(other, alone, strict=True):
            np.testing.assert_array_equal(mine, first)


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_convolutions_agree_with_the_reference_on_any_number_of_threads(
    shapes: Any, dtype: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph, arrays = traced(convolution, shapes, dtype)
    expected = evaluate(graph, arrays)
    alone, *others = [
        run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for threads in (1, 2, 3)
    ]
    tolerance = 2e-5 if dtype is float32 else 1e-12
    for mine, wanted in zip(alone, expected, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=tolerance, atol=tolerance)
    for other in others:
        for mine, first in zip(other, alone, strict=True):
            np.testing.assert_array_equal(mine, first)


def test_windows_are_not_unfolded() -> None:
    graph, _ = traced(convolution, SHAPES[1], float32)
    steps = plan.make_plan(graph).steps
    products = [s for s in steps if isinstance(s.kernel, ContractKernel)]
    assert len(products) == 3
    largest = max(value.spec.size for step in products for value in step.values)
    around = 2 * 9 * 10 * 17  # the cotangent with zeros around it
    assert largest <= around


def test_lines_of_a_picture_are_rows_of_one_product() -> None:
    graph, _ = traced(
        lambda x, kernel: [conv(x, kernel)], ((2, 8, 9, 5), (3, 3, 5, 7)), float32
    )
    (step,) = plan.make_plan(graph).steps
    assert isinstance(step.kernel, ContractKernel)
    kernel = step.kernel
    # six lines of seven pixels, two pixels of five channels between them
    assert [axis.extent for axis in kernel.outer] == [2]
    assert (kernel.m.extent, kernel.run) == (42, 7)
    assert (kernel.a.row, kernel.wrap) == (5, 15)


def test_sums_over_many_axes_are_added_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the gradient of a kernel is summed over samples and positions: three axes
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph, arrays = traced(convolution, SHAPES[2], float32)
    kernels = [step.kernel for step in plan.make_plan(graph).steps]
    assert any(
        isinstance(kernel, ContractKernel) and len(kernel.sums) > 2
        for kernel in kernels
    )
    program = Program(graph, threads=2)
    first = program(arrays)
    for again in (program(arrays), Program(graph, threads=2)(arrays)):
        for mine, before in zip(again, first, strict=True):
            np.testing.assert_array_equal(mine, before)


@pytest.mark.parametrize("threads", [1, 3])
def test_slices_and_repeated_axes_are_read_where_they_are(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)

    def function(x: Any, y: Any) -> list[Any]:
        left = slice_(x, start=(2, 1), stop=(19, 31), step=(2, 3))
        right = slice_(multiply(y, 2.0), start=(0, 4), stop=(10, 21), step=(1, 1))
        product = contract(left, right, sums=((1,), (0,)), batch=((), ()))
        many = broadcast_to(x, shape=(3, 20, 33))
        turned = permute_dims(many, axes=(0, 2, 1))
        batched = contract(many, turned, sums=((2,), (1,)), batch=((0,), (0,)))
        return [product, batched]

    graph, arrays = traced(function, ((20, 33), (10, 23)), float32)
    got = Program(graph, threads=threads)(arrays)
    for mine, wanted in zip(got, evaluate(graph, arrays), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-5)
