"""Parts that are computed in their places within a whole, which no kernel makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import functional, ops
from chainrule.autodiff import vjp
from chainrule.compiler import plan
from chainrule.compiler.kernel import ContractKernel, Plan
from chainrule.compiler.program import Program
from chainrule.functional.convolution import conv
from chainrule.functional.sliding import padded
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32
from chainrule.ir.graph import Graph, evaluate
from tests.compiler.test_random_graphs import GUARD, run_guarded

PLAIN: dict[str, Any] = {"sums": ((1,), (0,)), "batch": ((), ())}


def _product(a: Any, b: Any) -> Any:
    return ops.contract(a, b, **PLAIN)


def _blocks(x: Any, first: Any, second: Any) -> list[Any]:
    """Two convolutions, the first inside the padding of the second, and gradients."""

    def net(x: Any, first: Any, second: Any) -> Any:
        inner = functional.relu(conv(x, first, padding="same"))
        return conv(inner, second, strides=2, padding="same") + inner[:, ::2, ::2, :1]

    y, pullback = vjp(net, x, first, second)
    return [y, *pullback(ops.multiply(y, y))]


def _side_by_side(x: Any, a: Any, b: Any) -> list[Any]:
    """Products side by side along columns, with an input between them."""
    whole = ops.concatenate(_product(x, a), x, ops.exp(_product(x, b)), axis=1)
    return [_product(whole, ops.permute_dims(whole, axes=(1, 0)))]


def _below(x: Any, a: Any, b: Any) -> list[Any]:
    """Products one below the other, read by what also reads one of them."""
    first, second = _product(x, a), _product(x, b)
    whole = ops.concatenate(first, second, first, axis=0)
    return [whole, ops.reduce_sum(ops.multiply(first, second), axes=(0,))]


def _nested(x: Any, a: Any, b: Any) -> list[Any]:
    """A whole within a whole, whose other part is computed from the inner one."""
    inner = ops.concatenate(x, functional.relu(_product(x, a)), axis=1)
    other = _product(inner, ops.concatenate(b, a, axis=0))
    return [ops.multiply(ops.concatenate(inner, other, axis=1), 2.0), other]


def _groups(x: Any, kernel: Any) -> list[Any]:
    """Groups of a convolution, side by side in the result, and its gradients."""
    y, pullback = vjp(lambda x, k: conv(x, k, groups=2, padding="same"), x, kernel)
    return [y, *pullback(ops.exp(y))]


def _alone(x: Any, kernel: Any) -> list[Any]:
    """A value padded by another than zero that is an output, and one cut out of it."""
    around = padded(conv(x, kernel), ((1, 2), (3, 0)), -1.5)
    return [around, around[:, 1:-1, 1:] * 2.0]


CASES: dict[str, tuple[Callable[..., list[Any]], list[tuple[int, ...]]]] = {
    "convolutions": (_blocks, [(3, 9, 7, 5), (3, 3, 5, 18), (3, 2, 18, 17)]),
    "many samples": (_blocks, [(33, 5, 6, 2), (3, 3, 2, 16), (2, 3, 16, 3)]),
    "along columns": (_side_by_side, [(35, 19), (19, 17), (19, 33)]),
    "along rows": (_below, [(13, 9), (9, 21), (9, 21)]),
    "one within another": (_nested, [(37, 18), (18, 17), (17, 17)]),
    "groups": (_groups, [(2, 7, 6, 34), (3, 3, 17, 38)]),
    "a padded output": (_alone, [(3, 8, 7, 3), (2, 2, 3, 19)]),
}


def _traced(name: str) -> tuple[Graph, list[Any]]:
    function, shapes = CASES[name]
    random = np.random.default_rng(0)
    arrays = [random.normal(size=s).astype(np.float32) / 3 for s in shapes]
    graph, _ = trace(function, [Spec(s, float32) for s in shapes])
    return graph, arrays


def _whole(made: Plan) -> set[int]:
    """The identities of values that others lie within."""
    return {id(value) for value in made.over.values()}


@pytest.mark.parametrize("name", CASES)
def test_parts_agree_with_the_reference_on_any_number_of_threads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph, arrays = _traced(name)
    assert _whole(plan.make_plan(graph))
    alone, *others = [
        run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for threads in (1, 2, 3)
    ]
    for mine, wanted in zip(alone, evaluate(graph, arrays), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=2e-5, atol=2e-5)
    for other in others:
        for mine, first in zip(other, alone, strict=True):
            np.testing.assert_array_equal(mine, first)


def _steps(function: Any, *shapes: tuple[int, ...]) -> list[Any]:
    graph, _ = trace(function, [Spec(s, float32) for s in shapes])
    return [step.kernel for step in plan.make_plan(graph).steps]


def test_a_convolution_writes_inside_the_padding_of_the_next() -> None:
    def net(x: Any, a: Any, b: Any) -> list[Any]:
        inner = functional.relu(conv(x, a, padding="valid"))
        return [conv(inner, b, padding="same")]

    kernels = _steps(net, (2, 8, 8, 4), (1, 1, 4, 16), (3, 3, 16, 16))
    first, *fills, last = kernels
    assert isinstance(first, ContractKernel)
    assert isinstance(last, ContractKernel)
    # above, below, left and right; nothing is copied
    assert [kernel.name for kernel in fills] == ["broadcast_to"] * 4


def test_phases_of_a_strided_gradient_are_written_in_turns() -> None:
    def gradient(x: Any, kernel: Any, g: Any) -> list[Any]:
        _, pullback = vjp(lambda x: conv(x, kernel, strides=2), x)
        return list(pullback(g))

    kernels = _steps(gradient, (2, 8, 8, 16), (2, 2, 16, 8), (2, 4, 4, 8))
    names = [kernel.name for kernel in kernels]
    assert names.count("contract") == 4
    assert set(names) == {"contract", "flip"}


def test_what_is_given_is_not_copied_into_a_whole_of_its_own() -> None:
    def net(x: Any, kernel: Any) -> list[Any]:
        return [conv(x, kernel, padding="same")]

    kernels = _steps(net, (2, 8, 8, 16), (3, 3, 16, 16))
    assert [kernel.name for kernel in kernels] == ["pad", "contract"]
