"""Long sums are exact enough, whatever the axis, and the same on any threads."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.program import Program
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32
from chainrule.ops import reduce_sum

CASES = [
    ((3, 50_001), (1,)),
    ((50_001, 3), (0,)),
    ((4_097,), (0,)),
    ((7, 9_001, 5), (1,)),
    ((129, 130, 3), (0, 1)),
    ((5, 65, 66), (1, 2)),
]


@pytest.mark.parametrize(("shape", "axes"), CASES, ids=str)
def test_errors_do_not_add_up(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    graph, _ = trace(lambda x: [reduce_sum(x, axes=axes)], [Spec(shape, float32)])
    expected = x.astype(np.float64).sum(axis=axes)
    results = [Program(graph, threads=threads)([x])[0] for threads in (1, 2, 3)]
    np.testing.assert_allclose(results[0], expected, rtol=1e-6)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_a_sum_of_ones_counts_beyond_what_float32_counts_one_by_one() -> None:
    count = (1 << 24) + 4096
    graph, _ = trace(lambda x: [reduce_sum(x, axes=(0,))], [Spec((count, 1), float32)])
    ones = np.ones((count, 1), np.float32)
    assert Program(graph)([ones])[0][0] == count
