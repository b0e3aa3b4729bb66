"""Passes: graphs that mean the same, and keep the rules of graphs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import checkpoint, grad
from chainrule.compiler.passes import algebra, drop_dead, inline_calls, simplify
from chainrule.compiler.passes.arrange import arrange_operands, separate_outputs
from chainrule.compiler.plan import make_plan
from chainrule.compiler.program import Program
from chainrule.ir import Graph, constant, trace, verify
from chainrule.ir.dtype import bool_, float32, int8
from chainrule.ir.graph import evaluate
from chainrule.ir.show import show
from tests.checks import same_bits
from tests.compiler.graphs import Tape, grow, random_inputs, some, spec_of
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]
SPECIAL = np.array([0.0, -0.0, 1.5, -2.5, np.inf, -np.inf, np.nan, 1e-40], np.float32)
GOLDEN = Path(__file__).parent / "golden"


def traced(function: Function, *arrays: Array) -> Graph:
    graph, _ = trace(lambda *v: [function(*v)], list(map(spec_of, arrays)))
    return graph


def names(graph: Graph) -> list[str]:
    return [node.primitive.name for node in graph.nodes]


def number(value: float, dtype: type = np.float32) -> Any:
    return constant(np.asarray(value, dtype))


def _outer(x: Any, axis: int) -> Any:
    """A product of a column and a row, whose sums have one term each."""
    column = constant(np.array([[0.5], [-0.0], [np.inf]], np.float32))
    row = ops.reshape(x, shape=(1, 8) if axis == 0 else (8, 1))
    product = ops.contract(column, row, sums=((1,), (axis,)), batch=((), ()))
    return ops.reshape(product, shape=(3, 8))


def _product(x: Any, sums: Any) -> Any:
    return ops.contract(x, x, sums=sums, batch=((), ()))


def _permuted(x: Any, *orders: tuple[int, ...]) -> Any:
    for order in orders:
        x = ops.permute_dims(x, axes=order)
    return x


# ---- algebra -------------------------------------------------------------------------

# the row, what is written, what remains of it
IDENTITIES: list[tuple[str, Function, list[str]]] = [
    ("identity", lambda x: ops.identity(x), []),
    ("stop_gradient", lambda x: ops.stop_gradient(x), []),
    ("multiply", lambda x: ops.multiply(x, number(1)), []),
    ("multiply", lambda x: ops.multiply(number(1), x), []),
    ("divide", lambda x: ops.divide(x, number(1)), []),
    ("divide", lambda x: ops.divide(x, number(-8)), ["multiply"]),
    ("divide", lambda x: ops.divide(x, number(3)), ["divide"]),
    ("divide", lambda x: ops.divide(x, number(0)), ["divide"]),
    ("subtract", lambda x: ops.subtract(x, number(0)), []),
    ("subtract", lambda x: ops.subtract(x, number(-0.0)), ["subtract"]),
    ("negative", lambda x: ops.negative(ops.negative(x)), []),
    (
        "logical_not",
        lambda x: ops.logical_not(ops.logical_not(ops.less(x, 1.0))),
        ["less"],
    ),
    ("cast", lambda x: ops.cast(x, dtype=float32), []),
    ("cast", lambda x: ops.cast(x, dtype=bool_), ["cast"]),
    ("reshape", lambda x: ops.reshape(x, shape=(8,)), []),
    (
        "reshape",
        lambda x: ops.reshape(ops.reshape(x, shape=(2, 4)), shape=(4, 2)),
        ["reshape"],
    ),
    (
        "reshape",
        lambda x: ops.reshape(ops.reshape(x, shape=(2, 4)), shape=(8,)),
        [],
    ),
    ("broadcast_to", lambda x: ops.broadcast_to(x, shape=(8,)), []),
    (
        "broadcast_to",
        lambda x: ops.broadcast_to(ops.broadcast_to(x, shape=(2, 8)), shape=(3, 2, 8)),
        ["broadcast_to"],
    ),
    ("permute_dims", lambda x: _permuted(x, (0,)), []),
    (
        "permute_dims",
        lambda x: _permuted(ops.reshape(x, shape=(2, 2, 2)), (1, 2, 0), (1, 2, 0)),
        ["reshape", "permute_dims"],
    ),
    (
        "permute_dims",
        lambda x: _permuted(ops.reshape(x, shape=(2, 2, 2)), (1, 2, 0), (2, 0, 1)),
        ["reshape"],
    ),
    ("slice", lambda x: ops.slice_(x, start=(0,), stop=(8,), step=(1,)), []),
    ("slice", lambda x: ops.slice_(x, start=(1,), stop=(8,), step=(1,)), ["slice"]),
    ("where", lambda x: ops.where(number(1, np.bool_), x, ops.exp(x)), []),
    ("where", lambda x: ops.where(number(0, np.bool_), ops.exp(x), x), []),
    ("where", lambda x: ops.where(ops.less(x, 0.0), x, x), []),
    (
        "sum",
        lambda x: ops.reduce_sum(ops.reshape(x, shape=(8, 1)), axes=(1,)),
        ["reshape", "sum"],  # the sum of -0.0 is 0.0
    ),
    (
        "sum",
        lambda x: ops.reduce_sum(ops.cast(ops.sign(x), dtype=int8), axes=()),
        ["sign", "cast"],
    ),
    *(
        (
            name,
            lambda x, fold=fold: fold(ops.reshape(x, shape=(8, 1)), axes=(1,)),
            ["reshape", "reshape"],
        )
        for name, fold in (
            ("prod", ops.reduce_prod),
            ("max", ops.reduce_max),
            ("min", ops.reduce_min),
        )
    ),
    *(
        (name, lambda x, fold=fold: fold(ops.less(x, 0.0), axes=()), ["less"])
        for name, fold in (("any", ops.reduce_any), ("all", ops.reduce_all))
    ),
    *(
        (
            "contract",
            lambda x, axis=axis: _outer(x, axis),
            [*["reshape"] * (1 + axis), "multiply", "add"],
        )
        for axis in (0, 1)
    ),
    ("contract", lambda x: _product(x, ((0,), (0,))), ["contract"]),
    ("contract", lambda x: _product(x, ((), ())), ["contract"]),
]


@pytest.mark.parametrize(("row", "function", "left"), IDENTITIES)
def test_identity(row: str, function: Function, left: list[str]) -> None:
    graph = traced(function, SPECIAL)
    simple = verify(simplify(graph))
    assert names(simple) == left
    for result, right in zip(
        evaluate(simple, [SPECIAL]), evaluate(graph, [SPECIAL]), strict=True
    ):
        same_bits(result, right, row)


def test_every_row_of_the_table_is_tested() -> None:
    assert {row for row, _, _ in IDENTITIES} == set(algebra.ROWS)


def test_identities_leave_broadcasts_alone() -> None:
    wide = constant(np.ones((2, 1), np.float32))
    graph = traced(lambda x: ops.multiply(x, ops.reshape(wide, shape=(2, 1))), SPECIAL)
    assert evaluate(simplify(graph), [SPECIAL])[0].shape == (2, 8)


@pytest.mark.parametrize(
    ("a", "b", "sums", "batch"),
    [
        ((3, 1), (1, 5), ((1,), (0,)), ((), ())),
        ((1, 3), (5, 1), ((0,), (1,)), ((), ())),
        ((2, 3, 1), (2, 1, 5), ((2,), (1,)), ((0,), (0,))),
        ((3, 2, 1, 1), (1, 6, 2, 1), ((3, 2), (0, 3)), ((1,), (2,))),
        ((1, 7, 2), (2, 1), ((0,), (1,)), ((2,), (0,))),
        ((1,), (1,), ((0,), (0,)), ((), ())),
        ((0, 1), (1, 3), ((1,), (0,)), ((), ())),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_one_product_each(a: Any, b: Any, sums: Any, batch: Any, dtype: Any):
    def product(x: Any, y: Any) -> Any:
        return ops.contract(x, y, sums=sums, batch=batch)

    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape).astype(dtype) for shape in (a, b)]
    arrays[0][..., :1] *= -0.0
    graph = traced(product, *arrays)
    simple = verify(simplify(graph))
    assert "contract" not in names(simple)
    (wanted,) = evaluate(graph, arrays)
    for found in (evaluate(simple, arrays)[0], Program(graph)(arrays)[0]):
        same_bits(found, wanted, "contract")


# ---- folding, merging, dead code -----------------------------------------------------


def test_constants_are_folded() -> None:
    table = constant(np.arange(4, dtype=np.float32))
    graph = traced(
        lambda x: ops.add(x, ops.reduce_sum(ops.exp(table), axes=(0,))), SPECIAL
    )
    assert names(simplify(graph)) == ["add"]


def test_equal_nodes_are_merged() -> None:
    def function(x: Any) -> Any:
        first = ops.add(ops.exp(x), 2.0)
        second = ops.add(constant(np.float32(2.0)), ops.exp(x))
        return ops.multiply(first, second)

    graph = verify(simplify(traced(function, SPECIAL)))
    assert names(graph) == ["exp", "add", "multiply"]


def test_numbers_that_differ_in_a_bit_are_not_merged() -> None:
    def function(x: Any) -> Any:
        return ops.divide(ops.add(x, number(0.0)), ops.add(x, number(-0.0)))

    assert names(simplify(traced(function, SPECIAL))).count("add") == 2


def test_what_nobody_reads_is_dropped() -> None:
    def function(x: Any) -> Any:
        ops.exp(ops.sin(x))
        return ops.cos(x)

    assert names(verify(drop_dead(traced(function, SPECIAL)))) == ["cos"]


def test_calls_are_replaced_by_what_they_carry() -> None:
    inner = checkpoint(lambda x: ops.sin(ops.exp(x)))
    graph = traced(lambda x: ops.add(checkpoint(inner)(x), 1.0), SPECIAL)
    assert "call" in names(graph)
    assert names(verify(inline_calls(graph))) == ["exp", "sin", "add"]


# ---- preparing -----------------------------------------------------------------------


def test_outputs_become_distinct_and_computed() -> None:
    def function(x: Any) -> list[Any]:
        y = ops.exp(x)
        return [x, y, y, number(3), x]

    graph, _ = trace(function, [spec_of(SPECIAL)])
    apart = verify(separate_outputs(graph))
    assert len({id(value) for value in apart.outputs}) == 5
    assert all(value.node is not None for value in apart.outputs)
    for result, right in zip(
        evaluate(apart, [SPECIAL]), evaluate(graph, [SPECIAL]), strict=True
    ):
        same_bits(result, right)


@pytest.mark.parametrize(
    ("shapes", "sums", "batch", "copies"),
    [
        (((4, 5), (5, 6)), ((1,), (0,)), ((), ()), 0),
        (((4, 5), (6, 5)), ((1,), (1,)), ((), ()), 0),
        (((3, 5), (4, 5, 3)), ((1,), (1,)), ((0,), (2,)), 1),
        (((3, 5, 2, 4), (4, 5, 3)), ((3, 0, 1), (0, 2, 1)), ((), ()), 1),
        (((3, 5, 2, 4), (4, 5, 3)), ((3, 1, 0), (0, 1, 2)), ((), ()), 0),
        (((7, 2, 6, 5, 9), (7, 2, 6, 5, 4)), ((0, 1, 2), (0, 1, 2)), ((3,), (3,)), 0),
        (((3, 4, 5, 6), (6, 5, 3, 8)), ((0, 2, 3), (2, 1, 0)), ((), ()), 0),
    ],
)
def test_operands_are_put_in_order(
    shapes: Sequence[tuple[int, ...]], sums: Any, batch: Any, copies: int
) -> None:
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape) for shape in shapes]
    graph = traced(lambda a, b: ops.contract(a, b, sums=sums, batch=batch), *arrays)
    ordered, forced = arrange_operands(graph)
    assert len(forced) == copies
    (result,), (right,) = evaluate(verify(ordered), arrays), evaluate(graph, arrays)
    assert_close(result, right)
    assert_close(Program(graph)(arrays)[0], right)


@pytest.mark.parametrize("seed", range(25))
def test_every_pass_keeps_the_rules_and_the_meaning(seed: int) -> None:
    numbers = np.random.default_rng(seed).integers(0, 5040, 80).tolist()
    tape = Tape(numbers)
    arrays = random_inputs(tape)
    graph, _ = trace(
        lambda *v: some(tape, grow(Tape(numbers[40:]), list(v))),
        list(map(spec_of, arrays)),
    )
    expected = evaluate(verify(graph), arrays)
    for step in (
        inline_calls,
        simplify,
        lambda g: arrange_operands(g)[0],
        separate_outputs,
        drop_dead,
    ):
        graph = verify(step(graph))
        for result, right in zip(evaluate(graph, arrays), expected, strict=True):
            np.testing.assert_array_equal(result, right, strict=True)
    assert len(simplify(graph).nodes) <= len(graph.nodes)
    verify(make_plan(graph).graph)


# ---- what once went wrong ------------------------------------------------------------


def _flipped(x: Any) -> Any:
    flat = ops.flip(ops.reshape(_permuted(x, (1, 0)), shape=(35,)), axes=(0,))
    return ops.reshape(flat, shape=(5, 7))


CASES: dict[str, tuple[Function, list[tuple[int, ...]]]] = {
    "indices that run backwards are divided": (_flipped, [(5, 7)]),
    "a concatenation of one part reads a member": (
        lambda x: ops.multiply(*[ops.concatenate(ops.exp(x), axis=0)] * 2),
        [(5,)],
    ),
    "a pad between no elements reads a member": (
        lambda x: ops.pad(ops.exp(x), 0.5, low=(0,), high=(0,), interior=(3,)),
        [(1,)],
    ),
    "reshape without elements": (
        lambda x: ops.reduce_sum(ops.reshape(x, shape=(0, 3, 2)), axes=(0,)),
        [(2, 0)],
    ),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_case(case: str) -> None:
    function, shapes = CASES[case]
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    graph = traced(function, *arrays)
    assert_close(Program(graph)(arrays)[0], evaluate(graph, arrays)[0], where=case)


def test_a_permuted_output_is_also_an_operand() -> None:
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape) for shape in ((5, 7), (5, 4))]

    def function(x: Any, w: Any) -> list[Any]:
        y = _permuted(x, (1, 0))
        return [y, ops.contract(y, w, sums=((1,), (0,)), batch=((), ()))]

    graph, _ = trace(function, list(map(spec_of, arrays)))
    for result, right in zip(
        Program(graph)(arrays), evaluate(graph, arrays), strict=True
    ):
        assert_close(result, right)


def test_chains_of_ten_thousand_operations_compile() -> None:
    def function(x: Any) -> Any:
        for step in range(5000):
            x = ops.add(ops.multiply(x, 0.5), float(step % 3))
        return x

    x = np.linspace(-1, 1, 9).astype(np.float32)
    graph = traced(function, x)
    assert_close(Program(graph)([x])[0], evaluate(graph, [x])[0])


def test_long_chains_compile_deep_in_the_stack_of_a_caller() -> None:
    def function(x: Any) -> Any:
        for step in range(159):
            x = ops.add(x, float(step))
        return x

    def deep(levels: int) -> Any:
        return deep(levels - 1) if levels else Program(traced(function, x))([x])[0]

    x = np.zeros(9, np.float32)
    assert_close(deep(200), evaluate(traced(function, x), [x])[0])


def test_kernels_of_other_needs_have_scratch_memory_of_their_own() -> None:
    def function(x: Any, y: Any) -> list[Any]:
        product = ops.contract(x, x, sums=((1,), (1,)), batch=((), ()))
        return [ops.argsort(y, axis=1, descending=False), ops.exp(product)]

    x, y = np.ones((64, 64), np.float32), np.ones((4, 3000), np.float32)
    graph, _ = trace(function, [spec_of(x), spec_of(y)])
    program = Program(graph, threads=3)
    places = sorted((at, share) for share, at in program._scratch_at.items())
    ends = [at + 3 * share for at, share in places]
    assert all(end <= at for end, (at, _) in zip(ends, places[1:], strict=False))
    assert ends[-1] <= program.scratch.size


# ---- golden text ---------------------------------------------------------------------


def _layer(x: Any, w: Any, b: Any) -> Any:
    product = ops.contract(x, w, sums=((1,), (0,)), batch=((), ()))
    return ops.maximum(ops.add(product, b), 0.0)


def _log_softmax(x: Any) -> Any:
    rows = (x.spec.shape[0], 1)
    shifted = ops.subtract(x, ops.reshape(ops.reduce_max(x, axes=(1,)), shape=rows))
    total = ops.reduce_sum(ops.exp(shifted), axes=(1,))
    return ops.subtract(shifted, ops.reshape(ops.log(total), shape=rows))


def _descent(w: Any, x: Any) -> Any:
    def loss(v: Any) -> Any:
        return ops.reduce_sum(
            ops.tanh(ops.contract(x, v, sums=((1,), (0,)), batch=((), ()))), axes=(0, 1)
        )

    return ops.subtract(w, ops.multiply(grad(loss)(w), 0.1))


MODELS: dict[str, tuple[Function, list[tuple[int, ...]]]] = {
    "layer": (_layer, [(4, 5), (5, 6), (6,)]),
    "log_softmax": (_log_softmax, [(4, 10)]),
    "descent": (_descent, [(5, 3), (8, 5)]),
}


@pytest.mark.parametrize("model", sorted(MODELS))
def test_text_of_graphs_and_kernels(model: str) -> None:
    """Write them anew with CHAINRULE_GOLDEN=1 in the environment of pytest."""
    function, shapes = MODELS[model]
    graph = traced(function, *[np.zeros(shape, np.float32) for shape in shapes])
    text = f"{show(graph)}\n\n{Program(graph).show()}\n"
    path = GOLDEN / f"{model}.txt"
    if os.environ.get("CHAINRULE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_a_mask_is_drawn_once_however_often_it_is_read() -> None:
    """Drawing takes longer than all else that is done to an element."""

    def both_passes(key: Any, x: Any, w: Any) -> Any:
        def loss(x: Any, w: Any) -> Any:
            bits = ops.random_bits(key, shape=(64, 64))
            keep = ops.less(bits, number(2**31, np.uint32))
            product = ops.where(keep, x, number(0.0)) @ w
            return ops.reduce_sum(ops.multiply(product, product), axes=(0, 1))

        of_x, of_w = grad(loss, argnums=(0, 1))(x, w)
        return ops.add(of_x, of_w)

    x = np.ones((64, 64), np.float32)
    text = Program(traced(both_passes, np.zeros(2, np.uint32), x, x)).show()
    assert text.count("random_bits") == 1
