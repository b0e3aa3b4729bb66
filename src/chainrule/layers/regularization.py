"""Layers that act while training alone, so that a network does not learn by heart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from chainrule import functional, regularizers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import (
    InputShape,
    Layer,
    LayerOptions,
    check_data_format,
)

Shape = tuple[int, ...]

# The constants of the SELU activation, for whose outputs `AlphaDropout` is made.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


class RandomLayer(Layer):
    """Base of layers that draw random numbers while training.

    What is drawn is a function of the key of `chainrule.random.stream` in force: the
    same seed and step give the same numbers.

    Args:
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.
    """

    supports_masking = True

    def __init__(
        self, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.seed = seed

    def _key(self) -> Tensor:
        """The key of this call."""
        key = random.next_key()
        return key if self.seed is None else random.fold_in(key, self.seed)

    def _kept(self, rate: float, shape: Shape) -> Tensor:
        """True with probability `1 - rate`."""
        return random.bits(self._key(), shape) >= np.uint32(round(rate * 2**32))


class Dropout(RandomLayer):
    """While training sets a share of the inputs to 0, and scales up the rest.

    Each input is kept with probability `1 - rate` and then divided by it, so that sums
    stay the same on average; otherwise the input passes unchanged. Srivastava, Hinton,
    Krizhevsky, Sutskever, Salakhutdinov, "Dropout", JMLR 2014.

    Args:
        rate: the share that is dropped, from 0 up to but not including 1.
        noise_shape: the shape of the mask where several inputs share one; None or -1
            stands for the length of the input.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.

    Example:
        >>> layer = Dropout(0.5)
        >>> layer([[1.0, 2.0]]).numpy().tolist()
        [[1.0, 2.0]]
        >>> dropped = layer(functional.ones((100, 100)), training=True).numpy()
        >>> sorted(set(dropped.ravel().tolist()))
        [0.0, 2.0]
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, **options)
        self.rate = check_rate(self.name, rate)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The input, with a share of it dropped while training."""
        if not training or self.rate == 0:
            return inputs
        shape = mask_shape(self.name, self.noise_shape, inputs.shape)
        keep = self._kept(self.rate, shape)
        return functional.where(keep, inputs * (1 / (1 - self.rate)), 0.0)


class AlphaDropout(RandomLayer):
    """Dropout for `selu`: mean and variance of the outputs stay what they are.

    What is dropped becomes the value that `selu` has far to the left, and then all is
    scaled and moved. Klambauer, Unterthiner, Mayr, Hochreiter, "Self-normalizing neural
    networks", NeurIPS 2017.

    Args:
        rate: the share that is dropped, from 0 up to but not including 1.
        noise_shape: as for `Dropout`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.

    Example:
        >>> x = functional.asarray(np.random.default_rng(0).normal(size=(500, 100)))
        >>> dropped = AlphaDropout(0.3, seed=1)(x, training=True).numpy()
        >>> bool(abs(dropped.mean()) < 0.02), bool(abs(dropped.var() - 1) < 0.02)
        (True, True)
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, **options)
        self.rate = check_rate(self.name, rate)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The input, with a share of it dropped while training."""
        if not training or self.rate == 0:
            return inputs
        shape = mask_shape(self.name, self.noise_shape, inputs.shape)
        lowest = -SELU_ALPHA * SELU_SCALE
        scale = ((1 - self.rate) * (1 + self.rate * lowest**2)) ** -0.5
        kept = functional.where(self._kept(self.rate, shape), inputs, lowest)
        return kept * scale - scale * lowest * self.rate


class SpatialDropout(RandomLayer):
    """Base of dropout that drops whole feature maps.

    Args:
        rate: the share of feature maps that is dropped.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.
    """

    axes: int
    data_format = "channels_last"

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, **options)
        self.rate = check_rate(self.name, rate)

    def build(self, input_shape: InputShape) -> None:
        """Remember how many axes samples have."""
        self.input_spec = InputSpec(ndim=self.axes)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The input, with a share of its feature maps dropped while training."""
        if not training or self.rate == 0:
            return inputs
        channels = 1 if self.data_format == "channels_first" else self.axes - 1
        shape = tuple(
            n if i in (0, channels) else 1 for i, n in enumerate(inputs.shape)
        )
        keep = self._kept(self.rate, shape)
        return functional.where(keep, inputs * (1 / (1 - self.rate)), 0.0)


class SpatialDropout1D(SpatialDropout):
    """Drops whole channels of sequences `(samples, steps, channels)`.

    Neighbours in a sequence are alike, so that dropping single numbers hides little.
    Tompson, Goroshin, Jain, LeCun, Bregler, "Efficient object localization using
    convolutional networks", CVPR 2015.

    Args:
        rate: the share of channels that is dropped.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.

    Example:
        >>> dropped = SpatialDropout1D(0.5)(functional.ones((2, 9, 4)), training=True)
        >>> sums = dropped.numpy().sum(axis=1)
        >>> sorted(set(sums.ravel().tolist()))
        [0.0, 18.0]
    """

    axes = 3


class SpatialDropout2D(SpatialDropout):
    """Drops whole channels of images `(samples, height, width, channels)`.

    See `SpatialDropout1D`.

    Args:
        rate: the share of channels that is dropped.
        data_format: `channels_last` or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.

    Example:
        >>> images = functional.ones((2, 3, 3, 4))
        >>> sums = SpatialDropout2D(0.5)(images, training=True).numpy().sum((1, 2))
        >>> set(sums.ravel().tolist()) <= {0.0, 18.0}
        True
    """

    axes = 4

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(rate, seed, **options)
        self.data_format = check_data_format(self.name, data_format)


class SpatialDropout3D(SpatialDropout):
    """Drops whole channels of volumes `(samples, depth, height, width, channels)`.

    See `SpatialDropout1D`.

    Args:
        rate: the share of channels that is dropped.
        data_format: `channels_last` or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.

    Example:
        >>> volumes = functional.ones((2, 2, 2, 2, 4))
        >>> sums = SpatialDropout3D(0.5)(volumes, training=True).numpy().sum((1, 2, 3))
        >>> set(sums.ravel().tolist()) <= {0.0, 16.0}
        True
    """

    axes = 5

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(rate, seed, **options)
        self.data_format = check_data_format(self.name, data_format)


class StochasticDepth(RandomLayer):
    """Adds a residual to its shortcut, while training for a share of the samples only.

    `shortcut + b / (1 - rate) * residual`, with b drawn for each sample: 0 with
    probability `rate`, else 1; otherwise `shortcut + residual`. Called with one input
    instead of `[shortcut, residual]`, that is the residual, and the sum is left to
    others. Huang, Sun, Liu, Sedra, Weinberger, "Deep networks with stochastic depth",
    ECCV 2016.

    Args:
        rate: the share of samples whose residual is dropped.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.

    Example:
        >>> shortcut, residual = functional.ones((100, 1)), functional.ones((100, 1))
        >>> outputs = StochasticDepth(0.5)([shortcut, residual], training=True)
        >>> sorted(set(outputs.numpy().ravel().tolist()))
        [1.0, 3.0]
    """

    def __init__(
        self,
        rate: float = 0.5,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, **options)
        self.rate = check_rate(self.name, rate)

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """The sum, or the residual where there is no shortcut."""
        if not isinstance(inputs, (list, tuple)):
            return self._sometimes(inputs, training)
        if len(inputs) != 2:
            raise ArgumentError(
                "the inputs are a shortcut and a residual",
                where=self.name,
                got=f"{len(inputs)} inputs",
                expected="[shortcut, residual]",
            )
        shortcut, residual = inputs
        return shortcut + self._sometimes(residual, training)

    def _sometimes(self, residual: Tensor, training: bool) -> Tensor:
        if not training or self.rate == 0:
            return residual
        shape = (*residual.shape[:1], *(1 for _ in residual.shape[1:]))
        keep = self._kept(self.rate, shape)
        return functional.where(keep, residual * (1 / (1 - self.rate)), 0.0)


class GaussianNoise(RandomLayer):
    """While training adds normal noise of mean 0.

    Args:
        stddev: the standard deviation of the noise.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.

    Example:
        >>> noisy = GaussianNoise(0.5)(functional.zeros((100, 100)), training=True)
        >>> bool(abs(noisy.numpy().std() - 0.5) < 0.02)
        True
    """

    def __init__(
        self, stddev: float, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(seed, **options)
        if isinstance(stddev, (str, bool)) or not 0 <= stddev < math.inf:
            raise ArgumentError(
                "a standard deviation is not negative",
                where=self.name,
                got=f"stddev={stddev!r}",
                expected="0 or more",
            )
        self.stddev = stddev

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The input, with noise while training."""
        if not training or self.stddev == 0:
            return inputs
        drawn = random.normal(self._key(), inputs.shape, dtype=inputs.dtype)
        return inputs + drawn * self.stddev


class GaussianDropout(RandomLayer):
    """While training multiplies by normal noise of mean 1.

    Its standard deviation is `sqrt(rate / (1 - rate))`, as that of the mask of
    `Dropout`. Srivastava et al., "Dropout", JMLR 2014, section 10.

    Args:
        rate: the share that `Dropout` would drop, from 0 up to but not including 1.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `LayerOptions`.

    Example:
        >>> noisy = GaussianDropout(0.5)(functional.ones((100, 100)), training=True)
        >>> bool(abs(noisy.numpy().std() - 1.0) < 0.03)
        True
    """

    def __init__(
        self, rate: float, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(seed, **options)
        self.rate = check_rate(self.name, rate)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The input, times noise while training."""
        if not training or self.rate == 0:
            return inputs
        drawn = random.normal(self._key(), inputs.shape, dtype=inputs.dtype)
        return inputs * (drawn * math.sqrt(self.rate / (1 - self.rate)) + 1.0)


class ActivityRegularization(Layer):
    """Hands its input on, and adds a penalty on it to the loss.

    `l1 * sum(|x|) + l2 * sum(x ** 2)`, divided by the number of samples.

    Args:
        l1: the factor of the absolute values.
        l2: the factor of the squares.
        **options: see `LayerOptions`.

    Example:
        >>> layer = ActivityRegularization(l1=0.5)
        >>> outputs = layer([[1.0], [-3.0]])
        >>> [loss.item() for loss in layer.losses]
        [1.0]
    """

    supports_masking = True

    def __init__(
        self, l1: float = 0.0, l2: float = 0.0, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.penalty = regularizers.L1L2(l1, l2)
        self.l1 = l1
        self.l2 = l2

    def call(self, inputs: Tensor) -> Tensor:
        """The input."""
        self.add_loss(self.penalty(inputs) / max(1, inputs.shape[0]))
        return inputs


def check_rate(where: str, rate: Any) -> float:
    """`rate` as the share of what is dropped.

    Raises:
        ArgumentError: when it is not in [0, 1).
    """
    number = isinstance(rate, (int, float, np.number)) and not isinstance(rate, bool)
    if not number or not 0 <= rate < 1:
        raise ArgumentError(
            "the rate is the share of inputs that are dropped",
            where=where,
            got=f"rate={rate!r}",
            expected="0 <= rate < 1",
            fix=f"rate={rate / 100}" if number and 1 < rate < 100 else None,
        )
    return float(rate)


def mask_shape(
    where: str, noise_shape: Sequence[int | None] | None, shape: Shape
) -> Shape:
    """The shape of a mask; None and -1 stand for the length of the input.

    Raises:
        ShapeError: when a mask of this shape does not fit.
    """
    if noise_shape is None:
        return shape
    fits = len(noise_shape) == len(shape) and all(
        n in (None, -1, 1, own) for n, own in zip(noise_shape, shape, strict=True)
    )
    if not fits:
        raise ShapeError(
            "the mask does not fit the input",
            where=where,
            got=f"noise_shape={tuple(noise_shape)}",
            expected=f"{len(shape)} lengths that are 1 or those of {shape}",
        )
    pairs = zip(noise_shape, shape, strict=True)
    return tuple(own if n in (None, -1) else int(n or 0) for n, own in pairs)
