"""Nadam."""

from __future__ import annotations

import math
from typing import Any, Unpack

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.optimizers.base import Optimizer, OptimizerOptions
from chainrule.optimizers.transforms import (
    Moment,
    Tensors,
    Transformation,
    chain,
    like,
    missing_share,
    mix,
    scale_by_learning_rate,
)


class Nadam(Optimizer):
    """Adam that looks one step ahead, as Nesterov's momentum does.

    The momentum of step t is `u_t = beta_1 * (1 - 0.96**t / 2)`, and U_t is the product
    of all up to it. With m and v as in Adam,
    `m' = u_(t+1) * m / (1 - U_(t+1)) + (1 - u_t) * g / (1 - U_t)` and
    `w -= learning_rate * m' / (sqrt(v / (1 - beta_2**t)) + epsilon)`. Dozat,
    "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.

    Args:
        learning_rate: the step size, or a function of the number of steps so far.
        beta_1: how slowly m forgets.
        beta_2: how slowly v forgets.
        epsilon: keeps the divisor from 0.
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = Nadam(learning_rate=0.1)
        >>> w = functional.asarray([1.0])
        >>> (w,), _ = optimizer.update([w], optimizer.init([w]), [w])
        >>> round(w.item(), 3)
        0.894
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
        """The means with their look ahead, then the learning rate."""
        return chain(Transformation(self._init, self._update), scale_by_learning_rate())

    def _init(self, params: Tensors) -> dict[str, Any]:
        return {
            "product": functional.asarray(1.0, dtype="float64"),
            "mean": [functional.zeros_like(p) for p in params],
            "square": [functional.zeros_like(p) for p in params],
        }

    def _momentum(self, step: Tensor) -> Tensor:
        return self.beta_1 * (1 - 0.5 * functional.exp(step * math.log(0.96)))

    def _update(
        self, updates: Tensors, state: Any, params: Tensors, moment: Moment
    ) -> tuple[list[Tensor], Any]:
        now, ahead = self._momentum(moment.step), self._momentum(moment.step + 1)
        product = state["product"] * now
        of_mean, of_update = ahead / (1 - product * ahead), (1 - now) / (1 - product)
        steps, means, squares = [], [], []
        columns = zip(updates, params, state["mean"], state["square"], strict=True)
        for place, (u, p, old, older) in enumerate(columns):
            mean = mix(moment.read(place, old), u, self.beta_1)
            square = mix(moment.read(place, older), functional.square(u), self.beta_2)
            means.append(moment.write(place, old, mean))
            squares.append(moment.write(place, older, square))
            forward = like(of_mean, p) * mean + like(of_update, p) * u
            spread = square / missing_share(self.beta_2, moment.step, p)
            steps.append(forward / (functional.sqrt(spread) + self.epsilon))
        return steps, {"product": product, "mean": means, "square": squares}
