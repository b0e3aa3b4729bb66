"""RMSprop."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule.optimizers.base import Optimizer, OptimizerOptions
from chainrule.optimizers.transforms import (
    Transformation,
    accumulate,
    chain,
    scale_by_learning_rate,
    scale_by_rms,
)


class RMSprop(Optimizer):
    """Gradients divided by the root of the moving mean of their squares.

    `s = rho * s + (1 - rho) * g**2; w -= learning_rate * g / sqrt(s + epsilon)`.
    Hinton, "Neural networks for machine learning", lecture 6, 2012.

    Args:
        learning_rate: the step size, or a function of the number of updates so far.
        rho: how slowly the mean forgets.
        momentum: how much of the last step goes on.
        epsilon: added to the mean, inside of the root (PyTorch adds it outside).
        centered: whether to divide by the standard deviation instead.
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = RMSprop(learning_rate=0.1, rho=0.75)
        >>> w = functional.asarray([1.0])
        >>> (w,), _ = optimizer.update([w], optimizer.init([w]), [w])
        >>> round(w.item(), 4)
        0.8
    """

    moves_rows = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered
        self._check_share("rho")
        self._check_share("momentum", limit_included=True)
        self._check_not_negative("epsilon")

    def transformation(self) -> Transformation:
        """The division, the learning rate, then momentum."""
        parts = [
            scale_by_rms(self.rho, self.epsilon, self.centered),
            scale_by_learning_rate(),
        ]
        if self.momentum:
            parts.append(accumulate(self.momentum))
        return chain(*parts)
