"""Pooling: windows, or whole axes of positions, folded channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

from chainrule import functional
from chainrule.functional.convolution import as_lengths
from chainrule.functional.pooling import avg_pool, max_pool
from chainrule.functional.promotion import Tensor
from chainrule.layers.convolution import (
    FORMATS,
    as_given,
    channels_last,
    check_format,
    check_padding,
    check_reach,
)
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import Layer, LayerOptions


class Pooling(Layer):
    """Base of layers that fold windows; `rank` is the number of axes of positions.

    Args:
        pool_size: lengths of the window, one for all axes or one each.
        strides: how far windows are apart; `pool_size` when None.
        padding: `valid` or `same`.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `LayerOptions`.
    """

    rank: ClassVar[int]
    fold: ClassVar[Any]

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.pool_size = as_lengths("pool_size", pool_size, self.rank)
        self.strides = (
            self.pool_size
            if strides is None
            else as_lengths("strides", strides, self.rank)
        )
        self.padding = check_padding(self.name, padding, ("valid", "same"))
        self.data_format = check_format(self.name, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Tensor) -> Tensor:
        """The windows, folded."""
        x = channels_last(inputs, self.data_format)
        check_reach(self.name, x.shape[1:-1], self.pool_size, self.padding)
        fold = type(self).fold
        result: Tensor = fold(x, self.pool_size, self.strides, self.padding)
        return as_given(result, self.data_format)


class MaxPooling1D(Pooling):
    """The largest element of each window of a sequence; see `Pooling`.

    Example:
        >>> MaxPooling1D()([[[1.0], [3.0], [2.0], [0.0]]]).numpy().ravel().tolist()
        [3.0, 2.0]
    """

    rank = 1
    fold = staticmethod(max_pool)


class MaxPooling2D(Pooling):
    """The largest element of each window of an image; see `Pooling`.

    Example:
        >>> MaxPooling2D(2)(functional.zeros((1, 28, 28, 3))).shape
        (1, 14, 14, 3)
    """

    rank = 2
    fold = staticmethod(max_pool)


class MaxPooling3D(Pooling):
    """The largest element of each window of a volume; see `Pooling`.

    Example:
        >>> MaxPooling3D(2)(functional.zeros((1, 4, 6, 8, 3))).shape
        (1, 2, 3, 4, 3)
    """

    rank = 3
    fold = staticmethod(max_pool)


class AveragePooling1D(Pooling):
    """The mean of each window of a sequence; see `Pooling`.

    Example:
        >>> AveragePooling1D()([[[1.0], [3.0], [2.0], [0.0]]]).numpy().ravel().tolist()
        [2.0, 1.0]
    """

    rank = 1
    fold = staticmethod(avg_pool)


class AveragePooling2D(Pooling):
    """The mean of each window of an image; see `Pooling`.

    Example:
        >>> AveragePooling2D(2)(functional.zeros((1, 28, 28, 3))).shape
        (1, 14, 14, 3)
    """

    rank = 2
    fold = staticmethod(avg_pool)


class AveragePooling3D(Pooling):
    """The mean of each window of a volume; see `Pooling`.

    Example:
        >>> AveragePooling3D(2)(functional.zeros((1, 4, 6, 8, 3))).shape
        (1, 2, 3, 4, 3)
    """

    rank = 3
    fold = staticmethod(avg_pool)


class GlobalPooling(Layer):
    """Base of layers that fold all positions.

    Args:
        data_format: `channels_last` (the default) or `channels_first`.
        keepdims: whether the axes of positions stay, with length 1.
        **options: see `LayerOptions`.
    """

    rank: ClassVar[int]
    fold: ClassVar[Any]

    def __init__(
        self,
        data_format: str | None = None,
        keepdims: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.data_format = check_format(self.name, data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Tensor) -> Tensor:
        """All positions, folded."""
        first = 1 if self.data_format == FORMATS[0] else 2
        axes = tuple(range(first, first + self.rank))
        fold = type(self).fold
        result: Tensor = fold(inputs, axis=axes, keepdims=self.keepdims)
        return result


class GlobalMaxPooling1D(GlobalPooling):
    """The largest element of each channel of a sequence; see `GlobalPooling`.

    Example:
        >>> GlobalMaxPooling1D()([[[1.0], [3.0]]]).numpy().tolist()
        [[3.0]]
    """

    rank = 1
    fold = staticmethod(functional.max)


class GlobalMaxPooling2D(GlobalPooling):
    """The largest element of each channel of an image; see `GlobalPooling`.

    Example:
        >>> GlobalMaxPooling2D()(functional.zeros((1, 7, 7, 3))).shape
        (1, 3)
    """

    rank = 2
    fold = staticmethod(functional.max)


class GlobalMaxPooling3D(GlobalPooling):
    """The largest element of each channel of a volume; see `GlobalPooling`.

    Example:
        >>> GlobalMaxPooling3D()(functional.zeros((1, 4, 4, 4, 3))).shape
        (1, 3)
    """

    rank = 3
    fold = staticmethod(functional.max)


class GlobalAveragePooling1D(GlobalPooling):
    """The mean of each channel of a sequence; see `GlobalPooling`.

    Steps that a mask leaves out do not count.

    Example:
        >>> GlobalAveragePooling1D()([[[1.0], [3.0]]]).numpy().tolist()
        [[2.0]]
    """

    rank = 1
    fold = staticmethod(functional.mean)

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The mean over the steps that count; 0 where none does.

        Args:
            inputs: sequences.
            mask: `(samples, steps)`: False for steps that are left out.
        """
        if mask is None:
            return super().call(inputs)
        first = self.data_format == FORMATS[0]
        keep = functional.expand_dims(
            functional.astype(mask, "bool"), axis=2 if first else 1
        )
        options: dict[str, Any] = {"axis": 1 if first else 2, "keepdims": self.keepdims}
        total = functional.sum(functional.where(keep, inputs, 0.0), **options)
        count = functional.sum(functional.astype(keep, inputs.dtype), **options)
        return total / functional.maximum(count, 1.0)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """None: no steps are left."""
        return None


class GlobalAveragePooling2D(GlobalPooling):
    """The mean of each channel of an image; see `GlobalPooling`.

    Lin, Chen, Yan, "Network in network", ICLR 2014.

    Example:
        >>> GlobalAveragePooling2D(keepdims=True)(functional.zeros((1, 7, 7, 3))).shape
        (1, 1, 1, 3)
    """

    rank = 2
    fold = staticmethod(functional.mean)


class GlobalAveragePooling3D(GlobalPooling):
    """The mean of each channel of a volume; see `GlobalPooling`.

    Example:
        >>> GlobalAveragePooling3D()(functional.zeros((1, 4, 4, 4, 3))).shape
        (1, 3)
    """

    rank = 3
    fold = staticmethod(functional.mean)
