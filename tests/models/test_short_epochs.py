"""Short epochs that are taken in one native call, where nobody listens in between."""

from typing import ClassVar

import numpy as np
import pytest

import chainrule
from chainrule import Sequential
from chainrule.callbacks import Callback
from chainrule.errors import NonFiniteWarning
from chainrule.layers import Dense, Dropout
from chainrule.loops import Loop
from chainrule.optimizers import SGD

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 6)).astype(np.float32)
CLASSES = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
QUANTITY = X @ np.arange(6, dtype=np.float32)


def bits(model):
    return [weight.tobytes() for weight in model.get_weights()]


class Counted(Loop):
    """A loop that knows how many passes it took at once, in every run."""

    taken: ClassVar[list[int]] = []

    def passes(self, orders, batch_size, part, fresh):
        self.taken.append(len(orders))
        return super().passes(orders, batch_size, part, fresh)


@pytest.fixture
def taken(monkeypatch):
    monkeypatch.setattr("chainrule.models.runtime.Loop", Counted)
    Counted.taken = []
    return Counted.taken


def trained(callbacks):
    chainrule.set_seed(0)
    layers = [Dense(8, "relu", input_shape=(6,)), Dropout(0.5), Dense(3, "softmax")]
    model = Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        X, CLASSES, batch_size=32, epochs=9, callbacks=callbacks, seed=3, verbose=0
    )
    return bits(model), history.history, history.epoch


def test_short_epochs_taken_at_once_change_no_bit(taken, monkeypatch):
    monkeypatch.setattr("chainrule.training.loop.LOOK_IN", 1.0)
    one_by_one = trained([Callback()])
    assert not taken
    trained([])  # how long a step takes is known from here on
    assert trained([]) == one_by_one
    assert max(taken) > 1


def test_a_loss_that_breaks_within_epochs_taken_at_once(taken, monkeypatch):
    monkeypatch.setattr("chainrule.training.loop.LOOK_IN", 1.0)

    def diverging(callbacks):
        model = Sequential([Dense(1, input_shape=(6,), kernel_initializer="ones")])
        model.compile(SGD(0.9), "mse")
        with pytest.warns(NonFiniteWarning) as caught:
            history = model.fit(
                X, QUANTITY, epochs=300, callbacks=callbacks, seed=3, verbose=0
            )
        return bits(model), history.history, [str(each.message) for each in caught]

    one_by_one = diverging([Callback()])
    diverging([])
    at_once = diverging([])
    assert 2 < len(one_by_one[1]["loss"]) < 300
    assert str(at_once) == str(one_by_one)  # NaN is not equal to itself
    assert max(taken) > 1
