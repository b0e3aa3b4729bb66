"""The learning rate of each of 120 steps, against Keras's and PyTorch's own."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from chainrule.optimizers import schedules
from tests.tolerances import PARITY, assert_close

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

STEPS = 120
CASES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"decay_steps": 30, "decay_rate": 0.5}),
    ("ExponentialDecay", {"decay_steps": 30, "decay_rate": 0.5, "staircase": True}),
    ("InverseTimeDecay", {"decay_steps": 30, "decay_rate": 0.5}),
    ("PolynomialDecay", {"decay_steps": 50, "power": 2.0}),
    ("PolynomialDecay", {"decay_steps": 50, "cycle": True}),
    ("CosineDecay", {"decay_steps": 50, "alpha": 0.1}),
    ("CosineDecay", {"decay_steps": 50, "warmup_target": 0.5, "warmup_steps": 20}),
    ("CosineDecayRestarts", {"first_decay_steps": 16, "m_mul": 0.5, "alpha": 0.1}),
    ("CosineDecayRestarts", {"first_decay_steps": 16, "t_mul": 1.0}),
]


def ours(schedule: Any) -> Any:
    return np.array([schedule(step).item() for step in range(STEPS)], "float32")


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=str)
def test_rates_are_those_of_keras(name: str, arguments: dict[str, Any]) -> None:
    arguments = {"initial_learning_rate": 0.1, **arguments}
    schedule = getattr(keras.optimizers.schedules, name)(**arguments)
    rates = np.array([float(schedule(step)) for step in range(STEPS)], "float32")
    assert_close(ours(getattr(schedules, name)(**arguments)), rates, PARITY)


def test_pieces_are_those_of_keras() -> None:
    arguments = [30, 60], [0.1, 0.01, 0.02]
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(*arguments)
    rates = np.array([float(schedule(step)) for step in range(STEPS)], "float32")
    assert_close(ours(schedules.PiecewiseConstantDecay(*arguments)), rates, PARITY)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"pct_start": 0.1, "anneal_strategy": "linear"},
        {"three_phase": True, "div_factor": 10.0, "final_div_factor": 100.0},
    ],
    ids=str,
)
def test_one_cycle_is_that_of_pytorch(arguments: dict[str, Any]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, total_steps=STEPS, cycle_momentum=False, **arguments
    )
    rates = []
    for step in range(STEPS):
        rates.append(cycle.get_last_lr()[0])
        optimizer.step()
        if step < STEPS - 1:
            cycle.step()
    found = ours(schedules.OneCycle(0.5, STEPS, **arguments))
    assert_close(found, np.array(rates, "float32"), PARITY)
