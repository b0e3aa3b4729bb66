"""Adam, and Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule.optimizers.base import ClippingOptions, Optimizer, OptimizerOptions
from chainrule.optimizers.transforms import Transformation, step_by_adam


class Adam(Optimizer):
    """Momentum, divided by the root of the moving mean of the squared gradients.

    `m = beta_1 * m + (1 - beta_1) * g; v = beta_2 * v + (1 - beta_2) * g**2` and
    `w -= learning_rate * c * m / (sqrt(v) + epsilon)`, with
    `c = sqrt(1 - beta_2**t) / (1 - beta_1**t)` at step t. Kingma, Ba, "Adam", ICLR
    2015. (PyTorch adds epsilon to the root of the corrected v, and takes 1e-8.)

    Args:
        learning_rate: the step size, or a function of the number of updates so far.
        beta_1: how slowly m forgets.
        beta_2: how slowly v forgets.
        epsilon: keeps the divisor from 0.
        amsgrad: whether v never falls (Reddi, Kale, Kumar, ICLR 2018).
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = Adam(learning_rate=0.1)
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
        amsgrad: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad
        self._check_share("beta_1")
        self._check_share("beta_2")
        self._check_not_negative("epsilon")

    def transformation(self) -> Transformation:
        """The two means and the learning rate."""
        return step_by_adam(self.beta_1, self.beta_2, self.epsilon, self.amsgrad)


class AdamW(Adam):
    """Adam, with weights that shrink by themselves: `w -= learning_rate * decay * w`.

    Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Args:
        learning_rate: the step size, or a function of the number of updates so far.
        weight_decay: the share of the learning rate by which weights shrink.
        beta_1: as in `Adam`, like all that follow.
        beta_2: see `Adam`.
        epsilon: see `Adam`.
        amsgrad: see `Adam`.
        **options: see `ClippingOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = AdamW(learning_rate=0.1, weight_decay=0.5)
        >>> w = functional.asarray([1.0])
        >>> (w,), _ = optimizer.update([w], optimizer.init([w]), [w])
        >>> round(w.item(), 4)
        0.85
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[ClippingOptions],
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            amsgrad,
            weight_decay=weight_decay,
            **options,
        )
