"""CSVLogger: the numbers of every epoch in a file, line by line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from chainrule.training.callbacks.base import Callback, Logs
from chainrule.training.files import write_atomically

EPOCH = "epoch"
MISSING = "NA"


class CSVLogger(Callback):
    """Writes the numbers of every epoch into a CSV file, a line each.

    A line is on the disk before the next epoch begins. A number that is measured for
    the first time later on gets a column of its own, with `NA` in the lines before. In
    a run that is resumed the file has every epoch once.

    Args:
        filename: the file.
        separator: what stands between two numbers.
        append: whether to write behind what is in the file already.

    Example:
        >>> import tempfile
        >>> path = f"{tempfile.mkdtemp()}/log.csv"
        >>> logger = CSVLogger(path)
        >>> logger.on_train_begin()
        >>> logger.on_epoch_end(0, {"loss": 0.5})
        >>> logger.on_epoch_end(1, {"loss": 0.25, "val_loss": 0.5})
        >>> print(Path(path).read_text().strip())
        epoch,loss,val_loss
        0,0.5,NA
        1,0.25,0.5
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        separator: str = ",",
        append: bool = False,
    ) -> None:
        super().__init__()
        self.filename = Path(filename)
        self.separator = separator
        self.append = append
        self._columns: list[str] = []
        self._size = 0  # bytes of whole lines
        self._lines = 0  # below the header

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Find out what the file holds, which is nothing where it is written anew."""
        self._columns, self._size, self._lines = [], 0, 0
        self.filename.parent.mkdir(parents=True, exist_ok=True)
        if not self.append or not self.filename.exists():
            return
        text = self.filename.read_bytes()
        # a line without an end was written by someone who was killed
        self._size = text.rfind(b"\n") + 1
        if self._size:
            self._columns, *rows = self._rows(text[: self._size])
            self._lines = len(rows)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a line."""
        values = {EPOCH: epoch, **{n: _shown(v) for n, v in (logs or {}).items()}}
        new = sorted(set(values) - set(self._columns) - {EPOCH})
        if new:
            self._add_columns(new)
        self._write(self._size, self._format([values]))
        self._lines += 1

    def state(self) -> dict[str, Any]:
        """How far the file goes, and its columns."""
        return {"size": self._size, "lines": self._lines, "columns": self._columns}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back the lines that were written after `state` was asked for."""
        self.on_train_begin()
        if not self.filename.exists():
            return  # somebody removed it: begin anew
        self._columns, self._lines = state["columns"], state["lines"]
        text = self.filename.read_bytes()
        header, *rows = self._rows(text[: text.rfind(b"\n") + 1]) or [[]]
        if header == self._columns:
            self._size = min(state["size"], len(text))
            os.truncate(self.filename, self._size)
            return
        # columns came after it, and the file was written once more
        kept = [dict(zip(header, row, strict=False)) for row in rows[: self._lines]]
        names = dict(zip(self._columns, self._columns, strict=True))
        self._replace(self._format([names, *kept]) if self._columns else b"")

    def _add_columns(self, new: list[str]) -> None:
        """Write the file once more, with further columns."""
        old: list[dict[str, Any]] = []
        if self._size:
            header, *rows = self._rows(self.filename.read_bytes()[: self._size])
            old = [dict(zip(header, row, strict=False)) for row in rows]
        first = [] if self._columns else [EPOCH]
        self._columns = [*self._columns, *first, *new]
        names = dict(zip(self._columns, self._columns, strict=True))
        self._replace(self._format([names, *old]))

    def _rows(self, text: bytes) -> list[list[str]]:
        lines = io.StringIO(text.decode(), newline="")
        return list(csv.reader(lines, delimiter=self.separator))

    def _format(self, rows: Iterable[Mapping[str, Any]]) -> bytes:
        text = io.StringIO()
        writer = csv.DictWriter(
            text,
            self._columns,
            restval=MISSING,
            extrasaction="ignore",
            delimiter=self.separator,
            lineterminator="\n",
        )
        writer.writerows(rows)
        return text.getvalue().encode()

    def _replace(self, content: bytes) -> None:
        write_atomically(self.filename, content)
        self._size = len(content)

    def _write(self, place: int, content: bytes) -> None:
        with open(self.filename, "r+b" if self.filename.exists() else "xb") as file:
            file.truncate(place)
            file.seek(place)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._size = place + len(content)


def _shown(value: Any) -> Any:
    """Several numbers in one field."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return f'"[{", ".join(map(str, value))}]"'
    return value
