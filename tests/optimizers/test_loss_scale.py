"""The scale of the loss: skipped steps, growth, the state, inside compiled steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import functional, layers, optimizers
from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.optimizers import Adam, LossScaleOptimizer
from chainrule.variable import Variable


@pytest.fixture(autouse=True)
def the_policy_is_put_back() -> Iterator[None]:
    yield
    cr.set_dtype_policy("float32")


def numbers(state: Any) -> list[Any]:
    return [np.array(leaf.data) for leaf in tree.flatten(state)[0]]


def test_a_step_with_overflow_changes_nothing_but_the_scale() -> None:
    optimizer = LossScaleOptimizer(Adam(0.1, use_ema=True), 1024.0, 5)
    params = [functional.asarray([1.0, -2.0]), functional.asarray([[3.0]])]
    state = optimizer.init(params)
    for bad in (np.inf, -np.inf, np.nan):
        good = [functional.asarray([1.0, 2.0]), functional.asarray([[4.0]])]
        params, state = optimizer.update(good, state, params)
        faulty = [functional.asarray([1.0, bad]), functional.asarray([[4.0]])]
        same, after = optimizer.update(faulty, state, params)
        for new, old in zip(same, params, strict=True):
            np.testing.assert_array_equal(new.numpy(), old.numpy())
        assert after["loss_scale"].item() == state["loss_scale"].item() / 2
        assert after["good_steps"].item() == 0
        rest = {n: x for n, x in after.items() if n not in ("loss_scale", "good_steps")}
        old = {n: state[n] for n in rest}
        for new, before in zip(numbers(rest), numbers(old), strict=True):
            np.testing.assert_array_equal(new, before)
        state = after


def test_the_scale_grows_after_steps_without_overflow() -> None:
    optimizer = LossScaleOptimizer("sgd", 8.0, 3)
    params = [functional.asarray([1.0])]
    state = optimizer.init(params)
    scales = []
    for number in range(8):
        gradient = functional.asarray([np.inf if number == 4 else 0.0])
        params, state = optimizer.update([gradient], state, params)
        scales.append(state["loss_scale"].item())
    assert scales == [8.0, 8.0, 16.0, 16.0, 8.0, 8.0, 8.0, 16.0]


def test_steps_are_those_of_the_inner_optimizer() -> None:
    """A power of two as the scale changes no bit."""
    plain, scaled = (
        Adam(0.1, weight_decay=0.01),
        LossScaleOptimizer(Adam(0.1, weight_decay=0.01), 256.0),
    )
    weights = [Variable([1.0, -0.3]), Variable([1.0, -0.3])]
    for step in range(6):
        gradient = functional.asarray([0.1 * step, 1.0])
        plain.apply([gradient], [weights[0]])
        scaled.apply([scaled.scale_loss(gradient)], [weights[1]])
    np.testing.assert_array_equal(weights[0].numpy(), weights[1].numpy())
    assert scaled.iterations == 6


def network(scale: float | None, **options: Any) -> Any:
    cr.set_dtype_policy("mixed_float16")
    cr.set_seed(2)
    model = cr.Sequential(
        [layers.Input((6,)), layers.Dense(16, activation="relu"), layers.Dense(1)]
    )
    optimizer: Any = Adam(0.01)
    if scale is not None:
        optimizer = LossScaleOptimizer(optimizer, scale, 10)
    model.compile(optimizer, "mse", **options)
    return model


def problem() -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(size=(128, 6)).astype(np.float32)
    return x, x[:, :1] - x[:, 1:2] ** 2


def test_training_finds_the_scale() -> None:
    model = network(2.0**40)  # infinite in float16 at first
    x, y = problem()
    first = model.get_weights()
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    for before, after in zip(first, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)  # all 4 steps were skipped
    history = model.fit(x, y, batch_size=32, epochs=30, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert 1 < model.optimizer.scale < 2.0**30
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_small_gradients_survive_by_the_scale() -> None:
    """Gradients of 1e-9 are 0 in float16."""
    x, y = problem()
    moved = []
    for scale in (1.0, 2.0**12):
        model = network(scale, loss_weights=1e-9)
        before = model.get_weights()
        model.fit(x, y, batch_size=128, epochs=1, verbose=0)
        kernel = model.get_weights()[0]
        moved.append(float(np.mean(kernel != before[0])))
    assert moved[0] < 0.2 < 0.6 < moved[1]  # the others belong to dead units


def test_compile_wraps_where_layers_give_float16(tmp_path: Any) -> None:
    assert isinstance(network(None).optimizer, LossScaleOptimizer)
    assert isinstance(network(None, auto_scale_loss=False).optimizer, Adam)
    model = network(64.0)
    x, y = problem()
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    path = model.save(tmp_path / "model.chainrule")
    cr.set_dtype_policy("float32")
    again = cr.load_model(path)
    assert isinstance(again.optimizer, LossScaleOptimizer)
    assert again.layers[0].compute_dtype == "float16"
    for network_ in (model, again):
        network_.fit(x, y, batch_size=32, epochs=2, verbose=0, seed=3)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    cr.set_dtype_policy("mixed_bfloat16")
    plain = cr.Sequential([layers.Input((2,)), layers.Dense(1)])
    plain.compile("adam", "mse")
    assert isinstance(plain.optimizer, Adam)


def test_configs_and_what_cannot_be_wrapped() -> None:
    optimizer = LossScaleOptimizer(Adam(0.5), 4.0, 7)
    again: Any = optimizers.deserialize(optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.learning_rate == 0.5
    again.learning_rate = 0.25
    assert again.inner_optimizer.learning_rate == 0.25
    for wrong in (optimizer, Adam(loss_scale_factor=2.0), optimizers.LBFGS()):
        with pytest.raises(ArgumentError, match="wrapped"):
            LossScaleOptimizer(wrong)
    with pytest.raises(ArgumentError):
        LossScaleOptimizer("adam", initial_scale=0.0)
