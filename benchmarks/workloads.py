"""What is trained: the networks, their data, and what the project wants to reach.

A workload is data that every system reads in its own terms, so a new one is an entry of
`WORKLOADS`; a new kind of layer is a class here and a row in each system.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

LEARNING_RATE = 0.001
BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-7
WEIGHT_DECAY = 0.004
GLOBAL_CLIPNORM = 1.0
COSINE_EPOCHS = 10
MOMENTUM = 0.99
VARIANCE_EPSILON = 1e-3
DATA_SEED = 20240607
QUICK_FITS = 5


@dataclass(frozen=True)
class Dense:
    """A dense layer; `activation` is "relu" or none."""

    units: int
    activation: str | None = None


@dataclass(frozen=True)
class Dropout:
    """Dropout of this share of its inputs."""

    rate: float


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization over the samples; `MOMENTUM` of the moving statistics."""


@dataclass(frozen=True)
class Relu:
    """`max(x, 0)`."""


Layer: TypeAlias = Dense | Dropout | BatchNorm | Relu


@dataclass(frozen=True)
class Target:
    """How many times as fast as a peer training must be.

    Attributes:
        peers: whom it is measured against; the fastest of them where there are several.
        at_least: the ratio that must be reached.
    """

    peers: tuple[str, ...]
    at_least: float


FASTEST = ("jax", "torch", "torch-compile", "keras", "sklearn")


@dataclass(frozen=True)
class Workload:
    """One network and how it is trained.

    Attributes:
        name: its name on the command line.
        summary: what it is, in words.
        inputs: features of a sample.
        layers: the network; the loss is applied to what the last one gives, unscaled.
        scheduled: whether training is that of AdamW with `WEIGHT_DECAY` of all weights,
            gradients clipped to `GLOBAL_CLIPNORM` together, and a learning rate that
            falls along a cosine for `COSINE_EPOCHS`; otherwise Adam.
        loss: `classes` (softmax cross-entropy), `binary` (sigmoid cross-entropy) or
            `squared` (mean squared error).
        rows: samples of an epoch.
        batch_size: samples of a step.
        epochs: epochs of a measured run, or of each fit.
        fits: how many networks a run makes and trains one after the other; 0 trains the
            same one from run to run.
        few_fits: systems that get fewer fits because one of theirs takes seconds.
        targets: what is to be reached.
        share_of_limit: the share of the measured arithmetic limit to be reached.
        smallest_memory: whether training must need less memory than in every peer.
    """

    name: str
    summary: str
    inputs: int
    layers: tuple[Layer, ...]
    loss: str
    rows: int
    batch_size: int
    epochs: int = 1
    fits: int = 0
    few_fits: tuple[tuple[str, int], ...] = ()
    targets: tuple[Target, ...] = ()
    share_of_limit: float | None = None
    smallest_memory: bool = False
    scheduled: bool = False

    @property
    def cosine_steps(self) -> int:
        """The steps until a scheduled learning rate is 0."""
        return -(-self.rows // self.batch_size) * COSINE_EPOCHS

    @property
    def outputs(self) -> int:
        """Width of the last layer."""
        return next(x.units for x in reversed(self.layers) if isinstance(x, Dense))

    @property
    def samples(self) -> int:
        """Samples of one run, or of one fit."""
        return self.rows * self.epochs

    @property
    def steps(self) -> int:
        """Steps of one run, or of one fit."""
        return -(-self.rows // self.batch_size) * self.epochs

    def flops(self) -> float:
        """Floating-point operations of one run's matrix products.

        Forward, the gradient of the weights and the gradient of the inputs take
        `2 * rows * inputs * outputs` each; the first layer's inputs need no gradient.
        """
        total, width = 0.0, self.inputs
        for position, layer in enumerate(self.layers):
            if isinstance(layer, Dense):
                products = 3 if position else 2
                total += products * 2.0 * width * layer.units
                width = layer.units
        return total * self.samples

    def fits_for(self, system: str) -> int:
        """How many fits of a sweep this system makes."""
        return dict(self.few_fits).get(system, self.fits)

    def quick(self) -> Workload:
        """A tenth of the work: enough to see that everything runs."""
        few = {"fits": min(self.fits, QUICK_FITS), "few_fits": (("keras", 2),)}
        if self.fits:
            return replace(self, **few)  # type: ignore[arg-type]
        return replace(self, rows=max(self.batch_size, self.rows // 10))


def _mlp(*units: int) -> tuple[Layer, ...]:
    *hidden, last = units
    return (*(Dense(width, "relu") for width in hidden), Dense(last))


_NORMALIZED: tuple[Layer, ...] = (Dense(128), BatchNorm(), Relu(), Dropout(0.2))

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "mlp",
            "784-128-10, relu, ten classes, batch 32, 60,000 samples",
            inputs=784,
            layers=_mlp(128, 10),
            loss="classes",
            rows=60_000,
            batch_size=32,
            targets=(
                Target(("jax",), 1.5),
                Target(("torch",), 5.0),
                Target(("sklearn",), 5.0),
                Target(("keras",), 15.0),
            ),
        ),
        Workload(
            "mlp_wide",
            "784-1024-1024-1024-10, relu, dropout 0.2, batch 128, 20,000 samples",
            inputs=784,
            layers=(*(Dense(1024, "relu"), Dropout(0.2)) * 3, Dense(10)),
            loss="classes",
            rows=20_000,
            batch_size=128,
            targets=(Target(FASTEST, 1.2),),
            share_of_limit=0.7,
            smallest_memory=True,
        ),
        Workload(
            "tabular",
            "30-64-64-64-1, relu, yes or no, batch 256, 100,000 rows",
            inputs=30,
            layers=_mlp(64, 64, 64, 1),
            loss="binary",
            rows=100_000,
            batch_size=256,
            epochs=2,
            targets=(Target(FASTEST, 2.0),),
        ),
        Workload(
            "tabular_bn",
            "30-128-128-128-1, each batch norm, relu, dropout 0.2, yes or no, AdamW, "
            "cosine schedule, clipping, batch 256, 100,000 rows",
            inputs=30,
            layers=(*_NORMALIZED * 3, Dense(1)),
            loss="binary",
            rows=100_000,
            batch_size=256,
            targets=(Target(FASTEST, 2.0),),
            scheduled=True,
        ),
        Workload(
            "tiny",
            "4-24-24-2, relu, two numbers, batch 32, 5 epochs of 32,000 rows",
            inputs=4,
            layers=_mlp(24, 24, 2),
            loss="squared",
            rows=32_000,
            batch_size=32,
            epochs=5,
            targets=(Target(FASTEST, 3.0),),
        ),
        Workload(
            "sweep",
            "200 fits of 10-32-1, relu, one number, batch 32, 10 epochs of 1,000 rows; "
            "the time is that of one fit, making the model included",
            inputs=10,
            layers=_mlp(32, 1),
            loss="squared",
            rows=1_000,
            batch_size=32,
            epochs=10,
            fits=200,
            few_fits=(("keras", 10), ("torch-compile", 50)),
            targets=(Target(FASTEST, 3.0),),
        ),
    )
}


def make_data(workload: Workload) -> tuple[Array, Array]:
    """Inputs from a normal distribution, and targets that a linear teacher gives them.

    Example:
        >>> x, y = make_data(WORKLOADS["sweep"])
        >>> x.shape, y.shape, x.dtype.name
        ((1000, 10), (1000, 1), 'float32')
    """
    random = np.random.default_rng(DATA_SEED)
    x = random.standard_normal((workload.rows, workload.inputs), dtype=np.float32)
    shape = (workload.inputs, workload.outputs)
    teacher = random.standard_normal(shape, dtype=np.float32)
    score = x @ teacher / np.float32(np.sqrt(workload.inputs))
    noise = random.standard_normal(score.shape, dtype=np.float32)
    score += np.float32(0.3) * noise
    if workload.loss == "classes":
        return x, score.argmax(axis=1)
    if workload.loss == "binary":
        return x, (score > 0).astype(np.float32)
    return x, np.tanh(score)


def epoch_orders(workload: Workload, seed: int) -> Array:
    """For each epoch of a run an order of the rows."""
    random = np.random.default_rng(seed)
    orders = [random.permutation(workload.rows) for _ in range(workload.epochs)]
    return np.stack(orders)
