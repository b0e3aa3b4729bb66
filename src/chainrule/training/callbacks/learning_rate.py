"""Callbacks that set the learning rate between epochs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.training.callbacks.base import Callback, Logs
from chainrule.training.callbacks.monitor import Monitor


def _check_settable(callback: Callback) -> None:
    """Refuse an optimizer whose learning rate follows a schedule of its own."""
    if callback.model.optimizer.fixed_learning_rate is None:
        raise ArgumentError(
            "the optimizer's learning rate follows a schedule, which a callback would "
            "overwrite",
            where=type(callback).__name__,
            expected="a learning rate that is a number",
            fix="optimizer.learning_rate = 0.001",
        )


class LearningRateScheduler(Callback):
    """Sets the learning rate before every epoch.

    Args:
        schedule: a function of the epoch, counted from 0, and the learning rate now, or
            of the epoch alone; it returns the new one.
        verbose: 1 tells of every new rate.

    Raises:
        ArgumentError: at training, when the function returns no number, or the
            optimizer has a schedule already.

    Example:
        >>> import numpy as np, chainrule
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
        >>> model.compile(chainrule.optimizers.SGD(0.8), "mse")
        >>> halve = LearningRateScheduler(lambda epoch, rate: rate / 2)
        >>> history = model.fit(x, x, epochs=2, callbacks=[halve], verbose=0)
        >>> history.history["learning_rate"]
        [0.4, 0.2]
    """

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """See that the rate can be set."""
        _check_settable(self)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate of this epoch."""
        optimizer = self.model.optimizer
        arguments = (epoch, float(optimizer.learning_rate))
        given = self.schedule(*arguments[: _count_arguments(self.schedule)])
        try:
            rate = float(given)
        except (TypeError, ValueError):
            raise ArgumentError(
                "the schedule must return a number",
                where="LearningRateScheduler",
                got=repr(given),
                expected="the new learning rate, such as 0.001",
            ) from None
        optimizer.learning_rate = rate
        if self.verbose > 0:
            print(
                f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to "
                f"{rate}."
            )

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the rate in the logs."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


def _count_arguments(schedule: Callable[..., Any]) -> int:
    """Whether a schedule takes the epoch, or the learning rate as well."""
    try:
        inspect.signature(schedule).bind(0, 0.1)
    except TypeError:
        return 1
    except ValueError:  # a function without a signature
        return 2
    return 2


class ReduceLROnPlateau(Monitor):
    """Makes the learning rate smaller once a measured number no longer improves.

    Args:
        monitor: the name of the number in the logs.
        factor: what the rate is multiplied by.
        patience: after how many epochs without improvement.
        verbose: 1 tells when it happens.
        mode: `min` where less is better, `max` where more is; `auto` asks the name.
        min_delta: an improvement of less than this counts as none.
        cooldown: how many epochs to wait after a reduction before counting again.
        min_lr: the least rate.

    Raises:
        ArgumentError: when the factor would not make the rate smaller; at training,
            when the optimizer has a schedule.

    Example:
        >>> import numpy as np, chainrule
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
        >>> model.compile(chainrule.optimizers.SGD(0.1), "mse")
        >>> reduce = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=9.0)
        >>> history = model.fit(x, x, epochs=3, callbacks=[reduce], verbose=0)
        >>> history.history["learning_rate"]
        [0.1, 0.1, 0.05]
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if factor >= 1.0:
            raise ArgumentError(
                "ReduceLROnPlateau does not support a factor >= 1.0",
                where="ReduceLROnPlateau",
                got=f"factor={factor}",
                fix="factor=0.1",
            )
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.cooldown_counter = 0
        self.wait = 0

    def in_cooldown(self) -> bool:
        """Whether the last reduction is too recent to count epochs again."""
        return self.cooldown_counter > 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew."""
        _check_settable(self)
        self.cooldown_counter = 0
        self.wait = 0
        self.best = self.worst

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the rate in the logs, then look at the number."""
        if logs is None:
            logs = {}
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = self.read(logs, "Learning rate reduction is conditioned")
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(current, self.best):
            self.best = float(current)
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        old = float(optimizer.learning_rate)
        if old <= self.min_lr:
            return
        optimizer.learning_rate = max(old * self.factor, self.min_lr)
        if self.verbose > 0:
            print(
                f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to "
                f"{optimizer.learning_rate}."
            )
        self.cooldown_counter = self.cooldown
        self.wait = 0

    def state(self) -> dict[str, Any]:
        """The best number, and how long it has been waiting for a better one."""
        names = ("best", "wait", "cooldown_counter")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        """Have what `state` told of."""
        vars(self).update(state)
