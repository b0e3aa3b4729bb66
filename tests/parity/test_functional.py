"""A graph of two inputs and two outputs against Keras's own, over 52 training steps."""

import warnings

import numpy as np
import pytest

import chainrule
from tests.tolerances import TRAINING, assert_close

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

RNG = np.random.default_rng(0)
A = RNG.normal(size=(100, 6)).astype(np.float32)
B = RNG.normal(size=(100, 4)).astype(np.float32)
Y = {
    "price": (A[:, :1] * B[:, :1]).astype(np.float32),
    "kind": ((A[:, 1] > 0).astype(np.int64) + (B[:, 1] > 0)),
}
SHAPES = {"shared": (6, 5), "side": (4, 5), "price": (7, 1), "kind": (5, 3)}
WEIGHTS = {
    name: [
        0.4 * RNG.normal(size=shape).astype(np.float32),
        0.1 * RNG.normal(size=shape[1:]).astype(np.float32),
    ]
    for name, shape in SHAPES.items()
}


def drawn(library, concatenated):
    """A shared layer, operators, slices, a function, and a model inside."""
    dense = library.layers.Dense
    a, b = library.Input((6,), name="a"), library.Input((4,), name="b")
    shared = dense(5, activation="tanh", name="shared")
    inside = library.Input((4,), name="inside")
    side = library.Model(inside, dense(5, "relu", name="side")(inside), name="inner")
    middle = (shared(a) + shared(a * 0.5) - 1.0) * side(b)
    wide = concatenated([middle, b[:, 1:3]])
    outputs = {
        "price": dense(1, name="price")(wide),
        "kind": dense(3, activation="softmax", name="kind")(middle / 2.0),
    }
    model = library.Model({"a": a, "b": b}, outputs)
    for name, weights in WEIGHTS.items():
        place = model.get_layer("inner") if name == "side" else model
        place.get_layer(name).set_weights(weights)
    return model


def run(model):
    model.compile(
        optimizer="adam",
        loss={"price": "mse", "kind": "sparse_categorical_crossentropy"},
        loss_weights={"price": 1.0, "kind": 0.5},
        metrics={"price": ["mae"], "kind": ["accuracy"]},
    )
    inputs = {"a": A, "b": B}
    options = {"batch_size": 8, "epochs": 4, "shuffle": False, "verbose": 0}
    history = model.fit(inputs, Y, **options).history
    measured = model.evaluate(inputs, Y, verbose=0, return_dict=True)
    return history, measured, model.predict(inputs, verbose=0)


@pytest.mark.filterwarnings("ignore")
def test_a_graph_trains_as_in_keras():
    ours = run(drawn(chainrule.keras, lambda x: chainrule.concat(x, axis=-1)))
    theirs = run(drawn(keras, lambda x: keras.ops.concatenate(x, axis=-1)))
    assert sorted(ours[0]) == sorted(theirs[0])
    for place, what in ((0, "history"), (1, "evaluate"), (2, "predict")):
        for name, column in ours[place].items():
            expected = np.asarray(theirs[place][name], np.float32)
            found = np.asarray(column, np.float32)
            assert_close(found, expected, TRAINING, f"{what} {name}")
    assert ours[0]["loss"][-1] < 0.95 * ours[0]["loss"][0]


@pytest.mark.filterwarnings("ignore")
def test_a_frozen_model_inside_is_frozen_as_in_keras():
    ours = drawn(chainrule.keras, lambda x: chainrule.concat(x, axis=-1))
    theirs = drawn(keras, lambda x: keras.ops.concatenate(x, axis=-1))
    assert ours.count_params() == theirs.count_params()
    for model in (ours, theirs):
        model.get_layer("inner").trainable = False
    frozen = len(ours.trainable_weights), len(ours.non_trainable_weights)
    assert frozen == (len(theirs.trainable_weights), len(theirs.non_trainable_weights))
    inner = ours.get_layer("inner")
    before = inner.get_weights()
    a, b = run(ours), run(theirs)
    for name, column in a[0].items():
        expected = np.asarray(b[0][name], np.float32)
        assert_close(np.asarray(column, np.float32), expected, TRAINING, name)
    for first, second in zip(
        before, ours.get_layer("inner").get_weights(), strict=True
    ):
        assert (first == second).all()
