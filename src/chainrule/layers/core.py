"""The layers that networks are made of first: dense layers and activations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from chainrule import activations, constraints, functional, initializers, regularizers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import (
    InputShape,
    Layer,
    LayerOptions,
    check_positive,
)


class Dense(Layer):
    """Every output is a weighted sum of all inputs: `activation(x @ kernel + bias)`.

    Acts on the last axis; the axes before it are all samples. `(rows, inputs)` becomes
    `(rows, units)`.

    Args:
        units: the number of outputs.
        activation: a name such as `relu`, or a function; none by default.
        use_bias: whether to add a bias.
        kernel_initializer: of the kernel, of shape `(inputs, units)`.
        bias_initializer: of the bias, of shape `(units,)`.
        kernel_regularizer: a penalty on the kernel, such as `l2`; see `regularizers`.
        bias_regularizer: a penalty on the bias.
        kernel_constraint: a limit of the kernel, such as `max_norm`; see
            `constraints`.
        bias_constraint: a limit of the bias.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when `units` is no positive integer, or a name is unknown.
        ShapeError: when the input has another width than at the first call.

    Example:
        >>> layer = Dense(10, activation="relu")
        >>> layer(functional.zeros((32, 784))).shape, layer.count_params()
        ((32, 10), 7850)
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.units = check_positive(self.name, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: InputShape) -> None:
        """Make the kernel and the bias."""
        inputs = known_width(self.name, input_shape)
        self.kernel = self.add_weight(
            "kernel",
            (inputs, self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: inputs})

    def call(self, inputs: Tensor) -> Tensor:
        """`activation(inputs @ kernel + bias)`."""
        outputs = functional.matmul(inputs, self.kernel.value)
        if self.use_bias:
            outputs = outputs + self.bias.value
        result: Tensor = self.activation(outputs)
        return result


def known_width(where: str, input_shape: InputShape) -> int:
    """The length of the last axis, which a kernel depends on.

    Raises:
        ShapeError: when there is none, or it is not known.

    Example:
        >>> known_width("dense", (None, 784))
        784
    """
    if len(input_shape) < 2:
        raise ShapeError(
            "the input has no axis of samples, or no axis of features",
            where=where,
            got=input_shape,
            expected="(samples, ..., features)",
            fix="one sample: x[None]; one feature: x[:, None]",
        )
    if input_shape[-1] is None:
        raise ShapeError(
            "the last axis of the input must have a known length",
            where=where,
            got=input_shape,
            fix="give the first layer the shape of a sample: input_shape=(784,)",
        )
    return input_shape[-1]


class Activation(Layer):
    """Applies a function to its input.

    Args:
        activation: a name such as `relu`, or a function.
        **options: see `LayerOptions`.

    Example:
        >>> Activation("relu")([-1.0, 2.0]).numpy().tolist()
        [0.0, 2.0]
    """

    supports_masking = True

    def __init__(self, activation: Any, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def call(self, inputs: Tensor) -> Tensor:
        """The function of the input."""
        result: Tensor = self.activation(inputs)
        return result


class Identity(Layer):
    """Hands its input on.

    Example:
        >>> Identity()([1.0, 2.0]).tolist()
        [1.0, 2.0]
    """

    supports_masking = True

    def call(self, inputs: Any) -> Any:
        """The input."""
        return inputs


class Lambda(Layer):
    """Applies a function of your own.

    It trains, and it is compiled, as any layer; but a model that holds one cannot be
    saved: a file would have to hold Python code, and loading a file never runs code.
    Write a class with `call` instead for what shall be saved.

    Args:
        function: of the input; it may take `training` and `mask` as well.
        output_shape: not needed: shapes are found by tracing. Taken as in Keras.
        mask: a mask that is handed to the function where the call gives none.
        arguments: further keywords for the function.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when `function` is none, and when it is asked for its config.

    Example:
        >>> Lambda(lambda x, power: x**power, arguments={"power": 2})([3.0]).tolist()
        [9.0]
    """

    supports_masking = True

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if not callable(function):
            raise ArgumentError(
                "a Lambda applies a function",
                where=self.name,
                got=repr(function),
                fix="Lambda(lambda x: x * 2)",
            )
        self.function = function
        self.output_shape = output_shape
        self.mask = mask
        self.arguments = dict(arguments or {})
        try:
            taken = list(inspect.signature(function).parameters)
        except ValueError:  # some functions written in C have none
            taken = []
        self._takes = {name for name in ("training", "mask") if name in taken}

    def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        """The function of the input."""
        told = {"training": training, "mask": self.mask if mask is None else mask}
        chosen = {name: told[name] for name in self._takes}
        return self.function(inputs, **self.arguments, **chosen)

    def get_config(self) -> dict[str, Any]:
        """Refused: no config describes a function."""
        raise ArgumentError(
            "a Lambda cannot be saved: it holds Python code, and loading a file never "
            "runs code",
            where=self.name,
            got=repr(self.function),
            expected="a layer that is described by its arguments",
            fix="class Mine(Layer), with call(self, inputs); when loading, with "
            "chainrule.configurable.custom_object_scope({'Mine': Mine})",
        )
