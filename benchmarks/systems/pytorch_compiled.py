"""PyTorch with forward, loss and backward under `torch.compile`."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.networks import Array
from benchmarks.systems import pytorch
from benchmarks.systems.pytorch import (
    Trained,
    eager_loss,
    infer,
    loss,
    parameters,
    train,
)
from benchmarks.workloads import Workload

__all__ = ["build", "infer", "loss", "parameters", "train"]

# One graph for whole batches, one for the last; none with free sizes, which are slower.
compiled_loss = torch.compile(eager_loss, dynamic=False)


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """As in eager mode."""
    made = pytorch.build(workload, x, y, seed)
    answer = torch.compile(made.model, dynamic=False)
    return replace(made, loss_of=compiled_loss, answer=answer)
