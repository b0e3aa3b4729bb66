"""One training step in numbers: what `trace_step` returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Statistics:
    """A tensor in four numbers.

    Attributes:
        mean: the mean.
        spread: the standard deviation.
        norm: the square root of the sum of squares.
        zeros: the fraction of numbers that are exactly 0.

    Example:
        >>> Statistics.of(np.array([0.0, 2.0]))
        Statistics(mean=1.0, spread=1.0, norm=2.0, zeros=0.5)
    """

    mean: float
    spread: float
    norm: float
    zeros: float

    @classmethod
    def of(cls, array: Array) -> Statistics:
        """The statistics of an array, computed in float64."""
        if not array.size:
            return cls(0.0, 0.0, 0.0, 0.0)
        wide = array.astype(np.float64)
        return cls(
            float(wide.mean()),
            float(wide.std()),
            float(np.linalg.norm(wide)),
            float(np.mean(wide == 0)),
        )


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight in this step.

    Attributes:
        name: its path within the layer, such as `kernel`.
        path: its name within the model.
        before: its numbers before the update.
        gradient: the derivative of the loss with respect to it.
        after: its numbers after the update.
    """

    name: str
    path: str
    before: Array
    gradient: Array
    after: Array

    @property
    def change(self) -> Array:
        """`after - before`."""
        return np.asarray(self.after - self.before)

    @property
    def relative_change(self) -> float:
        """The norm of the change divided by the norm of the weight before.

        Infinite for a weight that was all zeros, such as a fresh bias, and changed.
        """
        change = Statistics.of(self.change).norm
        size = Statistics.of(self.before).norm
        if size:
            return change / size
        return float("inf") if change else 0.0


@dataclass(frozen=True, slots=True)
class LayerTrace:
    """A layer in this step.

    Attributes:
        name: its name.
        kind: its class.
        activation: the name of its activation; None when it has none, or a linear one.
        input: what went in.
        pre_activation: what its activation was applied to; None without one.
        output: what came out.
        output_error: the error signal, dL/d(output).
        pre_activation_error: dL/d(pre_activation); None without an activation.
        weights: those that are trained.
    """

    name: str
    kind: str
    activation: str | None
    input: Array
    pre_activation: Array | None
    output: Array
    output_error: Array
    pre_activation_error: Array | None
    weights: Sequence[Weight]


@dataclass(frozen=True, slots=True)
class LossTrace:
    """The loss in this step.

    Attributes:
        name: its name.
        formula: how it is computed; empty where it is not known.
        derivative: the formula of dL/d(predictions); empty where it is not known.
        from_logits: whether the loss makes the predictions probabilities itself.
        value: its value for the batch.
        labels: what should have come.
        predictions: what the network gave.
        after: its value for the same batch after the update.
    """

    name: str
    formula: str
    derivative: str
    from_logits: bool
    value: float
    labels: Array
    predictions: Array
    after: float


@dataclass(frozen=True, slots=True)
class OptimizerTrace:
    """The optimizer in this step.

    Attributes:
        name: its class.
        formula: the update, line by line.
        learning_rate: as it was in this step.
        step: the number of this step, counted from 1.
    """

    name: str
    formula: Sequence[str]
    learning_rate: float
    step: int
