"""`fit`, `evaluate` and `predict` against Keras's own, from the same weights."""

import warnings

import numpy as np
import pytest

import chainrule
from tests.tolerances import TRAINING, assert_close

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 6)).astype(np.float32)
CLASSES = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
TASKS = {
    "sparse": ("softmax", 3, "sparse_categorical_crossentropy", CLASSES, "accuracy"),
    "one-hot": ("softmax", 3, "categorical_crossentropy", np.eye(3)[CLASSES], "acc"),
    "binary": ("sigmoid", 1, "binary_crossentropy", (CLASSES > 0) * 1.0, "accuracy"),
    "regression": ("linear", 1, "mean_squared_error", X[:, 1] * 2, "mae"),
}


def run(library, weights, activation, units, loss, y, metric):
    """History, what `evaluate` gives, and predictions, all in one library."""
    hidden = library.layers.Dense(8, activation="relu")
    out = library.layers.Dense(units, activation=activation)
    model = library.Sequential([library.Input(shape=(6,)), hidden, out])
    model.set_weights(weights)
    model.compile(optimizer="adam", loss=loss, metrics=[metric])
    # 80 rows are trained on: the last batch of an epoch has 16
    history = model.fit(X, y, epochs=4, validation_split=0.2, shuffle=False, verbose=0)
    measured = model.evaluate(X, y, batch_size=48, verbose=0)
    return history.history, measured, model.predict(X, verbose=0)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.filterwarnings("ignore")
def test_fit_measures_what_keras_measures(task):
    activation, units, *rest = TASKS[task]
    shapes = [(6, 8), (8,), (8, units), (units,)]
    weights = [0.3 * RNG.normal(size=shape).astype(np.float32) for shape in shapes]
    ours = run(chainrule.keras, weights, activation, units, *rest)
    theirs = run(keras, weights, activation, units, *rest)
    assert sorted(ours[0]) == sorted(theirs[0])
    for name, column in ours[0].items():
        expected = np.asarray(theirs[0][name], np.float32)
        assert_close(np.asarray(column, np.float32), expected, TRAINING, name)
    expected = np.asarray(theirs[1], np.float32)
    assert_close(np.asarray(ours[1], np.float32), expected, TRAINING, "evaluate")
    assert_close(ours[2], np.asarray(theirs[2]), TRAINING, "predict")
