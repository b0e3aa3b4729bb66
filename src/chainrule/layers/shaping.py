"""Layers that rearrange their input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Unpack

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import (
    InputShape,
    Layer,
    LayerOptions,
    check_data_format,
    check_positive,
)


class Flatten(Layer):
    """All axes but the first made one: `(rows, 28, 28)` becomes `(rows, 784)`.

    Args:
        data_format: `channels_first` moves the channels, the axis behind that of the
            samples, to the end first; `channels_last` and None leave the order.
        **options: see `LayerOptions`.

    Example:
        >>> Flatten()(functional.zeros((32, 28, 28))).shape
        (32, 784)
    """

    def __init__(
        self, data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        if data_format is not None:  # what is not given is not shown either
            data_format = check_data_format(self.name, data_format)
        self.data_format = data_format

    def call(self, inputs: Tensor) -> Tensor:
        """The input as a matrix."""
        rows = inputs.shape[:1]
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = functional.moveaxis(inputs, 1, -1)
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


class Permute(Layer):
    """The axes of each sample in another order.

    Args:
        dims: the old places of the axes in their new order, counted from 1; that of the
            samples stays and is not named.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when `dims` are not 1, 2, ... in some order.

    Example:
        >>> Permute((2, 1))(functional.zeros((32, 10, 64))).shape
        (32, 64, 10)
    """

    def __init__(self, dims: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.dims = tuple(int(axis) for axis in dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                "each axis of a sample is named once, counted from 1",
                where=self.name,
                got=f"dims={self.dims}",
                expected=f"{tuple(range(1, len(self.dims) + 1))} in some order",
            )

    def build(self, input_shape: InputShape) -> None:
        """Remember how many axes samples have."""
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Tensor) -> Tensor:
        """The input with its axes in the new order."""
        return functional.permute_dims(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """Each sample n times: `(rows, features)` becomes `(rows, n, features)`.

    Args:
        n: how many times.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when `n` is no positive integer.

    Example:
        >>> RepeatVector(2)([[1.0, 3.0]]).tolist()
        [[[1.0, 3.0], [1.0, 3.0]]]
    """

    def __init__(self, n: int, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.n = check_positive(self.name, "n", n)

    def build(self, input_shape: InputShape) -> None:
        """Remember that samples are vectors."""
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Tensor) -> Tensor:
        """The repeated input."""
        rows, width = inputs.shape
        repeated = functional.expand_dims(inputs, axis=1)
        return functional.broadcast_to(repeated, (rows, self.n, width))
