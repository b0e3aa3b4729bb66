"""Convolutions that treat channels apart: depthwise and separable ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

from chainrule import activations, constraints, functional, initializers, regularizers
from chainrule.functional.convolution import as_lengths, conv
from chainrule.functional.promotion import Tensor
from chainrule.layers.convolution import (
    as_given,
    channels_last,
    channels_of,
    check_format,
    check_padding,
    spec_of,
)
from chainrule.layers.layer import InputShape, Layer, LayerOptions, check_positive
from chainrule.variable import Variable


def _depthwise_kernel(kernel: Tensor) -> Tensor:
    """`(*taps, channels, multiplier)` as a kernel of one channel for each group."""
    shape = kernel.shape
    return functional.reshape(kernel, (*shape[:-2], 1, shape[-2] * shape[-1]))


class DepthwiseConvolution(Layer):
    """Base of convolutions that weigh each channel by itself.

    Args:
        kernel_size: lengths of the window, one for all axes or one each.
        strides: how far windows are apart.
        padding: `valid` or `same`; `causal` in one dimension.
        depth_multiplier: outputs for each channel.
        data_format: `channels_last` (the default) or `channels_first`.
        dilation_rate: how far the elements of a window are apart.
        activation: a name such as `relu`, or a function; none by default.
        use_bias: whether to add a bias.
        depthwise_initializer: of the kernel, `(*kernel_size, channels, multiplier)`.
        bias_initializer: of the bias, one for each output.
        depthwise_regularizer: a penalty on the kernel.
        bias_regularizer: a penalty on the bias.
        depthwise_constraint: what the kernel is brought back to after an update.
        bias_constraint: the same for the bias.
        **options: see `LayerOptions`.
    """

    rank: ClassVar[int]
    PADDINGS: ClassVar[tuple[str, ...]] = ("valid", "same")

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.kernel_size = as_lengths("kernel_size", kernel_size, self.rank)
        self.strides = as_lengths("strides", strides, self.rank)
        self.padding = check_padding(self.name, padding, self.PADDINGS)
        self.depth_multiplier = check_positive(
            self.name, "depth_multiplier", depth_multiplier
        )
        self.data_format = check_format(self.name, data_format)
        self.dilation_rate = as_lengths("dilation_rate", dilation_rate, self.rank)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: InputShape) -> None:
        """Make the kernel and the bias."""
        channels = channels_of(self, input_shape, self.rank, self.data_format)
        self.kernel: Variable = self.add_weight(
            "kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        if self.use_bias:
            self.bias: Variable = self.add_weight(
                "bias",
                (channels * self.depth_multiplier,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = spec_of(channels, self.rank, self.data_format)

    def call(self, inputs: Tensor) -> Tensor:
        """`activation(depthwise(inputs, kernel) + bias)`."""
        x = channels_last(inputs, self.data_format)
        outputs = conv(
            x,
            _depthwise_kernel(self.kernel.value),
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation_rate,
            groups=x.shape[-1],
        )
        if self.use_bias:
            outputs = outputs + self.bias.value
        result: Tensor = as_given(self.activation(outputs), self.data_format)
        return result


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


class SeparableConvolution(Layer):
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
        use_bias: whether to add a bias.
        depthwise_initializer: of `(*kernel_size, channels, depth_multiplier)`.
        pointwise_initializer: of `(*ones, channels * depth_multiplier, filters)`.
        bias_initializer: of the bias, `(filters,)`.
        depthwise_regularizer: a penalty on the first kernel.
        pointwise_regularizer: a penalty on the second.
        bias_regularizer: a penalty on the bias.
        depthwise_constraint: what the first kernel is brought back to after an update.
        pointwise_constraint: the same for the second.
        bias_constraint: the same for the bias.
        **options: see `LayerOptions`.
    """

    rank: ClassVar[int]
    PADDINGS: ClassVar[tuple[str, ...]] = ("valid", "same")

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
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.filters = check_positive(self.name, "filters", filters)
        self.kernel_size = as_lengths("kernel_size", kernel_size, self.rank)
        self.strides = as_lengths("strides", strides, self.rank)
        self.padding = check_padding(self.name, padding, self.PADDINGS)
        self.data_format = check_format(self.name, data_format)
        self.dilation_rate = as_lengths("dilation_rate", dilation_rate, self.rank)
        self.depth_multiplier = check_positive(
            self.name, "depth_multiplier", depth_multiplier
        )
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: InputShape) -> None:
        """Make both kernels and the bias."""
        channels = channels_of(self, input_shape, self.rank, self.data_format)
        self.depthwise_kernel: Variable = self.add_weight(
            "depthwise_kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        inside = channels * self.depth_multiplier
        self.pointwise_kernel: Variable = self.add_weight(
            "pointwise_kernel",
            (*(1,) * self.rank, inside, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        if self.use_bias:
            self.bias: Variable = self.add_weight(
                "bias",
                (self.filters,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = spec_of(channels, self.rank, self.data_format)

    def call(self, inputs: Tensor) -> Tensor:
        """`activation(conv(depthwise(inputs), pointwise_kernel) + bias)`."""
        x = channels_last(inputs, self.data_format)
        inside = conv(
            x,
            _depthwise_kernel(self.depthwise_kernel.value),
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation_rate,
            groups=x.shape[-1],
        )
        outputs = conv(inside, self.pointwise_kernel.value)
        if self.use_bias:
            outputs = outputs + self.bias.value
        result: Tensor = as_given(self.activation(outputs), self.data_format)
        return result


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
