"""Several calls of the command as one report: what was measured, by what each wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.results import SCHEMA, Measured, Report, Startup, Trained


class JoinError(Exception):
    """Reports that are not of one kind; the message says which and why."""


def load(file: Path) -> Report:
    """The report that `--json` wrote.

    Raises:
        JoinError: when the file is of another version of the benchmarks.
    """
    figures: dict[str, Any] = json.loads(file.read_text())
    if figures.get("schema") != SCHEMA:
        raise JoinError(f"{file} has schema {figures.get('schema')}, not {SCHEMA}")
    workloads = {}
    for name, found in figures.pop("workloads").items():
        systems = {key: Measured(**value) for key, value in found["systems"].items()}
        workloads[name] = Trained(**{**found, "systems": systems})
    startup = {key: Startup(**value) for key, value in figures.pop("startup").items()}
    return Report(**figures, workloads=workloads, startup=startup)


def joined(files: Sequence[Path]) -> Report:
    """One report of what several files have; of limits and loads the highest.

    Raises:
        JoinError: when they come of different machines, of runs of other kinds, or two
            have the same workload.
    """
    reports = [load(file) for file in files]
    first = reports[0]
    for file, report in zip(files[1:], reports[1:], strict=True):
        for part in ("machine", "threads", "repeats", "quick"):
            if getattr(report, part) != getattr(first, part):
                raise JoinError(f"{file} and {files[0]} differ in their {part}")
    names = [name for report in reports for name in report.workloads]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise JoinError(f"{', '.join(sorted(twice))}: in more than one file")
    calls = [f"{report.command} --json {i}.json" for i, report in enumerate(reports, 1)]
    listed = " ".join(f"{number}.json" for number in range(1, len(files) + 1))
    calls.append(f"python -m benchmarks --join {listed}")
    return replace(
        first,
        command="\n$ .venv/bin/".join(calls),
        date=max(report.date for report in reports),
        load_average=max(report.load_average for report in reports),
        limits={
            key: max(report.limits[key] for report in reports) for key in first.limits
        },
        workloads={k: v for report in reports for k, v in report.workloads.items()},
        startup={k: v for report in reports for k, v in report.startup.items()},
    )
