"""The figures as a page of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.report import COLUMNS, absent, cells, rate, shortened, startup_cells
from benchmarks.results import Report
from benchmarks.systems import OURS, SYSTEMS
from benchmarks.verdicts import verdicts

HEAD = """\
# Performance

Measured on {date} by the command below, which also wrote this page. What is measured,
and how, is in [Benchmarks](benchmarks.md).

```console
$ make bench
$ .venv/bin/{command} --page docs/{file}
```

| machine | |
| --- | --- |
| processor | {processor}, {threads} threads |
| memory | {memory} GiB |
| multiply-adds, measured | {fma:.0f} GFLOP/s ({fma_one:.0f} on one thread) |
| memory traffic, measured | {triad:.1f} GB/s |
| processes that wanted to run before | {load:.1f} |
| system | {system} {architecture}, Python {python} |
{versions}
"""
WORKLOADS_HEAD = """\
## Workloads

Seconds are the median of a run ({repeats} at most with each peer, in turns with ours);
a step is forward, backward and Adam in float32, or an answer where the network only
answers. `times ours` is the median ratio of the pairs. The first run includes
compiling, with empty caches. Memory is the peak of the whole process less the data. The
loss, over the first 1,000 samples and without dropout, shows that everybody trained;
ours has run more often.
"""


def workloads_of(page: Path) -> list[str]:
    """The workloads whose figures stand on a page."""
    return re.findall(r"^### (\w+)$", page.read_text(), re.MULTILINE)


def page_text(report: Report, file: str = "performance.md") -> str:
    """The whole page, for a file of this name."""
    parts = [
        _head(report, file),
        "## What was wanted\n",
        *_table(("workload", "wanted", "measured", ""), _verdict_rows(report)),
        "",
        WORKLOADS_HEAD.format(repeats=report.repeats),
    ]
    for name, trained in report.workloads.items():
        rows = [cells(system, trained, m) for system, m in trained.systems.items()]
        parts += [f"### {name}\n", f"{trained.summary}.\n", *_table(COLUMNS, rows), ""]
        notes = (*absent(trained.systems), *shortened(trained), *rate(report, trained))
        parts += [f"{line}.\n" for line in notes]
        parts += _growths(report, name)
    if report.startup:
        rows = [startup_cells(name, result) for name, result in report.startup.items()]
        columns = ("system", "cold cache, s", "warm cache, s")
        parts += ["### startup\n", "From process start to the first finished step."]
        parts += ["", *_table(columns, rows), ""]
        parts += [f"{line}.\n" for line in absent(report.startup)]
    return "\n".join(parts).rstrip() + "\n"


def _head(report: Report, file: str) -> str:
    machine, limits = report.machine, report.limits
    return HEAD.format(
        date=report.date[:10],
        command=report.command,
        file=file,
        processor=machine["processor"],
        threads=report.threads,
        memory=machine["memory_gib"],
        fma=limits["fma_gflops"],
        fma_one=limits["fma_gflops_one_thread"],
        triad=limits["triad_gbytes"],
        load=report.load_average,
        system=machine["system"],
        architecture=machine["architecture"],
        python=machine["python"],
        versions="\n".join(_versions(report)),
    )


def _versions(report: Report) -> Iterator[str]:
    """Who took part, in which version, used how."""
    seen: dict[str, dict[str, str]] = {}
    for trained in report.workloads.values():
        for name, measured in trained.systems.items():
            if measured.versions:
                seen[name] = measured.versions
    for name, versions in seen.items():
        listed = ", ".join(f"{package} {v}" for package, v in versions.items())
        yield f"| {name} | {listed}: {SYSTEMS[name].label} |"


def _verdict_rows(report: Report) -> Iterator[list[str]]:
    for verdict in verdicts(report):
        mark = "reached" if verdict.reached else "**missed**"
        yield [verdict.workload, verdict.wanted, verdict.measured, mark]


def _growths(report: Report, name: str) -> list[str]:
    rows = []
    for system, measured in report.workloads[name].systems.items():
        growth, memory = measured.time_growth, measured.memory_growth_bytes
        if growth is not None and memory is not None:
            held = f"{memory / 2**20:+.1f}"
            rows.append([system, str(measured.fits), f"{growth:.2f}", held])
    if not rows:
        return []
    columns = ("system", "fits", "time, last to early", "memory, MiB")
    return ["From the first fits to the last:\n", *_table(columns, rows), ""]


def _table(columns: Iterable[str], rows: Iterable[list[str]]) -> list[str]:
    names = list(columns)
    rules = ["---"] + ["---:"] * (len(names) - 1)
    lines = [names, rules, *rows]
    return ["| " + " | ".join(_bold_ours(cells)) + " |" for cells in lines]


def _bold_ours(row: list[str]) -> list[str]:
    return [f"**{row[0]}**", *row[1:]] if row[0] == OURS else row
