"""Layers that blur and sharpen pictures while training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.ir.spec import Shape
from chainrule.layers.augmentation import BoxOptions, for_each
from chainrule.layers.augmentation_color import BYTES, ValueAugmentation
from chainrule.layers.factors import Factor, ValueRange, span


def weighted_sum(images: Tensor, weights: Sequence[Any], axis: int) -> Tensor:
    """Each pixel and its neighbours along an axis, weighted; 0 lies outside.

    Args:
        images: `(samples, height, width, channels)`.
        weights: an odd number of them; each a number, or one that lines up.
        axis: of the neighbours.

    Example:
        >>> row = functional.asarray([[[[1.0], [2.0], [4.0]]]])
        >>> weighted_sum(row, [1.0, 0.0, 1.0], 2).numpy().ravel().tolist()
        [2.0, 5.0, 2.0]
    """
    reach, length = len(weights) // 2, images.spec.shape[axis]
    borders = [(0, 0)] * 4
    borders[axis] = (reach, reach)
    wide = functional.pad(images, borders)
    total: Any = None
    for first, weight in enumerate(weights):
        place = [slice(None)] * 4
        place[axis] = slice(first, first + length)
        part = wide[tuple(place)] * weight
        total = part if total is None else total + part
    result: Tensor = total
    return result


class RandomSharpness(ValueAugmentation):
    """While training sharpens each picture, or blurs it.

    `y = x + (1 - 2 f) * (smooth - x)`, where the smooth picture is a mean of 3 by 3
    pixels in which the one in the middle counts five times, with 0 around the picture.

    Args:
        factor: f, from 0 (smooth) through 0.5 (no change) to 1 (sharp): a number for
            what lies between 0 and it, or a pair.
        value_range: the least and the largest value that pixels have.
        data_format: `channels_last` (the default) or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> smooth = RandomSharpness((0.0, 0.0))
        >>> dot = functional.asarray([[0.0, 0, 0], [0, 130, 0], [0, 0, 0]])[..., None]
        >>> smooth(dot, training=True).numpy()[..., 0].round(2).tolist()
        [[10.0, 10.0, 10.0], [10.0, 50.0, 10.0], [10.0, 10.0, 10.0]]
    """

    def __init__(
        self,
        factor: Factor,
        value_range: ValueRange = BYTES,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format, **options)
        span(self.name, "factor", factor)
        self.factor = factor

    def draw(self, shape: Shape) -> Tensor:
        """The factor of each sample."""
        return self.uniform((shape[0],), *span(self.name, "factor", self.factor))

    def change_values(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Sharper or smoother pictures."""
        rows = weighted_sum(images, [1.0, 1.0, 1.0], 2)
        around = weighted_sum(rows, [1.0, 1.0, 1.0], 1)
        smooth = (around + 4.0 * images) / 13.0
        return images + for_each(1.0 - 2.0 * drawn) * (smooth - images)


class RandomGaussianBlur(ValueAugmentation):
    """While training blurs some of the pictures.

    Each is multiplied with a bell curve along both axes, with 0 around the picture.
    The widths are drawn for each sample and axis.

    Args:
        factor: the chance that a picture is blurred, from 0 to 1: a number f for a
            chance that is drawn between 0 and f, or a pair.
        kernel_size: how many pixels count, an odd number; or a pair, of rows and of
            columns.
        sigma: the standard deviation of the bell curve, in pixels: a number for what
            lies between 0 and it, or a pair.
        value_range: the least and the largest value that pixels have.
        data_format: `channels_last` (the default) or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range, or an even size.

    Example:
        >>> blur = RandomGaussianBlur((1.0, 1.0), sigma=(0.85, 0.85))
        >>> row = functional.asarray([[[0.0], [0.0], [100.0], [0.0], [0.0]]])
        >>> row = functional.broadcast_to(row, (5, 5, 1))
        >>> blur(row, training=True).numpy()[2, :, 0].round().tolist()
        [0.0, 25.0, 50.0, 25.0, 0.0]
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        kernel_size: int | Sequence[int] = 3,
        sigma: Factor = 1.0,
        value_range: ValueRange = BYTES,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format, **options)
        span(self.name, "factor", factor)
        span(self.name, "sigma", sigma, 0.0, math.inf)
        self.factor = factor
        self.kernel_size = kernel_size
        self.sigma = sigma
        self._sizes()

    def _sizes(self) -> list[int]:
        """How many rows count, and how many columns."""
        given = self.kernel_size
        sizes: list[Any] = (
            list(given) if isinstance(given, (list, tuple)) else [given, given]
        )
        whole = all(isinstance(n, (int, np.integer)) and n % 2 == 1 for n in sizes)
        if len(sizes) != 2 or not whole or min(sizes) < 1:
            raise ArgumentError(
                "the size of the kernel is odd, so that it has a middle",
                where=self.name,
                got=f"kernel_size={given!r}",
                expected="1, 3, 5, ..., or a pair of these",
                fix="kernel_size=3",
            )
        return sizes

    def draw(self, shape: Shape) -> tuple[Tensor, Tensor]:
        """Which samples are blurred, and how widely along rows and columns."""
        low, high = span(self.name, "sigma", self.sigma, 0.0, math.inf)
        chosen = self.chosen(shape[0], self.factor)
        return chosen, self.uniform((shape[0], 2), low, high) + 1e-6

    def change_values(self, images: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        """Pictures, some of them blurred."""
        chosen, sigma = drawn
        new = images
        for axis, size in enumerate(self._sizes()):
            weights = bell(sigma[:, axis], size)
            each = [for_each(weights[:, i]) for i in range(size)]
            new = weighted_sum(new, each, axis + 1)
        return functional.where(for_each(chosen), new, images)


def bell(sigma: Tensor, size: int) -> Tensor:
    """The weights of so many pixels, `(samples, size)`: a bell curve that sums up to 1.

    Example:
        >>> bell(functional.asarray([1e-6]), 3).tolist()
        [[0.0, 1.0, 0.0]]
    """
    middle = np.arange(size) - (size - 1) / 2
    distance = functional.asarray(middle, dtype=sigma.dtype)
    weights = functional.exp(-0.5 * functional.square(distance / sigma[:, None]))
    return weights / functional.sum(weights, axis=-1, keepdims=True)
