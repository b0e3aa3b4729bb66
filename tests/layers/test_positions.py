"""Positions: learnt, waves, and rotations."""

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
GENERATOR = np.random.default_rng(4)


def normal(*shape: int) -> Array:
    return GENERATOR.normal(size=shape).astype(np.float32)


KINDS = [
    lambda: layers.PositionEmbedding(12),
    layers.SinePositionEncoding,
    layers.RotaryEmbedding,
]


@pytest.mark.parametrize("make", KINDS)
def test_where_a_sequence_starts_can_be_told_in_three_ways(make: Any) -> None:
    layer, x = make(), normal(2, 9, 6)
    whole = layer(x).numpy()
    part = x[:, 4:7]
    places = np.tile(np.arange(4, 7), (2, 1))
    assert_close(layer(part, start_index=4).numpy(), whole[:, 4:7], PARITY)
    assert_close(layer(part, positions=places).numpy(), whole[:, 4:7], PARITY)
    assert_close(layer(part, positions=places[0]).numpy(), whole[:, 4:7], PARITY)
    start = chainrule.jit(lambda x, i: layer(x, start_index=i))
    found = start(functional.asarray(part), functional.asarray(4)).numpy()
    assert_close(found, whole[:, 4:7], PARITY)
    told = chainrule.jit(lambda x, p: layer(x, positions=p))
    found = told(functional.asarray(part), functional.asarray(places)).numpy()
    assert_close(found, whole[:, 4:7], PARITY)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("steps", [0, 1])
def test_short_sequences(make: Any, steps: int) -> None:
    assert make()(normal(2, steps, 6)).shape == (2, steps, 6)


def test_places_without_a_vector_are_refused() -> None:
    layer = layers.PositionEmbedding(5)
    for arguments in ({}, {"start_index": 3}, {"positions": [0, 1, 9, 2, 3, 4]}):
        with pytest.raises(ShapeError, match="no vector"):
            layer(
                normal(1, 6 if arguments != {"start_index": 3} else 3, 2), **arguments
            )
    with pytest.raises(ShapeError, match="no vector"):
        layer(normal(1, 2, 2), start_index=-1)
    with pytest.raises(ShapeError, match="no vector"):
        chainrule.jit(layer)(functional.zeros((1, 6, 2)))


def test_models_of_any_length_have_a_longest() -> None:
    words = chainrule.Input((None,), dtype="int32")
    vectors = layers.TokenAndPositionEmbedding(9, 5, 4)(words)
    model = chainrule.Model(words, vectors)
    assert model.output_shape == (None, None, 4)
    assert model.predict(np.ones((2, 5), "int32"), verbose=0).shape == (2, 5, 4)
    with pytest.raises(ShapeError, match="no vector"):
        model.predict(np.ones((2, 6), "int32"), verbose=0)


def test_words_and_places_are_added() -> None:
    layer = layers.TokenAndPositionEmbedding(9, 5, 4, mask_zero=True)
    words = np.array([[3, 0, 8], [0, 0, 0]])
    found = layer(words)
    tokens, places = layer.get_weights()
    assert_close(found.numpy(), tokens[words] + places[:3])
    assert mask_of(found).tolist() == (words != 0).tolist()
    scores = layer.token_embedding(found, reverse=True)
    assert scores.shape == (2, 3, 9)
    assert mask_of(layers.TokenAndPositionEmbedding(9, 5, 4)(words)) is None


def test_waves_are_those_of_the_paper() -> None:
    place, feature = np.indices((7, 6))
    angle = place / 10000 ** (2 * (feature // 2) / 6)
    expected = np.where(feature % 2, np.cos(angle), np.sin(angle)).astype("float32")
    found = layers.SinePositionEncoding()(np.zeros((3, 7, 6), "float32"))
    assert_close(found.numpy(), np.tile(expected, (3, 1, 1)), PARITY)
    odd = layers.SinePositionEncoding(50)(np.zeros((1, 2, 5), "float32")).numpy()
    assert_close(odd[0, 1, 4], np.float32(np.sin(50.0 ** (-4 / 5))), PARITY)


def test_products_of_turned_vectors_know_the_distance_alone() -> None:
    layer = layers.RotaryEmbedding()
    q, k = np.tile(normal(1, 1, 8), (1, 30, 1)), np.tile(normal(1, 1, 8), (1, 30, 1))
    products = layer(q).numpy()[0] @ layer(k).numpy()[0].T
    for distance in (0, 3, 11):
        line = np.diagonal(products, distance)
        assert_close(line, np.full_like(line, line[0]), PARITY)
    assert abs(products[0, 0] - products[0, 5]) > 1e-3


def test_axes_of_rotations_may_stand_anywhere() -> None:
    x = normal(2, 5, 3, 6)
    expected = layers.RotaryEmbedding()(x).numpy()
    turned = layers.RotaryEmbedding(sequence_axis=-1, feature_axis=1)
    found = turned(x.transpose(0, 3, 2, 1)).numpy()
    assert_close(found.transpose(0, 3, 2, 1), expected)


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn"])
def test_scaled_rotations_turn_slower(kind: str) -> None:
    plain = layers.RotaryEmbedding()._frequencies(16)
    slow = layers.RotaryEmbedding(rope_type=kind, scaling_factor=4.0)._frequencies(16)
    assert (slow <= plain * (1 + 1e-12)).all()
    assert slow[-1] < plain[-1] / 3
    same = layers.RotaryEmbedding(rope_type=kind)._frequencies(16)
    np.testing.assert_allclose(same, plain)
    if kind == "yarn":
        assert slow[0] == plain[0]


def test_what_cannot_be_turned_is_refused() -> None:
    with pytest.raises(ArgumentError, match="rope_type"):
        layers.RotaryEmbedding(rope_type="other")
    with pytest.raises(ShapeError, match="pairs"):
        layers.RotaryEmbedding()(normal(1, 2, 5))
    with pytest.raises(ArgumentError, match="axes"):
        layers.RotaryEmbedding(sequence_axis=-1)(normal(1, 2, 4))
    with pytest.raises(ArgumentError, match="wave length"):
        layers.SinePositionEncoding(0)
