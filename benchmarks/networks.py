"""What networks are made of: layers as data, which every system reads in its own terms.

A layer knows the shape of what it gives, its kernel, and the arithmetic that takes;
shapes are those of one sample, channels last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A layer without weights that gives what it got, in another way."""

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives for inputs of this shape."""
        return shape

    def kernel(self, shape: Shape) -> Shape | None:
        """The shape of its kernel, if it has one."""
        return None

    def arrays(self, shape: Shape) -> dict[str, Shape]:
        """The names and shapes of its weights, if they are more than a kernel."""
        return {}

    def multiply_adds(self, shape: Shape) -> int:
        """Those of its product for one sample."""
        return 0

    def inputs_multiply_adds(self, shape: Shape) -> int:
        """Those with the layer's inputs; the first layer's need no gradient."""
        return self.multiply_adds(shape)


@dataclass(frozen=True)
class Dense(Layer):
    """A dense layer; `activation` is "relu" or none."""

    units: int
    activation: str | None = None

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return (*shape[:-1], self.units)

    def kernel(self, shape: Shape) -> Shape:
        """Taps, then channels in and out."""
        return (shape[-1], self.units)

    def multiply_adds(self, shape: Shape) -> int:
        """Those of its product for one sample."""
        return prod(shape) * self.units


@dataclass(frozen=True)
class Dropout(Layer):
    """Dropout of this share of its inputs."""

    rate: float


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalization of every channel, with a scale and an offset.

    `momentum` is the share of the old in the moving statistics.
    """

    momentum: float = 0.99


@dataclass(frozen=True)
class Relu(Layer):
    """`max(x, 0)`."""


@dataclass(frozen=True)
class Conv(Layer):
    """A convolution over all axes but the channels.

    With `same`, half a kernel of zeros lies on all sides, whatever the stride.
    """

    filters: int
    kernel_size: int
    strides: int = 1
    padding: str = "same"
    activation: str | None = None
    use_bias: bool = True

    @property
    def border(self) -> int:
        """Zeros on every side."""
        return self.kernel_size // 2 if self.padding == "same" else 0

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        *sides, _ = shape
        more = 2 * self.border - self.kernel_size
        return (*((n + more) // self.strides + 1 for n in sides), self.filters)

    def kernel(self, shape: Shape) -> Shape:
        """Taps, then channels in and out."""
        return (*[self.kernel_size] * (len(shape) - 1), shape[-1], self.filters)

    def multiply_adds(self, shape: Shape) -> int:
        """Those of its product for one sample."""
        *sides, _ = self.result(shape)
        return prod(sides) * prod(self.kernel(shape))


@dataclass(frozen=True)
class Depthwise(Layer):
    """A convolution of every channel by itself, without bias, padded as `Conv`."""

    kernel_size: int
    strides: int = 1

    @property
    def border(self) -> int:
        """Zeros on every side."""
        return self.kernel_size // 2

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return Conv(shape[-1], self.kernel_size, self.strides).result(shape)

    def kernel(self, shape: Shape) -> Shape:
        """Taps, then channels in and out."""
        return (*[self.kernel_size] * (len(shape) - 1), shape[-1], 1)

    def multiply_adds(self, shape: Shape) -> int:
        """Those of its product for one sample."""
        *sides, _ = self.result(shape)
        return prod(sides) * prod(self.kernel(shape))


@dataclass(frozen=True)
class Enlarge(Layer):
    """A transposed convolution with kernels and strides of 2: twice the size."""

    filters: int

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return (*(2 * n for n in shape[:-1]), self.filters)

    def kernel(self, shape: Shape) -> Shape:
        """Taps, then channels in and out."""
        return (*[2] * (len(shape) - 1), shape[-1], self.filters)

    def multiply_adds(self, shape: Shape) -> int:
        """Those of its product for one sample."""
        return prod(shape[:-1]) * prod(self.kernel(shape))


@dataclass(frozen=True)
class MaxPool(Layer):
    """The largest of every window; what does not fill a window is left out."""

    size: int = 2

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return (*(n // self.size for n in shape[:-1]), shape[-1])


@dataclass(frozen=True)
class GlobalAverage(Layer):
    """The mean over all positions."""

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return shape[-1:]


@dataclass(frozen=True)
class Flatten(Layer):
    """All positions and channels as one axis."""

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return (prod(shape),)


@dataclass(frozen=True)
class Widen(Layer):
    """Every second position; new channels of zeros on both sides of the old ones."""

    filters: int

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return (*(-(-n // 2) for n in shape[:-1]), self.filters)

    def sides(self, shape: Shape) -> tuple[int, int]:
        """How many channels are new before and after the old ones."""
        new = self.filters - shape[-1]
        return new // 2, new - new // 2


@dataclass(frozen=True)
class Residual(Layer):
    """What the layers inside give, plus what comes by the shortcut."""

    inside: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return result_of(self.inside, shape)


@dataclass(frozen=True)
class Beside(Layer):
    """The input, and behind its channels those that the layers inside give."""

    inside: tuple[Layer, ...]

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        *sides, channels = result_of(self.inside, shape)
        return (*sides, shape[-1] + channels)


def result_of(layers: Sequence[Layer], shape: Shape) -> Shape:
    """The shape of what these layers give one after the other.

    Example:
        >>> result_of([Conv(8, 3, strides=2), Beside((Relu(),))], (9, 8, 3))
        (5, 4, 16)
    """
    for layer in layers:
        shape = layer.result(shape)
    return shape


def walk(layers: Sequence[Layer], shape: Shape) -> Iterator[tuple[Layer, Shape]]:
    """All layers with the shapes of their inputs, those inside before what holds them.

    Example:
        >>> block = Residual((Conv(3, 3), Relu()))
        >>> [type(layer).__name__ for layer, _ in walk([block, Flatten()], (4, 4, 3))]
        ['Conv', 'Relu', 'Residual', 'Flatten']
    """
    for layer in layers:
        if isinstance(layer, Residual | Beside):
            yield from walk(layer.inside, shape)
        if isinstance(layer, Residual):
            yield from walk(layer.shortcut, shape)
        yield layer, shape
        shape = layer.result(shape)


def branches(layers: Sequence[Layer]) -> bool:
    """Whether the network is more than one layer after the other."""
    return any(isinstance(layer, Residual | Beside) for layer in layers)


def has_bias(layer: Layer) -> bool:
    """Whether its product is followed by a sum."""
    if isinstance(layer, Conv):
        return layer.use_bias
    return isinstance(layer, Dense | Enlarge)


def initial_weights(
    layers: Sequence[Layer], shape: Shape, seed: int
) -> list[tuple[Array, ...] | dict[str, Array]]:
    """Weights in the order of `walk`, for systems that have no layers of their own.

    Kernels by Glorot and Bengio, biases of 0; scales of 1 and offsets of 0. Layers with
    `arrays` have them by name.
    """
    random = np.random.default_rng(seed)
    weights: list[tuple[Array, ...] | dict[str, Array]] = []
    for layer, entering in walk(layers, shape):
        kernel, arrays = layer.kernel(entering), layer.arrays(entering)
        if kernel is not None:
            bias = [np.zeros(kernel[-1], np.float32)] * has_bias(layer)
            weights.append((_drawn(random, kernel), *bias))
        elif isinstance(layer, BatchNorm):
            channels = entering[-1]
            ones, zeros = np.ones(channels, "f4"), np.zeros(channels, "f4")
            weights.append((ones, zeros))
        elif arrays:
            weights.append(
                {name: _named(random, name, arrays[name]) for name in arrays}
            )
    return weights


def _drawn(random: np.random.Generator, kernel: Shape) -> Array:
    """A kernel by Glorot and Bengio: taps, then channels in and out."""
    taps, (inputs, outputs) = prod(kernel[:-2]), kernel[-2:]
    limit = np.sqrt(6 / (taps * (inputs + outputs)))
    return random.uniform(-limit, limit, kernel).astype(np.float32)


def _named(random: np.random.Generator, name: str, shape: Shape) -> Array:
    """Ones, zeros or drawn numbers, as the name says."""
    if name.endswith("scale"):
        return np.ones(shape, np.float32)
    if name.endswith("bias"):
        return np.zeros(shape, np.float32)
    if name.endswith("table"):
        return random.uniform(-0.05, 0.05, shape).astype(np.float32)
    return _drawn(random, shape)


def count_weights(layers: Sequence[Layer], shape: Shape) -> int:
    """How many numbers are trained."""
    count = 0
    for arrays in initial_weights(layers, shape, 0):
        found = arrays.values() if isinstance(arrays, dict) else arrays
        count += sum(array.size for array in found)
    return count


def initial_statistics(
    layers: Sequence[Layer], shape: Shape
) -> list[tuple[Array, ...]]:
    """A moving mean of 0 and a moving variance of 1 for each normalization."""
    return [
        (np.zeros(entering[-1], np.float32), np.ones(entering[-1], np.float32))
        for layer, entering in walk(layers, shape)
        if isinstance(layer, BatchNorm)
    ]
