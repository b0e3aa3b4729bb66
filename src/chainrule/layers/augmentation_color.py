"""Layers that change the light and the colours of pictures while training."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.colors import hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv
from chainrule.functional.promotion import Tensor
from chainrule.ir.spec import Shape
from chainrule.layers.augmentation import (
    Augmentation,
    BoxOptions,
    PictureOptions,
    for_each,
)
from chainrule.layers.factors import (
    Factor,
    ValueRange,
    check_share,
    check_value_range,
    span,
)

BYTES = (0, 255)


class ValueAugmentation(Augmentation):
    """Base of layers that change the values of pixels, and no places.

    Args:
        value_range: the least and the largest value that pixels have; what comes out
            is cut at both.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.
    """

    def __init__(
        self,
        value_range: ValueRange = BYTES,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        check_value_range(self.name, value_range)
        self.value_range = value_range

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest value that pixels have."""
        return check_value_range(self.name, self.value_range)

    def change_values(self, images: Tensor, drawn: Any) -> Tensor:
        """Pictures, channels last, in the dtype of the layer; what was drawn for them.

        The result may be beyond the limits.
        """
        raise NotImplementedError

    def change_images(self, images: Tensor, drawn: Any) -> Tensor:
        """The changed pictures, cut at the limits."""
        new = self.change_values(functional.astype(images, self.dtype), drawn)
        return functional.clip(new, *self.limits)

    def to_bytes(self, images: Tensor) -> Tensor:
        """Pictures on the scale from 0 to 255."""
        low, high = self.limits
        if (low, high) == BYTES:
            return images
        return (images - low) / (high - low) * 255.0

    def from_bytes(self, images: Tensor) -> Tensor:
        """Pictures back on their own scale."""
        low, high = self.limits
        if (low, high) == BYTES:
            return images
        return images / 255.0 * (high - low) + low


def is_grey(where: str, images: Tensor) -> bool:
    """Whether pictures have one channel, and not the three of colours.

    Raises:
        ShapeError: when they have neither.
    """
    channels = images.spec.shape[-1]
    if channels not in (1, 3):
        raise ShapeError(
            "colours are red, green and blue, or grey alone",
            where=where,
            got=f"{channels} channels",
            expected="3 or 1",
            fix="x[..., :3]" if channels > 3 else None,
        )
    return channels == 1


class RandomBrightness(ValueAugmentation):
    """While training makes each picture lighter or darker.

    `y = x + f * (high - low)` for a value range of `(low, high)`.

    Args:
        factor: f, from -1 (black) to 1 (white): a number for what lies within
            `[-factor, factor]`, or a pair.
        value_range: the least and the largest value that pixels have.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `PictureOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> lighter = RandomBrightness((0.25, 0.25), value_range=(0, 1))
        >>> lighter([[[0.0], [0.5], [0.9]]], training=True).numpy().ravel().tolist()
        [0.25, 0.75, 1.0]
    """

    def __init__(
        self,
        factor: Factor,
        value_range: ValueRange = BYTES,
        seed: int | None = None,
        **options: Unpack[PictureOptions],
    ) -> None:
        super().__init__(value_range, seed, **options)
        span(self.name, "factor", factor, -1)
        self.factor = factor

    def draw(self, shape: Shape) -> Tensor:
        """How much light is added, for each sample."""
        low, high = span(self.name, "factor", self.factor, -1)
        length = self.limits[1] - self.limits[0]
        return self.uniform((shape[0],), low * length, high * length)

    def change_values(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Lighter or darker pictures."""
        return images + for_each(drawn)


class RandomContrast(ValueAugmentation):
    """While training takes pixels further from the mean of their picture, or nearer.

    `y = (x - mean) * f + mean`, with the mean of each channel of each sample.

    Args:
        factor: a number r, from 0 to 1, for f within `[1 - r, 1 + r]`; or a pair for
            f within `[1 - lower, 1 + upper]`.
        value_range: the least and the largest value that pixels have.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `PictureOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> pictures = functional.asarray([[[[10.0], [30.0]]]] * 50)
        >>> changed = RandomContrast(0.5)(pictures, training=True)
        >>> bool((changed >= 5).all()), bool((changed <= 35).all())
        (True, True)
    """

    def __init__(
        self,
        factor: Factor,
        value_range: ValueRange = BYTES,
        seed: int | None = None,
        **options: Unpack[PictureOptions],
    ) -> None:
        super().__init__(value_range, seed, **options)
        self.factor = factor
        self._bounds()

    def _bounds(self) -> tuple[float, float]:
        low, high = span(self.name, "factor", self.factor)
        pair = isinstance(self.factor, (list, tuple))
        return (1 - (low if pair else high), 1 + high)

    def draw(self, shape: Shape) -> Tensor:
        """The factor of each sample."""
        return self.uniform((shape[0],), *self._bounds())

    def change_values(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Pictures of more or less contrast."""
        mean = functional.mean(images, axis=(1, 2), keepdims=True)
        return (images - mean) * for_each(drawn) + mean


class RandomSaturation(ValueAugmentation):
    """While training makes the colours of each picture stronger or weaker.

    The saturation (see `functional.colors.rgb_to_hsv`) is multiplied by `f / (1 - f)`,
    up to 1. Pictures of one channel have no colour, and stay.

    Args:
        factor: f, from 0 (grey) through 0.5 (no change) to 1 (pure colours): a number
            for what lies between 0 and it, or a pair.
        value_range: the least and the largest value that pixels have.
        data_format: `channels_last` (the default) or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> weaker = RandomSaturation((0.25, 0.25))
        >>> weaker([[[90.0, 0.0, 0.0]]], training=True).numpy().round().tolist()
        [[[90.0, 60.0, 60.0]]]
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
        """What saturation is multiplied by."""
        factor = self.uniform((shape[0],), *span(self.name, "factor", self.factor))
        return factor / (1 - factor + 1e-7)

    def change_values(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Pictures of stronger or weaker colours."""
        if is_grey(self.name, images):
            return images
        low, _ = self.limits
        hsv = rgb_to_hsv(images - low)
        scale = functional.reshape(drawn, (-1, 1, 1))
        saturation = functional.minimum(hsv[..., 1] * scale, 1.0)
        new = functional.stack([hsv[..., 0], saturation, hsv[..., 2]], axis=-1)
        return hsv_to_rgb(new) + low


class RandomHue(ValueAugmentation):
    """While training turns the colours of each picture around the circle of hues.

    Half of the samples are turned the other way. Pictures of one channel stay.

    Args:
        factor: how far, as a share of half of the circle, from 0 to 1: a number for
            what lies between 0 and it, or a pair.
        value_range: the least and the largest value that pixels have.
        data_format: `channels_last` (the default) or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> opposite = RandomHue((1.0, 1.0))
        >>> opposite([[[90.0, 0.0, 0.0]]], training=True).numpy().round().tolist()
        [[[0.0, 90.0, 90.0]]]
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
        """The turn of each sample, in circles."""
        count = (shape[0],)
        way = functional.where(self.uniform(count) < 0.5, 0.5, -0.5)
        return way * self.uniform(count, *span(self.name, "factor", self.factor))

    def change_values(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Pictures of other hues."""
        if is_grey(self.name, images):
            return images
        low, _ = self.limits
        hsv = rgb_to_hsv(images - low)
        hue = hsv[..., 0] + functional.reshape(drawn, (-1, 1, 1))
        new = functional.stack([hue, hsv[..., 1], hsv[..., 2]], axis=-1)
        return hsv_to_rgb(new) + low


class RandomColorJitter(ValueAugmentation):
    """While training changes brightness, contrast, saturation and hue, in this order.

    Args:
        value_range: the least and the largest value that pixels have.
        brightness_factor: see `RandomBrightness`; None leaves it as it is.
        contrast_factor: see `RandomContrast`.
        saturation_factor: see `RandomSaturation`.
        hue_factor: see `RandomHue`.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> jitter = RandomColorJitter(brightness_factor=0.2, hue_factor=0.1)
        >>> jitter(functional.zeros((2, 4, 4, 3)), training=True).shape
        (2, 4, 4, 3)
    """

    def __init__(
        self,
        value_range: ValueRange = BYTES,
        brightness_factor: Factor | None = None,
        contrast_factor: Factor | None = None,
        saturation_factor: Factor | None = None,
        hue_factor: Factor | None = None,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format, **options)
        self.brightness_factor = brightness_factor
        self.contrast_factor = contrast_factor
        self.saturation_factor = saturation_factor
        self.hue_factor = hue_factor
        kinds: dict[Any, Any] = {
            RandomBrightness: brightness_factor,
            RandomContrast: contrast_factor,
            RandomSaturation: saturation_factor,
            RandomHue: hue_factor,
        }
        self.parts: list[ValueAugmentation] = [
            kind(
                factor,
                value_range,
                seed=seed,
                name=kind.default_name(),
                dtype=self.dtype,
            )
            for kind, factor in kinds.items()
            if factor is not None
        ]

    def draw(self, shape: Shape) -> list[Any]:
        """What was drawn for each of the parts."""
        return [part.draw(shape) for part in self.parts]

    def change_values(self, images: Tensor, drawn: list[Any]) -> Tensor:
        """Pictures, changed by one part after another."""
        for part, each in zip(self.parts, drawn, strict=True):
            images = part.change_images(images, each)
        return images


class RandomColorDegeneration(ValueAugmentation):
    """While training fades the colours of each picture to grey.

    `y = x + f * (grey - x)`, with the grey of `functional.colors.rgb_to_grayscale`.
    Pictures of one channel stay.

    Args:
        factor: f, from 0 (no change) to 1 (grey): a number for what lies between 0 and
            it, or a pair.
        value_range: the least and the largest value that pixels have.
        data_format: `channels_last` (the default) or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> grey = RandomColorDegeneration((1.0, 1.0))
        >>> grey([[[0.0, 100.0, 0.0]]], training=True).numpy().round().tolist()
        [[[59.0, 59.0, 59.0]]]
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
        """How grey each sample becomes."""
        return self.uniform((shape[0],), *span(self.name, "factor", self.factor))

    def change_values(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Faded pictures."""
        if is_grey(self.name, images):
            return images
        return images + for_each(drawn) * (rgb_to_grayscale(images) - images)


class RandomGrayscale(Augmentation):
    """While training takes the colour out of some of the pictures.

    They keep their three channels, all with the brightness that
    `functional.colors.rgb_to_grayscale` gives. Pictures of one channel stay.

    Args:
        factor: the share of the pictures that become grey.
        data_format: `channels_last` (the default) or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range.

    Example:
        >>> grey = RandomGrayscale(1.0)
        >>> grey([[[0.0, 100.0, 0.0]]], training=True).numpy().round().tolist()
        [[[59.0, 59.0, 59.0]]]
    """

    def __init__(
        self,
        factor: float = 0.5,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        self.factor = check_share(self.name, "factor", factor)

    def draw(self, shape: Shape) -> Tensor:
        """Which samples become grey."""
        return self.uniform((shape[0],)) < self.factor

    def change_images(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Pictures, some of them grey."""
        numbers = functional.astype(images, self.dtype)
        if is_grey(self.name, images):
            return numbers
        return functional.where(for_each(drawn), rgb_to_grayscale(numbers), numbers)
