import numpy as np
import pytest

import chainrule
from chainrule import Sequential
from chainrule.errors import ArgumentError
from chainrule.layers import Dense, Dropout, Input, InputLayer
from tests.tolerances import assert_close

X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


def test_the_output_is_that_of_the_layers_in_a_row():
    model = Sequential([Dense(5, "relu", input_shape=(4,)), Dense(2)])
    kernel, bias, kernel_2, bias_2 = model.get_weights()
    expected = np.maximum(X @ kernel + bias, 0) @ kernel_2 + bias_2
    assert_close(model(X).numpy(), expected)
    assert_close(model.predict(X, verbose=0), expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sequential([Dense(3, input_shape=(4,)), Dense(2)]),
        lambda: Sequential([Input(shape=(4,)), Dense(3), Dense(2)]),
        lambda: Sequential([InputLayer(shape=(4,)), Dense(3), Dense(2)]),
        lambda: Sequential([Sequential([Dense(3, input_shape=(4,))]), Dense(2)]),
    ],
    ids=["input_shape", "Input", "InputLayer", "nested"],
)
def test_weights_are_made_at_once_where_the_shape_is_told(make):
    model = make()
    assert model.built
    assert [w.shape for w in model.weights] == [(4, 3), (3,), (3, 2), (2,)]
    assert model.output_shape == (None, 2)
    assert len(model.layers) == 2


def test_weights_are_made_at_the_first_data_where_it_is_not():
    model = Sequential([Dense(3), Dense(2)])
    assert not model.built
    assert model.weights == []
    assert model.output_shape is None
    model(X)
    assert model.built
    assert model.output_shape == (None, 2)
    assert model.count_params() == 23


def test_predict_makes_weights_too():
    model = Sequential([Dense(3), Dense(2)])
    assert model.predict(X, verbose=0).shape == (20, 2)


def test_layers_are_added_and_taken_away():
    model = Sequential()
    model.add(Input(shape=(4,)))
    model.add(Dense(3, name="a"))
    before = model.get_weights()
    model.add(Dense(2, name="b"))
    assert model.output_shape == (None, 2)
    assert model.pop().name == "b"
    assert model.output_shape == (None, 3)
    assert [layer.name for layer in model.layers] == ["a"]
    for a, b in zip(before, model.get_weights(), strict=True):
        assert (a == b).all()
    assert model.predict(X, verbose=0).shape == (20, 3)


def test_a_model_trains_after_its_layers_have_changed():
    model = Sequential([Dense(3, input_shape=(4,))])
    model.compile("adam", "mse")
    model.fit(X, X[:, :3], verbose=0)
    model.add(Dense(1))
    model.fit(X, X[:, 0], verbose=0)
    assert model.predict(X, verbose=0).shape == (20, 1)


def test_nothing_can_be_taken_from_nothing():
    with pytest.raises(ArgumentError, match="no layer to remove"):
        Sequential().pop()


@pytest.mark.parametrize(
    ("given", "fix"),
    [
        (Dense, "Dense(...), an instance and not the class"),
        ("relu", "Activation('relu')"),
        (chainrule.tanh, "Activation('tanh')"),
    ],
)
def test_what_is_no_layer_is_refused_with_the_line_that_is_meant(given, fix):
    with pytest.raises(ArgumentError) as caught:
        Sequential([given])
    assert fix in str(caught.value)


def test_two_layers_of_one_name_are_refused():
    with pytest.raises(ArgumentError, match="name='same_b'"):
        Sequential([Dense(2, name="same"), Dense(2, name="same")])
    layer = Dense(4)
    with pytest.raises(ArgumentError, match="stands twice"):
        Sequential([layer, layer])


def test_layers_are_found_by_name_and_place():
    model = Sequential([Dense(3, name="a", input_shape=(4,)), Dense(2, name="b")])
    assert model.get_layer("b") is model.get_layer(index=-1) is model.layers[1]
    with pytest.raises(ArgumentError, match="expected: a, b"):
        model.get_layer("c")
    with pytest.raises(ArgumentError, match="index=2"):
        model.get_layer(index=2)


def test_nested_models_train_as_one():
    chainrule.set_seed(0)
    flat = Sequential([Dense(3, "tanh", input_shape=(4,)), Dropout(0.1), Dense(1)])
    inner = Sequential([Dense(3, "tanh", input_shape=(4,)), Dropout(0.1)])
    nested = Sequential([inner, Dense(1)])
    nested.set_weights(flat.get_weights())
    histories = []
    for model in (flat, nested):
        model.compile("adam", "mse")
        run = model.fit(X, X[:, 0], epochs=3, verbose=0, seed=1)
        histories.append(run.history)
    assert histories[0] == histories[1]


def test_dropout_acts_while_training_only():
    model = Sequential([Dropout(0.5, input_shape=(4,))])
    assert (model(X).numpy() == X).all()
    assert (model(X, training=True).numpy() == 0).any()


def test_config_and_repr_describe_the_model():
    model = Sequential([Dense(3, "relu", input_shape=(4,), name="a"), Dropout(0.5)])
    made = Sequential.from_config(model.get_config())
    assert made.get_config() == model.get_config()
    assert [w.shape for w in made.weights] == [w.shape for w in model.weights]
    assert "Dense(3, activation='relu'" in repr(model)


def test_summary_of_a_model_without_weights():
    lines = []
    Sequential([Dense(3)]).summary(print_fn=lines.append)
    assert "?" in lines[0]
    assert "no weights yet" in lines[0]
