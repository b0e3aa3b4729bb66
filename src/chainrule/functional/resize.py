"""Images of another size, by nearest positions or by weighted sums of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import ArgumentError
from chainrule.functional.convolution import as_lengths
from chainrule.functional.promotion import ArrayLike, Tensor, promoted_floats
from chainrule.ir.spec import normalize_axis
from chainrule.ir.trace import constant

Array = np.ndarray[Any, Any]


def _triangle(distance: Array) -> Array:
    return np.maximum(1 - np.abs(distance), 0)


def _cubic(distance: Array) -> Array:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981."""
    d = np.abs(distance)
    near = ((1.5 * d - 2.5) * d) * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))


def _lanczos(radius: int) -> Callable[[Array], Array]:
    def weight(distance: Array) -> Array:
        inside = np.abs(distance) < radius
        return np.where(inside, np.sinc(distance) * np.sinc(distance / radius), 0.0)

    return weight


def _gaussian(distance: Array) -> Array:
    """A standard deviation of half a pixel, cut off at three of them."""
    near = np.abs(distance) < 1.5
    return np.where(near, np.exp(-2 * np.square(distance)), 0.0)


def _mitchell(distance: Array) -> Array:
    """Mitchell and Netravali, "Reconstruction filters in computer graphics", 1988."""
    d = np.abs(distance)
    near = ((7 / 6 * d - 2) * d) * d + 8 / 9
    far = ((-7 / 18 * d + 2) * d - 10 / 3) * d + 16 / 9
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))


KERNELS: dict[str, Callable[[Array], Array]] = {
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
    "gaussian": _gaussian,
    "mitchellcubic": _mitchell,
}
INTERPOLATIONS = ("nearest", "area", *KERNELS)


def resize_weights(
    length: int, size: int, interpolation: str, antialias: bool = False
) -> Array:
    """How much each of `length` positions counts in each of `size` new ones.

    Pixels are areas: new pixel i has its middle at `(i + 1/2) * length / size - 1/2`.
    What would lie outside has no weight, and weights sum up to 1.

    Args:
        length: how many positions there are.
        size: how many there shall be.
        interpolation: one of `INTERPOLATIONS`.
        antialias: whether the kernel grows where the image shrinks.

    Returns:
        An array `(length, size)`.

    Example:
        >>> resize_weights(2, 4, "bilinear")[0].tolist()
        [1.0, 0.75, 0.25, 0.0]
    """
    scale = length / size
    middle = (np.arange(size) + 0.5) * scale
    if interpolation == "nearest":
        chosen = np.minimum(np.floor(middle).astype(np.int64), length - 1)
        return np.eye(length)[:, chosen]
    if interpolation == "area":
        places = np.arange(length)[:, None]
        ends = np.arange(size + 1) * scale
        overlap = np.minimum(places + 1, ends[1:]) - np.maximum(places, ends[:-1])
        return np.maximum(overlap, 0) / scale
    wide = max(scale, 1.0) if antialias else 1.0
    distance = (middle - 0.5)[None, :] - np.arange(length)[:, None]
    weights = KERNELS[interpolation](distance / wide)
    total = weights.sum(axis=0, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total != 0)


def resize(
    x: ArrayLike,
    /,
    size: int | Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    axes: Sequence[int] = (-3, -2),
) -> Tensor:
    """x with other lengths along the axes of its positions.

    Each axis is multiplied with its `resize_weights`.

    Args:
        x: images `(..., height, width, channels)`.
        size: the new height and width.
        interpolation: `nearest`, `bilinear`, `bicubic`, `lanczos3`, `lanczos5`,
            `gaussian`, `mitchellcubic`, or `area`, the mean of what a new pixel
            covers.
        antialias: whether to blur first where the image shrinks.
        axes: of the positions.

    Raises:
        ArgumentError: for an unknown interpolation, or a size that is not positive.

    Example:
        >>> x = [[[[0.0], [4.0]]]]
        >>> resize(x, (1, 4)).numpy().ravel().tolist()
        [0.0, 1.0, 3.0, 4.0]
    """
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError(
            "unknown interpolation",
            where="resize",
            got=repr(interpolation),
            expected=", ".join(INTERPOLATIONS),
        )
    (values,) = promoted_floats(x)
    sizes = as_lengths("size", size, len(axes))
    for given, wanted in zip(axes, sizes, strict=True):
        axis = normalize_axis(given, values.spec.ndim, "resize")
        length = values.spec.shape[axis]
        if length == wanted:
            continue
        weights = _weights_of(values, axis, wanted, interpolation, antialias)
        values = _resized(values, axis, weights)
    return values


def _weights_of(
    x: Tensor, axis: int, size: int, interpolation: str, antialias: bool
) -> Tensor:
    """The weights for one axis of x, in its dtype."""
    weights = resize_weights(x.spec.shape[axis], size, interpolation, antialias)
    return constant(weights, dtype=x.spec.dtype)


def _resized(x: Tensor, axis: int, weights: Tensor) -> Tensor:
    rank = x.spec.ndim
    result = ops.contract(x, weights, sums=((axis,), (0,)), batch=((), ()))
    order = (*range(axis), rank - 1, *range(axis, rank - 1))
    return ops.permute_dims(result, axes=order)


def repeat_positions(x: Tensor, size: Sequence[int]) -> Tensor:
    """`(samples, *positions, channels)` with each position repeated.

    Example:
        >>> from chainrule.functional import asarray
        >>> repeat_positions(asarray([[[1.0], [2.0]]]), (2,)).numpy().ravel().tolist()
        [1.0, 1.0, 2.0, 2.0]
    """
    for axis, times in enumerate(size, 1):
        shape = x.spec.shape
        lead, rest = shape[: axis + 1], shape[axis + 1 :]
        x = ops.reshape(x, shape=(*lead, 1, *rest))
        x = ops.broadcast_to(x, shape=(*lead, times, *rest))
        x = ops.reshape(x, shape=(*shape[:axis], shape[axis] * times, *rest))
    return x


def center(length: int, size: int) -> tuple[int, int]:
    """Where the middle part of `size` positions begins and ends.

    Example:
        >>> center(10, 4)
        (3, 7)
    """
    first = math.floor((length - size) / 2)
    return first, first + size
