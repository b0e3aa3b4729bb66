"""Layers that give the levels of brightness in pictures other values."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional, ops
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import int64
from chainrule.ir.spec import Shape
from chainrule.layers.augmentation import BoxOptions, PictureOptions, for_each
from chainrule.layers.augmentation_color import BYTES, ValueAugmentation
from chainrule.layers.factors import Factor, ValueRange, span
from chainrule.layers.layer import check_positive


class RandomInvert(ValueAugmentation):
    """While training turns some of the pictures into negatives.

    `y = low + high - x` for a value range of `(low, high)`.

    Args:
        factor: the chance that a picture is inverted, from 0 to 1: a number f for a
            chance that is drawn between 0 and f, or a pair.
        value_range: the least and the largest value that pixels have.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> negative = RandomInvert((1.0, 1.0))
        >>> negative([[[0.0], [55.0]]], training=True).numpy().ravel().tolist()
        [255.0, 200.0]
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        value_range: ValueRange = BYTES,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format, **options)
        span(self.name, "factor", factor)
        self.factor = factor

    def draw(self, shape: Shape) -> Tensor:
        """Which samples are inverted."""
        return self.chosen(shape[0], self.factor)

    def change_images(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Pictures, some of them negatives."""
        numbers = functional.astype(images, self.dtype)
        return functional.where(for_each(drawn), sum(self.limits) - numbers, numbers)


class RandomPosterization(ValueAugmentation):
    """While training keeps only the first few of the eight bits of each value.

    Cubuk, Zoph, Mane, Vasudevan, Le, "AutoAugment: learning augmentation policies from
    data", arXiv 1805.09501.

    Args:
        factor: how many bits are kept, from 1 to 8: a number n for what lies between 1
            and n, or a pair; both ends are drawn.
        value_range: the least and the largest value that pixels have.
        data_format: `channels_last` (the default) or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> coarse = RandomPosterization((2, 2))
        >>> coarse([[[60.0], [70.0], [255.0]]], training=True).numpy().ravel().tolist()
        [0.0, 64.0, 192.0]
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
        span(self.name, "factor", factor, 1, 8)
        self.factor = factor

    def draw(self, shape: Shape) -> Tensor:
        """How far apart levels are, for each sample: a power of 2."""
        low, high = map(int, span(self.name, "factor", self.factor, 1, 8))
        bits = random.randint(self._key(), (shape[0],), low, high + 1)
        step = functional.bitwise_left_shift(functional.ones_like(bits), 8 - bits)
        return functional.astype(step, self.dtype)

    def change_values(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Pictures of fewer levels."""
        step = for_each(drawn)
        scaled = functional.clip(self.to_bytes(images), 0.0, 255.0)
        return self.from_bytes(functional.floor(scaled / step) * step)


class Solarization(ValueAugmentation):
    """While training makes pictures lighter, then inverts what is bright.

    On a scale from 0 to 255: `z = x + addition`, cut at 255, and then `y = z` below the
    threshold and `255 - z` above.

    Args:
        addition_factor: what is added, as a share of the range: a number for what lies
            between 0 and it, or a pair.
        threshold_factor: the threshold, in the same way.
        value_range: the least and the largest value that pixels have.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `PictureOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> solarize = Solarization(threshold_factor=(0.5, 0.5))
        >>> solarize([[[100.0], [200.0]]], training=True).numpy().ravel().tolist()
        [100.0, 55.0]
    """

    def __init__(
        self,
        addition_factor: Factor = 0.0,
        threshold_factor: Factor = 0.0,
        value_range: ValueRange = BYTES,
        seed: int | None = None,
        **options: Unpack[PictureOptions],
    ) -> None:
        super().__init__(value_range, seed, **options)
        self.addition_factor = addition_factor
        self.threshold_factor = threshold_factor
        self._span("addition_factor"), self._span("threshold_factor")

    def _span(self, argument: str) -> tuple[float, float]:
        low, high = span(self.name, argument, getattr(self, argument))
        return 255 * low, 255 * high

    def draw(self, shape: Shape) -> tuple[Tensor, Tensor]:
        """Additions and thresholds, of 255."""
        count = (shape[0],)
        added = self.uniform(count, *self._span("addition_factor"))
        return added, self.uniform(count, *self._span("threshold_factor"))

    def change_values(self, images: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        """Pictures, what is bright in them inverted."""
        added, threshold = map(for_each, drawn)
        light = functional.clip(self.to_bytes(images) + added, 0.0, 255.0)
        new = functional.where(light < threshold, light, 255.0 - light)
        return self.from_bytes(new)


class AutoContrast(ValueAugmentation):
    """Stretches each channel of each picture so that it fills the range of values.

    `y = (x - min) / (max - min)`, scaled to the range; a channel of one value stays.
    Nothing is drawn, and what is learnt from depends on it: so it does the same whether
    a network is trained or not.

    Args:
        value_range: the least and the largest value that pixels have.
        **options: see `PictureOptions`.

    Example:
        >>> AutoContrast()([[[50.0], [100.0], [60.0]]]).numpy().ravel().tolist()
        [0.0, 255.0, 51.0]
    """

    def __init__(
        self, value_range: ValueRange = BYTES, **options: Unpack[PictureOptions]
    ) -> None:
        super().__init__(value_range, **options)

    def change_values(self, images: Tensor, drawn: Any) -> Tensor:
        """Pictures that use the whole range."""
        low = functional.min(images, axis=(1, 2), keepdims=True)
        high = functional.max(images, axis=(1, 2), keepdims=True)
        spread = high > low
        scale = 255.0 / functional.where(spread, high - low, 1.0)
        new = self.from_bytes((images - low) * scale)
        return functional.where(spread, new, images)

    def at_rest(self, images: Tensor, interpolation: str = "bilinear") -> Tensor:
        """The same; masks stay."""
        if interpolation == "nearest":
            return images
        return self.change_images(images, None)


class Equalization(ValueAugmentation):
    """While training spreads the values of each channel of each picture evenly.

    Each value becomes the share of the pixels that are at most as bright, by a
    histogram; a channel of one value stays.

    Args:
        value_range: the least and the largest value that pixels have.
        bins: of the histogram.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: when `bins` is not a positive integer.

    Example:
        >>> even = Equalization()
        >>> even([[[10.0], [11.0], [12.0]]], training=True).numpy().ravel().tolist()
        [0.0, 128.0, 255.0]
    """

    def __init__(
        self,
        value_range: ValueRange = BYTES,
        bins: int = 256,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(value_range, data_format=data_format, **options)
        self.bins = check_positive(self.name, "bins", bins)

    def change_values(self, images: Tensor, drawn: Any) -> Tensor:
        """Pictures whose levels are equally frequent."""
        count, _, _, channels = images.spec.shape
        scaled = self.to_bytes(images)
        level = functional.clip(scaled * ((self.bins - 1) / 255.0), 0, self.bins - 1)
        first = functional.arange(count * channels) * self.bins
        table = functional.reshape(first, (count, 1, 1, channels))
        place = table + functional.astype(level, int64)
        levels, several = self._new_levels(place)
        several = functional.reshape(several, table.shape)
        new = functional.take(levels, place, axis=0)
        return self.from_bytes(functional.where(several, new, scaled))

    def _new_levels(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """What each bin of each table becomes, and which tables have several bins.

        Args:
            place: the bin of each pixel, in tables one after another.
        """
        count, _, _, channels = place.spec.shape
        flat = functional.reshape(place, (-1,))
        empty = functional.zeros(count * channels * self.bins, dtype=self.dtype)
        ones = functional.ones(flat.spec.shape, dtype=self.dtype)
        histogram = ops.scatter_add(empty, flat, ones, axis=0)
        histogram = functional.reshape(histogram, (count * channels, self.bins))
        below = functional.cumulative_sum(histogram, axis=-1)
        total = below[:, -1:]
        first = functional.min(
            functional.where(below > 0, below, total), axis=-1, keepdims=True
        )
        several = total > first
        share = (below - first) * 255.0 / functional.where(several, total - first, 1.0)
        level = functional.clip(functional.round(share), 0.0, 255.0)
        return functional.reshape(level, (-1,)), several
