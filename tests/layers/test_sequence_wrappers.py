"""Layers around recurrent layers, and states that outlast a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional, layers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.masks import mask_of
from tests.tolerances import PARITY, assert_close

Array = np.ndarray[Any, Any]
GENERATOR = np.random.default_rng(6)


def normal(*shape: int) -> Array:
    return GENERATOR.normal(size=shape).astype(np.float32)


# ---- both directions -----------------------------------------------------------------


@pytest.mark.parametrize("sequences", [False, True])
def test_both_directions_are_two_layers(sequences: bool) -> None:
    both = layers.Bidirectional(layers.LSTM(3, return_sequences=sequences))
    x = normal(2, 5, 4)
    found = both(x).numpy()
    one, two = layers.LSTM(3, return_sequences=sequences), layers.LSTM(3)
    two = layers.LSTM(3, return_sequences=sequences)
    one(x)
    two(x)
    weights = both.get_weights()
    one.set_weights(weights[:3])
    two.set_weights(weights[3:])
    assert not np.array_equal(weights[0], weights[3])
    back = two(x[:, ::-1]).numpy()
    back = back[:, ::-1] if sequences else back
    wanted = np.concatenate([one(x).numpy(), back], axis=-1)
    assert_close(found, wanted, PARITY)


def test_padding_changes_nothing_in_either_direction() -> None:
    layer = layers.Bidirectional(layers.GRU(3, return_sequences=True))
    x = normal(1, 4, 2)
    padded = np.concatenate([x, np.zeros((1, 3, 2), np.float32)], axis=1)
    found = layer(layers.Masking()(padded))
    assert_close(found.numpy()[:, :4], layer(x).numpy(), PARITY)
    assert not found.numpy()[:, 4:].any()
    assert mask_of(found).tolist() == [[True] * 4 + [False] * 3]
    pair = layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode=None)
    assert all(mask_of(part) is not None for part in pair(layers.Masking()(padded)))


def test_states_of_both_directions() -> None:
    layer = layers.Bidirectional(layers.LSTM(3, return_state=True), merge_mode="sum")
    x = normal(2, 4, 2)
    output, *states = layer(x)
    assert output.shape == (2, 3)
    assert len(states) == 4
    again, *_ = layer(x[:, :0], initial_state=states)
    assert again.shape == (2, 3)
    reference, *_ = layer.forward_layer(x, initial_state=states[:2])
    both, *_ = layer(x, initial_state=states)
    back, *_ = layer.backward_layer(x, initial_state=states[2:])
    np.testing.assert_array_equal(both.numpy(), (reference + back).numpy())


def test_a_backward_layer_of_ones_own() -> None:
    layer = layers.Bidirectional(
        layers.LSTM(3, return_sequences=True),
        backward_layer=layers.GRU(4, return_sequences=True, go_backwards=True),
    )
    assert layer(normal(2, 5, 2)).shape == (2, 5, 7)
    again = layers.deserialize(layers.serialize(layer))
    assert isinstance(again, layers.Bidirectional)
    assert type(again.backward_layer) is layers.GRU
    again.build_for((None, None, 2))
    again.set_weights(layer.get_weights())
    x = normal(2, 5, 2)
    np.testing.assert_array_equal(again(x).numpy(), layer(x).numpy())


def test_weights_to_begin_with() -> None:
    first = layers.Bidirectional(layers.SimpleRNN(3))
    x = normal(2, 5, 2)
    wanted = first(x).numpy()
    second = layers.Bidirectional(layers.SimpleRNN(3), weights=first.get_weights())
    np.testing.assert_array_equal(second(x).numpy(), wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": layers.Dense(3)}, "recurrent layer"),
        ({"layer": layers.LSTM(3), "merge_mode": "max"}, "merge"),
        (
            {"layer": layers.LSTM(3), "backward_layer": layers.LSTM(3)},
            "same direction",
        ),
        (
            {
                "layer": layers.LSTM(3),
                "backward_layer": layers.LSTM(
                    3, go_backwards=True, return_sequences=True
                ),
            },
            "same return_sequences",
        ),
    ],
)
def test_mistakes_are_explained(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        layers.Bidirectional(**arguments)


# ---- a layer for each step -----------------------------------------------------------


def test_a_layer_for_each_step() -> None:
    inner = layers.Conv1D(3, 2)
    layer = layers.TimeDistributed(inner)
    x = normal(2, 4, 5, 2)
    found = layer(x).numpy()
    for step in range(4):
        assert_close(found[:, step], inner(x[:, step]).numpy(), PARITY)
    assert layer(x[:, :0]).shape == (2, 0, 4, 3)
    assert layer(x[:0]).shape == (0, 4, 4, 3)
    nested = layers.TimeDistributed(layers.LSTM(3, return_state=True))
    assert [part.shape for part in nested(x)] == [(2, 4, 3)] * 3


def test_masks_of_steps_and_within_steps() -> None:
    x = normal(2, 3, 4, 2)
    outer = np.array([[1, 1, 0], [0, 1, 1]], bool)
    layer = layers.TimeDistributed(layers.GRU(3))
    plain = layer(x).numpy()
    np.testing.assert_array_equal(layer(x, mask=outer).numpy(), plain)
    steps = layers.TimeDistributed(layers.Dense(3))
    masked = layers.Masking()(np.where(outer[..., None], normal(2, 3, 2), 0))
    np.testing.assert_array_equal(mask_of(steps(masked)).numpy(), outer)
    within = GENERATOR.random((2, 3, 4)) < 0.5
    found = layer(x, mask=within).numpy()
    for step in range(3):
        inner = layer.layer(x[:, step], mask=within[:, step]).numpy()
        assert_close(found[:, step], inner, PARITY)
    with pytest.raises(ShapeError, match="mask says"):
        steps(normal(2, 3, 2), mask=np.ones((2, 4), bool))
    with pytest.raises(ShapeError, match="axis of steps"):
        layers.TimeDistributed(layers.Dense(3))(normal(2, 3))


# ---- states from batch to batch ------------------------------------------------------


def stateful() -> tuple[Any, Any]:
    """A model that goes on from batch to batch, and its recurrent layer."""
    model = chainrule.Sequential(
        [
            layers.Input(batch_shape=(2, 3, 2)),
            layers.GRU(4, stateful=True, return_sequences=True),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    return model, model.layers[0]


def whole(model: Any) -> Any:
    """The same network without a memory, for sequences of any length."""
    other = chainrule.Sequential(
        [
            layers.Input((None, 2)),
            layers.GRU(4, return_sequences=True),
            layers.Dense(1),
        ]
    )
    other.set_weights([w for w in model.get_weights() if w.shape != (2, 4)])
    return other


def test_predict_and_evaluate_go_on() -> None:
    model, layer = stateful()
    x = normal(2, 12, 2)
    pieces = np.concatenate([x[:, i : i + 3] for i in range(0, 12, 3)])
    wanted = whole(model).predict(x, verbose=0)
    found = model.predict(pieces, batch_size=2, verbose=0)
    found = np.concatenate(np.split(found, 4), axis=1)
    assert_close(found, wanted, PARITY)
    state = layer.states[0].numpy()
    assert state.any()
    model.reset_states()
    assert not layer.states[0].numpy().any()
    parts = [model.predict_on_batch(x[:, i : i + 3]) for i in range(0, 12, 3)]
    assert_close(np.concatenate(parts, axis=1), wanted, PARITY)
    assert_close(layer.states[0].numpy(), state, PARITY)
    layer.reset_state()
    y = np.concatenate([wanted[:, i : i + 3] for i in range(0, 12, 3)])
    loss = model.evaluate(pieces, y, batch_size=2, verbose=0)
    assert loss < 1e-9
    assert_close(layer.states[0].numpy(), state, PARITY)


def test_fit_goes_on() -> None:
    """With a step size of 0 the losses are those of the whole sequence."""
    model, layer = stateful()
    model.compile(chainrule.optimizers.SGD(0.0), "mse")
    x, y = normal(2, 6, 2), normal(2, 6, 1)
    halves = [np.concatenate(np.split(part, 2, axis=1)) for part in (x, y)]
    history = model.fit(*halves, batch_size=2, shuffle=False, verbose=0).history
    wanted = ((whole(model).predict(x, verbose=0) - y) ** 2).mean()
    assert history["loss"][0] == pytest.approx(wanted, rel=1e-4)
    first = layer.states[0].numpy()
    model.fit(*halves, batch_size=2, shuffle=False, verbose=0)
    assert not np.array_equal(layer.states[0].numpy(), first)
    model.reset_states()
    model.fit(*halves, batch_size=2, shuffle=False, verbose=0)
    assert_close(layer.states[0].numpy(), first, PARITY)


def test_another_number_of_samples_is_refused() -> None:
    model, _ = stateful()
    with pytest.raises(ShapeError):
        model.predict(normal(3, 3, 2), batch_size=2, verbose=0)


def test_both_directions_can_be_reset() -> None:
    layer = layers.Bidirectional(layers.GRU(2, stateful=True))
    x = normal(2, 3, 2)
    first = layer(x).numpy()
    assert not np.array_equal(layer(x).numpy(), first)
    layer.reset_states()
    np.testing.assert_array_equal(layer(x).numpy(), first)
    with pytest.raises(ArgumentError, match="keep no state"):
        layers.Bidirectional(layers.GRU(2)).reset_state()


# ---- both kinds of memory in a saved model -------------------------------------------


def test_wrapped_layers_are_saved_with_a_model(tmp_path: Any) -> None:
    words = chainrule.Input((None,), dtype="int32")
    vectors = layers.Embedding(9, 4, mask_zero=True)(words)
    states = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(vectors)
    steps = layers.TimeDistributed(layers.Dense(2, "softmax"))(states)
    model = chainrule.Model(words, steps)
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.array([[1, 2, 0], [4, 0, 0]], np.int32)
    model.fit(x, x % 2, verbose=0)
    model.save(tmp_path / "tagger.chainrule")
    again = chainrule.load_model(tmp_path / "tagger.chainrule")
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    loss = model.evaluate(x, x % 2, verbose=0)
    assert again.evaluate(x, x % 2, verbose=0) == loss
    assert functional.asarray(loss).shape == ()
