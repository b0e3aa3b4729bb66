"""BackupAndRestore: exact resume under Keras's name."""

from __future__ import annotations

import os
from pathlib import Path

from chainrule.errors import ArgumentError
from chainrule.training.callbacks.base import Callback, Logs
from chainrule.training.resume_file import Checkpoints


class BackupAndRestore(Callback):
    """Takes up a run that was killed, from checkpoints in a folder of its own.

    The same as `fit(resume=backup_dir)`: the run ends in the very bits of one that was
    not killed, and its History has all epochs.

    Args:
        backup_dir: the folder, for this run alone.
        save_freq: `epoch`, or after how many batches a checkpoint is written.
        delete_checkpoint: whether checkpoints are removed when the run has ended. They
            stay where Ctrl-C or an error ended it.

    Raises:
        ArgumentError: without a folder, and for a `save_freq` that does not exist.

    Example:
        >>> import tempfile, numpy as np, chainrule
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> backup = BackupAndRestore(f"{tempfile.mkdtemp()}/run")
        >>> history = model.fit(x, x, epochs=2, callbacks=[backup], verbose=0)
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not os.fspath(backup_dir):
            raise ArgumentError(
                "a run needs a folder for its checkpoints",
                where="BackupAndRestore",
                got="backup_dir=''",
                fix="backup_dir='runs/backup'",
            )
        whole = isinstance(save_freq, int) and not isinstance(save_freq, bool)
        if save_freq != "epoch" and not (whole and int(save_freq) > 0):
            raise ArgumentError(
                "a checkpoint is written after every epoch, or every so many batches",
                where="BackupAndRestore",
                got=f"save_freq={save_freq!r}",
                expected="'epoch', or a whole number of batches",
                fix="save_freq='epoch'",
            )
        self.backup_dir = Path(backup_dir)
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint

    @property
    def checkpoint_every(self) -> float | str:
        """What `fit` would be told."""
        return float("inf") if self.save_freq == "epoch" else f"{self.save_freq} steps"

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Remove the checkpoints of a run that has ended."""
        if self.delete_checkpoint and not self.model.history.interrupted:
            Checkpoints.of_run(self.backup_dir).clear()
