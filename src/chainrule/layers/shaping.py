"""Layers that rearrange their input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Unpack

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.layers.layer import Layer, LayerOptions


class Flatten(Layer):
    """All axes but the first made one: `(rows, 28, 28)` becomes `(rows, 784)`.

    Example:
        >>> Flatten()(functional.zeros((32, 28, 28))).shape
        (32, 784)
    """

    def call(self, inputs: Tensor) -> Tensor:
        """The input as a matrix."""
        rows = inputs.shape[:1]
        return functional.reshape(inputs, (*rows, math.prod(inputs.shape[1:])))


class Reshape(Layer):
    """Gives each sample another shape: `(rows, 784)` becomes `(rows, 28, 28)`.

    Args:
        target_shape: the shape of one sample; one length may be -1 and is then found.
        **options: see `LayerOptions`.

    Raises:
        ShapeError: when the numbers of elements differ, or two lengths are -1.

    Example:
        >>> Reshape((28, -1))(functional.zeros((32, 784))).shape
        (32, 28, 28)
    """

    def __init__(
        self, target_shape: Sequence[int], **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.target_shape = tuple(int(n) for n in target_shape)
        if self.target_shape.count(-1) > 1 or any(n < -1 for n in self.target_shape):
            raise ShapeError(
                "a shape has positive lengths, and at most one -1",
                where=self.name,
                got=self.target_shape,
                expected="such as (28, 28) or (28, -1)",
            )

    def call(self, inputs: Tensor) -> Tensor:
        """The input, each sample in its new shape."""
        size = math.prod(inputs.shape[1:])
        known = math.prod(n for n in self.target_shape if n != -1)
        fits = size % known == 0 if -1 in self.target_shape and known else size == known
        if not fits:
            raise ShapeError(
                "a sample does not have as many numbers as the target shape",
                where=self.name,
                got=f"{inputs.shape[1:]}, {size} numbers",
                expected=f"{self.target_shape}, {known} numbers",
            )
        found = tuple(size // known if n == -1 else n for n in self.target_shape)
        return functional.reshape(inputs, (*inputs.shape[:1], *found))
