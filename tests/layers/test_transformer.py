"""Blocks of Transformers: parts, masks, caches, two sequences."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional, layers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.masks import mask_of
from tests.tolerances import PARITY, assert_close

Array = np.ndarray[Any, Any]
GENERATOR = np.random.default_rng(5)


def normal(*shape: int) -> Array:
    return GENERATOR.normal(size=shape).astype(np.float32)


def randomized(layer: Any, *inputs: Any) -> Any:
    layer(*inputs)
    layer.set_weights([normal(*weight.shape) * 0.4 for weight in layer.weights])
    return layer


@pytest.mark.parametrize("first", [False, True])
def test_an_encoder_is_two_parts(first: bool) -> None:
    x = normal(2, 5, 8)
    block = randomized(
        layers.TransformerEncoder(6, 2, activation="tanh", normalize_first=first), x
    )
    attention, dense = block.self_attention_layer, block.feedforward_output_dense
    inner = block.feedforward_intermediate_dense
    one, two = block.self_attention_layer_norm, block.feedforward_layer_norm
    x = functional.asarray(x)
    if first:
        h = x + attention(one(x))
        expected = h + dense(inner(two(h)))
    else:
        h = one(x + attention(x))
        expected = two(h + dense(inner(h)))
    assert_close(block(x).numpy(), expected.numpy(), PARITY)
    outputs, weights = block(x, return_attention_scores=True)
    assert_close(outputs.numpy(), expected.numpy(), PARITY)
    assert_close(weights.numpy().sum(-1), np.ones((2, 2, 5), "float32"), PARITY)


@pytest.mark.parametrize("first", [False, True])
def test_padding_changes_nothing_of_what_counts(first: bool) -> None:
    x = normal(2, 7, 8)
    block = randomized(layers.TransformerEncoder(6, 2, normalize_first=first), x)
    mask = np.arange(7) < np.array([[4], [7]])
    short = block(x[:1, :4]).numpy()
    assert_close(block(x, padding_mask=mask).numpy()[:1, :4], short, PARITY)
    assert not np.allclose(block(x).numpy()[:1, :4], short, atol=1e-3)
    within = np.tile(mask[:, None, :], (1, 7, 1))
    assert_close(block(x, attention_mask=within).numpy()[:1, :4], short, PARITY)


def test_masks_travel_through_blocks_without_a_warning() -> None:
    words = np.array([[3, 4, 0], [0, 0, 0]])
    vectors = layers.Embedding(9, 8, mask_zero=True)(words)
    stack = [layers.TransformerEncoder(6, 2), layers.TransformerEncoder(6, 2)]
    decoder = layers.TransformerDecoder(6, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = vectors
        for block in stack:
            found = block(found)
        crossed = decoder(layers.Embedding(9, 8, mask_zero=True)(words[:, :2]), found)
    assert mask_of(found).tolist() == (words != 0).tolist()
    assert mask_of(crossed).tolist() == (words[:, :2] != 0).tolist()
    assert np.isfinite(found.numpy()).all()
    assert np.isfinite(crossed.numpy()).all()
    plain = stack[1](stack[0](vectors[:1, :2]))
    assert_close(found.numpy()[:1, :2], plain.numpy(), PARITY)


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("kind", [layers.TransformerEncoder, layers.TransformerDecoder])
def test_short_sequences(kind: Any, steps: int) -> None:
    found = kind(6, 2)(normal(1, steps, 8))
    assert found.shape == (1, steps, 8)
    assert np.isfinite(found.numpy()).all()


def test_a_decoder_sees_nothing_that_comes_later() -> None:
    x = normal(1, 6, 8)
    block = randomized(layers.TransformerDecoder(6, 2, normalize_first=True), x)
    whole = block(x).numpy()
    for length in (1, 3, 5):
        assert_close(block(x[:, :length]).numpy(), whole[:, :length], PARITY)
    later = block(x, use_causal_mask=False).numpy()
    assert not np.allclose(later[:, 0], whole[:, 0], atol=1e-3)


@pytest.mark.parametrize("first", [False, True])
def test_steps_with_caches_are_the_whole(first: bool) -> None:
    x, source = normal(2, 5, 8), normal(2, 3, 8)
    block = layers.TransformerDecoder(6, 2, normalize_first=first)
    randomized(block, x, source)
    padding = np.array([[True, True, False], [True] * 3])
    expected = block(x, source, encoder_padding_mask=padding).numpy()
    own, across = np.zeros((2, 2, 5, 2, 4)), np.zeros((2, 2, 3, 2, 4))
    place: Any = 0
    for i in range(5):
        found, own, across = block(
            x[:, i : i + 1],
            source,
            encoder_padding_mask=padding,
            self_attention_cache=own,
            self_attention_cache_update_index=i,
            cross_attention_cache=across,
            cross_attention_cache_update_index=place,
        )
        place = None
        assert_close(found.numpy(), expected[:, i : i + 1], PARITY)


def test_a_compiled_step_with_a_cache() -> None:
    x = normal(2, 5, 8)
    block = randomized(layers.TransformerDecoder(6, 2), x)
    expected = block(x).numpy()

    @chainrule.jit
    def step(x: Any, cache: Any, index: Any) -> Any:
        return block(
            x, self_attention_cache=cache, self_attention_cache_update_index=index
        )

    cache = functional.zeros((2, 2, 5, 2, 4))
    for i in range(5):
        found, cache = step(
            functional.asarray(x[:, i : i + 1]), cache, functional.asarray(i)
        )
        assert_close(found.numpy(), expected[:, i : i + 1], PARITY)


def test_masks_of_a_decoder_are_those_of_all_its_reasons() -> None:
    block = layers.TransformerDecoder(6, 2)
    x = functional.zeros((2, 3, 8))
    padding = [[True, True, False], [True, True, True]]
    found = block.compute_self_attention_mask(x, padding)
    assert found.shape == (2, 3, 3)
    assert found[0].tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0]]
    assert found[1].tolist() == np.tri(3, dtype=bool).tolist()
    cache = np.zeros((2, 2, 4, 2, 4))
    later = block.compute_self_attention_mask(
        x[:, :1], self_attention_cache=cache, self_attention_cache_update_index=2
    )
    assert later.tolist() == [[[True, True, True, False]]]
    assert block.compute_self_attention_mask(x, use_causal_mask=False) is None


def test_sequences_and_caches_do_not_come_and_go() -> None:
    x, source = normal(1, 2, 8), normal(1, 3, 8)
    one, two = layers.TransformerDecoder(6, 2), layers.TransformerDecoder(6, 2)
    one(x)
    two(x, source)
    with pytest.raises(ArgumentError, match="one sequence"):
        one(x, source)
    with pytest.raises(ArgumentError, match="two sequences"):
        two(x)
    with pytest.raises(ArgumentError, match="two caches"):
        two(x, source, self_attention_cache=np.zeros((1, 2, 2, 2, 4)))


def test_inputs_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(ShapeError, match="heads"):
        layers.TransformerEncoder(6, 4)(normal(1, 2, 3))
    with pytest.raises(ShapeError, match="heads"):
        layers.TransformerDecoder(6, 4)(normal(2, 8))


def test_a_translator_is_trained_saved_and_loaded(tmp_path: Any) -> None:
    source = chainrule.Input((None,), dtype="int32")
    target = chainrule.Input((None,), dtype="int32")
    read = layers.TokenAndPositionEmbedding(12, 8, 8, mask_zero=True)(source)
    read = layers.TransformerEncoder(16, 2, dropout=0.1)(read)
    said = layers.TokenAndPositionEmbedding(12, 8, 8, mask_zero=True)(target)
    said = layers.TransformerDecoder(16, 2, dropout=0.1)(said, encoder_sequence=read)
    model = chainrule.Model([source, target], layers.Dense(12)(said))
    loss = chainrule.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(chainrule.optimizers.Adam(0.01), loss)
    words = GENERATOR.integers(1, 12, (64, 7)).astype("int32")
    words[:, 5:] *= GENERATOR.random((64, 2)) < 0.5
    before = np.roll(words, 1, axis=1)
    before[:, 0] = 1
    history = model.fit([words, before], words, epochs=12, verbose=0, batch_size=16)
    assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]
    expected = model.predict([words, before], verbose=0)
    model.save(tmp_path / "model.chainrule")
    again = chainrule.load_model(tmp_path / "model.chainrule")
    found = again.predict([words, before], verbose=0)
    np.testing.assert_array_equal(found, expected)
