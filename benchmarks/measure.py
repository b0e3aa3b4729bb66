"""Processes that train in turns: ours, a peer, ours, the peer, ..."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import Measured, Startup, Trained
from benchmarks.systems import OURS, REPOSITORY, SYSTEMS, Entry, thread_variables
from benchmarks.transport import workload_text
from benchmarks.workloads import WORKLOADS, Workload, make_data

PATIENCE = 900.0  # seconds until a worker counts as stuck
PAUSE = 0.3  # seconds in which the threads of the one before fall asleep
LAST_LINES = 3


class WorkerError(Exception):
    """A worker ended before it answered; the message is the end of what it printed."""


@dataclass(frozen=True)
class Setup:
    """How to measure.

    Attributes:
        threads: how many threads each system uses.
        repeats: how many pairs of runs there are with each peer.
        budget: seconds that the pairs with a peer may take, after the first pair.
        environments: where the environments of the peers are.
        tell: is told what is going on.
    """

    threads: int
    repeats: int
    budget: float
    environments: Path
    tell: Callable[[str], None]

    def missing(self, entry: Entry) -> str | None:
        """Why this system cannot run here."""
        if entry.python(self.environments).exists():
            return None
        return f"{entry.environment} is not there: make bench"

    def process(
        self, entry: Entry, arguments: Sequence[str], cache: Path, errors: Any
    ) -> subprocess.Popen[str]:
        """Start a worker."""
        settings = {**thread_variables(self.threads), **entry.variables}
        if entry.cache is not None:
            settings[entry.cache] = str(cache)
        python = str(entry.python(self.environments))
        return subprocess.Popen(
            [python, "-m", "benchmarks.worker", *arguments],
            cwd=REPOSITORY,
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


@contextmanager
def _killing(process: subprocess.Popen[str]) -> Iterator[None]:
    """End the process when it takes too long."""
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Worker:
    """A system in a process of its own, until `close`."""

    def __init__(
        self, setup: Setup, entry: Entry, workload: Workload, data: Path, cache: Path
    ) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - see close
        described = workload_text(workload)
        arguments = ["serve", entry.name, described, str(data)]
        self._process = setup.process(entry, arguments, cache, self._errors)

    def hello(self) -> dict[str, Any]:
        """Wait until it is ready to train; what it says of itself.

        Raises:
            WorkerError: when the process ended instead.
        """
        return self._answer()

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            WorkerError: when the process ended instead.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process is gone; the answer says why
        return self._answer()

    def close(self) -> None:
        """End the process."""
        with _killing(self._process):
            self._process.communicate()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        with _killing(self._process):
            line = self._process.stdout.readline()
        if not line:
            raise WorkerError(_last_words(self._errors))
        answer: dict[str, Any] = json.loads(line)
        return answer


def _last_words(errors: Any) -> str:
    errors.seek(0)
    lines = [line.strip() for line in errors.read().splitlines() if line.strip()]
    return " / ".join(lines[-LAST_LINES:]) or "ended without a word"


class Contest:
    """One workload, ours against each of the peers.

    Args:
        setup: how to measure.
        workload: what is trained.
        cache: an empty folder for compiled code.
    """

    def __init__(self, setup: Setup, workload: Workload, cache: Path) -> None:
        self.setup, self.workload, self.cache = setup, workload, cache
        self.seed = 0
        self.result = Trained(
            workload.summary, workload.samples, workload.steps, workload.flops()
        )

    def run(self, peers: Sequence[str]) -> Trained:
        """Measure; peers that only answer sit training out.

        Where a workload names others, it is measured beside those alone.
        """
        peers = self.workload.beside or peers
        if not self.workload.infers:
            peers = [name for name in peers if SYSTEMS[name].trains]
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self.arrays = make_data(self.workload)
            ours = self._enter(OURS)
            if ours is None:
                return self.result
            try:
                for peer in peers:
                    self._against(ours, peer)
                if not self.result.systems[OURS].seconds:  # nobody to compare with
                    self._repeat([(OURS, ours)])
            finally:
                self._leave(OURS, ours)
        return self.result

    def _against(self, ours: Worker, peer: str) -> None:
        worker = self._enter(peer)
        if worker is None:
            return
        try:
            self._repeat([(OURS, ours), (peer, worker)])
        except WorkerError as error:
            self.result.systems[peer].missing = str(error)
        finally:
            self._leave(peer, worker)

    def _enter(self, name: str) -> Worker | None:
        """Start a system and let it train once, which compiles what it compiles."""
        entry = SYSTEMS[name]
        measured = self.result.systems[name] = Measured(entry.label)
        measured.missing = self.setup.missing(entry)
        if not entry.has_layers_of(self.workload):
            measured.missing = "has no such layers"
        measured.missing = dict(self.workload.left_out).get(name, measured.missing)
        if measured.missing:
            return None
        self.setup.tell(f"{self.workload.name}: {name}")
        own = self.workload.with_rows(self.workload.rows_for(name))
        if own.rows < self.workload.rows:
            measured.steps = own.steps
        data = self._data(own.rows)
        worker = Worker(self.setup, entry, own, data, self.cache)
        try:
            hello = worker.hello()
            measured.versions = hello["versions"]
            measured.import_seconds = hello["import_seconds"]
            measured.fits = self.workload.fits_for(name) or None
            measured.warmup_seconds = worker.ask("warm")["seconds"]
        except WorkerError as error:
            measured.missing = str(error)
            worker.close()
            return None
        return worker

    def _data(self, rows: int) -> Path:
        """A folder with the first rows of the data."""
        folder = self.folder / str(rows)
        if not folder.exists():
            folder.mkdir()
            for name, array in zip("xy", self.arrays, strict=True):
                np.save(folder / f"{name}.npy", array[:rows])
        return folder

    def _leave(self, name: str, worker: Worker) -> None:
        """Ask what is left to know."""
        measured = self.result.systems[name]
        try:
            measured.beyond_data_bytes = worker.ask("memory")["bytes"]
            measured.parameters = worker.ask("parameters")["count"]
            if not self.workload.infers:
                measured.loss = worker.ask("loss")["loss"]
        except WorkerError as error:
            measured.missing = str(error)
        finally:
            worker.close()

    def _train(self, worker: Worker) -> dict[str, Any]:
        self.seed += 1
        time.sleep(PAUSE)
        return worker.ask(f"run {self.seed}")

    def _repeat(self, workers: Sequence[tuple[str, Worker]]) -> None:
        """Runs in turns; a ratio for each turn with two in it."""
        started = time.perf_counter()
        for turn in range(self.setup.repeats):
            taken = time.perf_counter() - started
            if turn and taken * (turn + 1) / turn > self.setup.budget:
                return
            seconds = [self._one_run(name, worker) for name, worker in workers]
            if len(workers) > 1:
                peer = self.result.systems[workers[1][0]]
                peer.ratios.append(seconds[1] / seconds[0])

    def _one_run(self, name: str, worker: Worker) -> float:
        measured = self.result.systems[name]
        answer = self._train(worker)
        if "fit_seconds" in answer and not measured.seconds:
            _note_growth(measured, answer["fit_seconds"], answer["resident_bytes"])
        seconds: float = answer["seconds"]
        if measured.steps is not None:  # fewer than a whole run has
            seconds *= self.workload.steps / measured.steps
        measured.seconds.append(seconds)
        return seconds


def _note_growth(measured: Measured, seconds: list[float], held: list[int]) -> None:
    """How the last tenth of the fits compares with the second tenth."""
    tenth = max(1, len(seconds) // 10)
    early = statistics.median(seconds[tenth : 2 * tenth] or seconds)
    measured.time_growth = statistics.median(seconds[-tenth:]) / early
    measured.memory_growth_bytes = held[-1] - held[min(2 * tenth, len(held)) - 1]


def measure_kernels(setup: Setup, workload: Workload) -> str:
    """What each kernel of our step takes, on one thread: the report of the program.

    Raises:
        WorkerError: when the process ended instead.
    """
    few = workload.with_rows(workload.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        for name, array in zip("xy", make_data(few), strict=True):
            np.save(Path(folder, f"{name}.npy"), array)
        worker = Worker(setup, SYSTEMS[OURS], few, Path(folder), Path(folder, "cache"))
        try:
            worker.hello()
            worker.ask("warm")
            text: str = worker.ask("kernels")["text"]
        finally:
            worker.close()
    return text


def measure_startup(setup: Setup, names: Sequence[str]) -> dict[str, Startup]:
    """Time from the start of a process to its first finished step of `mlp`.

    Cold: with an empty cache of compiled code. Warm: once more. Systems that keep no
    compiled code have one time only, called warm.
    """
    mlp = WORKLOADS["mlp"]
    single = replace(mlp, rows=mlp.batch_size)
    results = {name: Startup(missing=setup.missing(SYSTEMS[name])) for name in names}
    present = [name for name in names if not results[name].missing]
    for turn in range(setup.repeats):
        for name in present:
            if results[name].missing:
                continue
            setup.tell(f"startup: {name}, {turn + 1} of {setup.repeats}")
            try:
                _start_twice(setup, SYSTEMS[name], single, results[name])
            except WorkerError as error:
                results[name].missing = str(error)
    return results


def _start_twice(
    setup: Setup, entry: Entry, workload: Workload, result: Startup
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        if entry.cache is not None:
            result.cold.append(_start(setup, entry, workload, cache))
        result.warm.append(_start(setup, entry, workload, cache))


def _start(setup: Setup, entry: Entry, workload: Workload, cache: Path) -> float:
    time.sleep(PAUSE)
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        arguments = ["start", entry.name, workload_text(workload)]
        process = setup.process(entry, arguments, cache, errors)
        assert process.stdout is not None
        with _killing(process):
            line = process.stdout.readline()
            seconds = time.perf_counter() - started
            process.communicate()
        if not line:
            raise WorkerError(_last_words(errors))
    return seconds
