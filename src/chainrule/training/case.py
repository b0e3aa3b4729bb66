"""What the checks before the first step look at: a network, a loss, labels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from chainrule.training.data import Array

SampleShape = tuple[int | None, ...]


class Network(Protocol):
    """What the checks know of a network, and how its lines of code are corrected.

    Attributes:
        input_shape: what a sample must look like, None for free lengths; None as a
            whole while the network has not seen data.
        output_shape: what it gives for a sample.
        activation: name of the activation of the output; None where not known.
    """

    @property
    def first(self) -> str:
        """Name of the first layer."""

    @property
    def last(self) -> str:
        """Name of the layer whose units are the outputs."""

    input_shape: SampleShape | None
    output_shape: SampleShape | None
    activation: str | None

    def change_input(self, shape: tuple[int, ...]) -> Callable[[], str]:
        """The corrected line of the first layer."""

    def change_output(
        self, units: int | None = None, activation: str | None = None
    ) -> Callable[[], str]:
        """The corrected lines of the output."""


class Objective(Protocol):
    """What the checks know of a loss and its metrics.

    Attributes:
        name: the loss as Keras names it, such as `binary_crossentropy`.
        from_logits: whether the loss applies the activation itself.
        accuracy: whether accuracy is among the metrics.
        ignore_class: a label that does not count, for sparse labels.
    """

    name: str
    from_logits: bool
    accuracy: bool
    ignore_class: int | None

    def change(self, **arguments: str) -> Callable[[], str]:
        """The corrected line of `compile`."""


@dataclass(frozen=True)
class Case:
    """All that is checked together.

    Attributes:
        network: the network.
        objective: the loss and metrics; None when only predicting.
        x: the inputs; None where they cannot be used at all.
        y: the targets; None where there are none or they cannot be used.
        x_name: what messages call the inputs.
        y_name: what messages call the targets.
    """

    network: Network
    objective: Objective | None
    x: Array | None
    y: Array | None
    x_name: str = "x"
    y_name: str = "y"

    @property
    def width(self) -> int | None:
        """Number of outputs a sample, for outputs that are vectors."""
        shape = self.network.output_shape
        return shape[-1] if shape else None

    @functools.cached_property
    def labels(self) -> Labels | None:
        """What the targets hold."""
        if self.y is None or not self.y.size:
            return None
        ignored = self.objective.ignore_class if self.objective else None
        counted = self.y if ignored is None else self.y[self.y != ignored]
        return Labels(counted, self.y.shape[1:]) if counted.size else None


class Labels:
    """What targets hold: their range, and whether they number classes.

    Args:
        y: the targets that count.
        shape: of the targets of a sample.
    """

    def __init__(self, y: Array, shape: tuple[int, ...]) -> None:
        self._y = y
        self.shape = shape

    @functools.cached_property
    def low(self) -> float:
        """The smallest."""
        return float(self._y.min())

    @functools.cached_property
    def high(self) -> float:
        """The largest."""
        return float(self._y.max())

    @functools.cached_property
    def whole(self) -> bool:
        """Whether all are whole numbers."""
        y = self._y
        return y.dtype.kind in "biu" or bool((y == np.floor(y)).all())

    @property
    def single(self) -> bool:
        """Whether there is one number a sample."""
        return math.prod(self.shape) == 1

    @property
    def classes(self) -> int | None:
        """How many classes the labels number from 0; None where they do not."""
        numbered = self.whole and self.single and self.low >= 0
        return int(self.high) + 1 if numbered else None

    def __str__(self) -> str:
        kind = "whole numbers" if self.whole else "numbers"
        return f"{kind} from {self.low:g} to {self.high:g}"


def fits(shape: tuple[int, ...], expected: SampleShape) -> bool:
    """Whether a sample of `shape` is one of those expected.

    Example:
        >>> fits((28, 28), (None, 28)), fits((784,), (10,))
        (True, False)
    """
    return len(shape) == len(expected) and all(
        want is None or have == want for have, want in zip(shape, expected, strict=True)
    )


def count_inputs(shape: SampleShape) -> str:
    """A sample's shape in words.

    Example:
        >>> count_inputs((784,)), count_inputs((28, 28))
        ('784 inputs', 'samples of shape (28, 28)')
    """
    if len(shape) != 1:
        return f"samples of shape {shape}"
    return f"{shape[0]} input{'' if shape[0] == 1 else 's'}"


def show_shape(sample: SampleShape) -> str:
    """The shape of many samples.

    Example:
        >>> show_shape((784,)), show_shape(())
        ('(rows, 784)', '(rows,)')
    """
    lengths = ", ".join("any" if n is None else str(n) for n in sample)
    return f"(rows, {lengths})" if lengths else "(rows,)"
