"""Answers to questions that were asked before in other words."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.text import is_spaceless

Array = np.ndarray[Any, Any]
Encode = Callable[[Sequence[str]], Array]

WORD = re.compile(r"\w+")
PIECES = (3, 4)  # lengths of parts of words
# From where on an answer is given, with words alone and with a network; docs/chat.md
# says what that lets through.
THRESHOLDS = {False: 0.6, True: 0.65}
MEANING = 0.3  # the weight of what a network makes of texts


@dataclass(frozen=True)
class Near:
    """A question that is like one that was asked.

    Attributes:
        question: as it was learnt.
        answers: its answers, one or several.
        similarity: from 0 to 1, which is the same question.
    """

    question: str
    answers: list[str]
    similarity: float


class AnswerIndex:
    """Questions with answers, found by words and parts of words.

    A question is a vector with a place for every word and every three and four letters
    within a word, each weighted by `(1 + log count) * log(questions / questions with
    it)`, of length 1; similarity is the product of two such vectors (tf-idf and cosine:
    Salton, Buckley, "Term-weighting approaches in automatic text retrieval", 1988).

    A network that was trained to tell intents apart knows more of what words mean; with
    its features, similarity is `0.7 * tf-idf + 0.3 * cosine of the features`. (Of
    questions about 30 intents of CLINC150 that the network had not seen, the nearest of
    300 meant the same for 86% with tf-idf, 74% with the features, 90% with both; BM25
    alone 85%.)

    Args:
        pairs: questions and answers.
        encode: features of texts, `(texts, features)` of length 1, if there are any.

    Attributes:
        threshold: the similarity from which an answer is taken to be one.

    Example:
        >>> index = AnswerIndex([("Where are you?", "Here."), ("Who are you?", "Me.")])
        >>> index.nearest("where are u")[0].answers
        ['Here.']
    """

    def __init__(
        self, pairs: Sequence[tuple[str, str]], encode: Encode | None = None
    ) -> None:
        self.pairs = list(pairs)
        self.questions, self.answers = _grouped(self.pairs)
        self.encode = encode
        self.meant = None if encode is None else encode(self.questions)
        counted = [Counter(features(question)) for question in self.questions]
        known = Counter(feature for each in counted for feature in each)
        total = len(self.questions)
        self.rarity = {f: math.log((total + 1) / (n + 0.5)) for f, n in known.items()}
        found: dict[str, tuple[list[int], list[float]]] = {}
        for row, each in enumerate(counted):
            for feature, weight in self._weighed(each).items():
                rows, weights = found.setdefault(feature, ([], []))
                rows.append(row)
                weights.append(weight)
        self.postings = {
            feature: (np.array(rows), np.array(weights, np.float32))
            for feature, (rows, weights) in found.items()
        }
        self.threshold = THRESHOLDS[encode is not None]

    def similarities(self, text: str) -> Array:
        """How like a text every question is."""
        scores = np.zeros(len(self.questions), np.float32)
        for feature, weight in self._weighed(Counter(features(text))).items():
            if feature in self.postings:
                rows, weights = self.postings[feature]
                scores[rows] += weights * weight
        if self.encode is None or self.meant is None:
            return scores
        return (1 - MEANING) * scores + MEANING * (self.meant @ self.encode([text])[0])

    def nearest(self, text: str, count: int = 3) -> list[Near]:
        """The questions most like a text, the likest first."""
        scores = self.similarities(text)
        order = np.argsort(-scores, kind="stable")[:count]
        return [
            Near(self.questions[row], self.answers[row], float(scores[row]))
            for row in order
            if scores[row] > 0
        ]

    def _weighed(self, counted: Counter[str]) -> dict[str, float]:
        """Weights of features, of length 1; what is unknown weighs as the rarest."""
        rarest = math.log((len(self.questions) + 1) / 0.5)
        raw = {
            feature: (1 + math.log(count)) * self.rarity.get(feature, rarest)
            for feature, count in counted.items()
        }
        length = math.sqrt(sum(weight**2 for weight in raw.values())) or 1.0
        return {feature: weight / length for feature, weight in raw.items()}


def _grouped(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[list[str]]]:
    """Questions that differ in more than case and punctuation, with all answers."""
    found: dict[str, tuple[str, list[str]]] = {}
    for question, answer in pairs:
        key = " ".join(WORD.findall(question.casefold())) or question
        found.setdefault(key, (question, []))[1].append(answer)
    return [q for q, _ in found.values()], [answers for _, answers in found.values()]


def features(text: str) -> list[str]:
    """Words, and parts of words; where no spaces are written, characters and pairs.

    Example:
        >>> features("Good!")
        ['good', '<go', 'goo', 'ood', 'od>', '<goo', 'good', 'ood>']
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    found = []
    for word in WORD.findall(plain):
        if any(map(is_spaceless, word)):
            found += [word[i : i + n] for n in (1, 2) for i in range(len(word) - n + 1)]
            continue
        marked = f"<{word}>"
        found.append(word)
        found += [marked[i : i + n] for n in PIECES for i in range(len(marked) - n + 1)]
    return found
