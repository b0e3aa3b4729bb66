"""chainrule, as its users call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import chainrule as cr
from benchmarks.workloads import (
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    Array,
    Dense,
    Dropout,
    Workload,
)

LAYERS = {
    Dense: lambda layer: cr.layers.Dense(layer.units, activation=layer.activation),
    Dropout: lambda layer: cr.layers.Dropout(layer.rate),
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


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """A compiled `Sequential`."""
    cr.set_seed(seed)
    layers = [LAYERS[type(layer)](layer) for layer in workload.layers]
    model = cr.Sequential([cr.layers.Input((workload.inputs,)), *layers])
    optimizer = cr.optimizers.Adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON)
    model.compile(optimizer=optimizer, loss=LOSSES[workload.loss]())
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
