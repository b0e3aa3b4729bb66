"""Random graphs compiled and compared with the reference, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainrule import ops
from chainrule.autodiff import vjp
from chainrule.compiler.native_loop import NativeLoop
from chainrule.compiler.program import Program
from chainrule.ir import Graph, trace, verify
from chainrule.ir.dtype import float64, int64, widen
from chainrule.ir.graph import evaluate
from chainrule.ir.spec import Spec
from tests.compiler.graphs import (
    SMOOTH,
    Tape,
    bounded,
    grow,
    random_inputs,
    some,
    spec_of,
)
from tests.compiler.kernels import share_and_check_kernels
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]
GUARD = 64
TAPES = st.lists(st.integers(0, 5039), min_size=1, max_size=90)
MANY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def all_kernels_are_shared_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    share_and_check_kernels(monkeypatch)


def run_guarded(program: Program, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """What the program returns, after which the guards of its arena are as before."""
    everything = [program, *inner_programs(program)]
    watched = [guards_of(one) for one in everything]
    for one, places in zip(everything, watched, strict=True):
        one.arena[places] = 0xA5
    results = program(arrays)
    for one, places in zip(everything, watched, strict=True):
        assert (one.arena[places] == 0xA5).all(), "a kernel wrote behind its block"
    return results


def inner_programs(program: Program) -> list[Program]:
    """The programs of the steps of all scans within."""
    own = [inner for programs in program.inner.values() for inner in programs]
    return own + [deeper for one in own for deeper in inner_programs(one)]


def guards_of(program: Program) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which bytes of the arena belong to no value at any time."""
    owned = np.zeros(program.arena.size, bool)
    arena, stores = program.plan.arena, program.plan.stores
    for key, start in arena.offsets.items():
        store = stores[key]
        owned[start : start + store.extent * store.value.spec.dtype.itemsize] = True
    return ~owned


def compare(graph: Graph, arrays: Sequence[Array], exact: bool = True) -> None:
    """Compiled for 1, 2 and 3 threads: the same bits, and what the reference gives."""
    expected = evaluate(verify(graph), arrays)
    first: tuple[Array, ...] | None = None
    for threads in (3, 2, 1):
        program = Program(graph, threads=threads, guard=GUARD)
        results = run_guarded(program, arrays)
        for index, (result, right) in enumerate(zip(results, expected, strict=True)):
            where = f"output {index}, {threads} threads"
            if exact:
                assert result.dtype == right.dtype
                wide = widen(result), widen(right)
                np.testing.assert_array_equal(*wide, where, strict=True)
            else:
                assert_close(result, right, where=where)
            if first is not None:
                assert result.tobytes() == first[index].tobytes(), where
        first = first or results


@MANY
@given(TAPES)
def test_graphs_of_every_kind_of_operation(numbers: list[int]) -> None:
    tape = Tape(numbers)
    arrays = random_inputs(tape)
    half = numbers[len(numbers) // 2 :]

    def function(*inputs: Any) -> list[Any]:
        values = grow(Tape(half), list(inputs))
        return some(tape, values)

    graph, _ = trace(function, list(map(spec_of, arrays)))
    compare(graph, arrays)


@MANY
@given(TAPES)
def test_gradients(numbers: list[int]) -> None:
    tape = Tape(numbers)
    arrays = random_inputs(tape, [float64])
    half = numbers[len(numbers) // 2 :]

    def function(*inputs: Any) -> list[Any]:
        values = grow(Tape(half), list(inputs), SMOOTH)
        return [v for v in values[len(inputs) :] if v.spec.dtype.is_float][-2:]

    def pulled(*inputs: Any) -> list[Any]:
        results, pullback = vjp(function, *inputs)
        gradients = pullback([ops.add(ops.multiply(y, 0), 1) for y in results])
        return [*results, *gradients]

    graph, _ = trace(pulled, list(map(spec_of, arrays)))
    compare(graph, arrays, exact=False)


# ---- steps over state ----------------------------------------------------------------


def _step(numbers: Sequence[int], specs: Sequence[Spec]) -> Any:
    """A step whose new state is made of random values of the same specs."""

    def step(*inputs: Any) -> list[Any]:
        *state, data, rows = inputs
        batch = ops.take(data, rows, axis=0)
        values = grow(Tape(numbers), [batch, *state])
        tape = Tape(numbers[::-1])
        new = []
        for spec, old in zip(specs, state, strict=True):
            alike = [v for v in values if v.spec == spec]
            turned = [
                ops.permute_dims(v, axes=(1, 0))
                for v in values
                if v.spec.dtype is spec.dtype
                and v.spec.shape == spec.shape[::-1]
                and v.spec.ndim == 2
            ]
            changed = bounded(ops.subtract(ops.add(old, old), values[-1].spec.size))
            new.append(tape.choose([changed, *alike, *turned, *alike[::-1]]))
        total = ops.reduce_sum(new[0], axes=tuple(range(new[0].spec.ndim)))
        seen = ops.cast(bounded(total), dtype=float64)
        return [*new, ops.broadcast_to(seen, shape=(2,))]

    return step


STATE_SHAPES = ((3, 3), (3,), (), (2, 512), (17, 17), (3, 3), (0, 4), (40, 7))


@MANY
@given(st.lists(st.integers(0, 7), min_size=1, max_size=4), TAPES)
def test_state_is_replaced_in_place(kinds: list[int], numbers: list[int]) -> None:
    random = np.random.default_rng(len(numbers))
    shapes = [STATE_SHAPES[kind] for kind in kinds]
    state = [
        np.asarray(random.integers(-9, 10, shape).astype("float32")) for shape in shapes
    ]
    data = random.integers(-9, 10, (10, 3)).astype("float32")
    rows = random.integers(0, 10, 6)
    specs = [spec_of(array) for array in state]
    given_ = [*specs, spec_of(data), Spec((2,), int64)]
    graph, _ = trace(_step(numbers, specs), given_)
    expected, right = list(state), []
    for start in range(0, len(rows), 2):
        *expected, seen = evaluate(graph, [*expected, data, rows[start : start + 2]])
        right.append(seen)
    loop = NativeLoop()
    loop.begin(state, [data])
    (seen,) = loop.run(graph, rows, 2, [])
    np.testing.assert_array_equal(seen, np.concatenate(right))
    for array, wanted in zip(loop.state(), expected, strict=True):
        np.testing.assert_array_equal(array, wanted, strict=True)


def test_tapes_reach_every_operation() -> None:
    seen = set()
    random = np.random.default_rng(0)
    for _ in range(150):
        numbers = [int(n) for n in random.integers(0, 5040, 90)]
        tape = Tape(numbers)
        arrays = random_inputs(tape)
        graph, _ = trace(
            lambda *inputs, n=numbers: grow(Tape(n), list(inputs)),
            list(map(spec_of, arrays)),
        )
        seen |= {node.primitive.name for node in graph.nodes}
    wanted = {"contract", "take", "take_along_axis", "scatter_add", "argsort", "pad"}
    wanted |= {"concatenate", "argmax", "prod", "any", "random_bits", "iota", "where"}
    assert seen >= wanted
