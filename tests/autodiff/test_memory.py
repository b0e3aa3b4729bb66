"""What gradients keep alive, and for how long; depth; levels."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import checkpoint, grad, levels, reverse, value_and_grad, vjp
from chainrule.ir import constant, evaluate, trace, verify
from chainrule.ir.value import Value
from tests.checks import spec_of

DEPTH = 10_000


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Only reference counts free memory."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _chain(x: Any, length: int = DEPTH) -> Any:
    for _ in range(length):
        x = ops.add(x, 1e-4)
    return x


def _watch(value: Value) -> weakref.ref[Value]:
    return weakref.ref(value)


def test_a_deep_chain_does_not_recurse() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        value, slope = value_and_grad(_chain)(0.5)
    finally:
        sys.setrecursionlimit(limit)
    assert slope.data.item() == 1.0
    assert abs(value.data.item() - 1.5) < 1e-2


def test_a_deep_trace_does_not_recurse() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        graph, _ = trace(lambda x: [grad(_chain)(x)], [spec_of(np.array(0.5))])
        (slope,) = evaluate(verify(graph), [np.array(0.5)])
        del graph
    finally:
        sys.setrecursionlimit(limit)
    assert slope == 1.0


def test_a_deep_tape_is_freed_without_recursion(without_collector: None) -> None:
    x = constant(0.5)
    x.tape = levels.TAPE_BIT
    y = _chain(x, 100_000)
    watched = _watch(y.node.inputs[0])
    del y
    assert watched() is None


def test_nothing_is_kept_after_a_gradient(without_collector: None) -> None:
    watched = []

    def loss(x: Any) -> Any:
        y = x
        for _ in range(100):
            y = ops.sin(y)
            watched.append(_watch(y))
        return ops.reduce_sum(y, axes=(0,))

    value, gradient = value_and_grad(loss)(np.ones(5))
    assert [ref for ref in watched if ref() is not None] == []
    assert value.node is None
    assert value.tape == 0
    assert gradient.node is None
    assert gradient.tape == 0


def test_nothing_is_kept_after_a_second_gradient(without_collector: None) -> None:
    watched = []

    def loss(x: Any) -> Any:
        y = ops.sin(ops.multiply(x, x))
        watched.append(_watch(y))
        return y

    gradient = grad(grad(loss))(0.5)
    assert [ref for ref in watched if ref() is not None] == []
    assert gradient.node is None


def test_a_pullback_keeps_the_tape_and_frees_it(without_collector: None) -> None:
    watched = []

    def function(x: Any) -> Any:
        y = ops.sin(x)
        watched.append(_watch(y))
        return ops.sin(y)

    value, pullback = vjp(function, constant(0.5))
    assert watched[0]() is not None
    assert value.node is None
    pullback(constant(1.0))
    assert watched[0]() is not None
    del pullback
    assert watched[0]() is None


def test_nothing_is_kept_where_nothing_is_asked_for() -> None:
    y = ops.sin(constant(0.5))
    assert y.node is None
    seen = []
    grad(lambda x: seen.append(ops.sin(constant(2.0))) or ops.sin(x))(0.5)  # type: ignore[func-returns-value]
    assert seen[0].node is None


def test_checkpoint_keeps_its_inputs_alone(without_collector: None) -> None:
    sizes = []

    def block(x: Any) -> Any:
        for _ in range(50):
            x = ops.sin(x)
        return x

    def loss(x: Any) -> Any:
        y = checkpoint(block)(checkpoint(block)(x))
        sizes.append(_tape_size(y))
        return ops.reduce_sum(y, axes=(0,))

    grad(loss)(np.ones(3))
    assert sizes == [2]  # the two calls


def _tape_size(value: Value) -> int:
    return len(_nodes(value))


def _nodes(value: Value) -> set[int]:
    found: set[int] = set()
    stack = [value]
    while stack:
        node = stack.pop().node
        if node is not None and id(node) not in found:
            found.add(id(node))
            stack.extend(node.inputs)
    return found


def test_bits_of_levels_are_used_again() -> None:
    gc.collect()
    first = levels.Level()
    bit = first.bit
    second = levels.Level()
    assert second.bit != bit
    assert levels.TAPE_BIT not in (bit, second.bit)
    del first
    assert levels.Level().bit == bit
    for _ in range(200):
        grad(grad(ops.sin))(0.5)
    assert levels.Level().bit <= bit


def test_a_level_is_given_back_after_an_error() -> None:
    gc.collect()
    before = levels.Level().bit
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            grad(lambda x: 1 / 0)(0.5)
    gc.collect()
    assert levels.Level().bit == before


def test_values_that_leak_from_a_gradient_do_not_disturb_the_next() -> None:
    leaked: list[Any] = []
    grad(lambda x: leaked.append(ops.sin(x)) or ops.sin(x))(0.5)  # type: ignore[func-returns-value]
    found = grad(lambda x: ops.multiply(x, leaked[0]))(2.0)
    assert found.data.item() == leaked[0].data.item()


def test_the_walk_visits_a_diamond_once() -> None:
    steps = 60  # 2**60 paths

    def loss(x: Any) -> Any:
        for _ in range(steps):
            x = ops.multiply(ops.add(x, x), 0.5)
        return x

    assert grad(loss)(1.0).data.item() == 1.0


def test_walk_from_several_outputs_and_to_values_on_the_way() -> None:
    x = constant(2.0)
    x.tape = levels.TAPE_BIT
    middle = ops.multiply(x, x)
    first, second = ops.sin(middle), ops.multiply(middle, 3.0)
    one = constant(1.0)
    found = reverse([first, second, middle], [one, one, one], [middle, x])
    assert found[0].data.item() == np.cos(4.0) + 3.0 + 1.0
    assert found[1] is None  # the walk ends at `middle`
    assert reverse([first], [one], [constant(0.0)]) == [None]
