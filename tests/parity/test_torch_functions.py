"""Functions that PyTorch has too: the same values and the same gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from tests.tolerances import PARITY, assert_close

torch = pytest.importorskip("torch")

Array = np.ndarray[Any, Any]
Row = tuple[str, Callable[..., Any], Callable[..., Any], tuple[Array, ...]]

# Kinks and ties included: 0, equal neighbours, whole numbers.
POINTS = np.array(
    [[-3.0, -1.0, -0.5, 0.0], [0.0, 0.5, 1.0, 3.0], [7.5, 1.0, -0.2, 2.5]]
)
INSIDE = np.linspace(-0.9, 0.9, 12).reshape(3, 4)
ABOVE = np.linspace(0.1, 4.0, 12).reshape(3, 4)
OTHER = np.array([[1.0, -1.0, 2.0, 0.0], [3.0, 0.5, -2.0, 1.5], [0.2, 1.0, 4.0, -0.7]])


def elementwise() -> Iterator[Row]:
    """Functions of the same name in both."""
    names = """
        abs ceil cos cosh erf exp expm1 floor negative positive round sigmoid sign sin
        sinh square tanh trunc
    """
    for name in names.split():
        yield name, getattr(cr, name), getattr(torch, name), (POINTS,)
    for name in ("tan", "asin", "acos", "atan", "asinh", "atanh"):
        yield name, getattr(cr, name), getattr(torch, name), (INSIDE,)
    for name in ("log", "log1p", "log2", "log10", "sqrt", "reciprocal"):
        yield name, getattr(cr, name), getattr(torch, name), (ABOVE,)
    yield "acosh", cr.acosh, torch.acosh, (ABOVE + 1,)
    yield "clip", lambda x: cr.clip(x, -1, 1), lambda x: torch.clip(x, -1, 1), (POINTS,)


def pairs() -> Iterator[Row]:
    """Functions of two arguments."""
    names = (
        "add subtract multiply divide maximum minimum hypot logaddexp atan2 copysign"
    )
    for name in names.split():
        theirs = getattr(torch, name)
        away = (
            OTHER + 0.05 if name in ("divide", "atan2", "copysign", "hypot") else OTHER
        )
        yield name, getattr(cr, name), theirs, (POINTS, away)
    yield "pow", cr.pow, torch.pow, (ABOVE, OTHER)
    yield "remainder", cr.remainder, torch.remainder, (POINTS, ABOVE + 0.03)
    yield (
        "where",
        lambda a, b: cr.where(a > 0, a, b),
        lambda a, b: torch.where(a > 0, a, b),
        (POINTS, OTHER),
    )


def neural() -> Iterator[Row]:
    """Activations."""
    theirs = torch.nn.functional
    same = "relu relu6 elu selu celu gelu silu mish softplus softsign"
    for name in same.split():
        yield name, getattr(cr, name), getattr(theirs, name), (POINTS,)
    yield "log_sigmoid", cr.log_sigmoid, theirs.logsigmoid, (POINTS,)
    yield "tanh_shrink", cr.tanh_shrink, theirs.tanhshrink, (POINTS,)
    shrinks = {"hardshrink": cr.hard_shrink, "softshrink": cr.soft_shrink}
    for name, function in shrinks.items():
        yield name, function, getattr(theirs, name), (POINTS + 0.01,)
    yield "hardswish", cr.hard_silu, theirs.hardswish, (POINTS + 0.01,)
    # PyTorch's own divides by a float32 number even in float64
    yield "hard_sigmoid", cr.hard_sigmoid, lambda x: theirs.relu6(x + 3) / 6, (POINTS,)
    yield "hardtanh", cr.hard_tanh, theirs.hardtanh, (POINTS,)
    yield "leaky_relu", lambda x: cr.leaky_relu(x, 0.01), theirs.leaky_relu, (POINTS,)
    yield (
        "gelu tanh",
        lambda x: cr.gelu(x, approximate=True),
        lambda x: theirs.gelu(x, approximate="tanh"),
        (POINTS,),
    )
    yield "glu", cr.glu, theirs.glu, (POINTS,)
    for axis in (0, 1):
        for name in ("softmax", "log_softmax", "logsumexp"):
            yield (
                name,
                lambda x, n=name, a=axis: getattr(cr, n)(x, axis=a),
                (lambda x, n=name, a=axis: getattr(torch, n)(x, dim=a)),
                (POINTS,),
            )


def reductions() -> Iterator[Row]:
    """Functions over axes, and linear algebra."""
    for name in ("sum", "mean", "prod", "amax", "amin"):
        ours = getattr(cr, name.removeprefix("a"))
        yield (
            name,
            lambda x, f=ours: f(x, 1),
            lambda x, n=name: getattr(torch, n)(x, 1),
            (POINTS,),
        )
    for correction in (0, 1):
        for name in ("var", "std"):
            yield (
                name,
                lambda x, n=name, c=correction: getattr(cr, n)(x, 0, correction=c),
                lambda x, n=name, c=correction: getattr(torch, n)(x, 0, correction=c),
                (POINTS,),
            )
    yield (
        "cumulative_sum",
        lambda x: cr.cumulative_sum(x, axis=1),
        lambda x: torch.cumsum(x, 1),
        (POINTS,),
    )
    yield (
        "cumulative_prod",
        lambda x: cr.cumulative_prod(x, axis=1),
        lambda x: torch.cumprod(x, 1),
        (POINTS,),
    )
    yield "sort", cr.sort, lambda x: torch.sort(x, stable=True)[0], (POINTS,)
    yield "vector_norm", cr.vector_norm, torch.linalg.vector_norm, (POINTS,)
    yield "norm of 0", cr.vector_norm, torch.linalg.vector_norm, (0 * POINTS,)
    yield "matrix_norm", cr.matrix_norm, torch.linalg.matrix_norm, (POINTS,)
    yield "matmul", lambda a, b: a @ b.mT, lambda a, b: a @ b.mT, (POINTS, OTHER)
    yield (
        "einsum",
        lambda a, b: cr.einsum("ij,kj->ik", a, b),
        lambda a, b: torch.einsum("ij,kj->ik", a, b),
        (POINTS, OTHER),
    )


ROWS = [*elementwise(), *pairs(), *neural(), *reductions()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "ours", "theirs", "arrays"), ROWS, ids=[row[0] for row in ROWS]
)
def test_values_and_gradients_are_those_of_torch(
    name: str, ours: Any, theirs: Any, arrays: tuple[Array, ...], dtype: str
) -> None:
    left = [cr.asarray(a.astype(dtype), requires_grad=True) for a in arrays]
    right = [torch.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    result, expected = ours(*left), theirs(*right)
    assert_close(result, expected.detach().numpy(), PARITY, name)
    weights = np.cos(np.arange(result.size)).reshape(result.shape).astype(dtype)
    result.backward(weights)
    expected.backward(torch.tensor(weights))
    for x, y in zip(left, right, strict=True):
        assert_close(x.grad, y.grad.numpy(), PARITY, f"gradient of {name}")


def test_memory_is_shared_with_torch() -> None:
    x = cr.asarray([[1.0, 2.0]])
    assert torch.from_dlpack(x).tolist() == [[1.0, 2.0]]
    assert cr.from_dlpack(torch.ones(3)).tolist() == [1, 1, 1]
