"""Pooling against windows walked one by one, forwards and backwards."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from chainrule.autodiff import vjp
from chainrule.compiler import plan
from chainrule.functional.phases import numbers_of_taps, phases_of
from chainrule.functional.pooling import avg_pool, max_pool
from chainrule.functional.sliding import Slide
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32
from tests.compiler.test_channels import check
from tests.tolerances import assert_close

CASES = [
    # x, pool_size, strides, padding: side by side, overlapping, apart; tails, one axis
    ((2, 8, 6, 5), (2, 2), (2, 2), "valid"),
    ((3, 11, 9, 18), (2, 2), (2, 2), "valid"),
    ((2, 9, 10, 4), (3, 3), (2, 2), "same"),
    ((2, 7, 8, 3), (3, 2), (1, 1), "same"),
    ((2, 13, 9, 3), (2, 3), (3, 4), "valid"),
    ((2, 12, 10, 17), (5, 3), (2, 3), "valid"),
    ((3, 17, 33), (4,), (3,), "same"),
    ((2, 5, 6, 7, 2), (2, 3, 2), (2, 2, 1), "valid"),
]


def windows(length: int, size: int, stride: int, padding: str) -> list[list[int]]:
    """The positions of each window along an axis, without those of padding."""
    before = after = 0
    if padding == "same":
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        before, after = total // 2, total - total // 2
    starts = range(0, length + before + after - size + 1, stride)
    return [
        [p - before for p in range(s, s + size) if 0 <= p - before < length]
        for s in starts
    ]


def walked(case: Any, x: Any, g: Any = None) -> tuple[Any, Any, Any, Any]:
    """Largest and mean of each window, and the gradients of both for a cotangent."""
    shape, sizes, strides, padding = case
    axes = [
        windows(n, k, s, padding)
        for n, k, s in zip(shape[1:-1], sizes, strides, strict=True)
    ]
    places = (shape[0], *map(len, axes), shape[-1])
    largest, mean = np.zeros(places), np.zeros(places)
    of_largest, of_mean = np.zeros(shape), np.zeros(shape)
    for place in itertools.product(*(range(n) for n in places)):
        sample, *at, channel = place
        chosen = [axis[i] for axis, i in zip(axes, at, strict=True)]
        points = [(sample, *p, channel) for p in itertools.product(*chosen)]
        first = max(points, key=lambda point: x[point])
        largest[place], mean[place] = x[first], np.mean([x[p] for p in points])
        if g is not None:
            of_largest[first] += g[place]
            for point in points:
                of_mean[point] += g[place] / len(points)
    return largest, mean, of_largest, of_mean


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pooling_agrees_with_windows_walked_one_by_one(case: Any) -> None:
    shape, sizes, strides, padding = case
    random = np.random.default_rng(0)
    # few values, so that many windows have several largest elements
    x = random.integers(-2, 3, shape).astype(np.float32)
    y, of_largest = vjp(lambda x: max_pool(x, sizes, strides, padding), x)
    mean, of_mean = vjp(lambda x: avg_pool(x, sizes, strides, padding), x)
    g = random.normal(size=y.shape).astype(np.float32)
    wanted = walked(case, x, g)
    found = y, mean, of_largest(g)[0], of_mean(g)[0]
    for mine, expected in zip(found, wanted, strict=True):
        assert_close(mine.numpy(), expected.astype(np.float32))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pooling_is_the_same_compiled(
    case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With gradients, and gradients of gradients."""
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    shape, sizes, strides, padding = case

    def function(x: Any) -> list[Any]:
        def first(x: Any) -> list[Any]:
            found = []
            for pool in (max_pool, avg_pool):
                y, pullback = vjp(lambda x, f=pool: f(x, sizes, strides, padding), x)
                found += [y, *pullback(y * y)]
            return found

        outputs, pullback = vjp(first, x)
        return [*outputs, *pullback([y * 0.5 for y in outputs])]

    graph, _ = trace(function, [Spec(shape, float32)])
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    check(graph, [x])


def test_windows_side_by_side_give_back_in_one_visit() -> None:
    """Without overlaps there is nothing to sum, and nothing in between is stored."""
    shape = (32, 16, 16, 32)

    def function(x: Any, g: Any) -> list[Any]:
        return [*vjp(lambda x: max_pool(x, 2), x)[1](g)]

    graph, _ = trace(function, [Spec(shape, float32), Spec((32, 8, 8, 32), float32)])
    steps = plan.make_plan(graph).steps
    values = [value for step in steps for value in step.values]
    pictures = {v.spec.shape for v in values if v.data is None}
    assert pictures == {shape, (32, 8, 8, 32)}
    assert len(steps) == 2


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (2, 3), (5, 1), (7, 3)])
def test_every_tap_reaches_every_position_once(size: int, stride: int) -> None:
    slide = Slide((stride,), (1,), ((0, 0),))
    (phases,) = phases_of((size,), slide, (4,), (3 * stride + size,))
    numbers = numbers_of_taps((size,), [phases]).ravel().tolist()
    assert sorted(n for n in numbers if n >= 0) == list(range(size))
    assert len(numbers) == phases.taps * stride
