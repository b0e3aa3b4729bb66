"""Exact resume: a run that was killed goes on to the bits of the one that was not.

What a run will do from some moment on is a function of few things: the weights, the
optimizer's state, the sums of the metrics, how many steps of which epoch are done, the
key, the learning rate, what the callbacks remember, and the History. All of it is
written into one file, at the ends of epochs and now and then between; the order of the
rows and all random numbers follow from the key. When the file was written changes
nothing that the run computes.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, FormatError, ResumeError, ResumeWarning
from chainrule.functional import random
from chainrule.ir import tree
from chainrule.ir.trace import constant
from chainrule.training.callbacks import BackupAndRestore, CallbackList
from chainrule.training.history import History
from chainrule.training.resume_file import Checkpoints
from chainrule.training.resume_fingerprint import (
    Facts,
    describe_machine,
    list_differences,
)
from chainrule.training.run_record import record_start
from chainrule.training.step import State

EVERY_SECONDS = 10.0
SHARE_OF_TIME = 0.02  # that writing at the ends of short epochs may take


@dataclass(frozen=True)
class Place:
    """Where a run stands.

    Attributes:
        epoch: the epoch, counted from 0.
        steps: how many steps of it are done.
        begun: whether the callbacks were told of it.
        stopped: whether the run has come to its end.
    """

    epoch: int
    steps: int = 0
    begun: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Interval:
    """How much work lies between two checkpoints within an epoch.

    Attributes:
        seconds: so many seconds, or
        steps: so many steps.
    """

    seconds: float | None = EVERY_SECONDS
    steps: int | None = None


def read_interval(given: Any) -> Interval:
    """What `checkpoint_every` says: seconds, or a text such as `500 steps`.

    Raises:
        ArgumentError: when it says neither.

    Example:
        >>> read_interval(30), read_interval("500 steps")
        (Interval(seconds=30.0, steps=None), Interval(seconds=None, steps=500))
    """
    if isinstance(given, (int, float)) and not isinstance(given, bool) and given >= 0:
        return Interval(float(given))
    found = re.fullmatch(r"\s*([1-9]\d*)\s*steps?\s*", f"{given}")
    if found:
        return Interval(None, int(found[1]))
    raise ArgumentError(
        "a checkpoint is written every so many seconds, or steps",
        where="checkpoint_every",
        got=repr(given),
        expected="a number of seconds, or a text such as '500 steps'",
        fix="checkpoint_every=30",
    )


@dataclass
class Resume:
    """The checkpoints of one run: reads the newest, and writes them.

    Attributes:
        folder: the folder of the run.
        interval: how often to write within an epoch.
        key: the key of the run: that of its checkpoint, where it has one.
        facts: what the run is; it must be what the checkpoint is of.
        optimizer: whose learning rate is kept as well, where it is a number.
    """

    folder: Path
    interval: Interval
    key: Any
    facts: Facts = field(default_factory=dict)
    optimizer: Any = None

    def __post_init__(self) -> None:
        self.checkpoints = Checkpoints.of_run(self.folder)
        self._content = self.checkpoints.newest()
        if self._content is not None:
            self.key = constant(np.array(self._content["key"], np.uint32))
        self._written = time.monotonic()
        self._cost = 0.0
        self._step = self._written_step = 0

    def load(
        self, fresh: State, callbacks: CallbackList, history: History
    ) -> tuple[Place, State] | None:
        """Where the run stood, and its state; None where it never began.

        Callbacks, History and learning rate are made what they were then.

        Args:
            fresh: a state of the structure that is looked for.
            callbacks: those of the run.
            history: that of the run.

        Raises:
            ResumeError: when the checkpoints are those of another run.
            FormatError: when all are damaged.
        """
        content, self._content = self._content, None
        if content is not None:
            self._check(content)
        record_start(self.folder, self.facts, resumed=content is not None)
        if content is None:
            return None
        self.facts = content["facts"]
        state = _state_like(fresh, content["state"], str(self.checkpoints.folder))
        callbacks.restore(content["callbacks"])
        history.restore(content["history"])
        if content["learning_rate"] is not None:
            self.optimizer.learning_rate = content["learning_rate"]
        random.restore_stream(content["stream"])
        self._step = self._written_step = int(state["step"])
        return Place(**content["place"]), state

    def _check(self, content: Mapping[str, Any]) -> None:
        now = dict(self.facts)
        if now.get("learning_rate") == content["learning_rate"]:
            # as a callback of this very run has set it
            now["learning_rate"] = content["facts"].get("learning_rate")
        found = list_differences(content["facts"], now)
        if found:
            raise ResumeError(
                "the folder holds the checkpoints of another run",
                where=str(self.folder),
                got="\n".join(found),
                fix="resume='another-folder', or make the run what it was",
            )
        found = list_differences(content["machine"], describe_machine())
        if found:
            warnings.warn(
                f"{self.folder}: the run goes on under other conditions, and may not "
                f"end in the same bits: {'; '.join(found)}",
                ResumeWarning,
                stacklevel=2,
            )

    def is_due(self, step: int, urgent: bool = False) -> bool:
        """Whether to write a checkpoint within an epoch.

        Args:
            step: how many steps of the run are done.
            urgent: whether the run is about to be left.
        """
        self._step = step
        if urgent:
            return True
        if self.interval.steps is not None:
            return step - self._written_step >= self.interval.steps
        assert self.interval.seconds is not None
        wait = max(self.interval.seconds, self._least_wait)
        return time.monotonic() - self._written >= wait

    def is_due_after_epoch(self, last: bool) -> bool:
        """Whether to write a checkpoint at the end of an epoch.

        Yes, unless epochs are so short that writing would take more than a small share
        of the time; and always at the end of the run.
        """
        return last or time.monotonic() - self._written >= self._least_wait

    @property
    def _least_wait(self) -> float:
        return self._cost / SHARE_OF_TIME

    def write(
        self, place: Place, state: State, callbacks: CallbackList, history: History
    ) -> None:
        """Write a checkpoint.

        Warns:
            ResumeWarning: when it cannot be written; the run goes on.
        """
        content = {
            "facts": self.facts,
            "machine": describe_machine(),
            "place": asdict(place),
            "key": self.key.tolist(),
            "stream": random.stream_position(),
            "learning_rate": self.optimizer.fixed_learning_rate,
            "callbacks": callbacks.state(),
            "history": history.state(),
            "state": _by_name(state),
        }
        started = time.monotonic()
        try:
            self.checkpoints.write(content)
        except OSError as error:
            warnings.warn(
                f"no checkpoint could be written: {error}. The run goes on.",
                ResumeWarning,
                stacklevel=2,
            )
        self._written = time.monotonic()
        self._cost = self._written - started
        self._written_step = self._step


def open_run(
    folder: str | os.PathLike[str] | None,
    checkpoint_every: float | str,
    key: Any,
    callbacks: CallbackList,
) -> Resume | None:
    """The checkpoints of a run; None where it has no folder.

    Args:
        folder: the folder of the run, or None.
        checkpoint_every: how often to write within an epoch.
        key: the key of the run, where there is no checkpoint yet.
        callbacks: those of the run, of which one may ask for a folder.

    Raises:
        ArgumentError: when `checkpoint_every` says nothing, or two folders are named.
    """
    interval = read_interval(checkpoint_every)
    runs = [] if folder is None else [(Path(folder), interval)]
    for callback in callbacks.callbacks:
        if isinstance(callback, BackupAndRestore):
            every = read_interval(callback.checkpoint_every)
            runs.append((callback.backup_dir, every))
    if len(runs) > 1:
        raise ArgumentError(
            "a run has one folder for its checkpoints",
            where="resume",
            got=", ".join(str(path) for path, _ in runs),
            fix="fit(..., resume=folder) without BackupAndRestore",
        )
    return Resume(*runs[0], key) if runs else None


def _by_name(state: State) -> dict[str, np.ndarray[Any, Any]]:
    leaves, _ = tree.flatten(state)
    names = tree.leaf_names(state)
    return {n: np.array(leaf.data) for n, leaf in zip(names, leaves, strict=True)}


def _state_like(fresh: State, arrays: Mapping[str, Any], where: str) -> State:
    """The stored arrays in the structure of `fresh`."""
    leaves, structure = tree.flatten(fresh)
    names = tree.leaf_names(fresh)
    expected = {
        n: (leaf.spec.shape, leaf.spec.dtype.numpy)
        for n, leaf in zip(names, leaves, strict=True)
    }
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    if found != expected:
        odd = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
        raise FormatError(
            "the state in the checkpoint is not of the form of this run's",
            where=where,
            got=f"{odd[0]}: {found.get(odd[0])}",
            expected=str(expected.get(odd[0])),
        )
    return tree.unflatten(structure, [constant(arrays[name]) for name in names])
