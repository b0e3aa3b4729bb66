"""ModelCheckpoint: save the model while it trains."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.training.callbacks.base import Logs
from chainrule.training.callbacks.monitor import Monitor


class ModelCheckpoint(Monitor):
    """Saves the model, or its weights, after every epoch or every so many batches.

    This is for models that are used afterwards. A run that was killed is taken up from
    the checkpoints of `fit(resume=folder)`.

    Args:
        filepath: the file; `{epoch:02d}`, `{batch}` and the names of measured numbers,
            such as `{val_loss:.2f}`, are filled in.
        monitor: the name of the number that says which model is the best.
        verbose: 1 tells of every file.
        save_best_only: whether to save only what is better than all before.
        save_weights_only: whether to save the weights alone, by `model.save_weights`.
        mode: `min` where less is better, `max` where more is; `auto` asks the name.
        save_freq: `epoch`, or after how many batches.
        initial_value_threshold: only what is better than this counts as best.
        keep: how many files to keep: the newest, or with `save_best_only` the best. All
            when None.

    Raises:
        ArgumentError: for a `save_freq` that does not exist, and where several files
            should be kept under one name.

    Example:
        >>> import tempfile, numpy as np, chainrule
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> model = chainrule.Sequential([chainrule.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> folder = Path(tempfile.mkdtemp())
        >>> save = ModelCheckpoint(folder / "{epoch}.chainrule", "loss", keep=2)
        >>> history = model.fit(x, x, epochs=4, callbacks=[save], verbose=0)
        >>> sorted(path.name for path in folder.iterdir())
        ['3.chainrule', '4.chainrule']
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        *,
        keep: int | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0.0)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.initial_value_threshold = initial_value_threshold
        self.keep = keep
        self._check()
        self._forget()

    def _check(self) -> None:
        whole = isinstance(self.save_freq, int) and not isinstance(self.save_freq, bool)
        if self.save_freq != "epoch" and not (whole and int(self.save_freq) > 0):
            raise ArgumentError(
                "models are saved after every epoch, or every so many batches",
                where="ModelCheckpoint",
                got=f"save_freq={self.save_freq!r}",
                expected="'epoch', or a whole number of batches",
                fix="save_freq='epoch'",
            )
        if self.keep is not None and self.keep < 1:
            raise ArgumentError(
                "at least one file is kept",
                where="ModelCheckpoint",
                got=f"keep={self.keep}",
                fix="keep=1",
            )
        if self.keep is not None and self.keep > 1 and "{" not in self.filepath:
            raise ArgumentError(
                "several files need several names",
                where="ModelCheckpoint",
                got=f"keep={self.keep}, filepath={self.filepath!r}",
                fix="filepath='model-{epoch:02d}.chainrule'",
            )

    def _forget(self) -> None:
        self._epoch = 0
        self._batches = 0  # since the last time that it was saved
        self._kept: list[dict[str, Any]] = []  # oldest first

    def watches(self, task: str) -> bool:
        """Whether it must be called around every batch."""
        return super().watches(task) and self.save_freq != "epoch"

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew."""
        self._forget()
        if self.save_best_only:
            threshold = self.initial_value_threshold
            self.best = math.nan if threshold is None else threshold

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save, where it is time."""
        self._batches += 1
        if self.save_freq != "epoch" and self._batches >= int(self.save_freq):
            self._batches = 0
            self._save({"epoch": self._epoch + 1, "batch": batch + 1}, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, where it is time."""
        self._epoch = epoch
        if self.save_freq == "epoch":
            self._save({"epoch": epoch + 1}, logs or {})

    def _save(self, moment: dict[str, int], logs: Logs) -> None:
        path = Path(self._name({**moment, **logs}))
        if not self._is_wanted(logs, path):
            return
        if path.is_dir():
            raise ArgumentError(
                "this is a folder, and a model is one file",
                where="ModelCheckpoint",
                got=str(path),
                fix=f"filepath='{path}/model.chainrule'",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        self._clean(path, logs)
        self._tell(f"finished saving model to {path}")

    def _name(self, values: dict[str, Any]) -> str:
        try:
            return self.filepath.format(**values)
        except KeyError as error:
            raise ArgumentError(
                f"the name of the file asks for {error}, which was not measured",
                where="ModelCheckpoint",
                got=self.filepath,
                expected=", ".join(values),
            ) from None

    def _is_wanted(self, logs: Logs, path: Path) -> bool:
        """Whether this model is to be saved."""
        if not self.save_best_only:
            self._tell(f"saving model to {path}")
            return True
        current = logs.get(self.monitor)
        if current is None:
            message = f"Can save best model only with {self.monitor} available."
            warnings.warn(message, stacklevel=2)
            return True
        if not isinstance(current, (int, float)):
            message = (
                "Can save best model only when `monitor` is a scalar value. Received: "
                f"{current}. Falling back to `save_best_only=False`."
            )
            warnings.warn(message, stacklevel=2)
            return True
        reference = self._reference()
        none = math.isnan(reference)
        shown = "None" if none else f"{reference:.5f}"
        if not (none or self.improves(current, reference)):
            self._tell(f"{self.monitor} did not improve from {shown}")
            return False
        change = f"improved from {shown} to {current:.5f}"
        self._tell(f"{self.monitor} {change}, saving model to {path}")
        if math.isnan(self.best) or self.improves(current, self.best):
            self.best = float(current)
        return True

    def _reference(self) -> float:
        """What a model must be better than: the worst of the best that are kept.

        NaN where any number will do.
        """
        if self.keep is None or self.keep == 1:
            return self.best
        numbers = [file["number"] for file in self._kept]
        if len(numbers) >= self.keep:
            return float(max(numbers) if self.direction == "min" else min(numbers))
        threshold = self.initial_value_threshold
        return math.nan if threshold is None else threshold

    def _clean(self, path: Path, logs: Logs) -> None:
        """Remove the files that are no longer among those to keep."""
        if self.keep is None:
            return
        number = logs.get(self.monitor) if self.save_best_only else None
        if not isinstance(number, (int, float)) or math.isnan(number):
            number = self.worst if self.save_best_only else 0.0
        self._kept = [file for file in self._kept if file["path"] != str(path)]
        self._kept.append({"path": str(path), "number": float(number)})
        if len(self._kept) <= self.keep:
            return
        worst = self._kept[0]
        if self.save_best_only:
            sign = 1 if self.direction == "min" else -1
            worst = max(self._kept, key=lambda file: sign * file["number"])
        self._kept.remove(worst)
        Path(worst["path"]).unlink(missing_ok=True)

    def _tell(self, what: str) -> None:
        if self.verbose > 0:
            print(f"\nEpoch {self._epoch + 1}: {what}")

    def state(self) -> dict[str, Any]:
        """The best number, the files, and the batches since the last."""
        return {"best": self.best, "kept": self._kept, "batches": self._batches}

    def restore(self, state: dict[str, Any]) -> None:
        """Have what `state` told of."""
        self.best, self._kept = state["best"], state["kept"]
        self._batches = state["batches"]
