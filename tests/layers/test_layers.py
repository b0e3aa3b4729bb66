"""What single layers do, and the lessons of their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import functional, layers
from chainrule.configurable import custom_object_scope
from chainrule.errors import ArgumentError, ChainruleError, ShapeError
from chainrule.functional import random
from chainrule.jit import jit
from chainrule.layers import Dense, Dropout, Flatten, InputLayer, Layer, ReLU, Reshape
from tests.tolerances import assert_compiled


class Block(Layer):
    """A layer made of layers, in attributes and in a list."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.first = Dense(units, name="first")
        self.rest = [Dropout(0.5, name="drop"), Dense(units, name="second")]

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight("scale", (self.units,), "ones")
        self.seen = self.add_weight("seen", (), "zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        x = self.first(inputs)
        for layer in self.rest:
            x = layer(x)
        return x * self.scale.value


def test_dense_is_a_matrix_product_over_the_last_axis() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    layer = Dense(5, bias_initializer="ones")
    expected = x @ (layer(x), layer.kernel.numpy())[1] + 1
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert layer.kernel.shape == (4, 5)


def test_layers_inside_layers_are_found_and_named() -> None:
    block = Block(3, name="block")
    block(np.ones((2, 4), "float32"))
    paths = [variable.path for variable in block.weights]
    assert paths == [
        "block/scale",
        "block/seen",
        "block/first/kernel",
        "block/first/bias",
        "block/second/kernel",
        "block/second/bias",
    ]
    assert [v.name for v in block.non_trainable_weights] == ["seen"]
    assert block.count_params() == 3 + 1 + 4 * 3 + 3 + 3 * 3 + 3


def test_a_frozen_layer_has_no_trainable_weights() -> None:
    block = Block(3)
    block(np.ones((2, 4), "float32"))
    block.first.trainable = False
    assert [v.path.split("/")[1] for v in block.trainable_weights] == [
        "scale",
        "second",
        "second",
    ]
    block.trainable = False
    assert block.trainable_weights == []
    assert len(block.non_trainable_weights) == 6


def test_training_reaches_the_layers_inside() -> None:
    block = Block(50)
    x = np.ones((20, 4), "float32")
    assert np.all(block(x).numpy() == block(x).numpy())
    with random.stream(random.key(0)):
        first = block(x, training=True).numpy()
        second = block(x, training=True).numpy()
    assert np.any(first != second)


def test_names_are_counted_by_class() -> None:
    class Unheard(Layer):
        def call(self, inputs: Any) -> Any:
            return inputs

    assert [Unheard().name for _ in range(3)] == ["unheard", "unheard_1", "unheard_2"]


def test_dropout_keeps_sums_and_drops_its_share() -> None:
    x = np.ones((200, 200), "float32")
    layer = Dropout(0.3)
    with random.stream(random.key(1)):
        dropped = layer(x, training=True).numpy()
    share = np.mean(dropped == 0)
    assert abs(share - 0.3) < 0.01
    np.testing.assert_allclose(dropped[dropped != 0], 1 / 0.7, rtol=1e-6)
    assert layer(x) is not None
    np.testing.assert_array_equal(layer(x).numpy(), x)


def test_dropout_is_a_function_of_key_seed_and_place() -> None:
    x = np.ones((50, 50), "float32")

    def masks(seed: int, *layer_seeds: int | None) -> list[Any]:
        with random.stream(random.key(seed)):
            made = [Dropout(0.5, seed=s) for s in layer_seeds]
            return [layer(x, training=True).numpy() for layer in made]

    first, second = masks(0, None, None)
    assert np.any(first != second)
    np.testing.assert_array_equal(masks(0, None)[0], first)
    assert np.any(masks(1, None)[0] != first)
    assert np.any(masks(0, 5)[0] != masks(0, 6)[0])


def test_dropout_shares_its_mask_over_noise_shape() -> None:
    layer = Dropout(0.5, noise_shape=(None, 1))
    with random.stream(random.key(0)):
        dropped = layer(np.ones((40, 8), "float32"), training=True).numpy()
    assert {len(set(row.tolist())) for row in dropped} == {1}
    assert set(dropped[:, 0].tolist()) == {0.0, 2.0}


def test_a_compiled_call_reads_weights_anew() -> None:
    layer = Dense(1, kernel_initializer="ones")
    run = jit(lambda x: layer(x))
    x = np.ones((1, 2), "float32")
    layer(x)
    assert run(x).item() == 2.0
    layer.kernel.assign(np.full((2, 1), 3.0, "float32"))
    assert run(x).item() == 6.0
    assert run.traces == 1


def test_a_layer_is_built_at_once_inside_a_trace() -> None:
    layer = Dense(2)
    run = jit(lambda x: layer(x))
    x = np.ones((1, 2), "float32")
    assert_compiled(run(x).numpy(), layer(x).numpy())


def test_relu_has_the_variants_of_keras() -> None:
    x = np.array([-3.0, -1.0, 0.4, 0.6, 5.0, 7.0], "float32")
    layer = ReLU(max_value=6.0, negative_slope=0.5, threshold=0.5)
    expected = [-1.75, -0.75, -0.05, 0.6, 5.0, 6.0]
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-6, atol=1e-7)


def test_unknown_lengths_stay_unknown() -> None:
    assert Flatten().compute_output_shape((None, None, 3)) == (None, None)
    assert Dense(7).compute_output_shape((None, None, 3)) == (None, None, 7)
    assert Reshape((2, -1)).compute_output_shape((5, 6)) == (5, 2, 3)


def test_own_functions_and_classes_go_through_configs() -> None:
    def double(x: Any) -> Any:
        return x * 2

    layer = Dense(2, activation=double)
    with pytest.raises(ArgumentError, match="custom_object_scope"):
        layer.get_config()
    with custom_object_scope({"double": double, "Block": Block}):
        assert layer.get_config()["activation"] == "double"
        assert Dense.from_config(layer.get_config()).activation is double
        assert layers.deserialize(layers.serialize(Block(3))).units == 3
    with pytest.raises(ArgumentError, match="no layer of this name"):
        layers.deserialize({"class_name": "Block", "config": {"units": 3}})


LESSONS = {
    "units=0": (lambda: Dense(0), "units must be a positive integer"),
    "units=-3": (lambda: Dense(-3), "got:      units=-3"),
    "units float": (lambda: Dense(10.0), "fix:      units=10"),  # type: ignore[arg-type]
    "units bool": (lambda: Dense(True), "units must be a positive integer"),
    "activation": (lambda: Dense(3, "rleu"), "fix:      activation='relu'"),
    "initializer": (
        lambda: Dense(3, kernel_initializer="he_norm"),
        "fix:      kernel_initializer='he_normal'",
    ),
    "activation kind": (lambda: Dense(3, 5), "this is no activation"),
    "rate=1": (lambda: Dropout(1), "expected: 0 <= rate < 1"),
    "rate percent": (lambda: Dropout(50), "fix:      rate=0.5"),
    "rate text": (lambda: Dropout("0.5"), "share"),  # type: ignore[arg-type]
    "shape int": (lambda: Dense(3, input_shape=5), r"input_shape=\(5,\)"),  # type: ignore[arg-type]
    "shape zero": (lambda: InputLayer((0,)), "positive"),
    "reshape": (lambda: Reshape((-1, -1)), "at most one -1"),
    "slope": (lambda: ReLU(negative_slope=-1.0), "negative_slope must not be negative"),
    "name": (lambda: Dense(3, name="a/b"), "fix:      name='a_b'"),
    "dtype": (lambda: Dense(3, dtype="int32"), "floating-point"),
    "config": (
        lambda: Dense.from_config({"units": 3, "unit": 3}),
        "does not take",
    ),
}


@pytest.mark.parametrize("lesson", LESSONS)
def test_wrong_arguments_are_refused_at_once(lesson: str) -> None:
    make, text = LESSONS[lesson]
    with pytest.raises(ChainruleError, match=text):
        make()


def dense_of_width(width: int) -> Dense:
    layer = Dense(3, name="hidden")
    layer.build_for((None, width))
    return layer


WRONG_INPUTS = {
    "width": (lambda: dense_of_width(4)(np.ones((2, 5))), "expected: 4"),
    "one sample": (lambda: dense_of_width(4)(np.ones(4)), r"x\[None\]"),
    "at build": (lambda: Dense(3, name="hidden")(np.ones(4)), r"x\[:, None\]"),
    "unknown": (
        lambda: Dense(3, name="hidden").build_for((None, None)),
        "known length",
    ),
    "input": (lambda: InputLayer((3,), name="hidden")(np.ones((2, 4))), "expected: 3"),
    "reshape": (lambda: Reshape((4,), name="hidden")(np.ones((2, 5))), "5 numbers"),
    "noise": (
        lambda: Dropout(0.5, (1,), name="hidden")(np.ones((2, 5)), training=True),
        "2 lengths",
    ),
    "weights": (lambda: dense_of_width(4).set_weights([np.ones(3)]), "hidden/kernel"),
}


@pytest.mark.parametrize("lesson", WRONG_INPUTS)
def test_wrong_inputs_name_the_layer(lesson: str) -> None:
    call, text = WRONG_INPUTS[lesson]
    with pytest.raises(ShapeError, match=text) as caught:
        call()
    assert caught.value.where == "hidden"


def test_integers_and_booleans_are_computed_with() -> None:
    layer = Dense(1, kernel_initializer="ones")
    pixels = np.array([[1, 2]], "uint8")
    assert layer(pixels).item() == 3.0
    assert layer(functional.asarray([[True, False]])).item() == 1.0
