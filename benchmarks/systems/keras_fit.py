"""Keras on TensorFlow: `compile` and `fit`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

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
LAYERS = {
    Dense: lambda layer: keras.layers.Dense(layer.units, activation=layer.activation),
    Dropout: lambda layer: keras.layers.Dropout(layer.rate),
    BatchNorm: lambda layer: keras.layers.BatchNormalization(
        momentum=MOMENTUM, epsilon=VARIANCE_EPSILON
    ),
    Relu: lambda layer: keras.layers.ReLU(),
}
LOSSES = {
    "classes": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "binary": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
    "squared": lambda: keras.losses.MeanSquaredError(),
}

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)


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
        return keras.optimizers.Adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON)
    steps = workload.cosine_steps
    return keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps),
        WEIGHT_DECAY,
        BETA_1,
        BETA_2,
        EPSILON,
        global_clipnorm=GLOBAL_CLIPNORM,
    )


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """A compiled `Sequential`."""
    keras.utils.set_random_seed(seed)
    layers = [LAYERS[type(layer)](layer) for layer in workload.layers]
    model = keras.Sequential([keras.layers.Input((workload.inputs,)), *layers])
    model.compile(optimizer=make_optimizer(workload), loss=LOSSES[workload.loss]())
    return Trained(workload, model, x, y)


def train(trained: Trained, seed: int) -> None:
    """`fit`."""
    keras.utils.set_random_seed(seed)
    trained.model.fit(
        trained.x,
        trained.y,
        batch_size=trained.workload.batch_size,
        epochs=trained.workload.epochs,
        verbose=0,
    )


def loss(trained: Trained, rows: int) -> float:
    """`evaluate`."""
    x, y = trained.x[:rows], trained.y[:rows]
    return float(trained.model.evaluate(x, y, batch_size=256, verbose=0))
