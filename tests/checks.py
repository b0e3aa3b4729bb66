"""Checks of one operation at one sample; each raises AssertionError when it fails.

They are generated from the records (tests/ops) and are themselves tested with planted
faults (tests/test_checks.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff import vjp, vmap
from chainrule.compiler import compile_graph
from chainrule.compiler.interpret import InterpretedProgram
from chainrule.ir import Graph, Primitive, Sample, Spec, bind, constant, trace, verify
from chainrule.ir.dtype import as_dtype, widen
from chainrule.ops.logic import convert
from tests.tolerances import DIFFERENCES, assert_close, tolerance_of

Array = np.ndarray[Any, Any]
Function = Callable[..., Sequence[Any]]


@dataclass(frozen=True)
class Backend:
    """A way to run a graph.

    Attributes:
        name: what failures call it.
        compile: makes, of a graph, a function from arrays to arrays.
        exact: whether it must give the bits that the eager interpreter gives.
    """

    name: str
    compile: Callable[[Graph], Callable[[Sequence[Array]], Sequence[Array]]]
    exact: bool


BACKENDS = [Backend("interpreter", InterpretedProgram, exact=True)]
NATIVE = Backend("native", lambda graph: compile_graph(graph, "native"), exact=False)


# ---- helpers -------------------------------------------------------------------------


def spec_of(array: Array) -> Spec:
    """The spec of an array."""
    return Spec(array.shape, as_dtype(array.dtype))


def function_of(primitive: Primitive, params: dict[str, Any]) -> Function:
    """The primitive as a function from values to a list of values."""

    def apply(*values: Any) -> list[Any]:
        result = bind(primitive, *values, **params)
        return list(result) if primitive.multiple else [result]

    return apply


def run_eagerly(function: Function, arrays: Sequence[Array]) -> list[Array]:
    """The arrays that `function` makes of `arrays`."""
    return [value.data for value in function(*map(constant, arrays))]


def variants(primitive: Primitive, sample: Sample) -> Iterator[Sample]:
    """The sample in each dtype that the record allows."""
    if not sample.arrays:
        for dtype in primitive.dtypes:
            yield Sample((), {**sample.params, "dtype": dtype}, sample.smooth)
        return
    if "graph" in sample.params:  # a traced graph has one dtype
        yield sample
        return
    floats = [a for a in sample.arrays if a.dtype == np.float64]
    main = (floats or sample.arrays)[0].dtype
    for dtype in primitive.dtypes:
        if primitive.name == "bitcast" and dtype.bits != sample.params["dtype"].bits:
            continue
        arrays = tuple(
            convert(a, dtype) if a.dtype == main else a for a in sample.arrays
        )
        yield Sample(arrays, sample.params, sample.smooth and dtype.is_float)


# ---- values --------------------------------------------------------------------------


def check_spec(primitive: Primitive, sample: Sample) -> None:
    """The spec rule says what the reference gives."""
    specs = primitive.spec(*map(spec_of, sample.arrays), **sample.params)
    with np.errstate(all="ignore"):
        results = primitive.compute(sample.arrays, sample.params)
    many = results if primitive.multiple else (results,)
    actual = [spec_of(np.asarray(result)) for result in many]
    expected = list(specs) if isinstance(specs, tuple) else [specs]
    assert actual == expected, (primitive.name, sample.params, actual, expected)
    shapes = [shape for spec in expected for shape in (spec.shape,)]
    assert all(isinstance(n, int) for shape in shapes for n in shape)


def check_ways(
    primitive: Primitive, sample: Sample, backends: Sequence[Backend] | None = None
) -> None:
    """Computed at once, and traced and run by each backend: the same."""
    function = function_of(primitive, sample.params)
    eager = run_eagerly(function, sample.arrays)
    graph, captured = trace(function, list(map(spec_of, sample.arrays)))
    assert not captured
    verify(graph)
    for backend in BACKENDS if backends is None else backends:
        results = backend.compile(graph)(list(sample.arrays))
        for actual, expected in zip(results, eager, strict=True):
            where = f"{primitive.name} by {backend.name}"
            same_bits(actual, expected, where) if backend.exact else assert_close(
                actual, expected, where=where
            )


def same_bits(actual: Array, expected: Array, where: str = "") -> None:
    """Two arrays are equal to the bit, the sign of zero too; any NaN equals another."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, (where, actual.dtype, expected.dtype)
    actual, expected = widen(actual), widen(expected)
    np.testing.assert_array_equal(actual, expected, err_msg=where, strict=True)
    if expected.dtype.kind == "f":
        known = ~np.isnan(expected)
        signs = np.signbit(actual)[known], np.signbit(expected)[known]
        np.testing.assert_array_equal(*signs, err_msg=f"{where}: sign of zero")


def layouts(array: Array) -> Iterator[tuple[str, Array]]:
    """The same array as memory of other orders and strides."""
    yield "Fortran order", np.array(array, order="F")
    spread = np.zeros([2 * n for n in array.shape], array.dtype)
    every_second: Any = (*[slice(None, None, 2)] * array.ndim, ...)
    strided = spread[every_second]
    strided[...] = array
    yield "every second element", strided
    turned = np.flip(array).copy()
    yield "negative strides", np.flip(turned)
    shifted = np.zeros(array.nbytes + 1, np.uint8)[1:]
    unaligned = shifted[: array.nbytes].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    yield "unaligned", unaligned


def check_layouts(primitive: Primitive, sample: Sample) -> None:
    """Memory order does not change the result, and inputs are never written to."""
    function = function_of(primitive, sample.params)
    frozen = [array.copy() for array in sample.arrays]
    for array in frozen:
        array.flags.writeable = False
    expected = run_eagerly(function, frozen)
    for kinds in zip(*map(layouts, sample.arrays), strict=True):
        names, arrays = zip(*kinds, strict=True)
        for actual, right in zip(run_eagerly(function, arrays), expected, strict=True):
            assert_close(actual, right, where=f"{primitive.name}, {names[0]}")
        for array, original in zip(arrays, sample.arrays, strict=True):
            same_bits(array, original, f"{primitive.name} wrote to its input")
    for result in expected:
        shares = any(np.shares_memory(result, array) for array in frozen)
        assert not (shares and result.flags.writeable), "writable view of an input"


# ---- gradients -----------------------------------------------------------------------


def check_gradient(
    primitive: Primitive, sample: Sample, order: int = 2, seed: int = 0
) -> None:
    """Gradients of a primitive against central differences, to second order."""
    function, arrays = float_function(primitive, sample)
    check_gradients(function, arrays, order, seed, primitive.name)


def float_function(
    primitive: Primitive, sample: Sample
) -> tuple[Function, list[Array]]:
    """The primitive as a function of its floating-point inputs, and these inputs."""
    apply = function_of(primitive, sample.params)
    fixed = [None if a.dtype.kind == "f" else constant(a) for a in sample.arrays]

    def function(*values: Any) -> list[Any]:
        given = iter(values)
        inputs = [next(given) if x is None else x for x in fixed]
        return [y for y in apply(*inputs) if y.spec.dtype.is_float]

    return function, [a for a in sample.arrays if a.dtype.kind == "f"]


def check_gradients(
    function: Function,
    arrays: Sequence[Array],
    order: int = 2,
    seed: int = 0,
    where: str = "",
) -> None:
    """Gradients of a function of float64 arrays against central differences.

    The second order is the first order of the pullback, as a function of the point and
    of the cotangent, and so on.
    """
    random = np.random.default_rng(seed)
    for level in range(1, order + 1):
        cotangents = [
            np.asarray(random.normal(size=value.shape))
            for value in run_eagerly(function, arrays)
        ]
        check_pullback(function, arrays, cotangents, random, f"{where}, order {level}")
        function = pullback_of(function, len(arrays))
        arrays = [*arrays, *cotangents]


def pullback_of(function: Function, count: int) -> Function:
    """The cotangents of `count` arguments as a function of them and of cotangents."""

    def pulled(*values: Any) -> list[Any]:
        _, pullback = vjp(function, *values[:count])
        return list(pullback(list(values[count:])))

    return pulled


def check_pullback(
    function: Function,
    arrays: Sequence[Array],
    cotangents: Sequence[Array],
    random: np.random.Generator,
    where: str,
) -> None:
    """`<u, df/dx v>` by the pullback of u and by differences along random v."""
    pulled = run_eagerly(pullback_of(function, len(arrays)), [*arrays, *cotangents])
    for index, (array, gradient) in enumerate(zip(arrays, pulled, strict=True)):
        assert gradient.shape == array.shape, (where, index)
        assert gradient.dtype == array.dtype, (where, index)
        direction = random.normal(size=array.shape)
        step = 1e-5
        ahead, behind = (
            run_eagerly(
                function,
                [*arrays[:index], array + side * direction, *arrays[index + 1 :]],
            )
            for side in (step, -step)
        )
        terms = [
            u * (a - b) / (2 * step)
            for u, a, b in zip(cotangents, ahead, behind, strict=True)
        ]
        expected = sum(float(np.sum(term)) for term in terms)
        actual = float(np.sum(gradient * direction))
        size = sum(float(np.sum(np.abs(term))) for term in terms)
        allowed = tolerance_of(np.float64, DIFFERENCES)
        limit = allowed.absolute + allowed.relative * size
        assert abs(actual - expected) <= limit, (
            f"{where}, input {index}: {actual} by the rule, {expected} by differences"
        )


# ---- batching ------------------------------------------------------------------------


def stacked(array: Array, size: int) -> Array:
    """`size` examples like `array`: its elements in other places."""
    examples = [
        np.roll(array.reshape(-1), 2 * i).reshape(array.shape) for i in range(size)
    ]
    return np.stack(examples) if size else np.zeros((0, *array.shape), array.dtype)


def check_batching(
    function: Function,
    arrays: Sequence[Array],
    batched: Sequence[bool],
    size: int,
    where: str,
) -> None:
    """`vmap` of a function against a loop over the examples."""
    batches = [
        stacked(a, size) if b else a for a, b in zip(arrays, batched, strict=True)
    ]
    axes = tuple(0 if b else None for b in batched)
    mapped = vmap(function, in_axes=axes)
    actual = run_eagerly(mapped, batches)
    if size == 0:
        single = run_eagerly(function, arrays)
        expected = [np.zeros((0, *y.shape), y.dtype) for y in single]
    else:
        rows = [
            run_eagerly(
                function,
                [x[i] if b else x for x, b in zip(batches, batched, strict=True)],
            )
            for i in range(size)
        ]
        expected = [np.stack(column) for column in zip(*rows, strict=True)]
    for index, (found, right) in enumerate(zip(actual, expected, strict=True)):
        assert_close(found, right, where=f"{where}, batched {batched}, output {index}")


def combinations(count: int) -> Iterator[tuple[bool, ...]]:
    """Every choice of batched inputs but that of none."""
    for chosen in itertools.product((True, False), repeat=count):
        if any(chosen):
            yield chosen
