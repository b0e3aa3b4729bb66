"""Adadelta."""

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
    mix,
    per_parameter,
    scale_by_learning_rate,
)


class Adadelta(Optimizer):
    """Steps in the units of the weights: gradients times the ratio of two roots.

    With s the moving mean of `g**2` and d that of the squared steps,
    `step = g * sqrt(d + epsilon) / sqrt(s + epsilon)` and
    `w -= learning_rate * step`. Zeiler, "ADADELTA: an adaptive learning rate method",
    arXiv 1212.5701. (The paper has no learning rate: `learning_rate=1.0`.)

    Args:
        learning_rate: the step size, or a function of the number of steps so far.
        rho: how slowly both means forget.
        epsilon: added to both, inside of the roots.
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = Adadelta(learning_rate=1.0, epsilon=0.01)
        >>> w = functional.asarray([1.0])
        >>> (w,), _ = optimizer.update([w], optimizer.init([w]), [w])
        >>> round(w.item(), 4)
        0.5918
    """

    moves_rows = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.epsilon = epsilon
        self._check_share("rho")
        self._check_not_negative("epsilon")

    def transformation(self) -> Transformation:
        """The ratio, then the learning rate."""
        starts = dict.fromkeys(["square", "step"], functional.zeros_like)
        return chain(per_parameter(starts, self._rule), scale_by_learning_rate())

    def _rule(
        self, u: Tensor, own: Slots, p: Tensor, now: Instant
    ) -> tuple[Tensor, Slots]:
        square = mix(own["square"], functional.square(u), self.rho)
        ratio = functional.sqrt(own["step"] + self.epsilon) / functional.sqrt(
            square + self.epsilon
        )
        step = ratio * u
        moved = mix(own["step"], functional.square(step), self.rho)
        return step, {"square": square, "step": moved}
