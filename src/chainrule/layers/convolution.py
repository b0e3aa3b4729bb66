"""Convolutional layers, over one, two or three axes of positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

from chainrule import activations, constraints, functional, initializers, regularizers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.convolution import as_lengths, conv, conv_transpose
from chainrule.functional.promotion import Tensor
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import (
    InputShape,
    Layer,
    LayerOptions,
    check_positive,
)
from chainrule.variable import Variable

FORMATS = ("channels_last", "channels_first")


def check_format(where: str, data_format: str | None) -> str:
    """Where the axis of the channels is: last by default.

    Raises:
        ArgumentError: for another word than `channels_last` and `channels_first`.
    """
    if data_format is None:
        return FORMATS[0]
    if data_format not in FORMATS:
        raise ArgumentError(
            "the channels are the last axis, or the first after the samples",
            where=where,
            got=f"data_format={data_format!r}",
            expected=" or ".join(map(repr, FORMATS)),
        )
    return data_format


def channels_last(x: Tensor, data_format: str) -> Tensor:
    """x with its channels moved to the last axis, if they are not there."""
    if data_format == FORMATS[0]:
        return x
    return functional.moveaxis(x, 1, -1)


def as_given(x: Tensor, data_format: str) -> Tensor:
    """x with its channels back where `data_format` has them."""
    if data_format == FORMATS[0]:
        return x
    return functional.moveaxis(x, -1, 1)


def channels_of(layer: Layer, input_shape: InputShape, rank: int, where: str) -> int:
    """The number of channels of inputs of this shape.

    Raises:
        ShapeError: when the shape has not `rank` axes of positions, or the channels
            are not known.
    """
    if len(input_shape) != rank + 2:
        positions = ", ".join(("height", "width", "depth")[:rank])
        if rank == 1:
            positions = "steps"
        raise ShapeError(
            f"the input needs {rank} {'axis' if rank == 1 else 'axes'} of positions",
            where=layer.name,
            got=input_shape,
            expected=f"(samples, {positions}, channels)",
            fix="one channel: x[..., None]" if len(input_shape) == rank + 1 else None,
        )
    channels = input_shape[-1 if where == FORMATS[0] else 1]
    if channels is None:
        raise ShapeError(
            "the number of channels must be known",
            where=layer.name,
            got=input_shape,
        )
    return channels


class BiasOptions(LayerOptions, total=False):
    """What holds the bias of a layer, beside what every layer takes.

    Attributes:
        use_bias: whether to add a bias.
        bias_initializer: of the bias, one number for each output.
        bias_regularizer: a penalty on the bias.
        bias_constraint: what the bias is brought back to after an update.
    """

    use_bias: bool
    bias_initializer: Any
    bias_regularizer: Any
    bias_constraint: Any


class KernelOptions(BiasOptions, total=False):
    """How the weights of a convolution begin, and what holds them.

    Attributes:
        kernel_initializer: of the kernel.
        kernel_regularizer: a penalty on the kernel.
        kernel_constraint: what the kernel is brought back to after an update.
    """

    kernel_initializer: Any
    kernel_regularizer: Any
    kernel_constraint: Any


class WindowedLayer(Layer):
    """Base of layers that weigh windows; `rank` is the number of axes of positions.

    Subclasses make their kernels in `build`, and define `_weighed(inputs)`; its inputs
    have their channels last.
    """

    rank: ClassVar[int]
    PADDINGS: ClassVar[tuple[str, ...]] = ("valid", "same")

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.kernel_size = as_lengths("kernel_size", kernel_size, self.rank)
        self.strides = as_lengths("strides", strides, self.rank)
        self.padding = check_padding(self.name, padding, self.PADDINGS)
        self.data_format = check_format(self.name, data_format)
        self.dilation_rate = as_lengths("dilation_rate", dilation_rate, self.rank)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)

    def _weighed(self, inputs: Tensor) -> Tensor:
        raise NotImplementedError

    def _begin(self, input_shape: InputShape) -> int:
        """Say what inputs must look like; the number of their channels."""
        channels = channels_of(self, input_shape, self.rank, self.data_format)
        self.input_spec = spec_of(channels, self.rank, self.data_format)
        return channels

    def _add_bias(self, outputs: int) -> None:
        if self.use_bias:
            self.bias: Variable = self.add_weight(
                "bias",
                (outputs,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs: Tensor) -> Tensor:
        """`activation(weighed windows + bias)`."""
        outputs = self._weighed(channels_last(inputs, self.data_format))
        if self.use_bias:
            outputs = outputs + self.bias.value
        result: Tensor = as_given(self.activation(outputs), self.data_format)
        return result

    def _convolved(self, inputs: Tensor, kernel: Tensor, groups: int) -> Tensor:
        """The windows of this layer over its inputs, weighed by a kernel.

        Raises:
            ShapeError: when a window is longer than the input.
        """
        taps = zip(self.kernel_size, self.dilation_rate, strict=True)
        reach = tuple((size - 1) * dilation + 1 for size, dilation in taps)
        check_reach(self.name, inputs.shape[1:-1], reach, self.padding)
        return conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation_rate,
            groups=groups,
        )


def check_reach(
    where: str, positions: Sequence[int], reach: Sequence[int], padding: str
) -> None:
    """Refuse windows of which not even one fits.

    Raises:
        ShapeError: naming the layer, the positions, and what fits.
    """
    short = any(n < r for n, r in zip(positions, reach, strict=True))
    if padding == "valid" and short:
        raise ShapeError(
            "the window is longer than the input",
            where=where,
            got=f"{tuple(positions)} positions, windows over {tuple(reach)}",
            expected="at least one whole window",
            fix="padding='same', or smaller windows",
        )


class KernelLayer(WindowedLayer):
    """Base of layers with one kernel that mixes the channels.

    Subclasses define `_kernel_shape(channels)`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
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
        self.filters = check_positive(self.name, "filters", filters)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def _kernel_shape(self, channels: int) -> tuple[int, ...]:
        raise NotImplementedError

    def build(self, input_shape: InputShape) -> None:
        """Make the kernel and the bias."""
        channels = self._begin(input_shape)
        self.kernel: Variable = self.add_weight(
            "kernel",
            self._kernel_shape(channels),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self._add_bias(self.filters)


def check_padding(where: str, padding: Any, known: Sequence[str]) -> str:
    """One of the known words.

    Raises:
        ArgumentError: for another.
    """
    if not isinstance(padding, str) or padding.lower() not in known:
        raise ArgumentError(
            "unknown padding",
            where=where,
            got=f"padding={padding!r}",
            expected=" or ".join(map(repr, known)),
        )
    return padding.lower()


class Convolution(KernelLayer):
    """Base of the convolutional layers.

    Args:
        filters: the number of outputs at each position.
        kernel_size: lengths of the window, one for all axes or one each.
        strides: how far windows are apart.
        padding: `valid` or `same`; `causal` in one dimension.
        data_format: `channels_last` (the default) or `channels_first`.
        dilation_rate: how far the elements of a window are apart.
        groups: parts that channels and filters are split into.
        activation: a name such as `relu`, or a function; none by default.
        **options: see `KernelOptions`; the kernel is
            `(*kernel_size, channels / groups, filters)`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
        activation: Any = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            **options,
        )
        self.groups = check_positive(self.name, "groups", groups)

    def _kernel_shape(self, channels: int) -> tuple[int, ...]:
        for name, number in (("channels", channels), ("filters", self.filters)):
            if number % self.groups:
                raise ArgumentError(
                    f"{name} are split into equal groups",
                    where=self.name,
                    got=f"{number} {name}, groups={self.groups}",
                )
        return (*self.kernel_size, channels // self.groups, self.filters)

    def _weighed(self, inputs: Tensor) -> Tensor:
        return self._convolved(inputs, self.kernel.value, self.groups)


def spec_of(channels: int, rank: int, data_format: str) -> InputSpec:
    """What a layer demands that was built for so many channels."""
    axis = -1 if data_format == FORMATS[0] else 1
    return InputSpec(ndim=rank + 2, axes={axis: channels})


class Conv1D(Convolution):
    """Windows over one axis, weighted and summed: `(samples, steps, channels)`.

    See `Convolution` for the arguments, `functional.conv` for the formula.

    Example:
        >>> Conv1D(8, 3, padding="causal")(functional.zeros((2, 10, 4))).shape
        (2, 10, 8)
    """

    rank = 1
    PADDINGS = ("valid", "same", "causal")


class Conv2D(Convolution):
    """Windows over images, weighted and summed: `(samples, height, width, channels)`.

    LeCun et al., "Gradient-based learning applied to document recognition", 1998. See
    `Convolution` for the arguments, `functional.conv` for the formula.

    Example:
        >>> layer = Conv2D(32, 3, activation="relu")
        >>> layer(functional.zeros((2, 28, 28, 1))).shape, layer.count_params()
        ((2, 26, 26, 32), 320)
    """

    rank = 2


class Conv3D(Convolution):
    """Windows over volumes: `(samples, depth, height, width, channels)`.

    See `Convolution` for the arguments, `functional.conv` for the formula.

    Example:
        >>> Conv3D(4, 3, padding="same")(functional.zeros((1, 4, 5, 6, 2))).shape
        (1, 4, 5, 6, 4)
    """

    rank = 3


class ConvolutionTranspose(KernelLayer):
    """Base of transposed convolutions, which undo the shapes of convolutions.

    Dumoulin, Visin, "A guide to convolution arithmetic for deep learning", arXiv
    1603.07285.

    Args:
        filters: the number of outputs at each position.
        kernel_size: lengths of the window.
        strides: how far windows are apart in the output.
        padding: `valid` or `same`.
        output_padding: how much longer the output is than needed; None as in Keras.
        data_format: `channels_last` (the default) or `channels_first`.
        dilation_rate: how far the elements of a window are apart.
        activation: a name such as `relu`, or a function; none by default.
        **options: see `KernelOptions`; the kernel is
            `(*kernel_size, filters, channels)`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        output_padding: int | Sequence[int] | None = None,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            **options,
        )
        self.output_padding = (
            None
            if output_padding is None
            else as_lengths("output_padding", output_padding, self.rank, 0)
        )

    def _kernel_shape(self, channels: int) -> tuple[int, ...]:
        return (*self.kernel_size, self.filters, channels)

    def _weighed(self, inputs: Tensor) -> Tensor:
        return conv_transpose(
            inputs,
            self.kernel.value,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation_rate,
        )


class Conv1DTranspose(ConvolutionTranspose):
    """The transposed `Conv1D`; see `ConvolutionTranspose`.

    Example:
        >>> layer = Conv1DTranspose(8, 3, strides=2, padding="same")
        >>> layer(functional.zeros((2, 10, 4))).shape
        (2, 20, 8)
    """

    rank = 1


class Conv2DTranspose(ConvolutionTranspose):
    """The transposed `Conv2D`; see `ConvolutionTranspose`.

    Example:
        >>> Conv2DTranspose(8, 2, strides=2)(functional.zeros((2, 7, 7, 4))).shape
        (2, 14, 14, 8)
    """

    rank = 2


class Conv3DTranspose(ConvolutionTranspose):
    """The transposed `Conv3D`; see `ConvolutionTranspose`.

    Example:
        >>> Conv3DTranspose(1, 2, strides=2)(functional.zeros((1, 2, 3, 4, 2))).shape
        (1, 4, 6, 8, 1)
    """

    rank = 3
