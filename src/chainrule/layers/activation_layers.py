"""Activations that have parameters of their own, as layers."""

from __future__ import annotations

from typing import Unpack

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.layers.layer import Layer, LayerOptions


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
        if (self.negative_slope, self.threshold) == (0, 0):
            outputs = functional.relu(inputs)
        else:
            below = (inputs - self.threshold) * self.negative_slope
            outputs = functional.where(inputs < self.threshold, below, inputs)
        if self.max_value is None:
            return outputs
        return functional.where(inputs < self.max_value, outputs, self.max_value)


class LeakyReLU(Layer):
    """`x` where positive, else `negative_slope * x`: no unit is ever dead.

    Args:
        negative_slope: the slope for negative inputs.
        **options: see `LayerOptions`.

    Example:
        >>> LeakyReLU(0.5)([-1.0, 2.0]).numpy().tolist()
        [-0.5, 2.0]
    """

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

    def __init__(self, alpha: float = 1.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.alpha = alpha

    def call(self, inputs: Tensor) -> Tensor:
        """The exponential linear unit of the input."""
        return functional.elu(inputs, self.alpha)


class Softmax(Layer):
    """`exp(x) / sum(exp(x))`: numbers made into probabilities that sum to 1.

    Args:
        axis: the axis of the classes.
        **options: see `LayerOptions`.

    Example:
        >>> Softmax()([[1.0, 1.0]]).numpy().tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Tensor) -> Tensor:
        """The probabilities."""
        return functional.softmax(inputs, axis=self.axis)


def _check_not_negative(where: str, argument: str, value: float | None) -> None:
    if value is not None and not value >= 0:
        raise ArgumentError(
            f"{argument} must not be negative",
            where=where,
            got=f"{argument}={value!r}",
            expected="0 or more",
        )
