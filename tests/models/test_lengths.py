"""`fit` on batches of sequences whose lengths differ."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.data import BucketedBatches
from chainrule.errors import DataError

RANDOM = np.random.default_rng(0)
WORDS = [RANDOM.integers(1, 20, n).tolist() for n in RANDOM.integers(1, 13, 70)]
LABELS = np.array([sum(words) % 2 for words in WORDS])
TAGS = [[word % 3 for word in words] for words in WORDS]


def classifier(seed=0):
    cr.set_seed(seed)
    start = layers.Input((None,), dtype="int32")
    vectors = layers.Embedding(20, 8, mask_zero=True)(start)
    model = cr.Model(start, layers.Dense(1, "sigmoid")(layers.GRU(8)(vectors)))
    model.compile("adam", "binary_crossentropy")
    return model


def tagger():
    start = layers.Input((None,), dtype="int32")
    inner = layers.Embedding(20, 8, mask_zero=True)(start)
    inner = layers.LSTM(8, return_sequences=True)(inner)
    model = cr.Model(start, layers.Dense(3, "softmax")(inner))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def batches(second=None, **options):
    second = LABELS if second is None else second
    return BucketedBatches((WORDS, second), 16, buckets=3, seed=1, **options)


def weights(model):
    return [value.numpy() for value in model.weights]


def test_fit_takes_batches_of_several_lengths():
    data = batches()
    model = classifier()
    history = model.fit(data, epochs=12, validation_data=data, verbose=0, seed=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0]
    assert len({x.shape[1] for x, _ in data}) == 3


def test_steps_are_those_of_the_batches_one_by_one():
    fitted, single = classifier(), classifier()
    fitted.fit(batches(), epochs=2, verbose=0, seed=0)
    for epoch in range(2):
        for x, y in batches().epoch(epoch):
            single.train_on_batch(x, y)
    for a, b in zip(weights(fitted), weights(single), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_targets_have_lengths_as_well():
    history = tagger().fit(batches(TAGS), epochs=3, verbose=0, seed=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_what_fills_up_does_not_change_the_loss():
    model = tagger()
    x = np.array([[3, 1, 4], [1, 5, 9]])
    plain = model.evaluate(x, x % 3, verbose=0)
    pad = [(0, 0), (0, 5)]
    assert model.evaluate(np.pad(x, pad), np.pad(x % 3, pad), verbose=0) == (
        pytest.approx(plain, rel=1e-6)
    )


def test_a_run_that_is_resumed_has_the_batches_of_one_that_never_ended(tmp_path):
    whole, parts = classifier(), classifier()
    whole.fit(batches(), epochs=4, verbose=0, seed=0)
    parts.fit(batches(), epochs=2, verbose=0, seed=0, resume=tmp_path)
    again = classifier()
    again.fit(batches(), epochs=4, verbose=0, seed=0, resume=tmp_path)
    for a, b in zip(weights(whole), weights(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_declared_lengths_are_kept():
    model = cr.Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile("adam", "mse")
    data = [(np.ones((2, 4)), np.ones(2)), (np.ones((2, 5)), np.ones(2))]
    with pytest.raises(DataError, match="must look like the first"):
        model.fit(iter(data), verbose=0)


def test_a_model_of_ones_own_takes_any_length():
    class Mean(cr.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, inputs):
            return self.dense(cr.mean(inputs, axis=1))

    model = Mean()
    model.compile("adam", "mse")
    data = [(np.ones((2, n, 3)), np.ones((2, 1))) for n in (2, 5, 1)]
    assert model.fit(iter(data), verbose=0).history["loss"]


def test_outputs_of_other_lengths_are_not_joined():
    model = cr.Sequential([layers.Input((None, 3)), layers.Dense(1)])
    data = [(np.ones((2, n, 3)),) for n in (4, 5)]
    with pytest.raises(DataError, match="different lengths") as caught:
        model.predict(iter(data), verbose=0)
    assert "(4, 1), (5, 1)" in str(caught.value)
    assert model.predict(iter(data[:1]), verbose=0).shape == (2, 4, 1)
