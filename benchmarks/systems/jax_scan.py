"""JAX: a whole run is one jitted call, `lax.scan` over the steps of each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from benchmarks.workloads import (
    BETA_1,
    BETA_2,
    EPSILON,
    LEARNING_RATE,
    Array,
    Dense,
    Dropout,
    Workload,
    epoch_orders,
)


def initial_weights(workload: Workload, seed: int) -> list[tuple[Array, Array]]:
    """Kernels by Glorot and Bengio, biases of 0."""
    random = np.random.default_rng(seed)
    weights, width = [], workload.inputs
    for layer in workload.layers:
        if isinstance(layer, Dense):
            limit = np.sqrt(6 / (width + layer.units))
            kernel = random.uniform(-limit, limit, (width, layer.units))
            weights.append((kernel.astype("f4"), np.zeros(layer.units, "f4")))
            width = layer.units
    return weights


def forward(workload: Workload, weights: Any, x: Any, key: Any) -> Any:
    """What the network gives; dropout only where there is a key."""
    remaining = iter(weights)
    for position, layer in enumerate(workload.layers):
        match layer:
            case Dense(_, activation):
                kernel, bias = next(remaining)
                x = x @ kernel + bias
                x = jax.nn.relu(x) if activation == "relu" else x
            case Dropout(rate) if key is not None:
                site = jax.random.fold_in(key, position)
                kept = jax.random.bernoulli(site, 1 - rate, x.shape)
                x = jnp.where(kept, x / (1 - rate), 0)
    return x


def mean_loss(workload: Workload, weights: Any, x: Any, y: Any, key: Any) -> Any:
    """The mean loss of a batch."""
    z = forward(workload, weights, x, key)
    if workload.loss == "classes":
        chosen = jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1)
        return -chosen.mean()
    if workload.loss == "binary":
        return (jax.nn.softplus(z) - z * y).mean()
    return ((z - y) ** 2).mean()


def adam(gradients: Any, state: Any) -> Any:
    """One update of `(weights, first moments, second moments, count)`."""
    weights, first, second, count = state
    count = count + 1
    first = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, first, gradients)
    second = jax.tree.map(
        lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, second, gradients
    )
    scale = LEARNING_RATE * jnp.sqrt(1 - BETA_2**count) / (1 - BETA_1**count)
    weights = jax.tree.map(
        lambda w, m, v: w - scale * m / (jnp.sqrt(v) + EPSILON), weights, first, second
    )
    return weights, first, second, count


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def run(workload: Workload, state: Any, x: Any, y: Any, orders: Any, key: Any) -> Any:
    """All epochs of a run."""

    def step(state: Any, rows: Any) -> Any:
        site = jax.random.fold_in(key, state[3])
        gradients = jax.grad(mean_loss, argnums=1)(
            workload, state[0], x[rows], y[rows], site
        )
        return adam(gradients, state), None

    def epoch(state: Any, order: Any) -> Any:
        size = workload.batch_size
        whole = len(order) // size * size
        state, _ = lax.scan(step, state, order[:whole].reshape(-1, size))
        if whole < len(order):
            state, _ = step(state, order[whole:])
        return state, None

    return lax.scan(epoch, state, orders)[0]


@dataclass
class Trained:
    """The state of training and the data."""

    workload: Workload
    state: Any
    x: Any
    y: Any


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """Weights and moments."""
    weights = jax.tree.map(jnp.asarray, initial_weights(workload, seed))
    first = jax.tree.map(jnp.zeros_like, weights)
    second = jax.tree.map(jnp.zeros_like, weights)
    labels = y.astype(np.int32) if workload.loss == "classes" else y
    state = (weights, first, second, jnp.zeros((), jnp.int32))
    return Trained(workload, state, jnp.asarray(x), jnp.asarray(labels))


def train(trained: Trained, seed: int) -> None:
    """One call."""
    orders = epoch_orders(trained.workload, seed).astype(np.int32)
    key = jax.random.key(seed)
    trained.state = run(
        trained.workload, trained.state, trained.x, trained.y, orders, key
    )
    jax.block_until_ready(trained.state)


def loss(trained: Trained, rows: int) -> float:
    """The loss without dropout."""
    x, y = trained.x[:rows], trained.y[:rows]
    return float(mean_loss(trained.workload, trained.state[0], x, y, None))
