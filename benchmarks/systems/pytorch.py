"""PyTorch: eager, channels last, fused Adam, rows picked from tensors in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.networks import (
    Array,
    BatchNorm,
    Beside,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Enlarge,
    Flatten,
    GlobalAverage,
    Layer,
    MaxPool,
    Relu,
    Residual,
    Shape,
    Widen,
)
from benchmarks.sequence_layers import Recurrent
from benchmarks.systems.pytorch_generation import Cached
from benchmarks.systems.pytorch_sequences import (
    KINDS,
    Padded,
    StepMean,
    make_sequence_layer,
)
from benchmarks.workloads import (
    BETA_1,
    BETA_2,
    BORDER,
    EPSILON,
    GLOBAL_CLIPNORM,
    LEARNING_RATE,
    VARIANCE_EPSILON,
    WEIGHT_DECAY,
    Workload,
)

THREADS = int(os.environ.get("BENCHMARK_THREADS", "1"))


def class_loss(scores: Any, labels: Any) -> Any:
    """Cross-entropy; sequences have their classes last, pictures have them first."""
    if scores.ndim == 3:
        scores, labels = scores.flatten(0, 1), labels.flatten()
    return nn.functional.cross_entropy(scores, labels)


LOSSES: dict[str, Callable[..., Any]] = {
    "classes": class_loss,
    "binary": nn.functional.binary_cross_entropy_with_logits,
    "squared": nn.functional.mse_loss,
}
# by the number of axes of positions: none, one, two
CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
NORMS: dict[int, Any] = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
POOLS: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d}

torch.set_num_threads(THREADS)


class ResidualBlock(nn.Module):  # type: ignore[misc]
    """Two ways, added."""

    def __init__(self, inside: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.inside, self.shortcut = inside, shortcut

    def forward(self, x: Any) -> Any:
        """The sum."""
        return self.inside(x) + self.shortcut(x)


class BesideBlock(nn.Module):  # type: ignore[misc]
    """The input and what becomes of it, as channels of one tensor."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Any) -> Any:
        """Both."""
        return torch.cat([x, self.inside(x)], 1)


class WidenBlock(nn.Module):  # type: ignore[misc]
    """Every second pixel, and new channels of zeros."""

    def __init__(self, sides: tuple[int, int]) -> None:
        super().__init__()
        self.sides = sides

    def forward(self, x: Any) -> Any:
        """Fewer pixels, more channels."""
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, *self.sides))


class Mean(nn.Module):  # type: ignore[misc]
    """The mean over all positions."""

    def forward(self, x: Any) -> Any:
        """One number a channel."""
        return x.mean(tuple(range(2, x.ndim)))


def make_layers(layers: Sequence[Layer], shape: Shape) -> nn.Sequential:
    """The network for samples of this shape, which has its channels last."""
    parts: list[nn.Module] = []
    for layer in layers:
        parts += make_layer(layer, shape)
        shape = layer.result(shape)
    return nn.Sequential(*parts)


def make_layer(layer: Layer, shape: Shape) -> list[nn.Module]:
    """One layer, with its activation."""
    dimensions = len(shape) - 1
    match layer:
        case Dense(units, activation):
            return [nn.Linear(shape[-1], units), *_activation(activation)]
        case BatchNorm(momentum):
            # PyTorch's momentum is the share of the new statistics
            options = (shape[-1], VARIANCE_EPSILON, 1 - momentum)
            return [NORMS[dimensions](*options)]
        case Relu():
            return [nn.ReLU()]
        case Dropout(rate):
            return [nn.Dropout(rate)]
        case MaxPool(size):
            return [POOLS[dimensions](size)]
        case GlobalAverage():
            return [Mean()]
        case _ if isinstance(layer, KINDS):
            return [make_sequence_layer(layer, shape)]
        case Flatten():
            return [nn.Flatten()]
        case Widen():
            return [WidenBlock(layer.sides(shape))]
        case Residual(inside, shortcut):
            ways = make_layers(inside, shape), make_layers(shortcut, shape)
            return [ResidualBlock(*ways)]
        case Beside(inside):
            return [BesideBlock(make_layers(inside, shape))]
    return _convolution(layer, shape)


def _convolution(layer: Layer, shape: Shape) -> list[nn.Module]:
    channels, dimensions = shape[-1], len(shape) - 1
    match layer:
        case Conv(filters, size, strides, _, activation, bias):
            kind = CONVOLUTIONS[dimensions]
            border = layer.border
            made = kind(channels, filters, size, strides, border, bias=bias)
            return [made, *_activation(activation)]
        case Depthwise(size, strides):
            options = {"groups": channels, "bias": False}
            kind = CONVOLUTIONS[dimensions]
            return [kind(channels, channels, size, strides, layer.border, **options)]
        case Enlarge(filters):
            return [TRANSPOSED[dimensions](channels, filters, 2, 2)]
    raise TypeError(f"no such layer: {layer}")


def _activation(name: str | None) -> list[nn.Module]:
    return [nn.ReLU()] if name == "relu" else []


def augmented(x: Any) -> Any:
    """Pictures mirrored and cropped at random, the whole batch in one gather."""
    count, height, width, _ = x.shape
    wide = nn.functional.pad(x, (0, 0, *[BORDER] * 4))
    most = 2 * BORDER + 1
    rows = torch.randint(most, (count, 1)) + torch.arange(height)
    columns = torch.randint(most, (count, 1)) + torch.arange(width)
    mirrored = torch.rand(count, 1) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    pictures = torch.arange(count)[:, None, None]
    return wide[pictures, rows[:, :, None], columns[:, None, :]]


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
    answer: Any = None

    def picked(self, rows: Any, training: bool = False) -> Any:
        """Inputs as the network takes them: channels first, in memory last."""
        x = self.x[rows]
        if training and self.workload.augmented:
            x = augmented(x)
        return x.movedim(-1, 1) if x.ndim == 4 else x


def make_optimizer(workload: Workload, model: Any) -> tuple[Any, Any]:
    """Adam, or AdamW and its schedule."""
    constants: Any = (model.parameters(), LEARNING_RATE, (BETA_1, BETA_2), EPSILON)
    if not workload.scheduled:
        return torch.optim.Adam(*constants, fused=True), None
    optimizer = torch.optim.AdamW(*constants, WEIGHT_DECAY, fused=True)
    steps = workload.cosine_steps
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """A model; the tensors share the memory of the arrays, series are turned."""
    torch.manual_seed(seed)
    model = make_layers(workload.layers, workload.shape)
    if workload.padded:
        means = (StepMean() if isinstance(x, Mean) else x for x in model)
        model = Padded(*means)
    if len(workload.shape) == 3:
        model = model.to(memory_format=torch.channels_last)
    optimizer, schedule = make_optimizer(workload, model)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    turned = not any(isinstance(layer, Recurrent) for layer in workload.layers)
    if inputs.ndim == 3 and turned:  # convolutions over one axis: fastest, time last
        inputs = inputs.movedim(-1, 1).contiguous()
    made = Trained(workload, model, optimizer, schedule, inputs, targets)
    made.answer = model
    return made


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
            x = trained.picked(rows, training=True)
            value = loss_of(model, criterion, x, trained.y[rows])
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            if schedule is not None:
                nn.utils.clip_grad_norm_(parameters, GLOBAL_CLIPNORM, foreach=True)
            optimizer.step()
            if schedule is not None:
                schedule.step()


def infer(trained: Trained) -> None:
    """A call for each batch, or for each text."""
    trained.model.eval()
    if trained.workload.generates:
        cached = Cached(trained.model, trained.workload.shape[0])
        for text in trained.x:
            cached.generate(text[None, :1], trained.workload.made).tolist()
        return
    size = trained.workload.batch_size
    with torch.inference_mode():
        for first in range(0, len(trained.x), size):
            trained.answer(trained.picked(slice(first, first + size))).numpy()


def parameters(trained: Trained) -> int:
    """How many numbers are trained."""
    weights = trained.model.parameters()
    return sum(each.numel() for each in weights if each.requires_grad)


def loss(trained: Trained, rows: int) -> float:
    """The loss without dropout."""
    trained.model.eval()
    with torch.no_grad():
        y_pred = trained.model(trained.picked(slice(rows)))
        return float(LOSSES[trained.workload.loss](y_pred, trained.y[:rows]))
