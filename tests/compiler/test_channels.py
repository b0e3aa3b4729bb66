"""What is computed channel by channel: depthwise convolutions, and sums of channels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chainrule import functional
from chainrule.autodiff import vjp
from chainrule.compiler import plan
from chainrule.compiler.inside import parts
from chainrule.compiler.kernel import Fold, LoopKernel
from chainrule.compiler.passes.stretches import sum_in_stretches
from chainrule.compiler.plan import make_plan
from chainrule.compiler.program import Program
from chainrule.functional.convolution import conv
from chainrule.ir import Spec, trace, tree
from chainrule.ir.dtype import float32
from chainrule.ir.graph import Graph, evaluate
from chainrule.ops import add, exp, multiply, pad, reduce_max, reduce_sum
from tests.compiler.test_random_graphs import GUARD, run_guarded

DEPTHWISE = [
    # x, kernel, how: strides, dilations, multipliers, one to three axes of positions
    ((2, 9, 11, 5), (3, 3, 1, 5), {"padding": "same"}),
    ((3, 10, 7, 19), (3, 3, 1, 19), {"strides": 2, "padding": "same"}),
    ((2, 11, 12, 6), (2, 3, 1, 18), {"strides": (3, 2)}),
    ((2, 14, 13, 4), (3, 2, 1, 8), {"strides": (1, 2), "dilation": 2}),
    ((1, 12, 12, 3), (5, 5, 1, 3), {"padding": "same"}),
    ((4, 37, 7), (9, 1, 7), {"padding": "causal"}),
    ((2, 30, 33), (2, 1, 33), {"strides": 3}),
    ((2, 5, 6, 7, 2), (2, 3, 2, 1, 4), {"strides": (1, 2, 1), "padding": "same"}),
    ((40, 16, 16, 17), (3, 3, 1, 17), {"padding": "same"}),
]


def gradients(how: dict[str, Any]) -> Any:
    """A depthwise convolution with both of its gradients, and gradients of those."""

    def function(x: Any, kernel: Any) -> list[Any]:
        groups = x.spec.shape[-1]

        def apply(x: Any, kernel: Any) -> Any:
            return conv(x, kernel, groups=groups, **how)

        def first(x: Any, kernel: Any) -> list[Any]:
            y, pullback = vjp(apply, x, kernel)
            return [y, *pullback(functional.relu(y))]

        outputs, pullback = vjp(first, x, kernel)
        return [*outputs, *pullback([multiply(y, 0.5) for y in outputs])]

    return function


def drawn(shapes: Any) -> list[Any]:
    random = np.random.default_rng(0)
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


def check(graph: Graph, arrays: list[Any]) -> None:
    """Compiled for any number of threads as interpreted, within blocks of memory."""
    alone, *others = [
        run_guarded(Program(graph, threads=threads, guard=GUARD), arrays)
        for threads in (1, 2, 3)
    ]
    for mine, wanted in zip(alone, evaluate(graph, arrays), strict=True):
        scale = max(float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)), 1.0)
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-5 * scale)
    for other in others:
        for mine, first in zip(other, alone, strict=True):
            np.testing.assert_array_equal(mine, first)


@pytest.mark.parametrize(("x", "kernel", "how"), DEPTHWISE, ids=str)
def test_depthwise_convolutions_agree_with_the_reference(
    x: Any, kernel: Any, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    graph, _ = trace(gradients(how), [Spec(x, float32), Spec(kernel, float32)])
    check(graph, drawn([x, kernel]))


def by_hand(x: Any, kernel: Any, strides: Any, dilation: Any) -> Any:
    """A depthwise convolution of pictures in NumPy, tap by tap."""
    height, width, _, filters = kernel.shape
    (down, right), (lower, further) = strides, dilation
    rows = (x.shape[1] - (height - 1) * lower - 1) // down + 1
    columns = (x.shape[2] - (width - 1) * further - 1) // right + 1
    channels = np.repeat(x, filters // x.shape[-1], axis=-1).astype(np.float64)
    total = np.zeros((len(x), rows, columns, filters))
    for i in range(height):
        for j in range(width):
            top, left = i * lower, j * further
            part = channels[:, top : top + (rows - 1) * down + 1 : down]
            part = part[:, :, left : left + (columns - 1) * right + 1 : right]
            total += part * kernel[i, j, 0]
    return total


@pytest.mark.parametrize(
    ("strides", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((2, 1), (2, 3))]
)
@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_convolution_is_a_sum_over_taps(
    strides: Any, dilation: Any, multiplier: int
) -> None:
    x, kernel = drawn([(2, 13, 15, 4), (3, 2, 1, 4 * multiplier)])
    y = conv(x, kernel, strides=strides, dilation=dilation, groups=4)
    expected = by_hand(x, kernel, strides, dilation)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("strides", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((2, 1), (2, 3))]
)
@pytest.mark.parametrize("multiplier", [1, 3])
def test_gradients_of_a_depthwise_convolution_are_those_of_its_terms(
    strides: Any, dilation: Any, multiplier: int
) -> None:
    """It is linear in both arguments: `<g, conv(u, kernel)> = <dx, u>` for every u."""
    x, kernel, u, v = drawn([(2, 13, 15, 4), (3, 2, 1, 4 * multiplier)] * 2)
    how: Any = {"strides": strides, "dilation": dilation, "groups": 4}
    y, pullback = vjp(lambda x, kernel: conv(x, kernel, **how), x, kernel)
    g = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    dx, dkernel = (found.numpy() for found in pullback(g))
    wanted = np.vdot(g, by_hand(u, kernel, strides, dilation))
    np.testing.assert_allclose(np.vdot(dx, u), wanted, rtol=1e-4)
    wanted = np.vdot(g, by_hand(x, v, strides, dilation))
    np.testing.assert_allclose(np.vdot(dkernel, v), wanted, rtol=1e-4)


def loops(graph: Graph) -> list[LoopKernel]:
    kernels = [step.kernel for step in make_plan(graph).steps]
    return [kernel for kernel in kernels if isinstance(kernel, LoopKernel)]


def test_the_gradient_of_a_depthwise_kernel_reads_its_pictures_once() -> None:
    shapes = (32, 18, 18, 40), (3, 3, 1, 40), (32, 16, 16, 40)

    def of_kernel(x: Any, kernel: Any, g: Any) -> list[Any]:
        return [vjp(lambda w: conv(x, w, groups=40), kernel)[1](g)[0]]

    graph, _ = trace(of_kernel, [Spec(shape, float32) for shape in shapes])
    first, *_ = loops(graph)
    assert [axis.extent for axis in first.inside] == [3, 3]
    assert sum(isinstance(stage, Fold) for stage in first.stages) == 1


@pytest.mark.parametrize(
    ("shape", "axes", "extents"),
    [
        ((64, 32, 32, 16), (0, 1, 2), [(16, 32), (64, 2)]),
        ((64, 16, 32, 16), (0, 1, 2), [(16, 32), (64,)]),  # sample by sample
        ((8192, 24), (0,), [(512,), (16,)]),
        ((61, 97, 7), (0, 1), [(97,), (61,)]),
        ((4099, 5), (0,), [(4099,)]),  # a prime number of terms
        ((40, 10, 8), (0, 1), [(40, 10)]),  # few terms
        ((12, 64, 16), (0, 1), [(64,), (12,)]),
        ((5000, 9), (1,), [(9,)]),
        ((5000, 2), (0,), [(5000,)]),
    ],
)
def test_long_sums_are_cut_where_their_shape_says(
    shape: Any, axes: Any, extents: Any
) -> None:
    graph, _ = trace(lambda x: [reduce_sum(x, axes=axes)], [Spec(shape, float32)])
    folds = [
        stage
        for kernel in loops(graph)
        for stage in kernel.stages
        if isinstance(stage, Fold)
    ]
    assert [tuple(a.extent for a in fold.axes) for fold in folds] == extents
    (x,) = drawn([shape])
    check(graph, [x])
    np.testing.assert_allclose(
        evaluate(sum_in_stretches(graph), [x])[0],
        x.sum(axis=axes, dtype=np.float64),
        rtol=1e-4,
        atol=1e-3,
    )


@pytest.mark.parametrize("shape", [(40, 13, 9, 21), (6, 700, 48), (4100, 16)])
def test_folds_of_the_same_elements_share_a_loop(shape: Any) -> None:
    """The sums that go backwards through a batch normalization, and what needs them."""
    axes = tuple(range(len(shape) - 1))

    def function(x: Any, scale: Any) -> list[Any]:
        total = reduce_sum(x, axes=axes)
        weighed = reduce_sum(multiply(x, scale), axes=axes)
        largest = reduce_max(multiply(x, scale), axes=axes)
        centred = multiply(add(x, multiply(total, -0.001)), x)
        return [total, weighed, largest, reduce_sum(centred, axes=axes)]

    specs = [Spec(shape, float32), Spec(shape[-1:], float32)]
    graph, _ = trace(function, specs)
    check(graph, drawn([shape, shape[-1:]]))


def normalized(x: Any, scale: Any) -> Any:
    """x brought to mean 0 over all positions, weighed by channels, and cut at 0."""
    axes = tuple(range(len(x.spec.shape) - 1))
    return functional.relu((x - functional.mean(x, axis=axes)) * scale)


def blocks(x: Any, kernels: Any, scale: Any, g: Any) -> list[Any]:
    """A network of blocks that add to what they were given, and its gradients."""

    def network(x: Any, kernels: Any, scale: Any) -> Any:
        for first, second in zip(kernels[::2], kernels[1::2], strict=True):
            y = conv(normalized(x, scale), first, padding="same")
            x = functional.relu(x + conv(normalized(y, scale), second, padding="same"))
        return x

    y, pullback = vjp(network, x, kernels, scale)
    return [y, *tree.flatten(pullback(g))[0]]


@pytest.mark.parametrize("shape", [(3, 9, 7, 5), (6, 20, 24, 18)])
def test_blocks_of_a_network_agree_with_the_reference(
    shape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    channels = shape[-1]
    kernels = [(3, 3, channels, channels)] * 6

    def function(x: Any, scale: Any, g: Any, *kernels: Any) -> list[Any]:
        return blocks(x, kernels, scale, g)

    shapes = [shape, (channels,), shape, *kernels]
    graph, _ = trace(function, [Spec(each, float32) for each in shapes])
    x, scale, g, *weights = drawn(shapes)
    check(graph, [x, scale, g, *(0.1 * each for each in weights)])


def test_what_blocks_add_to_is_stored_once_and_read_by_every_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However deep the network, no kernel reads the pictures of all later blocks."""
    shape, depth = (8, 16, 16, 16), 10

    def function(x: Any, scale: Any, g: Any, *kernels: Any) -> list[Any]:
        return blocks(x, kernels, scale, g)

    shapes = [shape, (16,), shape, *[(3, 3, 16, 16)] * (2 * depth)]
    graph, _ = trace(function, [Spec(each, float32) for each in shapes])

    def most_read() -> int:
        steps, size = make_plan(graph).steps, math.prod(shape)
        return max(sum(v.spec.size >= size for v in step.values) for step in steps)

    assert most_read() < depth
    monkeypatch.setattr(plan, "junctions", lambda graph, roots: set())
    assert most_read() > depth


def test_a_sum_of_many_layers_is_not_added_up_again_in_each() -> None:
    """What every layer adds to is stored after a few, and read from there."""
    depth, shape = 12, (256, 64)

    def tower(x: Any, *kernels: Any) -> Any:
        for kernel in kernels:
            centred = x - functional.mean(x, axis=-1, keepdims=True)
            x = x + functional.tanh(centred) @ kernel
        return x

    specs = [Spec(shape, float32), *[Spec((64, 64), float32)] * depth]
    graph, _ = trace(lambda *inputs: [tower(*inputs)], specs)
    steps = make_plan(graph).steps
    size = math.prod(shape)
    assert max(sum(v.spec.size >= size for v in step.values) for step in steps) <= 7


@pytest.mark.parametrize(
    ("low", "high", "fill"),
    [((0, 1, 2, 0), (0, 2, 1, 0), 0.0), ((0, 0, 3, 0), (0, 0, 0, 0), 7.0)],
)
def test_frames_of_every_width_are_filled(low: Any, high: Any, fill: float) -> None:
    """Nothing outside of the picture is read, nor shows."""
    shape, none = (3, 5, 6, 19), (0, 0, 0, 0)

    def function(x: Any, weights: Any) -> list[Any]:
        picture = multiply(add(x, 1.0), weights)
        framed = pad(picture, fill, low=low, high=high, interior=none)
        again = pad(framed, 1.0, low=low, high=high, interior=none)
        return [multiply(framed, 2.0), reduce_sum(again, axes=(3,)), exp(picture)]

    graph, _ = trace(function, [Spec(shape, float32), Spec((6, 1), float32)])
    x, weights = drawn([shape, (6, 1)])
    check(graph, [x, np.full_like(weights, np.inf)])
    check(graph, [x, weights])


def test_roots_of_given_variances_are_taken_once_for_all_pixels() -> None:
    """A batch normalization that answers: its factors are made before the pictures."""
    shape = (8, 9, 10, 24)

    def function(x: Any, variance: Any) -> list[Any]:
        factor = functional.reshape(
            1.0 / functional.sqrt(variance + 1e-3), (1, 1, 1, 24)
        )
        return [functional.relu(x * factor - 0.5)]

    graph, _ = trace(function, [Spec(shape, float32), Spec((24,), float32)])
    kinds = [
        {part.kind for part in parts(stage.expression for stage in kernel.stages)}
        for kernel in loops(graph)
    ]
    assert ["sqrt" in each for each in kinds] == [True, False]
    x, variance = drawn([shape, (24,)])
    check(graph, [x, variance**2])
