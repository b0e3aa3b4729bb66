"""Models that compute the same share what was traced and compiled; others do not."""

import gc
import importlib
import threading
import weakref

import numpy as np
import pytest

import chainrule
from chainrule import Model, Sequential, layers, loops, losses, optimizers
from chainrule.compiler import program
from chainrule.layers import Dense, Dropout
from chainrule.optimizers import SGD, Adam

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5)).astype(np.float32)
Y = X.sum(axis=1)


@pytest.fixture
def work(monkeypatch):
    """How often a step was traced, and a program made."""
    counts = {"traces": 0, "programs": 0}
    trace, made = loops.Loop._trace, program.Program.__init__

    def count_trace(self, batch_size):
        counts["traces"] += 1
        return trace(self, batch_size)

    def count_program(self, *args, **kwargs):
        counts["programs"] += 1
        made(self, *args, **kwargs)

    monkeypatch.setattr(loops.Loop, "_trace", count_trace)
    monkeypatch.setattr(program.Program, "__init__", count_program)
    monkeypatch.setattr(loops, "tables", loops.Tables())
    return counts


def make(
    units=6, activation="relu", rate=0.25, optimizer=None, loss="mse", metrics=("mae",)
):
    first = Dense(units, activation, input_shape=(5,))
    model = Sequential([first, Dropout(rate), Dense(1)])
    model.compile(optimizer or Adam(0.01), loss, metrics=list(metrics))
    return model


def run(model, **options):
    model.fit(X, Y, verbose=0, seed=0, validation_split=0.25, **options)
    model.predict(X, verbose=0)
    return [weight.tobytes() for weight in model.get_weights()]


def test_an_equal_model_traces_and_compiles_nothing(work):
    chainrule.set_seed(0)
    first = run(make())
    assert work["traces"] == 4  # training, validation, prediction with a rest
    before = dict(work)
    chainrule.set_seed(0)
    assert run(make()) == first
    run(make(optimizer=Adam(0.5)))  # the rate is a number in the state
    assert work == before


@pytest.mark.parametrize(
    "change",
    [
        {"units": 7},
        {"activation": "tanh"},
        {"rate": 0.5},
        {"optimizer": SGD(0.01)},
        {"optimizer": Adam(0.01, beta_1=0.8)},
        {"optimizer": Adam(0.01, clipnorm=1.0)},
        {"loss": "mae"},
        {"loss": losses.Huber(2.0)},
        {"metrics": ["mse"]},
        {"optimizer": SGD(optimizers.schedules.ExponentialDecay(0.1, 5, 0.5))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_model_has_a_step_of_its_own(work, change):
    run(make())
    before = work["traces"]
    run(make(**change))
    assert work["traces"] > before
    loops.tables = loops.Tables()
    chainrule.set_seed(0)
    expected = run(make(**change))
    loops.tables = loops.Tables()
    run(make())
    chainrule.set_seed(0)
    assert run(make(**change)) == expected


def test_functions_and_classes_of_the_user_are_not_shared(work):
    def double(x):
        return x * 2

    class Own(layers.Dense):
        pass

    class Line(Model):
        def __init__(self):
            super().__init__()
            self.dense = Dense(1)

        def call(self, inputs):
            return self.dense(inputs)

    for build in (
        lambda: make(activation=double),
        lambda: make(loss=lambda y, p: (y - p) ** 2),
        lambda: make(metrics=[lambda y, p: y - p]),
        lambda: Sequential([Own(1, input_shape=(5,))]),
        Line,
    ):
        traces = []
        for _ in range(2):
            model = build()
            if model.optimizer is None:
                model.compile("sgd", "mse")
            before = work["traces"]
            run(model)
            traces.append(work["traces"] - before)
        assert traces[1] >= 2  # training and validation


def test_frozen_layers_are_another_model(work):
    run(make())
    before = work["traces"]
    frozen = make()
    frozen.layers[0].trainable = False
    kernel = frozen.layers[0].get_weights()[0]
    run(frozen)
    assert work["traces"] > before
    assert (frozen.layers[0].get_weights()[0] == kernel).all()


def test_exclusions_by_name_are_not_shared():
    def excluded(name):
        optimizer = optimizers.AdamW(0.01, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_names=[name])
        return make(optimizer=optimizer)

    results = []
    for name in ("bias", "kernel"):
        chainrule.set_seed(0)
        results.append(run(excluded(name), epochs=3))
    assert results[0] != results[1]


def test_what_is_kept_is_bounded(monkeypatch):
    kept = loops.Tables()
    monkeypatch.setattr(loops, "tables", kept)
    monkeypatch.setattr(loops, "SHARED_TRACES", 3)
    for units in (1, 2, 3):
        run(make(units=units))
        assert len(kept) <= 3


def test_alike_models_in_threads_do_not_meet():
    def one(seed):
        made = make()
        made.set_weights(starts[seed])
        made.fit(X, Y, epochs=30, verbose=0, seed=seed)
        found[seed].append([weight.tobytes() for weight in made.get_weights()])

    starts = [make().get_weights() for _ in range(3)]
    found = [[] for _ in starts]
    for seed in range(3):
        one(seed)
        one(seed)
    threads = [threading.Thread(target=one, args=(i % 3,)) for i in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each == [each[0]] * 5 for each in found)
    assert found[0][0] != found[1][0]


def test_many_fits_hold_no_memory():
    def one():
        model = make()
        run(model)
        return weakref.ref(model)

    watches = [one() for _ in range(3)]
    gc.collect()
    objects, programs = len(gc.get_objects()), len(program._alive)
    watches += [one() for _ in range(30)]
    gc.collect()
    assert all(watch() is None for watch in watches)
    assert len(gc.get_objects()) <= objects + 100
    assert len(program._alive) <= programs


def test_shapes_of_equal_layers_are_found_once(monkeypatch):
    drawing = importlib.import_module("chainrule.layers.drawing")
    seen = []
    monkeypatch.setattr(drawing, "_outlines", {})
    outline = drawing.outline

    def count(*args):
        seen.append(args)
        return outline(*args)

    monkeypatch.setattr(drawing, "outline", count)
    shapes = [make().output_shape for _ in range(3)]
    assert shapes == [(None, 1)] * 3
    assert len(seen) == 3  # one for each layer
    assert make(units=9).layers[0].output.shape == (None, 9)
    assert len(seen) == 6


def test_layers_inside_of_layers_have_their_weights_from_the_start(monkeypatch):
    drawing = importlib.import_module("chainrule.layers.drawing")
    monkeypatch.setattr(drawing, "_outlines", {})
    counts = [
        Sequential(
            [layers.SpectralNormalization(Dense(3), input_shape=(5,))]
        ).count_params()
        for _ in range(2)
    ]
    assert counts[0] == counts[1] > 15
