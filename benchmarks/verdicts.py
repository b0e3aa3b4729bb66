"""What the project wants to reach, held against what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import Measured, Report, Trained
from benchmarks.systems import OURS
from benchmarks.workloads import FLOAT32, WORKLOADS, Target, Workload

WARM_SECONDS = 1.0
COLD_SECONDS = 3.0
MEMORY_OF_FITS = 1 << 20  # bytes by which 180 fits may raise what a process holds
TIME_OF_FITS = 1.1
# twice the length, twice what was added; the square of it would be four times
LINEAR = 2.5


@dataclass(frozen=True)
class Verdict:
    """One thing to reach.

    Attributes:
        workload: where.
        wanted: what, in words.
        measured: what came out.
        reached: whether that is enough.
    """

    workload: str
    wanted: str
    measured: str
    reached: bool


def verdicts(report: Report) -> Iterator[Verdict]:
    """All that the measurements of this report can decide."""
    for name, trained in report.workloads.items():
        if not trained.systems[OURS].seconds:
            continue
        workload = WORKLOADS[name]
        for target in workload.targets:
            yield from _speed(name, trained, target)
        yield from _share(report, workload, trained)
        if workload.smallest_memory:
            yield from _memory(name, trained)
        yield from _growth(name, trained.systems[OURS])
    yield from _linear(report)
    yield from _startup(report)


def _linear(report: Report) -> Iterator[Verdict]:
    """Whether memory grows no faster than the length of a text."""
    found = [report.workloads.get(f"gpt_long{x}") for x in ("_512", "", "_2048")]
    held = [x.systems[OURS].beyond_data_bytes if x else None for x in found]
    if held[0] is None or held[1] is None or held[2] is None:
        return
    first, second = held[1] - held[0], held[2] - held[1]
    came = ", ".join(f"{x / 2**20:.0f}" for x in held if x is not None) + " MiB"
    wanted = "memory linear in the length: 512, 1,024, 2,048"
    yield Verdict("gpt_long", wanted, came, second <= LINEAR * first)


def _speed(name: str, trained: Trained, target: Target) -> Iterator[Verdict]:
    nearest = trained.fastest(target.peers)
    if nearest is None:
        return
    ratio = trained.systems[nearest].ratio or 0.0
    whom = nearest if len(target.peers) == 1 else "the fastest peer"
    whom = "in float32" if nearest == FLOAT32 else whom
    came = f"{ratio:.2f} times {nearest}"
    wanted = f"{target.at_least:g} times as fast as {whom}"
    if WORKLOADS[name].infers and target.at_least == 1:
        wanted = "ahead of every peer"
    yield Verdict(name, wanted, came, ratio >= target.at_least)


def _share(report: Report, workload: Workload, trained: Trained) -> Iterator[Verdict]:
    limit = report.limits.get("fma_gflops")
    if workload.share_of_limit is None or not limit or trained.gflops is None:
        return
    share = trained.gflops / limit
    wanted = f"{workload.share_of_limit:.0%} of the multiply-add limit"
    came = f"{share:.0%} ({trained.gflops:.0f} GFLOP/s)"
    yield Verdict(workload.name, wanted, came, share >= workload.share_of_limit)


def _memory(name: str, trained: Trained) -> Iterator[Verdict]:
    peers = {
        peer: measured.beyond_data_bytes
        for peer, measured in trained.systems.items()
        if peer != OURS and measured.beyond_data_bytes is not None
    }
    ours = trained.systems[OURS].beyond_data_bytes
    if not peers or ours is None:
        return
    least = min(peers, key=lambda peer: peers[peer] or 0)
    smallest = peers[least] or 0
    came = f"{ours / 2**20:.0f} MiB; {least}: {smallest / 2**20:.0f} MiB"
    yield Verdict(name, "less memory than any peer", came, ours < smallest)


def _growth(name: str, ours: Measured) -> Iterator[Verdict]:
    if ours.time_growth is None or ours.memory_growth_bytes is None:
        return
    growth = ours.memory_growth_bytes
    reached = growth <= MEMORY_OF_FITS and ours.time_growth <= TIME_OF_FITS
    came = f"time x {ours.time_growth:.2f}, memory {growth / 2**20:+.1f} MiB"
    yield Verdict(name, "no growth from first to last fit", came, reached)


def _startup(report: Report) -> Iterator[Verdict]:
    ours = report.startup.get(OURS)
    if ours is None or not ours.warm or not ours.cold:
        return
    warm, cold = statistics.median(ours.warm), statistics.median(ours.cold)
    name = "startup"
    yield Verdict(name, "1 s, cache warm", f"{warm:.2f} s", warm < WARM_SECONDS)
    yield Verdict(name, "3 s, cache cold", f"{cold:.2f} s", cold < COLD_SECONDS)
    others = {peer: each for peer, each in report.startup.items() if peer != OURS}
    colds = {peer: each.cold or each.warm for peer, each in others.items()}
    warms = {peer: each.warm for peer, each in others.items()}
    yield from _ahead("all caches warm", warm, warms)
    yield from _ahead("all caches cold", cold, colds)


def _ahead(how: str, ours: float, peers: dict[str, list[float]]) -> Iterator[Verdict]:
    known = {peer: statistics.median(times) for peer, times in peers.items() if times}
    if known:
        first = min(known, key=lambda peer: known[peer])
        came = f"{ours:.2f} s; {first}: {known[first]:.2f} s"
        wanted = f"ahead of every peer, {how}"
        yield Verdict("startup", wanted, came, ours < known[first])
