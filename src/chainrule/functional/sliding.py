"""Windows that slide, weighted by a kernel: the product, and its two gradients.

With stride s, dilation d and w zeros before each axis, for one axis of positions:

- `correlate`: `y[o, f] = sum over k, c of x[o s + k d - w, c] * kernel[k, c, f]`
- `spread`: `x[p, c] = sum over k, f of g[(p + w - k d) / s, f] * kernel[k, c, f]`,
  where `(p + w - k d) / s` is whole
- `kernel_of`: `kernel[k, c, f] = sum over o of x[o s + k d - w, c] * g[o, f]`

Each is linear in both of its arguments, and the gradients of each are the other two.
All are matrix products over windows that are read in place: `spread` is one product
for each remainder of p by s, so that nothing is multiplied by zeros between strides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chainrule import ops
from chainrule.functional.promotion import Tensor
from chainrule.ir.trace import constant

Lengths = tuple[int, ...]
Widths = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Slide:
    """How windows slide over the positions of x.

    Attributes:
        strides: how far windows are apart, for each axis.
        dilations: how far the taps of a window are apart.
        widths: zeros before and after each axis; where negative, positions that no
            window reaches.
        groups: channels and filters are split into so many parts.
    """

    strides: Lengths
    dilations: Lengths
    widths: Widths
    groups: int = 1


def sliding_windows(
    x: Tensor, sizes: Lengths, strides: Lengths, dilations: Lengths
) -> Tensor:
    """The windows over the positions of x: `(samples, *windows, *sizes, channels)`.

    Windows that do not fit whole are left out, so that an axis has
    `(length - dilation * (size - 1) - 1) // stride + 1` of them.

    Example:
        >>> from chainrule.ir.dtype import int64
        >>> x = ops.iota(shape=(4,), axis=0, dtype=int64)
        >>> sliding_windows(ops.reshape(x, shape=(1, 4, 1)), (2,), (1,), (1,)).shape
        (1, 3, 2, 1)
    """
    rank = len(sizes)
    taps = list(zip(sizes, strides, dilations, strict=True))
    for axis, (size, stride, dilation) in enumerate(taps, 1):
        reach = (size - 1) * dilation + 1
        count = max((x.spec.shape[axis] - reach) // stride + 1, 0)
        x = _windows_along(x, axis, (count, size, stride, dilation))
    channels = rank + 1
    order = (*range(channels), *range(channels + 1, channels + 1 + rank), channels)
    return ops.permute_dims(x, axes=order)


def _windows_along(x: Tensor, axis: int, of: tuple[int, int, int, int]) -> Tensor:
    """Windows along one axis, their elements along a new last axis."""
    count, size, stride, dilation = of
    shape = x.spec.shape
    if size == stride and dilation == 1:
        # windows side by side are an axis cut in two
        x = cut(x, axis, 0, count * size)
        split = (*shape[:axis], count, size, *shape[axis + 1 :])
        x = ops.reshape(x, shape=split)
        rest = (*range(axis + 1), *range(axis + 2, len(split)), axis + 1)
        return ops.permute_dims(x, axes=rest)
    x = ops.broadcast_to(ops.reshape(x, shape=(*shape, 1)), shape=(*shape, size))
    return ops.to_windows(x, axis=axis, count=count, stride=stride, dilation=dilation)


def cut(x: Tensor, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
    """Every `step`-th position of an axis, from `start` to before `stop`."""
    shape = x.spec.shape
    if (start, stop, step) == (0, shape[axis], 1):
        return x
    first, last, steps = [0] * len(shape), list(shape), [1] * len(shape)
    first[axis], last[axis], steps[axis] = start, stop, step
    return ops.slice_(x, start=tuple(first), stop=tuple(last), step=tuple(steps))


def padded(x: Tensor, widths: Sequence[tuple[int, int]], fill: float = 0.0) -> Tensor:
    """x with `fill` around its positions; where a width is negative, cut."""
    for axis, (before, after) in enumerate(widths, 1):
        x = cut(x, axis, max(-before, 0), x.spec.shape[axis] - max(-after, 0))
    if not any(max(*pair, 0) for pair in widths):
        return x
    # channels and the last positions are one axis: zeros of many lie side by side
    *shape, length, channels = x.spec.shape
    low, high = ([max(pair[side], 0) for pair in widths] for side in (0, 1))
    around = ops.pad(
        ops.reshape(x, shape=(*shape, length * channels)),
        fill,
        low=(0, *low[:-1], low[-1] * channels),
        high=(0, *high[:-1], high[-1] * channels),
        interior=(0,) * (len(low) + 1),
    )
    whole = (*around.spec.shape[:-1], low[-1] + length + high[-1], channels)
    return ops.reshape(around, shape=whole)


# ---- products over windows -----------------------------------------------------------


def correlate(x: Tensor, kernel: Tensor, slide: Slide) -> Tensor:
    """Windows of x `(samples, *positions, channels)`, weighted and summed.

    The kernel is `(*taps, channels / groups, filters)`.
    """
    sizes = kernel.spec.shape[:-2]
    x = padded(x, slide.widths)
    windows = sliding_windows(x, sizes, slide.strides, slide.dilations)
    return _weighted(windows, kernel, slide.groups)


def _weighted(windows: Tensor, kernel: Tensor, groups: int) -> Tensor:
    """Windows contracted with their kernel, group by group."""
    rank = kernel.spec.ndim - 2
    *sizes, channels, filters = kernel.spec.shape
    summed = tuple(range(rank + 1, 2 * rank + 1))
    taps = tuple(range(rank))
    if groups == 1:
        sums = ((*summed, 2 * rank + 1), (*taps, rank))
        return ops.contract(windows, kernel, sums=sums, batch=((), ()))
    shape = windows.spec.shape
    parts = ops.reshape(windows, shape=(*shape[:-1], groups, channels))
    each = (*sizes, channels, groups, filters // groups)
    weights = ops.reshape(kernel, shape=each)
    sums = ((*summed, 2 * rank + 2), (*taps, rank))
    batch = ((2 * rank + 1,), (rank + 1,))
    result = ops.contract(parts, weights, sums=sums, batch=batch)
    order = (*range(1, rank + 2), 0, rank + 2)
    outside = (*shape[: rank + 1], filters)
    return ops.reshape(ops.permute_dims(result, axes=order), shape=outside)


def kernel_of(x: Tensor, g: Tensor, slide: Slide, sizes: Lengths) -> Tensor:
    """What `kernel` contributed: windows of x times g, summed over the windows."""
    rank, groups = len(sizes), slide.groups
    x = padded(x, slide.widths)
    windows = sliding_windows(x, sizes, slide.strides, slide.dilations)
    positions = tuple(range(rank + 1))
    sums = (positions, positions)
    if groups == 1:
        return ops.contract(windows, g, sums=sums, batch=((), ()))
    shape, filters = windows.spec.shape, g.spec.shape[-1]
    channels = shape[-1] // groups
    parts = ops.reshape(windows, shape=(*shape[:-1], groups, channels))
    each = ops.reshape(g, shape=(*g.spec.shape[:-1], groups, filters // groups))
    batch = ((2 * rank + 1,), (rank + 1,))
    result = ops.contract(parts, each, sums=sums, batch=batch)
    order = (*range(1, rank + 2), 0, rank + 2)
    moved = ops.permute_dims(result, axes=order)
    return ops.reshape(moved, shape=(*sizes, channels, filters))


def spread(g: Tensor, kernel: Tensor, slide: Slide, lengths: Lengths) -> Tensor:
    """Every g spread over its window, overlaps summed, at positions of `lengths`."""
    rank = len(lengths)
    flipped = ops.flip(_turned(kernel, slide.groups), axes=tuple(range(rank)))
    phases = [
        list(_phases(axis, length, (kernel, slide)))
        for axis, length in enumerate(lengths)
    ]
    widths = [
        tuple(max(p.widths[side] for p in each if p.taps[1]) for side in (0, 1))
        for each in phases
    ]
    # zeros for all phases at once: each reads what it needs
    around = padded(g, [(before, after) for before, after in widths])
    parts = [
        _phase(around, flipped, slide, list(zip(each, widths, strict=True)))
        for each in itertools.product(*phases)
    ]
    return _interleaved(parts, slide.strides, lengths)


def _turned(kernel: Tensor, groups: int) -> Tensor:
    """The kernel with channels and filters of each group exchanged."""
    *sizes, channels, filters = kernel.spec.shape
    rank, each = len(sizes), filters // groups
    if groups == 1:
        return ops.permute_dims(kernel, axes=(*range(rank), rank + 1, rank))
    split = ops.reshape(kernel, shape=(*sizes, channels, groups, each))
    moved = ops.permute_dims(split, axes=(*range(rank), rank + 2, rank + 1, rank))
    return ops.reshape(moved, shape=(*sizes, each, groups * channels))


@dataclass(frozen=True)
class _Phase:
    """The positions of an axis that have one remainder by the stride.

    Attributes:
        taps: the first tap that reaches them, the number of taps, their distance.
        dilation: how far these taps are apart in g.
        widths: zeros before and after g.
    """

    taps: tuple[int, int, int]
    dilation: int
    widths: tuple[int, int]


def _phases(axis: int, length: int, of: tuple[Tensor, Slide]) -> Iterator[_Phase]:
    """The phases of the positions p = i, i + s, i + 2 s, ..., for each i below s.

    Tap k reaches p from g at `(p + w - k d) / s`, where that is whole: with p = i + s j
    at `j + (i + w - k d) / s`, which are j plus whole numbers one `dilation` apart.
    """
    kernel, slide = of
    size, (before, after) = kernel.spec.shape[axis], slide.widths[axis]
    stride, dilation = slide.strides[axis], slide.dilations[axis]
    count = (before + length + after - (size - 1) * dilation - 1) // stride + 1
    positions = -(-length // stride)
    for first in range(stride):
        shift = first + before
        taps = [k for k in range(size) if (shift - k * dilation) % stride == 0]
        places = [(shift - k * dilation) // stride for k in taps]
        if not taps:
            yield _Phase((0, 0, 1), 1, (0, 0))
            continue
        apart = stride // math.gcd(stride, dilation)
        # windows of g begin at the place of the last tap, and end at that of the first
        widths = -places[-1], places[0] + positions - count
        yield _Phase((taps[0], len(taps), apart), dilation * apart // stride, widths)


def _phase(
    around: Tensor,
    flipped: Tensor,
    slide: Slide,
    phases: Sequence[tuple[_Phase, tuple[int, ...]]],
) -> Tensor | None:
    """The positions of one phase on each axis; None where no tap reaches them.

    For each axis the phase, and how many zeros are around g.
    """
    rank = len(phases)
    if any(phase.taps[1] == 0 for phase, _ in phases):
        return None
    for axis, (phase, (before, after)) in enumerate(phases):
        first, count, apart = phase.taps
        last = flipped.spec.shape[axis] - first
        start = last - 1 - (count - 1) * apart
        flipped = cut(flipped, axis, start, last, apart)
        stop = around.spec.shape[axis + 1] - (after - phase.widths[1])
        around = cut(around, axis + 1, before - phase.widths[0], stop)
    sizes = flipped.spec.shape[:rank]
    dilations = tuple(phase.dilation for phase, _ in phases)
    windows = sliding_windows(around, sizes, (1,) * rank, dilations)
    return _weighted(windows, flipped, slide.groups)


def _interleaved(
    parts: Sequence[Tensor | None], strides: Lengths, lengths: Lengths
) -> Tensor:
    """Phases, in row-major order, side by side along each axis."""
    present = next(part for part in parts if part is not None)
    none = ops.broadcast_to(
        ops.cast(constant(0.0), dtype=present.spec.dtype), shape=present.spec.shape
    )
    merged = [none if part is None else part for part in parts]
    for axis in reversed(range(len(strides))):
        stride = strides[axis]
        groups = [merged[i : i + stride] for i in range(0, len(merged), stride)]
        merged = [_woven(group, axis + 1, lengths[axis]) for group in groups]
    return merged[0]


def _woven(parts: Sequence[Tensor], axis: int, length: int) -> Tensor:
    """Elements of the parts in turns along an axis, cut to a length."""
    if len(parts) == 1:
        return parts[0]
    shape = parts[0].spec.shape
    one = (*shape[: axis + 1], 1, *shape[axis + 1 :])
    side_by_side = ops.concatenate(
        *(ops.reshape(part, shape=one) for part in parts), axis=axis + 1
    )
    joined = (*shape[:axis], shape[axis] * len(parts), *shape[axis + 1 :])
    return cut(ops.reshape(side_by_side, shape=joined), axis, 0, length)
