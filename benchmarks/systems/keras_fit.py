"""Keras on TensorFlow: `compile` and `fit`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.networks import Array
from benchmarks.systems import keras_blocks
from benchmarks.systems.keras_style import Style
from benchmarks.workloads import Workload

THREADS = int(os.environ.get("BENCHMARK_THREADS", "1"))
STYLE = Style(keras, keras.ops.pad, keras_blocks)

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)


@dataclass
class Trained:
    """A model with its data."""

    workload: Workload
    model: Any
    x: Array
    y: Array
    changed: Any = None
    answer: Any = None


def changed_pictures(workload: Workload, x: Array, y: Array) -> Any:
    """A data set whose batches the layers for augmentation change, read ahead."""
    layers = STYLE.augmentation(workload)

    def change(pictures: Any, labels: Any) -> Any:
        for layer in layers:
            pictures = layer(pictures, training=True)
        return pictures, labels

    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x))
    batches = batches.batch(workload.batch_size)
    return batches.map(change, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """A compiled model."""
    keras.utils.set_random_seed(seed)
    model = STYLE.network(workload)
    trained = Trained(workload, model, x, y)
    if workload.infers:
        trained.answer = tf.function(lambda x: model(x, training=False))
        return trained
    if workload.augmented:
        trained.changed = changed_pictures(workload, x, y)
    model.compile(optimizer=STYLE.optimizer(workload), loss=STYLE.loss(workload))
    return trained


def train(trained: Trained, seed: int) -> None:
    """`fit`."""
    keras.utils.set_random_seed(seed)
    epochs, size = trained.workload.epochs, trained.workload.batch_size
    if trained.changed is None:
        data: dict[str, Any] = {"x": trained.x, "y": trained.y, "batch_size": size}
    else:
        data = {"x": trained.changed}
    trained.model.fit(**data, epochs=epochs, verbose=0)


def infer(trained: Trained) -> None:
    """A call of a `tf.function` for each batch; `predict` is for many batches."""
    size = trained.workload.batch_size
    for first in range(0, len(trained.x), size):
        trained.answer(tf.constant(trained.x[first : first + size])).numpy()


def parameters(trained: Trained) -> int:
    """How many numbers are trained."""
    weights = trained.model.trainable_weights
    return sum(int(np.prod(variable.shape)) for variable in weights)


def loss(trained: Trained, rows: int) -> float:
    """`evaluate`."""
    x, y = trained.x[:rows], trained.y[:rows]
    return float(trained.model.evaluate(x, y, batch_size=256, verbose=0))
