"""Attention that shares heads, attention without projections, and rotated heads."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional, layers
from chainrule.configurable import custom_object_scope
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.masks import mask_of
from tests.tolerances import PARITY, assert_close

Array = np.ndarray[Any, Any]
GENERATOR = np.random.default_rng(7)


def normal(*shape: int) -> Array:
    return GENERATOR.normal(size=shape).astype(np.float32)


# ---- heads that are shared -----------------------------------------------------------


def test_groups_are_heads_that_are_repeated() -> None:
    x = normal(2, 5, 8)
    grouped = layers.GroupedQueryAttention(3, 4, 2)
    full = layers.MultiHeadAttention(4, 3)
    grouped(x)
    full(x)
    weights = [normal(*weight.shape) for weight in grouped.weights]
    grouped.set_weights(weights)
    wq, bq, *pairs, wo, bo = weights
    spread = [np.repeat(each, 2, axis=-2) for each in pairs]
    full.set_weights([wq, bq, *spread, wo, bo])
    for options in ({}, {"use_causal_mask": True}):
        found, shares = grouped(x, return_attention_scores=True, **options)
        expected, weights_ = full(x, return_attention_scores=True, **options)
        assert_close(found.numpy(), expected.numpy(), PARITY)
        assert_close(shares.numpy(), weights_.numpy(), PARITY)


def test_heads_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ArgumentError, match="cannot be divided"):
        layers.GroupedQueryAttention(3, 4, 3)


# ---- no projections ------------------------------------------------------------------


def softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    found: Array = raised / raised.sum(-1, keepdims=True)
    return found


def test_products_and_sums_are_those_of_the_formulas() -> None:
    query, value, key = normal(2, 3, 4), normal(2, 5, 6), normal(2, 5, 4)
    products = np.einsum("btc,bsc->bts", query, key)
    added = np.tanh(query[:, :, None] + key[:, None])
    scale = normal(4)
    for layer, scores in (
        (layers.Attention(), products),
        (layers.Attention(score_mode="concat"), added.sum(-1)),
        (layers.AdditiveAttention(), (added * scale).sum(-1)),
        (layers.AdditiveAttention(use_scale=False), added.sum(-1)),
    ):
        layer([query, value, key])
        if isinstance(layer, layers.AdditiveAttention) and layer.use_scale:
            layer.set_weights([scale])
        weights = softmax(scores)
        found, shares = layer([query, value, key], return_attention_scores=True)
        assert_close(shares.numpy(), weights, PARITY)
        assert_close(found.numpy(), weights @ value, PARITY)
        plain = layer([query, value, key])
        assert_close(plain.numpy(), weights @ value, PARITY)


@pytest.mark.parametrize("kind", [layers.Attention, layers.AdditiveAttention])
def test_masks_of_queries_and_values(kind: Any) -> None:
    embed = layers.Embedding(9, 4, mask_zero=True)
    query, value = embed(np.array([[3, 1, 0]])), embed(np.array([[4, 0, 5, 0]]))
    layer = kind()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = layer([query, value])
    assert mask_of(found).tolist() == [[True, True, False]]
    seen = layer([query[:, :2], functional.take(value, [0, 2], axis=1)])
    assert_close(found.numpy()[:, :2], seen.numpy(), PARITY)
    assert not found.numpy()[:, 2].any()
    told = layer([query, value], mask=[None, np.ones((1, 4), bool)])
    assert not np.allclose(told.numpy()[:, :2], seen.numpy())


@pytest.mark.parametrize("kind", [layers.Attention, layers.AdditiveAttention])
def test_nothing_to_see_gives_zeros(kind: Any) -> None:
    query, value = normal(2, 3, 4), normal(2, 5, 4)
    mask = [None, np.array([[False] * 5, [True] * 5])]
    for options in ({}, {"return_attention_scores": True}):
        found = kind()([query, value], mask=mask, **options)
        for each in found if options else [found]:
            assert not each.numpy()[0].any()
            assert each.numpy()[1].any()
    assert (
        kind()([query, value[:, :0]]).numpy().tolist() == np.zeros((2, 3, 4)).tolist()
    )
    assert kind()([query[:, :0], value]).shape == (2, 0, 4)


@pytest.mark.parametrize("mode", ["dot", "concat"])
def test_causal_order_without_projections(mode: str) -> None:
    x = normal(1, 6, 4)
    layer = layers.Attention(score_mode=mode)
    whole = layer([x, x], use_causal_mask=True).numpy()
    assert_close(whole[:, 0], x[:, 0], PARITY)
    short = layer([x[:, :3], x[:, :3]], use_causal_mask=True)
    assert_close(whole[:, :3], short.numpy(), PARITY)


@pytest.mark.parametrize("mode", ["dot", "concat"])
def test_weights_are_dropped_in_training_alone(mode: str) -> None:
    x, ones = normal(1, 40, 4), np.ones((1, 50, 4), "float32")
    layer = layers.Attention(score_mode=mode, dropout=0.5, seed=1)
    assert_close(layer([x, ones]).numpy(), np.ones_like(x), PARITY)
    with random.stream(random.key(0)):
        dropped = layer([x, ones], training=True).numpy()
    assert abs(dropped.mean() - 1) < 0.1
    assert dropped.std() > 0.05


def test_inputs_that_are_no_pair_are_refused() -> None:
    x = normal(1, 2, 4)
    for wrong in (x, [x], [x, x, x, x]):
        with pytest.raises(ArgumentError, match="list of two or three"):
            layers.Attention()(wrong)
    with pytest.raises(ShapeError, match="do not fit"):
        layers.Attention()([x, normal(1, 3, 5)])
    with pytest.raises(ShapeError, match="do not fit"):
        layers.AdditiveAttention()([x, normal(1, 3, 4), normal(1, 2, 4)])
    with pytest.raises(ArgumentError, match="score_mode"):
        layers.Attention(score_mode="sum")


def test_attention_of_a_model_is_saved(tmp_path: Any) -> None:
    one, two = chainrule.Input((None, 4)), chainrule.Input((None, 4))
    found = layers.Attention(use_scale=True)([one, two])
    model = chainrule.Model([one, two], layers.AdditiveAttention()([found, two]))
    x, y = normal(2, 3, 4), normal(2, 5, 4)
    model.save(tmp_path / "model.chainrule")
    again = chainrule.load_model(tmp_path / "model.chainrule")
    expected = model.predict([x, y], verbose=0)
    np.testing.assert_array_equal(again.predict([x, y], verbose=0), expected)


# ---- rotations inside ----------------------------------------------------------------


class Turned(layers.CachedMultiHeadAttention):
    """Attention that knows how far steps are apart."""

    def build(self, *shapes: Any) -> None:
        super().build(*shapes)
        self.rotary = layers.RotaryEmbedding()

    def place(self, query: Any, key: Any, start: Any = 0) -> tuple[Any, Any]:
        turn = self.rotary
        return turn(query, start_index=start), turn(key, start_index=start)


class Block(layers.TransformerDecoder):
    """A block with such attention."""

    attention = Turned


def test_rotated_attention_knows_distances_alone() -> None:
    x = normal(1, 6, 8)
    block = Block(8, 2)
    whole = block(x).numpy()
    plain = layers.TransformerDecoder(8, 2)
    plain(x)
    plain.set_weights(block.get_weights())
    assert_close(plain(x).numpy()[:, 0], whole[:, 0], PARITY)
    assert not np.allclose(plain(x).numpy(), whole, atol=1e-3)
    cache = np.zeros((1, 2, 6, 2, 4))
    for i in range(6):
        found, cache = block(
            x[:, i : i + 1],
            self_attention_cache=cache,
            self_attention_cache_update_index=i,
        )
        assert_close(found.numpy(), whole[:, i : i + 1], PARITY)


def test_rotated_blocks_are_saved(tmp_path: Any) -> None:
    inputs = chainrule.Input((None, 8))
    model = chainrule.Model(inputs, Block(8, 2)(inputs))
    model.save(tmp_path / "model.chainrule")
    with custom_object_scope({"Block": Block}):
        again = chainrule.load_model(tmp_path / "model.chainrule")
    x = normal(2, 5, 8)
    found, expected = (m.predict(x, verbose=0) for m in (again, model))
    np.testing.assert_array_equal(found, expected)
