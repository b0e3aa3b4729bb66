"""Attention among heads: formulas, masks, axes, caches, and lengths of 0 and 1."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional, layers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.masks import mask_of, with_mask
from tests.tolerances import PARITY, assert_close

Array = np.ndarray[Any, Any]
GENERATOR = np.random.default_rng(3)


def normal(*shape: int) -> Array:
    return GENERATOR.normal(size=shape).astype(np.float32)


def randomized(layer: Any, *inputs: Any) -> Any:
    """The layer, with weights that are not small, and biases that are not 0."""
    layer(*inputs)
    layer.set_weights([normal(*weight.shape) * 0.5 for weight in layer.weights])
    return layer


def by_hand(
    layer: Any, query: Array, value: Array, key: Array, seen: Any = True
) -> tuple[Array, Array]:
    """Output and weights, in float64 by the formula."""
    double = [np.asarray(w, "float64") for w in layer.get_weights()]
    wq, bq, wk, bk, wv, bv, wo, bo = double
    q, k, v = (
        np.einsum("btc,cnh->btnh", x.astype("float64"), w) + b
        for x, w, b in ((query, wq, bq), (key, wk, bk), (value, wv, bv))
    )
    scores = np.einsum("btnh,bsnh->bnts", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(seen, scores, -np.inf)
    with np.errstate(invalid="ignore"):
        raised = np.exp(scores - scores.max(-1, keepdims=True))
        weights = np.nan_to_num(raised / raised.sum(-1, keepdims=True))
    heads = np.einsum("bnts,bsnh->btnh", weights, v)
    return np.einsum("btnh,nhc->btc", heads, wo) + bo, weights


def agree(found: Any, expected: Array) -> None:
    assert_close(found.numpy(), expected.astype("float32"), PARITY)


# ---- the formula ---------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 7, 150])
def test_output_and_weights_are_those_of_the_formula(steps: int) -> None:
    query, value, key = normal(2, steps, 6), normal(2, 9, 5), normal(2, 9, 4)
    layer = randomized(layers.MultiHeadAttention(3, 4, 5), query, value, key)
    expected, weights = by_hand(layer, query, value, key)
    agree(layer(query, value, key), expected)
    outputs, found = layer(query, value, key, return_attention_scores=True)
    agree(outputs, expected)
    agree(found, weights)


def test_one_sequence_looks_at_itself() -> None:
    x = normal(3, 6, 8)
    layer = randomized(layers.MultiHeadAttention(2, 4), x)
    expected, _ = by_hand(layer, x, x, x)
    agree(layer(x), expected)
    agree(layer(x, x), expected)
    agree(layer(query=x, key=x, value=x), expected)
    agree(layer(x, x.copy()), expected)


def test_a_query_without_a_name_is_missed() -> None:
    with pytest.raises(ArgumentError, match="needs query"):
        layers.MultiHeadAttention(2, 4)(value=normal(1, 2, 4))


@pytest.mark.parametrize("steps", [5, 140])
def test_causal_and_windows(steps: int) -> None:
    x = normal(2, steps, 8)
    layer = randomized(layers.MultiHeadAttention(2, 4, sliding_window=3), x)
    line, column = np.indices((steps, steps))
    near = abs(line - column) < 3
    agree(layer(x), by_hand(layer, x, x, x, near)[0])
    behind = near & (line >= column)
    expected, weights = by_hand(layer, x, x, x, behind)
    agree(layer(x, use_causal_mask=True), expected)
    found = layer(x, use_causal_mask=True, return_attention_scores=True)[1]
    agree(found, weights)


def test_masks_of_every_rank() -> None:
    x, value = normal(2, 4, 8), normal(2, 5, 8)
    layer = randomized(layers.MultiHeadAttention(2, 4), x, value)
    for shape in ((4, 5), (2, 4, 5), (1, 4, 5), (2, 1, 5), (2, 2, 4, 5), (2, 1, 1, 5)):
        mask = GENERATOR.random(shape) < 0.6
        seen = mask[:, None] if mask.ndim == 3 else mask
        expected, _ = by_hand(layer, x, value, value, seen)
        agree(layer(x, value, attention_mask=mask), expected)
        agree(layer(x, value, attention_mask=mask.astype("int32")), expected)
    with pytest.raises(ShapeError, match="an axis for queries"):
        layer(x, value, attention_mask=np.ones(5))


def test_masks_that_hang_on_values_are_seen() -> None:
    x, value = normal(2, 4, 8), normal(2, 5, 8)
    layer = randomized(layers.MultiHeadAttention(2, 4), x, value)
    mask = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]], bool)
    expected, _ = by_hand(layer, x, value, value, mask[:, None, None])
    masked = with_mask(functional.asarray(value), functional.asarray(mask))
    agree(layer(x, masked), expected)
    agree(layer(x, value, value_mask=mask), expected)
    agree(layer(x, value, value, key_mask=mask), expected)
    # what is told counts more than what hangs on the value
    all_seen, _ = by_hand(layer, x, value, value)
    agree(layer(x, masked, value_mask=np.ones((2, 5), bool)), all_seen)
    with pytest.raises(ShapeError, match="each step"):
        layer(x, value, value_mask=np.ones((2, 4), bool))


def test_a_mask_travels_on_without_a_warning() -> None:
    words = layers.Embedding(9, 8, mask_zero=True)(np.array([[3, 4, 0], [0, 0, 0]]))
    other = layers.Embedding(9, 8, mask_zero=True)(np.array([[3, 4], [5, 0]]))
    layer = layers.MultiHeadAttention(2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outputs = layer(words)
        crossed = layer(words, other)
    for found in (outputs, crossed):
        assert mask_of(found).tolist() == [[True, True, False], [False] * 3]
    assert np.isfinite(outputs.numpy()).all()


def test_nothing_to_see_gives_the_bias_alone() -> None:
    """In a sequence of padding, and where there are no values at all."""
    x, value = normal(2, 3, 8), normal(2, 4, 8)
    layer = randomized(layers.MultiHeadAttention(2, 4), x, value)
    bias = layer.output_dense.bias.numpy()
    mask = np.array([[False] * 4, [True] * 4])
    outputs, weights = layer(x, value, value_mask=mask, return_attention_scores=True)
    np.testing.assert_array_equal(outputs.numpy()[0], np.tile(bias, (3, 1)))
    assert not weights.numpy()[0].any()
    agree(outputs[1:], by_hand(layer, x[1:], value[1:], value[1:])[0])
    empty = layer(x, value[:, :0]).numpy()
    np.testing.assert_array_equal(empty, np.tile(bias, (2, 3, 1)))
    assert layer(x[:, :0], value).shape == (2, 0, 8)
    assert layer(x[:0], value[:0]).shape == (0, 3, 8)


def test_gradients_of_padding_are_finite() -> None:
    layer = layers.MultiHeadAttention(2, 4)
    mask = np.zeros((2, 3), bool)

    def total(x: Any) -> Any:
        return functional.sum(functional.square(layer(x, value_mask=mask)))

    slopes = chainrule.jit(chainrule.grad(total))(functional.asarray(normal(2, 3, 8)))
    assert np.isfinite(slopes.numpy()).all()


# ---- options -------------------------------------------------------------------------


def test_dropout_is_drawn_in_training_alone() -> None:
    x = normal(2, 6, 8)
    layer = layers.MultiHeadAttention(2, 4, dropout=0.5, seed=3)
    plain = layer(x).numpy()
    np.testing.assert_array_equal(layer(x).numpy(), plain)
    with random.stream(random.key(1)):
        first = layer(x, training=True).numpy()
    with random.stream(random.key(1)):
        again = layer(x, training=True).numpy()
    with random.stream(random.key(2)):
        other = layer(x, training=True).numpy()
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, plain)
    assert not np.allclose(first, other)


def test_the_gate_multiplies_what_heads_give() -> None:
    x = normal(2, 5, 8)
    gated = randomized(layers.MultiHeadAttention(2, 4, use_gate=True), x)
    plain = randomized(layers.MultiHeadAttention(2, 4), x)
    weights = gated.get_weights()
    plain.set_weights(weights[:4] + weights[6:])
    gated.gate_dense.kernel.assign(np.zeros((8, 2, 4)))
    gated.gate_dense.bias.assign(np.zeros((2, 4)))
    bias = plain.output_dense.bias.numpy()
    halved = (plain(x).numpy() - bias) / 2 + bias
    assert_close(gated(x).numpy(), halved, PARITY)


def test_the_penalty_is_that_of_the_projections() -> None:
    x = normal(2, 3, 4)
    layer = layers.MultiHeadAttention(1, 2, activity_regularizer="l2")
    layer(x)
    parts = (layer.query_dense(x), layer.key_dense(x), layer.value_dense(x))
    squares = sum(float((part.numpy() ** 2).sum()) for part in parts)
    outputs = float((layer(x).numpy() ** 2).sum())
    total = sum(loss.item() for loss in layer.losses)
    assert abs(total - 0.01 * (squares + outputs) / 2) < 1e-5


def test_axes_that_are_not_attended_over_are_like_samples() -> None:
    x = normal(2, 3, 4, 6)
    layer = randomized(layers.MultiHeadAttention(2, 3, attention_axes=2), x)
    flat = randomized(layers.MultiHeadAttention(2, 3), x[:, 0])
    flat.set_weights(layer.get_weights())
    for row in range(3):
        expected = flat(x[:, row], use_causal_mask=True).numpy()
        found = layer(x, use_causal_mask=True)[:, row].numpy()
        assert_close(found, expected, PARITY)
    weights = layer(x, return_attention_scores=True)[1]
    assert weights.shape == (2, 3, 2, 4, 4)


def test_all_axes_are_attended_over_by_default() -> None:
    x = normal(2, 3, 4, 6)
    layer = randomized(layers.MultiHeadAttention(2, 3), x)
    flat = randomized(layers.MultiHeadAttention(2, 3), x[:, 0])
    flat.set_weights(layer.get_weights())
    expected = flat(x.reshape(2, 12, 6)).numpy().reshape(2, 3, 4, 6)
    outputs, weights = layer(x, return_attention_scores=True)
    assert_close(outputs.numpy(), expected, PARITY)
    assert weights.shape == (2, 2, 3, 4, 3, 4)
    mask = GENERATOR.random((2, 3, 4, 3, 4)) < 0.7
    masked = layer(x, attention_mask=mask).numpy()
    expected = flat(x.reshape(2, 12, 6), attention_mask=mask.reshape(2, 12, 12))
    assert_close(masked, expected.numpy().reshape(2, 3, 4, 6), PARITY)


def test_axes_beyond_the_input_are_refused() -> None:
    with pytest.raises(ArgumentError, match="between samples and features"):
        layers.MultiHeadAttention(2, 3, attention_axes=(0, 1))(normal(2, 3, 4, 6))


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_heads": 0, "key_dim": 2},
        {"num_heads": 2, "key_dim": 2.5},
        {"num_heads": 2, "key_dim": 2, "value_dim": 0},
        {"num_heads": 2, "key_dim": 2, "dropout": 1.5},
        {"num_heads": 2, "key_dim": 2, "sliding_window": 0},
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        layers.MultiHeadAttention(**arguments)


def test_shapes_that_do_not_fit_are_refused() -> None:
    layer = layers.MultiHeadAttention(2, 4)
    with pytest.raises(ShapeError, match="do not fit"):
        layer(normal(2, 3, 8), normal(2, 4, 8), normal(2, 5, 8))
    with pytest.raises(ShapeError, match="do not fit"):
        layers.MultiHeadAttention(2, 4)(normal(3, 8))
    layer = layers.MultiHeadAttention(2, 4)
    layer(normal(2, 3, 8))
    with pytest.raises(ShapeError, match="multi_head"):
        layer(normal(2, 3, 6))


# ---- models --------------------------------------------------------------------------


def test_a_model_is_saved_with_both_inputs(tmp_path: Any) -> None:
    one, two = chainrule.Input((None, 8)), chainrule.Input((5, 6))
    attention = layers.MultiHeadAttention(2, 4, name="look")
    outputs, weights = attention(one, value=two, return_attention_scores=True)
    model = chainrule.Model([one, two], [outputs, weights])
    assert model.output_shape == [(None, None, 8), (None, 2, None, 5)]
    x, y = normal(3, 4, 8), normal(3, 5, 6)
    expected = model.predict([x, y], verbose=0)
    model.save(tmp_path / "model.chainrule")
    again = chainrule.load_model(tmp_path / "model.chainrule")
    for one_, two_ in zip(again.predict([x, y], verbose=0), expected, strict=True):
        np.testing.assert_array_equal(one_, two_)


def test_float64_is_computed_in_float64() -> None:
    x = normal(2, 4, 8)
    layer = layers.MultiHeadAttention(2, 4, dtype="float64")
    assert layer(x, x[:, :3]).dtype.name == "float64"
    assert {w.dtype.name for w in layer.weights} == {"float64"}


# ---- caches --------------------------------------------------------------------------


def test_steps_with_a_cache_are_the_whole() -> None:
    x = normal(2, 6, 8)
    layer = randomized(layers.CachedMultiHeadAttention(2, 4), x)
    expected, weights = by_hand(layer, x, x, x, np.tri(6, dtype=bool))
    agree(layer(x, use_causal_mask=True), expected)
    cache = functional.zeros((2, 2, 6, 2, 4))
    for start, stop in ((0, 3), (3, 4), (4, 6)):
        seen = np.tri(6, dtype=bool)[None, start:stop]
        outputs, found, cache = layer(
            x[:, start:stop],
            attention_mask=seen,
            cache=cache,
            cache_update_index=functional.asarray(start),
            return_attention_scores=True,
        )
        agree(outputs, expected[:, start:stop])
        agree(found, weights[:, :, start:stop])
    again, same = layer(x[:, 5:], cache=cache)
    agree(again, expected[:, 5:])
    assert same.tolist() == cache.tolist()


def test_the_place_in_a_cache_may_be_traced() -> None:
    x = normal(1, 4, 8)
    layer = randomized(layers.CachedMultiHeadAttention(2, 4), x)
    cache = functional.zeros((1, 2, 4, 2, 4))

    def step(x: Any, index: Any) -> Any:
        return layer(x, cache=cache, cache_update_index=index)[1]

    for place in range(3):
        eager = step(x[:, :2], place).numpy()
        compiled = chainrule.jit(step)(x[:, :2], functional.asarray(place)).numpy()
        assert_close(compiled, eager)
        assert not eager[:, :, :place].any()
        assert not eager[:, :, place + 2 :].any()


def test_caches_that_do_not_fit_are_refused() -> None:
    x = normal(1, 2, 8)
    layer = layers.CachedMultiHeadAttention(2, 4)
    with pytest.raises(ArgumentError, match="no cache"):
        layer(x, cache_update_index=0)
    with pytest.raises(ShapeError, match="cache does not fit"):
        layer(x, cache=np.zeros((1, 2, 6, 2, 5)), cache_update_index=0)
    with pytest.raises(ShapeError, match="does not fit into"):
        layer(x, cache=np.zeros((1, 2, 6, 2, 4)), cache_update_index=5)
