"""Orders of long lines, by merging and by counting digits."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import ops
from chainrule.compiler import plan
from chainrule.compiler.program import Program
from chainrule.ir.graph import evaluate
from tests.compiler.test_program import traced
from tests.compiler.test_random_graphs import GUARD, run_guarded

WHOLE = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", [*WHOLE, "float32", "bool"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 63, 2), 1), ((64,), 0), ((5, 331), 1), ((200, 3), 0)]
)
def test_orders_are_those_of_the_reference(
    shape: tuple[int, ...],
    axis: int,
    dtype: str,
    descending: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    random = np.random.default_rng(len(shape))
    if dtype in WHOLE:
        limits = np.iinfo(dtype)
        x = random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        x.flat[:2] = limits.min, limits.max
        few = random.random(shape) < 0.5  # many are equal
        x[few] = x[few] % 3
    else:
        x = np.round(random.normal(size=shape)).astype(dtype)
    graph = traced(lambda x: [ops.argsort(x, axis=axis, descending=descending)], x)
    (wanted,) = evaluate(graph, [x])
    for threads in (1, 2, 3):
        compiled = Program(graph, threads=threads, guard=GUARD)
        np.testing.assert_array_equal(run_guarded(compiled, [x])[0], wanted)


@pytest.mark.parametrize("value", [0, 7, -(2**63), 2**63 - 1])
def test_equal_numbers_stay_in_order(value: int) -> None:
    x = np.full(100, value, np.int64)
    graph = traced(lambda x: [ops.argsort(x, axis=0, descending=True)], x)
    (found,) = Program(graph)([x])
    assert found.tolist() == list(range(100))
