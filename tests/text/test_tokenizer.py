from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule
from chainrule.errors import (
    ArgumentError,
    DataError,
    DependencyError,
    FormatError,
    OutOfBoundsError,
)
from chainrule.text import KINDS, Tokenizer, keep_tokenizer, kept_tokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "the lazy dog sleeps; the fox doesn't.",
    "Übermäßig schöne Füchse, 12 an der Zahl!",
    "我喜欢机器学习。",
    "ฉันรักแมวมาก",
    "naïve café — “quoted” 👩‍👩‍👧 emoji",
]
LIBRARY = [kind for kind in KINDS if kind != "characters"]
SIZES = {"byte_pair": 400, "word_piece": 200, "words": 60}


def trained(kind: str, **options: Any) -> Tokenizer:
    if kind != "characters":
        pytest.importorskip("tokenizers")
    size = options.pop("vocabulary_size", SIZES.get(kind, 200))
    return Tokenizer.train(TEXTS, kind, size, **options)


@pytest.fixture(scope="module")
def byte_pair() -> Tokenizer:
    return trained("byte_pair")


# ---- every kind ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_come_first(kind: str) -> None:
    tokenizer = trained(kind, special_tokens=["<user>"])
    first = ["[PAD]", "[UNK]", "[START]", "[END]", "<user>"]
    assert tokenizer.vocabulary[:5] == first
    numbers = (tokenizer.padding, tokenizer.unknown, tokenizer.start, tokenizer.end)
    assert numbers == (0, 1, 2, 3)
    assert tokenizer.token_to_id("<user>") == 4
    assert tokenizer.id_to_token(4) == "<user>"
    assert len(set(tokenizer.vocabulary)) == tokenizer.vocabulary_size


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_hold(kind: str) -> None:
    tokenizer = trained(kind)
    assert tokenizer.vocabulary_size <= SIZES.get(kind, 200)
    assert len(tokenizer) == tokenizer.vocabulary_size == len(tokenizer.vocabulary)
    assert max(row.max() for row in tokenizer.encode_batch(TEXTS)) < len(tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_with_the_name_of_a_special_token_is_text(kind: str) -> None:
    tokenizer = Tokenizer.train(
        ["a [END] b [PAD] [UNK] END"] * 9, kind, 300 if kind == "byte_pair" else 60
    )
    found = tokenizer.encode("a [END] [PAD]")
    assert not set(found.tolist()) & {tokenizer.end, tokenizer.padding}
    assert tokenizer.decode(found).replace(" ", "") == "a[END][PAD]"


@pytest.mark.parametrize("kind", KINDS)
def test_start_and_end(kind: str) -> None:
    tokenizer = trained(kind)
    plain = tokenizer.encode(TEXTS[0]).tolist()
    whole = tokenizer.encode(TEXTS[0], start=True, end=True)
    assert whole.dtype == np.int32
    assert whole.tolist() == [2, *plain, 3]
    assert tokenizer.decode(whole) == tokenizer.decode(plain)
    shown = tokenizer.decode(whole, skip_special=False)
    assert shown.startswith("[START]")
    assert shown.endswith("[END]")


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_text_is_no_token(kind: str) -> None:
    tokenizer = trained(kind)
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.encode("", end=True).tolist() == [3]
    assert tokenizer.decode([]) == ""
    assert tokenizer.encode_batch([]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_as_one_by_one(kind: str) -> None:
    tokenizer = trained(kind)
    many = list(islice(cycle([*TEXTS, ""]), 2500))  # more than the library gets at once
    together = tokenizer.encode_batch(iter(many))
    alone = [tokenizer.encode(text).tolist() for text in [*TEXTS, ""]]
    assert [row.tolist() for row in together] == list(islice(cycle(alone), 2500))
    assert tokenizer.decode_batch(together[:3]) == [
        tokenizer.decode(row) for row in together[:3]
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_json_and_pickle_give_an_equal_one(kind: str) -> None:
    tokenizer = trained(kind, lowercase=True, special_tokens=["<a>"])
    for other in (
        Tokenizer.from_json(tokenizer.to_json()),
        pickle.loads(pickle.dumps(tokenizer)),
    ):
        assert other == tokenizer
        assert other.vocabulary == tokenizer.vocabulary
        for text in TEXTS:
            assert other.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert tokenizer != trained(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_texts_give_an_equal_one_in_another_process(kind: str) -> None:
    here = trained(kind)
    code = (
        "import sys, json; from chainrule.text import Tokenizer\n"
        "texts, kind, size = json.loads(sys.argv[1])\n"
        "print(Tokenizer.train(iter(texts), kind, size).to_json())"
    )
    given = json.dumps([TEXTS, kind, SIZES.get(kind, 200)])
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code, given],
            capture_output=True,
            text=True,
            check=True,
        )
        assert Tokenizer.from_json(done.stdout) == here


@pytest.mark.parametrize("kind", KINDS)
def test_lower_case(kind: str) -> None:
    tokenizer = trained(kind, lowercase=True)
    upper, lower = tokenizer.encode("THE LAZY FOX"), tokenizer.encode("the lazy fox")
    assert upper.tolist() == lower.tolist()
    assert tokenizer.decode(upper) == "the lazy fox"
    long = [token for token in tokenizer.ordinary if len(token) > 1]
    assert not any(token.isascii() and token != token.lower() for token in long)


@pytest.mark.parametrize("kind", KINDS)
def test_streams_give_what_decoding_gives(kind: str) -> None:
    tokenizer = trained(kind)
    for text in TEXTS:
        numbers = tokenizer.encode(text, start=True, end=True).tolist()
        for skip in (True, False):
            parts = list(tokenizer.decode_stream(numbers, skip_special=skip))
            assert "".join(parts) == tokenizer.decode(numbers, skip_special=skip)
            assert all(parts)
            assert "\ufffd" not in "".join(parts)


@pytest.mark.parametrize("kind", ["word_piece", "words"])
def test_plain_sentences_come_back(kind: str) -> None:
    tokenizer = Tokenizer.train(TEXTS[:2] * 20, kind, 140)
    text = "the lazy dog jumps over the quick brown fox."
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_very_long_and_odd_texts(kind: str) -> None:
    tokenizer = trained(kind)
    for text in ("x" * 100_000, "the dog " * 20_000, "\0", "\r\n\r\n", " ", "\ufeff"):
        numbers = tokenizer.encode(text)
        assert numbers.ndim == 1
        assert isinstance(tokenizer.decode(numbers), str)


@pytest.mark.parametrize("kind", ["word_piece", "words", "characters"])
def test_what_is_not_in_the_vocabulary(kind: str) -> None:
    tokenizer = trained(kind)
    assert 1 in tokenizer.encode("Жук").tolist()
    silent = trained(kind, unknown=None)
    assert silent.unknown is None
    with pytest.raises(DataError, match=r"no token for the unknown[\s\S]*\\u0416"):
        silent.encode("Жук")


# ---- exactly -------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_byte_pairs_bring_any_text_back(text: str) -> None:
    tokenizer = BYTE_PAIR or pytest.skip("tokenizers is not installed")
    numbers = tokenizer.encode(text)
    assert tokenizer.decode(numbers) == text
    assert "".join(tokenizer.decode_stream(numbers.tolist())) == text


@given(st.text(st.characters(codec="utf-16", categories=None)))
def test_characters_bring_their_texts_back(text: str) -> None:
    tokenizer = Tokenizer.train([text, "x"], "characters", None)
    assert tokenizer.decode(tokenizer.encode(text)) == text


try:
    BYTE_PAIR: Any = Tokenizer.train(TEXTS, "byte_pair", 400)
except DependencyError:
    BYTE_PAIR = None


def test_streams_split_no_character(byte_pair: Tokenizer) -> None:
    parts = list(byte_pair.decode_stream(byte_pair.encode("a👍ж").tolist()))
    assert parts == ["a", "👍", "ж"]


def test_a_character_that_is_cut_ends_as_a_mark(byte_pair: Tokenizer) -> None:
    cut = byte_pair.encode("👍")[:-1].tolist()
    assert byte_pair.decode(cut) == "\ufffd"
    assert list(byte_pair.decode_stream(cut)) == ["\ufffd"]
    again = [*cut, byte_pair.end, *byte_pair.encode("👍").tolist()]
    assert byte_pair.decode(again, skip_special=False) == "\ufffd[END]👍"


def test_frequent_words_are_one_token(byte_pair: Tokenizer) -> None:
    tokenizer = Tokenizer.train(["banana bandana"] * 50, "byte_pair", 300)
    assert len(tokenizer.encode("banana")) == 1
    assert len(byte_pair.encode("banana")) > 1


def test_half_a_surrogate_pair_is_no_text(byte_pair: Tokenizer) -> None:
    with pytest.raises(DataError, match="half of a surrogate pair"):
        byte_pair.encode("a\ud800")
    with pytest.raises(DataError, match="half of a surrogate pair"):
        Tokenizer.train(["a\ud800"], "words")


# ---- characters ----------------------------------------------------------------------


def test_characters_are_numbered_in_order() -> None:
    none = {"padding": None, "unknown": None, "start": None, "end": None}
    tokenizer = Tokenizer.train(["hello\nworld"], "characters", None, **none)
    assert tokenizer.vocabulary == sorted(set("hello\nworld"))
    assert tokenizer.encode("lo\n").tolist() == [4, 5, 0]
    assert tokenizer.padding is None


def test_the_most_frequent_characters_are_kept() -> None:
    tokenizer = Tokenizer.train(["aaabbcd"], "characters", 7)
    assert tokenizer.ordinary == ["a", "b", "c"]
    assert Tokenizer.train(["aaabbcd"], "characters", min_frequency=2).ordinary == [
        "a",
        "b",
    ]


def test_megabytes_of_characters_take_no_time() -> None:
    text = "".join(TEXTS) * 20_000
    assert len(text) > 3_000_000
    started = time.perf_counter()
    tokenizer = Tokenizer.train(text, "characters")
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert time.perf_counter() - started < 2


def test_characters_need_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = None if BYTE_PAIR is None else BYTE_PAIR.to_json()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    tokenizer = Tokenizer.train(TEXTS, "characters")
    assert tokenizer.decode(tokenizer.encode(TEXTS[4])) == TEXTS[4]
    with pytest.raises(DependencyError, match=r"chainrule\[text\]"):
        Tokenizer.train(TEXTS, "byte_pair")
    if tokens is not None:  # numbers become text without it as well
        assert Tokenizer.from_json(tokens).decode([4 + 68]) == "e"


# ---- lessons -------------------------------------------------------------------------


def test_what_cannot_be_learnt_is_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"no such kind[\s\S]*byte_pair, word_piece"
    ):
        Tokenizer.train(TEXTS, "bpe")
    with pytest.raises(ArgumentError, match="at least 260: 4 special tokens"):
        Tokenizer.train(TEXTS, "byte_pair", 200)
    with pytest.raises(ArgumentError, match="vocabulary_size=8192"):
        Tokenizer.train(TEXTS, "byte_pair", None)
    with pytest.raises(ArgumentError, match="differ from one another"):
        Tokenizer.train(TEXTS, "characters", special_tokens=["[PAD]"])
    with pytest.raises(DataError, match="no text to learn"):
        Tokenizer.train(["", ""], "characters")
    with pytest.raises(DataError, match=r"text 1: this is no text[\s\S]*decode"):
        Tokenizer.train(["a", b"b"], "characters")  # type: ignore[list-item]


def test_what_cannot_be_read_is_refused() -> None:
    tokenizer = trained("characters", end=None)
    with pytest.raises(OutOfBoundsError, match="no token of this number"):
        tokenizer.decode([0, 999])
    with pytest.raises(OutOfBoundsError):
        list(tokenizer.decode_stream([-1]))
    with pytest.raises(OutOfBoundsError):
        tokenizer.id_to_token(-1)
    with pytest.raises(ArgumentError, match="decode_batch"):
        tokenizer.decode([[1, 2]])
    with pytest.raises(ArgumentError, match="lacks this token"):
        tokenizer.token_to_id("nothing")
    with pytest.raises(ArgumentError, match="no token for the end"):
        tokenizer.encode("a", end=True)
    assert "a" in tokenizer
    assert "nothing" not in tokenizer


@pytest.mark.parametrize("key", ["format", "version", "kind", "special", "tokenizers"])
def test_damaged_descriptions_are_refused(key: str, byte_pair: Tokenizer) -> None:
    config = byte_pair.get_config()
    for value in (None, 7, [1], {"model": 3}, {"model": {"vocab": {"a": 5}}}):
        with pytest.raises(FormatError):
            Tokenizer.from_config({**config, key: value})
    with pytest.raises(FormatError):
        Tokenizer.from_config({k: v for k, v in config.items() if k != key})
    for text in ("", "[]", "{", "nul"):
        with pytest.raises(FormatError):
            Tokenizer.from_json(text)


def test_the_library_refuses_a_model_that_it_does_not_know() -> None:
    pytest.importorskip("tokenizers")
    config = trained("words").get_config()
    config["tokenizers"] = {"model": {"type": "Magic", "vocab": {"[UNK]": 0, "a": 1}}}
    with pytest.raises(FormatError, match="does not understand"):
        Tokenizer.from_config(config).encode("a")


# ---- in the files of models ----------------------------------------------------------


def test_a_model_file_holds_its_tokenizers(tmp_path: Any, byte_pair: Tokenizer) -> None:
    layers = chainrule.layers
    model = chainrule.Sequential([layers.Input((3,)), layers.Dense(1)])
    letters = trained("characters")
    keep_tokenizer(model, byte_pair, "source")
    keep_tokenizer(model, letters, "target")
    loaded = chainrule.load_model(model.save(tmp_path / "model.chainrule"))
    assert kept_tokenizer(loaded, "source") == byte_pair
    assert kept_tokenizer(loaded, "target") == letters
    with pytest.raises(ArgumentError, match=r"no tokenizer[\s\S]*'source', 'target'"):
        kept_tokenizer(loaded)
