"""Data that comes in batches: the same numbers as from arrays, whatever gives them."""

import itertools
import threading

import numpy as np
import pytest

import chainrule
from chainrule import Model, Sequential, loops
from chainrule.errors import DataError
from chainrule.layers import Dense, Dropout
from chainrule.optimizers import SGD
from chainrule.training import streams
from chainrule.training.streams import is_stream

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 4)).astype(np.float32)
Y = X.sum(axis=1)
CLASSES = (Y > 0).astype(np.int64)
WEIGHTS = RNG.uniform(size=70).astype(np.float32)


def make(loss="mse", units=1, activation=None):
    chainrule.set_seed(0)
    layers = [
        Dense(8, "relu", input_shape=(4,)),
        Dropout(0.3),
        Dense(units, activation),
    ]
    model = Sequential(layers)
    model.compile(SGD(0.05), loss)
    return model


def bits(model):
    return [weight.tobytes() for weight in model.get_weights()]


def batches(*arrays, size=16):
    for start in range(0, 70, size):
        yield tuple(array[start : start + size] for array in arrays)


class Again:
    """Batches that can be iterated over again, as a loader's."""

    def __init__(self, *arrays, size=16):
        self.arrays, self.size = arrays, size
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return batches(*self.arrays, size=self.size)

    def __len__(self):
        return -(-70 // self.size)


class Samples:
    """Samples by their number, as a data set of torch."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __len__(self):
        return 70

    def __getitem__(self, row):
        if not 0 <= row < 70:
            raise IndexError(row)
        return tuple(array[row] for array in self.arrays)


def endless():
    while True:
        yield from batches(X, Y)


def as_lists():
    return [[x.tolist(), y.tolist()] for x, y in batches(X, Y)]


@pytest.fixture(params=[1, 3, 1000])
def batches_in_a_chunk(request, monkeypatch):
    monkeypatch.setattr(streams, "CHUNK_BATCHES", request.param)


@pytest.mark.usefixtures("batches_in_a_chunk")
@pytest.mark.parametrize(
    ("data", "options"),
    [
        (lambda: Again(X, Y), {}),
        (lambda: endless(), {"steps_per_epoch": 5}),
        (lambda: iter(as_lists() * 3), {"steps_per_epoch": 5}),
        (lambda: Samples(X, Y), {"shuffle": False, "batch_size": 16}),
    ],
    ids=["loader", "generator", "lists", "samples"],
)
def test_a_stream_trains_as_arrays_do(data, options):
    plain, streamed = make(), make()
    a = plain.fit(X, Y, 16, 3, 0, shuffle=False, seed=0)
    b = streamed.fit(data(), epochs=3, verbose=0, seed=0, **options)
    assert bits(plain) == bits(streamed)
    assert a.history == b.history


def test_samples_are_shuffled_as_arrays_are():
    plain, streamed = make(), make()
    plain.fit(X, Y, 16, 3, 0, seed=0)
    streamed.fit(Samples(X, Y), batch_size=16, epochs=3, verbose=0, seed=0)
    assert bits(plain) == bits(streamed)


def test_weights_come_with_the_batches():
    plain, streamed = make("sparse_categorical_crossentropy", 2, "softmax"), None
    streamed = make("sparse_categorical_crossentropy", 2, "softmax")
    table = {1: 3.0}
    options = {"verbose": 0, "seed": 0, "class_weight": table}
    plain.fit(X, CLASSES, 16, shuffle=False, sample_weight=WEIGHTS, **options)
    streamed.fit(Again(X, CLASSES, WEIGHTS), **options)
    assert bits(plain) == bits(streamed)


def test_streams_are_measured_and_predicted():
    model = make()
    expected = model.evaluate(X, Y, 16, 0)
    assert model.evaluate(Again(X, Y), verbose=0) == expected
    assert model.evaluate(endless(), steps=5, verbose=0) == expected
    outputs = model.predict(X, 16, 0)
    for data in (Again(X), Again(X, Y), Samples(X)):
        assert (model.predict(data, 16, 0) == outputs).all()


def test_validation_data_may_be_a_stream():
    plain, streamed = make(), make()
    a = plain.fit(X, Y, 16, 3, 0, validation_data=(X, Y), seed=0)
    loader = Again(X, Y)
    b = streamed.fit(X, Y, 16, 3, 0, validation_data=loader, seed=0)
    assert a.history == b.history
    assert loader.passes == 4  # one before the first epoch
    c = make().fit(
        X, Y, 16, 3, 0, validation_data=endless(), validation_steps=5, seed=0
    )
    assert a.history == c.history


def test_several_inputs_come_as_dicts():
    class Sum(Model):
        def __init__(self):
            super().__init__()
            self.dense = Dense(1)

        def call(self, inputs):
            return self.dense(inputs["a"] + inputs["b"])

    chainrule.set_seed(0)
    models = [Sum(), Sum()]
    for model in models:
        model.compile("sgd", "mse")
    data = [({"a": X[i : i + 16], "b": X[i : i + 16]}, Y[i : i + 16]) for i in (0, 16)]
    models[1].predict({"a": X, "b": X}, verbose=0)
    models[0].predict({"a": X, "b": X}, verbose=0)
    models[0].set_weights(models[1].get_weights())
    models[0].fit(iter(data), verbose=0, seed=0)
    x = {"a": X[:32], "b": X[:32]}
    models[1].fit(x, Y[:32], 16, shuffle=False, verbose=0, seed=0)
    assert bits(models[0]) == bits(models[1])


def test_an_iterator_that_ends_ends_training():
    model = make()
    with pytest.warns(UserWarning, match="the data ended after 1 epochs"):
        history = model.fit(batches(X, Y), epochs=3, verbose=0)
    assert history.epoch == [0]
    with pytest.warns(UserWarning, match="the data ended after 2 epochs"):
        history = model.fit(batches(X, Y), epochs=3, steps_per_epoch=3, verbose=0)
    assert history.epoch == [0, 1]
    assert model.optimizer.iterations == 10


def test_many_batches_are_read_by_a_few_traces(monkeypatch):
    monkeypatch.setattr(loops, "tables", loops.Tables())
    model = make()
    model.fit(Again(X, Y), epochs=4, verbose=0)
    assert len(model._runtime.train._table) == 2  # whole batches and the last one


def test_the_thread_ends_with_the_run():
    model = make()
    model.fit(endless(), epochs=2, steps_per_epoch=3, verbose=0)
    model.fit(endless(), steps_per_epoch=3, verbose=0, fast_dev_run=True)
    for thread in threading.enumerate():
        if thread.name == "chainrule-prefetch":
            thread.join(2)
            assert not thread.is_alive()


def test_an_error_of_the_generator_reaches_the_caller():
    def broken():
        yield X[:16], Y[:16]
        yield X[16:32], Y[16:32]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        make().fit(broken(), verbose=0)


def poisoned():
    bad = X[:16].copy()
    bad[3, 1] = np.nan
    return bad


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ((poisoned(), Y[:16]), "x of batch 1: the values must be finite"),
        ((X[:16, :3], Y[:16]), "must look like the first"),
        ((X[:16], Y[:15]), "the same number of rows"),
        ((X[:16].astype("U4"), Y[:16]), "must look like the first"),
    ],
)
def test_later_batches_are_checked(second, message):
    data = itertools.chain([(X[:16], Y[:16])], [second])
    with pytest.raises(DataError, match=message):
        make().fit(data, verbose=0)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (lambda: iter([]), {}, "there is no data"),
        (lambda: Again(X, Y), {"y": Y}, "their y with them"),
        (lambda: Again(X, Y), {"sample_weight": WEIGHTS}, "sample_weight with them"),
        (lambda: Again(X, Y), {"validation_split": 0.2}, "only arrays can be split"),
        (lambda: Again(X, CLASSES), {"class_weight": "balanced"}, "cannot be counted"),
        (lambda: Again(X[:, :2], Y), {}, "takes 4 inputs"),
        (lambda: Again(X), {}, "y is missing"),
    ],
)
def test_what_does_not_go_with_a_stream_is_told(data, options, message):
    with pytest.raises(DataError, match=message):
        make().fit(data(), verbose=0, **options)


def test_tables_and_arrays_are_no_streams():
    pandas = pytest.importorskip("pandas")
    arrow = pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(X)
    for data in (X, X.tolist(), {"a": X}, frame, frame[0], arrow.table({"a": Y}), "x"):
        assert not is_stream(data)
    for data in (Again(X), Samples(X), endless(), map(abs, [1])):
        assert is_stream(data)
