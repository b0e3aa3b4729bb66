"""Cotangents of slices that are put side by side instead of added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import functional, ops
from chainrule.autodiff import hessian, value_and_grad, vjp
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32
from chainrule.ir.graph import evaluate

RANDOM = np.random.default_rng(0)


def _thirds(x: Any) -> Any:
    """Slices that cover everything, in an order of their own."""
    return functional.exp(x[:, 4:]) * x[:, :2] - functional.sin(x[:, 2:4])


def _gaps(x: Any) -> Any:
    """Slices with something left over between and around them."""
    return x[:, 1:2] * x[:, 3:4] * x[:, 3:4]


def _overlapping(x: Any) -> Any:
    return x[:, :4] * x[:, 2:]


def _empty(x: Any) -> Any:
    """Slices of nothing, at the place where another begins."""
    parts = functional.split(x, [1, 1, 4], axis=1)
    return sum(functional.sum(part * part * part) for part in parts)


def _both_axes(x: Any) -> Any:
    return functional.sum(x[1:] * x[:2]) * functional.sum(x[:, 3:] * x[:, :3])


def _with_whole(x: Any) -> Any:
    """Slices and the whole, which comes between them."""
    return x[:, :3] * functional.sum(x * x) * x[:, 3:]


def _steps(x: Any) -> Any:
    """One column after the other, as an unrolled loop reads them."""
    state = x[:, 0]
    for step in range(1, x.shape[1]):
        state = functional.tanh(state + x[:, step])
    return state


CASES = [_thirds, _gaps, _overlapping, _empty, _both_axes, _with_whole, _steps]


def _loss(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def loss(x: Any) -> Any:
        value = function(x)
        return functional.sum(value * value)

    return loss


@pytest.mark.parametrize("function", CASES)
def test_traced_gradients_are_those_of_eager_steps(function: Any) -> None:
    x = RANDOM.normal(size=(3, 6)).astype(np.float32)
    loss = _loss(function)
    graph, _ = trace(lambda x: list(value_and_grad(loss)(x)), [Spec((3, 6), float32)])
    found = evaluate(graph, [x])
    for mine, wanted in zip(found, value_and_grad(loss)(x), strict=True):
        np.testing.assert_allclose(mine, np.asarray(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", CASES)
def test_gradients_are_the_limits_of_differences(function: Any) -> None:
    x = RANDOM.normal(size=(3, 6))
    loss, step = _loss(function), 1e-6
    graph, _ = trace(
        lambda x: [value_and_grad(loss)(x)[1]], [Spec((3, 6), functional.float64)]
    )
    (found,) = evaluate(graph, [x])
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        slope = (float(loss(x + moved)) - float(loss(x - moved))) / (2 * step)
        assert abs(slope - found[place]) <= 1e-6 * max(1.0, abs(slope))


def test_second_derivatives_go_through() -> None:
    x = RANDOM.normal(size=(2, 3)).astype(np.float32)

    def loss(x: Any) -> Any:
        return functional.sum(x[:, :1] * x[:, 1:2] * x[:, 2:])

    matrix = np.asarray(hessian(loss)(x)).reshape(6, 6)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    np.testing.assert_allclose(matrix[0, 1], x[0, 2], rtol=1e-6)
    np.testing.assert_allclose(matrix[0, 4], 0.0, atol=1e-7)


def _names(function: Any, *shapes: tuple[int, ...]) -> Counter[str]:
    graph, _ = trace(function, [Spec(shape, float32) for shape in shapes])
    return Counter(node.primitive.name for node in graph.nodes)


def test_slices_that_cover_a_value_are_joined() -> None:
    def gradient(x: Any, g: Any) -> list[Any]:
        parts = [x[:, :2], x[:, 2:5], x[:, 5:]]
        _, pullback = vjp(lambda x: [x[:, :2], x[:, 2:5], x[:, 5:]], x)
        return list(pullback([part * part for part in parts]))

    names = _names(gradient, (4, 9), (4, 9))
    assert names["concatenate"] == 1
    assert not names["add"]


def test_an_unrolled_loop_joins_its_steps_once() -> None:
    def gradient(x: Any) -> list[Any]:
        return [value_and_grad(_loss(_steps))(x)[1]]

    graph, _ = trace(gradient, [Spec((3, 40), float32)])
    joined = [n for n in graph.nodes if n.primitive.name == "concatenate"]
    assert len(joined) == 1
    assert len(joined[0].inputs) == 40
    whole = [
        node
        for node in graph.nodes
        if node.primitive.name == "add" and node.outputs[0].spec.shape == (3, 40)
    ]
    assert not whole


def test_a_padding_that_is_not_of_zeros_is_no_slice() -> None:
    def loss(x: Any) -> Any:
        low, high = (1, 0), (0, 2)
        return ops.reduce_sum(
            ops.pad(x, 3.0, low=low, high=high, interior=(0, 0)), axes=(0, 1)
        )

    x = RANDOM.normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        np.asarray(value_and_grad(loss)(x)[1]), np.ones((2, 3))
    )
