"""Schedules along a cosine."""

from __future__ import annotations

import math
from typing import Any

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.optimizers.schedules.base import LearningRateSchedule


def half_cosine(share: Tensor) -> Tensor:
    """From 1 at 0 to 0 at 1, flat at both ends."""
    return 0.5 * (1 + functional.cos(math.pi * share))


class CosineDecay(LearningRateSchedule):
    """Down half a wave of the cosine, after a warm-up in a straight line.

    Without `warmup_target`, `initial_learning_rate * ((1 - alpha) * c + alpha)` with
    `c = (1 + cos(pi * step / decay_steps)) / 2`. With it the rate first rises from
    `initial_learning_rate` to `warmup_target`, in `warmup_steps`, and falls from there.
    Loshchilov, Hutter, "SGDR", ICLR 2017; Goyal et al., "Accurate, large minibatch
    SGD", arXiv 1706.02677.

    Args:
        initial_learning_rate: the rate at the start.
        decay_steps: how long it falls, the warm-up not counted.
        alpha: the rate at the end, as a share of the highest.
        name: its name.
        warmup_target: the rate that the warm-up rises to.
        warmup_steps: how long the warm-up is.

    Example:
        >>> schedule = CosineDecay(0.0, 100, warmup_target=0.1, warmup_steps=10)
        >>> [round(schedule(step).item(), 4) for step in (0, 5, 10, 60, 110)]
        [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps
        self._check_positive("decay_steps")
        self._check_not_negative("initial_learning_rate", "alpha", "warmup_steps")
        if warmup_target is not None:
            self._check_not_negative("warmup_target")

    def rate(self, step: Tensor) -> Any:
        """The learning rate after `step` steps."""
        top = self.warmup_target
        if top is None:
            return self._fallen(self.initial_learning_rate, step)
        fallen = self._fallen(top, step - self.warmup_steps)
        if not self.warmup_steps:
            return fallen
        way = (top - self.initial_learning_rate) / self.warmup_steps
        risen = self.initial_learning_rate + way * step
        return functional.where(step < self.warmup_steps, risen, fallen)

    def _fallen(self, top: float, step: Tensor) -> Tensor:
        share = functional.minimum(step / self.decay_steps, 1.0)
        return top * ((1 - self.alpha) * half_cosine(share) + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Down half a wave of the cosine, again and again.

    Period i is `first_decay_steps * t_mul**i` long; in it,
    `initial_learning_rate * ((1 - alpha) * m_mul**i * c + alpha)` with c going from 1
    to 0. Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts",
    ICLR 2017.

    Args:
        initial_learning_rate: the rate at the start.
        first_decay_steps: how long the first period is.
        t_mul: how many times longer each period is than the one before, 1 or more.
        m_mul: what the height of each period is multiplied by.
        alpha: the lowest rate, as a share of the initial one.
        name: its name.

    Example:
        >>> schedule = CosineDecayRestarts(0.1, first_decay_steps=10)
        >>> [round(schedule(step).item(), 4) for step in (0, 5, 10, 20, 30)]
        [0.1, 0.05, 0.1, 0.05, 0.1]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name
        self._check_positive("first_decay_steps", "m_mul")
        self._check_not_negative("initial_learning_rate", "alpha")
        self._check("t_mul", t_mul >= 1, "1 or more")

    def rate(self, step: Tensor) -> Any:
        """The learning rate after `step` steps."""
        passed = step / self.first_decay_steps
        if self.t_mul == 1:
            period = functional.floor(passed)
            share = passed - period
        else:
            period, share = self._growing(passed)
        height = functional.exp(period * math.log(self.m_mul))
        decayed = (1 - self.alpha) * height * half_cosine(share) + self.alpha
        return self.initial_learning_rate * decayed

    def _growing(self, passed: Tensor) -> tuple[Tensor, Tensor]:
        """The period, and how much of it has passed, where each is longer."""
        growth = math.log(self.t_mul)

        def begin(period: Tensor) -> Tensor:
            return functional.expm1(period * growth) / (self.t_mul - 1)

        # rounded, the logarithm gives the period or the next; rounding errors must not
        # delay a restart by a step
        guess = functional.round(functional.log1p(passed * (self.t_mul - 1)) / growth)
        early = begin(guess) - passed > 1e-9 * (1 + passed)
        period = functional.where(early, guess - 1, guess)
        share = (passed - begin(period)) / functional.exp(period * growth)
        return period, functional.clip(share, 0.0, 1.0)
