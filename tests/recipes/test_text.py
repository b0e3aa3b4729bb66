from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError
from chainrule.recipes import text as recipe
from chainrule.recipes import text_network as networks
from chainrule.recipes.images_data import TEST, TRAIN, VALIDATION, Labelled
from chainrule.recipes.text_data import (
    Columns,
    TextOrigin,
    divide_texts,
    holds_records,
    holds_texts,
    read_labelled,
    unlabelled_texts,
    with_validation,
)
from chainrule.recipes.text_words import speaking_words, words_by_class

GOOD = ["fine film", "a great plot", "i enjoyed it", "lovely and moving"]
BAD = ["awful film", "a dull plot", "i hated it", "boring and weak"]


def labelled(texts: list[str], labels: list[int], classes: int = 2) -> Labelled:
    names = tuple(f"class {k}" for k in range(classes))
    return Labelled("data", TextOrigin(texts), np.array(labels), names, things="texts")


def reviews(count: int = 40) -> Labelled:
    numbers = np.random.default_rng(0)
    pairs = [(GOOD, 1) if row % 2 else (BAD, 0) for row in range(count)]
    texts = [", ".join(numbers.choice(said, 2)) for said, _ in pairs]
    return labelled(texts, [label for _, label in pairs])


# ---- data ----------------------------------------------------------------------------


def test_tables_with_and_without_headings(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('so "fine\tyes\nvery bad\tno\nodd\t\nfine\tyes\n')
    data, columns = read_labelled(str(path))
    assert columns == Columns("column_1", "column_2", False)
    assert data.class_names == ("no", "yes")
    assert data.labels.tolist() == [1, 0, 1]
    assert data.origin.read(0) == 'so "fine'
    assert any("1 rows without a text or a class" in note for note in data.notes)
    path.write_text("id\tsaid\tmood\n1\tfine\tgood\n2\tbad stuff\tbad\n")
    data, columns = read_labelled(str(path), "said", "mood")
    assert columns == Columns("said", "mood", True)
    assert len(data) == 2
    assert read_labelled(str(path), "1", "-1")[1] == columns
    with pytest.raises(DataError, match="no such column"):
        read_labelled(str(path), "text", "mood")
    with pytest.raises(DataError, match="the same column"):
        read_labelled(str(path), "mood", "mood")


def test_json_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    parts = {
        "train": [["a", "x"], ["b", "y"]],
        "val": [["c", "x"]],
        "oos": [["d", "z"]],
    }
    path.write_bytes(gzip.compress(json.dumps(parts).encode()))
    data, _ = read_labelled(str(path))
    assert data.class_names == ("x", "y")
    assert {k: v.tolist() for k, v in data.parts.items()} == {
        TRAIN: [0, 1],
        VALIDATION: [2],
    }
    assert "the parts oos were left out" in data.notes
    assert holds_records(path)
    found, notes = divide_texts(data, 0)
    assert found[TEST].tolist() == [2]
    assert len(found[VALIDATION]) == 0
    assert "measured on the part for validation" in notes[0]


def test_a_folder_for_every_class(tmp_path: Path) -> None:
    for name, text in {"pos/1": "fine ä", "pos/2": "good", "neg/1": "bad"}.items():
        for part in ("train", "test"):
            file = tmp_path / part / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    assert holds_texts(tmp_path)
    data, columns = read_labelled(str(tmp_path))
    assert columns is None
    assert data.class_names == ("neg", "pos")
    assert len(data.parts[TRAIN]) == len(data.parts[TEST]) == 3
    assert data.origin.read(1) == "fine ä"
    assert data.origin.called(1).endswith("pos/1.txt")
    _, notes = divide_texts(data, 0)
    assert any("3 of the texts held out" in note for note in notes)
    assert not holds_texts(tmp_path / "train" / "pos" / "1.txt")


def test_a_file_to_measure_on() -> None:
    whole = with_validation(reviews(), reviews(6))
    assert len(whole.parts[TRAIN]) == 40
    assert len(whole.parts[TEST]) == 6
    odd = Labelled("other", TextOrigin(["a"]), np.array([0]), ("class 7",))
    with pytest.raises(DataError, match=r"other: there are classes[\s\S]*class 7"):
        with_validation(reviews(), odd)


def test_too_little_to_learn_from() -> None:
    with pytest.raises(DataError, match="texts of fewer than two classes"):
        divide_texts(labelled(["a", "b"], [0, 0]), 0)
    with pytest.raises(DataError, match="no texts are left to measure on"):
        divide_texts(labelled(["a", "b"], [0, 1]), 0)


def test_folders_without_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no files of text"):
        unlabelled_texts(str(tmp_path))
    (tmp_path / "b.txt").write_text("two\nlines")
    (tmp_path / "a.txt").write_text("one")
    assert unlabelled_texts(str(tmp_path)) == ["one", "two\nlines"]


def test_files_without_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,said\n1,so fine\n2,\n")
    assert unlabelled_texts(str(path), "said") == ["so fine", ""]
    assert unlabelled_texts(str(path)) == ["so fine", ""]
    learnt = Columns("column_2", "column_1", False)
    assert unlabelled_texts(str(path), None, learnt) == ["said", "so fine", ""]
    with pytest.raises(DataError, match="no such column"):
        unlabelled_texts(str(path), "text")
    lines = tmp_path / "a.txt"
    lines.write_text("so it is, said he\nanother\n")
    assert unlabelled_texts(str(lines)) == ["so it is, said he", "another"]


# ---- networks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "unit", "joined", "why"),
    [
        (["what a very fine film"] * 3, "words", 2, "5 words in the median"),
        (["emma", "olivia", "ava"], "characters", 2, "1 words or fewer"),
        (["今天天气很好", "我喜欢"], "words", 4, "no spaces"),
        (["ฉันรักแมวมาก"], "words", 4, "no spaces"),
        (["word " * 100], "words", 2, "more than 80 words"),
        ([""], "characters", 2, "0 words"),
    ],
)
def test_texts_choose_how_they_are_read(
    texts: list[str], unit: str, joined: int, why: str
) -> None:
    encoder, reason = networks.choose_encoder(texts)
    assert (encoder.unit, encoder.joined) == (unit, joined)
    assert why in reason


def test_many_texts_have_no_parts_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MANY", 2)
    encoder, why = networks.choose_encoder(["a b c d"] * 3)
    assert encoder.inside is None
    assert why == "words and pairs of words: many texts"


def test_votes_by_counts_are_naive_bayes() -> None:
    rows = np.array([[1, 2, 0], [1, 0, 0], [3, 0, 0]])
    labels = np.array([0, 0, 1])
    votes = networks.count_votes(rows, labels, 3, 2)
    share = np.array([[3 / 6, 2 / 6, 1 / 6], [1 / 4, 1 / 4, 2 / 4]]).T
    expected = np.log(share) - np.log(share).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(votes[1:], expected, rtol=1e-6)
    assert not votes[0].any()


def learnt(tmp_path: Path, data: Labelled, **options: Any) -> recipe.Outcome:
    plan = recipe.Plan(**{"epochs": 6, "learning_rate": 0.01, **options})
    problem = recipe.pose(data, plan)
    return recipe.learn(problem, plan, tmp_path)


def test_a_network_learns_and_is_kept(tmp_path: Path) -> None:
    outcome = learnt(tmp_path / "run", reviews())
    assert outcome.measures.accuracy == 1.0
    network = outcome.network
    texts = ["fine and lovely", "dull and boring", "", "ไทย 👍"]
    said = networks.classify(network, texts)
    assert said.shape == (4, 2)
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)
    assert said[:2].argmax(axis=1).tolist() == [1, 0]
    loaded = cr.load_model(network.save(tmp_path / "model.chainrule"))
    assert networks.is_text_classifier(loaded)
    np.testing.assert_array_equal(networks.classify(loaded, texts), said)
    np.testing.assert_allclose(loaded.predict(texts, verbose=0), said, atol=1e-6)
    assert loaded.notes["class_names"] == ["class 0", "class 1"]
    assert networks.classify(loaded, []).shape == (0, 2)


def test_representations_of_like_texts_are_near(tmp_path: Path) -> None:
    network = learnt(tmp_path, reviews()).network
    texts = ["fine film", "lovely and moving", "awful film", "boring and weak"]
    vectors = networks.represent(network, texts)
    assert vectors.shape == (4, 7 * recipe.WIDTH)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = unit @ unit.T
    assert near[0, 1] > near[0, 3]
    assert near[2, 3] > near[2, 1]


def test_the_same_seed_gives_the_same_bits(tmp_path: Path) -> None:
    texts = ["fine film", "awful plot"]
    said = [
        networks.classify(
            learnt(tmp_path / str(run), reviews(), seed=seed).network, texts
        )
        for run, seed in enumerate((3, 3, 4))
    ]
    np.testing.assert_array_equal(said[0], said[1])
    assert (said[0] != said[2]).any()


def test_uneven_classes_are_all_learnt(tmp_path: Path) -> None:
    texts = [f"plain {word}" for word in "abcdefghijklmnopqrstuvwxyz"] * 3
    texts += ["rare bird", "rare fish", "rare tree", "rare leaf", "rare moss"]
    labels = [0] * 78 + [1] * 5
    outcome = learnt(tmp_path, labelled(texts, labels), epochs=10)
    assert outcome.measures.balanced_accuracy == 1.0


def test_many_classes_and_no_table_of_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "MOST_COUNTED", 10)
    texts = [f"word{k} said {n}" for k in range(30) for n in range(4)]
    labels = [k for k in range(30) for _ in range(4)]
    outcome = learnt(tmp_path, labelled(texts, labels, 30), epochs=25)
    assert outcome.measures.accuracy > 0.9
    names = [layer.name for layer in outcome.network.layers[1].layers]
    assert "counts" not in names


def test_scripts_without_spaces_are_learnt(tmp_path: Path) -> None:
    good, bad = ["很好看", "喜欢它", "真不错"], ["很难看", "讨厌它", "真糟糕"]
    texts = [f"{a}{b}" for said in (good, bad) for a in said for b in said] * 2
    outcome = learnt(tmp_path, labelled(texts, ([0] * 9 + [1] * 9) * 2), epochs=10)
    assert outcome.measures.accuracy == 1.0
    said = networks.classify(outcome.network, ["电影真不错", "电影真糟糕"])
    assert said.argmax(axis=1).tolist() == [0, 1]


def test_how_long_to_train() -> None:
    assert recipe.epochs_for(10**6, 2) == 3
    assert [recipe.batch_for(n) for n in (10, 500, 7000, 10**6)] == [8, 16, 32, 128]


# ---- words ---------------------------------------------------------------------------


def by_length(texts: Any) -> Any:
    """Longer texts are more likely of class 1; the word `no` makes class 0."""
    ones = np.array([0.0 if " no" in f" {t}" else min(len(t), 50) / 50 for t in texts])
    return np.stack([1 - ones, ones], axis=1)


def test_words_that_speak_for_a_class() -> None:
    found = speaking_words(by_length, "a wonderful film", 1)
    assert found[0][0] == "wonderful"
    assert speaking_words(by_length, "no film", 0)[0][0] == "no"
    assert speaking_words(by_length, "", 1) == []
    texts = ["a wonderful film", "no film", "no plot", ""]
    zero, one = words_by_class(by_length, texts, 2)
    assert zero[0][0] == "no"
    assert "wonderful" in [word for word, _ in one]
    assert "no" not in [word for word, _ in one]
    assert words_by_class(by_length, [], 2) == [[], []]
