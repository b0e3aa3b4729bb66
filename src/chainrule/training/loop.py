"""The one training loop: epochs of a compiled step, in pieces that Python looks at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.functional import random
from chainrule.ir.trace import constant
from chainrule.jit import Loop
from chainrule.ops.random import threefry2x32
from chainrule.training.callbacks import CallbackList, Logs
from chainrule.training.data import Array
from chainrule.training.history import History
from chainrule.training.interrupt import Interrupt, hold_interrupts
from chainrule.training.progress import Silent
from chainrule.training.step import State, read_metrics
from chainrule.training.store import Store

LOOK_IN = 0.2  # seconds between two looks of Python
GROWTH = 8  # how much longer the next piece may be than the last


class Pieces:
    """Runs a loop over rows in pieces of about `LOOK_IN` seconds.

    How rows are cut into pieces changes no number: a piece is a whole number of
    batches, and the state goes from one to the next.

    Args:
        loop: a loop that has begun.
        batch_size: rows of a step.
        single: make every piece a single batch.
    """

    def __init__(self, loop: Loop, batch_size: int, single: bool = False) -> None:
        self.loop = loop
        self.batch_size = batch_size
        self.single = single
        self._batches = 1

    def run(self, order: Array) -> Iterator[tuple[int, Any]]:
        """Take all steps; after each piece give the rows done so far, and outputs."""
        done = 0
        while done < len(order):
            piece = order[done : done + self._batches * self.batch_size]
            started = time.perf_counter()
            outputs = self.loop.run(piece, self.batch_size)
            self._adapt(time.perf_counter() - started)
            done += len(piece)
            yield done, outputs

    def _adapt(self, seconds: float) -> None:
        if not self.single:
            factor = min(GROWTH, LOOK_IN / max(seconds, 1e-9))
            self._batches = max(1, int(self._batches * factor))


def epoch_order(key: Any, epoch: int, rows: int, shuffle: bool = True) -> Array:
    """The order of the rows in one epoch: a function of the key and the epoch alone.

    Example:
        >>> key = random.key(0)
        >>> bool((epoch_order(key, 3, 100) == epoch_order(key, 3, 100)).all())
        True
        >>> epoch_order(key, 0, 4, shuffle=False).tolist()
        [0, 1, 2, 3]
    """
    if not shuffle:
        return np.arange(rows, dtype=np.int64)
    # the epoch is the counter's second word: one pass, without a key for each epoch
    count = np.arange(-(-rows // 2), dtype=np.uint32)
    pairs = threefry2x32(tuple(key.numpy()), count, np.full(1, epoch, np.uint32))
    words = np.concatenate(pairs)[:rows]
    # sorted by their halves, the lower first: stable sorts of 16 bits count, and are
    # faster than a sort of whole words; equal words keep the order of the rows
    order = np.argsort(words.astype(np.uint16), kind="stable")
    upper = (words >> 16).astype(np.uint16)
    return order[np.argsort(upper[order], kind="stable")]


def measure(
    loop: Loop,
    store: Store,
    data: Any,
    rows: int,
    batch_size: int,
    progress: Silent | None = None,
    check: Callable[[], None] | None = None,
) -> Logs:
    """Loss and metrics over all rows of `data`.

    Args:
        loop: the loop of a test step.
        store: the weights.
        data: `{"x": ..., "y": ...}`.
        rows: how many rows there are.
        batch_size: rows of a step; it changes the result by rounding only.
        progress: what shows the run.
        check: called a few times a second.
    """
    progress = progress or Silent()
    loop.begin(store.testing(), data)
    try:
        progress.start()
        for done, _ in Pieces(loop, batch_size).run(np.arange(rows)):
            if check is not None:
                check()
            if progress.live:
                progress.advance(
                    done, read_metrics(store.parts, loop.state()["metrics"])
                )
        logs = read_metrics(store.parts, loop.state()["metrics"])
        progress.finish(logs)
        return logs
    finally:
        loop.begin((), ())


def _read(loop: Loop, store: Store) -> Logs:
    """What the metrics measured so far."""
    return read_metrics(store.parts, loop.state()["metrics"])


def predict(
    loop: Loop, store: Store, data: Any, rows: int, batch_size: int, progress: Silent
) -> list[Any]:
    """The outputs for all rows, piece by piece."""
    loop.begin({"variables": store.testing()["variables"]}, data)
    outputs = []
    try:
        progress.start()
        for done, output in Pieces(loop, batch_size).run(np.arange(rows)):
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
        data: `{"x": ..., "y": ...}`.
        rows: how many rows of `data` are trained on.
        batch_size: rows of a step.
        epochs: the number of the last epoch, counted from 1.
        initial_epoch: how many epochs count as done already.
        seed: the key that decides the order of rows, and dropout.
        shuffle: whether each epoch has an order of its own.
        validate: measures the validation data, calling its argument now and then.
        callbacks: what is called at the joints.
        progress: what shows the run.
        stopped: whether somebody asked for an end (`model.stop_training`).
    """

    loop: Loop
    store: Store
    data: Any
    rows: int
    batch_size: int
    epochs: int
    seed: Any
    initial_epoch: int = 0
    shuffle: bool = True
    validate: Callable[[Callable[[], None]], Logs] | None = None
    callbacks: CallbackList = field(default_factory=CallbackList)
    progress: Silent = field(default_factory=Silent)
    stopped: Callable[[], bool] = lambda: False

    def run(self, history: History) -> History:
        """Train; `history` is told of every finished epoch.

        Ctrl-C ends the run after the step in progress: the weights are those after
        that step, and the History holds the epochs that were finished.
        """
        note = ""
        self.callbacks.call("on_train_begin", {})
        self.progress.begin("fit", self.rows, self.epochs)
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
                self.progress.end(note)
                self.loop.begin((), ())
            self.store.finish()
            self.callbacks.call("on_train_end", _last(history))
        return history

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return -(-self.rows // self.batch_size)

    def _epochs(self, history: History, interrupt: Interrupt) -> None:
        order_key, self._step_key = random.split(self.seed, 2)
        for epoch in range(self.initial_epoch, self.epochs):
            self.callbacks.call("on_epoch_begin", epoch, {})
            self.progress.start(epoch)
            self._begin(epoch * self.steps)
            order = epoch_order(order_key, epoch, self.rows, self.shuffle)
            try:
                self._pass(order, interrupt)
            finally:
                self.store.keep(self.loop.state())
            logs = self._logs()
            if self.validate is not None:
                measured = self.validate(interrupt.check)
                logs |= {f"val_{name}": number for name, number in measured.items()}
            self.progress.finish(logs)
            try:
                self.callbacks.call("on_epoch_end", epoch, logs)
            finally:
                history.on_epoch_end(epoch, logs)
            interrupt.check()
            if self.stopped():
                return

    def _begin(self, step: int, metrics: State | None = None) -> None:
        """Hand the loop the weights as they are now."""
        count = constant(np.array(step, np.int64))
        state = self.store.training(self._step_key, count)
        if metrics is not None:
            state["metrics"] = metrics
        self.loop.begin(state, self.data)

    def _pass(self, order: Array, interrupt: Interrupt) -> None:
        """All steps of one epoch."""
        if self.callbacks.wants_batches:
            self._watched_pass(order, interrupt)
            return
        for done, _ in Pieces(self.loop, self.batch_size).run(order):
            if self.progress.live:
                self.progress.advance(done, self._logs())
            interrupt.check()

    def _watched_pass(self, order: Array, interrupt: Interrupt) -> None:
        """All steps of one epoch, with callbacks around each."""
        self.callbacks.call("on_train_batch_begin", 0, {})
        pieces = Pieces(self.loop, self.batch_size, single=True)
        for batch, (done, _) in enumerate(pieces.run(order)):
            state = self.loop.state()
            self.store.keep(state)
            logs = self._logs()
            self.progress.advance(done, logs)
            self.callbacks.call("on_train_batch_end", batch, logs)
            interrupt.check()
            if self.stopped():
                return
            if done < len(order):
                self.callbacks.call("on_train_batch_begin", batch + 1, {})
            if self.store.changed:
                self._begin(int(state["step"].numpy()), state["metrics"])

    def _logs(self) -> Logs:
        return _read(self.loop, self.store)


def _last(history: History) -> Logs:
    """The numbers of the last finished epoch."""
    return {name: column[-1] for name, column in history.history.items() if column}
