"""Masks: made by one layer, handed on by others, heeded by losses and metrics."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional, layers, losses, metrics
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.masks import mask_of
from tests.tolerances import PARITY, assert_close

Array = np.ndarray[Any, Any]
GENERATOR = np.random.default_rng(4)
WORDS = np.array([[3, 1, 4, 0, 0], [1, 5, 0, 0, 0], [0, 0, 0, 0, 0]], np.int32)


def normal(*shape: int) -> Array:
    return GENERATOR.normal(size=shape).astype(np.float32)


def masked(mask: Array, features: int = 4) -> Any:
    """Sequences with this mask."""
    x = np.where(mask[..., None], normal(*mask.shape, features), 9.0)
    return layers.Masking(9.0)(x.astype(np.float32))


def test_masking_finds_steps_of_one_value() -> None:
    x = np.array([[[1, 0], [0, 0], [0, 2]], [[0, 0]] * 3], np.float32)
    y = layers.Masking()(x)
    assert mask_of(y).tolist() == [[True, False, True], [False] * 3]
    np.testing.assert_array_equal(y.numpy(), x)
    x[0, 1] = 7.0
    y = layers.Masking(7.0)(x)
    assert mask_of(y).tolist() == [[True, False, True], [True] * 3]
    assert not y.numpy()[0, 1].any()


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dense(3),
        layers.Activation("relu"),
        layers.PReLU(),
        layers.Softmax(),
        layers.Dropout(0.5),
        layers.SpatialDropout1D(0.5),
        layers.GaussianNoise(0.1),
        layers.LayerNormalization(),
        layers.BatchNormalization(),
        layers.UnitNormalization(),
        layers.Rescaling(2.0),
        layers.Identity(),
        layers.ActivityRegularization(l2=0.1),
        layers.GRU(2, return_sequences=True),
        layers.SpectralNormalization(layers.Dense(2)),
        chainrule.Sequential([layers.Dense(3), layers.Dense(2)]),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_of_single_steps_hand_masks_on(layer: Any) -> None:
    mask = np.array([[1, 1, 0], [0, 1, 0]], bool)
    found = mask_of(layer(masked(mask)))
    np.testing.assert_array_equal(found.numpy(), mask)
    assert mask_of(layer(normal(2, 3, 4))) is None


def test_a_layer_that_mixes_steps_says_that_it_drops_the_mask() -> None:
    x = masked(np.array([[1, 0, 0]], bool))
    with pytest.warns(UserWarning, match="does not hand it on"):
        y = layers.Flatten()(x)
    assert mask_of(y) is None
    assert mask_of(layers.GRU(2)(x)) is None


def test_a_layer_of_ones_own_takes_and_makes_masks() -> None:
    class Shift(layers.Layer):
        """Every step is the one before it."""

        def call(self, inputs: Any, mask: Any = None) -> Any:
            self.seen = mask
            return functional.roll(inputs, 1, axis=1)

        def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
            return functional.roll(previous_mask, 1, axis=1)

    layer = Shift()
    found = mask_of(layer(masked(np.array([[1, 1, 0]], bool))))
    assert layer.seen.tolist() == [[True, True, False]]
    assert found.tolist() == [[False, True, True]]


def test_padding_changes_nothing() -> None:
    model = chainrule.Sequential(
        [
            layers.Input((None,), dtype="int32"),
            layers.Embedding(6, 3, mask_zero=True),
            layers.LSTM(4, return_sequences=True),
            layers.Dropout(0.3),
            layers.GRU(4),
        ]
    )
    found = model(WORDS).numpy()
    assert_close(found[0], model(WORDS[:1, :3]).numpy()[0], PARITY)
    assert_close(found[1], model(WORDS[1:2, :2]).numpy()[0], PARITY)
    assert not found[2].any()
    np.testing.assert_allclose(model.predict(WORDS, verbose=0), found, atol=2e-6)


def test_masks_travel_through_functional_models() -> None:
    words = chainrule.Input((None,), dtype="int32")
    vectors = layers.Embedding(6, 3, mask_zero=True)(words)
    inner = chainrule.Sequential([layers.Dense(4), layers.ReLU()])(vectors)
    both = layers.Concatenate()([vectors, inner])
    mean = layers.GlobalAveragePooling1D()(both)
    model = chainrule.Model(words, mean)
    found = model(WORDS).numpy()
    assert_close(found[0], model(WORDS[:1, :3]).numpy()[0], PARITY)
    assert not found[2].any()


def test_merging() -> None:
    first, second = np.array([[1, 0, 0]], bool), np.array([[1, 1, 0]], bool)
    a, b, c = masked(first), masked(second), functional.asarray(normal(1, 3, 4))
    either = (first | second).tolist()
    for kind in (layers.Add, layers.Average, layers.Maximum, layers.Concatenate):
        assert mask_of(kind()([a, b])).tolist() == either
    assert mask_of(layers.Add()([a, c])) is None
    assert mask_of(layers.Concatenate()([a, c])).tolist() == [[True] * 3]
    along = layers.Concatenate(axis=1)([a, b, c])
    assert mask_of(along).tolist() == [[*first[0], *second[0], True, True, True]]
    assert mask_of(layers.Dot(axes=2)([a, b])) is None
    largest = layers.Maximum()([a, b]).numpy()[0]
    wanted = [np.maximum(a.numpy()[0, 0], b.numpy()[0, 0]), b.numpy()[0, 1]]
    np.testing.assert_array_equal(largest[:2], wanted)


# ---- losses and metrics --------------------------------------------------------------

MASK = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none"])
def test_losses_leave_masked_steps_out(reduction: str) -> None:
    y_pred, y_true = masked(MASK), normal(3, 3, 4)
    squares = ((y_pred.numpy() - y_true) ** 2).mean(axis=-1)
    found = losses.MeanSquaredError(reduction)(y_true, y_pred)
    counted = np.where(MASK, squares, 0)
    wanted = {"sum": counted.sum(), "none": counted}
    assert_close(
        found.numpy(),
        np.float32(wanted.get(reduction, counted.sum() / MASK.sum())),
        PARITY,
    )
    weights = np.array([2.0, 3.0, 5.0], np.float32)
    mean = losses.MeanSquaredError()(y_true, y_pred, weights).numpy()
    total = (counted * weights[:, None]).sum()
    assert_close(mean, np.float32(total / MASK.sum()), PARITY)


def test_nothing_but_padding_costs_nothing() -> None:
    y_pred = masked(MASK[2:])
    assert losses.MeanSquaredError()(normal(1, 3, 4), y_pred).item() == 0.0


def test_classes_to_be_ignored_and_a_mask() -> None:
    y_pred, y_true = masked(MASK), np.array([[1, 3, 0], [2, 3, 1], [0, 0, 0]])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=3)
    scores = y_pred.numpy()[0, 0]
    wanted = -np.log(np.exp(scores[1]) / np.exp(scores).sum())
    assert_close(loss(y_true, y_pred).numpy(), np.float32(wanted), PARITY)


def test_metrics_leave_masked_steps_out() -> None:
    y_pred = masked(MASK)
    best = y_pred.numpy().argmax(axis=-1)
    y_true = np.where(MASK, best, (best + 1) % 4)
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(y_true, y_pred)
    assert metric.result().item() == 1.0
    metric.update_state(y_true, y_pred.numpy())
    assert metric.result().item() == pytest.approx((3 + 3) / (3 + 9))


def test_a_loss_that_is_none_of_steps_is_refused() -> None:
    scores = functional.asarray(normal(2, 3))
    scores.mask = functional.ones((2, 3), dtype="bool")
    with pytest.raises(ShapeError, match="mask of steps"):
        losses.MeanSquaredError()(normal(2, 3), scores)


def test_fit_and_evaluate_leave_padding_out() -> None:
    """The loss that fit reports is that of the words alone."""
    labels = np.where(WORDS > 0, WORDS % 3, 2)
    model = chainrule.Sequential(
        [
            layers.Input((None,), dtype="int32"),
            layers.Embedding(6, 3, mask_zero=True),
            layers.SimpleRNN(4, return_sequences=True),
            layers.Dense(3, "softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    scores = model(WORDS).numpy()
    rows, steps = np.nonzero(WORDS)
    chosen = scores[rows, steps, labels[rows, steps]]
    right = scores.argmax(axis=-1)[rows, steps] == labels[rows, steps]
    loss, accuracy = model.evaluate(WORDS, labels, verbose=0)
    assert loss == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    assert accuracy == pytest.approx(right.mean())
    before = model.layers[0].embeddings.numpy()
    history = model.fit(WORDS, labels, verbose=0, shuffle=False).history
    assert history["loss"][0] == pytest.approx(loss, rel=1e-5)
    changed = np.any(model.layers[0].embeddings.numpy() != before, axis=1)
    assert changed.tolist() == [False, True, False, True, True, True]


# ---- embeddings ----------------------------------------------------------------------


def test_embeddings_are_rows() -> None:
    vectors = normal(6, 3)
    layer = layers.Embedding(6, 3, weights=vectors)
    np.testing.assert_array_equal(layer(WORDS).numpy(), vectors[WORDS])
    np.testing.assert_array_equal(layer(WORDS.astype(np.float32)), vectors[WORDS])
    assert layer(np.zeros((0, 4), np.int32)).shape == (0, 4, 3)
    assert layer(np.zeros((2, 0), np.int32)).shape == (2, 0, 3)
    listed = layers.Embedding(6, 3, weights=[vectors])
    np.testing.assert_array_equal(listed(WORDS).numpy(), vectors[WORDS])


@pytest.mark.parametrize("wrong", [-1, 6])
def test_numbers_out_of_range_are_refused(wrong: int) -> None:
    layer = layers.Embedding(6, 3)
    with pytest.raises(ArgumentError, match="no vector"):
        layer(np.array([[1, wrong]]))


def test_the_gradient_of_a_word_is_the_sum_over_its_places() -> None:
    layer = layers.Embedding(6, 3)
    layer.build_for((None, None))
    weight = normal(3, 5, 3)

    def loss(vectors: Any) -> Any:
        with chainrule.variable.substitute([layer.embeddings], [vectors]):
            return functional.sum(layer(WORDS) * weight)

    found = chainrule.grad(loss)(layer.embeddings.value).numpy()
    wanted = np.zeros((6, 3), np.float32)
    np.add.at(wanted, WORDS, weight)
    assert_close(found, wanted)
    compiled = chainrule.jit(chainrule.grad(loss))(layer.embeddings.value)
    assert_close(compiled.numpy(), wanted)


def test_tied_weights_lead_there_and_back() -> None:
    layer = layers.ReversibleEmbedding(6, 3, mask_zero=True, logit_soft_cap=0.5)
    vectors = layer(WORDS)
    scores = layer(vectors, reverse=True)
    table = layer.embeddings.numpy()
    plain = table[WORDS] @ table.T
    assert_close(scores.numpy(), np.tanh(plain / 0.5) * np.float32(0.5), PARITY)
    np.testing.assert_array_equal(mask_of(scores).numpy(), WORDS != 0)
    assert len(layer.weights) == 1
    other = layers.ReversibleEmbedding(6, 3, tie_weights=False, reverse_dtype="float64")
    assert other(other(WORDS), reverse=True).dtype.name == "float64"
    assert [v.shape for v in other.weights] == [(6, 3), (3, 6)]
    with pytest.raises(ShapeError, match="another length"):
        layer(normal(2, 4), reverse=True)


def test_no_mask_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flat = layers.Flatten()(layers.Embedding(6, 3)(WORDS))
    assert mask_of(flat) is None
