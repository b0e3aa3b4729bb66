"""Weights of samples and classes, several outputs: the numbers and names of Keras."""

import warnings

import numpy as np
import pytest

import chainrule
from tests.tolerances import TRAINING, assert_close

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 6)).astype(np.float32)
CLASSES = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
QUANTITY = X[:, 1:2] * 2
WEIGHTS = RNG.uniform(size=96).astype(np.float32)
SHAPES = [(6, 8), (8,), (8, 3), (3,), (8, 1), (1,)]
START = [0.3 * RNG.normal(size=shape).astype(np.float32) for shape in SHAPES]
SPARSE = "sparse_categorical_crossentropy"


def single(library, **arguments):
    hidden = library.layers.Dense(8, activation="relu")
    out = library.layers.Dense(3, activation="softmax")
    model = library.Sequential([library.Input(shape=(6,)), hidden, out])
    model.set_weights(START[:4])
    model.compile(library.optimizers.SGD(0.1), SPARSE, **arguments)
    return model


def double(library, **arguments):
    given = library.Input(shape=(6,))
    hidden = library.layers.Dense(8, activation="relu")(given)
    group = library.layers.Dense(3, activation="softmax", name="group")(hidden)
    amount = library.layers.Dense(1, name="amount")(hidden)
    model = library.Model(given, [group, amount])
    model.set_weights(START)
    model.compile(library.optimizers.SGD(0.1), **arguments)
    return model


def compare(make, y, fit=None, evaluate=None, **arguments):
    found = []
    for library in (chainrule.keras, keras):
        model = make(library, **arguments)
        history = model.fit(X, y, epochs=3, shuffle=False, verbose=0, **(fit or {}))
        measured = model.evaluate(X, y, verbose=0, return_dict=True, **(evaluate or {}))
        found.append((history.history, measured, model.get_weights()))
    (ours, our_end, our_weights), (theirs, their_end, their_weights) = found
    assert sorted(ours) == sorted(theirs)
    for name, column in ours.items():
        expected = np.asarray(theirs[name], np.float32)
        assert_close(np.asarray(column, np.float32), expected, TRAINING, name)
    assert sorted(our_end) == sorted(their_end)
    for name, number in our_end.items():
        assert_close(np.float32(number), np.float32(their_end[name]), TRAINING, name)
    for a, b in zip(our_weights, their_weights, strict=True):
        assert_close(a, np.asarray(b), TRAINING)


METRICS = {"metrics": ["accuracy"], "weighted_metrics": ["accuracy"]}


@pytest.mark.filterwarnings("ignore")
def test_weights_of_samples():
    weights = {"sample_weight": WEIGHTS}
    compare(single, CLASSES, weights, weights, **METRICS)


@pytest.mark.filterwarnings("ignore")
def test_weights_of_classes():
    compare(single, CLASSES, {"class_weight": {0: 0.5, 2: 3.0}}, **METRICS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("weighted", [False, True])
def test_several_outputs(weighted):
    weights = {"sample_weight": [WEIGHTS, WEIGHTS[::-1].copy()]} if weighted else {}
    compare(
        double,
        [CLASSES, QUANTITY],
        weights,
        weights,
        loss={"group": SPARSE, "amount": "mse"},
        loss_weights={"group": 1.0, "amount": 0.25},
        metrics={"group": ["accuracy"], "amount": ["mae"]},
        weighted_metrics={"amount": ["mae", "mse"]},
    )


@pytest.mark.filterwarnings("ignore")
def test_single_batches():
    rows = [slice(0, 32), slice(32, 64)]
    found = []
    for library in (chainrule.keras, keras):
        model = single(library, metrics=["accuracy"])
        numbers = [model.train_on_batch(X[r], CLASSES[r], WEIGHTS[r]) for r in rows]
        numbers.append(model.test_on_batch(X, CLASSES))
        found.append(np.asarray(numbers, np.float32))
    assert_close(found[0], found[1], TRAINING)
