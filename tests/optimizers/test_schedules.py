"""Schedules: the formulas, the edges, the configs, inside a compiled step."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from chainrule import functional, optimizers
from chainrule.configurable import custom_object_scope
from chainrule.errors import ArgumentError
from chainrule.jit import jit
from chainrule.optimizers import SGD, schedules
from chainrule.optimizers.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    LinearWarmup,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
    SequentialSchedule,
)
from tests.tolerances import assert_close, assert_compiled

STEPS = [0, 1, 7, 10, 11, 19, 20, 25, 30, 31, 60, 69, 70, 71, 100, 1000]


def cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def restarts(step: int) -> float:
    length, height = 10.0, 1.0
    while step >= length:
        step, length, height = int(step - length), 2 * length, 0.5 * height
    return 0.1 * (0.9 * height * cosine(step / length) + 0.1)


def one_cycle(step: int) -> float:
    if step <= 29:
        return 0.01 + 0.24 * (1 - cosine(step / 29))
    low = 0.01 / 1e4
    return low + (0.25 - low) * cosine((step - 29) / 70)


# each schedule, with its formula in plain Python
CASES: dict[str, tuple[LearningRateSchedule, Callable[[int], float]]] = {
    "exponential": (ExponentialDecay(0.1, 10, 0.5), lambda t: 0.1 * 0.5 ** (t / 10)),
    "stairs": (ExponentialDecay(0.1, 10, 0.5, True), lambda t: 0.1 * 0.5 ** (t // 10)),
    "inverse": (InverseTimeDecay(0.1, 10, 0.5), lambda t: 0.1 / (1 + 0.5 * t / 10)),
    "inverse stairs": (
        InverseTimeDecay(0.1, 10, 0.5, staircase=True),
        lambda t: 0.1 / (1 + 0.5 * (t // 10)),
    ),
    "polynomial": (
        PolynomialDecay(0.1, 30, 0.01, power=2.0),
        lambda t: 0.09 * (1 - min(t, 30) / 30) ** 2 + 0.01,
    ),
    "cycle": (
        PolynomialDecay(0.1, 30, 0.01, cycle=True),
        lambda t: 0.09 * (1 - t / (30 * max(1, math.ceil(t / 30)))) + 0.01,
    ),
    "pieces": (
        PiecewiseConstantDecay([10, 30], [0.1, 0.02, 0.01]),
        lambda t: 0.1 if t <= 10 else 0.02 if t <= 30 else 0.01,
    ),
    "cosine": (
        CosineDecay(0.1, 60, alpha=0.1),
        lambda t: 0.1 * (0.9 * cosine(t / 60) + 0.1),
    ),
    "warm cosine": (
        CosineDecay(0.02, 60, warmup_target=0.1, warmup_steps=10),
        lambda t: 0.02 + 0.008 * t if t < 10 else 0.1 * cosine((t - 10) / 60),
    ),
    "restarts": (CosineDecayRestarts(0.1, 10, m_mul=0.5, alpha=0.1), restarts),
    "even restarts": (
        CosineDecayRestarts(0.1, 10, t_mul=1.0),
        lambda t: 0.1 * cosine(t % 10 / 10),
    ),
    "one cycle": (OneCycle(0.25, 100), lambda t: one_cycle(min(t, 99))),
    "warm-up": (
        LinearWarmup(ExponentialDecay(0.1, 10, 0.5), 10, 0.02),
        lambda t: 0.02 + 0.008 * t if t < 10 else 0.1 * 0.5 ** ((t - 10) / 10),
    ),
    "sequence": (
        SequentialSchedule([0.2, ExponentialDecay(0.1, 10, 0.5), 0.01], [10, 30]),
        lambda t: 0.2 if t < 10 else 0.1 * 0.5 ** ((t - 10) / 10) if t < 30 else 0.01,
    ),
}
every_case = pytest.mark.parametrize("case", CASES)


def test_every_schedule_has_a_case() -> None:
    named = {getattr(schedules, name) for name in schedules.__all__}
    classes = {entry for entry in named if isinstance(entry, type)}
    tried = {type(schedule) for schedule, _ in CASES.values()}
    assert tried == classes - {LearningRateSchedule}


@every_case
def test_the_formula_is_kept(case: str) -> None:
    schedule, formula = CASES[case]
    for step in STEPS:
        found = schedule(step).numpy()
        assert found.dtype == "float32"
        assert found == pytest.approx(formula(step), rel=1e-6, abs=1e-9), step


@every_case
def test_compiled_agrees_with_eager(case: str) -> None:
    schedule, _ = CASES[case]
    compiled = jit(lambda step: schedule(step))
    for step in STEPS:
        count = functional.asarray(step, dtype="int64")
        assert_compiled(compiled(count).numpy(), schedule(step).numpy())
    assert compiled.traces == 1


@every_case
def test_config_makes_an_equal_schedule(case: str) -> None:
    schedule, _ = CASES[case]
    config = json.loads(json.dumps(schedules.serialize(schedule)))
    again = schedules.deserialize(config)
    assert again.get_config() == schedule.get_config()
    assert again(25).item() == schedule(25).item()
    optimizer = SGD(schedule, momentum=0.5)
    config = json.loads(json.dumps(optimizers.serialize(optimizer)))
    assert optimizers.deserialize(config).get_config() == optimizer.get_config()
    assert repr(eval(repr(optimizer), {**vars(schedules), "SGD": SGD})) == repr(
        optimizer
    )


@pytest.mark.parametrize("growth", [1.1, 1.5, 2.0, 3.0, 7.0])
def test_restarts_come_at_their_very_steps(growth: float) -> None:
    schedule = CosineDecayRestarts(1.0, 100, t_mul=growth)
    start, length = 0.0, 100.0
    while start < 1e8:
        first = math.ceil(start - 1e-6)
        top = 0.5 * (1 + math.cos(math.pi * (first - start) / length))
        assert schedule(first).item() == pytest.approx(top, abs=1e-5)
        if first:
            assert schedule(first - 1).item() < 0.01
        start, length = start + length, length * growth


def test_steps_are_exact_where_float32_is_not() -> None:
    boundary = 2**24 + 2
    schedule = PiecewiseConstantDecay([boundary], [1.0, 0.5])
    compiled = jit(lambda step: schedule(step))
    for step, rate in ((boundary, 1.0), (boundary + 1, 0.5)):
        assert schedule(step).item() == rate
        assert compiled(functional.asarray(step, dtype="int64")).item() == rate
    stairs = ExponentialDecay(1.0, 2**25 + 1, 0.5, staircase=True)
    assert [stairs(2**25 + extra).item() for extra in (0, 1)] == [1.0, 0.5]


def test_a_schedule_runs_inside_the_step() -> None:
    optimizer = SGD(PolynomialDecay(1.0, 4, 0.0))
    update = jit(lambda g, s, p: optimizer.update(g, s, p))
    params, one = [functional.asarray(0.0)], [functional.asarray(1.0)]
    state, path = optimizer.init(params), []
    for _ in range(5):
        params, state = update(one, state, params)
        path.append(params[0].item())
    assert path == [-1.0, -1.75, -2.25, -2.5, -2.5]
    assert update.traces == 1
    optimizer.state = {**state, "step": functional.asarray(2)}
    assert optimizer.learning_rate == 0.5


class Halving(LearningRateSchedule):
    """A schedule of a user."""

    def __init__(self, start: float) -> None:
        self.start = start

    def rate(self, step: Any) -> Any:
        return self.start * 0.5**step


def test_a_schedule_of_ones_own_is_found_by_its_name() -> None:
    config = optimizers.serialize(SGD(Halving(0.25)))
    with pytest.raises(ArgumentError, match="no schedule of this name"):
        optimizers.deserialize(config)
    with custom_object_scope({"Halving": Halving}):
        assert optimizers.deserialize(config).learning_rate == 0.25
    plain = schedules.serialize(Halving(0.25))
    again = schedules.deserialize(plain, custom_objects={"Halving": Halving})
    assert_close(again(1).numpy(), functional.asarray(0.125).numpy())


def test_a_number_does_not_take_the_place_of_a_schedule() -> None:
    optimizer = SGD(Halving(0.25))
    with pytest.raises(ArgumentError, match="follows a schedule"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = Halving(1.0)
    assert optimizer.learning_rate == 1.0


LESSONS: dict[str, tuple[Callable[[], Any], str]] = {
    "steps": (lambda: ExponentialDecay(0.1, 0, 0.5), "decay_steps=0"),
    "pieces": (lambda: PiecewiseConstantDecay([1], [0.1]), "2 values"),
    "order": (lambda: PiecewiseConstantDecay([2, 1], [0.1] * 3), "rising"),
    "growth": (lambda: CosineDecayRestarts(0.1, 10, t_mul=0.5), "1 or more"),
    "strategy": (lambda: OneCycle(0.1, 10, anneal_strategy="sin"), "'cos' or"),
    "part": (lambda: LinearWarmup("fast", 10), "neither a schedule nor a number"),
    "parts": (lambda: SequentialSchedule([0.1], [10]), "2 schedules"),
    "class": (lambda: SGD(CosineDecay), "function of the number of steps"),
    "no step": (lambda: SGD(lambda: 0.1), "function of the number of steps"),
    "name": (lambda: SGD("CosineDecay"), "needs its arguments"),
}


@pytest.mark.parametrize("lesson", LESSONS)
def test_wrong_arguments_are_refused(lesson: str) -> None:
    make, text = LESSONS[lesson]
    with pytest.raises(ArgumentError, match=text):
        make()
