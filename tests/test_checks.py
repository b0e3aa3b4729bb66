"""The checkers find planted faults; a checker that finds nothing is a defect itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chainrule.ir import PRIMITIVES, Primitive, Sample, Spec, per_input
from chainrule.ir.dtype import float32
from chainrule.ops import add, cos, exp, flip, multiply, sin
from tests.checks import (
    Backend,
    check_batching,
    check_gradient,
    check_layouts,
    check_spec,
    check_ways,
    function_of,
    same_bits,
)
from tests.tolerances import assert_close

ARRAY = np.linspace(-1.3, 1.7, 12).reshape(3, 4)
SAMPLE = Sample((ARRAY,))
Planter = Callable[..., Primitive]


@pytest.fixture
def planted() -> Iterator[Planter]:
    """Makes a copy of `sin` with other fields, for the length of a test."""
    names: list[str] = []

    def plant(**fields: Any) -> Primitive:
        names.append(f"planted {len(names)}")
        return replace(sin.primitive, name=names[-1], **fields)

    yield plant
    for name in names:
        del PRIMITIVES[name]


def test_a_right_record_passes(planted: Planter) -> None:
    primitive = planted()
    check_spec(primitive, SAMPLE)
    check_ways(primitive, SAMPLE)
    check_layouts(primitive, SAMPLE)
    check_gradient(primitive, SAMPLE)
    check_batching(function_of(primitive, {}), [ARRAY], [True], 3, "sin")


@pytest.mark.parametrize("factor", [1.001, 0.999])
def test_gradient_wrong_by_a_thousandth(planted: Planter, factor: float) -> None:
    rule = per_input(lambda g, y, x: multiply(g, multiply(cos(x), factor)))
    with pytest.raises(AssertionError, match="order 1"):
        check_gradient(planted(vjp=rule), SAMPLE)


def test_gradient_wrong_in_one_element(planted: Planter) -> None:
    wrong = np.ones_like(ARRAY)
    wrong[1, 2] = 1.001
    rule = per_input(lambda g, y, x: multiply(g, multiply(cos(x), wrong)))
    with pytest.raises(AssertionError, match="order 1"):
        check_gradient(planted(vjp=rule), SAMPLE)


def test_missing_gradient(planted: Planter) -> None:
    with pytest.raises(AssertionError, match="order 1"):
        check_gradient(planted(vjp=per_input(None)), SAMPLE)


def test_second_order_gradient_wrong(planted: Planter) -> None:
    # the right number, but a constant for the second derivative
    def frozen(g: Any, y: Any, x: Any) -> Any:
        return multiply(g, np.cos(x.data) if x.data is not None else cos(x))

    primitive = planted(vjp=per_input(frozen))
    check_gradient(primitive, SAMPLE, order=1)
    with pytest.raises(AssertionError, match="order 2"):
        check_gradient(primitive, SAMPLE, order=2)


def test_second_order_gradient_wrong_by_a_thousandth(planted: Planter) -> None:
    slope = planted(
        reference=np.cos,
        vjp=per_input(lambda g, y, x: multiply(g, -1.001 * np.sin(x.data))),
    )
    rule = per_input(lambda g, y, x: multiply(g, function_of(slope, {})(x)[0]))
    with pytest.raises(AssertionError, match="order 2"):
        check_gradient(planted(vjp=rule), SAMPLE)


@pytest.mark.parametrize(
    "spec",
    [lambda x: Spec(x.shape, float32), lambda x: Spec((*x.shape, 1), x.dtype)],
    ids=["dtype", "shape"],
)
def test_spec_wrong(planted: Planter, spec: Callable[[Spec], Spec]) -> None:
    with pytest.raises(AssertionError):
        check_spec(planted(spec=spec), SAMPLE)


def _batch_of(operation: Callable[..., Any]) -> Any:
    def batch(
        size: int, batched: Sequence[bool], inputs: Any, params: Any
    ) -> list[Any]:
        return [operation(inputs[0])]

    return batch


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: sin(multiply(x, 1.001)),
        lambda x: flip(sin(x), axes=(0,)),
        lambda x: sin(add(x, 1e-3)),
    ],
)
def test_batching_rule_wrong(planted: Planter, operation: Callable[..., Any]) -> None:
    function = function_of(planted(batch=_batch_of(operation)), {})
    with pytest.raises(AssertionError):
        check_batching(function, [ARRAY], [True], 3, "planted")


def test_backend_wrong_in_the_last_bit() -> None:
    def compile_wrong(graph: Any) -> Any:
        return lambda arrays: [np.nextafter(np.exp(arrays[0]), 9.0)]

    backend = Backend("wrong", compile_wrong, exact=True)
    with pytest.raises(AssertionError, match="exp by wrong"):
        check_ways(exp.primitive, SAMPLE, [backend])
    check_ways(exp.primitive, SAMPLE, [replace(backend, exact=False)])


def test_operation_that_writes_to_its_input(planted: Planter) -> None:
    def careless(x: Any) -> Any:
        x += 1
        return x

    with pytest.raises(ValueError, match="read-only"):
        check_layouts(planted(reference=careless), SAMPLE)


def test_operation_that_depends_on_memory_order(planted: Planter) -> None:
    primitive = planted(reference=lambda x: x.ravel(order="K").reshape(x.shape))
    with pytest.raises(AssertionError, match="Fortran"):
        check_layouts(primitive, SAMPLE)


def test_sign_of_zero_and_dtype_are_compared() -> None:
    with pytest.raises(AssertionError, match="sign"):
        same_bits(np.array([0.0]), np.array([-0.0]))
    with pytest.raises(AssertionError):
        same_bits(np.array([0.0]), np.array([0.0], np.float32))
    with pytest.raises(AssertionError):
        assert_close(np.array([1.0]), np.array([1.0 + 1e-9]))
    same_bits(np.array([np.nan]), np.array([np.nan]))
