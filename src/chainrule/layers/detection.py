"""What a detector says at every place of its maps, as boxes on the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from chainrule import functional
from chainrule.boxes import decode_distances, generate_points
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.layers.layer import InputShape, Layer, LayerOptions

SIDES = 4


class BoxDecoder(Layer):
    """The boxes and class scores of all places of several maps, in one list.

    Each place of a map stands for the middle `(x, y)` of a square of `stride` pixels of
    the picture. The first four channels there are the distances from it to the sides of
    a box, before softplus and in strides:

        box = (x - left, y - top, x + right, y + bottom)
        left, top, right, bottom = stride * softplus(channels)

    and the channels that follow are the logits of the classes. Anchor-free boxes of
    this kind are those of Tian, Shen, Chen, He, "FCOS: Fully convolutional one-stage
    object detection", ICCV 2019.

    Args:
        strides: pixels of the picture from place to place, for each map.
        **options: see `LayerOptions`.

    Returns:
        `(samples, places, 4 + classes)`: left, top, right and bottom in pixels, then
        the logits. Places come map by map, each row by row.

    Raises:
        ArgumentError: when there are no strides, or one is not positive.
        ShapeError: when the maps do not fit the strides, or have too few channels.

    Example:
        >>> found = BoxDecoder(strides=[8])([functional.zeros((1, 1, 2, 6))])
        >>> found.shape, found[0, 0, 4:].tolist()
        ((1, 2, 6), [0.0, 0.0])
    """

    full = True

    def __init__(self, strides: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.strides = [int(stride) for stride in strides]
        if not self.strides or min(self.strides) < 1:
            raise ArgumentError(
                "there is a stride for each map, a positive whole number",
                where=self.name,
                got=f"strides={strides}",
            )

    def build(self, input_shape: Any) -> None:
        """Check that the maps fit."""
        shapes: list[InputShape] = list(input_shape)
        channels = {shape[-1] for shape in shapes}
        fit = (
            len(shapes) == len(self.strides)
            and len(channels) == 1
            and (channels.pop() or 0) > SIDES
            and all(len(shape) == 4 for shape in shapes)
        )
        if not fit:
            raise ShapeError(
                "there is a map for each stride, with four channels for the sides of a "
                "box and one for each class",
                where=self.name,
                got=shapes,
                expected=f"{len(self.strides)} maps of shape "
                "(samples, height, width, 4 + classes)",
            )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Boxes and logits of all places."""
        found = []
        for x, stride in zip(inputs, self.strides, strict=True):
            samples, height, width, channels = x.shape
            flat = functional.reshape(x, (samples, height * width, channels))
            reach = functional.softplus(flat[..., :SIDES]) * float(stride)
            points = generate_points((height * stride, width * stride), [stride])[0]
            middle = functional.asarray(points, dtype=x.dtype)
            boxes = decode_distances(reach, middle)
            found.append(functional.concat([boxes, flat[..., SIDES:]], axis=-1))
        return functional.concat(found, axis=1)
