"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule.optimizers.base import Optimizer, OptimizerOptions
from chainrule.optimizers.transforms import (
    Transformation,
    accumulate,
    chain,
    scale_by_learning_rate,
)


class SGD(Optimizer):
    """`w -= learning_rate * g`, with momentum if wanted.

    With momentum `v = momentum * v - learning_rate * g` and `w += v`; with `nesterov`
    `w += momentum * v - learning_rate * g`.

    Args:
        learning_rate: the step size, or a function of the number of updates so far.
        momentum: how much of the last step goes on, 0 to 1.
        nesterov: whether the gradient is taken as if the step went on.
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = SGD(learning_rate=0.5)
        >>> w = functional.asarray([1.0])
        >>> (w,), state = optimizer.update([w], optimizer.init([w]), [w])
        >>> w.item(), state["step"].item()
        (0.5, 1)
    """

    moves_rows = True

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.momentum = momentum
        self.nesterov = nesterov
        self._check_share("momentum", limit_included=True)

    def transformation(self) -> Transformation:
        """The learning rate, then momentum."""
        if not self.momentum:
            return scale_by_learning_rate()
        # the rate comes first, so that a new rate does not rescale old velocity
        return chain(scale_by_learning_rate(), accumulate(self.momentum, self.nesterov))
