"""Workloads as text, to hand them to another process."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from benchmarks.workloads import WORKLOADS, Workload

# What may differ from the entry; the rest both processes know by name.
CHANGED = ("rows", "batch_size", "epochs", "fits", "few_fits", "few_steps")


def workload_text(workload: Workload) -> str:
    """The workload by its name and what differs from its entry.

    Example:
        >>> workload_from(workload_text(WORKLOADS["mlp"])) == WORKLOADS["mlp"]
        True
    """
    values = asdict(workload)
    return json.dumps({"name": workload.name} | {key: values[key] for key in CHANGED})


def workload_from(text: str) -> Workload:
    """The workload that `workload_text` wrote."""
    changes = json.loads(text)
    workload = WORKLOADS[changes.pop("name")]
    for few in ("few_fits", "few_steps"):
        changes[few] = tuple((name, count) for name, count in changes[few])
    return replace(workload, **changes)
