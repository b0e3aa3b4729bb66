"""Layers that turn, stretch, move and skew pictures while training."""

from __future__ import annotations

import math
from typing import Any, Unpack

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.functional.sampling import (
    Affine,
    Projective,
    affine_transform,
    check_sampling,
    projective_transform,
)
from chainrule.ir.spec import Shape
from chainrule.layers.augmentation import Augmentation, BoxOptions, for_each
from chainrule.layers.factors import Factor, check_share, span


class Resampling(Augmentation):
    """Base of layers whose new pixels lie at other places of the old picture.

    Masks are read at the nearest pixel, so that no class is made up. A box becomes the
    smallest one around its four corners at their new places.

    Args:
        interpolation: `bilinear`, between the four pixels around, or `nearest`.
        fill_value: what lies outside where that is constant.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.
    """

    moves = True

    def __init__(
        self,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        check_sampling(interpolation, "constant", self.name)
        self.interpolation = interpolation
        self.fill_value = fill_value

    def read(self, images: Tensor, drawn: Any, interpolation: str) -> Tensor:
        """Pictures or masks, read at the places that were drawn."""
        raise NotImplementedError

    def change_images(self, images: Tensor, drawn: Any) -> Tensor:
        """Pictures, read at the places that were drawn."""
        return self.read(
            functional.astype(images, self.dtype), drawn, self.interpolation
        )

    def change_masks(self, masks: Tensor, drawn: Any) -> Tensor:
        """Masks, read at the nearest pixels."""
        return self.read(masks, drawn, "nearest")


class AffineResampling(Resampling):
    """Base of layers that draw an affine map of the places.

    Args:
        fill_mode: what lies outside of the picture: `reflect`
            (d c b a | a b c d | d c b a), `wrap` (a b c d | a b c d), `nearest`
            (a a a a | a b c d | d d d d), or `constant`.
        interpolation: `bilinear`, between the four pixels around, or `nearest`.
        seed: mixed into the key, so that layers of different seeds differ.
        fill_value: what lies outside for `constant`.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.
    """

    def __init__(
        self,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(interpolation, fill_value, seed, data_format, **options)
        check_sampling(interpolation, fill_mode, self.name)
        self.fill_mode = fill_mode

    def read(self, images: Tensor, drawn: Any, interpolation: str) -> Tensor:
        """Pictures or masks, read at the places that were drawn."""
        return affine_transform(
            images, drawn, interpolation, self.fill_mode, self.fill_value
        )

    def change_boxes(self, boxes: Tensor, drawn: Any, shape: Shape) -> Tensor:
        """The boxes around where their corners are now."""
        return move_boxes(boxes, drawn)


def _corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the corners, `(samples, boxes, 4)`, with 0 in the first pixel."""
    left, top, right, bottom = (boxes[..., i] - 0.5 for i in range(4))
    x = functional.stack([left, right, left, right], axis=-1)
    return x, functional.stack([top, top, bottom, bottom], axis=-1)


def _around(x: Tensor, y: Tensor) -> Tensor:
    """The smallest boxes around points `(samples, boxes, points)`."""
    ends = [
        functional.min(x, axis=-1),
        functional.min(y, axis=-1),
        functional.max(x, axis=-1),
        functional.max(y, axis=-1),
    ]
    return functional.stack(ends, axis=-1) + 0.5


def _not_zero(area: Tensor) -> Tensor:
    """An area to divide by, of a picture that may have become a line."""
    return functional.where(functional.abs(area) < 1e-6, 1e-6, area)


def move_boxes(boxes: Tensor, places: Affine) -> Tensor:
    """Boxes `xyxy` around where their corners are in a picture read at `places`.

    Example:
        >>> zero, one = functional.zeros(1), functional.ones(1)
        >>> right = Affine(one, zero, -one * 3, zero, one, zero)
        >>> move_boxes(functional.asarray([[[1.0, 2.0, 4.0, 6.0]]]), right).tolist()
        [[[4.0, 2.0, 7.0, 6.0]]]
    """
    a, b, c, d, e, f = (
        functional.reshape(part, (-1, 1, 1))
        for part in (places.a, places.b, places.c, places.d, places.e, places.f)
    )
    x, y = _corners(boxes)
    x, y = x - c, y - f
    area = _not_zero(a * e - b * d)
    return _around((e * x - b * y) / area, (a * y - d * x) / area)


class RandomRotation(AffineResampling):
    """While training turns each picture about its middle.

    Args:
        factor: the angle, counter-clockwise, as a share of a full turn, from -1 to 1:
            a number f for angles within `[-f * 2 pi, f * 2 pi]`, or a pair.
        fill_mode: what lies outside: `reflect`, `wrap`, `nearest` or `constant`; see
            `functional.sampling.affine_transform`.
        interpolation: `bilinear` or `nearest`.
        seed: mixed into the key, so that layers of different seeds differ.
        fill_value: what lies outside for `constant`.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range, or an unknown word.

    Example:
        >>> quarter = RandomRotation((0.25, 0.25))
        >>> picture = functional.asarray([[[1.0], [2.0]], [[3.0], [4.0]]])
        >>> functional.round(quarter(picture, training=True)).numpy()[..., 0].tolist()
        [[2.0, 4.0], [1.0, 3.0]]
    """

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(
            fill_mode, interpolation, seed, fill_value, data_format, **options
        )
        self.factor = factor
        span(self.name, "factor", factor, -1)

    def draw(self, shape: Shape) -> Affine:
        """Turned places, by an angle for each sample."""
        low, high = span(self.name, "factor", self.factor, -1)
        turns = self.uniform((shape[0],), 2 * math.pi * low, 2 * math.pi * high)
        return turned(turns, shape)


def turned(angle: Tensor, shape: Shape) -> Affine:
    """Where the pixels of pictures turned by an angle in radians lie in the old ones.

    Example:
        >>> half = turned(functional.asarray([3.14159265]), (1, 5, 7, 1))
        >>> functional.round(half.a).tolist(), functional.round(half.c).tolist()
        ([-1.0], [6.0])
    """
    cosine, sine = functional.cos(angle), functional.sin(angle)
    x, y = (shape[2] - 1) / 2, (shape[1] - 1) / 2
    return Affine(
        cosine,
        -sine,
        x - x * cosine + y * sine,
        sine,
        cosine,
        y - x * sine - y * cosine,
    )


def scaled(wide: Tensor, tall: Tensor, shape: Shape) -> Affine:
    """Where the pixels lie of pictures that show `wide` times as much, and `tall`.

    Example:
        >>> twice = functional.asarray([2.0])
        >>> scaled(twice, twice, (1, 5, 7, 1)).c.tolist()
        [-3.0]
    """
    nothing = functional.zeros_like(wide)
    x, y = (shape[2] - 1) / 2, (shape[1] - 1) / 2
    return Affine(wide, nothing, x * (1 - wide), nothing, tall, y * (1 - tall))


def shifted(right: Tensor, down: Tensor) -> Affine:
    """Where the pixels lie of pictures moved by so many pixels.

    Example:
        >>> shifted(functional.ones(1), functional.zeros(1)).c.tolist()
        [-1.0]
    """
    nothing, one = functional.zeros_like(right), functional.ones_like(right)
    return Affine(one, nothing, -right, nothing, one, -down)


def sheared(x: Tensor, y: Tensor) -> Affine:
    """Where the pixels lie of pictures skewed along x, by the row, and along y.

    Example:
        >>> sheared(functional.ones(1), functional.zeros(1)).b.tolist()
        [1.0]
    """
    nothing, one = functional.zeros_like(x), functional.ones_like(x)
    return Affine(one, x, nothing, y, one, nothing)


class RandomZoom(AffineResampling):
    """While training shows more or less of each picture.

    Args:
        height_factor: how much more of the height is seen, above -1 and up to 1: 0.2
            makes things smaller by 1/1.2, -0.2 larger by 1/0.8. A number f for what
            lies within `[-f, f]`, or a pair.
        width_factor: the same for the width; None draws one for both.
        fill_mode: what lies outside: `reflect`, `wrap`, `nearest` or `constant`; see
            `functional.sampling.affine_transform`.
        interpolation: `bilinear` or `nearest`.
        seed: mixed into the key, so that layers of different seeds differ.
        fill_value: what lies outside for `constant`.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range, or an unknown word.

    Example:
        >>> twice = RandomZoom((1.0, 1.0), fill_mode="constant")
        >>> row = functional.asarray([[[1.0], [2.0], [3.0]]])
        >>> twice(row, training=True).numpy().ravel().tolist()
        [0.0, 2.0, 0.0]
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(
            fill_mode, interpolation, seed, fill_value, data_format, **options
        )
        self.height_factor = height_factor
        self.width_factor = width_factor
        self._span("height_factor")
        if width_factor is not None:
            self._span("width_factor")

    def _span(self, argument: str) -> tuple[float, float]:
        least = -1 + 1e-6  # at -1 all of the picture would be one point
        return span(self.name, argument, getattr(self, argument), least)

    def draw(self, shape: Shape) -> Affine:
        """Places, nearer together or further apart."""
        low, high = self._span("height_factor")
        tall = self.uniform((shape[0],), 1 + low, 1 + high)
        if self.width_factor is None:
            return scaled(tall, tall, shape)
        low, high = self._span("width_factor")
        return scaled(self.uniform((shape[0],), 1 + low, 1 + high), tall, shape)


class RandomTranslation(AffineResampling):
    """While training moves each picture up or down, and left or right.

    Args:
        height_factor: how far down, as a share of the height, from -1 to 1: a number f
            for what lies within `[-f, f]`, or a pair.
        width_factor: how far to the right, as a share of the width.
        fill_mode: what lies outside: `reflect`, `wrap`, `nearest` or `constant`; see
            `functional.sampling.affine_transform`.
        interpolation: `bilinear` or `nearest`.
        seed: mixed into the key, so that layers of different seeds differ.
        fill_value: what lies outside for `constant`.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range, or an unknown word.

    Example:
        >>> right = RandomTranslation(0.0, (0.5, 0.5), fill_mode="wrap")
        >>> row = functional.asarray([[[1.0], [2.0], [3.0], [4.0]]])
        >>> right(row, training=True).numpy().ravel().tolist()
        [3.0, 4.0, 1.0, 2.0]
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(
            fill_mode, interpolation, seed, fill_value, data_format, **options
        )
        self.height_factor = height_factor
        self.width_factor = width_factor
        for argument in ("height_factor", "width_factor"):
            span(self.name, argument, getattr(self, argument), -1)

    def draw(self, shape: Shape) -> Affine:
        """Places, moved for each sample."""
        count, height, width = shape[:3]
        low, high = span(self.name, "height_factor", self.height_factor, -1)
        down = self.uniform((count,), low * height, high * height)
        low, high = span(self.name, "width_factor", self.width_factor, -1)
        return shifted(self.uniform((count,), low * width, high * width), down)


class RandomShear(AffineResampling):
    """While training skews each picture, about its corner at the top and the left.

    A shear by x takes the pixels of row i from `x * i` further to the right, and one
    by y those of column j from `y * j` further down. Half of the samples are skewed the
    other way.

    Args:
        x_factor: the shear along x, from 0 to 1: a number f for what lies within
            `[-f, f]`, or a pair.
        y_factor: that along y.
        interpolation: `bilinear` or `nearest`.
        fill_mode: what lies outside: `reflect`, `wrap`, `nearest` or `constant`; see
            `functional.sampling.affine_transform`.
        fill_value: what lies outside for `constant`.
        data_format: `channels_last` (the default) or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range, or an unknown word.

    Example:
        >>> shear = RandomShear(x_factor=0.5)
        >>> shear(functional.ones((2, 3, 4, 1)), training=True).numpy().min().item()
        1.0
    """

    def __init__(
        self,
        x_factor: Factor = 0.0,
        y_factor: Factor = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(
            fill_mode, interpolation, seed, fill_value, data_format, **options
        )
        self.x_factor = x_factor
        self.y_factor = y_factor
        self._span("x_factor"), self._span("y_factor")

    def _span(self, argument: str) -> tuple[float, float]:
        factor = getattr(self, argument)
        low, high = span(self.name, argument, factor)
        pair = isinstance(factor, (list, tuple))
        return (low, high) if pair else (-high, high)

    def draw(self, shape: Shape) -> Affine:
        """Skewed places."""
        count = (shape[0],)
        x = self.uniform(count, *self._span("x_factor"))
        y = self.uniform(count, *self._span("y_factor"))
        way = functional.where(self.uniform(count) < 0.5, 1.0, -1.0)
        return sheared(x * way, y * way)


class RandomPerspective(Resampling):
    """While training shows some of the pictures as from another side.

    The corners of a picture are moved, each coordinate by up to half of `scale` times
    itself, and all other places with them, so that lines stay straight.

    Args:
        factor: the chance that a picture is changed, from 0 to 1: a number f for a
            chance that is drawn between 0 and f, or a pair.
        scale: how far corners are moved, from 0 to 1.
        interpolation: `bilinear` or `nearest`.
        fill_value: what lies outside of the picture.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor or a scale out of range, or an unknown word.

    Example:
        >>> view = RandomPerspective((1.0, 1.0), scale=0.3)
        >>> view(functional.ones((2, 8, 8, 3)), training=True).shape
        (2, 8, 8, 3)
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(interpolation, fill_value, seed, data_format, **options)
        self.factor = factor
        self.scale = check_share(self.name, "scale", scale)
        span(self.name, "factor", factor)

    def draw(self, shape: Shape) -> tuple[Tensor, Projective]:
        """Which samples are changed, and where old places are in the new pictures."""
        count, height, width = shape[:3]
        changed = self.chosen(count, self.factor)
        moved = 1 + self.uniform((count, 4, 2), -self.scale / 2, self.scale / 2)
        across, along = max(width - 1, 1), max(height - 1, 1)
        corners = functional.asarray(
            [[0, 0], [across, 0], [0, along], [across, along]], dtype=self.dtype
        )
        return changed, seen_at(moved * corners, (along, across))

    def read(self, images: Tensor, drawn: Any, interpolation: str) -> Tensor:
        """Pictures or masks, seen from there where that was drawn."""
        changed, forth = drawn
        new = projective_transform(
            images, inverse(forth), interpolation, "constant", self.fill_value
        )
        return functional.where(for_each(changed), new, images)

    def change_boxes(self, boxes: Tensor, drawn: Any, shape: Shape) -> Tensor:
        """The boxes around where their corners are now."""
        changed, forth = drawn
        x, y = _corners(boxes)
        a, b, c, d, e, f, g, h, i = (
            functional.reshape(part, (-1, 1, 1)) for part in vars(forth).values()
        )
        far = g * x + h * y + i
        new = _around((a * x + b * y + c) / far, (d * x + e * y + f) / far)
        return functional.where(functional.reshape(changed, (-1, 1, 1)), new, boxes)


def seen_at(corners: Tensor, lengths: tuple[int, int]) -> Projective:
    """The map that takes the corners of a rectangle to four points.

    Heckbert, "Fundamentals of texture mapping and image warping", 1989, section 2.2.3.

    Args:
        corners: `(samples, 4, 2)`, x and y of where the corners go: those at the top,
            left and right, then those at the bottom.
        lengths: the height and the width of the rectangle.

    Example:
        >>> twice = functional.asarray([[[0.0, 0], [4, 0], [0, 6], [4, 6]]])
        >>> forth = seen_at(twice, (3, 2))
        >>> forth.a.tolist(), forth.e.tolist(), forth.c.tolist()
        ([2.0], [2.0], [0.0])
    """
    x0, x1, x2, x3 = (corners[:, i, 0] for i in range(4))
    y0, y1, y2, y3 = (corners[:, i, 1] for i in range(4))
    x_left, x_up, x_skew = x1 - x3, x2 - x3, x0 - x1 + x3 - x2
    y_left, y_up, y_skew = y1 - y3, y2 - y3, y0 - y1 + y3 - y2
    area = _not_zero(x_left * y_up - x_up * y_left)
    g = (x_skew * y_up - x_up * y_skew) / area
    h = (x_left * y_skew - x_skew * y_left) / area
    height, width = lengths
    return Projective(
        (x1 - x0 + g * x1) / width,
        (x2 - x0 + h * x2) / height,
        x0,
        (y1 - y0 + g * y1) / width,
        (y2 - y0 + h * y2) / height,
        y0,
        g / width,
        h / height,
        functional.ones_like(g),
    )


def inverse(m: Projective) -> Projective:
    """The map that leads back, by the adjugate matrix.

    Example:
        >>> zero, one = functional.zeros(1), functional.ones(1)
        >>> right = Projective(one, zero, one * 2, zero, one, zero, zero, zero, one)
        >>> inverse(right).c.tolist()
        [-2.0]
    """
    return Projective(
        m.e * m.i - m.f * m.h,
        m.c * m.h - m.b * m.i,
        m.b * m.f - m.c * m.e,
        m.f * m.g - m.d * m.i,
        m.a * m.i - m.c * m.g,
        m.c * m.d - m.a * m.f,
        m.d * m.h - m.e * m.g,
        m.b * m.g - m.a * m.h,
        m.a * m.e - m.b * m.d,
    )
