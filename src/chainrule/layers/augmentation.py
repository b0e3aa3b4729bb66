"""The base of layers that change pictures while training; flips and crops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.functional.resize import center, resize
from chainrule.functional.sampling import crop_each
from chainrule.ir.spec import Shape
from chainrule.layers.convolution import as_given, channels_last, check_format
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import LayerOptions, check_positive
from chainrule.layers.regularization import RandomLayer

IMAGES, LABELS, MASKS = "images", "labels", "segmentation_masks"


class Augmentation(RandomLayer):
    """Base of layers that change pictures at random while training.

    Pictures are `(samples, height, width, channels)`, or one without the axis of the
    samples, of floats or whole numbers; the output is of the dtype of the layer. Every
    sample draws for itself. Otherwise they pass as they are.

    Instead of a tensor of pictures, the input may be a dict with `images`, and `labels`
    and `segmentation_masks` that belong to them. Masks are `(samples, height,
    width, channels)`, move as the pictures do and keep their numbers and their dtype.

    A subclass draws in `draw`, and says in `change_images` and its kin what that means.

    Args:
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `LayerOptions`.
    """

    # whether it mixes the samples of a batch, and their labels with them
    mixes: ClassVar[bool] = False

    def __init__(
        self,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, **options)
        self.data_format = check_format(self.name, data_format)
        self.input_spec = InputSpec(min_ndim=3, max_ndim=4)

    def draw(self, shape: Shape) -> Any:
        """What is drawn for pictures of this shape, channels last."""

    def change_images(self, images: Tensor, drawn: Any) -> Tensor:
        """Pictures, channels last, as what was drawn makes them."""
        raise NotImplementedError

    def change_labels(self, labels: Tensor, drawn: Any) -> Tensor:
        """The labels of the pictures that it makes."""
        return labels

    def change_masks(self, masks: Tensor, drawn: Any) -> Tensor:
        """Masks, channels last: a class for each pixel."""
        return masks

    def at_rest(self, images: Tensor, interpolation: str = "bilinear") -> Tensor:
        """Pictures, or masks with `nearest`, while nothing is trained."""
        return images

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The pictures, changed while training; with all that came with them."""
        if not isinstance(inputs, Mapping):
            found: Any = self._changed({IMAGES: inputs}, training)[IMAGES]
            return found
        if IMAGES not in inputs:
            raise ArgumentError(
                "there are no images in the dict",
                where=self.name,
                got=", ".join(map(str, inputs)),
                expected=f"{IMAGES}, and what belongs to them",
            )
        return self._changed(inputs, training)

    def _changed(self, given: Mapping[str, Any], training: bool) -> dict[str, Any]:
        ndim = given[IMAGES].spec.ndim
        if ndim not in (3, 4):
            raise ShapeError(
                "pictures have 4 axes: samples, height, width and channels",
                where=self.name,
                got=given[IMAGES].spec,
            )
        if ndim == 4:
            return self._batch(given, training)
        one = {key: functional.expand_dims(part, axis=0) for key, part in given.items()}
        made = self._batch(one, training)
        return {key: functional.squeeze(part, axis=0) for key, part in made.items()}

    def _batch(self, given: Mapping[str, Any], training: bool) -> dict[str, Any]:
        made = dict(given)
        images = channels_last(given[IMAGES], self.data_format)
        drawn = self.draw(images.spec.shape) if training else None

        new = self.change_images(images, drawn) if training else self.at_rest(images)
        made[IMAGES] = as_given(functional.astype(new, self.dtype), self.data_format)
        if LABELS in given and training:
            made[LABELS] = self.change_labels(given[LABELS], drawn)
        if MASKS in given:
            made[MASKS] = self._moved_masks(given[MASKS], drawn, training)
        return made

    def _moved_masks(self, given: Tensor, drawn: Any, training: bool) -> Tensor:
        masks = channels_last(given, self.data_format)
        if training:
            new = self.change_masks(masks, drawn)
        else:
            new = self.at_rest(masks, "nearest")
        return as_given(functional.astype(new, given.spec.dtype), self.data_format)

    def uniform(self, shape: Shape, low: Any = 0.0, high: Any = 1.0) -> Tensor:
        """Numbers of equal chance from `[low, high)`, drawn with a key of their own."""
        return random.uniform(self._key(), shape, self.dtype, low, high)


HORIZONTAL, VERTICAL = "horizontal", "vertical"
BOTH = "horizontal_and_vertical"


class RandomFlip(Augmentation):
    """While training mirrors half of the pictures.

    With `horizontal_and_vertical`, a picture is mirrored left to right and top to
    bottom each with probability 1/2.

    Args:
        mode: `horizontal`, `vertical` or `horizontal_and_vertical`.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `LayerOptions`.

    Example:
        >>> flip = RandomFlip("horizontal")
        >>> pictures = functional.asarray([[[[1], [2]]]] * 20, dtype="uint8")
        >>> flipped = flip(pictures, training=True).numpy()
        >>> sorted({tuple(row) for row in flipped.reshape(20, 2).tolist()})
        [(1.0, 2.0), (2.0, 1.0)]
    """

    def __init__(
        self,
        mode: str = BOTH,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        if mode not in (HORIZONTAL, VERTICAL, BOTH):
            raise ArgumentError(
                "unknown way to flip",
                where=self.name,
                got=f"mode={mode!r}",
                expected=f"{HORIZONTAL!r}, {VERTICAL!r} or {BOTH!r}",
            )
        self.mode = mode

    def draw(self, shape: Shape) -> dict[int, Tensor]:
        """For each axis that is mirrored, in which samples it is."""
        axes = {HORIZONTAL: (2,), VERTICAL: (1,), BOTH: (2, 1)}[self.mode]
        return {axis: self.uniform((shape[0],)) < 0.5 for axis in axes}

    def change_images(self, images: Tensor, drawn: dict[int, Tensor]) -> Tensor:
        """Pictures, mirrored where that was drawn."""
        for axis, where in drawn.items():
            flips = functional.reshape(where, (-1, 1, 1, 1))
            images = functional.where(flips, functional.flip(images, axis=axis), images)
        return images

    def change_masks(self, masks: Tensor, drawn: dict[int, Tensor]) -> Tensor:
        """Masks, mirrored with their pictures."""
        return self.change_images(masks, drawn)


class RandomCrop(Augmentation):
    """While training cuts a window out of each picture, anywhere.

    Otherwise, and where a picture is smaller than the window, the result is the largest
    window of this shape in the middle, resized. Each sample has its own window; in
    Keras a batch shares one.

    To pad and then crop, as networks for CIFAR are trained, pad in the step alone:
    `augmentation=[ZeroPadding2D(4), RandomCrop(32, 32), RandomFlip("horizontal")]`; see
    `Model.compile`.

    Args:
        height: of the window.
        width: of the window.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `LayerOptions`.

    Example:
        >>> crop = RandomCrop(3, 3)
        >>> crop(functional.zeros((2, 5, 6, 1)), training=True).shape
        (2, 3, 3, 1)
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        self.height = check_positive(self.name, "height", height)
        self.width = check_positive(self.name, "width", width)

    def draw(self, shape: Shape) -> tuple[Tensor, Tensor] | None:
        """The first row and the first column of each window."""
        count, rows, columns = shape[:3]
        if rows < self.height or columns < self.width:
            return None
        return (
            self._start(count, rows - self.height + 1),
            self._start(count, columns - self.width + 1),
        )

    def _start(self, count: int, places: int) -> Tensor:
        return random.randint(self._key(), (count,), 0, places)

    def change_images(self, images: Tensor, drawn: Any) -> Tensor:
        """The windows that were drawn."""
        if drawn is None:
            return self.at_rest(images)
        top, left = drawn
        return crop_each(images, top, left, self.height, self.width)

    def change_masks(self, masks: Tensor, drawn: Any) -> Tensor:
        """The same windows of the masks."""
        if drawn is None:
            return self.at_rest(masks, "nearest")
        top, left = drawn
        return crop_each(masks, top, left, self.height, self.width)

    def at_rest(self, images: Tensor, interpolation: str = "bilinear") -> Tensor:
        """The largest window of this shape in the middle, resized."""
        rows, columns = images.spec.shape[1:3]
        tall = max(1, min(rows, int(columns * self.height / self.width)))
        wide = max(1, min(columns, int(rows * self.width / self.height)))
        part = images[:, slice(*center(rows, tall)), slice(*center(columns, wide))]
        return resize(part, (self.height, self.width), interpolation)
