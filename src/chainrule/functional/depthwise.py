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

from chainrule import ops
from chainrule.autodiff.checkpoint import custom_vjp
from chainrule.functional.phases import (
    Phases,
    over_positions,
    phases_of,
    side_by_side,
)
from chainrule.functional.promotion import Tensor
from chainrule.functional.sliding import Lengths, Slide, padded, sliding_windows


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


def _spread(g: Tensor, kernel: Tensor, slide: Slide, shape: Lengths) -> Tensor:
    """Every g spread over its window, overlaps summed: `(samples, *shape)`."""
    *lengths, channels = shape
    kernel, slide = _close(kernel, slide)
    sizes, filters = kernel.spec.shape[:-2], kernel.spec.shape[-1]
    phases = phases_of(sizes, slide, g.spec.shape[1:-1], tuple(lengths))
    each = over_positions(g, phases)
    many = (channels, filters // channels)
    each = ops.reshape(each, shape=(*each.spec.shape[:-1], *many))
    weights = _by_phase(kernel, phases)
    weights = ops.reshape(weights, shape=(*weights.spec.shape[:-1], *many))
    rank = len(sizes)
    taps = (*range(2 * rank + 1, 3 * rank + 1), 3 * rank + 2)
    total = ops.reduce_sum(ops.multiply(each, weights), axes=taps)
    return side_by_side(total, phases, lengths)


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


def _by_phase(kernel: Tensor, phases: list[Phases]) -> Tensor:
    """Weights `(*(1, r), *t, filters)`, the t turned; 0 where there is no such tap."""
    *sizes, _, filters = kernel.spec.shape
    rank = len(phases)
    longer = [p.taps * p.stride - size for p, size in zip(phases, sizes, strict=True)]
    none = (0,) * (rank + 2)
    if any(longer):
        high = (*longer, 0, 0)
        kernel = ops.pad(kernel, 0.0, low=none, high=high, interior=none)
    split = [length for phase in phases for length in (phase.taps, phase.stride)]
    weights = ops.reshape(kernel, shape=(*split, filters))
    turned = ops.flip(weights, axes=tuple(range(0, 2 * rank, 2)))
    strides, taps = range(1, 2 * rank, 2), range(0, 2 * rank, 2)
    moved = ops.permute_dims(turned, axes=(*strides, *taps, 2 * rank))
    beside = [length for phase in phases for length in (1, phase.stride)]
    each = [phase.taps for phase in phases]
    return ops.reshape(moved, shape=(*beside, *each, filters))
