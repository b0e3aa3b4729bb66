"""Layers that prepare data, so that a saved model takes data as it comes."""

from __future__ import annotations

from typing import Unpack

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.layers.layer import Layer, LayerOptions


class Rescaling(Layer):
    """`inputs * scale + offset`, in floating point.

    Args:
        scale: such as `1 / 255` for pixels of 8 bits.
        offset: added after scaling.
        **options: see `LayerOptions`.

    Example:
        >>> pixels = functional.asarray([0, 255], dtype="uint8")
        >>> Rescaling(1 / 255)(pixels).numpy().tolist()
        [0.0, 1.0]
    """

    def __init__(
        self, scale: float, offset: float = 0.0, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.scale = scale
        self.offset = offset

    def call(self, inputs: Tensor) -> Tensor:
        """The input, scaled and moved."""
        return functional.astype(inputs, self.dtype) * self.scale + self.offset
