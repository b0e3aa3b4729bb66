"""The base of layers that change pictures while training; flips and crops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

import numpy as np

from chainrule import boxes as formats
from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.functional.resize import center, resize
from chainrule.functional.sampling import crop_each
from chainrule.ir import tree
from chainrule.ir.spec import Shape
from chainrule.layers.convolution import as_given, channels_last, check_format
from chainrule.layers.factors import Factor, span
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import LayerOptions, check_positive
from chainrule.layers.regularization import RandomLayer

IMAGES, LABELS, MASKS = "images", "labels", "segmentation_masks"
BOXES = "bounding_boxes"


class BoxOptions(LayerOptions, total=False):
    """What every layer that changes pictures takes.

    Attributes:
        bounding_box_format: of the `bounding_boxes` in a dict, such as `xyxy`; see
            `chainrule.boxes.FORMATS`. Layers that move nothing need none.
    """

    bounding_box_format: str | None


class PictureOptions(BoxOptions, total=False):
    """What layers take of which Keras has it among the last arguments.

    Attributes:
        data_format: `channels_last` (the default) or `channels_first`.
    """

    data_format: str | None


class Augmentation(RandomLayer):
    """Base of layers that change pictures at random while training.

    Pictures are `(samples, height, width, channels)`, or one without the axis of the
    samples, of floats or whole numbers; the output is of the dtype of the layer. Every
    sample draws for itself. Otherwise they pass as they are.

    Instead of a tensor of pictures, the input may be a dict with `images`, and what
    belongs to them: `labels`; `segmentation_masks`, `(samples, height, width,
    channels)`, or without channels, which move as the pictures do and keep their
    numbers and their dtype;
    and `bounding_boxes`, a dict of `boxes`, `(samples, boxes, 4)`, and perhaps their
    `labels`, `(samples, boxes)`. Boxes follow their objects and are cut at the borders;
    the labels of boxes of which nothing is left become -1, as those of padding.

    A subclass draws in `draw`, and says in `change_images` and its kin what that means.

    Args:
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        bounding_box_format: of the boxes in a dict, such as `xyxy`.
        **options: see `LayerOptions`.
    """

    full = True

    # whether it mixes the samples of a batch, and their labels with them
    mixes: ClassVar[bool] = False
    # whether something is elsewhere in the new pictures, so that boxes have to follow
    moves: ClassVar[bool] = False

    def __init__(
        self,
        seed: int | None = None,
        data_format: str | None = None,
        bounding_box_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, **options)
        self.data_format = check_format(self.name, data_format)
        self.bounding_box_format = check_boxes(self.name, bounding_box_format)
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

    def change_boxes(self, boxes: Tensor, drawn: Any, shape: Shape) -> Tensor:
        """Boxes `(samples, boxes, 4)`, left, top, right, bottom in pixels.

        Args:
            boxes: in the pictures as they were given.
            drawn: what was drawn for these.
            shape: that of the pictures, channels last.
        """
        return boxes

    def change_box_sets(self, boxes: Any, drawn: Any) -> Any:
        """The boxes and their labels, in any format, where none has to be moved."""
        return boxes

    def at_rest(self, images: Tensor, interpolation: str = "bilinear") -> Tensor:
        """Pictures, or masks with `nearest`, while nothing is trained."""
        return images

    def boxes_at_rest(self, boxes: Tensor, shape: Shape) -> Tensor:
        """Boxes while nothing is trained; see `change_boxes`."""
        return boxes

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
        one = tree.tree_map(
            lambda part: functional.expand_dims(part, axis=0), {**given}
        )
        made = self._batch(one, training)
        alone: dict[str, Any] = tree.tree_map(
            lambda part: functional.squeeze(part, axis=0), made
        )
        return alone

    def _batch(self, given: Mapping[str, Any], training: bool) -> dict[str, Any]:
        made = dict(given)
        images = channels_last(given[IMAGES], self.data_format)
        drawn = self.draw(images.spec.shape) if training else None

        new = self.change_images(images, drawn) if training else self.at_rest(images)
        made[IMAGES] = as_given(functional.astype(new, self.dtype), self.data_format)
        if LABELS in given and training:
            made[LABELS] = tree.tree_map(
                lambda part: self.change_labels(part, drawn), given[LABELS]
            )
        if MASKS in given:
            made[MASKS] = tree.tree_map(
                lambda part: self._moved_masks(part, drawn, training), given[MASKS]
            )
        if BOXES in given:
            made[BOXES] = self._moved_boxes(
                given[BOXES], drawn, images.spec.shape, new.spec.shape, training
            )
        return made

    def _moved_boxes(
        self, given: Any, drawn: Any, old: Shape, new: Shape, training: bool
    ) -> Any:
        if not self.moves:
            return self.change_box_sets(given, drawn) if training else given
        form = self.bounding_box_format
        if form is None or not isinstance(given, Mapping) or "boxes" not in given:
            raise _unclear_boxes(self.name, given, form)
        before = functional.astype(given["boxes"], self.dtype)
        before = formats.convert_format(before, form, "xyxy", old[1], old[2])
        if training:
            moved = self.change_boxes(before, drawn, old)
        else:
            moved = self.boxes_at_rest(before, old)
        cut = formats.clip_to_image_size({**given, "boxes": moved}, new[1], new[2])
        return formats.convert_format(cut, "xyxy", form, new[1], new[2])

    def _moved_masks(self, given: Tensor, drawn: Any, training: bool) -> Tensor:
        if given.spec.ndim == 3:  # a class for each pixel, without an axis of channels
            wide = functional.expand_dims(given, axis=3)
            if self.data_format != "channels_last":
                wide = functional.moveaxis(wide, 3, 1)
            moved = self._moved_masks(wide, drawn, training)
            axis = 3 if self.data_format == "channels_last" else 1
            return functional.squeeze(moved, axis=axis)
        masks = channels_last(given, self.data_format)
        if training:
            new = self.change_masks(masks, drawn)
        else:
            new = self.at_rest(masks, "nearest")
        kind = given.spec.dtype if not self.mixes else new.spec.dtype
        return as_given(functional.astype(new, kind), self.data_format)

    def uniform(self, shape: Shape, low: Any = 0.0, high: Any = 1.0) -> Tensor:
        """Numbers of equal chance from `[low, high)`, drawn with a key of their own."""
        return random.uniform(self._key(), shape, self.dtype, low, high)

    def chosen(self, count: int, factor: Factor) -> Tensor:
        """Which samples are changed, where a factor is the chance of that."""
        chance = self.uniform((count,), *span(self.name, "factor", factor))
        return self.uniform((count,)) < chance


def for_each(drawn: Tensor) -> Tensor:
    """What was drawn for each sample, lined up with its pixels."""
    return functional.reshape(drawn, (-1, 1, 1, 1))


def check_boxes(where: str, bounding_box_format: str | None) -> str | None:
    """The format of boxes, or None.

    Raises:
        ArgumentError: for an unknown one.
    """
    known = formats.FORMATS
    if bounding_box_format is None or bounding_box_format.lower() in known:
        return bounding_box_format
    raise ArgumentError(
        "there is no such format of boxes",
        where=where,
        got=f"bounding_box_format={bounding_box_format!r}",
        expected=", ".join(known),
    )


def _unclear_boxes(where: str, given: Any, form: str | None) -> ArgumentError:
    if form is None:
        return ArgumentError(
            "boxes can follow their picture only where their format is known",
            where=where,
            got="bounding_boxes, but no bounding_box_format",
            expected=", ".join(formats.FORMATS),
            fix='bounding_box_format="xyxy"',
        )
    return ArgumentError(
        "bounding_boxes is a dict of boxes and their labels",
        where=where,
        got=type(given).__name__,
        expected='{"boxes": (samples, boxes, 4), "labels": (samples, boxes)}',
    )


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
        **options: see `BoxOptions`.

    Example:
        >>> flip = RandomFlip("horizontal")
        >>> pictures = functional.asarray([[[[1], [2]]]] * 20, dtype="uint8")
        >>> flipped = flip(pictures, training=True).numpy()
        >>> sorted({tuple(row) for row in flipped.reshape(20, 2).tolist()})
        [(1.0, 2.0), (2.0, 1.0)]
    """

    moves = True

    def __init__(
        self,
        mode: str = BOTH,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
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

    def change_boxes(
        self, boxes: Tensor, drawn: dict[int, Tensor], shape: Shape
    ) -> Tensor:
        """Boxes, mirrored with their pictures."""
        left, top, right, bottom = (boxes[..., i] for i in range(4))
        for axis, where in drawn.items():
            flips = functional.reshape(where, (-1, 1))
            if axis == 2:
                left, right = _mirrored(flips, left, right, shape[2])
            else:
                top, bottom = _mirrored(flips, top, bottom, shape[1])
        return functional.stack([left, top, right, bottom], axis=-1)


def _mirrored(flips: Tensor, low: Any, high: Any, length: int) -> tuple[Tensor, Tensor]:
    """Both ends of intervals, mirrored where `flips` says so."""
    first = functional.where(flips, length - high, low)
    return first, functional.where(flips, length - low, high)


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
        **options: see `BoxOptions`.

    Example:
        >>> crop = RandomCrop(3, 3)
        >>> crop(functional.zeros((2, 5, 6, 1)), training=True).shape
        (2, 3, 3, 1)
    """

    moves = True

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
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

    def change_boxes(self, boxes: Tensor, drawn: Any, shape: Shape) -> Tensor:
        """Boxes as seen from the corners of the windows."""
        if drawn is None:
            return self.boxes_at_rest(boxes, shape)
        top, left = (functional.astype(place, boxes.dtype) for place in drawn)
        corner = functional.stack([left, top, left, top], axis=-1)
        return boxes - functional.expand_dims(corner, axis=1)

    def _middle(self, shape: Shape) -> tuple[slice, slice]:
        """The rows and columns of the largest window of this shape in the middle."""
        rows, columns = shape[1:3]
        tall = max(1, min(rows, int(columns * self.height / self.width)))
        wide = max(1, min(columns, int(rows * self.width / self.height)))
        return slice(*center(rows, tall)), slice(*center(columns, wide))

    def at_rest(self, images: Tensor, interpolation: str = "bilinear") -> Tensor:
        """The largest window of this shape in the middle, resized."""
        rows, columns = self._middle(images.spec.shape)
        part = images[:, rows, columns]
        return resize(part, (self.height, self.width), interpolation)

    def boxes_at_rest(self, boxes: Tensor, shape: Shape) -> Tensor:
        """Boxes in the window in the middle, resized."""
        rows, columns = self._middle(shape)
        corner = np.array([columns.start, rows.start] * 2, boxes.dtype.numpy)
        length = [columns.stop - columns.start, rows.stop - rows.start]
        scale = np.array([self.width, self.height] * 2) / np.array(length * 2)
        return (boxes - corner) * scale.astype(boxes.dtype.numpy)
