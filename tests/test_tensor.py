"""The tensor: description, numbers, operators, gradients, memory."""

from __future__ import annotations

import copy
import gc
import operator
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import (
    ArgumentError,
    GradientError,
    ShapeError,
    TraceError,
)
from tests.tolerances import assert_close


def leaf(values: Any) -> Any:
    return cr.asarray(values, requires_grad=True)


# ---- description and numbers ---------------------------------------------------------


def test_description() -> None:
    x = cr.zeros((2, 3, 4), dtype="float64")
    assert (x.shape, x.ndim, x.size, x.nbytes) == ((2, 3, 4), 3, 24, 192)
    assert x.dtype == "float64"
    assert x.mT.shape == (2, 4, 3)
    assert x[0].T.shape == (4, 3)
    assert len(x) == 2
    with pytest.raises(ShapeError, match="mT"):
        _ = x.T
    with pytest.raises(TypeError, match="no length"):
        len(cr.asarray(1))
    with pytest.raises(TypeError, match="iterated"):
        iter(cr.asarray(1))


def test_numbers() -> None:
    x = cr.asarray([[1.5]])
    assert (float(x), int(x), bool(x), complex(x), x.item()) == (1.5, 1, True, 1.5, 1.5)
    assert f"{x:.3f} {cr.asarray(3)}" == "1.500 Tensor(3, int64)"
    assert [10, 20, 30][cr.asarray(1)] == 20
    assert list(range(cr.asarray(2))) == [0, 1]
    with pytest.raises(ShapeError, match="one element"):
        cr.ones(2).item()
    with pytest.raises(ShapeError, match="one element"):
        bool(cr.ones(2) == cr.ones(2))
    with pytest.raises(TypeError, match="0-d integer"):
        operator.index(cr.asarray(1.0))


def test_iteration_and_membership() -> None:
    rows = list(cr.asarray([[1, 2], [3, 4]]))
    assert [row.tolist() for row in rows] == [[1, 2], [3, 4]]
    first, second = cr.asarray([5, 6])
    assert (first.item(), second.item()) == (5, 6)
    assert 5 in cr.asarray([5, 6])
    assert 7 not in cr.asarray([5, 6])


def test_a_tensor_reads_well() -> None:
    assert repr(cr.asarray([1.0, 2.0])) == "Tensor([1., 2.], float32)"
    assert repr(cr.asarray(True)) == "Tensor(True, bool)"
    assert repr(cr.zeros((2, 0))) == "Tensor([], shape=(2, 0), float32)"
    assert repr(leaf(1.0)) == "Tensor(1., float32, requires_grad=True)"
    assert len(repr(cr.zeros(100_000))) < 200
    seen: list[str] = []
    cr.jit(lambda x: seen.append(repr(x)))(cr.zeros((3, 4)))
    assert seen == ["Tensor(<traced float32[3, 4]>)"]


def test_tensors_are_keys_by_identity() -> None:
    a, b = cr.ones(2), cr.ones(2)
    assert {a: 1, b: 2}[a] == 1
    assert len({a, b, a}) == 2


@pytest.mark.parametrize(
    "use",
    [bool, int, float, operator.index, lambda x: x.item(), lambda x: x.numpy()],
)
@pytest.mark.parametrize("transform", [cr.jit, cr.vmap])
def test_a_traced_tensor_has_no_numbers(use: Any, transform: Any) -> None:
    x = cr.asarray([1]) if transform is cr.vmap else cr.asarray(1)
    with pytest.raises(TraceError, match=r"where\(condition, a, b\)"):
        transform(use)(x)


def test_traced_tensors_are_not_numpy_arrays() -> None:
    with pytest.raises(TraceError, match="no numbers yet"):
        cr.jit(np.asarray)(cr.ones(2))


def test_copies_are_the_tensor() -> None:
    x = cr.asarray([1.0, 2.0])
    assert_close(copy.copy(x), x)
    assert_close(copy.deepcopy(x), x)


# ---- operators -----------------------------------------------------------------------

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]


@pytest.mark.parametrize("operate", BINARY, ids=lambda f: f.__name__)
def test_operators_from_either_side(operate: Any) -> None:
    a, b = np.array([1.5, 2.0, 3.0]), np.array([2.0, 2.0, 0.5])
    x, y = cr.asarray(a), cr.asarray(b)
    for left, right, expected in (
        (x, y, operate(a, b)),
        (x, 2, operate(a, 2)),
        (2, x, operate(2, a)),
        (a, y, operate(a, b)),
        (x, b, operate(a, b)),
    ):
        result = operate(left, right)
        assert isinstance(result, cr.Tensor)
        assert_close(result, expected)


def test_unary_operators_and_matrix_product() -> None:
    a = np.array([[1.5, -2.0], [0.5, 3.0]])
    x = cr.asarray(a)
    assert_close(-x, -a)
    assert_close(+x, a)
    assert_close(abs(x), abs(a))
    assert_close(x @ x, a @ a)
    assert_close(a @ x, a @ a)
    assert_close(x @ a[0], a @ a[0])


def test_in_place_forms_bind_a_new_tensor() -> None:
    x = original = cr.asarray([1.0, 2.0])
    x += 1
    x *= 2
    x @= cr.eye(2)
    assert x.tolist() == [4, 6]
    assert original.tolist() == [1, 2]


def test_operators_leave_strangers_alone() -> None:
    class Stranger:
        def __radd__(self, other: Any) -> str:
            return "mine"

    assert cr.ones(2) + Stranger() == "mine"
    assert ([1, 2] * cr.ones(2)).tolist() == [1, 2]
    assert (cr.ones(2) == [1, 2]).tolist() == [True, False]
    with pytest.raises(TypeError):
        cr.ones(2) + "text"
    assert (cr.ones(2) == "text") is False


def test_methods_are_the_functions() -> None:
    a = np.random.default_rng(0).normal(size=(3, 4))
    x = cr.asarray(a)
    for name in ("sum", "prod", "mean", "var", "std", "max", "min", "argmax", "argmin"):
        assert_close(getattr(x, name)(1), getattr(np, name)(a, axis=1))
        kept = getattr(x, name)(axis=0, keepdims=True)
        assert_close(kept, getattr(np, name)(a, axis=0, keepdims=True))
    assert_close((x > 0).any(0), (a > 0).any(0))
    assert_close((x > 0).all(0), (a > 0).all(0))
    assert x.reshape(2, -1).shape == x.reshape((2, 6)).shape == (2, 6)
    assert x.flatten().shape == (12,)
    assert x[None].squeeze().shape == x[None].squeeze(0).shape == (3, 4)
    assert x.astype("int8").dtype == "int8"


# ---- backward ------------------------------------------------------------------------


def test_backward_leaves_gradients_and_adds_to_them() -> None:
    w, b = leaf([1.0, 2.0]), leaf(3.0)
    constant = cr.asarray([1.0, 1.0])
    (w * w * constant + b).sum().backward()
    assert w.grad.tolist() == [2, 4]
    assert b.grad.item() == 2
    assert constant.grad is None
    assert not w.grad.requires_grad
    (w * 10).sum().backward()
    assert w.grad.tolist() == [12, 14]
    w.grad = None
    w.sum().backward()
    assert w.grad.tolist() == [1, 1]


def test_backward_of_a_tensor_with_a_gradient() -> None:
    w = leaf([1.0, 2.0])
    with pytest.raises(GradientError, match=r"y\.sum\(\)\.backward"):
        (w * 3).backward()
    (w * 3).backward(gradient=[1, 10])
    assert w.grad.tolist() == [3, 30]
    with pytest.raises(ShapeError, match="gradient has the shape"):
        (w * 3).backward(cr.ones(3))
    leaf_alone = leaf(2.0)
    leaf_alone.backward()
    assert leaf_alone.grad.item() == 1


def test_a_second_backward_needs_the_tape() -> None:
    w = leaf(2.0)
    loss = w * w
    loss.backward(retain_graph=True)
    loss.backward()
    assert w.grad.item() == 8
    with pytest.raises(GradientError, match="retain_graph=True"):
        loss.backward()
    with pytest.raises(GradientError, match="retain_graph=True"):
        (loss * 2).backward()


def test_backward_of_what_needs_no_gradient() -> None:
    for value in (cr.asarray(1.0), leaf(1.0).detach() * 2, cr.stop_gradient(1.0)):
        with pytest.raises(GradientError, match="requires_grad=True"):
            value.backward()
    with cr.no_grad():
        loss = leaf(1.0) * 2
    with pytest.raises(GradientError, match="requires_grad=True"):
        loss.backward()


def test_slopes_of_steps_are_zeros() -> None:
    w, unused = leaf([1.2, -0.7]), leaf(1.0)
    (cr.round(w).sum() * 3).backward()
    assert w.grad.tolist() == [0, 0]
    assert unused.grad is None


def test_backward_is_for_numbers() -> None:
    w = leaf(2.0)
    with pytest.raises(GradientError, match="value_and_grad"):
        cr.jit(lambda x: (x * w).backward())(cr.asarray(1.0))


def test_requires_grad_is_set_on_leaves_of_floats() -> None:
    x = cr.asarray([1.0])
    assert x.is_leaf
    x.requires_grad = True
    y = x * 2
    assert y.requires_grad
    assert not y.is_leaf
    y.sum().backward()
    assert x.grad.tolist() == [2]
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(GradientError, match="detach"):
        y.requires_grad = False
    with pytest.raises(GradientError, match="floating-point"):
        cr.asarray([1]).requires_grad = True


def test_backward_agrees_with_grad_through_shared_and_integer_parts() -> None:
    def f(x: Any) -> Any:
        shared = cr.tanh(x)
        chosen = shared[cr.argmax(shared)]
        return cr.sum(shared * shared[::-1]) + chosen * cr.cumulative_sum(shared)[1]

    values = [0.3, -1.0, 2.0]
    w = leaf(values)
    f(w).backward()
    assert_close(w.grad, cr.grad(f)(cr.asarray(values)))


def test_backward_inside_grad_keeps_the_outer_tape() -> None:
    w = leaf(3.0)

    def f(x: Any) -> Any:
        y = x * x * w
        y.backward()
        return y * y

    # y = 3 x**2 at x = 2; d(y**2)/dx = 2 y * 6 x
    assert cr.grad(f)(cr.asarray(2.0)).item() == 2 * 12 * 12
    assert w.grad.item() == 4


def test_backward_through_a_compiled_function() -> None:
    w = leaf([1.0, 2.0])
    cr.jit(lambda w: cr.sum(w * w))(w).backward()
    assert w.grad.tolist() == [2, 4]


def test_detach_shares_numbers_and_no_tape() -> None:
    w = leaf([1.0, 2.0])
    y = (w * 2).detach()
    assert y.tolist() == [2, 4]
    assert y.is_leaf
    assert cr.jit(cr.grad(lambda x: (x * x.detach()).sum()))(y).tolist() == [2, 4]


DEPTH = 10_000


def chain(x: Any, depth: int = DEPTH) -> Any:
    for _ in range(depth):
        x = x * 1.0
    return x


def test_a_deep_chain_neither_recurses_nor_keeps_memory() -> None:
    w = leaf(np.ones(100, np.float32))
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        cr.sum(chain(w, 2500)).backward()  # Python keeps some freed tuples for itself
        w.grad = None
        before, _ = tracemalloc.get_traced_memory()
        loss = cr.sum(chain(w))
        middle = weakref.ref(loss.node.inputs[0])
        loss.backward()
        assert middle() is None, "the tape is held although the gradient is taken"
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert w.grad.tolist() == [1.0] * 100
    assert peak - before > DEPTH * 400
    assert after - before < 50_000


def test_a_deep_chain_is_freed_without_backward_too() -> None:
    w = leaf(1.0)
    end = chain(chain(w))
    middle = weakref.ref(end.node.inputs[0])
    del end
    assert middle() is None


def test_a_deep_chain_in_every_transformation() -> None:
    assert cr.grad(chain)(cr.asarray(1.0)).item() == 1
    assert cr.jit(chain)(cr.asarray(2.0)).item() == 2


# ---- errors --------------------------------------------------------------------------


def test_versions_and_strangers() -> None:
    with pytest.raises(ArgumentError, match="standard"):
        cr.ones(1).__array_namespace__(api_version="1.0")
    with pytest.raises(ValueError, match="copy"):
        cr.ones(1).__array__(dtype=np.int8, copy=False)
    assert cr.ones(1).__array__(dtype=np.int8).dtype == np.int8
