"""Windows weighted channel by channel: the product, and its two gradients.

As `functional/sliding.py`, with a kernel `(*taps, 1, channels * m)` that has m weights
for each channel and tap, `w[k, c * m + j]`:

- `y[o, c * m + j] = sum over k of x[o s + k d - w, c] * kernel[k, c * m + j]`
- `x[p, c] = sum over k, j of g[(p + w - k d) / s, c * m + j] * kernel[k, c * m + j]`
- `kernel[k, c * m + j] = sum over o of x[o s + k d - w, c] * g[o, c * m + j]`

None of them mixes channels, so there is no matrix product in them: each is a loop over
channels side by side, with the taps written out within.
"""

from __future__ import annotations

from dataclasses import dataclass

from chainrule import ops
from chainrule.autodiff.checkpoint import custom_vjp
from chainrule.functional.promotion import Tensor
from chainrule.functional.sliding import (
    Lengths,
    Slide,
    cut,
    padded,
    sliding_windows,
)


def depthwise(x: Tensor, kernel: Tensor, slide: Slide) -> Tensor:
    """Windows of x `(samples, *positions, channels)`, each channel by its own weights.

    Example:
        >>> from chainrule.functional import asarray
        >>> x, kernel = asarray([[[0.0], [1.0], [2.0]]]), asarray([[[1.0]], [[10.0]]])
        >>> depthwise(x, kernel, Slide((1,), (1,), ((0, 0),))).tolist()
        [[[10.0], [21.0]]]
    """
    lengths, sizes = x.spec.shape[1:-1], kernel.spec.shape[:-2]

    def plain(x: Tensor, kernel: Tensor) -> Tensor:
        return _correlated(x, kernel, slide)

    def backward(given: tuple[Tensor, Tensor], g: Tensor) -> tuple[Tensor, Tensor]:
        x, kernel = given
        channels = x.spec.shape[-1]
        of_x = _spread(g, kernel, slide, (*lengths, channels))
        return of_x, _kernel_of(x, g, slide, sizes)

    function = custom_vjp(plain)
    function.defvjp(lambda x, kernel: (plain(x, kernel), (x, kernel)), backward)
    result: Tensor = function(x, kernel)
    return result


def _windows(x: Tensor, slide: Slide, sizes: Lengths, filters: int) -> Tensor:
    """Windows of x, with each channel as often as it has filters."""
    x = padded(x, slide.widths)
    *lead, channels = x.spec.shape
    if filters != channels:
        each = ops.reshape(x, shape=(*lead, channels, 1))
        many = ops.broadcast_to(each, shape=(*lead, channels, filters // channels))
        x = ops.reshape(many, shape=(*lead, filters))
    return sliding_windows(x, sizes, slide.strides, slide.dilations)


def _correlated(x: Tensor, kernel: Tensor, slide: Slide) -> Tensor:
    *sizes, _, filters = kernel.spec.shape
    rank = len(sizes)
    windows = _windows(x, slide, tuple(sizes), filters)
    weights = ops.reshape(kernel, shape=(*sizes, filters))
    taps = tuple(range(rank + 1, 2 * rank + 1))
    return ops.reduce_sum(ops.multiply(windows, weights), axes=taps)


def _kernel_of(x: Tensor, g: Tensor, slide: Slide, sizes: Lengths) -> Tensor:
    """What the kernel contributed: windows of x times g, summed over the windows."""
    rank, filters = len(sizes), g.spec.shape[-1]
    windows = _windows(x, slide, sizes, filters)
    places = g.spec.shape[:-1]
    each = ops.reshape(g, shape=(*places, *(1,) * rank, filters))
    positions = tuple(range(rank + 1))
    total = ops.reduce_sum(ops.multiply(windows, each), axes=positions)
    return ops.reshape(total, shape=(*sizes, 1, filters))


@dataclass(frozen=True)
class _Spread:
    """How one axis of g is spread over the positions p of x.

    With `p + w = i s + r` for r below the stride s, and tap `k = t s + r`, p is reached
    from g at `i - t`: the axis is one of i and one of r, the taps are one of t and one
    of r. Without a stride, taps may be apart: p is reached from `i - t d`.

    Attributes:
        taps: how many t there are; where the stride does not divide the number of
            taps, the last of them have weight 0 for some r.
        stride: how many r there are.
        apart: how far the t are apart in g.
        widths: zeros before and after g.
        start: the position of x = 0 among those of i and r.
    """

    taps: int
    stride: int
    apart: int
    widths: tuple[int, int]
    start: int


def _axis_of(sliding: tuple[int, int, int], sizes: tuple[int, int, int]) -> _Spread:
    """How an axis of g is spread.

    `sliding` are taps, stride and dilation; `sizes` the length of g, that of x, and the
    zeros before x.
    """
    (size, stride, dilation), (count, length, before) = sliding, sizes
    taps, apart = -(-size // stride), dilation if stride == 1 else 1
    first, last = before // stride, (before + length - 1) // stride
    reach = (taps - 1) * apart
    low = reach - first
    high = last - first + 1 + reach - count - low
    return _Spread(taps, stride, apart, (low, high), before - first * stride)


def _spread(g: Tensor, kernel: Tensor, slide: Slide, shape: Lengths) -> Tensor:
    """Every g spread over its window, overlaps summed: `(samples, *shape)`."""
    *lengths, channels = shape
    kernel, slide = _close(kernel, slide)
    sizes, befores = kernel.spec.shape[:-2], [before for before, _ in slide.widths]
    sliding = zip(sizes, slide.strides, slide.dilations, strict=True)
    lying = zip(g.spec.shape[1:-1], lengths, befores, strict=True)
    axes = [_axis_of(*both) for both in zip(sliding, lying, strict=True)]
    around = padded(g, [axis.widths for axis in axes])
    taps, apart = tuple(a.taps for a in axes), tuple(a.apart for a in axes)
    windows = sliding_windows(around, taps, (1,) * len(axes), apart)
    total = _summed(windows, _phases(kernel, axes), channels)
    for number, (axis, length) in enumerate(zip(axes, lengths, strict=True), 1):
        total = cut(total, number, axis.start, axis.start + length)
    return total


def _close(kernel: Tensor, slide: Slide) -> tuple[Tensor, Slide]:
    """The same with taps side by side on axes that have a stride."""
    between, dilations = [], []
    for stride, dilation in zip(slide.strides, slide.dilations, strict=True):
        between.append(dilation - 1 if stride > 1 else 0)
        dilations.append(1 if stride > 1 else dilation)
    if any(between):
        none = (0,) * kernel.spec.ndim
        interior = (*between, 0, 0)
        kernel = ops.pad(kernel, 0.0, low=none, high=none, interior=interior)
    return kernel, Slide(slide.strides, tuple(dilations), slide.widths)


def _phases(kernel: Tensor, axes: list[_Spread]) -> Tensor:
    """Weights `(1, stride, 1, stride, ..., taps, taps, ..., filters)`, taps turned."""
    *sizes, _, filters = kernel.spec.shape
    rank = len(axes)
    longer = [a.taps * a.stride - size for a, size in zip(axes, sizes, strict=True)]
    none = (0,) * (rank + 2)
    if any(longer):
        high = (*longer, 0, 0)
        kernel = ops.pad(kernel, 0.0, low=none, high=high, interior=none)
    split = [length for axis in axes for length in (axis.taps, axis.stride)]
    weights = ops.reshape(kernel, shape=(*split, filters))
    turned = ops.flip(weights, axes=tuple(range(0, 2 * rank, 2)))
    phases, taps = range(1, 2 * rank, 2), range(0, 2 * rank, 2)
    order = (*phases, *taps, 2 * rank)
    moved = ops.permute_dims(turned, axes=order)
    beside = [length for axis in axes for length in (1, axis.stride)]
    each = [axis.taps for axis in axes]
    return ops.reshape(moved, shape=(*beside, *each, filters))


def _summed(windows: Tensor, weights: Tensor, channels: int) -> Tensor:
    """Windows weighted phase by phase, phases side by side on their axes."""
    rank = (windows.spec.ndim - 2) // 2
    samples, *rest, filters = windows.spec.shape
    counts, taps = rest[:rank], rest[rank:]
    many = (channels, filters // channels)
    lead = [length for count in counts for length in (count, 1)]
    each = ops.reshape(windows, shape=(samples, *lead, *taps, *many))
    shape = (*weights.spec.shape[:-1], *many)
    product = ops.multiply(each, ops.reshape(weights, shape=shape))
    first = 2 * rank + 1
    summed = (*range(first, first + rank), first + rank + 1)
    total = ops.reduce_sum(product, axes=summed)
    strides = weights.spec.shape[1 : 2 * rank : 2]
    whole = [count * stride for count, stride in zip(counts, strides, strict=True)]
    return ops.reshape(total, shape=(samples, *whole, channels))
