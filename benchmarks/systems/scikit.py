"""scikit-learn: `partial_fit`, one epoch a call, of its multi-layer perceptrons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.networks import Array, Dense
from benchmarks.workloads import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Workload


@dataclass
class Trained:
    """A model with its data."""

    workload: Workload
    model: Any
    x: Array
    y: Array
    options: dict[str, Any]


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """An estimator."""
    units = [layer.units for layer in workload.layers if isinstance(layer, Dense)]
    squared = workload.loss == "squared"
    model = (MLPRegressor if squared else MLPClassifier)(
        hidden_layer_sizes=units[:-1],
        alpha=0.0,
        batch_size=workload.batch_size,
        learning_rate_init=LEARNING_RATE,
        beta_1=BETA_1,
        beta_2=BETA_2,
        epsilon=EPSILON,
        random_state=seed,
    )
    labels = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    options = {} if squared else {"classes": np.unique(labels)}
    return Trained(workload, model, x, labels, options)


def train(trained: Trained, seed: int) -> None:
    """`partial_fit` once for each epoch; it draws its own order of the rows."""
    for _ in range(trained.workload.epochs):
        trained.model.partial_fit(trained.x, trained.y, **trained.options)


def parameters(trained: Trained) -> int:
    """How many numbers are trained; there are none before the first call."""
    model = trained.model
    return sum(array.size for array in (*model.coefs_, *model.intercepts_))


def loss(trained: Trained, rows: int) -> float:
    """The loss as the other systems define it."""
    x, y = trained.x[:rows], trained.y[:rows]
    if trained.workload.loss == "squared":
        y_pred = trained.model.predict(x)
        return float(np.mean((y_pred - y) ** 2))
    chances = trained.model.predict_proba(x)
    chosen = chances[np.arange(len(y)), y.astype(int)]
    return float(-np.log(np.maximum(chosen, 1e-7)).mean())
