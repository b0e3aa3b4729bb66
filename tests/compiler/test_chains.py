"""Chains: kernels that a thread runs for some samples at a time, and their bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chainrule
from chainrule import functional as f
from chainrule.compiler import chains, plan
from chainrule.compiler.kernel import Plan
from chainrule.compiler.memory import Lifetime, plan_arena
from chainrule.compiler.native_loop import NativeLoop
from chainrule.compiler.plan import make_plan
from chainrule.compiler.program import Program
from chainrule.functional.convolution import conv
from chainrule.ir import Graph, Spec, trace
from chainrule.ir.dtype import float32, int32, int64
from chainrule.ir.graph import evaluate
from tests.compiler.test_random_graphs import GUARD, run_guarded

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def _small_samples_make_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "default_threads", lambda: 2)
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    monkeypatch.setattr(plan, "MOST_MEMORY", 100)
    for name, value in (
        ("LEAST_BYTES", 1),
        ("LEAST_TOUCHED", 1),
        ("PARTS_OF_A_THREAD", 2),
        ("FEW_ROWS", 1),
        ("REPAID", 0),
    ):
        monkeypatch.setattr(chains, name, value)


def arrays(*shapes: tuple[int, ...], seed: int = 2) -> list[Array]:
    random = np.random.default_rng(seed)
    return [random.normal(size=s).astype(np.float32) / 2 for s in shapes]


def traced(function: Callable[..., Any], given: Sequence[Array]) -> Graph:
    kinds = {"float32": float32, "int32": int32, "int64": int64}
    specs = [Spec(a.shape, kinds[a.dtype.name]) for a in given]
    return trace(lambda *values: list(function(*values)), specs)[0]


def longest(made: Plan) -> int:
    return max(step.chain for step in made.steps)


def check(graph: Graph, given: Sequence[Array]) -> None:
    """The reference's results, with the same bits for any number of threads."""
    expected = evaluate(graph, given)
    results = [
        run_guarded(Program(graph, threads=threads, guard=GUARD), given)
        for threads in (1, 2, 3, 5, 16)
    ]
    for wanted, alone, *others in zip(expected, *results, strict=True):
        # products in a row cancel: what counts is the largest of their elements
        room = 1e-5 * max(float(np.abs(wanted).max(initial=0)), 1.0)
        np.testing.assert_allclose(alone, wanted, rtol=1e-4, atol=room)
        for other in others:
            np.testing.assert_array_equal(other, alone)


# ---- a block of a Transformer --------------------------------------------------------


def normalized(x: Any, scale: Any) -> Any:
    centred = x - f.mean(x, axis=-1, keepdims=True)
    deviation = f.sqrt(f.mean(centred * centred, axis=-1, keepdims=True) + 1e-3)
    return centred / deviation * scale


def block(x: Any, seen: Any, weights: Sequence[Any]) -> Any:
    """Attention with padding, and two dense layers, each with what it adds to."""
    query, key, value, output, first, bias, second, scale = weights
    q, k, v = (f.einsum("bth,hnd->btnd", x, w) for w in (query, key, value))
    heads = f.dot_product_attention(q, k, v, mask=seen[:, None, None, :] > 0)
    x = normalized(x + f.einsum("btnd,ndh->bth", heads, output), scale)
    return normalized(x + f.relu(x @ first + bias) @ second, scale)


def training(count: int, steps: int, width: int, heads: int) -> tuple[Any, list[Array]]:
    size = width // heads
    shapes = [(width, heads, size)] * 3
    shapes += [(heads, size, width), (width, 2 * width), (2 * width,)]
    shapes += [(2 * width, width), (width,)]
    weights = arrays(*shapes)
    words, table = np.arange(count * steps) % 11, arrays((11, width))[0]
    words = words.reshape(count, steps).astype(np.int32)

    def loss(table: Any, words: Any, *weights: Any) -> Any:
        x = f.take(table, words, axis=0)
        for _ in range(2):
            x = block(x, words, weights)
        return f.mean(x * x * x)

    def function(table: Any, words: Any, *weights: Any) -> list[Any]:
        numbers = (0, *range(2, 2 + len(weights)))
        found = chainrule.value_and_grad(loss, argnums=numbers)
        value, gradients = found(table, words, *weights)
        return [value, *gradients]

    return function, [table, words, *weights]


@pytest.mark.parametrize(
    ("count", "steps", "width", "heads"),
    [(9, 7, 12, 3), (16, 16, 32, 2), (33, 5, 20, 1), (8, 21, 48, 4)],
)
def test_a_block_has_the_same_bits_in_parts(
    count: int, steps: int, width: int, heads: int
) -> None:
    function, given = training(count, steps, width, heads)
    graph = traced(function, given)
    made = make_plan(graph)
    assert longest(made) >= 20
    assert sum(step.barrier for step in made.steps) <= 8
    check(graph, given)


@pytest.mark.parametrize("room", [1, 3_000, 40_000])
def test_parts_may_be_several_samples(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "PART_BYTES", room)
    function, given = training(24, 6, 16, 2)
    graph = traced(function, given)
    counts = {step.parts for step in make_plan(graph).steps if step.chain > 1}
    assert counts <= {4, 8, 12, 24}
    assert len(counts) == 1
    check(graph, given)


def test_convolutions_keep_to_their_pictures() -> None:
    given = arrays((9, 6, 5, 3), (3, 3, 3, 8), (3, 3, 8, 8), (8,))

    def function(x: Any, first: Any, second: Any, bias: Any) -> list[Any]:
        def loss(*weights: Any) -> Any:
            y = f.relu(conv(x, weights[0], padding="same") + weights[2])
            y = f.relu(conv(y, weights[1], padding="same") + weights[2])
            return f.mean(y * y)

        value, found = chainrule.value_and_grad(loss, argnums=(0, 1, 2))(
            first, second, bias
        )
        return [value, *found]

    graph = traced(function, given)
    assert longest(make_plan(graph)) >= 2
    check(graph, given)


def test_the_native_loop_runs_chains() -> None:
    """State in place, rows gathered, and step after step."""
    table, words, *weights = training(10, 6, 16, 2)[1]
    data = np.arange(40 * 6).reshape(40, 6).astype(np.int32) % 11

    def step(table: Any, *rest: Any) -> list[Any]:
        *weights, data, rows = rest
        function = training(10, 6, 16, 2)[0]
        value, *found = function(table, f.take(data, rows, axis=0), *weights)
        pairs = zip((table, *weights), found, strict=True)
        return [*(w - 0.05 * g for w, g in pairs), f.reshape(value, (1,))]

    state = [table, *weights]
    specs = [Spec(a.shape, float32) for a in state]
    specs += [Spec(data.shape, int32), Spec((10,), int64)]
    graph = trace(step, specs)[0]
    order = np.random.default_rng(0).permutation(40)
    found = []
    for threads in (1, 2, 3):
        loop = NativeLoop()
        loop.begin(state, [data])
        pairs = [(i, i) for i in range(len(state))]
        loop._programs[graph] = made = Program(graph, pairs, threads=threads)
        assert longest(made.plan) >= 10
        losses = loop.run(graph, order, 10, [])
        found.append([*loop.state(), *losses])
    for others in found[1:]:
        for alone, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(alone, other)
    assert words.shape == (10, 6)


# ---- what is put into chains ---------------------------------------------------------

STEPS: tuple[Callable[[Any, Any, Any], Any], ...] = (
    lambda x, w, b: x @ w,
    lambda x, w, b: f.tanh(x + b),
    lambda x, w, b: f.softmax(x, axis=-1),
    lambda x, w, b: f.einsum("btn,bsn->bts", x, x) @ x * 0.1,
    lambda x, w, b: x - f.mean(x, axis=(0, 1)),
    lambda x, w, b: x - f.max(x, axis=1, keepdims=True),
    lambda x, w, b: f.permute_dims(f.permute_dims(x, (0, 2, 1)) * 0.5, (0, 2, 1)),
    lambda x, w, b: f.flip(x, axis=0),
    lambda x, w, b: f.relu(x @ w + b) @ w,
    lambda x, w, b: f.concat([x[:, 1:], x[:, :1]], axis=1),
    lambda x, w, b: x + f.take(x, f.asarray([0, 0, 1, 1], dtype="int32"), axis=0)[1:2],
)


@given(
    st.lists(st.integers(0, len(STEPS) - 1), min_size=3, max_size=9),
    st.integers(4, 12),
    st.integers(1, 6),
    st.integers(2, 19),
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_random_layers_agree_with_the_reference(
    numbers: list[int], count: int, steps: int, width: int
) -> None:
    """Samples are mixed here and there, and read in another order."""
    given = arrays((count, steps, width), (width, width), (width,))

    def function(x: Any, w: Any, b: Any) -> list[Any]:
        def loss(x: Any, w: Any, b: Any) -> Any:
            for number in numbers:
                x = STEPS[number](x, w, b)
            return f.mean(x * x), x

        (value, last), found = chainrule.value_and_grad(
            loss, argnums=(0, 1, 2), has_aux=True
        )(x, w, b)
        return [value, last, *found]

    check(traced(function, given), given)


def test_few_bytes_and_large_weights_make_no_chains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    function, given = training(16, 16, 32, 2)
    graph = traced(function, given)
    for name in ("LEAST_BYTES", "LEAST_TOUCHED"):
        monkeypatch.setattr(chains, name, 4 << 20)
        assert longest(make_plan(graph)) == 1
        monkeypatch.setattr(chains, name, 1)
    monkeypatch.setattr(chains, "REPAID", 1 << 20)
    assert longest(make_plan(graph)) < 20


def test_too_few_samples_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "default_threads", lambda: 8)
    function, given = training(9, 7, 12, 3)
    assert longest(make_plan(traced(function, given))) == 1


# ---- memory --------------------------------------------------------------------------


def test_what_a_thread_needs_no_more_is_written_over() -> None:
    """Each thread has its share at the same place, and none waits."""
    given = arrays((16, 9, 20), (20, 20))

    def function(x: Any, w: Any) -> list[Any]:
        for _ in range(8):
            x = f.softmax(x @ w, axis=-1)
        return [x]

    graph = traced(function, given)
    made = make_plan(graph)
    assert longest(made) == len(made.steps)
    assert not any(step.barrier for step in made.steps)
    assert made.arena.nbytes < 5 * given[0].nbytes
    check(graph, given)


def test_chains_that_need_much_memory_are_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of values of many sizes, none is written over another by threads that run on."""
    given = arrays((16, 9, 20), *[(width, width + 7) for width in range(20, 70, 7)])

    def function(x: Any, *weights: Any) -> list[Any]:
        for w in weights:
            x = f.softmax(x @ w, axis=-1)
        return [x]

    graph = traced(function, given)
    many = make_plan(graph)
    monkeypatch.setattr(plan, "MOST_MEMORY", 1.25)
    few = make_plan(graph)
    assert longest(many) == len(many.steps)
    assert longest(few) == 1
    assert few.arena.nbytes < many.arena.nbytes / 2
    check(graph, given)


def test_blocks_replace_others_of_their_size_and_cut() -> None:
    cut, other = (8, 1, 32), (4, 1, 64)

    def life(key: int, exact: tuple[int, int], own: tuple[int, ...]) -> Lifetime:
        return Lifetime(key, 256, 0, 9, exact, (0, own), (0, own))

    first, second = life(1, (0, 3), cut), life(2, (4, 9), cut)
    assert plan_arena([first, second]).nbytes == 256
    for late in (life(2, (3, 9), cut), life(2, (4, 9), other)):
        assert plan_arena([first, late]).nbytes == 512
    crossing = Lifetime(3, 128, 0, 9, (2, 6), (0, cut), (0, cut))
    found = plan_arena([first, second, crossing])
    assert not found.overlap(1, 3)
    assert not found.overlap(2, 3)
    assert found.aligned(1, 2)
    assert not found.aligned(1, 3)
