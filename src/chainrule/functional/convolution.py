"""Convolution over any number of axes, channels last.

Inputs are `(samples, *positions, channels)`: windows slide over the positions and are
contracted with a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.autodiff.checkpoint import custom_vjp
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.depthwise import depthwise
from chainrule.functional.promotion import ArrayLike, Tensor, promoted_floats
from chainrule.functional.sliding import (
    Lengths,
    Slide,
    correlate,
    kernel_of,
    spread,
)

Padding = str | Sequence[Sequence[int]]


def as_lengths(name: str, value: Any, rank: int, least: int = 1) -> Lengths:
    """One length for every axis: `value` itself, or `value` on each.

    Raises:
        ArgumentError: when it is neither, or a length is below `least`.

    Example:
        >>> as_lengths("strides", 2, rank=2)
        (2, 2)
    """
    many = isinstance(value, Sequence) and not isinstance(value, str)
    found = tuple(value) if many else (value,) * rank
    whole = all(hasattr(n, "__index__") and not isinstance(n, bool) for n in found)
    if len(found) != rank or not whole or any(int(n) < least for n in found):
        raise ArgumentError(
            f"{name} must be an integer, or one for every axis",
            where=name,
            got=f"{name}={value!r}",
            expected=f"{least} or more, once or {rank} times",
        )
    return tuple(int(n) for n in found)


def padding_widths(
    padding: Padding, lengths: Lengths, sizes: Lengths, strides: Lengths
) -> tuple[tuple[int, int], ...]:
    """How many zeros to put before and after each axis of positions.

    `valid` puts none; `same` as many as give `ceil(length / stride)` windows, the odd
    one after; `causal` all before, so that no window looks ahead; a pair for each axis
    says it outright.

    Args:
        padding: one of these.
        lengths: of the axes.
        sizes: how many positions a window reaches over.
        strides: the steps of the windows.

    Raises:
        ArgumentError: for anything else.

    Example:
        >>> padding_widths("same", (5,), (3,), (2,))
        ((1, 1),)
        >>> padding_widths("causal", (5,), (3,), (1,))
        ((2, 0),)
    """
    if isinstance(padding, str):
        kind = padding.lower()
        if kind == "valid":
            return ((0, 0),) * len(lengths)
        if kind == "causal":
            return tuple((size - 1, 0) for size in sizes)
        if kind == "same":
            return tuple(map(_same_width, lengths, sizes, strides))
    else:
        pairs = tuple(tuple(int(n) for n in pair) for pair in padding)
        fits = all(len(p) == 2 and min(p) >= 0 for p in pairs)
        if len(pairs) == len(lengths) and fits:
            return tuple((a, b) for a, b in pairs)
    raise ArgumentError(
        "unknown padding",
        where="padding",
        got=repr(padding),
        expected="'valid', 'same', 'causal', or a pair (before, after) for every axis",
    )


def _same_width(length: int, size: int, stride: int) -> tuple[int, int]:
    count = -(-length // stride)
    total = max((count - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


# ---- convolution ---------------------------------------------------------------------


def conv(
    x: ArrayLike,
    kernel: ArrayLike,
    /,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Windows of x weighted by a kernel and summed (a cross-correlation).

    `y[n, o, f] = sum over k, c of x[n, o * stride + k * dilation, c] * kernel[k, c, f]`
    for any number of axes of positions o and of taps k.

    Args:
        x: `(samples, *positions, channels)`.
        kernel: `(*taps, channels / groups, filters)`.
        strides: how far windows are apart, on every axis or on each.
        padding: see `padding_widths`.
        dilation: how far the taps of a window are apart.
        groups: channels and filters are split into so many parts, each with its own
            kernel; as many as channels make a depthwise convolution.

    Raises:
        ShapeError: when shapes do not fit together.

    Example:
        >>> x = [[[1.0], [2.0], [3.0], [4.0]]]
        >>> conv(x, [[[1.0]], [[10.0]]]).numpy().ravel().tolist()
        [21.0, 32.0, 43.0]
    """
    values, weights = promoted_floats(x, kernel)
    rank = values.spec.ndim - 2
    _check_kernel(values.spec.shape, weights.spec.shape, groups)
    sizes = weights.spec.shape[:rank]
    steps = as_lengths("strides", strides, rank)
    apart = as_lengths("dilation", dilation, rank)
    reach = tuple((k - 1) * d + 1 for k, d in zip(sizes, apart, strict=True))
    widths = padding_widths(padding, values.spec.shape[1:-1], reach, steps)
    ends = zip(values.spec.shape[1:-1], widths, strict=True)
    check_reach("conv", tuple(n + a + b for n, (a, b) in ends), reach)
    if groups > 1 and weights.spec.shape[-2] == 1:
        return depthwise(values, weights, Slide(steps, apart, widths, groups))
    return _correlation(values, weights, Slide(steps, apart, widths, groups))


def check_reach(where: str, positions: Lengths, reach: Lengths) -> None:
    """Refuse windows that no place holds whole.

    Raises:
        ShapeError: when a window reaches over more positions than there are.
    """
    if any(n < r for n, r in zip(positions, reach, strict=True)):
        raise ShapeError(
            "the window is longer than the input",
            where=where,
            got=f"{positions} positions, windows over {reach}",
            fix="padding='same', or a smaller window",
        )


def _check_kernel(x: Lengths, kernel: Lengths, groups: int) -> None:
    rank = len(x) - 2
    if rank < 1 or len(kernel) != rank + 2:
        raise ShapeError(
            "the kernel has an axis for each axis of positions, then channels, filters",
            where="conv",
            got=f"x of shape {x}, kernel of shape {kernel}",
            expected="(samples, *positions, channels) and (*taps, channels, filters)",
        )
    if groups < 1 or kernel[-2] * groups != x[-1] or kernel[-1] % groups:
        raise ShapeError(
            "channels do not fit the kernel",
            where="conv",
            got=f"{x[-1]} channels, kernel of shape {kernel}, groups={groups}",
            expected=f"a kernel of {x[-1]} / groups channels, filters in whole groups",
        )


def _correlation(x: Tensor, kernel: Tensor, slide: Slide) -> Tensor:
    """A convolution whose gradients are products over windows too.

    No sum of overlapping windows is ever stored.
    """
    lengths, sizes = x.spec.shape[1:-1], kernel.spec.shape[:-2]

    def plain(x: Tensor, kernel: Tensor) -> Tensor:
        return correlate(x, kernel, slide)

    def backward(given: tuple[Tensor, Tensor], g: Tensor) -> tuple[Tensor, Tensor]:
        x, kernel = given
        return spread(g, kernel, slide, lengths), kernel_of(x, g, slide, sizes)

    function = custom_vjp(plain)
    function.defvjp(lambda x, kernel: (plain(x, kernel), (x, kernel)), backward)
    result: Tensor = function(x, kernel)
    return result


def conv_transpose(
    x: ArrayLike,
    kernel: ArrayLike,
    /,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    output_padding: int | Sequence[int] | None = None,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """The gradient of a convolution with respect to its input, as a function.

    Each input is spread over a window of the output; windows that overlap are summed.
    With stride s, an axis of length n becomes `(n - 1) * s + reach` with `valid`
    padding, and `n * s` with `same`.

    Args:
        x: `(samples, *positions, channels)`.
        kernel: `(*taps, filters, channels)`.
        strides: how far windows are apart in the output.
        padding: `valid` or `same`.
        output_padding: how much longer the output is than the least that would give
            x; None chooses as Keras does.
        dilation: how far the taps of a window are apart.

    Example:
        >>> y = conv_transpose([[[1.0], [2.0]]], [[[1.0]], [[10.0]]])
        >>> y.numpy().ravel().tolist()
        [1.0, 12.0, 20.0]
    """
    values, weights = promoted_floats(x, kernel)
    rank = values.spec.ndim - 2
    _check_kernel(values.spec.shape, _swapped(weights.spec.shape), 1)
    steps = as_lengths("strides", strides, rank)
    apart = as_lengths("dilation", dilation, rank)
    sizes = weights.spec.shape[:rank]
    extra = None
    if output_padding is not None:
        extra = as_lengths("output_padding", output_padding, rank, 0)
    cuts = [
        _transpose_cut(padding, of, None if extra is None else extra[axis])
        for axis, of in enumerate(
            zip(values.spec.shape[1:-1], sizes, steps, apart, strict=True)
        )
    ]
    reaches = [
        (n - 1) * s + (k - 1) * d + 1
        for n, k, s, d in zip(values.spec.shape[1:-1], sizes, steps, apart, strict=True)
    ]
    widths = tuple(
        (first, reach - first - length)
        for (first, length), reach in zip(cuts, reaches, strict=True)
    )
    slide = Slide(steps, apart, widths)
    return _transposed(values, weights, slide, tuple(length for _, length in cuts))


def _transposed(x: Tensor, kernel: Tensor, slide: Slide, lengths: Lengths) -> Tensor:
    """The gradient of `_correlation`, whose own gradients are products over windows."""
    sizes = kernel.spec.shape[:-2]

    def plain(x: Tensor, kernel: Tensor) -> Tensor:
        return spread(x, kernel, slide, lengths)

    def backward(given: tuple[Tensor, Tensor], g: Tensor) -> tuple[Tensor, Tensor]:
        x, kernel = given
        return correlate(g, kernel, slide), kernel_of(g, x, slide, sizes)

    function = custom_vjp(plain)
    function.defvjp(lambda x, kernel: (plain(x, kernel), (x, kernel)), backward)
    result: Tensor = function(x, kernel)
    return result


def _swapped(shape: Lengths) -> Lengths:
    return (*shape[:-2], shape[-1], shape[-2])


def _transpose_cut(
    padding: Padding, of: tuple[int, int, int, int], extra: int | None
) -> tuple[int, int]:
    """Where the output begins within all that is reached, and its length."""
    length, size, stride, dilation = of
    reach = (size - 1) * dilation + 1
    kind = padding.lower() if isinstance(padding, str) else ""
    if kind not in ("valid", "same"):
        raise ArgumentError(
            "a transposed convolution pads in one of two ways",
            where="conv_transpose",
            got=repr(padding),
            expected="'valid' or 'same'",
        )
    if kind == "valid":
        least = (length - 1) * stride + reach
        return 0, least + (max(stride - reach, 0) if extra is None else extra)
    before = (reach - 1) // 2 if extra is not None else max(reach - stride, 0) // 2
    if extra is None:
        return before, length * stride
    return before, (length - 1) * stride + reach - 2 * (reach // 2) + extra
