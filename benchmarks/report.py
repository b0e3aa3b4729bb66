"""The figures as tables for the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from benchmarks.results import Measured, Report, Startup, Trained
from benchmarks.systems import OURS
from benchmarks.verdicts import verdicts

COLUMNS = (
    "system",
    "seconds",
    "times ours",
    "µs a step",
    "first run, s",
    "beyond data, MiB",
    "loss",
)


def cells(name: str, trained: Trained, measured: Measured) -> list[str]:
    """A row of the table of a workload."""
    if measured.missing or measured.median is None:
        return [name, *["-"] * (len(COLUMNS) - 1)]
    warmup, memory = measured.warmup_seconds, measured.beyond_data_bytes
    return [
        name,
        f"{measured.median:.4f}",
        "1" if name == OURS else f"{measured.ratio or 0:.2f}",
        f"{measured.median / trained.steps * 1e6:.1f}",
        "-" if warmup is None else f"{warmup:.2f}",
        "-" if memory is None else f"{memory / 2**20:.0f}",
        "-" if measured.loss is None else f"{measured.loss:.4f}",
    ]


def startup_cells(name: str, result: Startup) -> list[str]:
    """A row of the table of starts."""
    if result.missing:
        return [name, "-", "-"]
    times = (result.cold, result.warm)
    return [name, *(f"{statistics.median(t):.2f}" if t else "-" for t in times)]


def absent(systems: Mapping[str, Measured | Startup]) -> list[str]:
    """Who did not take part, and why."""
    return [f"{name}: {each.missing}" for name, each in systems.items() if each.missing]


def shortened(trained: Trained) -> list[str]:
    """Whose runs were shorter, and are told as if they were not."""
    return [
        f"{name}: runs of {each.steps} of the {trained.steps} steps; the seconds are "
        "those of a whole run at that pace"
        for name, each in trained.systems.items()
        if each.steps is not None
    ]


def rate(report: Report, trained: Trained) -> list[str]:
    """How much arithmetic we do a second, in products and convolutions."""
    limit = report.limits.get("fma_gflops")
    if not limit or trained.gflops is None:
        return []
    share = trained.gflops / limit
    return [f"{OURS}: {trained.gflops:.0f} GFLOP/s, {share:.0%} of the limit"]


def show(report: Report, console: Console) -> None:
    """Print all tables."""
    for name, trained in report.workloads.items():
        table = Table(title=f"{name}: {trained.summary}", title_justify="left")
        for number, column in enumerate(COLUMNS):
            table.add_column(column, justify="right" if number else "left")
        for system, measured in trained.systems.items():
            table.add_row(*cells(system, trained, measured))
        notes = (*absent(trained.systems), *shortened(trained), *rate(report, trained))
        console.print(table, *notes, sep="\n")
    if report.startup:
        title = "startup: process start to first finished step of mlp, seconds"
        table = Table("system", "cold cache", "warm cache", title=title)
        for system, result in report.startup.items():
            table.add_row(*startup_cells(system, result))
        console.print(table, *absent(report.startup), sep="\n")
    _show_verdicts(report, console)


def _show_verdicts(report: Report, console: Console) -> None:
    table = Table("workload", "wanted", "measured", "", title="targets")
    for verdict in verdicts(report):
        mark = "[green]reached[/]" if verdict.reached else "[red]missed[/]"
        table.add_row(verdict.workload, verdict.wanted, verdict.measured, mark)
    if table.row_count:
        console.print(table)
    limits = report.limits
    console.print(
        f"machine: {report.machine['processor']}, {report.threads} threads; "
        f"multiply-adds {limits['fma_gflops']:.0f} GFLOP/s "
        f"({limits['fma_gflops_one_thread']:.0f} on one), "
        f"memory {limits['triad_gbytes']:.1f} GB/s; load before: "
        f"{report.load_average:.1f}"
    )
    if report.quick:
        console.print("quick: a tenth of the work; the figures mean little")
