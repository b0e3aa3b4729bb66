"""What the machine is, in words that say nothing about whose it is."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.systems import REPOSITORY, thread_variables


def cores() -> int:
    """How many cores the process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """Processor, memory, system, Python."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": cores(),
        "memory_gib": _memory(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def measure_limits(threads: int) -> dict[str, float]:
    """Arithmetic and memory limits, measured in a process of their own."""
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.limits", str(threads)],
        cwd=REPOSITORY,
        env=os.environ | thread_variables(threads),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    limits: dict[str, float] = json.loads(answer.stdout)
    return limits


def load_average() -> float:
    """How many processes wanted to run during the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    text = listed.read_text() if listed.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    wide = "AVX-512" if " avx512f " in text else "AVX2" if " avx2 " in text else ""
    name = model[1].strip() if model else platform.processor() or platform.machine()
    return f"{name}, {wide}" if wide else name


def _memory() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return round(pages / 2**30, 1)
