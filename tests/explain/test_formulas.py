"""The formulas of optimizers, as text."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import Sequential, layers, optimizers, trace_step
from chainrule.explain.formulas import optimizer_formula
from chainrule.optimizers import SGD, LossScaleOptimizer, Optimizer

KINDS = [
    kind
    for kind in vars(optimizers).values()
    if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_every_optimizer_has_a_formula(kind: type[Optimizer]) -> None:
    made = LossScaleOptimizer("sgd") if kind is LossScaleOptimizer else kind()
    lines = optimizer_formula(kind.__name__, made.get_config())
    assert lines[-1].startswith("W := ") or "W := " in "".join(lines)
    assert "what the optimizer makes of g" not in lines[-1]


def test_what_surrounds_the_update_is_told() -> None:
    optimizer = SGD(
        weight_decay=0.5, clipnorm=2.0, use_ema=True, gradient_accumulation_steps=4
    )
    assert optimizer_formula("SGD", optimizer.get_config()) == [
        "g := mean of the last 4 gradients, every 4 steps",
        "g := g min(1, 2 / |g|)",
        "W := W - lr * 0.5 W",
        "W := W - lr * g",
        "E := 0.99 E + 0.01 W   (W := E at the end of training)",
    ]


def test_a_scaled_loss_is_traced_as_it_is() -> None:
    shown = []
    for factor in (None, 1024.0):
        dense = layers.Dense(1, kernel_initializer="ones", name="out")
        model = Sequential([dense], name="line")
        model.compile(SGD(0.25, loss_scale_factor=factor), "mse")
        step = trace_step(model, np.ones((2, 3)), np.ones((2, 1)))
        shown.append(str(step))
    assert shown[0] == shown[1]
