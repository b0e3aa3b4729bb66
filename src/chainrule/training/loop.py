"""The one training loop: epochs of a compiled step, in pieces that Python looks at."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.ir import tree
from chainrule.ir.trace import constant
from chainrule.loops import Loop
from chainrule.training.callbacks import CallbackList, Logs, TerminateOnNaN
from chainrule.training.data import Array
from chainrule.training.history import History
from chainrule.training.interrupt import Interrupt, hold_interrupts
from chainrule.training.nonfinite import Known, is_finite, locate
from chainrule.training.progress import Silent
from chainrule.training.resume import Place, Resume
from chainrule.training.source import Chunk, Source
from chainrule.training.step import State, read_metrics, read_passes
from chainrule.training.store import Store

LOOK_IN = 0.2  # seconds between two looks of Python
GROWTH = 8  # how much longer the next piece may be than the last
KEEP_EVERY = 10.0  # seconds of steps that are taken again to find where NaN came from
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
        most: the most batches that a piece may have.

    Attributes:
        rows: how many rows of the pass are done, once the last piece is.
        steps: how many batches.
    """

    def __init__(self, loop: Loop, most: int | None = None) -> None:
        self.loop = loop
        self.most = most or sys.maxsize
        self.rows = self.steps = 0
        self._batches = 0

    def run(
        self, source: Source, epoch: int = 0, skip: int = 0
    ) -> Iterator[tuple[int, Any]]:
        """Take all steps; after each piece give the rows done so far, and outputs."""
        for piece, size in self.plan(source, epoch, skip):
            started = time.perf_counter()
            outputs = self.loop.run(piece, size)
            self._adapt(time.perf_counter() - started)
            yield self.rows, outputs

    def plan(
        self, source: Source, epoch: int = 0, skip: int = 0
    ) -> Iterator[tuple[Array, int]]:
        """The rows of each piece and of a batch, once the loop has their chunk.

        Args:
            source: the batches.
            epoch: which of its epochs.
            skip: how many batches are done already, and left out.
        """
        self.rows = self.steps = 0
        for chunk in source.epoch(epoch):
            size, order = chunk.batch_size, chunk.order
            first = min(max(0, skip - self.steps) * size, len(order))
            self._count(order[:first], size)
            if first < len(order):
                self.loop.feed(chunk.data)
                self._batches = self._batches or self._guess(min(size, len(order)))
            while first < len(order):
                piece = order[first : first + min(self._batches, self.most) * size]
                self._count(piece, size)
                yield piece, size
                first += len(piece)

    def attend(
        self, source: Source, callbacks: CallbackList, task: str, logs: Any
    ) -> Iterator[tuple[int, Any]]:
        """`run`, in single batches with the hooks of callbacks around each.

        Args:
            source: the batches.
            callbacks: what is called.
            task: `test` or `predict`.
            logs: makes the logs for the hook after a batch from its outputs.
        """
        for batch, (piece, size) in enumerate(self.plan(source)):
            callbacks.call(f"on_{task}_batch_begin", batch, {})
            outputs = self.loop.run(piece, size)
            callbacks.call(f"on_{task}_batch_end", batch, logs(outputs))
            yield self.rows, outputs

    def _count(self, rows: Array, size: int) -> None:
        self.rows += len(rows)
        self.steps += -(-len(rows) // size)

    def _guess(self, batch_size: int) -> int:
        """The batches of the first piece: by how long a step took before."""
        seconds = self.loop.seconds(batch_size)
        return 1 if seconds is None else max(1, int(LOOK_IN / max(seconds, 1e-9)))

    def _adapt(self, seconds: float) -> None:
        factor = min(GROWTH, LOOK_IN / max(seconds, 1e-9))
        self._batches = min(self.most, max(1, int(self._batches * factor)))


def measure(
    loop: Loop,
    store: Store,
    source: Source,
    progress: Silent | None = None,
    check: Callable[[], None] | None = None,
    callbacks: CallbackList | None = None,
) -> Logs:
    """Loss and metrics over all rows of a source.

    Args:
        loop: the loop of a test step.
        store: the weights.
        source: the rows; the size of their batches changes the result by rounding only.
        progress: what shows the run.
        check: called a few times a second.
        callbacks: what is called before, after, and around batches.
    """
    progress = progress or Silent()
    callbacks = callbacks or CallbackList()
    callbacks.call("on_test_begin", {})
    loop.begin(store.testing(), ())
    passed = _passes(loop, source, callbacks, "test", lambda _: _read(loop, store))
    try:
        progress.start()
        for done, _ in passed:
            if check is not None:
                check()
            if progress.live:
                progress.advance(done, _read(loop, store))
        logs = _read(loop, store)
        store.carry(loop.read)
        progress.finish(logs)
    finally:
        loop.end()
    callbacks.call("on_test_end", logs)
    return logs


def _passes(
    loop: Loop, source: Source, callbacks: CallbackList, task: str, logs: Any
) -> Iterator[tuple[int, Any]]:
    """The pieces of a pass: single batches where somebody attends to each."""
    if callbacks.watches(task):
        return Pieces(loop, 1).attend(source, callbacks, task, logs)
    return Pieces(loop).run(source)


def _read(loop: Loop, store: Store) -> Logs:
    """What the metrics measured so far."""
    return read_metrics(store.parts, loop.read("metrics"))


def predict(
    loop: Loop,
    store: Store,
    source: Source,
    progress: Silent,
    callbacks: CallbackList,
) -> list[Any]:
    """The outputs for all rows, piece by piece."""
    callbacks.call("on_predict_begin", {})
    loop.begin({"variables": store.testing()["variables"]}, ())
    outputs = []
    try:
        progress.start()
        passed = _passes(loop, source, callbacks, "predict", _as_logs)
        for done, output in passed:
            outputs.append(output)
            progress.advance(done, {})
        store.carry(loop.read)
        progress.finish({})
    finally:
        loop.end()
    callbacks.call("on_predict_end", {})
    return outputs


def _as_logs(outputs: Any) -> Logs:
    return {"outputs": tree.tree_map(lambda value: value.numpy(), outputs)}


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
        resume: the checkpoints of this run, where it has any.
        guard: is told when the loss is not finite.
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
    resume: Resume | None = None
    guard: TerminateOnNaN | None = None

    def run(self, history: History) -> History:
        """Train; `history` is told of every finished epoch.

        Ctrl-C ends the run after the step in progress: the weights are those after
        that step, and the History holds the epochs that were finished.
        """
        note = ""
        self._begun = False  # whether the loop holds weights
        self._newer = False  # whether those are newer than what the variables hold
        self._changed = False  # whether the optimizer was changed before it began
        self._slowly = False  # whether every epoch is taken for itself
        self._untouched: State | None = None  # what the loop holds, before any step
        self._pieces = Pieces(self.loop)
        self._known: Known | None = None  # a state before any NaN
        self._kept = time.monotonic()  # when that was
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
                self.loop.end()
                self.source.close()
            self.store.finish()
            self.callbacks.call("on_train_end", _last(history))
        return history

    def _epochs(self, history: History, interrupt: Interrupt) -> None:
        place = self._start(history, interrupt)
        while place.epoch < self.epochs and not place.stopped:
            epoch = place.epoch
            if done := self._several(place, history):
                place = Place(epoch + done, stopped=bool(self.stopped()))
                interrupt.check()
                continue
            if not place.begun:
                self.callbacks.call("on_epoch_begin", epoch, {})
            self.progress.start(epoch)
            if not place.begun:
                self._begin(epoch)
            taken = self._pass(place, history, interrupt)
            if not taken:
                warnings.warn(OUT_OF_DATA.format(epoch), UserWarning, stacklevel=2)
                return
            self._end_epoch(epoch, history, interrupt)
            place = Place(epoch + 1, stopped=bool(self.stopped()))
            self._checkpoint_epoch(place, history, interrupt)
            interrupt.check()
            if self._late():
                return

    def _several(self, place: Place, history: History) -> int:
        """Take several short epochs in one native call; how many these were.

        Nobody hears of one before all are done, so there must be nobody who wants to.
        """
        heard = self.callbacks.callbacks or self.measures or self.progress.shows
        bound = self.resume is not None or self.max_time is not None
        left = self.epochs - place.epoch
        if heard or bound or place.begun or left < 2 or self._slowly:
            return 0
        self._begin(place.epoch)
        chunk = self._short_epochs(place.epoch, left)
        if chunk is None:
            return 0
        before = self._untouched or self.loop.state()
        if before is not self._untouched and is_finite(before["trainable"]):
            self._know(place.epoch, 0, before)
        self._untouched = None
        fresh = self.store.fresh_metrics
        found = self.loop.passes(chunk.order, chunk.batch_size, "metrics", fresh)
        logs = read_passes(self.store.parts, found, len(chunk.order))
        if not all(math.isfinite(each.get("loss", 0.0)) for each in logs):
            # once more, epoch by epoch, from the state before the first
            self.loop.begin(before, ())
            self._slowly = True
            return 0
        for number, each in enumerate(logs):
            history.on_epoch_end(place.epoch + number, each)
        return len(logs)

    def _short_epochs(self, first: int, left: int) -> Chunk | None:
        """As many of the epochs that are left as pass between two looks of Python."""
        one = self.source.passes(first, 0)
        if one is None or self.source.steps is None:
            return None
        self.loop.feed(one.data)
        # where there are fewer rows than a batch has, no whole batch is ever taken
        seconds = self.loop.seconds(min(one.batch_size, one.order.shape[-1]))
        if seconds is None:
            return None
        count = int(LOOK_IN / max(seconds * self.source.steps, 1e-9))
        return self.source.passes(first, min(left, count)) if count > 1 else None

    def _start(self, history: History, interrupt: Interrupt) -> Place:
        """Where to start: at the beginning, or where a run that is resumed stood."""
        place = Place(self.initial_epoch)
        if self.resume is None:
            return place
        fresh = self.store.training(self.key, self._count(place.epoch))
        found = self.resume.load(fresh, self.callbacks, history)
        if found is None:
            self.resume.write(place, fresh, self.callbacks, history)
            return place
        place, state = found
        if self.source.continues:
            for epoch in range(self.initial_epoch, place.epoch):
                for _ in self.source.epoch(epoch):
                    interrupt.check()
        self.store.keep(state)
        self.loop.begin(state, ())
        # the learning rate may have been set anew at the end of an epoch
        self._begun, self._changed = True, not place.begun
        self._newer = place.begun
        self._know(place.epoch, place.steps, state)
        return place

    def _end_epoch(self, epoch: int, history: History, interrupt: Interrupt) -> None:
        """Measure what is measured after an epoch, and tell everybody."""
        logs = self._logs()
        self._check_finite(epoch, logs)
        if self.measures is not None or self.callbacks.callbacks:
            self._keep(epoch + 1)
        if self.measures is not None:
            logs |= self.measures(epoch, interrupt.check)
        self.progress.finish(logs)
        try:
            self.callbacks.call("on_epoch_end", epoch, logs)
        finally:
            history.on_epoch_end(epoch, logs)

    def _begin(self, epoch: int) -> None:
        """Have the loop hold the weights as they are now, and metrics at their start.

        Weights that nobody changed since stay where they are.
        """
        if self._begun and not (self._changed or self.store.changed):
            self.loop.write("metrics", self.store.fresh_metrics)
        else:
            count = self.loop.read("step") if self._begun else self._count(epoch)
            state = self.store.training(self.key, count)
            self.loop.begin(state, ())
            self._know(epoch, 0, state)
            self._begun, self._changed = True, False
            self._untouched = state
        self._newer = True

    def _count(self, epoch: int) -> Any:
        """How many steps are done before an epoch."""
        return constant(np.array(epoch * (self.source.steps or 0), np.int64))

    def _keep(self, epoch: int | None = None, steps: int = 0) -> None:
        """Put what the loop holds into the variables.

        Args:
            epoch: the epoch that the state belongs to, if steps are to be taken again
                from there when the loss is not finite later on.
            steps: how many steps of it are done.
        """
        if self._newer:
            state = self.loop.state()
            self.store.keep(state)
            self._newer = False
            if epoch is not None and is_finite(state["trainable"]):
                self._know(epoch, steps, state)

    def _lend(self, epoch: int, steps: int) -> None:
        """Have the variables lie in the loop, for whoever looks after a batch.

        Args:
            epoch: the epoch that is under way.
            steps: how many of its steps are done.
        """
        self.store.lend(self.loop)
        self._newer = False
        assert self._known is not None
        if self.source.continues:  # no step is taken again
            self._known = replace(self._known, epoch=epoch, steps=steps)
        elif time.monotonic() - self._kept > KEEP_EVERY:
            state = self.loop.state()
            if is_finite(state["trainable"]):
                self._know(epoch, steps, state)

    def _know(self, epoch: int, steps: int, state: State) -> None:
        self._known, self._kept = Known(epoch, steps, state), time.monotonic()

    def _check_finite(self, epoch: int, logs: Logs) -> None:
        """Tell the guard where a loss that is not finite came from."""
        loss = logs.get("loss", 0.0)  # steps of one's own may measure something else
        if self.guard is None or math.isfinite(loss) or self.stopped():
            return
        assert self._known is not None
        state = self.loop.state()
        error = locate(self.loop, self.source, self._known, epoch, loss)
        self.loop.begin(state, ())
        self.guard.terminate(error)

    def _look(self, epoch: int, steps: int) -> None:
        """See that the loss is finite, and now and then keep the state."""
        self._check_finite(epoch, self._logs())
        if time.monotonic() - self._kept > KEEP_EVERY:
            self._newer = True
            self._keep(epoch, steps)
            self._newer = True

    def _pass(self, place: Place, history: History, interrupt: Interrupt) -> int:
        """The steps of an epoch that are not done yet; how many rows that makes."""
        self._untouched = None
        if self.callbacks.watches("train"):
            return self._watched_pass(place, history, interrupt)
        pieces, looked = self._pieces, time.monotonic()
        if self.resume is not None:
            pieces.most = self.resume.interval.steps or sys.maxsize
        for done, _ in pieces.run(self.source, place.epoch, place.steps):
            if self.progress.live:
                self.progress.advance(done, self._logs())
            if time.monotonic() - looked > LOOK_IN / 2:
                self._look(place.epoch, pieces.steps)
                looked = time.monotonic()
            self._checkpoint(place.epoch, pieces.steps, history, interrupt)
            interrupt.check()
            if self._late() or self.stopped():
                break
        return pieces.rows

    def _watched_pass(
        self, place: Place, history: History, interrupt: Interrupt
    ) -> int:
        """The steps of an epoch that are not done yet, with callbacks around each."""
        pieces = Pieces(self.loop, 1)
        for rows, size in pieces.plan(self.source, place.epoch, place.steps):
            batch = pieces.steps - 1
            self.callbacks.call("on_train_batch_begin", batch, {})
            if self.store.changed:
                self._refresh(place.epoch, batch)
            self.loop.run(rows, size)
            logs = self._logs()
            self._check_finite(place.epoch, logs)
            self._lend(place.epoch, pieces.steps)
            self.progress.advance(pieces.rows, logs)
            self.callbacks.call("on_train_batch_end", batch, logs)
            if self.stopped() or self._late():
                break
            self._checkpoint(place.epoch, pieces.steps, history, interrupt)
            interrupt.check()
        return pieces.rows

    def _checkpoint(
        self, epoch: int, steps: int, history: History, interrupt: Interrupt
    ) -> None:
        """Write a checkpoint within an epoch, if one is due."""
        if self.resume is None:
            return
        if self.resume.is_due(int(self.loop.read("step")), interrupt.requested):
            if self.store.changed:
                self._refresh(epoch, steps)
            place = Place(epoch, steps, begun=True)
            self.resume.write(place, self.loop.state(), self.callbacks, history)

    def _checkpoint_epoch(
        self, place: Place, history: History, interrupt: Interrupt
    ) -> None:
        """Write a checkpoint at the end of an epoch, if one is due."""
        last = place.stopped or place.epoch >= self.epochs or self._late()
        if self.resume is None:
            return
        if self.resume.is_due_after_epoch(last or interrupt.requested):
            self._keep()
            state = self.store.present(self.key, self.loop.read("step"))
            self.resume.write(place, state, self.callbacks, history)

    def _refresh(self, epoch: int, steps: int) -> None:
        """Hand the loop weights that a callback changed in the middle of an epoch."""
        state = self.store.training(self.key, self.loop.read("step"))
        for part in ("trainable", "frozen", "optimizer"):
            self.loop.write(part, state[part])
        self._know(epoch, steps, state)

    def _late(self) -> bool:
        return time.monotonic() > self._until

    def _logs(self) -> Logs:
        return _read(self.loop, self.store)


def _last(history: History) -> Logs:
    """The numbers of the last finished epoch."""
    return {name: column[-1] for name, column in history.history.items() if column}
