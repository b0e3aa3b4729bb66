"""Layers that prepare numbers, so that a saved model takes data as it comes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, Unpack

import numpy as np

from chainrule import functional
from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.ir.value import Value
from chainrule.layers.host import from_tensor
from chainrule.layers.layer import InputShape, Layer, LayerOptions, check_positive

Array = np.ndarray[Any, Any]

EPSILON = 1e-7  # the least standard deviation that is divided by


class Rescaling(Layer):
    """`inputs * scale + offset`, in floating point.

    Args:
        scale: such as `1 / 255` for pixels of 8 bits.
        offset: added after scaling.
        **options: see `LayerOptions`.

    Example:
        >>> pixels = functional.asarray([0, 255], dtype="uint8")
        >>> Rescaling(1 / 255)(pixels).numpy().tolist()
        [0.0, 1.0]
    """

    full = True

    supports_masking = True

    def __init__(
        self, scale: float, offset: float = 0.0, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.scale = scale
        self.offset = offset

    def call(self, inputs: Tensor) -> Tensor:
        """The input, scaled and moved."""
        return functional.astype(inputs, self.dtype) * self.scale + self.offset


class Normalization(Layer):
    """`(inputs - mean) / sqrt(variance)`: mean 0 and variance 1 for every feature.

    The mean and the variance are given, or found by `adapt`; then they are weights that
    training leaves alone.

    Args:
        axis: the axes that keep a mean and a variance of their own for each place; None
            for one of each for everything.
        mean: the mean, as many as there are places, or one for all.
        variance: the variance, likewise.
        invert: whether to compute `inputs * sqrt(variance) + mean` instead.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when only one of mean and variance is given, or they differ in
            shape.
        ShapeError: when `axis` is not there, or of unknown length.

    Example:
        >>> layer = Normalization()
        >>> layer.adapt(np.array([[0.0, 7.0], [2.0, 9.0]]))
        >>> layer([[2.0, 7.0]]).numpy().tolist()
        [[1.0, -1.0]]
    """

    full = True

    supports_masking = True

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.axis = axis
        self.mean = mean
        self.variance = variance
        self.invert = invert
        if (mean is None) != (variance is None) or np.shape(mean) != np.shape(variance):
            raise ArgumentError(
                "mean and variance go together, and have one shape",
                where=self.name,
                got=f"mean={mean!r}, variance={variance!r}",
            )

    def build(self, input_shape: InputShape) -> None:
        """Make the weights that `adapt` fills, where the numbers are not given."""
        kept = self._kept(input_shape)
        shape = [input_shape[axis] for axis in kept]
        if None in shape:
            raise ShapeError(
                "an axis that keeps means of its own has a known length",
                where=self.name,
                got=input_shape,
                fix="axis=None, or input_shape=(...) for the first layer",
            )
        lengths = tuple(length or 0 for length in shape)
        self._broadcast = tuple(
            (length or 1) if axis in kept else 1
            for axis, length in enumerate(input_shape)
        )
        if self.mean is None:
            arguments: dict[str, Any] = {"trainable": False}
            self.adapted_mean = self.add_weight("mean", lengths, "zeros", **arguments)
            self.adapted_variance = self.add_weight(
                "variance", lengths, "ones", **arguments
            )
        else:
            self._check_given(lengths)

    def call(self, inputs: Tensor) -> Tensor:
        """The input, normalized, or taken back."""
        mean, variance = self._numbers()
        spread = functional.maximum(functional.sqrt(variance), EPSILON)
        inputs = functional.astype(inputs, self.dtype)
        if self.invert:
            return inputs * spread + mean
        return (inputs - mean) / spread

    def adapt(self, data: Any) -> None:
        """Find the mean and the variance of data.

        Args:
            data: an array, samples first; or batches of arrays, alone or with targets
                behind them.

        Raises:
            ArgumentError: when mean and variance were given.
            DataError: when there is no data.
        """
        if self.mean is not None:
            raise ArgumentError(
                "the mean and the variance were given, so there is nothing to find",
                where=self.name,
                fix="Normalization()",
            )
        count, total, squares = 0, np.zeros(()), np.zeros(())
        for batch in batches_of(data, self.name):
            array = batch.astype(np.float64)
            self.build_for((None, *array.shape[1:]))
            kept = self._kept(array.shape)
            gone = tuple(axis for axis in range(array.ndim) if axis not in kept)
            size = math.prod(array.shape[axis] for axis in gone)
            mean = array.mean(axis=gone)
            new = count + size
            # Chan, Golub, LeVeque, "Updating formulae", 1979: nothing cancels
            step = mean - total
            squares = (
                squares + array.var(axis=gone) * size + step**2 * (count * size / new)
            )
            total = total + step * (size / new)
            count = new
        if not count:
            raise DataError("there is no data to adapt to", where=self.name)
        self.adapted_mean.assign(total.astype(self.dtype.numpy))
        self.adapted_variance.assign((squares / count).astype(self.dtype.numpy))

    def _kept(self, shape: Sequence[int | None]) -> tuple[int, ...]:
        """The axes that keep numbers of their own, counted from the front."""
        given = () if self.axis is None else self.axis
        axes = (given,) if isinstance(given, int) else tuple(given)
        if any(not -len(shape) <= axis < len(shape) for axis in axes):
            raise ShapeError(
                "the input does not have such an axis",
                where=self.name,
                got=f"axis={self.axis} for {tuple(shape)}",
            )
        return tuple(sorted(axis % len(shape) for axis in axes))

    def _check_given(self, lengths: tuple[int, ...]) -> None:
        try:
            np.broadcast_to(np.asarray(self.mean), lengths)
        except ValueError:
            raise ShapeError(
                "the means do not fit the input",
                where=self.name,
                got=np.shape(self.mean),
                expected=lengths,
            ) from None

    def _numbers(self) -> tuple[Tensor, Tensor]:
        """Mean and variance in a shape that goes with the input."""
        if self.mean is None:
            pair = self.adapted_mean.value, self.adapted_variance.value
        else:
            lengths = tuple(n for n in self._broadcast if n != 1) or ()
            shape = np.broadcast_shapes(np.shape(self.mean), lengths)
            pair = tuple(
                functional.asarray(
                    np.broadcast_to(np.asarray(n, self.dtype.numpy), shape).copy()
                )
                for n in (self.mean, self.variance)
            )
        mean, variance = (functional.reshape(n, self._broadcast) for n in pair)
        return mean, variance


OUTPUT_MODES = ("int", "one_hot", "multi_hot", "count")


class Discretization(Layer):
    """The number of the range in which every value lies.

    Boundaries `[0, 1, 2]` make the ranges below 0, 0 to 1, 1 to 2, and from 2 on; a
    boundary belongs to the range above it.

    Args:
        bin_boundaries: ascending numbers; or
        num_bins: how many ranges `adapt` makes, each with its share of the data.
        epsilon: how exact the shares are.
        output_mode: `int` for numbers, or what `CategoryEncoding` makes of them.
        sparse: must be False: there are no sparse tensors.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: unless one of boundaries and number is given.

    Example:
        >>> layer = Discretization(bin_boundaries=[0.0, 1.0, 2.0])
        >>> layer([[-1.5, 1.0, 3.4, 0.5]]).numpy().tolist()
        [[0, 2, 3, 1]]
    """

    full = True

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if (bin_boundaries is None) == (num_bins is None):
            raise ArgumentError(
                "either boundaries or a number of ranges is needed",
                where=self.name,
                got=f"bin_boundaries={bin_boundaries}, num_bins={num_bins}",
                fix="Discretization(num_bins=10), then layer.adapt(x)",
            )
        check_mode(self.name, output_mode, OUTPUT_MODES, sparse)
        self.bin_boundaries = None if bin_boundaries is None else [*bin_boundaries]
        self.num_bins = num_bins
        self.epsilon = epsilon
        self.output_mode = output_mode
        self.sparse = sparse

    def adapt(self, data: Any) -> None:
        """Find boundaries that give every range its share of data.

        Args:
            data: an array, or batches of arrays.

        Raises:
            ArgumentError: when the boundaries were given.
        """
        if self.num_bins is None:
            raise ArgumentError(
                "the boundaries were given, so there is nothing to find",
                where=self.name,
                fix="Discretization(num_bins=10)",
            )
        summary = np.zeros((2, 0), np.float32)
        for batch in batches_of(data, self.name):
            summary = _merge(_summarize(batch, self.epsilon), summary, self.epsilon)
        self.bin_boundaries = _compress(summary, 1.0 / self.num_bins)[0, :-1].tolist()

    def call(self, inputs: Tensor) -> Tensor:
        """The numbers of the ranges, encoded."""
        if self.bin_boundaries is None:
            raise ArgumentError(
                "the boundaries are not known yet",
                where=self.name,
                fix="layer.adapt(x)",
            )
        edges = functional.asarray(np.array(self.bin_boundaries, self.dtype.numpy))
        values = functional.astype(inputs, self.dtype)
        above = functional.expand_dims(values, axis=-1) >= edges
        places = functional.sum(functional.astype(above, "int64"), axis=-1)
        return encode(places, self.output_mode, len(self.bin_boundaries) + 1, self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The layer that `get_config` described, with the boundaries that it found."""
        given = dict(config)
        found = given.get("bin_boundaries")
        if given.get("num_bins") is not None:
            given["bin_boundaries"] = None
        layer = super().from_config(given)
        layer.bin_boundaries = found
        return layer


def _summarize(values: Array, epsilon: float) -> Array:
    """Values at equal steps of the sorted data, and how many each stands for."""
    ordered = np.sort(values.astype(np.float32).reshape(-1))
    increment = ordered.size * epsilon
    step = max(increment, 1.0)
    found = ordered[int(increment) :: int(step)]
    return np.stack([found, np.full_like(found, step)])


def _merge(first: Array, second: Array, epsilon: float) -> Array:
    """Two summaries as one."""
    both = np.concatenate((first, second), axis=1)
    return _compress(both[:, np.argsort(both[0])], epsilon)


def _compress(summary: Array, epsilon: float) -> Array:
    """A summary with one value for each share `epsilon` of the weight."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    weights = summary[1].cumsum()
    values = np.interp(shares, weights / weights[-1], summary[0])
    weights = np.interp(shares, weights / weights[-1], weights)
    weights = weights - np.concatenate(([0.0], weights[:-1]))
    return np.stack((values, weights)).astype(np.float32)


class CategoryEncoding(Layer):
    """Whole numbers below `num_tokens` as indicators or counts.

    Args:
        num_tokens: how many numbers there are.
        output_mode: `one_hot` turns every number into a row with a 1 at its place, and
            an input axis of length 1 into that row; `multi_hot` turns the last axis
            into one row with a 1 for each number in it; `count` counts them.
        sparse: must be False: there are no sparse tensors.
        **options: see `LayerOptions`.

    Numbers outside `0 ... num_tokens - 1` give a row without their 1.

    Example:
        >>> CategoryEncoding(4)([[0, 1], [3, 3]]).numpy().tolist()
        [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.num_tokens = check_positive(self.name, "num_tokens", num_tokens)
        check_mode(self.name, output_mode, OUTPUT_MODES[1:], sparse)
        self.output_mode = output_mode
        self.sparse = sparse

    def call(self, inputs: Tensor, count_weights: Any = None) -> Tensor:
        """The numbers, encoded; in counts each may weigh something of its own."""
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentError(
                "weights are for counts",
                where=self.name,
                got=f"output_mode={self.output_mode!r}",
                fix="CategoryEncoding(..., output_mode='count')",
            )
        return encode(inputs, self.output_mode, self.num_tokens, self, count_weights)


def check_mode(
    where: str, output_mode: str, allowed: Sequence[str], sparse: bool
) -> None:
    """An output mode that there is.

    Raises:
        ArgumentError: otherwise, and for sparse outputs.
    """
    if output_mode not in allowed:
        raise ArgumentError(
            "there is no such output mode",
            where=where,
            got=repr(output_mode),
            expected=", ".join(allowed),
        )
    if sparse:
        raise ArgumentError(
            "there are no sparse tensors",
            where=where,
            got="sparse=True",
            fix="sparse=False",
        )


def encode(
    places: Tensor, output_mode: str, depth: int, layer: Layer, weights: Any = None
) -> Tensor:
    """Whole numbers as they are, as indicators, or as counts, in the layer's dtype."""
    if output_mode == "int":
        return places
    places = functional.astype(places, "int64")
    shape = places.spec.shape
    if output_mode == "one_hot" and len(shape) > 1 and shape[-1] == 1:
        places = functional.reshape(places, shape[:-1])
    known = functional.arange(depth, dtype="int64")
    hits = functional.expand_dims(places, axis=-1) == known
    ones = functional.astype(hits, layer.dtype)
    if output_mode == "one_hot":
        return ones
    if output_mode == "multi_hot":
        return ones if len(shape) < 2 else functional.max(ones, axis=-2)
    if weights is not None:
        factors = functional.astype(functional.asarray(weights), layer.dtype)
        ones = ones * functional.expand_dims(factors, axis=-1)
    return ones if len(shape) < 2 else functional.sum(ones, axis=-2)


def batches_of(data: Any, where: str) -> Iterator[Array]:
    """Data to adapt to, batch by batch; targets and weights behind it are left out.

    Raises:
        DataError: when it is neither an array nor batches of arrays.
    """
    data = from_tensor(where, data)
    if isinstance(data, np.ndarray) or hasattr(data, "__array__"):
        yield np.asarray(data)
        return
    if isinstance(data, (list, tuple)) and not any(
        isinstance(part, (np.ndarray, Value, tuple)) for part in data
    ):
        yield np.asarray(data)
        return
    if not isinstance(data, Iterable):
        raise DataError(
            "this cannot be adapted to",
            where=where,
            got=type(data).__name__,
            expected="an array, or batches of arrays",
        )
    for batch in itertools.chain(data):
        first = batch[0] if isinstance(batch, tuple) else batch
        yield np.asarray(from_tensor(where, first))
