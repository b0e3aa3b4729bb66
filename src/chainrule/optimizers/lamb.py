"""Lamb."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.optimizers.base import Optimizer, OptimizerOptions
from chainrule.optimizers.transforms import (
    Instant,
    Slots,
    Transformation,
    chain,
    missing_share,
    mix,
    norm,
    per_parameter,
    scale_by_learning_rate,
)


class Lamb(Optimizer):
    """Adam whose step is, for each parameter, as long as the parameter itself.

    With `u = (m / (1 - beta_1**t)) / (sqrt(v / (1 - beta_2**t)) + epsilon)` of Adam,
    `w -= learning_rate * |w| / |u| * u`; the ratio is 1 where either norm is 0. Made
    for large batches. You et al., "Large batch optimization for deep learning", ICLR
    2020.

    Args:
        learning_rate: the step size, or a function of the number of steps so far.
        beta_1: how slowly m forgets.
        beta_2: how slowly v forgets.
        epsilon: keeps the divisor from 0.
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = Lamb(learning_rate=0.1)
        >>> w = functional.asarray([3.0, 4.0])
        >>> (w,), _ = optimizer.update([w], optimizer.init([w]), [w])
        >>> [round(x, 3) for x in w.tolist()]
        [2.646, 3.646]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self._check_share("beta_1")
        self._check_share("beta_2")
        self._check_not_negative("epsilon")

    def transformation(self) -> Transformation:
        """Adam's step at its own length, then the learning rate."""
        starts = dict.fromkeys(["mean", "square"], functional.zeros_like)
        return chain(per_parameter(starts, self._rule), scale_by_learning_rate())

    def _rule(
        self, u: Tensor, own: Slots, p: Tensor, now: Instant
    ) -> tuple[Tensor, Slots]:
        mean = mix(own["mean"], u, self.beta_1)
        square = mix(own["square"], functional.square(u), self.beta_2)
        spread = square / missing_share(self.beta_2, now.step, p)
        aim = mean / missing_share(self.beta_1, now.step, p)
        step = aim / (functional.sqrt(spread) + self.epsilon)
        return _as_long_as(p, step), {"mean": mean, "square": square}


def _as_long_as(p: Tensor, step: Tensor) -> Tensor:
    own, size = norm(p), norm(step)
    both = functional.logical_and(own > 0, size > 0)
    ratio = functional.where(both, own / functional.where(both, size, 1.0), 1.0)
    return ratio * step
