"""Which part of a kernel is whose, and where threads need not wait for one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule.compiler import plan
from chainrule.compiler.native_loop import NativeLoop
from chainrule.compiler.plan import make_plan
from chainrule.compiler.program import Program
from chainrule.compiler.shares import together
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32, float64, int64
from chainrule.ir.graph import Graph, evaluate
from chainrule.ops import (
    add,
    contract,
    cumulative_sum,
    exp,
    maximum,
    multiply,
    permute_dims,
    reduce_sum,
    reshape,
    take,
)

STATE = ((7, 40), (40, 36), (36, 1))


def product(x: Any, w: Any, left: int, right: int) -> Any:
    return contract(x, w, sums=((left,), (right,)), batch=((), ()))


def step(*inputs: Any) -> list[Any]:
    """Three layers forward, a loss, and all three layers backward."""
    first, second, third, data, rows = inputs
    x = take(data, rows, axis=0)
    a = maximum(product(x, first, 1, 0), 0.0)
    b = maximum(product(a, second, 1, 0), 0.0)
    error = add(product(b, third, 1, 0), 0.25)
    loss = reduce_sum(multiply(error, error), axes=(0, 1))
    back_b = multiply(product(error, third, 1, 1), exp(multiply(b, -1.0)))
    back_a = multiply(product(back_b, second, 1, 1), exp(multiply(a, -1.0)))
    updates = zip(
        (first, second, third), (x, a, b), (back_a, back_b, error), strict=True
    )
    new = [add(w, multiply(product(i, o, 0, 0), -1e-4)) for w, i, o in updates]
    return [*new, reshape(loss, shape=(1,))]


def training(batch: int, dtype: Any = float32) -> Graph:
    specs = [Spec(shape, dtype) for shape in STATE]
    given = [*specs, Spec((500, 7), dtype), Spec((batch,), int64)]
    return trace(step, given)[0]


def inputs(dtype: str = "float32") -> list[Any]:
    random = np.random.default_rng(5)
    shapes = (*STATE, (500, 7))
    return [np.asarray(random.normal(size=s) * 0.3, dtype) for s in shapes]


def trained(graph: Graph, batch: int, threads: int, dtype: str) -> list[Any]:
    state, data = inputs(dtype)[:3], inputs(dtype)[3:]
    loop = NativeLoop()
    loop.begin(state, data)
    made = Program(graph, [(i, i) for i in range(3)], threads=threads)
    loop._programs[graph] = made
    order = np.random.default_rng(1).integers(0, 500, 60 * batch)
    losses = loop.run(graph, order, batch, [])
    return [*loop.state(), *losses]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [33, 64, 127, 128, 200, 256])
def test_rows_stay_with_their_thread_through_the_layers(
    batch: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph = training(batch, float32 if dtype == "float32" else float64)
    first = trained(graph, batch, 1, dtype)
    for threads in (2, 3, 5):
        for mine, right in zip(
            trained(graph, batch, threads, dtype), first, strict=True
        ):
            np.testing.assert_array_equal(mine, right)
    right = inputs(dtype)
    order = np.random.default_rng(1).integers(0, 500, 60 * batch)
    for start in range(0, len(order), batch):
        *state, loss = evaluate(graph, [*right, order[start : start + batch]])
        right = [*state, right[3]]
    for mine, wanted in zip(first, [*right[:3], loss], strict=True):
        np.testing.assert_allclose(
            mine[-1:], wanted[-1:], rtol=1e-3 if dtype == "float32" else 1e-9, atol=1e-5
        )


def test_threads_wait_where_the_batch_is_summed_and_nowhere_else() -> None:
    steps = make_plan(training(256), [(i, i) for i in range(3)]).steps
    waits = [step for step in steps if step.barrier]
    assert len(waits) == 1
    assert all(step.parallel for step in steps[: steps.index(waits[0])])


@pytest.mark.parametrize("rows", [32, 100, 128, 300])
def test_what_other_rows_need_is_waited_for(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns, turned matrices and rows further up belong to somebody else."""
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)

    def mixed(x: Any, w: Any) -> list[Any]:
        a = exp(product(x, w, 1, 0))
        turned = exp(product(permute_dims(a, axes=(1, 0)), x, 1, 0))
        sums = cumulative_sum(reduce_sum(a, axes=(1,)), axis=0)
        again = multiply(product(a, turned, 1, 0), reshape(sums, shape=(rows, 1)))
        return [again, turned, reduce_sum(again, axes=(0,))]

    random = np.random.default_rng(rows)
    arrays = [
        np.asarray(random.normal(size=shape) * 0.1, "float32")
        for shape in ((rows, 12), (12, 40))
    ]
    graph = trace(mixed, [Spec(array.shape, float32) for array in arrays])[0]
    first = Program(graph, threads=1)(arrays)
    for wanted, mine in zip(evaluate(graph, arrays), first, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-4)
    for threads in (2, 3):
        made = Program(graph, threads=threads)
        for _ in range(30):
            for mine, right in zip(made(arrays), first, strict=True):
                np.testing.assert_array_equal(mine, right)


def test_shares_of_long_axes_are_whole_vectors() -> None:
    assert together(256) % 16 == 0
    assert together(127) == 4
