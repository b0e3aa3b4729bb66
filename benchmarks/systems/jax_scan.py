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
    epoch_orders,
)


def initial_weights(workload: Workload, seed: int) -> list[tuple[Array, Array]]:
    """Kernels by Glorot and Bengio, biases of 0; scales of 1, offsets of 0."""
    random = np.random.default_rng(seed)
    weights, width = [], workload.inputs
    for layer in workload.layers:
        if isinstance(layer, Dense):
            limit = np.sqrt(6 / (width + layer.units))
            kernel = random.uniform(-limit, limit, (width, layer.units))
            weights.append((kernel.astype("f4"), np.zeros(layer.units, "f4")))
            width = layer.units
        elif isinstance(layer, BatchNorm):
            weights.append((np.ones(width, "f4"), np.zeros(width, "f4")))
    return weights


def initial_statistics(workload: Workload) -> list[tuple[Array, Array]]:
    """A moving mean of 0 and a moving variance of 1 for each normalization."""
    statistics, width = [], workload.inputs
    for layer in workload.layers:
        if isinstance(layer, Dense):
            width = layer.units
        elif isinstance(layer, BatchNorm):
            statistics.append((np.zeros(width, "f4"), np.ones(width, "f4")))
    return statistics


def normalize(x: Any, weights: Any, moving: Any, training: bool) -> tuple[Any, Any]:
    """Batch normalization, and the moving statistics after it."""
    scale, offset = weights
    mean, variance = (x.mean(0), x.var(0)) if training else moving
    normal = (x - mean) * (scale * lax.rsqrt(variance + VARIANCE_EPSILON)) + offset
    if not training:
        return normal, moving
    new = jax.tree.map(
        lambda old, now: MOMENTUM * old + (1 - MOMENTUM) * now,
        moving,
        (mean, variance),
    )
    return normal, new


def forward(
    workload: Workload, weights: Any, moving: Any, x: Any, key: Any
) -> tuple[Any, Any]:
    """What the network gives, and its moving statistics; it trains if it has a key."""
    remaining, statistics, new = iter(weights), iter(moving), []
    for position, layer in enumerate(workload.layers):
        match layer:
            case Dense(_, activation):
                kernel, bias = next(remaining)
                x = x @ kernel + bias
                x = jax.nn.relu(x) if activation == "relu" else x
            case BatchNorm():
                own = next(remaining), next(statistics)
                x, after = normalize(x, *own, key is not None)
                new.append(after)
            case Relu():
                x = jax.nn.relu(x)
            case Dropout(rate) if key is not None:
                site = jax.random.fold_in(key, position)
                kept = jax.random.bernoulli(site, 1 - rate, x.shape)
                x = jnp.where(kept, x / (1 - rate), 0)
    return x, new


def mean_loss(
    workload: Workload, weights: Any, moving: Any, x: Any, y: Any, key: Any
) -> tuple[Any, Any]:
    """The mean loss of a batch, and the moving statistics after it."""
    z, moving = forward(workload, weights, moving, x, key)
    if workload.loss == "classes":
        chosen = jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1)
        return -chosen.mean(), moving
    if workload.loss == "binary":
        return (jax.nn.softplus(z) - z * y).mean(), moving
    return ((z - y) ** 2).mean(), moving


def clipped(gradients: Any) -> Any:
    """Gradients whose norm, all taken together, is limited."""
    squares = sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradients))
    scale = jnp.minimum(1.0, GLOBAL_CLIPNORM / jnp.sqrt(squares))
    return jax.tree.map(lambda g: g * scale, gradients)


def learning_rate(workload: Workload, count: Any) -> Any:
    """The rate of the step after `count` others."""
    if not workload.scheduled:
        return LEARNING_RATE
    done = jnp.minimum(count / workload.cosine_steps, 1.0)
    return LEARNING_RATE * 0.5 * (1 + jnp.cos(jnp.pi * done))


def adam(workload: Workload, gradients: Any, state: Any) -> Any:
    """One update of `(weights, first moments, second moments, count)`."""
    weights, first, second, count = state
    rate = learning_rate(workload, count)
    decay = 1 - rate * WEIGHT_DECAY if workload.scheduled else 1.0
    gradients = clipped(gradients) if workload.scheduled else gradients
    count = count + 1
    first = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, first, gradients)
    second = jax.tree.map(
        lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, second, gradients
    )
    scale = rate * jnp.sqrt(1 - BETA_2**count) / (1 - BETA_1**count)
    weights = jax.tree.map(
        lambda w, m, v: decay * w - scale * m / (jnp.sqrt(v) + EPSILON),
        weights,
        first,
        second,
    )
    return weights, first, second, count


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def run(workload: Workload, state: Any, x: Any, y: Any, orders: Any, key: Any) -> Any:
    """All epochs of a run."""

    def step(state: Any, rows: Any) -> Any:
        learnt, moving = state
        site = jax.random.fold_in(key, learnt[3])
        gradients, moving = jax.grad(mean_loss, argnums=1, has_aux=True)(
            workload, learnt[0], moving, x[rows], y[rows], site
        )
        return (adam(workload, gradients, learnt), moving), None

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
    """Weights, moments, moving statistics."""
    weights = jax.tree.map(jnp.asarray, initial_weights(workload, seed))
    first = jax.tree.map(jnp.zeros_like, weights)
    second = jax.tree.map(jnp.zeros_like, weights)
    labels = y.astype(np.int32) if workload.loss == "classes" else y
    moving = jax.tree.map(jnp.asarray, initial_statistics(workload))
    state = ((weights, first, second, jnp.zeros((), jnp.int32)), moving)
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
    (weights, *_), moving = trained.state
    return float(mean_loss(trained.workload, weights, moving, x, y, None)[0])
