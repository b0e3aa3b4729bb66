"""Lion."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError
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


class Lion(Optimizer):
    """Every number moves by the learning rate: only the sign of the momentum counts.

    `w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g)`, then
    `m = beta_2 * m + (1 - beta_2) * g`. Chen et al., "Symbolic discovery of
    optimization algorithms", arXiv 2302.06675. It wants a learning rate three to ten
    times smaller than AdamW, and a weight decay as many times larger.

    Args:
        learning_rate: the step size, or a function of the number of steps so far.
        beta_1: the weight of m in the step, above 0.
        beta_2: how slowly m forgets.
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = Lion(learning_rate=0.25)
        >>> w = functional.asarray([1.0, -3.0])
        >>> (w,), _ = optimizer.update([w], optimizer.init([w]), [w])
        >>> w.tolist()
        [0.75, -2.75]
    """

    moves_rows = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        if not 0 < beta_1 <= 1:
            raise ArgumentError(
                "without momentum in the step only signs of gradients would be left",
                where=self.name,
                got=f"{beta_1=}",
                expected="0 < beta_1 <= 1",
            )
        self._check_share("beta_2", limit_included=True)

    def transformation(self) -> Transformation:
        """The sign, then the learning rate."""
        starts = {"mean": functional.zeros_like}
        return chain(per_parameter(starts, self._rule), scale_by_learning_rate())

    def _rule(
        self, u: Tensor, own: Slots, p: Tensor, now: Instant
    ) -> tuple[Tensor, Slots]:
        direction = functional.sign(mix(own["mean"], u, self.beta_1))
        return direction, {"mean": mix(own["mean"], u, self.beta_2)}
