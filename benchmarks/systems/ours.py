"""chainrule, as its users call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.networks import Array
from benchmarks.systems.keras_style import Style
from benchmarks.workloads import Workload
from chainrule.generation import generate

STYLE = Style(cr, cr.pad, cr.layers)


@dataclass
class Trained:
    """A model with its data."""

    workload: Workload
    model: Any
    x: Array
    y: Array


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """A compiled model."""
    cr.set_seed(seed)
    if workload.policy is not None:
        cr.set_dtype_policy(workload.policy)
    model = STYLE.network(workload)
    if not workload.infers:
        model.compile(
            optimizer=STYLE.optimizer(workload),
            loss=STYLE.loss(workload),
            augmentation=STYLE.augmentation(workload) or None,
        )
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


def infer(trained: Trained) -> None:
    """A call for each batch, or for each text."""
    if trained.workload.generates:
        for seed, text in enumerate(trained.x):
            generate(trained.model, text[:1], trained.workload.made, seed=seed)
        return
    size = trained.workload.batch_size
    for first in range(0, len(trained.x), size):
        trained.model.predict_on_batch(trained.x[first : first + size])


def parameters(trained: Trained) -> int:
    """How many numbers are trained."""
    weights = trained.model.trainable_weights
    return sum(int(np.prod(variable.shape)) for variable in weights)


def loss(trained: Trained, rows: int) -> float:
    """`evaluate`."""
    x, y = trained.x[:rows], trained.y[:rows]
    return float(trained.model.evaluate(x, y, batch_size=256, verbose=0))


def kernels(trained: Trained) -> str:
    """What each kernel of a step takes, and all together."""
    model = trained.model
    infers = trained.workload.infers
    loop = model._predictor.predict if infers else model._runtime.train
    texts = []
    for program in loop._loops._programs.values():
        report = program.report()
        seconds = sum(kernel.seconds for kernel in report.kernels)
        flops = sum(kernel.flops for kernel in report.kernels)
        share = flops / seconds / 1e9 / report.gflops_limit
        total = f"all kernels: {flops / 1e9:.2f} Gflop, {share:.0%} of the limit"
        texts.append(f"{report}\n{total}")
    return "\n\n".join(texts)
