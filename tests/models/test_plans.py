"""How a run goes: steps of an epoch, validation now and then, smoke runs, time."""

from datetime import timedelta

import numpy as np
import pytest

import chainrule
from chainrule import Sequential
from chainrule.callbacks import Callback
from chainrule.errors import DataError
from chainrule.layers import Dense, Dropout
from chainrule.optimizers import SGD
from chainrule.training import loop

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 4)).astype(np.float32)
Y = X.sum(axis=1)


def make(dropout=0.0, rate=0.05):
    chainrule.set_seed(0)
    layers = [Dense(8, "relu", input_shape=(4,)), Dense(1)]
    if dropout:
        layers.insert(1, Dropout(dropout))
    model = Sequential(layers)
    model.compile(SGD(rate), "mse")
    return model


def bits(model):
    return [weight.tobytes() for weight in model.get_weights()]


def fit(model, **arguments):
    options = {"batch_size": 16, "verbose": 0, "seed": 0, **arguments}
    return model.fit(X, Y, **options).history


def test_epochs_of_few_steps_pass_over_the_data_all_the_same():
    short, long = make(dropout=0.3), make(dropout=0.3)
    fit(short, epochs=6, steps_per_epoch=5)  # a pass has 5 batches
    fit(long, epochs=6)
    assert bits(short) == bits(long)
    short, long = make(dropout=0.3), make(dropout=0.3)
    fit(short, epochs=10, steps_per_epoch=3)
    fit(long, epochs=3, steps_per_epoch=10)
    assert bits(short) == bits(long)
    assert short.optimizer.iterations == 30


def test_a_fit_in_two_halves_is_one_fit_also_with_steps_per_epoch():
    once, twice = make(dropout=0.3), make(dropout=0.3)
    fit(once, epochs=4, steps_per_epoch=3)
    fit(twice, epochs=2, steps_per_epoch=3)
    fit(twice, epochs=4, steps_per_epoch=3, initial_epoch=2)
    assert bits(once) == bits(twice)


@pytest.mark.parametrize(
    "options",
    [
        {"validation_data": (X, Y)},
        {"measure_train": True},
        {"callbacks": [Callback()]},
        {"validation_data": (X, Y), "validation_freq": 2, "sanity_steps": 0},
    ],
)
def test_what_is_measured_beside_changes_no_bit(options):
    plain, watched = make(dropout=0.3), make(dropout=0.3)
    fit(plain, epochs=3)
    fit(watched, epochs=3, **options)
    assert bits(plain) == bits(watched)


@pytest.mark.parametrize(("often", "count"), [(1, 5), (2, 2), ([1, 4], 2), ({9}, 0)])
def test_validation_may_come_after_some_epochs_only(often, count):
    found = fit(make(), epochs=5, validation_data=(X, Y), validation_freq=often)
    assert len(found.get("val_loss", [])) == count


def test_validation_steps_and_their_size_are_those_asked_for():
    model = make(rate=0.0)
    options = {"validation_steps": 2, "validation_batch_size": 10}
    found = fit(model, validation_data=(X, Y), **options)
    assert found["val_loss"] == [model.evaluate(X[:20], Y[:20], verbose=0)]
    assert model.evaluate(X, Y, 10, 0, steps=2) == found["val_loss"][0]
    assert len(model.predict(X, 10, 0, steps=3)) == 30


def test_training_data_measured_as_validation_is():
    model = make(dropout=0.5)
    found = fit(model, epochs=2, measure_train=True, validation_data=(X, Y))
    assert found["loss"] == found["val_loss"]
    assert found["loss"][-1] == model.evaluate(X, Y, 16, 0)


def test_validation_runs_before_the_first_epoch(monkeypatch):
    rows = []

    class Order(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            rows.append("epoch")

    measure = loop.measure

    def spy(running, store, source, *rest, **more):
        rows.append(source.rows)
        return measure(running, store, source, *rest, **more)

    monkeypatch.setattr("chainrule.models.fitting.measure", spy)
    fit(make(), validation_data=(X, Y), callbacks=[Order()])
    assert rows == [32, "epoch", 70]
    rows.clear()
    fit(make(), validation_data=(X, Y), callbacks=[Order()], sanity_steps=0)
    assert rows == ["epoch", 70]


def test_overfitting_takes_the_first_batches_only():
    some, few = make(), make()
    a = fit(some, epochs=3, overfit_batches=2, validation_split=0.1)
    few.fit(X[:32], Y[:32], 16, 3, 0, shuffle=False, seed=0)
    assert bits(some) == bits(few)
    assert list(a) == ["loss"]


@pytest.mark.parametrize("steps", [True, 3])
def test_a_dry_run_takes_few_steps(steps):
    model = make()
    found = fit(model, epochs=50, validation_data=(X, Y), fast_dev_run=steps)
    assert model.optimizer.iterations == int(steps)
    assert len(found["val_loss"]) == 1


@pytest.mark.parametrize("limit", [2.0, timedelta(seconds=2)])
def test_time_is_up_after_the_step_in_progress(limit, monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr("time.monotonic", lambda: Clock.now)

    class Slow(Callback):
        def on_train_batch_end(self, batch, logs=None):
            Clock.now += 0.5

    model = make()
    found = fit(model, epochs=9, max_time=limit, callbacks=[Slow()])
    assert len(found["loss"]) == 1
    assert model.optimizer.iterations == 5


@pytest.mark.parametrize(
    "arguments",
    [{"steps_per_epoch": 0}, {"validation_freq": 0}, {"sanity_steps": -1}],
)
def test_plans_are_checked(arguments):
    with pytest.raises(DataError, match=next(iter(arguments))):
        fit(make(), **arguments)
