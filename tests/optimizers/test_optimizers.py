"""Optimizers: the formulas, the purity, the learning rate, the configs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from chainrule import functional, optimizers
from chainrule.configurable import custom_object_scope
from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.jit import jit
from chainrule.optimizers import (
    LBFGS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RMSprop,
)
from chainrule.variable import Variable
from tests.tolerances import assert_close, assert_compiled

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """An optimizer with its arguments."""

    make: Callable[..., Optimizer]
    arguments: dict[str, Any] = field(default_factory=dict)

    def optimizer(self, **options: Any) -> Optimizer:
        return self.make(**{**self.arguments, **options})

    def __str__(self) -> str:
        return f"{getattr(self.make, '__name__', '')}({self.arguments})"


CASES = [
    Case(SGD),
    Case(SGD, {"momentum": 0.9}),
    Case(SGD, {"momentum": 0.9, "nesterov": True, "clipvalue": 0.2}),
    Case(RMSprop),
    Case(RMSprop, {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    Case(Adam),
    Case(Adam, {"amsgrad": True, "global_clipnorm": 0.5}),
    Case(Adam, {"beta_1": 0.0, "clipnorm": 0.5}),
    Case(AdamW),
    Case(Adam, {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}),
    Case(Adam, {"gradient_accumulation_steps": 2, "loss_scale_factor": 4.0}),
    Case(Adamax),
    Case(Nadam),
    Case(Adagrad),
    Case(Adadelta, {"epsilon": 1e-2}),
    Case(Adafactor, {"weight_decay": 0.1}),
    Case(Ftrl, {"l1_regularization_strength": 0.1, "beta": 0.1}),
    Case(Ftrl, {"learning_rate_power": -0.7}),
    Case(Lion),
    Case(Lamb),
    Case(Muon),
    Case(Muon, {"nesterov": False, "rms_rate": None, "adam_lr_ratio": 0.5}),
]
RATES = {Adadelta: 1.0, Adagrad: 1.0, Ftrl: 1.0, Adafactor: 0.2}
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def make_params(dtype: str = "float32") -> list[Any]:
    random = np.random.default_rng(1)
    shapes = [(4, 3), (3,), (), (0, 2)]
    arrays = [np.asarray(random.normal(size=s)) for s in shapes]
    return [functional.asarray(array, dtype=dtype) for array in arrays]


def make_grads(step: int, dtype: str = "float32") -> list[Any]:
    random = np.random.default_rng(100 + step)
    params = make_params(dtype)
    arrays = [np.asarray(random.normal(size=p.shape)) for p in params]
    return [functional.asarray(array, dtype=dtype) for array in arrays]


def numbers(values: Any) -> list[Array]:
    return [leaf.numpy() for leaf in tree.flatten(values)[0]]


def run(optimizer: Optimizer, steps: int = 5, update: Any = None) -> tuple[Any, Any]:
    update = update or optimizer.update
    params = make_params()
    state = optimizer.init(params)
    for step in range(steps):
        params, state = update(make_grads(step), state, params)
    return params, state


def test_every_optimizer_has_a_case() -> None:
    classes = {
        entry
        for entry in vars(optimizers).values()
        if isinstance(entry, type) and issubclass(entry, Optimizer)
    }
    # one needs to know the loss, one wraps another; both have tests of their own
    others = {Optimizer, LBFGS, optimizers.LossScaleOptimizer}
    assert {case.make for case in CASES} == classes - others


# ---- the contract --------------------------------------------------------------------


@every_case
def test_compiled_agrees_with_eager(case: Case) -> None:
    optimizer = case.optimizer()
    compiled = jit(lambda g, s, p: optimizer.update(g, s, p))
    for one, two in zip(
        numbers(run(optimizer, update=compiled)), numbers(run(optimizer)), strict=True
    ):
        assert_compiled(one, two)
    assert compiled.traces == 1


@every_case
def test_update_changes_nothing_in_place(case: Case) -> None:
    optimizer = case.optimizer()
    params, state = run(optimizer, 2)
    before = numbers((params, state))
    optimizer.update(make_grads(2), state, params)
    for old, now in zip(before, numbers((params, state)), strict=True):
        np.testing.assert_array_equal(old, now)


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_params_and_state_keep_their_specs(case: Case, dtype: str) -> None:
    optimizer = case.optimizer()
    params = make_params(dtype)
    state = optimizer.init(params)
    new, after = optimizer.update(make_grads(0, dtype), state, params)
    before, structure = tree.flatten((params, state))
    leaves, same = tree.flatten((new, after))
    assert structure == same
    assert [leaf.spec for leaf in leaves] == [leaf.spec for leaf in before]
    assert after["step"].item() == 1


@every_case
def test_a_bowl_is_descended(case: Case) -> None:
    rate = RATES.get(case.make, 0.05)
    optimizer = case.optimizer(learning_rate=rate, clipnorm=None, clipvalue=None)
    update = jit(lambda g, s, p: optimizer.update(g, s, p))
    params = [functional.asarray([3.0, -2.0]), functional.asarray([[2.0], [0.5]])]
    state = optimizer.init(params)
    for _ in range(400):
        params, state = update(params, state, params)
    assert max(np.abs(p.numpy()).max() for p in params) < 0.1


@every_case
def test_no_gradient_means_no_step(case: Case) -> None:
    if case.make is Ftrl:
        pytest.skip("its weights are those of the leader, and begin with the gradients")
    decays = ["weight_decay", *["adam_weight_decay"] * (case.make is Muon)]
    optimizer = case.optimizer(**dict.fromkeys(decays))
    params = make_params()
    zeros = [functional.zeros_like(p) for p in params]
    new, _ = optimizer.update(zeros, optimizer.init(params), params)
    for old, now in zip(numbers(params), numbers(new), strict=True):
        np.testing.assert_array_equal(old, now)


@every_case
def test_config_makes_an_equal_optimizer(case: Case) -> None:
    optimizer = case.optimizer(name="here", learning_rate=0.125)
    config = json.loads(json.dumps(optimizer.get_config()))
    again = optimizers.get({"class_name": type(optimizer).__name__, "config": config})
    assert again.get_config() == optimizer.get_config()
    same = eval(repr(optimizer), vars(optimizers))
    for one, two in zip(numbers(run(same)), numbers(run(optimizer)), strict=True):
        np.testing.assert_array_equal(one, two)


@every_case
def test_applied_to_variables_it_does_the_same(case: Case) -> None:
    optimizer = case.optimizer()
    variables = [Variable(p) for p in make_params()]
    for step in range(3):
        optimizer.apply_gradients(zip(make_grads(step), variables, strict=True))
    expected, state = run(case.optimizer(), 3)
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value.numpy())
    assert optimizer.state["step"].item() == state["step"].item() == 3


# ---- the formulas, in NumPy ----------------------------------------------------------


def scalar_path(optimizer: Optimizer, grads: list[float]) -> list[float]:
    params = [functional.asarray(1.0, dtype="float64")]
    state = optimizer.init(params)
    path = []
    for grad in grads:
        slope = functional.asarray(grad, dtype="float64")
        params, state = optimizer.update([slope], state, params)
        path.append(params[0].item())
    return path


GRADS = [1.0, -0.5, 0.25, 2.0, 0.0]


def test_nesterov_looks_ahead() -> None:
    w, v, path = 1.0, 0.0, []
    for g in GRADS:
        v = 0.5 * v - 0.1 * g
        w += 0.5 * v - 0.1 * g
        path.append(w)
    found = scalar_path(SGD(0.1, momentum=0.5, nesterov=True), GRADS)
    np.testing.assert_allclose(found, path, rtol=1e-6)


def test_rmsprop_adds_epsilon_under_the_root() -> None:
    w, s, path = 1.0, 0.0, []
    for g in GRADS:
        s = 0.9 * s + 0.1 * g * g
        w -= 0.1 * g / np.sqrt(s + 0.01)
        path.append(w)
    np.testing.assert_allclose(
        scalar_path(RMSprop(0.1, epsilon=0.01), GRADS), path, rtol=1e-6
    )


def test_adam_corrects_its_cold_start() -> None:
    w, m, v, path = 1.0, 0.0, 0.0, []
    for t, g in enumerate(GRADS, 1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        w -= 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 0.01)
        path.append(w)
    np.testing.assert_allclose(
        scalar_path(Adam(0.1, epsilon=0.01), GRADS), path, rtol=1e-6
    )


def test_decay_shrinks_weights_beside_the_step() -> None:
    found = scalar_path(SGD(0.1, weight_decay=0.5), [0.0, 1.0])
    np.testing.assert_allclose(found, [0.95, 0.95 - 0.1 - 0.0475], rtol=1e-6)


CLIPS = {
    "clipvalue": [[1.0, -1.0], [0.5]],
    "clipnorm": [[0.6, -0.8], [0.5]],
    "global_clipnorm": [
        [3 / np.sqrt(25.25), -4 / np.sqrt(25.25)],
        [0.5 / np.sqrt(25.25)],
    ],
}


@pytest.mark.parametrize("kind", CLIPS)
def test_gradients_are_clipped(kind: str) -> None:
    params = [functional.zeros(2), functional.zeros(1)]
    grads = [functional.asarray([3.0, -4.0]), functional.asarray([0.5])]
    optimizer = SGD(1.0, **{kind: 1.0})  # type: ignore[arg-type]
    new, _ = optimizer.update(grads, optimizer.init(params), params)
    for value, expected in zip(new, CLIPS[kind], strict=True):
        assert_close(value.numpy(), -np.asarray(expected, "float32"))


@pytest.mark.parametrize("kind", CLIPS)
def test_clipping_leaves_zero_alone(kind: str) -> None:
    params = [functional.ones(2)]
    optimizer = SGD(1.0, **{kind: 1.0})  # type: ignore[arg-type]
    new, _ = optimizer.update([functional.zeros(2)], optimizer.init(params), params)
    assert new[0].tolist() == [1.0, 1.0]


# ---- the learning rate ---------------------------------------------------------------


def test_a_rate_set_later_counts_from_then_on() -> None:
    optimizer = SGD(0.5)
    weight = Variable([0.0])
    one = functional.asarray([1.0])
    optimizer.apply([one], [weight])
    optimizer.learning_rate = 0.25
    optimizer.apply([one], [weight])
    assert optimizer.learning_rate == 0.25
    assert weight.numpy().tolist() == [-0.75]
    state = optimizer.init([one])
    optimizer.learning_rate = 2.0
    assert state["learning_rate"].item() == 0.25
    assert optimizer.refresh(state)["learning_rate"].item() == 2.0


@every_case
def test_a_rate_of_zero_moves_nothing(case: Case) -> None:
    optimizer = case.optimizer(learning_rate=0.0)
    params, state = run(optimizer, 2)
    for old, now in zip(numbers(make_params()), numbers(params), strict=True):
        np.testing.assert_array_equal(old, now)
    assert all(np.isfinite(leaf).all() for leaf in numbers(state))


def halving(step: Any) -> Any:
    return 0.5 ** functional.astype(step, "float32")


def test_a_schedule_is_asked_with_the_updates_so_far() -> None:
    optimizer = SGD(halving)
    update = jit(lambda g, s, p: optimizer.update(g, s, p))
    params = [functional.asarray(0.0)]
    state = optimizer.init(params)
    one = [functional.asarray(1.0)]
    path = []
    for _ in range(3):
        params, state = update(one, state, params)
        path.append(params[0].item())
    assert path == [-1.0, -1.5, -1.75]
    assert state["learning_rate"].item() == 0.25
    optimizer.state = state
    assert optimizer.learning_rate == 0.125


def test_a_schedule_needs_a_name_in_configs() -> None:
    with pytest.raises(ArgumentError, match="custom_object_scope"):
        SGD(halving).get_config()
    with custom_object_scope({"halving": halving}):
        assert SGD(halving).get_config()["learning_rate"] == "halving"


def test_names_are_those_of_keras() -> None:
    for name, kind in {
        "sgd": SGD,
        "SGD": SGD,
        "rmsprop": RMSprop,
        "RMSprop": RMSprop,
        "adam": Adam,
        "adamw": AdamW,
        "AdamW": AdamW,
    }.items():
        assert type(optimizers.get(name)) is kind


LESSONS = {
    "name": (lambda: optimizers.get("adm"), "optimizer='adam'"),
    "kind": (lambda: optimizers.get(0.1), "this is no optimizer"),
    "function": (lambda: optimizers.get(len), "this is no optimizer"),
    "rate": (lambda: SGD(-0.1), "learning_rate=-0.1"),
    "rate text": (lambda: SGD("fast"), "there is no schedule of this name"),
    "momentum": (lambda: SGD(momentum=1.5), "0 <= momentum <= 1"),
    "beta": (lambda: Adam(beta_2=1.0), "0 <= beta_2 < 1"),
    "rho": (lambda: RMSprop(rho=-0.1), "0 <= rho < 1"),
    "epsilon": (lambda: Adam(epsilon=-1e-7), "must not be negative"),
    "decay": (lambda: AdamW(weight_decay=-1.0), "must not be negative"),
    "clips": (lambda: Adam(clipnorm=1.0, clipvalue=1.0), "clipped in one way"),
}


@pytest.mark.parametrize("lesson", LESSONS)
def test_wrong_arguments_are_refused(lesson: str) -> None:
    make, text = LESSONS[lesson]
    with pytest.raises(ArgumentError, match=text):
        make()
