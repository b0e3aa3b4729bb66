"""chainrule, as its users call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import chainrule as cr
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

LAYERS = {
    Dense: lambda layer: cr.layers.Dense(layer.units, activation=layer.activation),
    Dropout: lambda layer: cr.layers.Dropout(layer.rate),
    BatchNorm: lambda layer: cr.layers.BatchNormalization(
        momentum=MOMENTUM, epsilon=VARIANCE_EPSILON
    ),
    Relu: lambda layer: cr.layers.ReLU(),
}
LOSSES = {
    "classes": lambda: cr.losses.SparseCategoricalCrossentropy(from_logits=True),
    "binary": lambda: cr.losses.BinaryCrossentropy(from_logits=True),
    "squared": lambda: cr.losses.MeanSquaredError(),
}


@dataclass
class Trained:
    """A model with its data."""

    workload: Workload
    model: Any
    x: Array
    y: Array


def make_optimizer(workload: Workload) -> Any:
    """Adam, or AdamW with a schedule and clipping."""
    if not workload.scheduled:
        return cr.optimizers.Adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON)

    steps = workload.cosine_steps
    return cr.optimizers.AdamW(
        cr.optimizers.schedules.CosineDecay(LEARNING_RATE, steps),
        WEIGHT_DECAY,
        BETA_1,
        BETA_2,
        EPSILON,
        global_clipnorm=GLOBAL_CLIPNORM,
    )


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """A compiled `Sequential`."""
    cr.set_seed(seed)
    layers = [LAYERS[type(layer)](layer) for layer in workload.layers]
    model = cr.Sequential([cr.layers.Input((workload.inputs,)), *layers])
    model.compile(optimizer=make_optimizer(workload), loss=LOSSES[workload.loss]())
    return Trained(workload, model, x, y)


def train(trained: Trained, seed: int) -> None:
    """`fit`."""
    trained.model.fit(
        trained.x,
        trained.y,
        batch_size=trained.workload.batch_size,
        epochs=trained.workload.epochs,
        verbose=0,
        seed=seed,
    )


def loss(trained: Trained, rows: int) -> float:
    """`evaluate`."""
    x, y = trained.x[:rows], trained.y[:rows]
    return float(trained.model.evaluate(x, y, batch_size=256, verbose=0))
