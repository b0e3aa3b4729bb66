"""Vectors some times as long as the machine's, where functions take long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import functional
from chainrule.compiler import nest, plan, product, program
from chainrule.compiler.engine import host_target
from chainrule.compiler.kernel import LoopKernel
from chainrule.compiler.program import Program
from chainrule.ir import Graph, Spec, trace
from chainrule.ir.dtype import DType, bfloat16, float32, float64
from chainrule.ir.graph import evaluate
from tests.compiler.test_random_graphs import GUARD, run_guarded
from tests.tolerances import assert_close

# around one, two and four vectors, and rows of which a part is left over
LENGTHS = [1, 15, 16, 17, 33, 40, 64, 65, 100, 128, 130, 200, 1100]


def _rows(x: Any) -> list[Any]:
    powers = functional.exp(x - functional.max(x, axis=-1, keepdims=True))
    return [powers, functional.sum(powers, axis=-1), functional.softmax(x)]


def _elements(x: Any) -> list[Any]:
    return [functional.tanh(x) * 2.0, functional.exp(-x) + functional.erf(x)]


def _positions(x: Any) -> list[Any]:
    """The position of the largest exponential, and chosen elements."""
    places = functional.astype(functional.abs(x) * 3.0, "int32") % x.shape[-1]
    chosen = functional.take_along_axis(functional.exp(x), places, axis=-1)
    return [functional.argmax(functional.exp(x), axis=-1), chosen]


def _product(x: Any) -> list[Any]:
    """A function behind each element of a product, with as many columns as rows."""
    return [functional.gelu(functional.matrix_transpose(x) @ x / 8.0)]


CASES = [_rows, _elements, _positions, _product]


def _traced(function: Callable[..., Any], shape: Any, dtype: DType) -> Any:
    x = np.random.default_rng(0).normal(size=shape).astype(dtype.numpy)
    return trace(function, [Spec(shape, dtype)])[0], [x]


def _programs(graph: Graph) -> list[Program]:
    return [Program(graph, threads=threads, guard=GUARD) for threads in (1, 2, 3)]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("function", CASES)
def test_they_agree_with_the_reference_on_any_number_of_threads(
    function: Any, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    rows = 7 if length < 1000 else 3
    graph, arrays = _traced(function, (rows, length), float32)
    alone, *others = [run_guarded(p, arrays) for p in _programs(graph)]
    for mine, wanted in zip(alone, evaluate(graph, arrays), strict=True):
        assert_close(mine, wanted)
    for other in others:
        for mine, first in zip(other, alone, strict=True):
            np.testing.assert_array_equal(mine, first)


@pytest.mark.parametrize("dtype", [float64, bfloat16], ids=str)
@pytest.mark.parametrize("function", [_rows, _elements, _product])
def test_other_dtypes(function: Any, dtype: DType) -> None:
    graph, arrays = _traced(function, (5, 100), dtype)
    for one in _programs(graph):
        results = run_guarded(one, arrays)
        for mine, wanted in zip(results, evaluate(graph, arrays), strict=True):
            assert_close(mine, wanted)


@pytest.mark.parametrize("length", [40, 65, 200, 1100])
@pytest.mark.parametrize("function", [_rows, _elements, _product])
def test_how_many_changes_no_bit(
    function: Any, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, arrays = _traced(function, (3, length), float32)
    wide = Program(graph)(arrays)
    monkeypatch.setattr(program, "_loaded", {})
    monkeypatch.setattr(program, "object_key", lambda text, _: f"one abreast {text}")
    for module in (nest, product):
        monkeypatch.setattr(module, "abreast", lambda expressions, target: 1)
    for mine, first in zip(wide, Program(graph)(arrays), strict=True):
        np.testing.assert_array_equal(mine, first)


def test_only_what_takes_long_is_wider() -> None:
    lanes = host_target().lanes(4)
    for function, wider in ((_elements, True), (lambda x: [x + 1.0], False)):
        (step,) = plan.make_plan(_traced(function, (8, 1024), float32)[0]).steps
        assert isinstance(step.kernel, LoopKernel)
        assert (nest.lanes_for(step.kernel, host_target()) > lanes) is wider
