"""Rectangles within pictures, and the layer that erases them while training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.ir.spec import Shape
from chainrule.ir.trace import constant
from chainrule.layers.augmentation import Augmentation, BoxOptions
from chainrule.layers.augmentation_color import BYTES, ValueAugmentation
from chainrule.layers.factors import Factor, ValueRange, is_number, span


@dataclass(frozen=True)
class Rectangles:
    """A rectangle in each picture.

    Attributes:
        left: where it begins, in pixels, `(samples,)`; it need not be whole.
        right: where it ends.
        top: the same from the top.
        bottom: where it ends.
    """

    left: Tensor
    right: Tensor
    top: Tensor
    bottom: Tensor

    def covers(self, shape: Shape) -> Tensor:
        """Which pixels of such pictures begin in it.

        Returns:
            `(samples, height, width * channels)`: rows of numbers, which are long
            enough for wide vectors where channels are few.
        """
        kind = self.left.spec.dtype.numpy
        columns = np.repeat(np.arange(shape[2], dtype=kind), shape[3])
        column = constant(columns.reshape(1, 1, -1))
        row = constant(np.arange(shape[1], dtype=kind).reshape(1, -1, 1))
        left, right, top, bottom = (
            functional.reshape(end, (-1, 1, 1))
            for end in (self.left, self.right, self.top, self.bottom)
        )
        across = functional.logical_and(column >= left, column < right)
        return functional.logical_and(
            across, functional.logical_and(row >= top, row < bottom)
        )

    def share(self, shape: Shape) -> Tensor:
        """How much of each picture it covers, `(samples,)`."""
        area = (self.right - self.left) * (self.bottom - self.top)
        return area / (shape[1] * shape[2])


def covered(there: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Pictures that are new there, and else old.

    Args:
        there: as `Rectangles.covers` gives it.
        new: pictures, or what can be broadcast against them.
        old: pictures.
    """
    rows = there.spec.shape
    new = functional.broadcast_to(new, old.spec.shape)
    flat = functional.where(
        there, functional.reshape(new, rows), functional.reshape(old, rows)
    )
    return functional.reshape(flat, old.spec.shape)


def place_rectangles(
    layer: Augmentation, shape: Shape, wide: Tensor, tall: Tensor
) -> Rectangles:
    """Rectangles of so much of the width and the height, anywhere within."""
    ends = []
    for share, length in ((wide, shape[2]), (tall, shape[1])):
        size = share * length
        start = layer.uniform((shape[0],)) * (length - size)
        ends += [start, start + size]
    return Rectangles(*ends)


class RandomErasing(ValueAugmentation):
    """While training covers a rectangle of some of the pictures.

    Zhong, Zheng, Kang, Li, Yang, "Random erasing data augmentation", arXiv 1708.04896.

    Args:
        factor: the chance that a picture is changed, from 0 to 1: a number f for a
            chance that is drawn between 0 and f, or a pair.
        scale: how large the rectangle is: the width and the height are each the square
            root of a number between these, as a share of those of the picture.
        fill_value: what it is covered with: a number, or one for each channel; None
            for noise.
        value_range: the least and the largest value that pixels have.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor or a scale out of range, or another value.

    Example:
        >>> erase = RandomErasing((1.0, 1.0), scale=(0.25, 0.25), fill_value=9)
        >>> picture = functional.zeros((8, 8, 1))
        >>> int((erase(picture, training=True) == 9).sum())
        16
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = (0.02, 0.33),
        fill_value: float | Sequence[float] | None = None,
        value_range: ValueRange = BYTES,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format, **options)
        span(self.name, "factor", factor)
        span(self.name, "scale", scale)
        self.factor = factor
        self.scale = scale
        self.fill_value = fill_value
        several = isinstance(fill_value, (list, tuple)) and all(
            map(is_number, fill_value)
        )
        if not (fill_value is None or is_number(fill_value) or several):
            raise self._unclear_fill("a number, one for each channel, or None")

    def _unclear_fill(self, expected: str) -> ArgumentError:
        return ArgumentError(
            "what a rectangle is covered with is a number, or noise",
            where=self.name,
            got=f"fill_value={self.fill_value!r}",
            expected=expected,
            fix="fill_value=0",
        )

    def draw(self, shape: Shape) -> tuple[Tensor, Rectangles, Tensor]:
        """Which samples are changed, where, and what covers the place."""
        low, high = span(self.name, "scale", self.scale)
        sides = functional.sqrt(self.uniform((shape[0], 2), low, high))
        place = place_rectangles(self, shape, sides[:, 0], sides[:, 1])
        return self.chosen(shape[0], self.factor), place, self._fill(shape)

    def _fill(self, shape: Shape) -> Tensor:
        if self.fill_value is None:
            noise = random.normal(self._key(), shape, self.dtype) * self.limits[1]
            return functional.clip(noise, *self.limits)
        colour = np.asarray(self.fill_value, self.dtype.numpy)
        if colour.ndim == 1 and len(colour) != shape[3]:
            raise self._unclear_fill(f"{shape[3]} numbers, as there are channels")
        return constant(colour.clip(*self.limits))

    def change_images(self, images: Tensor, drawn: Any) -> Tensor:
        """Pictures, some of them with a rectangle that is covered."""
        chosen, place, fill = drawn
        there = functional.logical_and(
            functional.reshape(chosen, (-1, 1, 1)), place.covers(images.spec.shape)
        )
        return covered(there, fill, functional.astype(images, self.dtype))
