"""Schedules that fall step by step: exponential, inverse, polynomial, piecewise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.optimizers.schedules.base import LearningRateSchedule


class ExponentialDecay(LearningRateSchedule):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`.

    Args:
        initial_learning_rate: the rate at the start.
        decay_steps: after so many steps the rate was multiplied once.
        decay_rate: what it is multiplied by, more than 0.
        staircase: whether the exponent is rounded down: the rate falls in steps.
        name: its name.

    Example:
        >>> schedule = ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)
        >>> [round(schedule(step).item(), 4) for step in (0, 10, 15)]
        [0.1, 0.05, 0.0354]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        self._check_not_negative("initial_learning_rate")
        self._check_positive("decay_steps", "decay_rate")

    def rate(self, step: Tensor) -> Any:
        """The learning rate after `step` steps."""
        share = _share(step, self.decay_steps, self.staircase)
        return self.initial_learning_rate * functional.exp(
            share * math.log(self.decay_rate)
        )


class InverseTimeDecay(LearningRateSchedule):
    """`initial_learning_rate / (1 + decay_rate * step / decay_steps)`.

    Args:
        initial_learning_rate: the rate at the start.
        decay_steps: the unit that steps are counted in.
        decay_rate: how fast the divisor grows.
        staircase: whether `step / decay_steps` is rounded down.
        name: its name.

    Example:
        >>> schedule = InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)
        >>> [round(schedule(step).item(), 4) for step in (0, 10, 30)]
        [0.1, 0.05, 0.025]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        self._check_positive("decay_steps")
        self._check_not_negative("initial_learning_rate", "decay_rate")

    def rate(self, step: Tensor) -> Any:
        """The learning rate after `step` steps."""
        share = _share(step, self.decay_steps, self.staircase)
        return self.initial_learning_rate / (1 + self.decay_rate * share)


class PolynomialDecay(LearningRateSchedule):
    """From one rate to another along `(1 - step / decay_steps) ** power`.

    `(initial_learning_rate - end_learning_rate) * (1 - step / decay_steps) ** power +
    end_learning_rate`, and the end rate from then on. With `cycle`, the decay steps are
    those of the first multiple of `decay_steps` that is no less than step.

    Args:
        initial_learning_rate: the rate at the start.
        decay_steps: how long the way is.
        end_learning_rate: the rate at the end.
        power: 1 is a straight line.
        cycle: whether the rate rises again beyond `decay_steps`.
        name: its name.

    Example:
        >>> schedule = PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)
        >>> [round(schedule(step).item(), 4) for step in (0, 5, 10, 20)]
        [0.1, 0.05, 0.0, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name
        self._check_positive("decay_steps")
        self._check_not_negative("initial_learning_rate", "end_learning_rate", "power")

    def rate(self, step: Tensor) -> Any:
        """The learning rate after `step` steps."""
        if self.cycle:
            rounds = functional.maximum(functional.ceil(step / self.decay_steps), 1.0)
            share = step / (self.decay_steps * rounds)
        else:
            share = functional.minimum(step / self.decay_steps, 1.0)
        way = self.initial_learning_rate - self.end_learning_rate
        left = functional.maximum(1 - share, 0.0)
        return way * functional.pow(left, self.power) + self.end_learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """`values[i]` up to and including step `boundaries[i]`, then the next.

    Args:
        boundaries: steps, rising.
        values: learning rates, one more than there are boundaries.
        name: its name.

    Example:
        >>> schedule = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
        >>> [round(schedule(step).item(), 4) for step in (0, 100, 101, 1000)]
        [0.1, 0.1, 0.01, 0.001]
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        self.boundaries = boundaries
        self.values = values
        self.name = name
        rising = all(before < after for before, after in pairwise(boundaries))
        self._check("boundaries", rising, "rising steps")
        self._check("values", all(value >= 0 for value in values), "0 or more")
        if len(values) != len(boundaries) + 1:
            raise ArgumentError(
                "there is one value more than there are boundaries",
                where=type(self).__name__,
                got=f"{len(boundaries)} boundaries, {len(values)} values",
                expected=f"{len(boundaries) + 1} values",
            )

    def rate(self, step: Tensor) -> Any:
        """The learning rate after `step` steps."""
        found: Any = functional.asarray(float(self.values[0]), dtype="float64")
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            found = functional.where(step > float(boundary), float(value), found)
        return found


def _share(step: Tensor, steps: float, staircase: bool) -> Tensor:
    share = step / steps
    return functional.floor(share) if staircase else share
