"""Which words speak for which class: what changes when a word is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.text.grams import split_words
from chainrule.text.writing import whole_word

Array = np.ndarray[Any, Any]
Classify = Callable[[Sequence[str]], Array]

MOST_LOOKS = 6000  # texts with a word left out
MOST_WORDS = 200  # of a text that are left out one by one
SHOWN = 8  # words of a class


def without_each_word(text: str) -> tuple[list[str], list[str]]:
    """The words of a text, and the text without each of them.

    Example:
        >>> without_each_word("so good!")
        (['so', 'good', '!'], ['good!', 'so!', 'so good'])
    """
    words = split_words(text, MOST_WORDS)
    return words, [_join([*words[:i], *words[i + 1 :]]) for i in range(len(words))]


def _join(words: Sequence[str]) -> str:
    """Words as a text; how they are spaced means nothing to a classifier."""
    pairs = zip(["", *words], words, strict=False)
    return "".join(whole_word(before, word) for before, word in pairs)


def speaking_words(
    classify: Classify, text: str, label: int
) -> list[tuple[str, float]]:
    """The words of a text by how much they raise the probability of a class.

    Args:
        classify: gives probabilities for texts.
        text: that is looked at.
        label: of the class.

    Returns:
        Words and by how much the probability falls without them, the most telling
        first; without those that change nothing.
    """
    words, shorter = without_each_word(text)
    if not words:
        return []
    said = classify([_join(words), *shorter])[:, label]
    falls = (said[0] - said[1:]).tolist()
    found = [(w, f) for w, f in zip(words, falls, strict=True) if f]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def words_by_class(
    classify: Classify, texts: Sequence[str], classes: int, seed: int = 0
) -> list[list[tuple[str, float]]]:
    """For every class the words that raise its probability most, over many texts.

    Args:
        classify: gives probabilities for texts.
        texts: to look at; so many by chance that 6,000 looks suffice.
        classes: how many there are.
        seed: of the chance.

    Returns:
        For each class words and the mean of the falls of its probability without them,
        times the square root of how often they were seen, the most telling first.
    """
    order = np.random.default_rng(seed).permutation(len(texts))
    words: list[str] = []
    shown: list[str] = []
    whole: list[int] = []  # the place of the whole text, of each text without a word
    for place in order.tolist():
        if len(shown) >= MOST_LOOKS:
            break
        found, shorter = without_each_word(texts[place].lower())
        first = len(shown)
        shown += [_join(found), *shorter]
        whole += [first] * (len(found) + 1)
        words += ["", *found]
    if not shown:
        return [[] for _ in range(classes)]
    said = classify(shown)
    falls = said[np.array(whole)] - said
    return _rank(words, falls, classes)


def _rank(
    words: Sequence[str], falls: Array, classes: int
) -> list[list[tuple[str, float]]]:
    names = sorted({word for word in words if any(map(str.isalnum, word))})
    numbers = {word: number for number, word in enumerate(names)}
    rows = [row for row, word in enumerate(words) if word in numbers]
    places = np.array([numbers[words[row]] for row in rows], np.int64)
    sums = np.zeros((len(names), classes))
    np.add.at(sums, places, falls[rows])
    times = np.bincount(places, minlength=len(names)).astype(float)
    weight = sums / np.sqrt(np.maximum(times, 1))[:, None]
    found = []
    for label in range(classes):
        best = np.argsort(-weight[:, label], kind="stable")[:SHOWN]
        found.append(
            [(names[k], float(weight[k, label])) for k in best if weight[k, label] > 0]
        )
    return found
