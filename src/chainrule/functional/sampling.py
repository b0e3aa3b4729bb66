"""Pictures read at other places: windows, affine and projective maps of the positions.

Pictures are `(samples, height, width, channels)`; each sample has a place of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chainrule import ops
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.elementwise import floor, remainder, round
from chainrule.functional.promotion import Tensor, converted
from chainrule.ir.dtype import int64
from chainrule.ir.spec import Shape
from chainrule.ir.trace import constant

FILL_MODES = ("reflect", "wrap", "constant", "nearest")
SAMPLINGS = ("nearest", "bilinear")


# ---- windows -------------------------------------------------------------------------


def crop_each(
    images: Tensor, top: Tensor, left: Tensor, height: int, width: int
) -> Tensor:
    """A window of each picture, from its own place.

    `y[n, i, j] = images[n, top[n] + i, left[n] + j]`

    Args:
        images: `(samples, rows, columns, channels)`.
        top: the first row of each window, `(samples,)`, integers.
        left: its first column.
        height: of the windows.
        width: of the windows.

    Raises:
        OutOfBoundsError: when a window reaches beyond its picture.

    Example:
        >>> from chainrule.functional import arange, asarray, reshape
        >>> x = reshape(arange(12), (1, 3, 4, 1))
        >>> crop_each(x, asarray([1]), asarray([2]), 2, 2).numpy().ravel().tolist()
        [6, 7, 10, 11]
    """
    count, rows, columns, channels = images.spec.shape
    along = width * channels  # a row of a window lies in one piece of memory
    flat = ops.reshape(images, shape=(count, rows, columns * channels))
    windows = _windows(flat, 2, along, channels)
    windows = _windows(windows, 1, height, 1)
    windows = _at(windows, top, 1)
    windows = ops.reshape(_at(windows, left, 2), shape=(count, along, height))
    turned = ops.permute_dims(windows, axes=(0, 2, 1))
    return ops.reshape(turned, shape=(count, height, width, channels))


def _windows(x: Tensor, axis: int, size: int, stride: int) -> Tensor:
    """Windows along an axis, their elements along a new last one."""
    shape = x.spec.shape
    count = (shape[axis] - size) // stride + 1
    if count < 1:
        raise ShapeError(
            "the window is larger than the picture",
            where="crop_each",
            got=f"{size // stride} of {shape[axis] // stride} positions",
        )
    spread = ops.broadcast_to(ops.reshape(x, shape=(*shape, 1)), shape=(*shape, size))
    return ops.to_windows(spread, axis=axis, count=count, stride=stride, dilation=1)


def _at(x: Tensor, place: Tensor, axis: int) -> Tensor:
    """One position along an axis, another for each sample."""
    shape = tuple(1 if a == axis else n for a, n in enumerate(x.spec.shape))
    each = (x.spec.shape[0], *(1 for _ in shape[1:]))
    spread = ops.broadcast_to(ops.reshape(place, shape=each), shape=shape)
    return ops.take_along_axis(x, spread, axis=axis)


# ---- affine maps ---------------------------------------------------------------------


@dataclass(frozen=True)
class Affine:
    """Where each position of the new picture lies in the old one, for each sample.

    `x_old = a * x + b * y + c` and `y_old = d * x + e * y + f`, in pixels, with 0 in
    the middle of the first one. Each is a tensor `(samples,)`.
    """

    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor
    e: Tensor
    f: Tensor


def affine_transform(
    images: Tensor,
    places: Affine,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
) -> Tensor:
    """Pictures read at the places of an affine map.

    Args:
        images: `(samples, height, width, channels)`.
        places: where each new pixel lies in the old picture.
        interpolation: `nearest`, or `bilinear`, between the four pixels around.
        fill_mode: what lies outside: `reflect` (d c b a | a b c d | d c b a), `wrap`
            (a b c d | a b c d), `nearest` (a a a a | a b c d) or `constant`.
        fill_value: what lies outside for `constant`.

    Returns:
        Of the dtype of the numbers of `places` for `bilinear`, else of the images.

    Raises:
        ArgumentError: for an unknown word.

    Example:
        >>> from chainrule.functional import asarray, ones, zeros
        >>> x, zero, one = asarray([[[[1.0], [2.0], [3.0]]]]), zeros(1), ones(1)
        >>> moved = Affine(one, zero, one * 0.5, zero, one, zero)
        >>> affine_transform(x, moved).numpy().ravel().tolist()
        [1.5, 2.5, 3.0]
    """
    check_sampling(interpolation, fill_mode)
    x, y = _coordinates(places, images.spec.shape)
    return _read_at(images, x, y, interpolation, fill_mode, fill_value)


@dataclass(frozen=True)
class Projective:
    """Where each position lies in the old picture, by a map that keeps lines straight.

    `x_old = (a * x + b * y + c) / w` and `y_old = (d * x + e * y + f) / w` with
    `w = g * x + h * y + i`, in pixels, with 0 in the middle of the first one. Each is a
    tensor `(samples,)`.
    """

    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor
    e: Tensor
    f: Tensor
    g: Tensor
    h: Tensor
    i: Tensor


def projective_transform(
    images: Tensor,
    places: Projective,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0.0,
) -> Tensor:
    """Pictures read at the places of a projective map; see `affine_transform`.

    Example:
        >>> from chainrule.functional import asarray, ones, zeros
        >>> x, zero, one = asarray([[[[1.0], [2.0], [3.0]]]]), zeros(1), ones(1)
        >>> nearer = Projective(one, zero, zero, zero, one, zero, zero, zero, one * 2)
        >>> projective_transform(x, nearer).numpy().ravel().tolist()
        [1.0, 1.5, 2.0]
    """
    check_sampling(interpolation, fill_mode)
    shape = images.spec.shape
    bottom = (places.g, places.h, places.i)
    x, w = _coordinates(Affine(places.a, places.b, places.c, *bottom), shape)
    y, _ = _coordinates(Affine(places.d, places.e, places.f, *bottom), shape)
    x, y = ops.divide(x, w), ops.divide(y, w)
    # what lies at infinity, or beyond what an index can say, is outside all the same
    reach = 2.0 * max(shape[1], shape[2]) + 2.0
    x, y = (ops.maximum(ops.minimum(part, reach), -reach) for part in (x, y))
    return _read_at(images, x, y, interpolation, fill_mode, fill_value)


def _read_at(
    images: Tensor,
    x: Tensor,
    y: Tensor,
    interpolation: str,
    fill_mode: str,
    fill_value: float,
) -> Tensor:
    """Pictures read at columns x and rows y, each `(samples, height, width)`."""
    read = _Reader(images, fill_mode, fill_value, x.spec.dtype)
    if interpolation == "nearest":
        return ops.cast(read(round(x), round(y)), dtype=images.spec.dtype)
    left, top = floor(x), floor(y)
    right, down = ops.add(left, 1.0), ops.add(top, 1.0)
    u, v = _each_channel(ops.subtract(x, left)), _each_channel(ops.subtract(y, top))
    above = _between(read(left, top), read(right, top), u)
    below = _between(read(left, down), read(right, down), u)
    return _between(above, below, v)


def check_sampling(
    interpolation: str, fill_mode: str, where: str = "affine_transform"
) -> None:
    """Refuse unknown ways to read between pixels and outside of pictures."""
    for argument, value, known in (
        ("interpolation", interpolation, SAMPLINGS),
        ("fill_mode", fill_mode, FILL_MODES),
    ):
        if value not in known:
            raise ArgumentError(
                f"unknown {argument}",
                where=where,
                got=f"{argument}={value!r}",
                expected=", ".join(known),
            )


def _coordinates(places: Affine, shape: Shape) -> tuple[Tensor, Tensor]:
    """`x` and `y` of every new pixel in the old picture, `(samples, height, width)`."""
    count, height, width, _ = shape
    dtype = places.a.spec.dtype
    column = constant(np.arange(width).reshape(1, 1, width), dtype=dtype)
    row = constant(np.arange(height).reshape(1, height, 1), dtype=dtype)

    def place(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        a, b, c = (ops.reshape(part, shape=(count, 1, 1)) for part in (a, b, c))
        along = ops.add(ops.multiply(b, row), c)
        return ops.add(ops.multiply(a, column), along)

    return place(places.a, places.b, places.c), place(places.d, places.e, places.f)


def _each_channel(x: Tensor) -> Tensor:
    return ops.reshape(x, shape=(*x.spec.shape, 1))


def _between(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    return ops.add(a, ops.multiply(share, ops.subtract(b, a)))


class _Reader:
    """Reads pixels at whole places, inside of the pictures or not."""

    def __init__(
        self, images: Tensor, fill_mode: str, fill_value: float, dtype: object
    ) -> None:
        self.shape = images.spec.shape
        count, height, width, channels = self.shape
        self.pixels = ops.reshape(images, shape=(count * height * width, channels))
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.dtype = dtype

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """The pixels at columns x and rows y, as numbers that can be averaged."""
        count, height, width, _ = self.shape
        column, row = ops.cast(x, dtype=int64), ops.cast(y, dtype=int64)
        inside = INSIDE[self.fill_mode]
        first = constant(np.arange(count).reshape(count, 1, 1) * height)
        place = ops.add(first, inside(row, height))
        place = ops.add(ops.multiply(place, width), inside(column, width))
        found = ops.cast(ops.take(self.pixels, place, axis=0), dtype=self.dtype)
        if self.fill_mode != "constant":
            return found
        there = ops.logical_and(_within(column, width), _within(row, height))
        fill = converted(self.fill_value, found.spec.dtype)
        return ops.where(_each_channel(there), found, fill)


def _within(index: Tensor, length: int) -> Tensor:
    return ops.logical_and(ops.less_equal(0, index), ops.less(index, length))


def _clipped(index: Tensor, length: int) -> Tensor:
    return ops.minimum(ops.maximum(index, 0), length - 1)


def _wrapped(index: Tensor, length: int) -> Tensor:
    return remainder(index, length)


def _reflected(index: Tensor, length: int) -> Tensor:
    """The place in a picture that is followed by its mirror image, again and again."""
    turn = remainder(index, 2 * length)
    return ops.minimum(turn, ops.subtract(2 * length - 1, turn))


INSIDE: dict[str, Callable[[Tensor, int], Tensor]] = {
    "reflect": _reflected,
    "wrap": _wrapped,
    "constant": _clipped,
    "nearest": _clipped,
}
