"""LambdaCallback: functions as a callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.training.callbacks.base import Callback

Hook = Callable[..., Any]


class LambdaCallback(Callback):
    """A callback made of functions, one for each hook that is wanted.

    Functions of epochs and batches take their number and the logs; those of the
    beginning and the end take the logs.

    Args:
        on_epoch_begin: called before every epoch.
        on_epoch_end: called after every epoch.
        on_train_begin: called before the first epoch.
        on_train_end: called after the last.
        on_train_batch_begin: called before every step.
        on_train_batch_end: called after every step.
        **kwargs: any other hook of `Callback`, by its name.

    Raises:
        ArgumentError: for a hook that does not exist.

    Example:
        >>> tell = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))
        >>> tell.on_epoch_end(0, {"loss": 0.5})
        0 {'loss': 0.5}
    """

    def __init__(
        self,
        on_epoch_begin: Hook | None = None,
        on_epoch_end: Hook | None = None,
        on_train_begin: Hook | None = None,
        on_train_end: Hook | None = None,
        on_train_batch_begin: Hook | None = None,
        on_train_batch_end: Hook | None = None,
        **kwargs: Hook | None,
    ) -> None:
        super().__init__()
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                raise ArgumentError(
                    "there is no such hook",
                    where="LambdaCallback",
                    got=name,
                    expected=", ".join(n for n in dir(Callback) if n[:3] == "on_"),
                )
            if function is not None:
                setattr(self, name, function)
