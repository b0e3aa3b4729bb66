"""Transformations within one another, in every order, and perturbation confusion."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import checkpoint, grad, hessian, jacobian, jvp, vjp, vmap
from chainrule.ir import constant, evaluate, trace, verify
from tests.checks import spec_of
from tests.tolerances import assert_close

X = np.random.default_rng(1).normal(size=(3,))


def number(value: Any) -> float:
    """The number of a 0-d value."""
    return float(value.data.item())


# ---- every order of three transformations --------------------------------------------
# Each maps an elementwise function to an elementwise function, so they nest freely.


def by_grad(function: Callable[..., Any]) -> Callable[..., Any]:
    return grad(lambda x: ops.reduce_sum(function(x), axes=tuple(range(x.spec.ndim))))


def by_jvp(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: jvp(function, [x], [np.ones(x.spec.shape)])[1]


def by_vjp(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: vjp(function, x)[1](np.ones(x.spec.shape))[0]


def by_vmap(function: Callable[..., Any]) -> Callable[..., Any]:
    def mapped(x: Any) -> Any:
        batch = ops.broadcast_to(x, shape=(2, *x.spec.shape))
        return ops.reduce_sum(
            ops.multiply(vmap(function)(batch), constant(0.5)), axes=(0,)
        )

    return mapped


def by_jacobian(function: Callable[..., Any]) -> Callable[..., Any]:
    def differentiated(x: Any) -> Any:
        rank = x.spec.ndim
        return ops.reduce_sum(jacobian(function)(x), axes=tuple(range(rank, 2 * rank)))

    return differentiated


DIFFERENTIATE = {"grad": by_grad, "jvp": by_jvp, "vjp": by_vjp, "jacobian": by_jacobian}
KEEP: dict[str, Callable[..., Any]] = {"vmap": by_vmap, "checkpoint": checkpoint}
ALL = {**DIFFERENTIATE, **KEEP}
# sin and its derivatives
DERIVATIVES: list[Callable[..., Any]] = [
    np.sin,
    np.cos,
    lambda x: -np.sin(x),
    lambda x: -np.cos(x),
]


@pytest.mark.parametrize(
    "names", list(itertools.product(ALL, repeat=3)), ids=" of ".join
)
def test_three_transformations_in_any_order(names: tuple[str, ...]) -> None:
    function: Callable[..., Any] = ops.sin
    for name in reversed(names):
        function = ALL[name](function)
    order = sum(name in DIFFERENTIATE for name in names)
    expected = DERIVATIVES[order](X)
    assert_close(function(constant(X)).data, expected)
    graph, _ = trace(lambda x: [function(x)], [spec_of(X)])
    assert_close(evaluate(verify(graph), [X])[0], expected)


# ---- perturbation confusion ----------------------------------------------------------


def test_inner_derivative_of_a_constant_is_not_confused() -> None:
    # Siskind and Pearlmutter 2005: d/dx [x * d/dy (x + y)] at 1 is 1, not 2
    def outer(x: Any) -> Any:
        return ops.multiply(x, grad(lambda y: ops.add(x, y))(constant(1.0)))

    assert number(grad(outer)(constant(1.0))) == 1.0
    graph, _ = trace(lambda x: [grad(outer)(x)], [spec_of(np.array(1.0))])
    assert evaluate(graph, [np.array(1.0)])[0] == 1.0


def test_inner_gradient_with_respect_to_the_outer_variable() -> None:
    # d/dx [d/dy (x**2 * y**3) at y = x] = d/dx 3 x**4 = 12 x**3
    def outer(x: Any) -> Any:
        def inner(y: Any) -> Any:
            cube = ops.multiply(y, ops.multiply(y, y))
            return ops.multiply(ops.multiply(x, x), cube)

        return grad(inner)(x)

    assert number(grad(outer)(2.0)) == 96.0
    assert number(jvp(outer, [constant(2.0)], [1.0])[1]) == 96.0
    assert_close(vmap(grad(outer))(np.array([1.0, 2.0])).data, np.array([12.0, 96.0]))


def test_swapped_nesting_with_jvp() -> None:
    def outer(x: Any) -> Any:
        _, tangent = jvp(lambda y: ops.multiply(x, y), [constant(1.0)], [1.0])
        return ops.multiply(x, tangent)

    assert number(grad(outer)(constant(3.0))) == 6.0
    assert number(jvp(outer, [constant(3.0)], [1.0])[1]) == 6.0


def test_a_value_of_an_outer_level_used_directly_and_through_an_inner_one() -> None:
    def outer(x: Any) -> Any:
        inner = grad(lambda y: ops.multiply(ops.multiply(y, y), x))(x)  # 2 x * x
        return ops.add(inner, ops.multiply(x, x))  # 3 x**2

    assert number(grad(outer)(2.0)) == 12.0
    assert number(grad(grad(outer))(2.0)) == 6.0


def test_derivatives_of_closures_over_batched_values() -> None:
    # vmap over y of d/dx at x = y of x * y
    found = vmap(lambda y: grad(lambda x: ops.multiply(x, y))(y))(X)
    assert_close(found.data, X)
    # the gradient of a batch, by a value that every example shares
    found = grad(
        lambda w: ops.reduce_sum(
            vmap(lambda x: ops.multiply(ops.sin(x), w))(X), axes=(0,)
        )
    )(constant(2.0))
    assert_close(found.data, np.sum(np.sin(X)))


def test_gradient_by_a_shared_value_within_a_batch() -> None:
    # the inner function computes with the shared value before it meets the batched one
    def slopes(w: Any) -> Any:
        return vmap(lambda x: grad(lambda w: ops.multiply(x, ops.sin(w)))(w))(X)

    expected = X * np.cos(2.0)
    assert_close(slopes(constant(2.0)).data, expected)
    graph, _ = trace(lambda w: [slopes(w)], [spec_of(np.array(2.0))])
    assert_close(evaluate(verify(graph), [np.array(2.0)])[0], expected)


def test_nested_batches_of_closures() -> None:
    def table(x: Any) -> Any:
        return vmap(lambda y: ops.add(ops.multiply(constant(10.0), x), y))(X)

    assert_close(vmap(table)(X).data, 10 * X[:, None] + X[None, :])
    third = vmap(lambda x: vmap(lambda y: grad(lambda z: ops.multiply(z, y))(x))(X))(X)
    assert_close(third.data, np.broadcast_to(X, (3, 3)))


def test_batching_along_other_axes() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for source, target in itertools.product(range(-3, 3), range(-2, 2)):
        mapped = vmap(
            lambda x: ops.reduce_sum(x, axes=(0,)), in_axes=source, out_axes=target
        )
        rows = np.moveaxis(x, source, 0).sum(1)
        assert_close(mapped(x).data, np.moveaxis(rows, 0, target))


def test_sixth_derivative() -> None:
    function: Callable[..., Any] = ops.exp
    for _ in range(6):
        function = grad(function)
    assert_close(function(constant(0.5)).data, np.exp(0.5))


def test_hessian_of_a_batch_of_losses() -> None:
    def loss(w: Any, x: Any) -> Any:
        return ops.reduce_sum(ops.sin(ops.multiply(w, x)), axes=(0,))

    found = vmap(hessian(loss), in_axes=(None, 0))(X, np.stack([X, 2 * X]))
    expected = [np.diag(-np.sin(X * x) * x * x) for x in (X, 2 * X)]
    assert_close(found.data, np.stack(expected))
