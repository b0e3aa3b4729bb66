"""Random expressions of many operations: eager, traced, batched and differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import ops
from chainrule.autodiff import checkpoint
from chainrule.ir import constant, trace, verify
from tests.checks import (
    BACKENDS,
    check_batching,
    check_gradients,
    run_eagerly,
    same_bits,
    spec_of,
)

SHAPE = (2, 3)
Step = Callable[[Any, Any], Any]


def _bounded(x: Any) -> Any:
    return ops.add(ops.multiply(ops.tanh(x), 0.4), 1.0)  # between 0.6 and 1.4


def _spread(x: Any) -> Any:
    return ops.broadcast_to(ops.reshape(x, shape=(2, 1)), shape=SHAPE)


def _product(a: Any, b: Any) -> Any:
    square = ops.contract(a, b, sums=((1,), (1,)), batch=((), ()))
    return ops.contract(square, b, sums=((1,), (0,)), batch=((), ()))


def _slice(x: Any) -> Any:
    part = ops.slice_(x, start=(0, 0), stop=(2, 3), step=(1, 2))
    return ops.pad(part, 0.3, low=(0, 1), high=(0, 0), interior=(0, 0))


STEPS: dict[str, Step] = {
    "add": ops.add,
    "subtract": ops.subtract,
    "multiply": ops.multiply,
    "divide": lambda a, b: ops.divide(a, _bounded(b)),
    "power": lambda a, b: ops.power(_bounded(a), ops.tanh(b)),
    "atan2": lambda a, b: ops.atan2(a, _bounded(b)),
    "where": lambda a, b: ops.where(ops.less(ops.sin(a), 2.0), a, b),
    "contract": _product,
    "concatenate": lambda a, b: ops.slice_(
        ops.concatenate(a, b, axis=0), start=(1, 0), stop=(3, 3), step=(1, 1)
    ),
    "sin": lambda a, b: ops.sin(a),
    "tanh": lambda a, b: ops.tanh(a),
    "exp": lambda a, b: ops.exp(ops.tanh(a)),
    "log": lambda a, b: ops.log(_bounded(a)),
    "sqrt": lambda a, b: ops.sqrt(_bounded(a)),
    "sigmoid": lambda a, b: ops.sigmoid(a),
    "erf": lambda a, b: ops.erf(a),
    "sum": lambda a, b: _spread(ops.reduce_sum(a, axes=(1,))),
    "prod": lambda a, b: _spread(ops.reduce_prod(ops.tanh(a), axes=(1,))),
    "cumulative_sum": lambda a, b: ops.cumulative_sum(a, axis=1),
    "flip": lambda a, b: ops.flip(a, axes=(0, 1)),
    "permute": lambda a, b: ops.reshape(ops.permute_dims(a, axes=(1, 0)), shape=SHAPE),
    "slice and pad": lambda a, b: _slice(a),
    "take": lambda a, b: ops.take(a, constant(np.array([1, -2])), axis=0),
    "scatter": lambda a, b: ops.scatter_add(
        a, constant(np.array([0, 0])), ops.tanh(b), axis=0
    ),
    "checkpoint": lambda a, b: checkpoint(lambda x: ops.multiply(ops.sin(x), b))(a),
    "stop": lambda a, b: ops.multiply(a, ops.sign(ops.add(ops.multiply(b, b), 1.0))),
}

# each step: an operation, and which two of the values so far it reads
PROGRAMS = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 99), st.integers(0, 99)),
    min_size=1,
    max_size=8,
)


def _run(program: Sequence[tuple[str, int, int]]) -> Callable[..., list[Any]]:
    def function(*inputs: Any) -> list[Any]:
        values = list(inputs)
        for name, first, second in program:
            a, b = values[first % len(values)], values[second % len(values)]
            values.append(ops.multiply(STEPS[name](a, b), 0.5))
        return [values[-1]]

    return function


def _inputs(seed: int) -> list[np.ndarray[Any, Any]]:
    random = np.random.default_rng(seed)
    return [random.uniform(-1, 1, SHAPE) for _ in range(2)]


@settings(max_examples=120, deadline=None)
@given(PROGRAMS, st.integers(0, 9))
def test_random_programs(program: list[tuple[str, int, int]], seed: int) -> None:
    function, arrays = _run(program), _inputs(seed)
    (expected,) = run_eagerly(function, arrays)
    graph, captured = trace(function, list(map(spec_of, arrays)))
    assert not captured
    for backend in BACKENDS:
        (actual,) = backend.compile(verify(graph))(arrays)
        same_bits(actual, expected, backend.name)
    check_gradients(function, arrays, order=2, seed=seed, where=str(program))
    check_batching(function, arrays, (True, seed % 2 == 0), 2, str(program))


def test_every_step_alone() -> None:
    for name in STEPS:
        check_gradients(_run([(name, 0, 1)]), _inputs(0), order=2, where=name)
