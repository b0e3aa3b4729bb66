"""Adagrad."""

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
    per_parameter,
    scale_by_learning_rate,
)


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares so far.

    `s += g**2; w -= learning_rate * g / sqrt(s + epsilon)`. Numbers that seldom get a
    gradient keep large steps. Duchi, Hazan, Singer, "Adaptive subgradient methods for
    online learning and stochastic optimization", JMLR 2011. (The paper's learning rates
    are larger than the default; PyTorch adds epsilon outside of the root.)

    Args:
        learning_rate: the step size, or a function of the number of steps so far.
        initial_accumulator_value: what s starts with.
        epsilon: added to s, inside of the root.
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = Adagrad(learning_rate=0.1, initial_accumulator_value=3.0)
        >>> w = functional.asarray([1.0])
        >>> (w,), _ = optimizer.update([w], optimizer.init([w]), [w])
        >>> round(w.item(), 4)
        0.95
    """

    moves_rows = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon
        self._check_not_negative("initial_accumulator_value")
        self._check_not_negative("epsilon")

    def transformation(self) -> Transformation:
        """The division, then the learning rate."""

        def start(p: Tensor) -> Tensor:
            return functional.full_like(p, self.initial_accumulator_value)

        return chain(
            per_parameter({"sum": start}, self._rule), scale_by_learning_rate()
        )

    def _rule(
        self, u: Tensor, own: Slots, p: Tensor, now: Instant
    ) -> tuple[Tensor, Slots]:
        total = own["sum"] + functional.square(u)
        return u / functional.sqrt(total + self.epsilon), {"sum": total}
