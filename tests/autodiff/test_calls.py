"""`checkpoint` and `custom_vjp`: functions kept whole, within every transformation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import (
    checkpoint,
    custom_vjp,
    grad,
    jvp,
    value_and_grad,
    vjp,
    vmap,
)
from chainrule.autodiff.checkpoint import call_with_rule
from chainrule.compiler.passes import inline_calls, simplify
from chainrule.errors import ArgumentError, GradientError, ShapeError
from chainrule.ir import PRIMITIVES, Spec, constant, evaluate, trace, verify
from chainrule.ir.dtype import float64
from chainrule.ir.show import show
from tests.checks import check_gradients, spec_of
from tests.tolerances import assert_close

X = np.random.default_rng(2).normal(size=(3,))


def double(x: Any) -> Any:
    """A constant in float64."""
    return constant(np.asarray(x, np.float64))


def with_rule(scale: float) -> Any:
    """`sin` with a backward rule that is `scale` times the right one."""

    @custom_vjp
    def sine(x: Any) -> Any:
        return ops.sin(x)

    sine.defvjp(
        lambda x: (ops.sin(x), x),
        lambda x, g: (ops.multiply(g, ops.multiply(ops.cos(x), scale)),),
    )
    return sine


# ---- checkpoint ----------------------------------------------------------------------


def test_checkpoint_computes_again_instead_of_keeping() -> None:
    calls: list[str] = []

    def block(x: Any) -> Any:
        calls.append("traced")
        return ops.sin(ops.sin(ops.sin(x)))

    tracked = double(X)
    tracked.tape = 1
    result = checkpoint(block)(tracked)
    assert calls == ["traced"]
    assert result.node.primitive is PRIMITIVES["call"]
    assert result.node.inputs == (tracked,)


def test_checkpoint_of_trees_and_closures() -> None:
    def loss(w: Any) -> Any:
        @checkpoint
        def block(state: Any, *, factor: Any) -> Any:
            y = ops.multiply(ops.multiply(state["x"], w), factor)
            return {"y": ops.sin(y), "x": state["x"]}

        out = block({"x": double(X)}, factor=w)
        return ops.reduce_sum(ops.multiply(out["y"], out["x"]), axes=(0,))

    check_gradients(lambda w: [loss(w)], [np.array(0.7)], order=3)


def test_checkpoint_leaves_what_is_no_number_as_it_is() -> None:
    seen: list[Any] = []

    @checkpoint
    def block(x: Any, training: bool, axis: int, name: str, nothing: None) -> Any:
        seen.extend([training, axis, name, nothing])
        return ops.reduce_sum(x, axes=(axis,))

    assert_close(grad(block)(double(X), True, 0, "sum", None).data, np.ones(3))
    assert seen == [True, 0, "sum", None]


def test_checkpoint_with_an_output_that_nobody_uses() -> None:
    @checkpoint
    def block(x: Any) -> Any:
        return ops.sin(x), ops.exp(x), ops.argmax(x, axis=0)

    found = grad(lambda x: ops.reduce_sum(block(x)[1], axes=(0,)))(double(X))
    assert_close(found.data, np.exp(X))


def test_checkpoint_within_checkpoint() -> None:
    inner = checkpoint(lambda x: ops.exp(ops.sin(x)))
    outer = checkpoint(lambda x: inner(inner(x)))
    plain = lambda x: ops.exp(ops.sin(ops.exp(ops.sin(x))))  # noqa: E731
    check_gradients(lambda x: [outer(x)], [X], order=3)
    assert_close(grad(outer)(double(0.3)).data, grad(plain)(double(0.3)).data)


# ---- custom_vjp: the rule is used, in every transformation ---------------------------

SCALE = 3.0  # the rule is wrong by this factor, so that its use can be seen
SINE = with_rule(SCALE)
SLOPE = SCALE * np.cos(X)
USES: dict[str, Callable[[Any], Any]] = {
    "grad": grad(lambda x: ops.reduce_sum(SINE(x), axes=(0,))),
    "grad of vmap": grad(lambda x: ops.reduce_sum(vmap(SINE)(x), axes=(0,))),
    "vmap of grad": vmap(grad(SINE)),
    "jvp": lambda x: jvp(SINE, [x], [np.ones(3)])[1],
    "vjp": lambda x: vjp(SINE, x)[1](np.ones(3))[0],
    "grad of checkpoint": grad(
        lambda x: ops.reduce_sum(checkpoint(SINE)(x), axes=(0,))
    ),
    "vmap of grad of checkpoint": vmap(grad(checkpoint(SINE))),
    "grad of vmap of checkpoint": grad(
        lambda x: ops.reduce_sum(vmap(checkpoint(SINE))(x), axes=(0,))
    ),
    "vmap of vmap of grad": lambda x: vmap(vmap(grad(SINE)))(
        ops.reshape(x, shape=(1, 3))
    ),
}


@pytest.mark.parametrize("name", USES)
def test_the_rule_is_used(name: str) -> None:
    function = USES[name]
    assert_close(function(double(X)).data.reshape(3), SLOPE)
    graph, _ = trace(lambda x: [function(x)], [spec_of(X)])
    assert_close(evaluate(verify(graph), [X])[0].reshape(3), SLOPE)


def test_second_order_differentiates_the_rule() -> None:
    assert_close(grad(grad(SINE))(double(0.4)).data, -SCALE * np.sin(0.4))


# ---- custom_vjp: closures ------------------------------------------------------------


def scaled_by(w: Any) -> Any:
    """`w * x`, whose rule doubles the gradient; w is taken from around."""

    @custom_vjp
    def scale(x: Any) -> Any:
        return ops.multiply(x, w)

    scale.defvjp(
        lambda x: (ops.multiply(x, w), None),
        lambda _, g: (ops.multiply(g, ops.multiply(w, 2.0)),),
    )
    return scale


CLOSURES: dict[str, Callable[[Any], Any]] = {
    "tracked by grad": lambda w: value_and_grad(lambda x: scaled_by(w)(x))(double(5.0))[
        1
    ],
    "within checkpoint": lambda w: grad(
        lambda x: checkpoint(lambda x, w: scaled_by(w)(x))(x, w)
    )(double(5.0)),
    "traced by checkpoint": lambda w: grad(
        checkpoint(lambda x: scaled_by(ops.multiply(w, 1.0))(x))
    )(double(5.0)),
    "grad of vmap": lambda w: grad(
        lambda x: ops.reduce_sum(
            vmap(lambda x, w: scaled_by(w)(x))(
                ops.broadcast_to(x, shape=(1,)), ops.broadcast_to(w, shape=(1,))
            ),
            axes=(0,),
        )
    )(double(5.0)),
    "vmap of grad": lambda w: ops.reshape(
        vmap(lambda w: grad(scaled_by(w))(double(5.0)))(
            ops.broadcast_to(w, shape=(1,))
        ),
        shape=(),
    ),
}


@pytest.mark.parametrize("name", CLOSURES)
def test_rules_that_close_over_values(name: str) -> None:
    function = CLOSURES[name]  # each is 2 w: twice the slope of w * x in x
    assert function(double(3.0)).data.item() == 6.0
    assert grad(function)(double(3.0)).data.item() == 2.0
    assert_close(vmap(function)(X).data, 2 * X)
    graph, _ = trace(lambda w: [function(w)], [spec_of(np.array(3.0))])
    assert evaluate(verify(graph), [np.array(3.0)])[0] == 6.0


def test_what_a_rule_closes_over_has_no_gradient_by_it() -> None:
    found = grad(lambda w: scaled_by(w)(double(5.0)))(double(3.0))
    assert found.data.item() == 0.0


# ---- custom_vjp: arguments and cotangents --------------------------------------------


def product() -> Any:
    @custom_vjp
    def multiply(pair: Any, extra: Any, name: str) -> Any:
        return {"z": ops.multiply(pair["x"], pair["y"])}

    return multiply


def _forward(pair: Any, extra: Any, name: str) -> Any:
    return {"z": ops.multiply(pair["x"], pair["y"])}, (pair, name)


@pytest.mark.parametrize(
    ("cotangents", "expected"),
    [
        (lambda pair, g: ({"x": pair["y"], "y": pair["x"]}, g, None), [5.0, 2.0, 1.0]),
        (lambda pair, g: ({"y": pair["x"], "x": pair["y"]}, g, None), [5.0, 2.0, 1.0]),
        (lambda pair, g: ({"x": None, "y": 7.0}, None, None), [0.0, 7.0, 0.0]),
        (lambda pair, g: (None, 2.0, None), [0.0, 0.0, 2.0]),
        (lambda pair, g: [None, None, None], [0.0, 0.0, 0.0]),
    ],
)
def test_cotangents_are_matched_by_structure(
    cotangents: Callable[..., Any], expected: list[float]
) -> None:
    function = product()
    function.defvjp(_forward, lambda kept, g: cotangents(kept[0], g["z"]))
    pair = {"x": double(2.0), "y": double(5.0)}
    found, extra = grad(lambda p, e: function(p, e, "name")["z"], (0, 1))(
        pair, double(1.0)
    )
    numbers = [found["x"], found["y"], extra]
    assert [g.data.item() for g in numbers] == expected


@pytest.mark.parametrize(
    ("cotangents", "error"),
    [
        (lambda g: ({"x": g}, g, None), ArgumentError),
        (lambda g: (None, None), ArgumentError),
        (lambda g: (None, np.ones(3), None), ShapeError),
    ],
)
def test_cotangents_that_do_not_fit(
    cotangents: Callable[..., Any], error: type[Exception]
) -> None:
    function = product()
    function.defvjp(_forward, lambda kept, g: cotangents(g["z"]))
    with pytest.raises(error):
        function({"x": double(2.0), "y": double(5.0)}, double(1.0), "name")


def test_a_function_without_a_rule_is_refused() -> None:
    with pytest.raises(GradientError, match="defvjp"):
        product()({}, None, "")


def test_a_rule_may_keep_anything() -> None:
    @custom_vjp
    def cube(x: Any) -> Any:
        return ops.power(x, 3.0)

    cube.defvjp(
        lambda x: (ops.power(x, 3.0), {"x": x, "degree": 3.0, "name": "cube"}),
        lambda kept, g: (
            ops.multiply(g, ops.multiply(ops.power(kept["x"], 2.0), kept["degree"])),
        ),
    )
    check_gradients(lambda x: [cube(x)], [np.abs(X)], order=3)


def test_a_rule_may_call_the_function_itself() -> None:
    @custom_vjp
    def square(x: Any) -> Any:
        return ops.multiply(x, x)

    square.defvjp(
        lambda x: (square(x), x), lambda x, g: (ops.multiply(g, ops.multiply(x, 3.0)),)
    )
    assert grad(square)(double(2.0)).data == 6.0
    assert grad(lambda x: square(square(x)))(double(1.0)).data == 9.0


# ---- rules that read results ---------------------------------------------------------


def _power(calls: list[str]) -> Any:
    """x to the third; the rule reads a result that nobody else gets."""

    def forward(x: Any) -> Any:
        calls.append("forward")
        square = ops.multiply(x, x)
        return ops.multiply(square, x), square

    def backward(inputs: Any, results: Any, cotangents: Any) -> Any:
        calls.append("backward")
        (x,), (_, square), (g,) = inputs, results, cotangents
        ops.sin(x)  # for nothing
        return [ops.multiply(g, ops.multiply(square, 3.0))]

    return lambda x: call_with_rule(forward, backward, [x], results=1)[0]


def test_a_rule_that_reads_results_is_traced_for_gradients_alone() -> None:
    calls: list[str] = []
    cube = _power(calls)
    assert_close(cube(double(X)).data, X**3)
    assert calls == ["forward"]
    assert_close(vjp(cube, double(X))[1](double(np.ones(3)))[0].data, 3 * X**2)
    assert calls == ["forward", "forward", "backward"]
    check_gradients(lambda x: [cube(x)], [X])


def test_what_a_rule_reads_is_computed_once() -> None:
    def step(x: Any) -> Any:
        y, pullback = vjp(_power([]), x)
        return [y, *pullback(y)]

    whole, _ = trace(step, [Spec((3,), float64)])
    assert "rule=forward backward" in show(whole)
    graph = simplify(inline_calls(whole))
    names = [node.primitive.name for node in graph.nodes]
    assert names.count("multiply") == 4
    assert "sin" not in names


def test_a_rule_that_reads_results_holds_for_many_at_once() -> None:
    rows = np.arange(6.0).reshape(2, 3)

    def slopes(x: Any) -> Any:
        return vjp(_power([]), x)[1](double(np.ones(3)))[0]

    assert_close(vmap(slopes)(double(rows)).data, 3 * rows**2)
