"""JAX: a whole run is one jitted call, `lax.scan` over the steps of each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

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
    Widen,
    initial_statistics,
    initial_weights,
)
from benchmarks.systems.jax_sequences import KINDS, mean_of_steps, sequence
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
    epoch_orders,
)

LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC")}


def normalize(
    x: Any, weights: Any, moving: Any, momentum: float, training: bool
) -> tuple[Any, Any]:
    """Batch normalization, and the moving statistics after it."""
    scale, offset = weights
    axes = tuple(range(x.ndim - 1))
    mean, variance = (x.mean(axes), x.var(axes)) if training else moving
    normal = (x - mean) * (scale * lax.rsqrt(variance + VARIANCE_EPSILON)) + offset
    if not training:
        return normal, moving
    new = jax.tree.map(
        lambda old, now: momentum * old + (1 - momentum) * now,
        moving,
        (mean, variance),
    )
    return normal, new


def convolve(x: Any, kernel: Any, strides: int, border: int, groups: int = 1) -> Any:
    """A convolution, channels last."""
    dimensions = x.ndim - 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides,) * dimensions,
        [(border, border)] * dimensions,
        dimension_numbers=LAYOUTS[dimensions],
        feature_group_count=groups,
    )


def largest(x: Any, size: int) -> Any:
    """Pooling."""
    window = (1, *[size] * (x.ndim - 2), 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def widen(x: Any, sides: tuple[int, int]) -> Any:
    """Every second pixel, and new channels of zeros."""
    return jnp.pad(x[:, ::2, ::2], [*[(0, 0)] * 3, sides])


def depthwise(x: Any, kernel: Any, strides: int, border: int) -> Any:
    """A convolution of every channel by itself."""
    return convolve(x, jnp.swapaxes(kernel, -1, -2), strides, border, x.shape[-1])


def enlarge(x: Any, kernel: Any) -> Any:
    """A transposed convolution without overlap."""
    dimensions = x.ndim - 2
    layout = LAYOUTS[dimensions]
    strides = (2,) * dimensions
    return lax.conv_transpose(x, kernel, strides, "VALID", dimension_numbers=layout)


class Pass:
    """One pass through a network, training if it has a key.

    Args:
        weights: in the order of `networks.walk`.
        moving: the moving statistics, in that order.
        key: for dropout.
        counts: which steps are no padding; none where all are.

    Attributes:
        statistics: the moving statistics afterwards.
    """

    def __init__(self, weights: Any, moving: Any, key: Any, counts: Any = None) -> None:
        self.remaining, self.moving = iter(weights), iter(moving)
        self.key, self.counts = key, counts
        self.statistics: list[Any] = []
        self.sites = 0

    def through(self, layers: Sequence[Layer], x: Any) -> Any:
        """What these layers give."""
        for layer in layers:
            x = self.one(layer, x)
        return x

    def one(self, layer: Layer, x: Any) -> Any:
        """What a layer gives."""
        match layer:
            case Residual(inside, shortcut):
                return self.through(inside, x) + self.through(shortcut, x)
            case Beside(inside):
                return jnp.concatenate([x, self.through(inside, x)], axis=-1)
            case BatchNorm(momentum):
                own = next(self.remaining), next(self.moving)
                x, after = normalize(x, *own, momentum, self.key is not None)
                self.statistics.append(after)
                return x
            case Relu():
                return jax.nn.relu(x)
            case Dropout(rate):
                return x if self.key is None else self.drop(x, rate)
            case MaxPool(size):
                return largest(x, size)
            case GlobalAverage():
                return mean_of_steps(x, self.counts)
            case Flatten():
                return x.reshape(len(x), -1)
            case Widen():
                return widen(x, layer.sides(x.shape))
        if isinstance(layer, KINDS):
            return sequence(layer, next(self.remaining), x, self.counts)
        return self.product(layer, x)

    def product(self, layer: Layer, x: Any) -> Any:
        """What a layer with a kernel gives."""
        kernel, *bias = next(self.remaining)
        match layer:
            case Dense():
                x = x @ kernel
            case Conv():
                x = convolve(x, kernel, layer.strides, layer.border)
            case Depthwise():
                x = depthwise(x, kernel, layer.strides, layer.border)
            case Enlarge():
                x = enlarge(x, kernel)
        x = x + bias[0] if bias else x
        return jax.nn.relu(x) if getattr(layer, "activation", None) == "relu" else x

    def drop(self, x: Any, rate: float) -> Any:
        """Dropout, each with a key of its own."""
        self.sites += 1
        site = jax.random.fold_in(self.key, self.sites)
        kept = jax.random.bernoulli(site, 1 - rate, x.shape)
        return jnp.where(kept, x / (1 - rate), 0)


def forward(
    workload: Workload, weights: Any, moving: Any, x: Any, key: Any
) -> tuple[Any, Any]:
    """What the network gives, and its moving statistics; it trains if it has a key."""
    one = Pass(weights, moving, key, x != 0 if workload.padded else None)
    return one.through(workload.layers, x), one.statistics


def augmented(x: Any, key: Any) -> Any:
    """Pictures mirrored and cropped at random."""
    count, height, width, channels = x.shape
    corners, mirrored = jax.random.split(key)
    starts = jax.random.randint(corners, (count, 2), 0, 2 * BORDER + 1)
    around = (BORDER, BORDER)
    wide = jnp.pad(x, [(0, 0), around, around, (0, 0)])

    def cut(picture: Any, start: Any) -> Any:
        return lax.dynamic_slice(picture, (*start, 0), (height, width, channels))

    x = jax.vmap(cut)(wide, starts)
    chosen = jax.random.bernoulli(mirrored, 0.5, (count, 1, 1, 1))
    return jnp.where(chosen, x[:, :, ::-1], x)


def mean_loss(
    workload: Workload, weights: Any, moving: Any, x: Any, y: Any, key: Any
) -> tuple[Any, Any]:
    """The mean loss of a batch, and the moving statistics after it."""
    z, moving = forward(workload, weights, moving, x, key)
    if workload.loss == "classes":
        chosen = jnp.take_along_axis(jax.nn.log_softmax(z), y[..., None], axis=-1)
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
        inputs = augmented(x[rows], site) if workload.augmented else x[rows]
        gradients, moving = jax.grad(mean_loss, argnums=1, has_aux=True)(
            workload, learnt[0], moving, inputs, y[rows], site
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
    network = workload.layers, workload.shape
    weights = jax.tree.map(jnp.asarray, initial_weights(*network, seed))
    first = jax.tree.map(jnp.zeros_like, weights)
    second = jax.tree.map(jnp.zeros_like, weights)
    labels = y.astype(np.int32) if workload.loss == "classes" else y
    moving = jax.tree.map(jnp.asarray, initial_statistics(*network))
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


@partial(jax.jit, static_argnums=0)
def answer(workload: Workload, weights: Any, moving: Any, x: Any) -> Any:
    """What the network gives for a batch."""
    return forward(workload, weights, moving, x, None)[0]


def infer(trained: Trained) -> None:
    """A call for each batch."""
    size = trained.workload.batch_size
    (weights, *_), moving = trained.state
    for first in range(0, len(trained.x), size):
        x = trained.x[first : first + size]
        np.asarray(answer(trained.workload, weights, moving, x))


def parameters(trained: Trained) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(trained.state[0][0]))


def loss(trained: Trained, rows: int) -> float:
    """The loss without dropout."""
    x, y = trained.x[:rows], trained.y[:rows]
    (weights, *_), moving = trained.state
    return float(mean_loss(trained.workload, weights, moving, x, y, None)[0])
