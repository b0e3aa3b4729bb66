"""Kill a training run at random instants, resume it, and compare the bits at its end.

A trial is one run of a small network. It is killed one to four times: by SIGKILL from
outside at a random instant, or by itself in the middle of a write, before or after a
flush, a rename or a removal. Then it is resumed until it ends. Weights, the optimizer's
state, the History, and the files that callbacks wrote must be those of a run that was
never killed, to the last bit.

    python tools/kill_and_resume.py [--trials 1000] [--seconds 600] [--seed 0]

The runs are forked from a process that has compiled the network, so that a trial takes
a fraction of a second.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import chainrule
from chainrule.callbacks import (
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from chainrule.errors import ChainruleError
from chainrule.ir import tree
from chainrule.layers import Dense, Dropout
from chainrule.training import files
from chainrule.training.callbacks import csv_logger

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 5)).astype(np.float32)
Y = (X @ RNG.normal(size=(5, 1)) + 0.3 * RNG.normal(size=(150, 1))).astype(np.float32)
EPOCHS = 6
INTERVALS = ("1 step", "2 steps", "7 steps", 0.0, 1000.0)
CALLS = ("write", "fsync", "replace", "unlink", "truncate")
Result = dict[str, Any]


@dataclass(frozen=True)
class Death:
    """How a run is killed: from outside after a delay, or by itself at some call.

    Attributes:
        delay: seconds after its start, or None.
        call: the name of a call.
        count: the how-manieth call of that name.
        after: whether the call is made first; of a write, half of it.
    """

    delay: float | None = None
    call: str = ""
    count: int = 0
    after: bool = False


def make_model() -> Any:
    """A small network with everything that has a state."""
    chainrule.set_seed(7)
    layers = [Dense(16, "relu", input_shape=(5,)), Dropout(0.3), Dense(1)]
    model = chainrule.Sequential(layers, name="small")
    model.compile(chainrule.optimizers.Adam(0.03), "mse", metrics=["mae"])
    return model


def train(folder: Path, checkpoint_every: float | str, attended: bool) -> Result:
    """The run: everything that must not depend on when it was killed.

    Args:
        folder: for its checkpoints, and what callbacks write.
        checkpoint_every: how often to write within an epoch.
        attended: whether a callback looks at every batch.
    """
    look = {"on_train_batch_end": lambda batch, logs: None} if attended else {}
    model = make_model()
    log = folder / "log.csv"
    history = model.fit(
        X,
        Y,
        batch_size=16,
        epochs=EPOCHS,
        validation_split=0.2,
        verbose=0,
        resume=folder,
        checkpoint_every=checkpoint_every,
        callbacks=[
            EarlyStopping(patience=2, restore_best_weights=True),
            ReduceLROnPlateau(patience=1, factor=0.5),
            ModelCheckpoint(folder / "{epoch}.chainrule", keep=2),
            CSVLogger(log),
            LambdaCallback(**look),
        ],
    )
    leaves = [*model.get_weights(), *tree.flatten(model.optimizer.state)[0]]
    saved = sorted(folder.glob("*.chainrule"))
    return {
        "arrays": [digest(np.asarray(leaf).tobytes()) for leaf in leaves],
        "history": history.history,
        "learning_rate": model.optimizer.learning_rate,
        "log": log.read_text(),
        "saved": {path.name: digest(path.read_bytes()) for path in saved},
        "next key": chainrule.random.next_key().tolist(),
    }


def digest(content: bytes) -> str:
    """A short hash."""
    return hashlib.sha256(content).hexdigest()[:16]


def die() -> None:
    """End this process as if the power was cut."""
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def dying(death: Death | None) -> Iterator[None]:
    """Within the block, the process kills itself at the call that `death` names."""
    left = 0 if death is None else death.count

    def wrap(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            nonlocal left
            mine = death is not None and name == death.call
            left -= mine
            if death is None or not mine or left != 0:
                return function(*given, **named)
            if name == "write" and death.after:
                function(given[0][: len(given[0]) // 2])
            elif death.after:
                function(*given, **named)
            return die()

        return called

    class Writing:
        """An open file whose `write` may be the last thing that happens."""

        def __init__(self, *given: Any) -> None:
            self.file = open(*given)  # noqa: SIM115 - closed by `__exit__`
            self.write = wrap(self._write, "write")

        def _write(self, content: bytes) -> int:
            written: int = self.file.write(content)
            self.file.flush()
            return written

        def __enter__(self) -> Writing:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    old = {name: getattr(os, name) for name in CALLS if name != "write"}
    for name, function in old.items():
        setattr(os, name, wrap(function, name))
    for module in (files, csv_logger):
        vars(module)["open"] = Writing
    try:
        yield
    finally:
        for name, function in old.items():
            setattr(os, name, function)
        for module in (files, csv_logger):
            del vars(module)["open"]


def run(
    folder: Path, way: tuple[float | str, bool], death: Death | None
) -> Result | None:
    """One process: what it ends with, or None where it was killed.

    Args:
        folder: that of the run.
        way: how often it writes checkpoints, and whether every batch is attended to.
        death: how it is killed.

    Raises:
        RuntimeError: when it ended in any other way.
    """
    told = folder / "result.json"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with dying(death):
                result = train(folder, *way)
            told.write_text(json.dumps(result))
            status = 0
        except ChainruleError as error:
            print(error, file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    if death is not None and death.delay is not None:
        time.sleep(death.delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status != 0:
        raise RuntimeError(f"a run in {folder} failed with status {status}")
    found: Result = json.loads(told.read_text())
    return found


@dataclass
class Trials:
    """Trials with deaths drawn from a seed.

    Attributes:
        base: a folder for all of them.
        expected: what a run ends with that was never killed.
        seconds: how long that takes.
        chance: what deaths are drawn from.
    """

    base: Path
    expected: Result
    seconds: float
    chance: random.Random

    def __post_init__(self) -> None:
        self.deaths: collections.Counter[str] = collections.Counter()

    def told(self) -> str:
        """How often the runs were killed, and how."""
        kinds = ", ".join(f"{kind}: {n}" for kind, n in self.deaths.most_common())
        return f"{self.deaths.total()} kills ({kinds})"

    def way(self) -> tuple[float | str, bool]:
        """What must make no difference."""
        return self.chance.choice(INTERVALS), self.chance.random() < 0.3

    def death(self) -> Death:
        """A way to die."""
        if self.chance.random() < 0.5:
            return Death(delay=self.chance.uniform(0, self.seconds))
        call = self.chance.choice(CALLS)
        many = {"write": 60, "fsync": 120, "replace": 60, "unlink": 60, "truncate": 2}
        count = self.chance.randint(1, many[call])
        return Death(None, call, count, self.chance.random() < 0.5)

    def trial(self, number: int) -> list[str]:
        """What differs at the end of a run that was killed at least once."""
        folder = self.base / f"{number}"
        folder.mkdir()
        wanted, killed, found = self.chance.randint(1, 4), 0, None
        while killed < wanted:
            death = self.death()
            found = run(folder, self.way(), death)
            if found is None:
                killed += 1
                self.deaths[death.call or "any instant"] += 1
            elif killed:
                break  # it came to its end before it could be killed again
            else:
                shutil.rmtree(folder)
                folder.mkdir()
        found = run(folder, self.way(), None)
        assert found is not None
        differing = [n for n in self.expected if found[n] != self.expected[n]]
        if not differing:
            shutil.rmtree(folder)
        return differing


def warmed(base: Path) -> tuple[Result, float]:
    """What an unbroken run ends with, and the seconds it takes once all is compiled."""
    for name in ("warm", "whole"):
        (base / name).mkdir()
    train(base / "warm", 1000.0, True)
    started = time.monotonic()
    expected = run(base / "whole", (1000.0, False), None)
    assert expected is not None
    return expected, time.monotonic() - started


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials; 1 where one ended in other bits."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=600, help="stop after these")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    base = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    trials = Trials(base, *warmed(base), random.Random(given.seed))
    failed, done, started = 0, 0, time.monotonic()
    while done < given.trials and time.monotonic() - started < given.seconds:
        differing = trials.trial(done)
        done += 1
        if differing:
            failed += 1
            print(f"trial {done}: {', '.join(differing)} differ; see {base}")
    if not failed:
        shutil.rmtree(base)
    print(
        f"{done} trials, {trials.told()}; {failed} ended in other bits; "
        f"{time.monotonic() - started:.0f} s"
    )
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
