"""Pictures of another size: the window that is kept, and how pixels are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.functional.resize import INTERPOLATIONS, resize_weights

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["INTERPOLATIONS", "as_array", "enough_pixels", "read_size", "resize_picture"]

Array = np.ndarray[Any, Any]
Size = tuple[int, int]
Window = tuple[bool, bool]

# What Pillow does itself, in compiled code: the values of its Resampling.
PILLOW = {"lanczos3": 1, "bilinear": 2, "bicubic": 3}
SPARE = 2  # how many times the pixels wanted a decoded picture has on each side
LARGEST = 1 << 16


def read_size(size: Any) -> Size:
    """Height and width, given as two whole numbers or as one for both.

    Raises:
        ArgumentError: when they are something else.

    Example:
        >>> read_size(32), read_size([24, 32])
        ((32, 32), (24, 32))
    """
    pair = tuple(size) if isinstance(size, (Sequence, np.ndarray)) else (size, size)
    whole = all(
        isinstance(side, (int, np.integer)) and not isinstance(side, bool)
        for side in pair
    )
    if len(pair) != 2 or not whole or not all(1 <= side <= LARGEST for side in pair):
        raise ArgumentError(
            f"a size is a height and a width, whole numbers from 1 to {LARGEST:,}",
            where="size",
            got=repr(size),
            fix="(224, 224)",
        )
    return int(pair[0]), int(pair[1])


def crop_window(size: Size, wanted: Size) -> tuple[int, int, Size]:
    """The largest window in the middle that has the proportions wanted.

    Returns:
        Its top, its left side, and its height and width.

    Example:
        >>> crop_window((340, 500), (200, 200))
        (0, 80, (340, 340))
    """
    height = max(1, min(size[0], size[1] * wanted[0] // wanted[1]))
    width = max(1, min(size[1], size[0] * wanted[1] // wanted[0]))
    return (size[0] - height) // 2, (size[1] - width) // 2, (height, width)


def fitting_size(size: Size, wanted: Size) -> Size:
    """The largest size of the same proportions within the one wanted.

    Example:
        >>> fitting_size((100, 200), (64, 64))
        (32, 64)
    """
    share = min(wanted[0] / size[0], wanted[1] / size[1])
    height = min(wanted[0], max(1, round(size[0] * share)))
    return height, min(wanted[1], max(1, round(size[1] * share)))


def enough_pixels(size: Size, wanted: Size, window: Window, turned: bool) -> Size:
    """The least height and width to decode, for a picture that is made smaller.

    Args:
        size: of the picture in the file.
        wanted: what it is resized to in the end.
        window: whether it is cropped, and whether padded.
        turned: whether height and width change places.

    Example:
        >>> enough_pixels((3000, 4000), (100, 100), (False, False), False)
        (200, 267)
    """
    if turned:
        wanted = wanted[1], wanted[0]
    crop, pad = window
    kept = crop_window(size, wanted)[2] if crop else size
    target = fitting_size(size, wanted) if pad else wanted
    share = max(target[0] * SPARE / kept[0], target[1] * SPARE / kept[1])
    if share >= 1:
        return size
    return math.ceil(size[0] * share), math.ceil(size[1] * share)


def as_array(image: Image) -> Array:
    """The bytes `(height, width, channels)` of an image of 8 bits a channel."""
    pixels = np.array(image, np.uint8)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def resize_picture(
    image: Image, wanted: Size, interpolation: str, antialias: bool, window: Window
) -> Array:
    """An image of 8 bits a channel as an array of the size wanted.

    Args:
        image: mode L, RGB or RGBA.
        wanted: height and width.
        interpolation: one of `INTERPOLATIONS`.
        antialias: whether a smaller picture's pixels take in all that they cover.
        window: whether to crop, and whether to pad, to the proportions wanted.

    Returns:
        uint8 `(height, width, channels)`.
    """
    crop, pad = window
    size = image.height, image.width
    if crop:
        top, left, size = crop_window(size, wanted)
        image = image.crop((left, top, left + size[1], top + size[0]))
    inner = fitting_size(size, wanted) if pad else wanted
    pixels = _resized(image, inner, interpolation, antialias)
    if inner == wanted:
        return pixels
    top, left = (wanted[0] - inner[0]) // 2, (wanted[1] - inner[1]) // 2
    padded = np.zeros((*wanted, pixels.shape[2]), np.uint8)
    padded[top : top + inner[0], left : left + inner[1]] = pixels
    return padded


def _resized(image: Image, size: Size, interpolation: str, antialias: bool) -> Array:
    if (image.height, image.width) == size:
        return as_array(image)
    smaller = image.height > size[0] or image.width > size[1]
    if interpolation in PILLOW and (antialias or not smaller):
        found = image.resize((size[1], size[0]), PILLOW[interpolation])
        return as_array(found)
    pixels = as_array(image).astype(np.float32)
    for axis, length in enumerate(size):
        weights = resize_weights(pixels.shape[axis], length, interpolation, antialias)
        used = np.flatnonzero(weights.any(axis=1))  # without antialias few rows count
        pixels = np.take(pixels, used, axis)
        turned = np.tensordot(weights[used].astype(np.float32), pixels, (0, axis))
        pixels = np.moveaxis(turned, 0, axis)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
