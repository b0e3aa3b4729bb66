"""`vmap` on trees of arguments, its errors, and gradients in several threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import grad, vmap
from chainrule.errors import ArgumentError, ShapeError, TraceError
from chainrule.ir import constant
from tests.tolerances import assert_close

X = np.random.default_rng(3).normal(size=(4, 3))
Y = np.random.default_rng(4).normal(size=(2, 4))


def test_trees_of_arguments_and_results() -> None:
    def function(pair: Any, scale: Any, *, shift: Any) -> Any:
        total = ops.add(ops.multiply(pair["x"], scale), shift)
        return {"sum": ops.reduce_sum(total, axes=(0,)), "rest": [pair["y"], None]}

    mapped = vmap(function, in_axes=(0, None))
    pair = {"x": constant(X), "y": constant(np.arange(4))}
    found = mapped(pair, constant(2.0), shift=constant(np.ones(3)))
    assert_close(found["sum"].data, (2 * X + 1).sum(1))
    assert found["rest"][0].data.tolist() == [0, 1, 2, 3]
    assert found["rest"][1] is None


def test_each_argument_has_its_own_axis() -> None:
    found = vmap(
        lambda x, y: ops.multiply(ops.reduce_sum(x, axes=(0,)), y), in_axes=(0, 1)
    )(X, Y)
    assert_close(found.data, X.sum(1)[:, None] * Y.T)


def test_results_that_do_not_depend_on_the_batch_are_repeated() -> None:
    found = vmap(lambda x: (constant(2.0), 3.0, ops.sin(constant(X))))(X)
    assert [value.data.shape for value in found] == [(4,), (4,), (4, 4, 3)]
    assert found[1].data.dtype == np.float32
    assert_close(found[2].data, np.broadcast_to(np.sin(X), (4, 4, 3)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: vmap(ops.add)(X, Y), ShapeError, "one length"),
        (lambda: vmap(ops.add, in_axes=(0,))(X, X), ArgumentError, "one entry"),
        (lambda: vmap(ops.add, in_axes=(None, None))(X, X), ShapeError, "no argument"),
        (lambda: vmap(ops.sin)(2.0), ShapeError, "does not exist"),
        (lambda: vmap(ops.sin, in_axes=5)(X), ShapeError, "does not exist"),
        (lambda: vmap(ops.sin, out_axes=5)(X), ShapeError, "does not exist"),
    ],
)
def test_batches_that_do_not_fit(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_value_that_leaves_its_batch_is_refused() -> None:
    leaked: list[Any] = []
    vmap(lambda x: leaked.append(x) or x)(X)  # type: ignore[func-returns-value]
    with pytest.raises(TraceError, match="outside the function"):
        ops.sin(leaked[0])


def test_random_bits_of_a_batch_of_keys_are_those_of_each() -> None:
    keys = np.arange(8, dtype=np.uint32).reshape(4, 2)
    together = vmap(lambda key: ops.random_bits(key, shape=(5,)))(keys).data
    alone = [ops.random_bits(constant(key), shape=(5,)).data for key in keys]
    np.testing.assert_array_equal(together, np.stack(alone))
    assert len(np.unique(together)) == 20


def test_gradients_in_several_threads() -> None:
    def sixth(x: float) -> float:
        function: Callable[..., Any] = ops.exp
        for _ in range(6):
            function = grad(function)
        return float(function(constant(x)).data)

    points = [0.1 * i for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(sixth, points))
    assert_close(np.array(found), np.exp(points))
