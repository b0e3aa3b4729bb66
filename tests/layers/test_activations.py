"""Activations by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import activations, functional
from chainrule.errors import ArgumentError
from chainrule.layers import Activation, Dense

# `threshold` has arguments without defaults: as in Keras it is called, not named
NAMES = sorted(set(activations.__all__) - {"get", "serialize", "threshold"})
X = np.linspace(-3, 3, 14).reshape(2, 7, 1).repeat(2, axis=2).astype("float32")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_for_the_function(name: str) -> None:
    function = getattr(functional, name)
    assert activations.get(name) is getattr(activations, name) is function
    assert activations.serialize(function) == name
    expected = function(functional.asarray(X)).numpy()
    np.testing.assert_array_equal(Activation(name)(X).numpy(), expected)


def test_other_names_of_keras() -> None:
    assert activations.get("swish") is activations.silu
    assert activations.get("hard_swish") is activations.hard_silu
    assert activations.get(None) is activations.linear


def test_functions_with_arguments() -> None:
    x = np.array([-2.0, 0.5, 3.0], "float32")
    found = activations.relu(x, negative_slope=0.5, max_value=2.0, threshold=1.0)
    assert found.tolist() == [-1.5, -0.25, 2.0]
    assert activations.threshold(x, 1.0, -7.0).tolist() == [-7.0, -7.0, 3.0]


def test_a_function_of_the_user_is_an_activation() -> None:
    def half(x: Any) -> Any:
        return x / 2

    assert activations.get(half) is half
    layer = Dense(1, activation=half, kernel_initializer="ones")
    assert layer([[3.0, 5.0]]).item() == 4.0


@pytest.mark.parametrize(("wrong", "right"), [("RELU", "relu"), ("sigmod", "sigmoid")])
def test_the_nearest_name_is_suggested(wrong: str, right: str) -> None:
    with pytest.raises(ArgumentError, match=f"activation='{right}'"):
        activations.get(wrong)
