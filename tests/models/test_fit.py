import gc
import weakref

import numpy as np
import pytest

import chainrule
from chainrule import Model, Sequential
from chainrule.callbacks import Callback, History
from chainrule.errors import ArgumentError, DataError
from chainrule.functional import random
from chainrule.layers import Dense, Dropout
from chainrule.loops import Loop
from chainrule.optimizers import SGD, Adam
from chainrule.training.loop import Pieces
from chainrule.training.source import ArraySource, epoch_order
from tests.tolerances import assert_close

SPARSE = "sparse_categorical_crossentropy"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 6)).astype(np.float32)
CLASSES = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
QUANTITY = X @ np.arange(6, dtype=np.float32)


def classifier(seed=0, dropout=0.0, optimizer="adam", metrics=("accuracy",)):
    chainrule.set_seed(seed)
    layers = [Dense(8, "relu", input_shape=(6,)), Dense(3, "softmax")]
    if dropout:
        layers.insert(1, Dropout(dropout))
    model = Sequential(layers)
    model.compile(optimizer, SPARSE, metrics=list(metrics))
    return model


def regressor(optimizer="sgd", metrics=None):
    model = Sequential([Dense(1, input_shape=(6,))])
    model.compile(optimizer, "mse", metrics=metrics)
    return model


def bits(model):
    return [weight.tobytes() for weight in model.get_weights()]


# ---- what fit returns ----------------------------------------------------------------


def test_history_has_the_names_of_keras_in_their_order():
    history = classifier().fit(
        X, CLASSES, epochs=3, validation_split=0.2, verbose=0, seed=1
    )
    assert isinstance(history, History)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.epoch == [0, 1, 2]
    assert all(len(column) == 3 for column in history.history.values())


def test_names_of_metrics_are_those_given():
    model = regressor(metrics=["mae", "mse", chainrule.metrics.MeanSquaredError()])
    history = model.fit(X, QUANTITY, verbose=0)
    assert list(history.history) == ["loss", "mae", "mse", "mean_squared_error"]
    assert model.history is history


def test_metrics_of_one_name_are_told_apart():
    model = regressor(metrics=["mae", "mae"])
    assert list(model.evaluate(X, QUANTITY, verbose=0, return_dict=True)) == [
        "loss",
        "mae",
        "mae_1",
    ]


def test_learning_reaches_the_solution():
    model = regressor(SGD(0.1))
    model.fit(X, QUANTITY, epochs=100, verbose=0, seed=0)
    np.testing.assert_allclose(model.get_weights()[0].ravel(), np.arange(6), atol=1e-4)


# ---- a smaller last batch ------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 32, 99, 100, 1000])
def test_the_loss_is_the_mean_over_samples_whatever_the_batches(batch_size):
    model = regressor(SGD(0.0), metrics=["mae"])
    errors = QUANTITY - model.predict(X, verbose=0)[:, 0]
    history = model.fit(X, QUANTITY, batch_size=batch_size, verbose=0).history
    assert_close(np.float32(history["loss"][0]), (errors**2).mean())
    assert_close(np.float32(history["mae"][0]), np.abs(errors).mean())
    measured = model.evaluate(X, QUANTITY, batch_size=batch_size, verbose=0)
    assert_close(np.float32(measured[0]), (errors**2).mean())


def test_metrics_start_anew_every_epoch():
    model = classifier(optimizer=SGD(0.0))
    history = model.fit(X, CLASSES, epochs=3, shuffle=False, verbose=0).history
    assert len(set(history["loss"])) == len(set(history["accuracy"])) == 1


def test_a_step_is_taken_for_the_last_rows_too():
    chainrule.set_seed(0)
    whole, parts = regressor(SGD(0.01)), regressor(SGD(0.01))
    parts.set_weights(whole.get_weights())
    whole.fit(X[:70], QUANTITY[:70], batch_size=32, shuffle=False, verbose=0)
    for rows in (slice(0, 32), slice(32, 64), slice(64, 70)):
        parts.fit(X[rows], QUANTITY[rows], batch_size=32, shuffle=False, verbose=0)
    assert bits(whole) == bits(parts)
    assert whole.optimizer.iterations == 3


# ---- validation ----------------------------------------------------------------------


def test_validation_split_takes_the_last_rows_and_does_not_train_on_them():
    model = regressor(SGD(0.0))
    history = model.fit(X, QUANTITY, validation_split=0.25, verbose=0).history
    assert history["loss"][0] == pytest.approx(
        model.evaluate(X[:75], QUANTITY[:75], verbose=0), rel=1e-6
    )
    assert history["val_loss"][0] == model.evaluate(X[75:], QUANTITY[75:], verbose=0)


def test_a_split_is_the_same_as_validation_data():
    first, second = classifier(), classifier()
    a = first.fit(X, CLASSES, validation_split=0.2, verbose=0, seed=3, epochs=2)
    b = second.fit(
        X[:80],
        CLASSES[:80],
        validation_data=(X[80:], CLASSES[80:]),
        verbose=0,
        seed=3,
        epochs=2,
    )
    assert a.history == b.history
    assert bits(first) == bits(second)


def test_validation_uses_no_dropout():
    model = classifier(dropout=0.5)
    history = model.fit(X, CLASSES, validation_data=(X, CLASSES), verbose=0)
    loss, accuracy = model.evaluate(X, CLASSES, verbose=0)
    assert history.history["val_loss"] == [loss]
    assert history.history["val_accuracy"] == [accuracy]


# ---- exactness -----------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_same_seed_gives_the_same_bits(dropout):
    first, second, other = (classifier(dropout=dropout) for _ in range(3))
    a = first.fit(X, CLASSES, epochs=3, verbose=0, seed=5)
    b = second.fit(X, CLASSES, epochs=3, verbose=0, seed=5)
    c = other.fit(X, CLASSES, epochs=3, verbose=0, seed=6)
    assert a.history == b.history
    assert bits(first) == bits(second)
    assert bits(first) != bits(other)
    assert a.history != c.history


def test_set_seed_decides_everything_where_no_seed_is_given():
    results = []
    for seed in (7, 7, 8):
        model = classifier(seed, dropout=0.3)
        model.fit(X, CLASSES, epochs=2, verbose=0)
        results.append(bits(model))
    assert results[0] == results[1] != results[2]


def test_the_seed_of_fit_makes_the_weights_where_there_are_none():
    results = []
    for seed in (1, 1, 2):
        model = Sequential([Dense(4, "relu"), Dense(1)])
        model.compile(SGD(0.0), "mse")
        model.fit(X, QUANTITY, verbose=0, seed=seed)
        results.append(bits(model))
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("batch_size", [32, 100])
def test_a_run_in_two_parts_is_the_run_in_one(batch_size):
    one, two = classifier(dropout=0.5), classifier(dropout=0.5)
    shared = {"batch_size": batch_size, "verbose": 0, "seed": 9}
    a = one.fit(X, CLASSES, epochs=5, **shared).history["loss"]
    b = two.fit(X, CLASSES, epochs=2, **shared).history["loss"]
    b += two.fit(X, CLASSES, epochs=5, initial_epoch=2, **shared).history["loss"]
    assert a == b
    assert bits(one) == bits(two)


def test_how_a_pass_is_cut_into_pieces_changes_nothing(monkeypatch):
    monkeypatch.setattr("chainrule.training.loop.LOOK_IN", 0.0)
    slow = classifier(dropout=0.5)
    slow.fit(X, CLASSES, batch_size=8, epochs=2, verbose=0, seed=0)
    monkeypatch.setattr("chainrule.training.loop.LOOK_IN", 1e9)
    fast = classifier(dropout=0.5)
    fast.fit(X, CLASSES, batch_size=8, epochs=2, verbose=0, seed=0)
    assert bits(slow) == bits(fast)


def test_pieces_become_long_enough_and_not_too_long(monkeypatch):
    class Clock:
        now = 0.0

    class Slow:
        def __init__(self):
            self.sizes = []

        def feed(self, data):
            pass

        def seconds(self, batch_size):
            return None

        def run(self, order, batch_size):
            self.sizes.append(len(order) // batch_size)
            Clock.now += 0.01 * len(order) / batch_size

    monkeypatch.setattr("time.perf_counter", lambda: Clock.now)
    loop = Slow()
    done = [d for d, _ in Pieces(loop).run(ArraySource((), 4 * 200 + 1, 4))]
    assert done[-1] == 801
    assert loop.sizes[:3] == [1, 8, 20]
    assert max(loop.sizes) == 20


def test_every_epoch_has_an_order_of_its_own():
    key = tuple(random.key(0).numpy())
    orders = [epoch_order(key, epoch, 50) for epoch in range(3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(50))
    assert len({tuple(order) for order in orders}) == 3


def test_shuffle_can_be_switched_off():
    results = []
    for seed in (1, 2):
        model = classifier()
        model.fit(X, CLASSES, shuffle=False, verbose=0, seed=seed)
        results.append(bits(model))
    assert results[0] == results[1]


# ---- kinds of data -------------------------------------------------------------------


def test_whole_numbers_are_cast_in_the_step_and_not_in_memory(monkeypatch):
    images = RNG.integers(0, 255, (60, 6), np.uint8)
    seen = []
    feed = Loop.feed

    def spy(self, data):
        seen.append(data["x"])
        feed(self, data)

    monkeypatch.setattr(Loop, "feed", spy)
    model = classifier()
    model.fit(images, CLASSES[:60], verbose=0, seed=0)
    assert seen[0].dtype == np.uint8
    other = classifier()
    other.fit(images.astype(np.float32), CLASSES[:60], verbose=0, seed=0)
    assert bits(model) == bits(other)


@pytest.mark.parametrize("convert", [np.float64, list, lambda a: a.tolist(), tuple])
def test_other_kinds_of_arrays_train_the_same(convert):
    a, b = classifier(), classifier()
    a.fit(X, CLASSES, verbose=0, seed=0)
    b.fit(convert(X), CLASSES.tolist(), verbose=0, seed=0)
    assert bits(a) == bits(b)


def test_float64_models_compute_in_float64():
    model = Sequential([Dense(1, input_shape=(6,), dtype="float64")])
    model.compile("sgd", "mse")
    model.fit(X, QUANTITY, verbose=0)
    assert (
        model.get_weights()[0].dtype == model.predict(X, verbose=0).dtype == "float64"
    )


@pytest.mark.parametrize("shape", [(100,), (100, 1)])
def test_targets_are_never_stretched_against_outputs(shape):
    model = regressor(SGD(0.0))
    errors = QUANTITY - model.predict(X, verbose=0)[:, 0]
    loss = model.evaluate(X, QUANTITY.reshape(shape), verbose=0)
    assert loss == pytest.approx((errors**2).mean(), rel=1e-5)


def test_single_numbers_may_come_as_a_plain_row():
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X[:, 0], QUANTITY, verbose=0)
    assert model.predict(X[:, 0], verbose=0).shape == (100, 1)


# ---- callbacks -----------------------------------------------------------------------


class Recorder(Callback):
    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("train begin")

    def on_train_end(self, logs=None):
        self.calls.append("train end")
        self.last = logs

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"end {epoch}: {', '.join(logs)}")
        logs["added"] = float(epoch)


def test_hooks_are_called_in_order_and_may_add_numbers():
    recorder = Recorder()
    model = regressor()
    history = model.fit(X, QUANTITY, epochs=2, verbose=0, callbacks=[recorder])
    assert recorder.calls == [
        "train begin",
        "epoch 0",
        "end 0: loss",
        "epoch 1",
        "end 1: loss",
        "train end",
    ]
    assert recorder.model is model
    assert recorder.params == {"epochs": 2, "steps": 4, "verbose": 0}
    assert history.history["added"] == [0.0, 1.0]
    assert recorder.last["added"] == 1.0


class Batches(Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(("end", batch, logs["loss"]))


def test_hooks_of_batches_see_every_batch_and_change_nothing():
    watched, plain = classifier(dropout=0.2), classifier(dropout=0.2)
    recorder = Batches()
    a = watched.fit(X, CLASSES, verbose=0, seed=0, callbacks=recorder)
    b = plain.fit(X, CLASSES, verbose=0, seed=0)
    assert bits(watched) == bits(plain)
    assert a.history == b.history
    assert [each[:2] for each in recorder.seen] == [
        (kind, batch) for batch in range(4) for kind in ("begin", "end")
    ]
    assert recorder.seen[-1][2] == a.history["loss"][0]


def test_a_callback_may_end_training():
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    model = regressor()
    history = model.fit(X, QUANTITY, epochs=9, verbose=0, callbacks=[Stop()])
    assert history.epoch == [0, 1]
    assert model.fit(X, QUANTITY, epochs=2, verbose=0).epoch == [0, 1]


def test_a_callback_may_end_training_within_an_epoch():
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    model = regressor()
    history = model.fit(X, QUANTITY, epochs=9, verbose=0, callbacks=[Stop()])
    assert history.epoch == [0]
    assert model.optimizer.iterations == 2


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_begin"])
def test_a_callback_may_change_weights_and_learning_rate(hook):
    def change(self, number, logs=None):
        self.model.set_weights([np.full((6, 1), 2.0), np.full((1,), 3.0)])
        self.model.optimizer.learning_rate = 0.0

    callback = type("Change", (Callback,), {hook: change})()
    model = regressor()
    model.fit(X, QUANTITY, epochs=2, verbose=0, callbacks=[callback])
    kernel, bias = model.get_weights()
    assert (kernel == 2).all()
    assert (bias == 3).all()


def test_what_is_no_callback_is_refused():
    with pytest.raises(ArgumentError, match="an instance and not the class"):
        regressor().fit(X, QUANTITY, verbose=0, callbacks=[History])


def test_evaluate_and_predict_call_their_hooks():
    calls = []

    class Tell(Callback):
        def on_test_begin(self, logs=None):
            calls.append("test")

        def on_test_end(self, logs=None):
            calls.append(list(logs))

        def on_predict_begin(self, logs=None):
            calls.append("predict")

        def on_predict_end(self, logs=None):
            calls.append("done")

    model = regressor()
    model.evaluate(X, QUANTITY, verbose=0, callbacks=Tell())
    model.predict(X, verbose=0, callbacks=[Tell()])
    assert calls == ["test", ["loss"], "predict", "done"]


# ---- evaluate and predict ------------------------------------------------------------


def test_evaluate_returns_what_keras_returns():
    assert isinstance(regressor().evaluate(X, QUANTITY, verbose=0), float)
    loss, accuracy = classifier().evaluate(X, CLASSES, verbose=0)
    named = classifier().evaluate(X, CLASSES, verbose=0, return_dict=True)
    assert named == {"loss": loss, "accuracy": accuracy}


@pytest.mark.parametrize("batch_size", [1, 7, 100, 333])
def test_predict_gives_all_rows_in_order(batch_size):
    model = classifier(dropout=0.5)
    found = model.predict(X, batch_size=batch_size, verbose=0)
    assert isinstance(found, np.ndarray)
    assert_close(found, model(X).numpy())


def test_evaluate_does_not_train():
    model = classifier(dropout=0.5)
    before = bits(model)
    model.evaluate(X, CLASSES, verbose=0)
    model.predict(X, verbose=0)
    assert bits(model) == before


@pytest.mark.parametrize(
    ("loss", "units", "y", "accuracy"),
    [
        ("binary_crossentropy", 1, CLASSES > 0, "binary_accuracy"),
        ("binary_crossentropy", 3, np.eye(3)[CLASSES], "binary_accuracy"),
        ("categorical_crossentropy", 3, np.eye(3)[CLASSES], "categorical_accuracy"),
        (SPARSE, 3, CLASSES, "sparse_categorical_accuracy"),
        (SPARSE, 3, CLASSES[:, None], "sparse_categorical_accuracy"),
    ],
)
def test_accuracy_is_the_kind_that_labels_and_outputs_ask_for(loss, units, y, accuracy):
    activation = "sigmoid" if loss == "binary_crossentropy" else "softmax"
    model = Sequential([Dense(units, activation, input_shape=(6,))])
    model.compile("sgd", loss, metrics=["accuracy", chainrule.metrics.get(accuracy)])
    found = model.evaluate(X, y, verbose=0, return_dict=True)
    assert found["accuracy"] == found[accuracy]


def test_accuracy_of_logits_counts_from_zero():
    model = Sequential([Dense(1, input_shape=(6,))])
    model.compile(
        "sgd",
        chainrule.losses.BinaryCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    right = (model.predict(X, verbose=0)[:, 0] > 0) == (CLASSES > 0)
    assert model.evaluate(X, CLASSES > 0, verbose=0)[1] == pytest.approx(right.mean())


# ---- compiling -----------------------------------------------------------------------


def test_fit_without_compile_tells_the_line():
    with pytest.raises(ArgumentError, match=r"model.compile\(optimizer='adam'"):
        Sequential([Dense(1, input_shape=(6,))]).fit(X, QUANTITY)


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        ({"loss": "sparse_categorical_crossentrop"}, "sparse_categorical_crossentropy"),
        ({"loss": "mse", "optimizer": "adm"}, "optimizer='adam'"),
        ({"loss": "mse", "metrics": ["acuracy"]}, "ccuracy"),
    ],
)
def test_a_misspelt_name_is_told_with_the_nearest(arguments, fix):
    with pytest.raises(ArgumentError, match=fix):
        Sequential([Dense(1)]).compile(**arguments)


def test_compiling_again_keeps_the_weights():
    model = regressor()
    model.fit(X, QUANTITY, verbose=0)
    before = bits(model)
    model.compile("adam", "mae")
    assert bits(model) == before
    assert model.optimizer.iterations == 0
    model.fit(X, QUANTITY, verbose=0)
    assert bits(model) != before


def test_the_optimizer_goes_on_where_it_was():
    model = regressor(Adam())
    model.fit(X, QUANTITY, verbose=0)
    model.fit(X, QUANTITY, verbose=0)
    assert model.optimizer.iterations == 8


def test_frozen_layers_do_not_change():
    model = classifier()
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(X, CLASSES, verbose=0)
    model.layers[0].trainable = True
    after = model.get_weights()
    assert [(a == b).all() for a, b in zip(before, after, strict=True)] == [
        True,
        True,
        False,
        False,
    ]
    model.fit(X, CLASSES, verbose=0)
    assert (model.get_weights()[0] != after[0]).any()


def test_a_model_of_ones_own_trains():
    class Residual(Model):
        def __init__(self):
            super().__init__()
            self.inner = Dense(6, "relu")
            self.out = Dense(1)

        def call(self, inputs):
            return self.out(inputs + self.inner(inputs))

    chainrule.set_seed(0)
    model = Residual()
    model.compile(Adam(0.05), "mse")
    losses = model.fit(X, QUANTITY, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]
    assert model.predict(X, verbose=0).shape == (100, 1)
    with pytest.raises(DataError, match="differ in shape"):
        model.fit(X, X, verbose=0)


# ---- cost ----------------------------------------------------------------------------


def test_repeated_runs_trace_once_and_hold_no_memory():
    model = classifier()

    def run():
        model.fit(X, CLASSES, epochs=1, verbose=0, validation_split=0.5)
        model.evaluate(X, CLASSES, verbose=0)
        model.predict(X, verbose=0)
        gc.collect()
        return len(gc.get_objects())

    run()
    before = run()
    traced = [len(loop._table) for loop in (model._runtime.train, model._runtime.test)]
    for _ in range(20):
        after = run()
    assert after <= before + 50
    assert [
        len(loop._table) for loop in (model._runtime.train, model._runtime.test)
    ] == traced


def test_data_is_let_go_after_a_run():

    class Rows(np.ndarray):
        pass

    x = X.copy().view(Rows)
    watch = weakref.ref(x)
    model = classifier()
    model.fit(x, CLASSES, verbose=0)
    model.evaluate(x, CLASSES, verbose=0)
    model.predict(x, verbose=0)
    del x
    gc.collect()
    assert watch() is None
