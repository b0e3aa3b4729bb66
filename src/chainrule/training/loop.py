"""The one training loop: epochs of a compiled step, in pieces that Python looks at."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.ir.trace import constant
from chainrule.jit import Loop
from chainrule.training.callbacks import CallbackList, Logs
from chainrule.training.data import Array
from chainrule.training.history import History
from chainrule.training.interrupt import Interrupt, hold_interrupts
from chainrule.training.progress import Silent
from chainrule.training.source import Source
from chainrule.training.step import initial_metrics, read_metrics
from chainrule.training.store import Store

LOOK_IN = 0.2  # seconds between two looks of Python
GROWTH = 8  # how much longer the next piece may be than the last
OUT_OF_DATA = (
    "the data ended after {} epochs, and training with it: an iterator can be passed "
    "over once. Give steps_per_epoch and let it go on for ever, or pass something that "
    "can be iterated again"
)


class Pieces:
    """Runs a loop over the chunks of a source in pieces of about `LOOK_IN` seconds.

    How rows are cut into pieces changes no number: a piece is a whole number of
    batches, and the state goes from one to the next.

    Args:
        loop: a loop that has begun.
        single: make every piece a single batch.
    """

    def __init__(self, loop: Loop, single: bool = False) -> None:
        self.loop = loop
        self.single = single
        self._batches = 1

    def run(self, source: Source, epoch: int = 0) -> Iterator[tuple[int, Any]]:
        """Take all steps; after each piece give the rows done so far, and outputs."""
        done = 0
        for piece, size in self.plan(source, epoch):
            started = time.perf_counter()
            outputs = self.loop.run(piece, size)
            self._adapt(time.perf_counter() - started)
            done += len(piece)
            yield done, outputs

    def plan(self, source: Source, epoch: int = 0) -> Iterator[tuple[Array, int]]:
        """The rows of each piece and of a batch, once the loop has their chunk."""
        for chunk in source.epoch(epoch):
            self.loop.feed(chunk.data)
            first = 0
            while first < len(chunk.order):
                last = first + self._batches * chunk.batch_size
                yield chunk.order[first:last], chunk.batch_size
                first = last

    def _adapt(self, seconds: float) -> None:
        if not self.single:
            factor = min(GROWTH, LOOK_IN / max(seconds, 1e-9))
            self._batches = max(1, int(self._batches * factor))


def measure(
    loop: Loop,
    store: Store,
    source: Source,
    progress: Silent | None = None,
    check: Callable[[], None] | None = None,
) -> Logs:
    """Loss and metrics over all rows of a source.

    Args:
        loop: the loop of a test step.
        store: the weights.
        source: the rows; the size of their batches changes the result by rounding only.
        progress: what shows the run.
        check: called a few times a second.
    """
    progress = progress or Silent()
    loop.begin(store.testing(), ())
    try:
        progress.start()
        for done, _ in Pieces(loop).run(source):
            if check is not None:
                check()
            if progress.live:
                progress.advance(done, _read(loop, store))
        logs = _read(loop, store)
        progress.finish(logs)
        return logs
    finally:
        loop.begin((), ())


def _read(loop: Loop, store: Store) -> Logs:
    """What the metrics measured so far."""
    return read_metrics(store.parts, loop.read("metrics"))


def predict(loop: Loop, store: Store, source: Source, progress: Silent) -> list[Any]:
    """The outputs for all rows, piece by piece."""
    loop.begin({"variables": store.testing()["variables"]}, ())
    outputs = []
    try:
        progress.start()
        for done, output in Pieces(loop).run(source):
            outputs.append(output)
            progress.advance(done, {})
        progress.finish({})
    finally:
        loop.begin((), ())
    return outputs


@dataclass
class Fit:
    """One run of training.

    Attributes:
        loop: the loop of a train step.
        store: the weights, and where they go back to.
        source: the batches to train on.
        epochs: the number of the last epoch, counted from 1.
        key: decides dropout, with the number of the step.
        initial_epoch: how many epochs count as done already.
        measures: what is measured after an epoch, given its number and a function to
            call now and then; its numbers join those of the epoch.
        callbacks: what is called at the joints.
        progress: what shows the run.
        stopped: whether somebody asked for an end (`model.stop_training`).
        max_time: the run ends after so many seconds.
    """

    loop: Loop
    store: Store
    source: Source
    epochs: int
    key: Any
    initial_epoch: int = 0
    measures: Callable[[int, Callable[[], None]], Logs] | None = None
    callbacks: CallbackList = field(default_factory=CallbackList)
    progress: Silent = field(default_factory=Silent)
    stopped: Callable[[], bool] = lambda: False
    max_time: float | None = None

    def run(self, history: History) -> History:
        """Train; `history` is told of every finished epoch.

        Ctrl-C ends the run after the step in progress: the weights are those after
        that step, and the History holds the epochs that were finished.
        """
        note = ""
        self._begun = False  # whether the loop holds weights
        self._newer = False  # whether those are newer than what the variables hold
        self._until = time.monotonic() + (self.max_time or float("inf"))
        self.callbacks.call("on_train_begin", {})
        self.progress.begin("fit", self.source.rows, self.epochs)
        with hold_interrupts() as interrupt:
            try:
                self._epochs(history, interrupt)
            except KeyboardInterrupt:
                history.interrupted = True
                done = len(history.epoch)
                note = (
                    f"Interrupted after {done} finished epoch{'s' * (done != 1)}; the "
                    "weights are those after the last step."
                )
            finally:
                self._keep()
                self.progress.end(note)
                self.loop.begin((), ())
                self.source.close()
            self.store.finish()
            self.callbacks.call("on_train_end", _last(history))
        return history

    def _epochs(self, history: History, interrupt: Interrupt) -> None:
        for epoch in range(self.initial_epoch, self.epochs):
            self.callbacks.call("on_epoch_begin", epoch, {})
            self.progress.start(epoch)
            self._begin(epoch)
            taken = self._pass(epoch, interrupt)
            if not taken:
                warnings.warn(OUT_OF_DATA.format(epoch), UserWarning, stacklevel=2)
                return
            if self.measures is not None or self.callbacks.callbacks:
                self._keep()
            logs = self._logs()
            if self.measures is not None:
                logs |= self.measures(epoch, interrupt.check)
            self.progress.finish(logs)
            try:
                self.callbacks.call("on_epoch_end", epoch, logs)
            finally:
                history.on_epoch_end(epoch, logs)
            interrupt.check()
            if self.stopped() or self._late():
                return

    def _begin(self, epoch: int) -> None:
        """Have the loop hold the weights as they are now, and metrics at their start.

        Weights that nobody changed since stay where they are.
        """
        if self._begun and not self.store.changed:
            self.loop.write("metrics", initial_metrics(self.store.parts))
        else:
            step = epoch * (self.source.steps or 0)
            count = constant(np.array(step, np.int64))
            if self._begun:
                count = self.loop.read("step")
            self.loop.begin(self.store.training(self.key, count), ())
            self._begun = True
        self._newer = True

    def _keep(self) -> None:
        """Put what the loop holds into the variables."""
        if self._newer:
            self.store.keep(self.loop.state())
            self._newer = False

    def _pass(self, epoch: int, interrupt: Interrupt) -> int:
        """All steps of one epoch; the number of rows that were trained on."""
        if self.callbacks.wants_batches:
            return self._watched_pass(epoch, interrupt)
        done = 0
        for done, _ in Pieces(self.loop).run(self.source, epoch):
            if self.progress.live:
                self.progress.advance(done, self._logs())
            interrupt.check()
            if self._late():
                break
        return done

    def _watched_pass(self, epoch: int, interrupt: Interrupt) -> int:
        """All steps of one epoch, with callbacks around each."""
        done = 0
        plan = Pieces(self.loop, single=True).plan(self.source, epoch)
        for batch, (rows, size) in enumerate(plan):
            self.callbacks.call("on_train_batch_begin", batch, {})
            if self.store.changed:
                self._refresh()
            self.loop.run(rows, size)
            self._newer = True
            self._keep()
            done += len(rows)
            logs = self._logs()
            self.progress.advance(done, logs)
            self.callbacks.call("on_train_batch_end", batch, logs)
            interrupt.check()
            if self.stopped() or self._late():
                break
        return done

    def _refresh(self) -> None:
        """Hand the loop weights that a callback changed in the middle of an epoch."""
        state = self.store.training(self.key, self.loop.read("step"))
        for part in ("trainable", "frozen", "optimizer"):
            self.loop.write(part, state[part])

    def _late(self) -> bool:
        return time.monotonic() > self._until

    def _logs(self) -> Logs:
        return _read(self.loop, self.store)


def _last(history: History) -> Logs:
    """The numbers of the last finished epoch."""
    return {name: column[-1] for name, column in history.history.items() if column}
