"""The native loop: how numbers are treated, and weights that are updated in place."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler import plan, product, program
from chainrule.compiler.engine import (
    LoadedObject,
    compile_module,
    host_target,
    load_object,
)
from chainrule.compiler.interpret import InterpretedLoop, Part
from chainrule.compiler.kernel import ContractKernel, Kernel
from chainrule.compiler.native_loop import NativeLoop
from chainrule.compiler.program import Program
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32, float64, int64
from chainrule.ir.graph import Graph, evaluate
from chainrule.ops import (
    add,
    contract,
    divide,
    multiply,
    reduce_sum,
    reshape,
    scatter_add,
    sqrt,
    take,
)

MATRICES = {"sums": ((1,), (0,)), "batch": ((), ())}
TINY = np.float32(np.finfo(np.float32).smallest_normal)
flushing = pytest.mark.skipif(
    host_target().architecture not in ("x86_64", "aarch64", "arm64"),
    reason="this processor's modes are not known",
)


def decay(width: int) -> Graph:
    """A state that is halved in each step, and the sum of what was read."""

    def step(state, data, rows):
        batch = take(data, rows, axis=0)
        return [multiply(state, 0.5), reduce_sum(batch, axes=(1,))]

    specs = [Spec((width,), float32), Spec((3, 4), float32), Spec((1,), int64)]
    return trace(step, specs)[0]


@flushing
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_subnormal_numbers_count_as_zero_on_every_thread(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph = decay(100)
    loop = NativeLoop()
    loop.begin([np.full(100, TINY * 4)], [np.full((3, 4), TINY / 2)])
    loop._programs[graph] = Program(graph, [(0, 0)], threads=threads)
    (sums,) = loop.run(graph, np.zeros(2, np.int64), 1, [])
    # still normal, and what is read as 0 adds up to 0
    np.testing.assert_array_equal(loop.state()[0], np.full(100, TINY))
    np.testing.assert_array_equal(sums, np.zeros(2))
    loop.run(graph, np.zeros(1, np.int64), 1, [])
    np.testing.assert_array_equal(loop.state()[0], np.zeros(100))


@pytest.mark.parametrize("threads", [1, 2])
def test_other_programs_keep_subnormal_numbers(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph = decay(100)
    loop = NativeLoop()
    loop.begin([np.full(100, TINY)], [np.ones((3, 4), np.float32)])
    loop.run(graph, np.zeros(1, np.int64), 1, [])
    compiled = Program(graph, threads=threads)
    state, sums = compiled(
        [np.full(100, TINY), np.full((3, 4), TINY / 8), np.zeros(1, np.int64)]
    )
    np.testing.assert_array_equal(state, np.full(100, TINY / 2))
    np.testing.assert_array_equal(sums, [TINY / 2])


# ---- updates on tiles of a gradient --------------------------------------------------


def update(batch: int, rows: int, columns: int) -> Graph:
    """The gradient of a weight matrix, and two averages of it."""

    def step(weights, mean, square, data, delta, numbers):
        x, y = take(data, numbers, axis=0), take(delta, numbers, axis=0)
        gradient = contract(x, y, sums=((0,), (0,)), batch=((), ()))
        mean = add(multiply(mean, 0.9), multiply(gradient, 0.1))
        square = add(multiply(square, 0.99), multiply(gradient, gradient))
        moved = divide(mean, add(sqrt(square), 1e-3))
        return [add(weights, multiply(moved, -0.01)), mean, square]

    state = [Spec((rows, columns), float32)] * 3
    data = [Spec((9, rows), float32), Spec((9, columns), float32)]
    return trace(step, [*state, *data, Spec((batch,), int64)])[0]


def compiled(kernel: Kernel) -> LoadedObject:
    return load_object(compile_module(program.emit_kernel(kernel)))


@pytest.mark.parametrize("fetched", [0, 1 << 30])
@pytest.mark.parametrize(
    ("batch", "rows", "columns"),
    [(5, 37, 130), (7, 25, 1), (3, 70, 65), (200, 131, 70), (33, 50, 512)],
)
def test_updates_are_the_same_for_any_tiles_and_threads(
    batch: int, rows: int, columns: int, fetched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    monkeypatch.setattr(product, "FETCHED_BYTES", fetched)
    monkeypatch.setattr(product, "FAR_BYTES", fetched)
    # the printed kernel, by which code is kept, does not tell its tiles
    monkeypatch.setattr(program, "kernel_code", compiled)
    random = np.random.default_rng(batch)
    shapes = [(rows, columns)] * 3 + [(9, rows), (9, columns)]
    arrays = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    arrays[2] = np.abs(arrays[2])
    order = random.integers(0, 9, 2 * batch)
    graph = update(batch, rows, columns)
    right = arrays[:3]
    for numbers in (order[:batch], order[batch:]):
        right = list(evaluate(graph, [*right, *arrays[3:], numbers]))
    results = []
    for threads in (1, 2, 3):
        loop = NativeLoop()
        loop.begin(arrays[:3], arrays[3:])
        made = Program(graph, [(i, i) for i in range(3)], threads=threads)
        loop._programs[graph] = made
        loop.run(graph, order, batch, [])
        results.append(loop.state())
    products = [s.kernel for s in made.plan.steps]
    (kernel,) = (k for k in products if isinstance(k, ContractKernel))
    assert product.fetches(kernel) == (not fetched and columns > 1)
    for result in results:
        for mine, first, wanted in zip(result, results[0], right, strict=True):
            np.testing.assert_array_equal(mine, first)
            np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-4)


# ---- counts --------------------------------------------------------------------------

PLACES = np.array([3, 5, 3, 3, 39, 0, 5, 5, 3])


def counting(reads: str) -> Graph:
    """Counts to which each batch adds, and a sum of them before or after."""

    def step(state, places, more, rows):
        batch = take(places, rows, axis=0)
        found = take(state if reads == "counts" else more, batch, axis=0)
        new = scatter_add(state, batch, found, axis=0)
        shown = state if reads == "before" else new
        return [new, reshape(reduce_sum(shown, axes=(0,)), shape=(1,))]

    specs = [Spec((40,), float64), Spec((9,), int64), Spec((40,), float64)]
    return trace(step, [*specs, Spec((3,), int64)])[0]


@pytest.mark.parametrize("reads", ["before", "after", "counts"])
@pytest.mark.parametrize("threads", [1, 2])
def test_counts_are_added_to_where_they_lie(
    reads: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large state of few additions is not copied, whoever else reads it."""
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph, more = counting(reads), np.linspace(1, 2, 40)
    loop = NativeLoop()
    loop.begin([np.ones(40)], [PLACES, more])
    loop._programs[graph] = made = Program(graph, [(0, 0)], threads=threads)
    output = made.plan.graph.outputs[0]
    assert made.plan.over[id(output)] is made.plan.graph.inputs[0]
    (sums,) = loop.run(graph, np.arange(9), 3, [])
    state, expected = np.ones(40), []
    for batch in PLACES.reshape(3, 3):
        old = state.copy()
        np.add.at(state, batch, (old if reads == "counts" else more)[batch])
        expected.append((old if reads == "before" else state).sum())
    np.testing.assert_allclose(loop.state()[0], state, rtol=1e-14)
    np.testing.assert_allclose(sums, expected, rtol=1e-14)


def test_counts_that_are_added_to_themselves_are_copied_first() -> None:
    def step(state, places, rows):
        return [scatter_add(state, take(places, rows, axis=0), state, axis=0)]

    specs = [Spec((3,), float64), Spec((6,), int64), Spec((3,), int64)]
    graph = trace(step, specs)[0]
    loop = NativeLoop()
    loop.begin([np.array([1.0, 10.0, 100.0])], [np.array([1, 2, 0, 0, 0, 1])])
    loop.run(graph, np.arange(3), 3, [])
    np.testing.assert_array_equal(loop.state()[0], [101.0, 11.0, 110.0])
    loop.run(graph, np.arange(3, 6), 3, [])
    np.testing.assert_array_equal(loop.state()[0], [213.0, 121.0, 110.0])


@pytest.mark.parametrize("borrowed", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_passes_at_once_are_passes_one_after_the_other(
    threads: int, borrowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two programs by turns, a part of the state that begins anew, and what it was."""
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    if borrowed:
        monkeypatch.setattr(program, "SHARED_BYTES", 0)

    def step(state, total, data, rows):
        batch = take(data, rows, axis=0)
        parts = contract(batch, batch, sums=((0,), (0,)), batch=((), ()))
        new = add(state, reduce_sum(contract(parts, parts, **MATRICES), axes=(0,)))
        return [new, add(total, reduce_sum(new, axes=(0,)))]

    def graph(batch: int) -> Graph:
        specs = [Spec((40,), float64), Spec((), float64), Spec((7, 40), float64)]
        return trace(step, [*specs, Spec((batch,), int64)])[0]

    data = np.random.default_rng(0).normal(size=(7, 40))
    orders = np.array([[0, 1, 2, 3, 4, 5, 6], [6, 2, 4, 0, 1, 3, 5], [1] * 7])
    parts = [Part(graph(3), 3, 6, []), Part(graph(1), 1, 1, [])]
    zero = {1: np.array(0.5)}
    loop, expected = NativeLoop(), InterpretedLoop()
    for part in parts:
        made = Program(part.graph, [(0, 0), (1, 1)], threads=threads)
        assert (made.arena is None) is borrowed
        loop._programs[part.graph] = made
    loop.begin([np.ones(40), np.array(7.0)], [data])
    expected.begin([np.ones(40), np.array(7.0)], [data])
    assert loop.seconds(parts[0].graph) is None
    (sums,) = loop.passes(parts, orders, zero)
    (wanted,) = expected.passes(parts, orders, zero)
    np.testing.assert_allclose(sums, wanted, rtol=1e-12)
    np.testing.assert_allclose(loop.state()[0], expected.state()[0], rtol=1e-12)
    assert loop.seconds(parts[0].graph) > 0
