"""Ftrl."""

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
    per_parameter,
)


class Ftrl(Optimizer):
    """Follow the regularized leader: sparse weights for wide linear models.

    With n the sum of `g**2` and `a(n) = n**-learning_rate_power / learning_rate`,
    `z += g + 2 * l2_shrinkage * w - (a(n_new) - a(n)) * w` and
    `w = (clip(z, -l1, l1) - z) / (a(n_new) + 2 * l2 + beta / learning_rate)`: a weight
    whose z stays within l1 is exactly 0. McMahan et al., "Ad click prediction: a view
    from the trenches", KDD 2013.

    Args:
        learning_rate: the step size, or a function of the number of steps so far.
        learning_rate_power: 0 or less; 0 keeps the rate, -0.5 is Adagrad's.
        initial_accumulator_value: what n starts with.
        l1_regularization_strength: the l1 of the formula.
        l2_regularization_strength: the l2 of the formula.
        l2_shrinkage_regularization_strength: a penalty on the weights themselves.
        beta: the beta of the paper.
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = Ftrl(learning_rate=0.1, l1_regularization_strength=2.0)
        >>> w = functional.asarray([1.0, -0.1])
        >>> g = functional.asarray([-4.0, 0.1])
        >>> (w,), _ = optimizer.update([g], optimizer.init([w]), [w])
        >>> [round(x, 3) for x in w.tolist()]
        [0.971, 0.0]
    """

    moves_rows = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta
        for argument in (
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
            "beta",
        ):
            self._check_not_negative(argument)
        if not learning_rate_power <= 0:
            raise ArgumentError(
                "learning_rate_power must not be positive",
                where=self.name,
                got=f"{learning_rate_power=}",
                expected="0 or less",
            )

    def transformation(self) -> Transformation:
        """From gradients to the way to the new leader."""

        def start(p: Tensor) -> Tensor:
            return functional.full_like(p, self.initial_accumulator_value)

        return per_parameter(
            {"sum": start, "linear": lambda p: functional.zeros_like(p)}, self._rule
        )

    def _rule(
        self, u: Tensor, own: Slots, p: Tensor, now: Instant
    ) -> tuple[Tensor, Slots]:
        moves = now.rate > 0  # at a rate of 0 nothing does; the formula divides by it
        rate = functional.where(moves, now.rate, 1)
        power, l1 = -self.learning_rate_power, self.l1_regularization_strength
        total = own["sum"] + functional.square(u)
        before, after = (_power(n, power) / rate for n in (own["sum"], total))
        pull = u + (2 * self.l2_shrinkage_regularization_strength) * p
        linear = own["linear"] + (pull - (after - before) * p)
        ridge = 2 * self.l2_regularization_strength + self.beta / rate
        leader = (functional.clip(linear, -l1, l1) - linear) / (after + ridge)
        new = {"sum": total, "linear": linear}
        kept = {name: functional.where(moves, new[name], own[name]) for name in new}
        return functional.where(moves, leader - p, 0), kept


def _power(x: Tensor, power: float) -> Tensor:
    return functional.sqrt(x) if power == 0.5 else functional.pow(x, power)
