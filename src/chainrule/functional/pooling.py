"""Pooling over any number of axes, channels last: windows that slide, folded.

Inputs are `(samples, *positions, channels)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.autodiff.checkpoint import custom_vjp
from chainrule.errors import ShapeError
from chainrule.functional.convolution import (
    Padding,
    as_lengths,
    check_reach,
    padding_widths,
)
from chainrule.functional.phases import (
    numbers_of_taps,
    over_positions,
    phases_of,
    side_by_side,
)
from chainrule.functional.promotion import ArrayLike, Tensor, promoted_floats
from chainrule.functional.sliding import Lengths, Slide, padded, sliding_windows
from chainrule.ir.trace import constant

OUTSIDE = -1  # the number of the largest element in a window that is not there


def max_pool(
    x: ArrayLike,
    /,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
) -> Tensor:
    """The largest element of each window, channel by channel.

    The gradient goes to the first of the largest, row by row.

    Args:
        x: `(samples, *positions, channels)`.
        pool_size: lengths of a window.
        strides: how far windows are apart; `pool_size` when None.
        padding: see `padding_widths`; what is added is never the largest.

    Example:
        >>> max_pool([[[1.0], [3.0], [2.0], [0.0]]], 2).numpy().ravel().tolist()
        [3.0, 2.0]
    """
    (values,) = promoted_floats(x)
    sizes, steps, widths = _pooled(values, pool_size, strides, padding)
    values = padded(values, widths, -math.inf)
    rank = len(sizes)
    taps = tuple(range(rank + 1, 2 * rank + 1))

    def plain(x: Tensor) -> Tensor:
        return ops.reduce_max(_windows(x, sizes, steps), axes=taps)

    def backward(x: Tensor, g: Tensor) -> tuple[Tensor]:
        first = _first_largest(_windows(x, sizes, steps), taps)
        return (_given_back(g, first, _slide(sizes, steps), sizes, x.spec.shape),)

    function = custom_vjp(plain)
    function.defvjp(lambda x: (plain(x), x), backward)
    result: Tensor = function(values)
    return result


def _windows(x: Tensor, sizes: Lengths, steps: Lengths) -> Tensor:
    return sliding_windows(x, sizes, steps, (1,) * len(sizes))


def _slide(sizes: Lengths, steps: Lengths) -> Slide:
    rank = len(sizes)
    return Slide(steps, (1,) * rank, ((0, 0),) * rank)


def _first_largest(windows: Tensor, taps: Lengths) -> Tensor:
    """The row-major number, within its window, of the first of the largest elements."""
    shape = windows.spec.shape
    sizes = [shape[axis] for axis in taps]
    count = math.prod(sizes)
    kept = tuple(1 if axis in taps else n for axis, n in enumerate(shape))
    largest = ops.reshape(ops.reduce_max(windows, axes=taps), shape=kept)
    number = constant(np.arange(count, dtype=np.int32).reshape(*sizes, 1))
    beyond = constant(np.int32(count))
    found = ops.where(ops.equal(windows, largest), number, beyond)
    return ops.reduce_min(found, axes=taps)


def _given_back(
    g: Tensor, first: Tensor, slide: Slide, sizes: Lengths, shape: Lengths
) -> Tensor:
    """For each position, the sum of g of the windows that it is the largest of."""
    lengths = shape[1:-1]
    phases = phases_of(sizes, slide, g.spec.shape[1:-1], lengths)
    each = over_positions(g, phases)
    largest = over_positions(first, phases, OUTSIDE)
    number = constant(numbers_of_taps(sizes, phases))
    chosen = ops.where(ops.equal(largest, number), each, 0.0)
    return side_by_side(_summed(chosen, len(sizes)), phases, lengths)


def _summed(terms: Tensor, rank: int) -> Tensor:
    """The sums over the taps of phases `(samples, *(i, r), *t, channels)`."""
    taps = tuple(range(2 * rank + 1, 3 * rank + 1))
    shape = terms.spec.shape
    if all(shape[axis] == 1 for axis in taps):
        return ops.reshape(terms, shape=(*shape[: 2 * rank + 1], shape[-1]))
    return ops.reduce_sum(terms, axes=taps)


def avg_pool(
    x: ArrayLike,
    /,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
) -> Tensor:
    """The mean of each window, channel by channel; what padding adds does not count.

    Args:
        x: `(samples, *positions, channels)`.
        pool_size: lengths of a window.
        strides: how far windows are apart; `pool_size` when None.
        padding: see `padding_widths`.

    Example:
        >>> avg_pool([[[1.0], [3.0], [2.0], [0.0]]], 2).numpy().ravel().tolist()
        [2.0, 1.0]
    """
    (values,) = promoted_floats(x)
    sizes, steps, widths = _pooled(values, pool_size, strides, padding)
    total = _sums(padded(values, widths), sizes, steps)
    if not any(map(any, widths)):
        return ops.divide(total, float(math.prod(sizes)))
    shape = (1, *values.spec.shape[1:-1], 1)
    one = ops.cast(constant(1.0), dtype=values.spec.dtype)
    there = padded(ops.broadcast_to(one, shape=shape), widths)
    taps = tuple(range(len(sizes) + 1, 2 * len(sizes) + 1))
    counted = ops.reduce_sum(_windows(there, sizes, steps), axes=taps)
    return ops.divide(total, counted)


def _sums(x: Tensor, sizes: Lengths, steps: Lengths) -> Tensor:
    """The sum of each window; going backwards, of each position's windows."""
    rank = len(sizes)
    taps = tuple(range(rank + 1, 2 * rank + 1))
    lengths = x.spec.shape[1:-1]

    def plain(x: Tensor) -> Tensor:
        return ops.reduce_sum(_windows(x, sizes, steps), axes=taps)

    def backward(_: None, g: Tensor) -> tuple[Tensor]:
        phases = phases_of(sizes, _slide(sizes, steps), g.spec.shape[1:-1], lengths)
        there = constant(numbers_of_taps(sizes, phases) >= 0)
        terms = ops.where(there, over_positions(g, phases), 0.0)
        return (side_by_side(_summed(terms, rank), phases, lengths),)

    function = custom_vjp(plain)
    function.defvjp(lambda x: (plain(x), None), backward)
    result: Tensor = function(x)
    return result


def _pooled(
    x: Tensor, pool_size: Any, strides: Any, padding: Padding
) -> tuple[Lengths, Lengths, tuple[tuple[int, int], ...]]:
    """Sizes, strides and padding of windows over x."""
    rank = x.spec.ndim - 2
    if rank < 1:
        raise ShapeError(
            "pooling needs samples, positions and channels",
            where="pool",
            got=x.spec.shape,
            expected="(samples, *positions, channels)",
        )
    sizes = as_lengths("pool_size", pool_size, rank)
    steps = sizes if strides is None else as_lengths("strides", strides, rank)
    widths = padding_widths(padding, x.spec.shape[1:-1], sizes, steps)
    ends = zip(x.spec.shape[1:-1], widths, strict=True)
    check_reach("pool", tuple(n + a + b for n, (a, b) in ends), sizes)
    return sizes, steps, widths
