"""Callbacks: code that the loop calls at the joints of training, named as in Keras."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from chainrule.errors import ArgumentError, ResumeError

Logs = dict[str, Any]


class Callback:
    """Base of all callbacks; every hook does nothing until it is overridden.

    Hooks of epochs cost nothing per step. A callback that overrides a hook of batches
    makes the loop stop for it after every batch.

    A callback that remembers something from one hook to the next overrides `state` and
    `restore` as well, so that a run which is resumed goes on as if it had never ended.

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

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """The name that `on_train_batch_begin` once had."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The name that `on_train_batch_end` once had."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each step of an epoch; `batch` is counted from 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each step, with the running means of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch that is measured, in validation as well."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch that is measured, with the numbers so far."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of `predict`, with its `outputs`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before `evaluate` and before each validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after `evaluate` and after each validation, with its numbers."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after `predict`."""

    def watches(self, task: str) -> bool:
        """Whether it must be called around every batch.

        Args:
            task: `train`, `test` or `predict`.
        """
        hooks = [f"on_{task}_batch_begin", f"on_{task}_batch_end"]
        if task == "train":
            hooks += ["on_batch_begin", "on_batch_end"]
        return any(
            hook in vars(self)
            or getattr(type(self), hook) is not getattr(Callback, hook)
            for hook in hooks
        )

    def state(self) -> dict[str, Any]:
        """What it remembers of this run, for `restore` in another process.

        A dict of numbers, strings, NumPy arrays, and lists and dicts of them.

        Example:
            >>> class Count(Callback):
            ...     def on_train_begin(self, logs=None):
            ...         self.epochs = 0
            ...     def on_epoch_end(self, epoch, logs=None):
            ...         self.epochs += 1
            ...     def state(self):
            ...         return {"epochs": self.epochs}
            ...     def restore(self, state):
            ...         self.epochs = state["epochs"]
        """
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Be as it was when `state` was asked for.

        Called after `on_train_begin`, in a run that is resumed.
        """


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

    def set_params(self, params: dict[str, Any]) -> None:
        """Tell all of them what they find as `.params`."""
        for callback in self.callbacks:
            callback.set_params(params)

    def watches(self, task: str) -> bool:
        """Whether some callback must be called around every batch of `task`."""
        return any(callback.watches(task) for callback in self.callbacks)

    def state(self) -> list[dict[str, Any]]:
        """The states of those that remember something, with the names of classes."""
        return [
            {"class_name": type(callback).__name__, "state": state}
            for callback, state in self._remembering()
        ]

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Give every callback its state.

        Raises:
            ResumeError: when these are not the callbacks that `state` was asked of.
        """
        own = [callback for callback, _ in self._remembering()]
        names = [type(callback).__name__ for callback in own]
        before = [state["class_name"] for state in states]
        if names != before:
            raise ResumeError(
                "the run had other callbacks that remember something",
                where="callbacks",
                got=", ".join(names) or "none",
                expected=", ".join(before) or "none",
            )
        for callback, state in zip(own, states, strict=True):
            callback.restore(state["state"])

    def _remembering(self) -> Iterator[tuple[Callback, dict[str, Any]]]:
        for callback in self.callbacks:
            state = callback.state()
            if state:
                yield callback, state

    def call(self, hook: str, *arguments: Any) -> None:
        """Call `hook` of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)
