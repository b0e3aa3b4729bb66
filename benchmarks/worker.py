"""The process in which one system trains: commands come in by line, answers go out.

    python -m benchmarks.worker serve SYSTEM WORKLOAD.json FOLDER
    python -m benchmarks.worker start SYSTEM WORKLOAD.json

`serve` reads the data in FOLDER and then obeys `warm`, `run SEED`, `loss`, `memory`,
`parameters` and, if it is ours, `kernels`, each answered by a line of JSON. `start`
trains for as long as the workload says, on data of its own, and says when the last step
is finished: how long a process takes to get there is for the parent to see.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np

from benchmarks.networks import Array
from benchmarks.systems import SYSTEMS
from benchmarks.systems.base import System
from benchmarks.transport import workload_from
from benchmarks.workloads import Workload, make_data

LOSS_ROWS = 1_000


def resident(peak: bool = False) -> int:
    """Bytes of memory that the process holds, or held at its highest."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    field = "VmHWM" if peak else "VmRSS"
    found = re.search(rf"^{field}:\s+(\d+) kB", status.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of distributions; a source tree that is not installed has none."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "from source"
    return found


class Steady:
    """Trains one model, or has it answer, run after run."""

    def __init__(self, system: System, workload: Workload, x: Array, y: Array) -> None:
        self.system, self.infers = system, workload.infers
        self.model = system.build(workload, x, y, seed=0)

    def warm(self) -> dict[str, Any]:
        """Run once, which compiles what is compiled."""
        return self.run(0)

    def run(self, seed: int) -> dict[str, Any]:
        """Train for the epochs of a run, or answer for all rows."""
        started = time.perf_counter()
        if self.infers:
            self.system.infer(self.model)
        else:
            self.system.train(self.model, seed)
        return {"seconds": time.perf_counter() - started}


class Sweep:
    """Makes and trains many models, one after the other."""

    def __init__(
        self, system: System, workload: Workload, x: Array, y: Array, fits: int
    ) -> None:
        self.system, self.workload, self.x, self.y = system, workload, x, y
        self.fits = fits
        self.model: Any = None

    def warm(self) -> dict[str, Any]:
        """Make and train one model."""
        return {"seconds": self._fit(0)}

    def _fit(self, seed: int) -> float:
        started = time.perf_counter()
        self.model = self.system.build(self.workload, self.x, self.y, seed)
        self.system.train(self.model, seed)
        return time.perf_counter() - started

    def run(self, seed: int) -> dict[str, Any]:
        """Make and train every model; the time is that of one, on average."""
        seconds, held = [], []
        for number in range(self.fits):
            seconds.append(self._fit(1_000 * seed + number))
            held.append(resident())
        return {
            "seconds": sum(seconds) / self.fits,
            "fit_seconds": seconds,
            "resident_bytes": held,
        }


def serve(name: str, workload: Workload, folder: Path, answers: TextIO) -> None:
    """Answer commands until there are no more."""

    def answer(reply: dict[str, Any]) -> None:
        answers.write(json.dumps(reply) + "\n")
        answers.flush()

    started = time.perf_counter()
    entry = SYSTEMS[name]
    system = cast(System, importlib.import_module(f"benchmarks.systems.{entry.module}"))
    imported = time.perf_counter() - started
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    data_bytes = x.nbytes + y.nbytes
    fits = workload.fits_for(name)
    trainer: Steady | Sweep
    if fits:
        trainer = Sweep(system, workload, x, y, fits)
    else:
        trainer = Steady(system, workload, x, y)
    del x, y  # a system that made copies need not keep both
    answer({"versions": versions(entry.packages), "import_seconds": imported})
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "warm":
            answer(trainer.warm())
        elif command == "run":
            answer(trainer.run(int(arguments[0])))
        elif command == "loss":
            answer({"loss": system.loss(trainer.model, LOSS_ROWS)})
        elif command == "parameters":
            answer({"count": system.parameters(trainer.model)})
        elif command == "kernels":
            answer({"text": cast(Any, system).kernels(trainer.model)})
        elif command == "memory":
            answer({"bytes": resident(peak=True) - data_bytes})


def start(name: str, workload: Workload, answers: TextIO) -> None:
    """Train once, and say so."""
    module = importlib.import_module(f"benchmarks.systems.{SYSTEMS[name].module}")
    system = cast(System, module)
    model = system.build(workload, *make_data(workload), seed=0)
    system.train(model, seed=0)
    answers.write("{}\n")
    answers.flush()


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    # Libraries print what they like to the standard output: the answers get their own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task, name, described, *rest = arguments
    workload = workload_from(described)
    if task == "serve":
        serve(name, workload, Path(rest[0]), answers)
    else:
        start(name, workload, answers)


if __name__ == "__main__":
    main(sys.argv[1:])
