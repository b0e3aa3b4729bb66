"""Gradients, products with Jacobians and whole Jacobians, on trees of arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import (
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    no_grad,
    value_and_grad,
    vjp,
    vmap,
)
from chainrule.errors import ArgumentError, GradientError, ShapeError
from chainrule.ir import constant, evaluate, trace, verify
from chainrule.ir.dtype import as_dtype, float32, float64
from tests.checks import spec_of
from tests.tolerances import assert_close

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 4))
W = RANDOM.normal(size=(4, 2))


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass
class Layer:
    kernel: Any
    bias: Any


def total(x: Any) -> Any:
    """The sum of all elements."""
    return ops.reduce_sum(x, axes=tuple(range(x.spec.ndim)))


def matmul(a: Any, b: Any) -> Any:
    """The matrix product."""
    return ops.contract(a, b, sums=((1,), (0,)), batch=((), ()))


# ---- grad and value_and_grad ---------------------------------------------------------


def test_gradient_of_nested_arguments_has_their_structure() -> None:
    params = {
        "layer": Layer(constant(W), constant(np.ones(2))),
        "points": [Point(constant(2.0), constant(3.0)), None],
    }

    def loss(params: Any) -> Any:
        layer, (point, nothing) = params["layer"], params["points"]
        assert nothing is None
        y = ops.add(matmul(constant(X), layer.kernel), layer.bias)
        return ops.add(total(y), ops.multiply(point.x, point.y))

    found = grad(loss)(params)
    assert list(found) == ["layer", "points"]
    assert isinstance(found["layer"], Layer)
    assert_close(found["layer"].kernel.data, np.repeat(X.sum(0)[:, None], 2, 1))
    assert_close(found["layer"].bias.data, np.array([3.0, 3.0]))
    assert isinstance(found["points"][0], Point)
    assert [g.data.item() for g in found["points"][0]] == [3.0, 2.0]
    assert found["points"][1] is None


@pytest.mark.parametrize("argnums", [0, 1, -1, (0, 1), (1, 0), (1,)])
def test_argnums(argnums: int | tuple[int, ...]) -> None:
    slopes = [5.0, 2.0]  # of x * y at (2, 5)
    found = grad(ops.multiply, argnums)(2.0, 5.0)
    if isinstance(argnums, int):
        assert found.data.item() == slopes[argnums]
    else:
        assert [g.data.item() for g in found] == [slopes[n] for n in argnums]


def test_unused_arguments_have_zeros() -> None:
    first, second = grad(lambda x, y: total(x), (0, 1))(X, W)
    assert_close(first.data, np.ones_like(X))
    assert_close(second.data, np.zeros_like(W))
    assert_close(grad(lambda x: constant(1.0))(X).data, np.zeros_like(X))
    assert_close(grad(lambda x: 1.0)(X).data, np.zeros_like(X))


def test_value_and_gradient_and_more() -> None:
    def loss(x: Any) -> Any:
        y = ops.multiply(x, x)
        return total(y), {"squares": y, "name": "more"}

    (value, more), gradient = value_and_grad(loss, has_aux=True)(X)
    assert_close(value.data, np.sum(X * X))
    assert_close(more["squares"].data, X * X)
    assert more["name"] == "more"
    assert_close(gradient.data, 2 * X)
    gradient, more = grad(loss, has_aux=True)(X)
    assert_close(gradient.data, 2 * X)
    assert more["squares"].tape == 0
    assert more["squares"].node is None


def test_keyword_arguments_are_constants() -> None:
    found = grad(lambda x, scale: ops.multiply(x, scale))(
        2.0, scale=constant(3.0, dtype=float32)
    )
    assert found.data.item() == 3.0


def test_python_floats_are_float32_and_arrays_keep_their_type() -> None:
    assert grad(ops.sin)(1.0).data.dtype == np.float32
    assert grad(ops.sin)(np.float64(1.0)).data.dtype == np.float64


def test_the_same_value_twice() -> None:
    x = constant(3.0)
    found = grad(ops.multiply, (0, 1))(x, x)
    assert [g.data.item() for g in found] == [3.0, 3.0]
    assert grad(lambda x: ops.multiply(x, x))(x).data.item() == 6.0
    assert grad(lambda x: x)(x).data.item() == 1.0


def test_arguments_are_copied() -> None:
    x = np.ones(3)
    y, _ = vjp(lambda x: x, x)
    z = vmap(lambda x: x)(x)
    x[:] = 7.0
    assert y.data.tolist() == z.data.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grad(lambda x: x)(X), "floating-point scalar"),
        (lambda: grad(lambda x: ops.argmax(x, axis=0))(X[0]), "floating-point scalar"),
        (lambda: grad(lambda x: "loss")(X), "must return a tensor"),
        (lambda: grad(total)(np.arange(3)), "floating-point values only"),
        (lambda: grad(total, has_aux=True)(X), "has_aux"),
        (lambda: grad(_through_bits)(X), "gradient of 'bitcast' does not exist"),
    ],
)
def test_gradients_that_do_not_exist(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(GradientError, match=message) as caught:
        call()
    assert "fix:" in str(caught.value) or "expected:" in str(caught.value)


def _through_bits(x: Any) -> Any:
    return total(ops.bitcast(x, dtype=as_dtype("float64")))


def test_argnums_outside_is_refused() -> None:
    with pytest.raises(ArgumentError, match="argnums"):
        grad(ops.sin, 1)(2.0)


# ---- vjp and jvp ---------------------------------------------------------------------


def test_pullback_of_a_tree() -> None:
    def function(x: Any, w: Any) -> Any:
        return {
            "product": matmul(x, w),
            "position": ops.argmax(x, axis=1),
            "none": None,
        }

    y, pullback = vjp(function, X, W)
    assert_close(y["product"].data, X @ W)
    assert y["position"].data.tolist() == X.argmax(1).tolist()
    u = RANDOM.normal(size=(3, 2))
    for cotangent in (
        {"product": u, "position": None, "none": None},
        {"none": None, "position": np.zeros(3, np.int64), "product": u},
    ):
        left, right = pullback(cotangent)
        assert_close(left.data, u @ W.T)
        assert_close(right.data, X.T @ u)
    zeros = pullback({"product": None, "position": None, "none": None})
    assert_close(zeros[0].data, np.zeros_like(X))


def test_pullback_can_be_called_again() -> None:
    _, pullback = vjp(ops.sin, constant(0.5))
    once, twice = pullback(constant(1.0)), pullback(constant(2.0))
    assert twice[0].data.item() == 2 * once[0].data.item()


@pytest.mark.parametrize(
    ("cotangent", "error", "message"),
    [
        ({"a": 1.0}, ArgumentError, "differ in structure"),
        ((1.0, 1.0), ArgumentError, "differ in structure"),
        ({"a": np.ones(2), "b": 1.0}, ShapeError, "shape and dtype"),
        ({"a": constant(1.0, dtype=float32), "b": 1.0}, ShapeError, "shape and dtype"),
    ],
)
def test_cotangents_that_do_not_fit(
    cotangent: Any, error: type[Exception], message: str
) -> None:
    _, pullback = vjp(lambda x: {"a": x, "b": ops.sin(x)}, constant(0.5))
    with pytest.raises(error, match=message):
        pullback(cotangent)


def test_directional_derivative_of_trees() -> None:
    def function(p: Any) -> Any:
        return [ops.multiply(p["a"], p["b"]), ops.less(p["a"], p["b"])]

    primals = [{"a": constant(2.0), "b": constant(5.0)}]
    tangents = [{"b": 1.0, "a": 10.0}]  # matched by key, not by order
    y, t = jvp(function, primals, tangents)
    assert [v.data.item() for v in y] == [10.0, True]
    assert t[0].data.item() == 52.0
    assert t[1].data.item() is False
    with pytest.raises(ArgumentError, match="structure"):
        jvp(function, primals, [{"a": 1.0}])
    with pytest.raises(ShapeError, match="tangent"):
        jvp(function, primals, [{"a": np.ones(2), "b": 1.0}])


def test_directional_derivative_agrees_with_the_jacobian() -> None:
    def function(x: Any) -> Any:
        return ops.multiply(ops.sin(x), ops.reduce_sum(x, axes=(0,)))

    x, v = RANDOM.normal(size=5), RANDOM.normal(size=5)
    _, tangent = jvp(function, [x], [v])
    assert_close(tangent.data, jacobian(function)(x).data @ v)


# ---- jacobian, hessian, hvp ----------------------------------------------------------


def test_jacobian_of_trees_has_both_structures() -> None:
    def function(x: Any, p: Any) -> Any:
        return {"xw": matmul(x, p["w"]), "s": total(x)}

    found = jacobian(function, (0, 1))(X, {"w": constant(W)})
    dx, dp = found["xw"]
    expected = np.einsum("ik,lj->ijkl", np.eye(3), W)
    assert_close(dx.data, expected)
    assert_close(dp["w"].data, np.einsum("ik,jl->ijkl", X, np.eye(2)))
    assert_close(found["s"][0].data, np.ones((3, 4)))
    assert_close(found["s"][1]["w"].data, np.zeros((4, 2)))


def test_jacobian_of_nothing() -> None:
    assert jacobian(ops.sin)(np.zeros((0, 2))).data.shape == (0, 2, 0, 2)


def test_hessian_is_that_of_a_quadratic_form() -> None:
    a = RANDOM.normal(size=(4, 4))

    def form(x: Any) -> Any:
        row = ops.contract(x, constant(a), sums=((0,), (0,)), batch=((), ()))
        return ops.contract(row, x, sums=((0,), (0,)), batch=((), ()))

    x, v = RANDOM.normal(size=4), RANDOM.normal(size=4)
    assert_close(hessian(form)(x).data, a + a.T)
    assert_close(hvp(form, [x], [v])[0].data, (a + a.T) @ v)


def test_hessian_of_several_arguments() -> None:
    def function(x: Any, y: Any) -> Any:
        return ops.multiply(ops.multiply(x, x), y)

    found = hessian(function, (0, 1))(constant(3.0), constant(5.0))
    assert [[h.data.item() for h in row] for row in found] == [[10.0, 6.0], [6.0, 0.0]]


# ---- control of what is differentiated -----------------------------------------------


def test_stop_gradient() -> None:
    def function(x: Any) -> Any:
        return ops.multiply(ops.stop_gradient(x), x)

    assert grad(function)(3.0).data.item() == 3.0
    assert grad(grad(function))(3.0).data.item() == 0.0
    assert jvp(function, [constant(3.0)], [1.0])[1].data.item() == 3.0


def test_no_grad_is_about_the_tape_of_backward_alone() -> None:
    leaf = constant(2.0)
    leaf.tape = 1
    assert ops.sin(leaf).node is not None
    with no_grad():
        assert ops.sin(leaf).node is None
        assert grad(ops.sin)(0.0).data.item() == 1.0
    assert ops.sin(leaf).node is not None


def test_integers_pass_through_without_a_gradient() -> None:
    def function(x: Any) -> Any:
        index = ops.argmax(x, axis=0)
        return ops.take(x, index, axis=0)

    assert grad(function)(constant(np.array([1.0, 5.0, 2.0]))).data.tolist() == [
        0,
        1,
        0,
    ]

    def through_integers(x: Any) -> Any:
        whole = ops.cast(x, dtype=as_dtype("int64"))
        return ops.multiply(ops.cast(whole, dtype=float64), x)

    assert grad(through_integers)(constant(2.5)).data.item() == 2.0


def test_conversion_carries_gradients_between_floats() -> None:
    def function(x: Any) -> Any:
        half = ops.cast(x, dtype=float32)
        return ops.cast(ops.multiply(half, half), dtype=float64)

    found = grad(function)(constant(1.5))
    assert found.data.dtype == np.float64
    assert found.data.item() == 3.0


# ---- the same walk, traced -----------------------------------------------------------

TRANSFORMED: list[Callable[[Any], Any]] = [
    grad(total),
    grad(lambda x: total(ops.exp(ops.sin(x)))),
    grad(lambda x: total(grad(lambda y: total(ops.exp(ops.multiply(x, y))))(x))),
    hessian(lambda x: total(ops.tanh(x))),
    vmap(grad(lambda x: total(ops.sin(x)))),
    lambda x: jvp(ops.tanh, [x], [x])[1],
    lambda x: hvp(lambda x: total(ops.sigmoid(x)), [x], [x])[0],
]


@pytest.mark.parametrize("number", range(len(TRANSFORMED)))
def test_traced_transformations_give_the_same_bits(number: int) -> None:
    function = TRANSFORMED[number]
    graph, captured = trace(lambda x: [function(x)], [spec_of(X)])
    assert not captured
    (result,) = evaluate(verify(graph), [X])
    np.testing.assert_array_equal(result, function(constant(X)).data)
