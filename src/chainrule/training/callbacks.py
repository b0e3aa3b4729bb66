"""Callbacks: code that the loop calls at the joints of training, named as in Keras."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chainrule.errors import ArgumentError

Logs = dict[str, Any]


class Callback:
    """Base of all callbacks; every hook does nothing until it is overridden.

    Hooks of epochs cost nothing per step. A callback that overrides a hook of batches
    makes the loop stop for it after every batch.

    Attributes:
        model: the model that is trained.
        params: `epochs`, `steps` (batches in an epoch) and `verbose` of this run.

    Example:
        >>> class Halve(Callback):
        ...     def on_epoch_begin(self, epoch, logs=None):
        ...         self.model.optimizer.learning_rate *= 0.5
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Called once, before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called once, before training."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called after the last epoch, also when training was interrupted."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before epoch number `epoch`, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after an epoch and its validation, with the numbers of both."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each step, if a callback overrides a hook of batches."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each step, with the running means of the epoch so far."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before `evaluate` and before each validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after `evaluate` and after each validation, with its numbers."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after `predict`."""


class CallbackList:
    """Several callbacks as one: a call to a hook goes to each of them, in order.

    Args:
        callbacks: one callback, several, or None.
        model: what they find as `.model`.
        params: what they find as `.params`.

    Raises:
        ArgumentError: for something that is not a callback.

    Example:
        >>> class Tell(Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         print(epoch, logs)
        >>> CallbackList([Tell()]).call("on_epoch_end", 0, {"loss": 0.5})
        0 {'loss': 0.5}
    """

    def __init__(
        self,
        callbacks: Callback | Iterable[Callback] | None = None,
        model: Any = None,
        params: dict[str, Any] | None = None,
    ) -> None:
        if callbacks is None:
            callbacks = ()
        given = (callbacks,) if isinstance(callbacks, Callback) else callbacks
        self.callbacks = list(given)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(
                    "a callback must derive from chainrule.callbacks.Callback",
                    where="callbacks",
                    got=repr(callback),
                    fix="callbacks=[MyCallback()], an instance and not the class",
                )
            callback.set_model(model)
            callback.set_params(params or {})

    @property
    def wants_batches(self) -> bool:
        """Whether some callback must be called around every train batch."""
        hooks = ("on_train_batch_begin", "on_train_batch_end")
        return any(
            getattr(type(callback), hook) is not getattr(Callback, hook)
            for callback in self.callbacks
            for hook in hooks
        )

    def call(self, hook: str, *arguments: Any) -> None:
        """Call `hook` of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)
