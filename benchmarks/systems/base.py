"""What each system offers the worker."""

from __future__ import annotations

from typing import Any, Protocol

from benchmarks.networks import Array
from benchmarks.workloads import Workload


class System(Protocol):
    """A library that trains."""

    def build(self, workload: Workload, x: Array, y: Array, seed: int) -> Any:
        """A new network, ready to be trained on these rows."""

    def train(self, model: Any, seed: int) -> None:
        """Train for the epochs of a run, and come back when it is finished."""

    def infer(self, model: Any) -> None:
        """Answer for all rows, batch after batch, from arrays and to arrays."""

    def parameters(self, model: Any) -> int:
        """How many numbers are trained."""

    def loss(self, model: Any, rows: int) -> float:
        """The mean loss over the first `rows` rows, without dropout."""
