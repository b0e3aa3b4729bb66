"""Lamb."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.optimizers.base import Optimizer, OptimizerOptions
from chainrule.optimizers.transforms import (
    Moment,
    Tensors,
    Transformation,
    chain,
    norm,
    scale_by_adam,
    scale_by_learning_rate,
    stateless,
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
        """Adam's step, its length, the learning rate."""
        adam = scale_by_adam(self.beta_1, self.beta_2, self.epsilon, corrected=True)
        return chain(adam, stateless(_as_long_as_params), scale_by_learning_rate())


def _as_long_as_params(
    updates: Tensors, params: Tensors, moment: Moment
) -> list[Tensor]:
    return [_trusted(u, p) for u, p in zip(updates, params, strict=True)]


def _trusted(u: Tensor, p: Tensor) -> Tensor:
    own, step = norm(p), norm(u)
    both = functional.logical_and(own > 0, step > 0)
    ratio = functional.where(both, own / functional.where(both, step, 1.0), 1.0)
    return ratio * u
