"""What stands near products: clipping, scaling, moved axes, and small weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional as f
from chainrule import ops
from chainrule.compiler import product, program
from chainrule.compiler.kernel import ContractKernel, LoopKernel, Write
from chainrule.compiler.passes import simplify
from chainrule.compiler.passes.arrange import arrange_operands
from chainrule.compiler.passes.clipped import ask_clipped
from chainrule.compiler.passes.sink import sink_moves
from chainrule.compiler.plan import make_plan
from chainrule.compiler.product import slab_rows
from chainrule.compiler.program import Program
from chainrule.ir import Graph, Spec, trace
from chainrule.ir.dtype import float32
from chainrule.ir.graph import evaluate
from tests.checks import same_bits
from tests.compiler.test_random_graphs import GUARD, run_guarded
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
SPECIAL = [0.0, -0.0, 1e-40, -1e-40, 3.0, 6.0, 9.0, -2.0, np.inf, -np.inf, np.nan]


def normal(*shapes: tuple[int, ...]) -> list[Array]:
    random = np.random.default_rng(1)
    return [random.normal(size=shape).astype(np.float32) / 9 for shape in shapes]


def traced(function: Callable[..., Any], given: Sequence[Array]) -> Graph:
    specs = [Spec(a.shape, float32) for a in given]
    return simplify(trace(lambda *values: list(function(*values)), specs)[0])


def gradients(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A scalar and what it changes by with each argument."""

    def everything(*values: Any) -> list[Any]:
        numbers = tuple(range(count))
        value, found = chainrule.value_and_grad(function, argnums=numbers)(*values)
        return [value, *found]

    return everything


def stored(graph: Graph, shape: tuple[int, ...]) -> int:
    """How many values of this shape kernels write."""
    steps = make_plan(graph).steps
    return sum(
        step.values[stage.buffer].spec.shape == shape
        for step in steps
        for stage in getattr(step.kernel, "stages", ())
        if isinstance(stage, Write)
    )


def check(graph: Graph, given: Sequence[Array]) -> None:
    expected = evaluate(graph, given)
    for threads in (1, 3):
        found = run_guarded(Program(graph, threads=threads, guard=GUARD), given)
        for result, wanted in zip(found, expected, strict=True):
            assert_close(result, wanted)


# ---- clipping ------------------------------------------------------------------------


def clipped(x: Any, first: Any, bias: Any, second: Any) -> Any:
    return f.mean((f.relu(x @ first + bias) @ second) ** 2)


def test_what_is_clipped_is_not_stored_as_well() -> None:
    given = normal((70, 33), (33, 40), (40,), (40, 9))
    graph = traced(gradients(clipped, 4), given)
    # the clipped values and their cotangents
    assert stored(graph, (70, 40)) == 2
    check(graph, given)


def test_clipped_values_answer_as_those_before() -> None:
    """For every special number, to the bit; the sign of a product's zero included."""
    x = np.stack([np.array(SPECIAL, np.float32), np.zeros(len(SPECIAL), np.float32)], 1)
    first = np.array([[1, 1, 1], [0, 0, 0]], np.float32)
    given = [x, first, np.zeros(3, np.float32), np.ones((3, 2), np.float32)]
    graph = traced(gradients(clipped, 4), given)
    asked = ask_clipped(graph)
    assert asked is not graph
    with np.errstate(all="ignore"):
        found = zip(
            evaluate(asked, given),
            evaluate(graph, given),
            strict=True,
        )
        for result, wanted in found:
            same_bits(result, wanted)


def two_users(x: Any, first: Any, second: Any) -> Any:
    y = x @ first
    return f.mean((f.relu(y) @ second) ** 2) + f.sum(y * y * y)


def normalized(x: Any, first: Any, second: Any) -> Any:
    y = x @ first
    y = (y - f.mean(y, axis=0)) / f.sqrt(f.mean(y * y, axis=0) + 1.0)
    return f.mean((f.relu(y) @ second) ** 2)


def no_product(x: Any, first: Any, second: Any) -> Any:
    return f.mean(f.sin(f.relu(x @ first))) + f.sum(second)


@pytest.mark.parametrize("function", [two_users, normalized, no_product])
def test_what_is_needed_anyway_is_asked_itself(function: Any) -> None:
    given = normal((20, 7), (7, 12), (12, 5))
    graph = traced(gradients(function, 3), given)
    assert ask_clipped(graph) is graph
    check(graph, given)


# ---- moved axes ----------------------------------------------------------------------


def scaled(x: Any, w: Any, bias: Any) -> Any:
    """Heads of 6, scaled behind an axis more, as attention does."""
    y = f.reshape(f.einsum("bth,hnd->btnd", x, w) + bias, (4, 9, 3, 1, 6)) * 0.25
    return f.einsum("btngd,bsngd->bngts", y, y)


def turned(x: Any, w: Any, bias: Any) -> Any:
    y = f.permute_dims(f.einsum("bth,hnd->bntd", x, w), (0, 2, 1, 3)) * 0.25
    return f.tanh(y) + bias


@pytest.mark.parametrize("function", [scaled, turned])
def test_products_are_scaled_where_they_are_made(function: Any) -> None:
    given = normal((4, 9, 10), (10, 3, 6), (3, 6))
    graph = traced(lambda *v: [function(*v)], given)
    sunk = sink_moves(graph)
    for result, wanted in zip(
        evaluate(sunk, given), evaluate(graph, given), strict=True
    ):
        same_bits(result, wanted)
    check(graph, given)
    if function is scaled:
        kernels = [step.kernel for step in make_plan(graph).steps]
        assert not any(isinstance(kernel, LoopKernel) for kernel in kernels)


def test_what_others_read_stays_where_it_is() -> None:
    def function(x: Any, w: Any, bias: Any) -> list[Any]:
        y = f.einsum("bth,hnd->btnd", x, w)
        z = f.permute_dims(y, (0, 2, 1, 3))
        return [y, z * 0.5, f.sum(z, axis=1), bias]

    given = normal((4, 9, 10), (10, 3, 6), (3, 6))
    graph = traced(function, given)
    names = [node.primitive.name for node in graph.nodes]
    assert [node.primitive.name for node in sink_moves(graph).nodes] == names
    check(graph, given)


# ---- small weights -------------------------------------------------------------------


def along_the_sum(rows: int, terms: int, columns: int) -> Graph:
    specs = [Spec((rows, terms), float32), Spec((columns, terms), float32)]
    how = {"sums": ((1,), (1,)), "batch": ((), ())}
    return trace(lambda a, b: [ops.contract(a, b, **how)], specs)[0]


@pytest.mark.parametrize(
    ("rows", "terms", "columns", "turns"),
    [(1100, 65, 40, 1), (300, 65, 40, 0), (1100, 8, 9, 0), (1030, 600, 1030, 0)],
)
def test_small_weights_are_turned_once_for_many_rows(
    rows: int, terms: int, columns: int, turns: int
) -> None:
    graph = along_the_sum(rows, terms, columns)
    arranged, forced = arrange_operands(graph)
    assert len(forced) == len(arranged.nodes) - 1 == turns
    check(graph, normal((rows, terms), (columns, terms)))


def test_turned_weights_give_the_bits_of_those_that_are_not() -> None:
    given = normal((1100, 65), (40, 65))
    (turned,) = Program(along_the_sum(1100, 65, 40), threads=1)(given)
    (packed,) = Program(along_the_sum(300, 65, 40), threads=1)(
        [given[0][:300], given[1]]
    )
    np.testing.assert_array_equal(turned[:300], packed)
    kernels = [step.kernel for step in make_plan(along_the_sum(1100, 65, 40)).steps]
    assert [isinstance(kernel, ContractKernel) for kernel in kernels] == [False, True]


# ---- long sums -----------------------------------------------------------------------


def updated(x: Any, y: Any, w: Any) -> Any:
    """What a weight becomes: a sum over all that comes before the last axis."""
    axes = tuple(range(x.ndim - 1))
    product = f.tensordot(x, y, axes=(axes, axes))
    return w * 0.5 - product * product * 0.25


def turned_sums(x: Any, y: Any, w: Any) -> Any:
    """The same, of operands that lie along the sum or in another order."""
    x, y = f.permute_dims(x, (2, 1, 0)), f.permute_dims(y, (2, 1, 0))
    return w * 0.5 - f.tensordot(x, y, axes=((2, 1), (2, 1)))


@pytest.mark.parametrize(
    ("terms", "rows", "columns"),
    [
        ((1100,), 40, 33),
        ((1537,), 200, 70),
        ((9, 128), 130, 21),
        ((3, 700), 97, 160),
        ((5, 7, 61), 50, 18),
        ((1300,), 40, 3000),  # rows too wide for sums that are kept
        ((1300,), 500, 5),
    ],
)
def test_long_sums_slab_by_slab(
    terms: tuple[int, ...], rows: int, columns: int
) -> None:
    given = normal((*terms, rows), (*terms, columns), (rows, columns))
    graph = traced(lambda *v: [updated(*v)], given)
    (kernel,) = (
        step.kernel
        for step in make_plan(graph).steps
        if isinstance(step.kernel, ContractKernel)
    )
    assert bool(slab_rows(kernel)) is (columns < 3000)
    same_for_threads(graph, given)


@pytest.mark.parametrize("terms", [(40, 30), (600, 3)])
def test_long_sums_of_moved_operands(terms: tuple[int, ...]) -> None:
    given = normal((*terms, 66), (*terms, 35), (66, 35))
    same_for_threads(traced(lambda *v: [turned_sums(*v)], given), given)


def same_for_threads(graph: Graph, given: Sequence[Array]) -> None:
    (wanted,) = evaluate(graph, given)
    found = [
        run_guarded(Program(graph, threads=threads, guard=GUARD), given)[0]
        for threads in (1, 2, 3, 7)
    ]
    np.testing.assert_allclose(found[0], wanted, rtol=2e-4, atol=2e-5)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_slabs_give_the_bits_of_the_whole_sum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = normal((1537, 50), (1537, 40), (50, 40))
    graph = traced(lambda *v: [updated(*v)], given)
    (slabs,) = Program(graph, threads=1)(given)
    monkeypatch.setattr(product, "LONG_SLABS", 1 << 20)
    monkeypatch.setattr(program, "kernel_code", fresh_code)
    (whole,) = Program(graph, threads=1)(given)
    np.testing.assert_array_equal(slabs, whole)


def fresh_code(kernel: Any) -> Any:
    """Code made anew, under rules that the cache does not know of."""
    text = program.emit_kernel(kernel)
    return program.load_object(program.compile_module(text))
