"""Convolutions that treat channels apart: depthwise and separable ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from chainrule import constraints, functional, initializers, regularizers
from chainrule.functional.convolution import conv
from chainrule.functional.promotion import Tensor
from chainrule.layers.convolution import BiasOptions, WindowedLayer
from chainrule.layers.layer import InputShape, check_positive
from chainrule.variable import Variable


class ChannelwiseLayer(WindowedLayer):
    """Base of layers with a kernel `(*kernel_size, channels, depth_multiplier)`."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        depthwise_initializer: Any = "glorot_uniform",
        depthwise_regularizer: Any = None,
        depthwise_constraint: Any = None,
        **options: Unpack[BiasOptions],
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            **options,
        )
        self.depth_multiplier = check_positive(
            self.name, "depth_multiplier", depth_multiplier
        )
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def _add_depthwise(self, name: str, channels: int) -> Variable:
        return self.add_weight(
            name,
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )

    def _apart(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Each channel weighed by itself: as many groups as channels."""
        shape = kernel.shape
        grouped = (*shape[:-2], 1, shape[-2] * shape[-1])
        return self._convolved(
            inputs, functional.reshape(kernel, grouped), inputs.shape[-1]
        )


class DepthwiseConvolution(ChannelwiseLayer):
    """Base of convolutions that weigh each channel by itself.

    Args:
        kernel_size: lengths of the window, one for all axes or one each.
        strides: how far windows are apart.
        padding: `valid` or `same`; `causal` in one dimension.
        depth_multiplier: outputs for each channel.
        data_format: `channels_last` (the default) or `channels_first`.
        dilation_rate: how far the elements of a window are apart.
        activation: a name such as `relu`, or a function; none by default.
        depthwise_initializer: of the kernel, `(*kernel_size, channels, multiplier)`.
        depthwise_regularizer: a penalty on the kernel.
        depthwise_constraint: what the kernel is brought back to after an update.
        **options: see `BiasOptions`.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        depthwise_initializer: Any = "glorot_uniform",
        depthwise_regularizer: Any = None,
        depthwise_constraint: Any = None,
        **options: Unpack[BiasOptions],
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            depth_multiplier,
            activation,
            depthwise_initializer,
            depthwise_regularizer,
            depthwise_constraint,
            **options,
        )

    def build(self, input_shape: InputShape) -> None:
        """Make the kernel and the bias."""
        channels = self._begin(input_shape)
        self.kernel = self._add_depthwise("kernel", channels)
        self._add_bias(channels * self.depth_multiplier)

    def _weighed(self, inputs: Tensor) -> Tensor:
        return self._apart(inputs, self.kernel.value)


class DepthwiseConv1D(DepthwiseConvolution):
    """Each channel of a sequence weighed by itself; see `DepthwiseConvolution`.

    Example:
        >>> DepthwiseConv1D(3)(functional.zeros((2, 10, 4))).shape
        (2, 8, 4)
    """

    rank = 1
    PADDINGS = ("valid", "same", "causal")


class DepthwiseConv2D(DepthwiseConvolution):
    """Each channel of an image weighed by itself; see `DepthwiseConvolution`.

    Example:
        >>> layer = DepthwiseConv2D(3, depth_multiplier=2, padding="same")
        >>> layer(functional.zeros((2, 8, 8, 4))).shape
        (2, 8, 8, 8)
    """

    rank = 2


class SeparableConvolution(ChannelwiseLayer):
    """Base of depthwise convolutions followed by a mix of the channels.

    Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017.

    Args:
        filters: the number of outputs at each position.
        kernel_size: lengths of the window, one for all axes or one each.
        strides: how far windows are apart.
        padding: `valid` or `same`; `causal` in one dimension.
        data_format: `channels_last` (the default) or `channels_first`.
        dilation_rate: how far the elements of a window are apart.
        depth_multiplier: outputs of the depthwise part for each channel.
        activation: a name such as `relu`, or a function; none by default.
        depthwise_initializer: of `(*kernel_size, channels, depth_multiplier)`.
        pointwise_initializer: of `(*ones, channels * depth_multiplier, filters)`.
        depthwise_regularizer: a penalty on the first kernel.
        pointwise_regularizer: a penalty on the second.
        depthwise_constraint: what the first kernel is brought back to after an update.
        pointwise_constraint: the same for the second.
        **options: see `BiasOptions`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        **options: Unpack[BiasOptions],
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            depth_multiplier,
            activation,
            depthwise_initializer,
            depthwise_regularizer,
            depthwise_constraint,
            **options,
        )
        self.filters = check_positive(self.name, "filters", filters)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: InputShape) -> None:
        """Make both kernels and the bias."""
        channels = self._begin(input_shape)
        self.depthwise_kernel = self._add_depthwise("depthwise_kernel", channels)
        inside = channels * self.depth_multiplier
        self.pointwise_kernel: Variable = self.add_weight(
            "pointwise_kernel",
            (*(1,) * self.rank, inside, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        self._add_bias(self.filters)

    def _weighed(self, inputs: Tensor) -> Tensor:
        inside = self._apart(inputs, self.depthwise_kernel.value)
        return conv(inside, self.pointwise_kernel.value)


class SeparableConv1D(SeparableConvolution):
    """A separable convolution over a sequence; see `SeparableConvolution`.

    Example:
        >>> SeparableConv1D(8, 3)(functional.zeros((2, 10, 4))).shape
        (2, 8, 8)
    """

    rank = 1
    PADDINGS = ("valid", "same", "causal")


class SeparableConv2D(SeparableConvolution):
    """A separable convolution over an image; see `SeparableConvolution`.

    Example:
        >>> layer = SeparableConv2D(8, 3, strides=2, padding="same")
        >>> layer(functional.zeros((2, 9, 9, 4))).shape
        (2, 5, 5, 8)
    """

    rank = 2
