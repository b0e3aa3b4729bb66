"""Adamax."""

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
    per_parameter,
    scale_by_learning_rate,
)


class Adamax(Optimizer):
    """Adam with the largest gradient in the place of the root of their mean square.

    `m = beta_1 * m + (1 - beta_1) * g; u = max(beta_2 * u, |g|)` and
    `w -= learning_rate / (1 - beta_1**t) * m / (u + epsilon)` at step t. Kingma, Ba,
    "Adam", ICLR 2015, section 7.1.

    Args:
        learning_rate: the step size, or a function of the number of steps so far.
        beta_1: how slowly m forgets.
        beta_2: how slowly u forgets.
        epsilon: keeps the divisor from 0.
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = Adamax(learning_rate=0.1)
        >>> w = functional.asarray([1.0])
        >>> (w,), _ = optimizer.update([w], optimizer.init([w]), [w])
        >>> round(w.item(), 4)
        0.9
    """

    moves_rows = True

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
        """The mean over the largest, then the learning rate."""
        starts = dict.fromkeys(["mean", "largest"], functional.zeros_like)
        return chain(per_parameter(starts, self._rule), scale_by_learning_rate())

    def _rule(
        self, u: Tensor, own: Slots, p: Tensor, now: Instant
    ) -> tuple[Tensor, Slots]:
        mean = mix(own["mean"], u, self.beta_1)
        largest = functional.maximum(self.beta_2 * own["largest"], functional.abs(u))
        scale = missing_share(self.beta_1, now.step, p)
        step = mean / (scale * (largest + self.epsilon))
        return step, {"mean": mean, "largest": largest}
