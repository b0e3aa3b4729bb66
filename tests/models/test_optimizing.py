"""What optimizers need from `fit`: paths, averages, the end of training, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import Sequential, layers, load_model, optimizers
from chainrule.datasets import digits
from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.optimizers import SGD, Adam, Optimizer, schedules

KINDS = [
    kind
    for kind in vars(optimizers).values()
    if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
]


def data() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 4)).astype("float32")
    return x, x @ random.normal(size=(4, 2)).astype("float32")


def make_model(optimizer: Any) -> Sequential:
    model = Sequential(
        [layers.Dense(3, "tanh", name="first"), layers.Dense(2, name="last")]
    )
    model.compile(optimizer, "mse")
    return model


def fit(model: Sequential, epochs: int = 2, **options: Any) -> list[Any]:
    """The weights after training."""
    options = {"batch_size": 16, "seed": 0, "verbose": 0, **options}
    model.fit(*data(), epochs=epochs, **options)
    return model.get_weights()


def first_weights() -> list[Any]:
    return fit(make_model(SGD(0.0)))


def moved(weights: list[Any]) -> list[bool]:
    pairs = zip(weights, first_weights(), strict=True)
    return [bool((now != before).any()) for now, before in pairs]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_training_goes_on_from_a_file_to_the_same_bits(
    kind: type[Optimizer], tmp_path: Path
) -> None:
    wraps = kind is optimizers.LossScaleOptimizer
    optimizer = optimizers.LossScaleOptimizer("adam") if wraps else kind()
    model, options = make_model(optimizer), {"batch_size": 64}
    fit(model, 3, **options)
    again = load_model(model.save(tmp_path / "model.chainrule"))
    for one, two in zip(
        fit(model, 3, **options), fit(again, 3, **options), strict=True
    ):
        np.testing.assert_array_equal(one, two)
    states = [tree.flatten(m.optimizer.state)[0] for m in (model, again)]
    for one, two in zip(*states, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_learning_rates_go_by_paths() -> None:
    shares = {"first/bias": 1.0, "first": 0.0}
    weights = fit(make_model(SGD(0.1, learning_rate_multipliers=shares)))
    assert moved(weights) == [False, True, True, True]
    half = fit(make_model(SGD(0.2, learning_rate_multipliers={"*": 0.5})))
    for one, two in zip(half, fit(make_model(SGD(0.1))), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_pattern_that_fits_nothing_is_refused_with_the_paths() -> None:
    model = make_model(SGD(0.1, learning_rate_multipliers={"frist": 0.1}))
    with pytest.raises(ArgumentError, match=r"'frist'.*\n.*/first/kernel, .*/last"):
        fit(model)


def decayed(optimizer: Optimizer) -> list[bool]:
    """Which weights shrink where there is nothing to learn."""
    model = make_model(optimizer)
    model.compile(optimizer, lambda y, y_pred: 0.0 * y_pred)
    x, y = data()
    model.fit(x, y, verbose=0, seed=0)
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    model.fit(x, y, verbose=0)
    return [bool((w < 1).all()) for w in model.get_weights()]


def test_weight_decay_leaves_out_what_is_excluded(tmp_path: Path) -> None:
    optimizer = Adam(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias", "last/"])
    assert decayed(optimizer) == [True, False, False, False]
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert decayed(again) == [True, False, False, False]
    model = make_model(SGD(0.0))
    fit(model)
    chosen = SGD(0.1, weight_decay=0.5)
    chosen.exclude_from_weight_decay(var_list=model.layers[0].weights)
    model.compile(chosen, lambda y, y_pred: 0.0 * y_pred)
    fit(model)
    assert moved(model.get_weights())[:2] == [False, False]
    assert moved(model.get_weights())[2]


def test_fit_ends_with_the_average() -> None:
    plain, averaged = [make_model(SGD(0.1, use_ema=ema)) for ema in (False, True)]
    snapshots = []
    for _ in range(3):
        fit(plain, 1, batch_size=64)
        snapshots.append(plain.get_weights())
    averaged.optimizer.ema_momentum = 0.5
    fit(averaged, 3, batch_size=64)
    for place, found in enumerate(averaged.get_weights()):
        one, two, three = (snapshot[place] for snapshot in snapshots)
        expected = 0.5 * (0.5 * one + 0.5 * two) + 0.5 * three
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_no_epoch_leaves_the_weights_alone() -> None:
    model = make_model(SGD(0.1, use_ema=True))
    weights = fit(model, 0)
    assert not any(moved(weights))


def test_accumulated_batches_make_one_step() -> None:
    options = {"shuffle": False}
    whole = fit(make_model(SGD(0.1)), 3, batch_size=64, **options)
    parts = SGD(0.1, gradient_accumulation_steps=4)
    pieces = fit(make_model(parts), 3, batch_size=16, **options)
    assert parts.iterations == 3
    for one, two in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_a_scaled_loss_is_shown_and_learnt_as_it_is() -> None:
    plain, scaled = make_model(SGD(0.1)), make_model(SGD(0.1, loss_scale_factor=1024.0))
    for one, two in zip(fit(plain), fit(scaled), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
    losses = [model.history.history["loss"] for model in (plain, scaled)]
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_an_argument_set_between_two_runs_counts() -> None:
    model = make_model(SGD(0.1))
    fit(model)
    model.optimizer.weight_decay = 0.5
    one = fit(model)
    model.optimizer.momentum = 0.9  # the state has another structure from here on
    two = fit(model)
    other = make_model(SGD(0.1))
    fit(other)
    for found, plain in zip(one, fit(other), strict=True):
        assert (found != plain).any()
    assert all((a != b).any() for a, b in zip(one, two, strict=True))


def test_a_schedule_decides_inside_of_fit() -> None:
    schedule = schedules.PiecewiseConstantDecay([3], [0.1, 0.0])
    weights = fit(make_model(SGD(schedule)), 2)
    for one, two in zip(weights, fit(make_model(SGD(0.1)), 1), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("optimizer", "rate"), [("lion", 0.001), ("muon", 0.01)])
def test_digits_are_learnt(optimizer: str, rate: float) -> None:
    pytest.importorskip("sklearn")
    images, labels = digits.load_data()[0]
    model = Sequential(
        [layers.Flatten(), layers.Dense(64, "relu"), layers.Dense(10, "softmax")]
    )
    made = optimizers.get(optimizer)
    made.learning_rate = rate
    model.compile(made, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images[:1000], labels[:1000], epochs=15, verbose=0, seed=0)
    assert model.evaluate(images[1000:], labels[1000:], verbose=0)[1] > 0.94


def test_one_optimizer_serves_two_models() -> None:
    optimizer = SGD(0.1, learning_rate_multipliers={"first": 0.0})
    models = [make_model(optimizer) for _ in range(2)]
    for model in models:
        fit(model)
    weights = fit(models[0], batch_size=7)  # another batch: the step is traced again
    assert moved(weights) == [False, False, True, True]
