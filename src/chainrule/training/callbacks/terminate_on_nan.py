"""TerminateOnNaN: end training when it makes NaN or infinity."""

from __future__ import annotations

import warnings

from chainrule.errors import NonFiniteError, NonFiniteWarning
from chainrule.training.callbacks.base import Callback


class TerminateOnNaN(Callback):
    """Ends training once the loss is NaN or infinite, and says where it came from.

    `fit` does so by itself. It looks at the loss a few times a second, without a cost
    per step; the step, the sample, the layer and the operation are then found by taking
    the last steps again.

    Args:
        raise_error: whether to raise the error that tells it, without a word to the
            other callbacks. Otherwise it is a warning, and the epoch is the last one.

    Example:
        >>> import numpy as np, chainrule
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
        >>> model.compile(chainrule.optimizers.SGD(1e30), "mse")
        >>> try:
        ...     model.fit(x, x, epochs=9, callbacks=[TerminateOnNaN(True)], verbose=0)
        ... except NonFiniteError as error:
        ...     print(error.where)
        step 2 of epoch 1, the loss
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def terminate(self, error: NonFiniteError) -> None:
        """End training.

        Raises:
            NonFiniteError: with `raise_error`.
        """
        if self.raise_error:
            raise error
        warnings.warn(f"{error}", NonFiniteWarning, stacklevel=2)
        self.model.stop_training = True
