"""EarlyStopping: end training when it no longer gets better."""

from __future__ import annotations

from typing import Any

from chainrule.training.callbacks.base import Logs
from chainrule.training.callbacks.monitor import Monitor


class EarlyStopping(Monitor):
    """Ends training once a measured number has not improved for `patience` epochs.

    With `restore_best_weights` the model has the best epoch's weights afterwards,
    whether training was ended here, ran to its last epoch, or was interrupted.

    Args:
        monitor: the name of the number in the logs.
        min_delta: an improvement of less than this counts as none.
        patience: how many epochs without improvement are borne.
        verbose: 1 tells when training is ended and weights are restored.
        mode: `min` where less is better, `max` where more is; `auto` asks the name.
        baseline: the number must also be better than this within `patience` epochs.
        restore_best_weights: whether to end with the weights of the best epoch.
        start_from_epoch: epochs before this one, counted from 0, are not looked at.

    Attributes:
        wait: epochs since the last improvement.
        stopped_epoch: the epoch after which training was ended; 0 if it was not.
        best: the best number so far.
        best_epoch: its epoch, counted from 0.

    Example:
        >>> import numpy as np, chainrule
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
        >>> model.compile(chainrule.optimizers.SGD(0.0), "mse")
        >>> stop = EarlyStopping("loss", patience=2, min_delta=0.01)
        >>> len(model.fit(x, x, epochs=50, callbacks=[stop], verbose=0).epoch)
        3
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._forget()

    def _forget(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew."""
        self._forget()
        self.best = self.worst

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Look at the number, and end training if it is time."""
        current = self.read(logs, "Early stopping conditioned")
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            # one epoch is always there to go back to, also if all measured NaN
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if self.improves(current, self.best):
            self.best = float(current)
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.improves(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Go back to the best weights."""
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print(
                    "Restoring model weights from the end of the best epoch: "
                    f"{self.best_epoch + 1}."
                )
            self.model.set_weights(self.best_weights)

    def state(self) -> dict[str, Any]:
        """The best number, its epoch and weights, and how long it has been waiting."""
        names = ("best", "best_epoch", "best_weights", "wait", "stopped_epoch")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        """Have what `state` told of."""
        vars(self).update(state)
