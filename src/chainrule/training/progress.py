"""What the user sees of a run: a moving bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from chainrule.errors import ArgumentError

Logs = Mapping[str, Any]


def format_number(number: float) -> str:
    """A measured number at a readable precision.

    Example:
        >>> format_number(0.98765), format_number(0.00012345), format_number(12345.6)
        ('0.9877', '1.2345e-04', '12345.6000')
    """
    small = number != 0 and abs(number) < 1e-3
    return f"{number:.4e}" if small else f"{number:.4f}"


def format_logs(logs: Logs) -> str:
    """Measured numbers on one line; tables, such as a confusion matrix, are left out.

    Example:
        >>> format_logs({"loss": 0.25, "accuracy": 1.0})
        'loss: 0.2500 - accuracy: 1.0000'
    """
    numbers = {name: x for name, x in logs.items() if not isinstance(x, list)}
    return " - ".join(f"{name}: {format_number(x)}" for name, x in numbers.items())


class Silent:
    """Shows nothing. The base of what shows something.

    Attributes:
        live: whether `advance` wants the running numbers, several times a second.
        shows: whether anything is shown, so that every epoch must be told when it is.
    """

    live = False
    shows = False

    def begin(self, task: str, rows: int | None, epochs: int = 1) -> None:
        """A run over `rows` rows, `epochs` times; None where nobody knows how many."""

    def start(self, epoch: int = 0) -> None:
        """A pass over the rows starts."""

    def advance(self, rows: int, logs: Logs) -> None:
        """`rows` rows of this pass are done."""

    def finish(self, logs: Logs) -> None:
        """A pass is done, with these numbers."""

    def end(self, note: str = "") -> None:
        """The run is over; `note` says why, if it was not the plan."""


class Lines(Silent):
    """One plain line a pass, for logs, pipes and notebooks.

    Example:
        >>> lines = Lines()
        >>> lines.begin("fit", rows=100, epochs=3)
        >>> lines.start(0)
        >>> lines.finish({"loss": 0.5})
        Epoch 1/3 - 0.0 s - loss: 0.5000
    """

    shows = True

    def begin(self, task: str, rows: int | None, epochs: int = 1) -> None:
        """Remember what the lines are about."""
        self.task, self.rows, self.epochs = task, rows, epochs

    def start(self, epoch: int = 0) -> None:
        """Start the clock."""
        self.epoch = epoch
        self.started = time.perf_counter()

    def head(self) -> str:
        """How the line starts."""
        if self.task == "fit":
            return f"Epoch {self.epoch + 1}/{self.epochs}"
        return self.task if self.rows is None else f"{self.task}: {self.rows} rows"

    def finish(self, logs: Logs) -> None:
        """Print the line."""
        seconds = time.perf_counter() - self.started
        parts = [self.head(), f"{seconds:.1f} s"] + [format_logs(logs)] * bool(logs)
        print(" - ".join(parts), flush=True)

    def end(self, note: str = "") -> None:
        """Print the note."""
        if note:
            print(note, flush=True)


class Bar(Lines):
    """A bar that moves while a pass runs, and leaves one line behind.

    Example:
        >>> bar = Bar()
        >>> bar.live
        True
    """

    live = True

    def begin(self, task: str, rows: int | None, epochs: int = 1) -> None:
        """Prepare the columns."""
        # rich takes a tenth of a second to import, and most runs never show a bar
        from rich import progress  # noqa: PLC0415

        super().begin(task, rows, epochs)
        self._progress: Any = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.TaskProgressColumn(),
            progress.TimeRemainingColumn(compact=True),
            progress.TextColumn("{task.fields[numbers]}", markup=False),
            transient=True,
        )

    def start(self, epoch: int = 0) -> None:
        """Show the bar."""
        super().start(epoch)
        for old in list(self._progress.task_ids):
            self._progress.remove_task(old)
        self._task = self._progress.add_task(self.head(), total=self.rows, numbers="")
        self._progress.start()

    def advance(self, rows: int, logs: Logs) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=rows, numbers=format_logs(logs))

    def finish(self, logs: Logs) -> None:
        """Replace the bar by its line."""
        self._progress.stop()
        super().finish(logs)

    def end(self, note: str = "") -> None:
        """Take the bar away, also when the pass did not finish."""
        self._progress.stop()
        super().end(note)


def make_progress(verbose: str | int | bool) -> Silent:
    """What shows the run.

    Args:
        verbose: 0 shows nothing, 2 one line a pass; 1 and "auto" a bar where the output
            is a terminal, and lines where it is a file, a pipe or a notebook.

    Raises:
        ArgumentError: for anything else.

    Example:
        >>> type(make_progress(0)).__name__, type(make_progress(2)).__name__
        ('Silent', 'Lines')
    """
    if verbose not in ("auto", 0, 1, 2):
        raise ArgumentError(
            "there is no such way of showing progress",
            where="verbose",
            got=repr(verbose),
            expected="'auto', 0 (nothing), 1 (a bar) or 2 (a line an epoch)",
            fix="verbose='auto'",
        )
    if verbose == 0:
        return Silent()
    stream = sys.stdout
    on_terminal = verbose != 2 and stream is not None and stream.isatty()
    return Bar() if on_terminal else Lines()
