"""`set_seed` is the one switch for all random numbers."""

import random as python_random

import numpy as np
import pytest

import chainrule
from chainrule import Sequential, initializers
from chainrule.layers import Dense, Dropout

X = np.random.default_rng(0).normal(size=(70, 4)).astype(np.float32)
Y = X[:, :1] ** 2


def train(seed, disturb=False):
    """Weights and History of a run in which everything random takes part."""
    chainrule.set_seed(seed)
    if disturb:
        np.random.seed(1)
        python_random.seed(2)
    layers = [
        Dense(5, "tanh", kernel_initializer=initializers.Orthogonal()),
        Dropout(0.3),
        Dense(4, "relu", kernel_initializer="he_normal"),
        Dense(1, bias_initializer=initializers.RandomUniform()),
    ]
    model = Sequential(layers)
    model.compile("adam", "mse")
    history = model.fit(X, Y, epochs=3, verbose=0)
    again = model.fit(X, Y, epochs=1, verbose=0)
    bits = [weight.tobytes() for weight in model.get_weights()]
    return bits, history.history, again.history


def test_one_seed_gives_the_same_bits_whatever_others_drew():
    first = train(3)
    python_random.random()
    np.random.normal()
    chainrule.random.next_key()
    assert train(3, disturb=True) == first


@pytest.mark.parametrize("part", [0, 1, 2])
def test_another_seed_gives_other_numbers(part):
    assert train(3)[part] != train(4)[part]
