"""What was measured, in the shape in which it is written as JSON."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from benchmarks.systems import OURS

SCHEMA = 1


@dataclass
class Measured:
    """One system on one workload; see docs/benchmarks.md for every field."""

    label: str
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    warmup_seconds: float | None = None
    import_seconds: float | None = None
    loss: float | None = None
    parameters: int | None = None
    steps: int | None = None
    beyond_data_bytes: int | None = None
    fits: int | None = None
    time_growth: float | None = None
    memory_growth_bytes: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    missing: str | None = None

    @property
    def median(self) -> float | None:
        """The median time of a run."""
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def ratio(self) -> float | None:
        """How many times as long as ours it takes, the median over pairs of runs."""
        return statistics.median(self.ratios) if self.ratios else None


@dataclass
class Trained:
    """One workload with everybody who trained it."""

    summary: str
    samples: int
    steps: int
    flops: float
    systems: dict[str, Measured] = field(default_factory=dict)

    @property
    def gflops(self) -> float | None:
        """Billions of operations a second in our matrix products."""
        seconds = self.systems[OURS].median
        return self.flops / seconds / 1e9 if seconds else None

    def fastest(self, names: tuple[str, ...]) -> str | None:
        """Who of these is nearest to us."""
        known = {
            name: measured.ratio
            for name, measured in self.systems.items()
            if name in names and measured.ratio is not None
        }
        return min(known, key=lambda name: known[name] or 0.0) if known else None


@dataclass
class Startup:
    """Seconds from the start of a process to its first finished step."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    missing: str | None = None


@dataclass
class Report:
    """All that one call of the command measured."""

    command: str
    date: str
    quick: bool
    threads: int
    repeats: int
    machine: dict[str, Any]
    limits: dict[str, float]
    load_average: float
    workloads: dict[str, Trained] = field(default_factory=dict)
    startup: dict[str, Startup] = field(default_factory=dict)
    schema: int = SCHEMA
