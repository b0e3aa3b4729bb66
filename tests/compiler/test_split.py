"""Products with weights that are updated: sums in parts, and axes that are split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule.compiler import plan
from chainrule.compiler.kernel import ContractKernel
from chainrule.compiler.lower import dense_strides
from chainrule.compiler.native_loop import NativeLoop
from chainrule.compiler.plan import make_plan
from chainrule.compiler.program import Program
from chainrule.compiler.view import split_strides
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32, int64
from chainrule.ir.graph import Graph, evaluate
from chainrule.ops import (
    add,
    contract,
    maximum,
    multiply,
    permute_dims,
    reduce_sum,
    reshape,
    take,
)


def product(x: Any, w: Any, left: int, right: int) -> Any:
    return contract(x, w, sums=((left,), (right,)), batch=((), ()))


def training(rows: int, terms: int, columns: int) -> Graph:
    """A layer with relu, and its weights moved along their gradient."""

    def step(weights: Any, data: Any, numbers: Any) -> list[Any]:
        x = take(data, numbers, axis=0)
        y = maximum(add(product(x, weights, 1, 0), 0.5), 0.0)
        gradient = product(x, multiply(y, 0.01), 0, 0)
        moved = add(weights, multiply(gradient, -0.01))
        return [moved, reduce_sum(y, axes=(1,))]

    specs = [Spec((terms, columns), float32), Spec((90, terms), float32)]
    return trace(step, [*specs, Spec((rows,), int64)])[0]


def parts(graph: Graph) -> list[int]:
    """How many products each kernel makes side by side."""
    steps = make_plan(graph, [(0, 0)]).steps
    kernels = [step.kernel for step in steps]
    products = [k for k in kernels if isinstance(k, ContractKernel)]
    return [axis.extent for kernel in products for axis in kernel.outer]


@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize(
    ("rows", "terms", "columns", "wanted"),
    [(32, 784, 128, 4), (33, 602, 70, 2), (17, 1020, 65, 4), (32, 785, 128, 0)],
)
def test_sums_in_parts_are_the_same_for_any_threads(
    rows: int, terms: int, columns: int, wanted: int, threads: int
) -> None:
    graph = training(rows, terms, columns)
    assert parts(graph) == ([wanted] if wanted else [])
    random = np.random.default_rng(terms)
    weights, data = (
        np.asarray(random.normal(size=shape) * 0.1, "float32")
        for shape in ((terms, columns), (90, terms))
    )
    order = random.integers(0, 90, 5 * rows)
    results = []
    for count in (1, threads):
        loop = NativeLoop()
        loop.begin([weights], [data])
        loop._programs[graph] = Program(graph, [(0, 0)], threads=count)
        (sums,) = loop.run(graph, order, rows, [])
        results.append([*loop.state(), sums])
    for mine, first in zip(results[1], results[0], strict=True):
        np.testing.assert_array_equal(mine, first)
    state = weights
    for start in range(0, len(order), rows):
        state, sums = evaluate(graph, [state, data, order[start : start + rows]])
    np.testing.assert_allclose(results[0][0], state, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(results[0][1][-rows:], sums, rtol=1e-4, atol=1e-4)


def test_sums_stay_whole_where_parts_do_not_pay() -> None:
    assert parts(training(128, 784, 128)) == [2]
    assert parts(training(300, 784, 128)) == []  # many rows to write and read again
    assert parts(training(32, 784, 1024)) == []  # weights that no cache holds
    assert parts(training(32, 784, 32)) == []  # few columns
    program = make_plan(training(32, 784, 128))  # weights that nobody updates
    products = [s.kernel for s in program.steps if isinstance(s.kernel, ContractKernel)]
    assert all(not kernel.outer for kernel in products)


@pytest.mark.parametrize(
    ("shape", "new", "strides"),
    [
        ((6, 8), (6, 2, 4), (8, 4, 1)),
        ((6, 8), (3, 2, 8), (16, 8, 1)),
        ((6, 8), (6, 8, 1), (8, 1, 0)),
        ((6, 8), (1, 6, 8), (0, 8, 1)),
        ((6, 8), (8, 6), None),
        ((6, 8), (48,), None),
        ((6, 1), (6, 1), (1, 0)),
        ((6, 1), (2, 3), (3, 1)),
        ((1, 6), (6, 2), None),
    ],
)
def test_reshapes_that_split_axes_are_told_from_others(
    shape: tuple[int, ...], new: tuple[int, ...], strides: tuple[int, ...] | None
) -> None:
    assert split_strides(shape, dense_strides(shape), new) == strides


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_split_and_turned_operands_are_read_where_they_are(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)

    def heads(x: Any, y: Any) -> list[Any]:
        a = permute_dims(reshape(x, shape=(9, 3, 5)), axes=(1, 0, 2))
        b = permute_dims(reshape(add(y, 1.0), shape=(7, 3, 5)), axes=(1, 0, 2))
        scores = contract(a, b, sums=((2,), (2,)), batch=((0,), (0,)))
        turned = permute_dims(x, axes=(1, 0))
        other = reshape(turned, shape=(3, 5, 9))
        mixed = contract(other, scores, sums=((2,), (1,)), batch=((0,), (0,)))
        return [scores, mixed]

    random = np.random.default_rng(0)
    arrays = [np.asarray(random.normal(size=s), "float32") for s in ((9, 15), (7, 15))]
    graph = trace(heads, [Spec(array.shape, float32) for array in arrays])[0]
    got = Program(graph, threads=threads)(arrays)
    for mine, wanted in zip(got, evaluate(graph, arrays), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-5)
