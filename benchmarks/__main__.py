"""The command line of the benchmarks; `--help` lists what it takes."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.joining import JoinError, joined
from benchmarks.measure import Contest, Setup, measure_kernels, measure_startup
from benchmarks.page import page_text, workloads_of
from benchmarks.report import show
from benchmarks.results import Report
from benchmarks.systems import OURS, PEERS, REPOSITORY
from benchmarks.workloads import DENSE, PICTURES, SEQUENCES, WORKLOADS

STARTUP = "startup"
ANSWERS = "resnet20_infer"
# Names that stand for several.
GROUPS = {
    "dense": (*DENSE, STARTUP),
    "pictures": tuple(PICTURES),
    "sequences": tuple(SEQUENCES),
    ANSWERS: tuple(name for name in PICTURES if name.startswith(ANSWERS)),
}
# A peer that is named brings its other way along.
TOGETHER = {"torch": ("torch", "torch-compile")}
# Whoever wants to start soon does not compile; `torch` speaks for PyTorch.
SLOW_STARTERS = ("torch-compile",)
BUDGET = 40.0
QUICK_BUDGET = 10.0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    names = (*WORKLOADS, STARTUP)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = f"{', '.join(names)}; several: {', '.join(GROUPS)}"
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=known)
    default = ",".join(name for name in PEERS if name != "torch-compile")
    parser.add_argument(
        "--peers", default=default, help=f"separated by commas; {default} by default"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument(
        "--join",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="measure nothing; show together what several calls wrote with --json",
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="write a page")
    parser.add_argument(
        "--kernels",
        action="store_true",
        help="only list what each kernel of chainrule's step takes",
    )
    parser.add_argument("--repeats", type=int, help="pairs of runs; 5 by default")
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the work, to see that it runs"
    )
    parser.add_argument(
        "--environments",
        type=Path,
        default=REPOSITORY,
        help="the folder with the environments that make bench prepares",
    )
    chosen = parser.parse_args(arguments)
    _join(parser, chosen)
    chosen.named = chosen.workloads or list(names)
    spread = [each for name in chosen.named for each in GROUPS.get(name, (name,))]
    chosen.workloads = list(dict.fromkeys(spread))
    unknown = set(chosen.workloads) - set(names)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {known}")
    if chosen.page and chosen.page.exists():
        _keep_page(parser, chosen)
    chosen.peers = _peers(parser, chosen.peers)
    chosen.repeats = chosen.repeats or (2 if chosen.quick else 5)
    return chosen


def _join(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> None:
    """Read what other calls have written, if any is named."""
    chosen.joined = None
    if not chosen.join:
        return
    try:
        chosen.joined = joined(chosen.join)
    except (JoinError, OSError, ValueError) as error:
        parser.error(str(error))
    startup = [STARTUP] * bool(chosen.joined.startup)
    chosen.workloads = [*chosen.joined.workloads, *startup]


def _keep_page(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> None:
    """Refuse to write over a page that has figures of other workloads."""
    lost = [x for x in workloads_of(chosen.page) if x not in chosen.workloads]
    if lost:
        parser.error(
            f"{chosen.page} has the figures of {', '.join(lost)}, which this call does "
            "not measure and would lose: name those too, or another page"
        )


def _peers(parser: argparse.ArgumentParser, text: str) -> list[str]:
    named = [name for name in text.split(",") if name]
    unknown = set(named) - set(PEERS)
    if unknown:
        listed = ", ".join(sorted(unknown))
        parser.error(f"no peer {listed}; there are {', '.join(PEERS)}")
    spread = [each for name in named for each in TOGETHER.get(name, (name,))]
    return list(dict.fromkeys(spread))


def _command(chosen: argparse.Namespace) -> str:
    """The command that measures the same again; folders and files are left out."""
    parts = ["python", "-m", "benchmarks"]
    if chosen.named != [*WORKLOADS, STARTUP]:
        parts += chosen.named
    if chosen.peers != list(PEERS):
        parts += ["--peers", ",".join(chosen.peers)]
    parts += ["--repeats", str(chosen.repeats)] + ["--quick"] * chosen.quick
    return " ".join(parts)


def _setup(chosen: argparse.Namespace) -> Setup:
    console = Console(stderr=True)
    return Setup(
        chosen.threads,
        chosen.repeats,
        QUICK_BUDGET if chosen.quick else BUDGET,
        chosen.environments,
        lambda line: console.print(f"[dim]{line}[/]", highlight=False),
    )


def measure(chosen: argparse.Namespace) -> Report:
    """Measure all that was asked for."""
    setup = _setup(chosen)
    report = Report(
        command=_command(chosen),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        quick=chosen.quick,
        threads=chosen.threads,
        repeats=chosen.repeats,
        machine=machine.describe(),
        load_average=machine.load_average(),
        limits=machine.measure_limits(chosen.threads),
    )
    for name in chosen.workloads:
        if name == STARTUP:
            starters = [name for name in chosen.peers if name not in SLOW_STARTERS]
            report.startup = measure_startup(setup, [OURS, *starters])
            continue
        workload = WORKLOADS[name].quick() if chosen.quick else WORKLOADS[name]
        with tempfile.TemporaryDirectory() as cache:
            contest = Contest(setup, workload, Path(cache))
            report.workloads[name] = contest.run(chosen.peers)
    # a machine that was disturbed at the start must not lower the bar
    again = machine.measure_limits(chosen.threads)
    report.limits = {key: max(report.limits[key], again[key]) for key in again}
    return report


def main(arguments: Sequence[str]) -> int:
    """Measure, show and write."""
    chosen = parse(arguments)
    if chosen.kernels:
        for name in chosen.workloads:
            if name != STARTUP:
                print(measure_kernels(_setup(chosen), WORKLOADS[name]), end="\n\n")
        return 0
    report = chosen.joined or measure(chosen)
    show(report, Console())
    if chosen.json:
        chosen.json.write_text(json.dumps(asdict(report), indent=2) + "\n")
    if chosen.page:
        chosen.page.write_text(page_text(report, chosen.page.name))
    failed = any(t.systems[OURS].missing for t in report.workloads.values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
