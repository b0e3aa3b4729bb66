"""The contract of an operation, for every record and each of its samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import vmap
from chainrule.ir import PRIMITIVES, Primitive, Sample, Trait
from chainrule.ir.dtype import as_dtype
from chainrule.ops import Operation
from tests.checks import (
    NATIVE,
    check_batching,
    check_gradient,
    check_gradients,
    check_layouts,
    check_spec,
    check_ways,
    combinations,
    float_function,
    function_of,
    pullback_of,
    run_eagerly,
    stacked,
    variants,
)

NAMES = sorted(PRIMITIVES)
SIZES = (0, 1, 3)


def _samples(name: str) -> Iterator[tuple[Primitive, Sample]]:
    primitive = PRIMITIVES[name]
    for sample in primitive.samples():
        yield primitive, sample


def _smooth(name: str) -> list[tuple[Primitive, Sample]]:
    return [(p, s) for p, s in _samples(name) if s.smooth]


DIFFERENTIABLE = [
    name for name in NAMES if PRIMITIVES[name].vjp is not None and _smooth(name)
]


@pytest.mark.parametrize("name", NAMES)
def test_spec_agrees_with_the_reference_in_every_dtype(name: str) -> None:
    seen = set()
    for primitive, sample in _samples(name):
        for variant in variants(primitive, sample):
            check_spec(primitive, variant)
            seen |= {as_dtype(array.dtype).name for array in variant.arrays}
    if "graph" not in sample.params and sample.arrays:
        assert seen >= {str(dtype) for dtype in PRIMITIVES[name].dtypes}


@pytest.mark.parametrize("name", NAMES)
def test_eager_and_traced_agree_in_every_dtype(name: str) -> None:
    for primitive, sample in _samples(name):
        for variant in variants(primitive, sample):
            check_ways(primitive, variant)


@pytest.mark.parametrize("name", NAMES)
def test_native_code_agrees(name: str) -> None:
    # in float32, and in the dtype of the sample where it has no floats
    for primitive, sample in _samples(name):
        for variant in variants(primitive, sample):
            kinds = {array.dtype for array in variant.arrays}
            given = {array.dtype for array in sample.arrays}
            if np.dtype(np.float32) in kinds or kinds == given:
                check_ways(primitive, variant, [NATIVE])


@pytest.mark.parametrize("name", NAMES)
def test_layout_of_memory_does_not_matter(name: str) -> None:
    for primitive, sample in _samples(name):
        check_layouts(primitive, sample)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_agrees_with_differences_to_second_order(name: str) -> None:
    for primitive, sample in _smooth(name):
        check_gradient(primitive, sample, order=2)


@pytest.mark.parametrize("name", NAMES)
def test_batching_agrees_with_a_loop(name: str) -> None:
    for primitive, sample in _samples(name):
        function = function_of(primitive, sample.params)
        for batched in combinations(len(sample.arrays)):
            for size in SIZES:
                check_batching(function, sample.arrays, batched, size, name)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_of_one_example_can_be_batched(name: str) -> None:
    for primitive, sample in _smooth(name):
        function, arrays = float_function(primitive, sample)
        pulled = pullback_of(function, len(arrays))
        results = run_eagerly(function, arrays)
        for batched in combinations(len(arrays) + len(results)):
            check_batching(pulled, [*arrays, *results], batched, 3, name)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_of_a_batch_agrees_with_differences(name: str) -> None:
    for primitive, sample in _smooth(name):
        function, arrays = float_function(primitive, sample)
        for batched in combinations(len(arrays)):
            axes = tuple(0 if b else None for b in batched)
            batches = [
                stacked(a, 2) if b else a for a, b in zip(arrays, batched, strict=True)
            ]
            check_gradients(vmap(function, in_axes=axes), batches, order=1, where=name)


# ---- completeness --------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_record_is_complete(name: str) -> None:
    primitive = PRIMITIVES[name]
    samples = list(primitive.samples())
    assert len(samples) >= 3
    assert (primitive.vjp is None) == bool(primitive.not_differentiable)
    has_inputs = any(sample.arrays for sample in samples)
    by_trait = Trait.ELEMENTWISE in primitive.traits or not has_inputs
    assert (primitive.batch is not None) != by_trait
    assert primitive.dtypes
    if primitive.vjp is not None and name != "stop_gradient":
        assert name in DIFFERENTIABLE or not _has_slope(primitive)


def _has_slope(primitive: Primitive) -> bool:
    # of a step function no sample need be smooth: its gradient is nothing anywhere
    return primitive.name != "floor_divide"


@pytest.mark.parametrize("name", NAMES)
def test_some_sample_has_no_elements(name: str) -> None:
    arrays = [
        result
        for primitive, sample in _samples(name)
        for result in run_eagerly(function_of(primitive, sample.params), sample.arrays)
    ]
    assert any(array.size == 0 for array in arrays)
    assert any(array.size > 1 for array in arrays)


def test_every_operation_is_exported_and_documented() -> None:
    operations = {
        value.primitive.name: value
        for value in vars(ops).values()
        if isinstance(value, Operation)
    }
    assert set(operations) == set(PRIMITIVES) - {"call", "scan"}
    # one that is NumPy's speaks of arguments that the operation does not have
    undocumented = [
        name
        for name, op in operations.items()
        if not op.__doc__ or "out=" in op.__doc__
    ]
    assert undocumented == []
    assert set(ops.__all__) >= {
        n for n, v in vars(ops).items() if v in operations.values()
    }


def test_commutative_operations_commute() -> None:
    for name in NAMES:
        if Trait.COMMUTATIVE in PRIMITIVES[name].traits:
            for primitive, sample in _samples(name):
                function = function_of(primitive, sample.params)
                (forth,) = run_eagerly(function, sample.arrays)
                (back,) = run_eagerly(function, sample.arrays[::-1])
                np.testing.assert_array_equal(forth, back)
