from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.errors import ArgumentError, DataError

# Recorded from Keras 3.15.1 on TensorFlow 2.21: `TextVectorization(**arguments)`,
# adapted to TEXTS where no vocabulary is given, called on NEW. Keras needs TensorFlow
# for this layer, which the parity environment does not hold.
RECORDED = json.loads(
    Path(__file__).with_name("text_vectorization_keras.json").read_text("utf-8")
)
TEXTS = [
    "The cat sat on the mat.",
    "A dog; a cat -- and THE dog's bone!",
    "",
    "Émile\u00a0aime l'été,\tdéjà\nvu",
    "the the cat",
]
NEW = ["the dog sat", "Zebra? the CAT cat", "", "Émile été"]


def made(arguments: dict[str, Any]) -> layers.TextVectorization:
    layer = layers.TextVectorization(**arguments)
    if "vocabulary" not in arguments:
        layer.adapt(TEXTS)
    return layer


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda r: str(r["arguments"]))
def test_as_keras(recorded: dict[str, Any]) -> None:
    layer = made(recorded["arguments"])
    assert layer.get_vocabulary() == recorded["vocabulary"]
    assert layer.vocabulary_size() == recorded["size"]
    found = layer(np.array(NEW))
    np.testing.assert_allclose(found, recorded["output"], atol=2e-6)
    if layer.split is not None:
        known = layer.compute_output_shape((len(NEW),))
        assert known in (found.shape, (found.shape[0], None))


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda r: str(r["arguments"]))
def test_a_model_file_holds_what_was_learnt(
    recorded: dict[str, Any], tmp_path: Path
) -> None:
    layer = made(recorded["arguments"])
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))
    np.testing.assert_array_equal(again(NEW), layer(NEW))
    assert again.get_vocabulary() == layer.get_vocabulary()
    assert again.get_config() == layer.get_config()


def test_texts_come_in_many_forms() -> None:
    layer = layers.TextVectorization(vocabulary=["a", "b"])
    expected = [[2, 3], [1, 0]]
    for texts in (
        ["a b", "c"],
        np.array(["a b", "c"]),
        np.array([["a b"], ["c"]]),
        np.array(["a b", "c"], object),
        [b"a b", "c"],
        (["a b"], ["c"]),
    ):
        assert layer(texts).tolist() == expected
    assert layer(["", ""]).shape == (2, 0)
    assert layer([]).shape == (0, 0)
    assert layer(["a\0b x", "y" * 100_000]).tolist() == [[1, 1], [1, 0]]
    for wrong in ([["a", "b"]], np.full((2, 1, 1), "a")):
        with pytest.raises(DataError, match=r"one a row[\s\S]*split=None"):
            layer(wrong)


def test_tokens_that_are_split_already() -> None:
    layer = layers.TextVectorization(split=None, ngrams=2, vocabulary=["a", "a b"])
    assert layer([["a", "b"], ["b", "A"]]).tolist() == [[2, 1, 3], [1, 2, 1]]
    plain = layers.TextVectorization(
        split=None, vocabulary=["a"], output_sequence_length=3
    )
    assert plain(["a", "b"]).tolist() == [[2, 0, 0], [1, 0, 0]]
    assert plain([["a", "b", "a", "a"]]).tolist() == [[2, 1, 2]]


def test_functions_in_place_of_names() -> None:
    layer = layers.TextVectorization(
        standardize=np.char.upper, split=lambda texts: [t.split("-") for t in texts]
    )
    layer.adapt(["a-b", "b"])
    assert layer.get_vocabulary() == ["", "[UNK]", "B", "A"]
    assert layer(["b-a-c"]).tolist() == [[2, 3, 1]]


def test_every_script() -> None:
    ascii_only = layers.TextVectorization()
    ascii_only.adapt(["Über ÜBER über!", "«слово» Слово"])
    assert len(ascii_only.get_vocabulary(False)) == 4
    every = layers.TextVectorization(standardize="unicode_lower_and_strip_punctuation")
    every.adapt(["Über ÜBER über!", "«слово» Слово"])
    assert every.get_vocabulary(False) == ["über", "слово"]


def test_adapting_to_batches_and_again() -> None:
    layer = layers.TextVectorization(output_mode="tf_idf")
    layer.adapt(iter([np.array(TEXTS[:2]), TEXTS[2:]]))
    whole = made({"output_mode": "tf_idf"})
    assert layer.get_vocabulary() == whole.get_vocabulary()
    np.testing.assert_allclose(layer.idf_weights, whole.idf_weights)
    layer.adapt(["x x y"])
    assert layer.get_vocabulary() == ["[UNK]", "x", "y"]


def test_set_vocabulary(tmp_path: Path) -> None:
    layer = layers.TextVectorization()
    layer.set_vocabulary(["b", "a"])
    assert layer(["a b c"]).tolist() == [[3, 2, 1]]
    path = tmp_path / "words.txt"
    path.write_text("ä\nb\n", "utf-8")
    assert layers.TextVectorization(vocabulary=path)(["ä b"]).tolist() == [[2, 3]]


def test_what_does_not_go_together_is_refused() -> None:
    bad: list[dict[str, Any]] = [
        {"standardize": "upper"},
        {"split": "comma"},
        {"output_mode": "one_hot"},
        {"ngrams": 0},
        {"ngrams": ()},
        {"ngrams": "2"},
        {"output_sequence_length": 0},
        {"output_sequence_length": 3, "output_mode": "count"},
        {"ragged": True},
        {"sparse": True},
        {"pad_to_max_tokens": True},
        {"vocabulary": ["a", "a"]},
    ]
    for arguments in bad:
        with pytest.raises(ArgumentError):
            layers.TextVectorization(**arguments)
    with pytest.raises(ArgumentError, match="mask_zero=True"):
        layers.TextVectorization(ragged=True)
    with pytest.raises(ArgumentError, match="not known yet"):
        layers.TextVectorization()(["a"])
    with pytest.raises(ArgumentError, match="nothing to learn"):
        layers.TextVectorization(vocabulary=["a"]).adapt(["b"])


def test_a_model_takes_texts(tmp_path: Path) -> None:
    texts = ["good film", "bad film", "good good", "bad bad plot", "good plot", "bad"]
    labels = np.array([1, 0, 1, 0, 1, 0])
    vectors = layers.TextVectorization(output_sequence_length=4)
    vectors.adapt(texts)
    model = cr.Sequential(
        [
            vectors,
            layers.Embedding(vectors.vocabulary_size(), 8, mask_zero=True),
            layers.LSTM(8),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile(cr.optimizers.Adam(0.05), "binary_crossentropy")
    model.fit(np.array(texts), labels, epochs=30, batch_size=6, verbose=0)
    said = model.predict(texts, verbose=0)
    assert ((said[:, 0] > 0.5) == labels).all()
    loaded = cr.load_model(model.save(tmp_path / "model.chainrule"))
    np.testing.assert_array_equal(loaded.predict(texts, verbose=0), said)
