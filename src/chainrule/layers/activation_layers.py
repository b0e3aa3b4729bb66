"""Activations that have parameters of their own, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from chainrule import constraints, functional, initializers, regularizers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import InputShape, Layer, LayerOptions


class ReLU(Layer):
    """`max(x, 0)`, and its variants.

    `max_value` where `x >= max_value`; x from `threshold` on; below it
    `negative_slope * (x - threshold)`.

    Args:
        max_value: where the output ends; None for nowhere.
        negative_slope: the slope below the threshold.
        threshold: where the output begins.
        **options: see `LayerOptions`.

    Example:
        >>> ReLU(max_value=6.0)([-1.0, 2.0, 9.0]).numpy().tolist()
        [0.0, 2.0, 6.0]
    """

    supports_masking = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        given = {
            "max_value": max_value,
            "negative_slope": negative_slope,
            "threshold": threshold,
        }
        for argument, value in given.items():
            _check_not_negative(self.name, argument, value)
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def call(self, inputs: Tensor) -> Tensor:
        """The rectified input."""
        return functional.relu(
            inputs, self.negative_slope, self.max_value, self.threshold
        )


class LeakyReLU(Layer):
    """`x` where positive, else `negative_slope * x`: no unit is ever dead.

    Args:
        negative_slope: the slope for negative inputs.
        **options: see `LayerOptions`.

    Example:
        >>> LeakyReLU(0.5)([-1.0, 2.0]).numpy().tolist()
        [-0.5, 2.0]
    """

    supports_masking = True

    def __init__(
        self, negative_slope: float = 0.3, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        _check_not_negative(self.name, "negative_slope", negative_slope)
        self.negative_slope = negative_slope

    def call(self, inputs: Tensor) -> Tensor:
        """The leaky rectified input."""
        return functional.leaky_relu(inputs, self.negative_slope)


class ELU(Layer):
    """`x` where positive, else `alpha * (exp(x) - 1)`.

    Clevert, Unterthiner, Hochreiter, "Fast and accurate deep network learning by
    exponential linear units", ICLR 2016.

    Args:
        alpha: what the output goes to, negated, for very negative inputs.
        **options: see `LayerOptions`.

    Example:
        >>> ELU()([-100.0, 2.0]).numpy().tolist()
        [-1.0, 2.0]
    """

    supports_masking = True

    def __init__(self, alpha: float = 1.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.alpha = alpha

    def call(self, inputs: Tensor) -> Tensor:
        """The exponential linear unit of the input."""
        return functional.elu(inputs, self.alpha)


class PReLU(Layer):
    """`x` where positive, else `alpha * x`, with a learnt alpha for every feature.

    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015.

    Args:
        alpha_initializer: of the slopes.
        alpha_regularizer: a penalty on the slopes.
        alpha_constraint: a limit of the slopes.
        shared_axes: axes along which all features have one slope, counted from 1: `[1,
            2]` for the pixels of an image.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when a shared axis does not exist.
        ShapeError: when the length of an axis that is not shared is not known.

    Example:
        >>> PReLU(alpha_initializer="ones")([[-1.0, 2.0]]).numpy().tolist()
        [[-1.0, 2.0]]
    """

    supports_masking = True

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        if isinstance(shared_axes, int):
            shared_axes = [shared_axes]
        self.shared_axes = None if shared_axes is None else list(shared_axes)

    def build(self, input_shape: InputShape) -> None:
        """Make the slopes."""
        shared, rank = self.shared_axes or [], len(input_shape)
        if any(not 1 <= axis < rank for axis in shared):
            raise ArgumentError(
                "an axis of a sample is counted from 1",
                where=self.name,
                got=f"shared_axes={shared} for an input of shape {input_shape}",
                expected=f"1 to {rank - 1}",
            )
        known = {i: n for i, n in enumerate(input_shape) if i and i not in shared}
        shape = [known.get(i, 1) for i in range(1, rank)]
        if None in shape:
            raise ShapeError(
                "an axis with slopes of its own must have a known length",
                where=self.name,
                got=input_shape,
                fix="name it in shared_axes, or give the first layer input_shape=...",
            )
        self.alpha = self.add_weight(
            "alpha",
            [n or 0 for n in shape],
            self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        self.input_spec = InputSpec(
            ndim=rank, axes={i: n for i, n in known.items() if n is not None}
        )

    def call(self, inputs: Tensor) -> Tensor:
        """The rectified input."""
        return functional.where(inputs > 0, inputs, inputs * self.alpha.value)


class Softmax(Layer):
    """`exp(x) / sum(exp(x))`: numbers made into probabilities that sum to 1.

    Args:
        axis: the axis of the classes, or several.
        **options: see `LayerOptions`.

    Example:
        >>> Softmax()([[1.0, 1.0]]).numpy().tolist()
        [[0.5, 0.5]]
        >>> Softmax()([[1.0, 2.0]], mask=functional.asarray([[True, False]])).tolist()
        [[1.0, 0.0]]
    """

    wide = True

    mask_of_steps = False  # its mask is one of classes
    supports_masking = True

    def __init__(
        self, axis: int | Sequence[int] = -1, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.axis = axis if isinstance(axis, int) else list(axis)

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        """The probabilities.

        Args:
            inputs: the scores.
            mask: true (or above 0.5) for what takes part; the rest has probability 0.
                It broadcasts to the input.
        """
        axis = self.axis if isinstance(self.axis, int) else tuple(self.axis)
        if mask is None:
            return functional.softmax(inputs, axis=axis)
        keep = functional.asarray(mask)
        if keep.dtype.name != "bool":
            keep = keep > 0.5
        scores = functional.where(keep, inputs, -1e9)
        return functional.where(keep, functional.softmax(scores, axis=axis), 0.0)


def _check_not_negative(where: str, argument: str, value: float | None) -> None:
    if value is not None and not value >= 0:
        raise ArgumentError(
            f"{argument} must not be negative",
            where=where,
            got=f"{argument}={value!r}",
            expected="0 or more",
        )
