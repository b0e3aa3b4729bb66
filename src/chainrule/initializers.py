"""Initial values of weights.

An initializer is called with a shape and returns a tensor. Random ones draw from
`chainrule.random`: with a `seed` the same numbers at every call, without one the next
numbers of the stream that `chainrule.set_seed` starts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import functional
from chainrule.configurable import Configurable, Registry
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import DTypeLike
from chainrule.ir.value import Value

REGISTRY = Registry("initializer", "kernel_initializer")
MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")

# The standard deviation of a normal distribution cut off at two of its own.
TRUNCATED_SPREAD = 0.87962566103423978


def compute_fans(shape: Sequence[int]) -> tuple[int, int]:
    """How many inputs a unit of this kernel has, and how many outputs an input.

    A kernel has its inputs on the last axis but one, its units on the last, and the
    axes of its window before them.

    Example:
        >>> compute_fans((784, 128)), compute_fans((3, 3, 16, 32))
        ((784, 128), (144, 288))
    """
    if len(shape) < 2:
        length = shape[0] if shape else 1
        return length, length
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


class Initializer(Configurable):
    """Base of initializers: subclasses define `__call__(shape, dtype)`.

    Example:
        >>> class Halves(Initializer):
        ...     def __call__(self, shape, dtype="float32"):
        ...         return functional.full(shape, 0.5, dtype=dtype)
        >>> Halves()((2,)).numpy().tolist()
        [0.5, 0.5]
    """

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """A tensor of this shape and dtype."""
        raise NotImplementedError


class Zeros(Initializer):
    """Zeros.

    Example:
        >>> Zeros()((2,)).numpy().tolist()
        [0.0, 0.0]
    """

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """Zeros of this shape."""
        return functional.zeros(tuple(shape), dtype=dtype)


class Ones(Initializer):
    """Ones.

    Example:
        >>> Ones()((2,)).numpy().tolist()
        [1.0, 1.0]
    """

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """Ones of this shape."""
        return functional.ones(tuple(shape), dtype=dtype)


class Constant(Initializer):
    """One value everywhere, or given values.

    Args:
        value: a number, or an array that broadcasts to the shape.

    Example:
        >>> Constant(0.1)((2,)).numpy().tolist() == [np.float32(0.1)] * 2
        True
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """The value, broadcast to this shape."""
        value = functional.asarray(self.value, dtype=dtype)
        return functional.broadcast_to(value, tuple(shape))


class Identity(Initializer):
    """A matrix with `gain` on its diagonal and zeros elsewhere.

    Example:
        >>> Identity(2.0)((2, 3)).numpy().tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """The matrix of this shape."""
        if len(shape) != 2:
            raise ShapeError(
                "an identity is a matrix",
                where="Identity",
                got=tuple(shape),
                expected="a shape of two axes",
            )
        eye = functional.eye(shape[0], shape[1], dtype=dtype)
        return eye * self.gain


class RandomInitializer(Initializer):
    """Base of initializers that draw random numbers.

    Args:
        seed: the same numbers at every call; None takes the next ones of the stream.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def _key(self) -> Tensor:
        return random.next_key() if self.seed is None else random.key(self.seed)


class RandomNormal(RandomInitializer):
    """Normally distributed numbers.

    Example:
        >>> RandomNormal(stddev=1.0, seed=0)((2, 3)).shape
        (2, 3)
    """

    def __init__(
        self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """Numbers of this shape."""
        drawn = random.normal(self._key(), tuple(shape), dtype=dtype)
        return drawn * self.stddev + self.mean


class RandomUniform(RandomInitializer):
    """Numbers spread evenly over `[minval, maxval)`.

    Example:
        >>> values = RandomUniform(-1.0, 1.0, seed=0)((100,)).numpy()
        >>> bool(values.min() >= -1 and values.max() < 1)
        True
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """Numbers of this shape."""
        drawn = random.uniform(self._key(), tuple(shape), dtype=dtype)
        return drawn * (self.maxval - self.minval) + self.minval


class TruncatedNormal(RandomInitializer):
    """Normally distributed numbers, none further than two `stddev` from the mean.

    Example:
        >>> values = TruncatedNormal(stddev=1.0, seed=0)((1000,)).numpy()
        >>> bool(abs(values).max() <= 2)
        True
    """

    def __init__(
        self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """Numbers of this shape."""
        drawn = random.truncated_normal(self._key(), tuple(shape), dtype=dtype)
        return drawn * self.stddev + self.mean


class VarianceScaling(RandomInitializer):
    """Random numbers of variance `scale / fan`.

    The fan counts what a unit sums up, so that signals keep their size from layer to
    layer, forwards (`fan_in`), backwards (`fan_out`) or both (`fan_avg`).

    Args:
        scale: the variance times the fan.
        mode: `fan_in`, `fan_out` or `fan_avg`.
        distribution: `truncated_normal`, `untruncated_normal` or `uniform`.
        seed: as for every random initializer.

    Example:
        >>> values = VarianceScaling(2.0, "fan_in", "uniform", seed=0)((400, 50))
        >>> round(float(values.numpy().std()), 3), round((2 / 400) ** 0.5, 3)
        (0.071, 0.071)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        _check_choice("mode", mode, MODES)
        _check_choice("distribution", distribution, DISTRIBUTIONS)
        if not scale > 0:
            raise ArgumentError(
                "a variance is positive",
                where="VarianceScaling",
                got=f"scale={scale}",
                expected="scale > 0",
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """Numbers of this shape."""
        return _scaled(
            self._key(), shape, dtype, self.scale, self.mode, self.distribution
        )


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ArgumentError(
            f"unknown {name}",
            where="VarianceScaling",
            got=f"{name}={value!r}",
            expected=" or ".join(map(repr, allowed)),
        )


def _scaled(
    key: Tensor,
    shape: Sequence[int],
    dtype: DTypeLike,
    scale: float,
    mode: str,
    distribution: str,
) -> Tensor:
    fan_in, fan_out = compute_fans(shape)
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    stddev = math.sqrt(scale / max(1.0, fans[mode]))
    if distribution == "uniform":
        limit = math.sqrt(3.0) * stddev
        return random.uniform(key, tuple(shape), dtype, -limit, limit)
    if distribution == "untruncated_normal":
        return random.normal(key, tuple(shape), dtype=dtype) * stddev
    drawn = random.truncated_normal(key, tuple(shape), dtype=dtype)
    return drawn * (stddev / TRUNCATED_SPREAD)


class FanInitializer(RandomInitializer):
    """Base of the named cases of `VarianceScaling`."""

    scale: float
    mode: str
    distribution: str

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """Numbers of this shape."""
        return _scaled(
            self._key(), shape, dtype, self.scale, self.mode, self.distribution
        )


class GlorotUniform(FanInitializer):
    """Uniform in `[-a, a]`, `a = sqrt(6 / (fan_in + fan_out))`.

    Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.

    Example:
        >>> limit = abs(GlorotUniform(seed=0)((784, 10)).numpy()).max()
        >>> bool(limit <= (6 / 794) ** 0.5)
        True
    """

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


class GlorotNormal(FanInitializer):
    """Truncated normal of variance `2 / (fan_in + fan_out)`; see `GlorotUniform`.

    Example:
        >>> GlorotNormal(seed=0)((784, 10)).shape
        (784, 10)
    """

    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


class HeUniform(FanInitializer):
    """Uniform of variance `2 / fan_in`, for units that pass half of their input (relu).

    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015.

    Example:
        >>> HeUniform(seed=0)((784, 10)).shape
        (784, 10)
    """

    scale, mode, distribution = 2.0, "fan_in", "uniform"


class HeNormal(FanInitializer):
    """Truncated normal of variance `2 / fan_in`; see `HeUniform`.

    Example:
        >>> HeNormal(seed=0)((784, 10)).shape
        (784, 10)
    """

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


class LecunUniform(FanInitializer):
    """Uniform of variance `1 / fan_in`, as for selu.

    LeCun, Bottou, Orr, Müller, "Efficient BackProp", 1998.

    Example:
        >>> LecunUniform(seed=0)((784, 10)).shape
        (784, 10)
    """

    scale, mode, distribution = 1.0, "fan_in", "uniform"


class LecunNormal(FanInitializer):
    """Truncated normal of variance `1 / fan_in`; see `LecunUniform`.

    Example:
        >>> LecunNormal(seed=0)((784, 10)).shape
        (784, 10)
    """

    scale, mode, distribution = 1.0, "fan_in", "truncated_normal"


class Orthogonal(RandomInitializer):
    """A matrix with orthonormal rows or columns, times `gain`.

    All axes but the last are taken as one. Saxe, McClelland, Ganguli, "Exact solutions
    to the nonlinear dynamics of learning in deep linear neural networks", ICLR 2014.

    Example:
        >>> q = Orthogonal(seed=0)((4, 3)).numpy()
        >>> bool(abs(q.T @ q - np.eye(3)).max() < 1e-6)
        True
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = "float32") -> Tensor:
        """The matrix of this shape."""
        if len(shape) < 2:
            raise ShapeError(
                "an orthogonal kernel has at least two axes",
                where="Orthogonal",
                got=tuple(shape),
                expected="a shape such as (784, 128)",
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        drawn = random.normal(self._key(), tall, dtype="float64").numpy()
        q, r = np.linalg.qr(drawn)
        # the signs of r's diagonal make q uniform over all orthogonal matrices
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        matrix = q if rows >= columns else q.T
        values = (matrix * self.gain).reshape(tuple(shape))
        return functional.asarray(values, dtype=dtype)


# Keras has the classes under these names as well: `initializers.he_normal(seed=1)`.
zeros, ones, constant, identity = Zeros, Ones, Constant, Identity
random_normal, random_uniform = RandomNormal, RandomUniform
truncated_normal, variance_scaling = TruncatedNormal, VarianceScaling
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal = HeUniform, HeNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal
orthogonal = Orthogonal

REGISTRY.add(Zeros, "zero")
REGISTRY.add(Ones, "one")
REGISTRY.add(RandomNormal, "normal")
REGISTRY.add(RandomUniform, "uniform")
for _each in (
    Constant,
    Identity,
    TruncatedNormal,
    VarianceScaling,
    GlorotUniform,
    GlorotNormal,
    HeUniform,
    HeNormal,
    LecunUniform,
    LecunNormal,
    Orthogonal,
):
    REGISTRY.add(_each)


def get(identifier: Any) -> Any:
    """The initializer that a name, a config or an array stands for.

    Raises:
        ArgumentError: for an unknown name; the message has the nearest known one.

    Example:
        >>> get("he_normal")
        HeNormal()
    """
    if isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, (np.ndarray, Value, int, float)):
        return Constant(identifier)
    return REGISTRY.get(identifier)
