"""PyTorch: eager, Adam fused into one call, rows picked from tensors in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.workloads import (
    BETA_1,
    BETA_2,
    EPSILON,
    GLOBAL_CLIPNORM,
    LEARNING_RATE,
    MOMENTUM,
    VARIANCE_EPSILON,
    WEIGHT_DECAY,
    Array,
    BatchNorm,
    Dense,
    Dropout,
    Relu,
    Workload,
)

THREADS = int(os.environ.get("BENCHMARK_THREADS", "1"))
LOSSES: dict[str, Callable[..., Any]] = {
    "classes": nn.functional.cross_entropy,
    "binary": nn.functional.binary_cross_entropy_with_logits,
    "squared": nn.functional.mse_loss,
}

torch.set_num_threads(THREADS)


def make_layers(workload: Workload) -> nn.Sequential:
    """The network."""
    parts: list[nn.Module] = []
    width = workload.inputs
    for layer in workload.layers:
        match layer:
            case Dense(units, activation):
                parts.append(nn.Linear(width, units))
                width = units
                if activation == "relu":
                    parts.append(nn.ReLU())
            case BatchNorm():
                # PyTorch's momentum is the share of the new statistics
                parts.append(nn.BatchNorm1d(width, VARIANCE_EPSILON, 1 - MOMENTUM))
            case Relu():
                parts.append(nn.ReLU())
            case Dropout(rate):
                parts.append(nn.Dropout(rate))
    return nn.Sequential(*parts)


def eager_loss(model: Any, criterion: Any, x: Any, y: Any) -> Any:
    """The loss of a batch."""
    return criterion(model(x), y)


@dataclass
class Trained:
    """A model with its data and optimizer."""

    workload: Workload
    model: Any
    optimizer: Any
    schedule: Any
    x: Any
    y: Any
    loss_of: Callable[..., Any] = eager_loss


def make_optimizer(workload: Workload, model: Any) -> tuple[Any, Any]:
    """Adam, or AdamW and its schedule."""
    constants: Any = (model.parameters(), LEARNING_RATE, (BETA_1, BETA_2), EPSILON)
    if not workload.scheduled:
        return torch.optim.Adam(*constants, fused=True), None
    optimizer = torch.optim.AdamW(*constants, WEIGHT_DECAY, fused=True)
    steps = workload.cosine_steps
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """A model; the tensors share the memory of the arrays."""
    torch.manual_seed(seed)
    model = make_layers(workload)
    optimizer, schedule = make_optimizer(workload, model)
    rows = torch.from_numpy(x), torch.from_numpy(y)
    return Trained(workload, model, optimizer, schedule, *rows)


def train(trained: Trained, seed: int) -> None:
    """The loop that every user writes."""
    torch.manual_seed(seed)
    trained.model.train()
    criterion = LOSSES[trained.workload.loss]
    model, optimizer, loss_of = trained.model, trained.optimizer, trained.loss_of
    schedule, parameters = trained.schedule, list(model.parameters())
    for _ in range(trained.workload.epochs):
        order = torch.randperm(len(trained.x))
        for rows in order.split(trained.workload.batch_size):
            value = loss_of(model, criterion, trained.x[rows], trained.y[rows])
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            if schedule is not None:
                nn.utils.clip_grad_norm_(parameters, GLOBAL_CLIPNORM, foreach=True)
            optimizer.step()
            if schedule is not None:
                schedule.step()


def loss(trained: Trained, rows: int) -> float:
    """The loss without dropout."""
    trained.model.eval()
    with torch.no_grad():
        y_pred = trained.model(trained.x[:rows])
        return float(LOSSES[trained.workload.loss](y_pred, trained.y[:rows]))
