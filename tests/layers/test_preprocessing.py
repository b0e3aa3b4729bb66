"""Layers that prepare data: numbers of Keras's documentation and edge cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.layers import HostLayer, Layer
from chainrule.layers.fingerprint import farmhash64, siphash64


def again(layer: Layer) -> Layer:
    """The layer made from its config, through JSON."""
    return layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))


def numbers(layer: Layer, x: Any) -> Any:
    found = layer(x)
    return found.tolist()


# ---- Normalization -------------------------------------------------------------------


def test_normalization_adapts_to_every_feature() -> None:
    data = np.array([[0, 7, 4], [2, 9, 6], [0, 7, 4], [2, 9, 6]], "float32")
    layer = layers.Normalization()
    layer.adapt(data)
    assert numbers(layer, data[:1]) == [[-1, -1, -1]]
    inverse = layers.Normalization(invert=True)
    inverse.adapt(data)
    np.testing.assert_allclose(inverse([[1.0, 2.0, 3.0]]).numpy(), [[2, 10, 8]])


def test_normalization_as_a_whole_and_with_given_numbers() -> None:
    layer = layers.Normalization(axis=None)
    layer.adapt(np.arange(1.0, 6.0))
    np.testing.assert_allclose(
        layer([1.0, 2.0, 3.0]).numpy(), [-np.sqrt(2), -np.sqrt(0.5), 0], rtol=1e-6
    )
    given = layers.Normalization(mean=3.0, variance=2.0)
    np.testing.assert_allclose(
        given([[1.0], [3.0]]).numpy(), [[-np.sqrt(2)], [0]], rtol=1e-6
    )
    np.testing.assert_array_equal(again(given)([[1.0]]).numpy(), given([[1.0]]).numpy())
    each = layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 1.0])
    assert numbers(each, [[3.0, 3.0]]) == [[1, 1]]


def test_normalization_of_batches_is_that_of_the_whole() -> None:
    data = np.random.default_rng(0).normal(1e4, 3, (100, 2, 3)).astype("float32")
    whole, parts = layers.Normalization(axis=(1, 2)), layers.Normalization(axis=(1, 2))
    whole.adapt(data)
    parts.adapt((data[i : i + 7], None) for i in range(0, 100, 7))
    for one, two in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)
    np.testing.assert_allclose(whole.get_weights()[1], data.var(axis=0), rtol=1e-3)


def test_normalization_saves_what_it_found(tmp_path: Path) -> None:
    layer = layers.Normalization(input_shape=(2,))
    layer.adapt(np.array([[1.0, 2.0], [3.0, 8.0]]))
    model = cr.Sequential([layer, layers.Dense(1)])
    loaded = cr.load_model(model.save(tmp_path / "m.chainrule"))
    x = np.array([[2.0, 3.0]])
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_normalization_refuses() -> None:
    with pytest.raises(ArgumentError, match="go together"):
        layers.Normalization(mean=1.0)
    with pytest.raises(ArgumentError, match="nothing to find"):
        layers.Normalization(mean=1.0, variance=1.0).adapt(np.ones(3))
    with pytest.raises(ShapeError, match="such an axis"):
        layers.Normalization(axis=3)(np.ones((2, 2)))
    with pytest.raises(ShapeError, match="do not fit"):
        layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 1.0])(np.ones((2, 3)))
    with pytest.raises(DataError, match="no data"):
        layers.Normalization().adapt(iter([]))


# ---- Discretization, CategoryEncoding ------------------------------------------------


def test_discretization_with_boundaries() -> None:
    x = [[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]]
    layer = layers.Discretization([0.0, 1.0, 2.0])
    assert numbers(layer, x) == [[0, 2, 3, 1], [1, 3, 2, 1]]
    hot = layers.Discretization([0.0, 1.0], output_mode="one_hot")
    assert numbers(hot, [[0.5], [7.0]]) == [[0, 1, 0], [0, 0, 1]]


def test_discretization_adapts_to_quantiles() -> None:
    x = np.array([[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0]])
    layer = layers.Discretization(num_bins=4, epsilon=0.01)
    layer.adapt(x)
    assert numbers(layer, x) == [[0, 2, 3, 2], [1, 3, 3, 1]]
    assert numbers(again(layer), x) == numbers(layer, x)
    large = np.random.default_rng(0).normal(size=(4000, 1))
    batches = layers.Discretization(num_bins=5)
    batches.adapt(large[i : i + 500] for i in range(0, 4000, 500))
    shares = np.bincount(batches(large).numpy().reshape(-1)) / 4000
    np.testing.assert_allclose(shares, 0.2, atol=0.03)


def test_discretization_refuses() -> None:
    for arguments in ({}, {"num_bins": 3, "bin_boundaries": [1.0]}):
        with pytest.raises(ArgumentError):
            layers.Discretization(**arguments)
    with pytest.raises(ArgumentError, match="not known yet"):
        layers.Discretization(num_bins=3)([[1.0]])
    with pytest.raises(ArgumentError, match="nothing to find"):
        layers.Discretization([1.0]).adapt(np.ones(3))
    with pytest.raises(ArgumentError, match="output mode"):
        layers.Discretization([1.0], output_mode="tf_idf")


def test_category_encoding() -> None:
    hot = layers.CategoryEncoding(4, output_mode="one_hot")
    assert numbers(hot, [3, 0]) == [[0, 0, 0, 1], [1, 0, 0, 0]]
    assert hot([[3], [0]]).shape == (2, 4)
    assert hot([[3, 1]]).shape == (1, 2, 4)
    many = layers.CategoryEncoding(4)
    assert numbers(many, [[0, 0], [3, 1]]) == [[1, 0, 0, 0], [0, 1, 0, 1]]
    count = layers.CategoryEncoding(4, output_mode="count")
    assert numbers(count, [[0, 0], [3, 1]]) == [[2, 0, 0, 0], [0, 1, 0, 1]]
    weights = np.array([[0.5, 0.25], [2.0, 1.0]])
    found = count(np.array([[0, 0], [3, 1]]), weights).numpy()
    np.testing.assert_allclose(found, [[0.75, 0, 0, 0], [0, 1, 0, 2]])
    with pytest.raises(ArgumentError, match="for counts"):
        many(np.array([[0]]), weights[:1, :1])
    with pytest.raises(ArgumentError):
        layers.CategoryEncoding()


# ---- hashes --------------------------------------------------------------------------

# Of `farmhash.fingerprint64("x" * n)`, as Google's library computes it.
FINGERPRINTS = {
    3: 0x2AE60479E555325C,
    7: 0xD1086359D2D7522F,
    12: 0x208903A063284843,
    20: 0x7241CE1F8EF74DC4,
    40: 0xEBF8E8AEAC993C94,
    64: 0x5FFB3C754F6913B8,
    65: 0x447CB9FD96F25F39,
    128: 0x5170AF09FD870C17,
    200: 0xC1713BF9D998A3BF,
}


@pytest.mark.parametrize("length", FINGERPRINTS)
def test_farmhash_is_that_of_its_library(length: int) -> None:
    assert farmhash64(b"x" * length) == FINGERPRINTS[length]


def test_siphash_is_that_of_its_paper() -> None:
    key = 0x0706050403020100, 0x0F0E0D0C0B0A0908
    assert siphash64(bytes(range(15)), key) == 0xA129CA6149BE45E5


def test_hashing_gives_the_numbers_of_keras() -> None:
    x = [["A"], ["B"], ["C"], ["D"], ["E"]]
    assert numbers(layers.Hashing(3), x) == [[1], [0], [1], [1], [2]]
    salted = layers.Hashing(3, salt=[133, 137])
    assert numbers(salted, x) == [[1], [2], [1], [0], [2]]
    assert numbers(layers.Hashing(3, salt=133), x) == [[0], [0], [2], [1], [0]]
    masked = layers.Hashing(3, mask_value="")
    assert numbers(masked, [["A"], ["B"], [""], ["C"], ["D"]]) == [
        [1],
        [1],
        [0],
        [2],
        [2],
    ]
    assert numbers(again(salted), x) == numbers(salted, x)


def test_hashing_of_numbers_is_that_of_their_text() -> None:
    layer = layers.Hashing(10, output_mode="count")
    np.testing.assert_array_equal(layer([[1, 22, 1]]), layer([["1", "22", "1"]]))
    assert layer([[1, 22, 1]]).sum() == 3
    for bad in (0, None, 1.5):
        with pytest.raises(ArgumentError):
            layers.Hashing(bad)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="salt"):
        layers.Hashing(3, salt=[1, 2, 3])


# ---- lookups -------------------------------------------------------------------------


def test_string_lookup_by_its_modes() -> None:
    words = ["a", "b", "c", "d"]
    x = [["a", "c", "d", "d"], ["d", "z", "b", "z"]]
    assert numbers(layers.StringLookup(vocabulary=words), x) == [
        [1, 3, 4, 4],
        [4, 0, 2, 0],
    ]
    many = layers.StringLookup(vocabulary=words, output_mode="multi_hot")
    assert numbers(many, x) == [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]
    count = layers.StringLookup(vocabulary=words, output_mode="count")
    assert numbers(count, x) == [[0, 1, 0, 1, 2], [2, 0, 1, 0, 1]]
    weighted = layers.StringLookup(
        vocabulary=words, idf_weights=[0.25, 0.75, 0.6, 0.4], output_mode="tf_idf"
    )
    np.testing.assert_allclose(
        weighted(x), [[0, 0.25, 0, 0.6, 0.8], [1.0, 0, 0.75, 0, 0.4]], rtol=1e-6
    )
    one = layers.StringLookup(vocabulary=words, output_mode="one_hot")
    assert one([["a"], ["z"]]).tolist() == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert one.compute_output_shape((None, 1)) == (None, 5)
    assert numbers(again(weighted), x) == numbers(weighted, x)


def test_string_lookup_masks_unknowns_and_inverts() -> None:
    layer = layers.StringLookup(vocabulary=["a", "b"], mask_token="", num_oov_indices=2)
    assert layer.get_vocabulary() == ["", "[UNK]", "[UNK]", "a", "b"]
    assert layer.vocabulary_size() == 5
    found = layer(["", "a", "x", "y", "zz"])
    assert found[:2].tolist() == [0, 3]
    assert set(found[2:].tolist()) <= {1, 2}
    count = layers.StringLookup(vocabulary=["a"], mask_token="", output_mode="count")
    assert numbers(count, [["", "a", "", "q"]]) == [[1, 1]]
    inverse = layers.StringLookup(vocabulary=["a", "b"], invert=True)
    assert inverse([[1, 2, 0, 9]]).tolist() == [["a", "b", "[UNK]", "[UNK]"]]
    strict = layers.StringLookup(vocabulary=["a"], num_oov_indices=0)
    assert strict([b"a"]).tolist() == [0]
    with pytest.raises(DataError, match="not in the vocabulary"):
        strict(["b"])


def test_lookups_adapt_by_frequency() -> None:
    layer = layers.StringLookup(max_tokens=3)
    layer.adapt([["b", "c", "c", "a"], ["c", "b", "d", "d"]])
    assert layer.get_vocabulary() == ["[UNK]", "c", "d"]
    batches = layers.StringLookup()
    batches.adapt(iter([np.array(["x", "y"]), np.array(["y"])]))
    assert batches.get_vocabulary() == ["[UNK]", "y", "x"]
    whole = layers.IntegerLookup()
    whole.adapt([12, 1138, 42, 42, 1000, 1000])
    assert whole.get_vocabulary() == [-1, 1000, 42, 1138, 12]
    weighted = layers.StringLookup(output_mode="tf_idf")
    weighted.adapt([["a", "a"], ["a", "b"]])
    assert weighted.vocabulary == ["a", "b"]
    expected = [np.log1p(2 / 3), np.log1p(2 / 2)]
    np.testing.assert_allclose(weighted.idf_weights, [np.mean(expected), *expected])
    assert again(weighted).get_vocabulary() == weighted.get_vocabulary()


def test_integer_lookup() -> None:
    layer = layers.IntegerLookup(vocabulary=[12, 36, 1138, 42])
    assert numbers(layer, [[12, 1138, 42], [42, 1000, 36]]) == [[1, 3, 4], [4, 0, 2]]
    two = layers.IntegerLookup(vocabulary=[12, 36], num_oov_indices=2)
    assert numbers(two, [12, 36, 7, 1000]) == [2, 3, 1, 0]
    inverse = layers.IntegerLookup(vocabulary=[12, 36], invert=True)
    assert numbers(inverse, [1, 2, 0]) == [12, 36, -1]
    with pytest.raises(DataError, match="whole numbers"):
        layer([0.5])


def test_lookups_refuse() -> None:
    bad: list[dict[str, Any]] = [
        {"max_tokens": 1},
        {"pad_to_max_tokens": True},
        {"num_oov_indices": -1},
        {"invert": True, "output_mode": "count"},
        {"vocabulary": ["a", "a"]},
        {"vocabulary": []},
        {"vocabulary": ["a", "b"], "max_tokens": 2},
        {"vocabulary": ["a"], "output_mode": "tf_idf"},
        {"output_mode": "many"},
        {"sparse": True},
    ]
    for arguments in bad:
        with pytest.raises(ArgumentError):
            layers.StringLookup(**arguments)
    with pytest.raises(ArgumentError, match="not known yet"):
        layers.StringLookup()(["a"])
    with pytest.raises(ArgumentError, match="nothing to learn"):
        layers.StringLookup(vocabulary=["a"]).adapt(["b"])


def test_long_vocabularies_are_shown_by_their_beginning() -> None:
    words = [f"w{number}" for number in range(2000)]
    assert repr(layers.StringLookup(vocabulary=words, name="w")) == (
        "StringLookup(vocabulary=['w0', 'w1', 'w2', ... 2,000 in all], name='w')"
    )


def test_a_vocabulary_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("a\nb\n")
    assert layers.StringLookup(vocabulary=str(path)).get_vocabulary() == [
        "[UNK]",
        "a",
        "b",
    ]


# ---- models --------------------------------------------------------------------------


def test_strings_go_into_a_model_that_is_saved_with_its_vocabulary(
    tmp_path: Path,
) -> None:
    lookup = layers.StringLookup(output_mode="count")
    x = np.array([["good", "film"], ["bad", "film"]] * 8, object)
    lookup.adapt(x)
    model = cr.Sequential([lookup, layers.Dense(1, "sigmoid")])
    model.compile(cr.optimizers.Adam(0.1), "binary_crossentropy")
    y = np.array([1, 0] * 8)
    history = model.fit(x, y, epochs=20, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    loaded = cr.load_model(model.save(tmp_path / "m.chainrule"))
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    batches = ((x[i : i + 4], y[i : i + 4]) for i in range(0, 16, 4))
    model.fit(batches, verbose=0)


def test_compiled_preparation_trains_with_the_network() -> None:
    x = np.random.default_rng(0).normal(5, 2, (64, 1)).astype("float32")
    cut = layers.Discretization(num_bins=4, output_mode="one_hot")
    cut.adapt(x)
    model = cr.Sequential([cut, layers.Dense(1)])
    model.compile(cr.optimizers.Adam(0.1), "mse")
    history = model.fit(x, x > 5, epochs=30, verbose=0)
    assert history.history["loss"][-1] < 0.1


def test_every_host_layer_says_so() -> None:
    for kind in (layers.StringLookup, layers.IntegerLookup, layers.Hashing):
        assert issubclass(kind, HostLayer)
        assert kind.host
