"""Layers that change how many positions there are: padding, cropping, resizing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.convolution import as_lengths
from chainrule.functional.promotion import Tensor
from chainrule.functional.resize import (
    INTERPOLATIONS,
    center,
    repeat_positions,
    resize,
)
from chainrule.layers.convolution import as_given, channels_last, check_format
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import Layer, LayerOptions, check_positive

Pairs = tuple[tuple[int, int], ...]


def as_pairs(layer: Layer, argument: str, value: Any, rank: int) -> Pairs:
    """How much before and after each axis: a number, one for each axis, or pairs.

    In one dimension a pair is before and after, as in Keras.
    """
    if isinstance(value, Sequence) and len(value) == rank:
        ends = [
            as_lengths(argument, part, 2, 0)
            if isinstance(part, Sequence)
            else (part,) * 2
            for part in value
        ]
        flat = as_lengths(argument, [n for pair in ends for n in pair], 2 * rank, 0)
    elif rank == 1:
        flat = as_lengths(argument, value, 2, 0)
    else:
        flat = tuple(n for n in as_lengths(argument, value, rank, 0) for _ in (0, 1))
    return tuple(zip(flat[::2], flat[1::2], strict=True))


class Bordered(Layer):
    """Base of layers that add or take positions at both ends of every axis.

    Args:
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `LayerOptions`.
    """

    rank: ClassVar[int]

    def __init__(
        self, data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.data_format = check_format(self.name, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Tensor) -> Tensor:
        """The input with other ends."""
        x = channels_last(inputs, self.data_format)
        return as_given(self._changed(x), self.data_format)

    def _changed(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class ZeroPadding(Bordered):
    """Base of layers that put zeros around the positions.

    Args:
        padding: how many on each side: a number, one for each axis, or a pair
            `(before, after)` for each axis.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `LayerOptions`.
    """

    def __init__(
        self,
        padding: Any = 1,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.padding = as_pairs(self, "padding", padding, self.rank)

    def _changed(self, x: Tensor) -> Tensor:
        result: Tensor = functional.pad(x, ((0, 0), *self.padding, (0, 0)))
        return result


class ZeroPadding1D(ZeroPadding):
    """Zeros before and after a sequence; see `ZeroPadding`.

    Example:
        >>> ZeroPadding1D((1, 0))([[[5.0], [6.0]]]).numpy().ravel().tolist()
        [0.0, 5.0, 6.0]
    """

    rank = 1


class ZeroPadding2D(ZeroPadding):
    """Zeros around an image; see `ZeroPadding`.

    Example:
        >>> ZeroPadding2D(((1, 0), (2, 2)))(functional.zeros((1, 3, 4, 2))).shape
        (1, 4, 8, 2)
    """

    rank = 2


class ZeroPadding3D(ZeroPadding):
    """Zeros around a volume; see `ZeroPadding`.

    Example:
        >>> ZeroPadding3D(1)(functional.zeros((1, 2, 3, 4, 2))).shape
        (1, 4, 5, 6, 2)
    """

    rank = 3


class Cropping(Bordered):
    """Base of layers that take positions away at the ends.

    Args:
        cropping: how many on each side: a number, one for each axis, or a pair
            `(before, after)` for each axis.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `LayerOptions`.

    Raises:
        ShapeError: when nothing would be left.
    """

    def __init__(
        self,
        cropping: Any = 1,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.cropping = as_pairs(self, "cropping", cropping, self.rank)

    def _changed(self, x: Tensor) -> Tensor:
        positions = x.shape[1:-1]
        ends = list(zip(positions, self.cropping, strict=True))
        if any(before + after >= n for n, (before, after) in ends):
            raise ShapeError(
                "nothing would be left",
                where=self.name,
                got=f"{positions} less {self.cropping}",
            )
        inside = tuple(slice(before, n - after) for n, (before, after) in ends)
        return x[(slice(None), *inside)]


class Cropping1D(Cropping):
    """A sequence without its ends; see `Cropping`.

    Example:
        >>> Cropping1D((1, 0))([[[5.0], [6.0]]]).numpy().ravel().tolist()
        [6.0]
    """

    rank = 1


class Cropping2D(Cropping):
    """An image without its borders; see `Cropping`.

    Example:
        >>> Cropping2D(((1, 0), (2, 2)))(functional.zeros((1, 4, 8, 2))).shape
        (1, 3, 4, 2)
    """

    rank = 2


class Cropping3D(Cropping):
    """A volume without its borders; see `Cropping`.

    Example:
        >>> Cropping3D(1)(functional.zeros((1, 4, 5, 6, 2))).shape
        (1, 2, 3, 4, 2)
    """

    rank = 3


class UpSampling(Bordered):
    """Base of layers that repeat positions.

    Args:
        size: how often, on every axis or on each.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `LayerOptions`.
    """

    def __init__(
        self,
        size: int | Sequence[int] = 2,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.size = as_lengths("size", size, self.rank)

    def _changed(self, x: Tensor) -> Tensor:
        return repeat_positions(x, self.size)


class UpSampling1D(UpSampling):
    """Every step of a sequence repeated; see `UpSampling`.

    Example:
        >>> UpSampling1D()([[[1.0], [2.0]]]).numpy().ravel().tolist()
        [1.0, 1.0, 2.0, 2.0]
    """

    rank = 1


class UpSampling2D(UpSampling):
    """An image made larger.

    Args:
        size: how often each row and column stands.
        data_format: `channels_last` (the default) or `channels_first`.
        interpolation: as in `functional.resize`.
        **options: see `LayerOptions`.

    Example:
        >>> UpSampling2D(2)(functional.zeros((1, 3, 4, 2))).shape
        (1, 6, 8, 2)
    """

    rank = 2

    def __init__(
        self,
        size: int | Sequence[int] = 2,
        data_format: str | None = None,
        interpolation: str = "nearest",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(size, data_format, **options)
        self.interpolation = check_interpolation(self.name, interpolation)

    def _changed(self, x: Tensor) -> Tensor:
        if self.interpolation == "nearest":
            return repeat_positions(x, self.size)
        pairs = zip(x.shape[1:-1], self.size, strict=True)
        return resize(x, [n * times for n, times in pairs], self.interpolation)


class UpSampling3D(UpSampling):
    """A volume made larger; see `UpSampling`.

    Example:
        >>> UpSampling3D(2)(functional.zeros((1, 2, 3, 4, 2))).shape
        (1, 4, 6, 8, 2)
    """

    rank = 3


def check_interpolation(where: str, interpolation: str) -> str:
    """One of the known ways.

    Raises:
        ArgumentError: for another.
    """
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError(
            "unknown interpolation",
            where=where,
            got=f"interpolation={interpolation!r}",
            expected=", ".join(INTERPOLATIONS),
        )
    return interpolation


class Resizing(Bordered):
    """Images of one size, whatever size they had.

    Args:
        height: the new height.
        width: the new width.
        interpolation: as in `functional.resize`.
        crop_to_aspect_ratio: whether the middle is cut to the new shape first, so that
            nothing is stretched.
        antialias: whether to blur first where images shrink.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `LayerOptions`.

    Example:
        >>> Resizing(4, 5)(functional.zeros((2, 8, 9, 3))).shape
        (2, 4, 5, 3)
    """

    rank = 2

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        antialias: bool = False,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.height = check_positive(self.name, "height", height)
        self.width = check_positive(self.name, "width", width)
        self.interpolation = check_interpolation(self.name, interpolation)
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.antialias = antialias

    def _changed(self, x: Tensor) -> Tensor:
        if self.crop_to_aspect_ratio:
            height, width = x.shape[1:-1]
            tall = max(1, min(height, int(width * self.height / self.width)))
            wide = max(1, min(width, int(height * self.width / self.height)))
            x = _middle(x, tall, wide)
        size = (self.height, self.width)
        return resize(x, size, self.interpolation, self.antialias)


class CenterCrop(Bordered):
    """The middle of images; of smaller ones, what is left after `Resizing` to fit.

    Args:
        height: the height of the part.
        width: its width.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `LayerOptions`.

    Example:
        >>> CenterCrop(2, 3)(functional.zeros((2, 8, 9, 3))).shape
        (2, 2, 3, 3)
    """

    rank = 2

    def __init__(
        self,
        height: int,
        width: int,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.height = check_positive(self.name, "height", height)
        self.width = check_positive(self.name, "width", width)

    def _changed(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:-1]
        if height < self.height or width < self.width:
            fit = Resizing(self.height, self.width, crop_to_aspect_ratio=True)
            return fit._changed(x)
        return _middle(x, self.height, self.width)


def _middle(x: Tensor, height: int, width: int) -> Tensor:
    rows = slice(*center(x.shape[1], height))
    columns = slice(*center(x.shape[2], width))
    return x[:, rows, columns]
