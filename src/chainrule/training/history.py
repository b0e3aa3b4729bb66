"""History: what training measured, epoch by epoch."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from chainrule.training.callbacks.base import Callback, Logs
from chainrule.training.files import write_atomically


class History(Callback):
    """The numbers of every finished epoch; `fit` returns it.

    Attributes:
        history: for each name (`loss`, `accuracy`, `val_loss`, ...) a number an epoch;
            a list of numbers where the metric gives several.
        epoch: the numbers of the epochs, counted from 0.
        interrupted: whether Ctrl-C ended training.

    Example:
        >>> history = History()
        >>> history.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.6})
        >>> history.history, history.epoch
        ({'loss': [0.5], 'val_loss': [0.6]}, [0])
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self.interrupted = False
        self._rows: list[Logs] = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keep the numbers of this epoch."""
        row = {
            name: value if isinstance(value, list) else float(value)
            for name, value in (logs or {}).items()
        }
        self.epoch.append(epoch)
        self._rows.append(row)
        for name, number in row.items():
            self.history.setdefault(name, []).append(number)

    def state(self) -> dict[str, Any]:
        """The numbers of every finished epoch."""
        return {"epoch": self.epoch, "rows": self._rows}

    def restore(self, state: dict[str, Any]) -> None:
        """Have the epochs that `state` told of."""
        self.history, self.epoch, self._rows = {}, [], []
        for epoch, row in zip(state["epoch"], state["rows"], strict=True):
            self.on_epoch_end(epoch, row)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write one row an epoch: its number, then every measured one.

        Example:
            >>> import tempfile
            >>> history = History()
            >>> history.on_epoch_end(0, {"loss": 0.5})
            >>> print(history.to_csv(f"{tempfile.mkdtemp()}/h.csv").read_text().strip())
            epoch,loss
            0,0.5
        """
        text = io.StringIO()
        names = ["epoch", *self.history]
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        for epoch, row in zip(self.epoch, self._rows, strict=True):
            writer.writerow({"epoch": epoch, **row})
        return write_atomically(path, text.getvalue().encode())

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Write `{"epoch": [...], "history": {...}}`; NaN and infinity become null.

        Example:
            >>> import tempfile
            >>> history = History()
            >>> history.on_epoch_end(0, {"loss": 0.5})
            >>> path = history.to_json(f"{tempfile.mkdtemp()}/history.json")
            >>> json.loads(path.read_text())["history"]
            {'loss': [0.5]}
        """
        content = {"epoch": self.epoch, "history": _finite(self.history)}
        text = json.dumps(content, indent=1, allow_nan=False)
        return write_atomically(path, text.encode() + b"\n")

    def __repr__(self) -> str:
        pairs = [(n, c[-1]) for n, c in self.history.items() if c]
        last = ", ".join(f"{n} {x:.4g}" for n, x in pairs if isinstance(x, float))
        return f"<History of {len(self.epoch)} epochs{': ' + last if last else ''}>"


def _finite(value: Any) -> Any:
    """Numbers in nested lists and dicts, with None for NaN and infinity."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return value if abs(value) < float("inf") else None
