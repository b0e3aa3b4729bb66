from __future__ import annotations

import pytest

from chainrule.text.grams import LONGEST, make_grams, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \n\t", []),
        ("So what's new?", ["So", "what", "'", "s", "new", "?"]),
        ("naïve_name 3.5€", ["naïve", "_", "name", "3", ".", "5", "€"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("안녕 세상", ["안녕", "세상"]),
        ("שלום, عالم", ["שלום", ",", "عالم"]),
        ("我喜欢ABC。", ["我", "喜", "欢", "ABC", "。"]),
        ("แมว cat", ["แ", "ม", "ว", "cat"]),
        ("a\0b\u2014c", ["a\0b", "\u2014", "c"]),
        ("good👍👍", ["good", "👍", "👍"]),
    ],
)
def test_words_of_any_script(text: str, words: list[str]) -> None:
    assert split_words(text) == words
    assert split_words(text, 2) == words[:2]


def test_grams() -> None:
    found = list(make_grams(["to", "be", "or"], 3, None))
    assert found == ["to", "be", "or", "to be", "be or", "to be or"]
    inside = list(make_grams(["ab"], 1, (3, 5)))
    assert inside == ["ab", "#<ab", "#ab>"]
    assert list(make_grams([], 2, (3, 5))) == []
    assert list(make_grams(["文"], 2, (3, 5))) == ["文"]


def test_very_long_words_have_few_grams() -> None:
    assert len(list(make_grams(["x" * 1_000_000], 2, (3, 5)))) < 4 * LONGEST
