"""PyTorch with forward, loss and backward under `torch.compile`."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.systems import pytorch
from benchmarks.systems.pytorch import Trained, eager_loss, loss, train
from benchmarks.workloads import Array, Workload

__all__ = ["build", "loss", "train"]

# One graph for whole batches, one for the last; none with free sizes, which are slower.
compiled_loss = torch.compile(eager_loss, dynamic=False)


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """As in eager mode."""
    return replace(pytorch.build(workload, x, y, seed), loss_of=compiled_loss)
