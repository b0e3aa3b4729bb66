"""SwapEMAWeights: measure the average of the weights in place of the weights."""

from __future__ import annotations

from typing import Any

from chainrule.errors import ArgumentError
from chainrule.training.callbacks.base import Callback, Logs


class SwapEMAWeights(Callback):
    """Puts the moving average of the weights into the model while it is measured.

    The optimizer keeps the average; it needs `use_ema=True`. Weights return to their
    place after every validation, evaluation and prediction.

    Args:
        swap_on_epoch: whether the averages also stay in the model from the end of an
            epoch to the beginning of the next, for callbacks that come after this one,
            such as `ModelCheckpoint`.

    Raises:
        ArgumentError: when the optimizer keeps no averages.

    Example:
        >>> import numpy as np, chainrule
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
        >>> model.compile(chainrule.optimizers.SGD(0.1, use_ema=True), "mse")
        >>> history = model.fit(
        ...     x, x, validation_data=(x, x), callbacks=[SwapEMAWeights()], verbose=0
        ... )
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._own: list[Any] | None = None  # the weights, while averages are in place

    def _swap_in(self) -> None:
        if self._own is not None:
            return
        optimizer = self.model.optimizer
        if not optimizer.use_ema:
            raise ArgumentError(
                "the optimizer keeps no averages of the weights",
                where="SwapEMAWeights",
                got="use_ema=False",
                fix=f"{type(optimizer).__name__}(..., use_ema=True)",
            )
        if optimizer.state is None:
            return  # nothing was trained yet
        variables = self.model.trainable_weights
        self._own = [variable.numpy() for variable in variables]
        averages = optimizer.finalize([v.value for v in variables], optimizer.state)
        for variable, average in zip(variables, averages, strict=True):
            variable.assign(average)

    def _swap_out(self) -> None:
        if self._own is None:
            return
        for variable, own in zip(self.model.trainable_weights, self._own, strict=True):
            variable.assign(own)
        self._own = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Go on with the weights."""
        if self.swap_on_epoch:
            self._swap_out()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Leave the averages to those that come after."""
        if self.swap_on_epoch:
            self._swap_in()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """The model keeps what the optimizer ended with."""
        self._own = None

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Measure the averages."""
        self._swap_in()

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Go on with the weights."""
        self._swap_out()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Predict with the averages."""
        self._swap_in()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Go on with the weights."""
        self._swap_out()

    def state(self) -> dict[str, Any]:
        """The weights, where averages are in their place."""
        return {"own": self._own}

    def restore(self, state: dict[str, Any]) -> None:
        """Have what `state` told of."""
        self._own = state["own"]
