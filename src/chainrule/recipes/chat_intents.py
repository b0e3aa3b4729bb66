"""What was meant: a network that names intents, and refuses what is none of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import FormatError
from chainrule.recipes import text, text_network
from chainrule.recipes.chat_data import Intents
from chainrule.recipes.images_data import TEST, TRAIN, VALIDATION, Labelled
from chainrule.recipes.text_data import TextOrigin

Array = np.ndarray[Any, Any]

THRESHOLDS = np.round(np.arange(0.0, 1.0, 0.05), 2)
KEPT = 0.95  # of what is in scope


class IntentNetwork:
    """A network that tells the classes of texts, which are intents.

    Args:
        model: made by `learn_intents`, or by `chainrule.recipes.text`.

    Attributes:
        names: the intents.

    Raises:
        FormatError: when the model is none of these.
    """

    def __init__(self, model: Any) -> None:
        if not text_network.is_text_classifier(model):
            raise FormatError("the model names no intents", where=str(model.name))
        self.model = model
        self.names: list[str] = list(model.notes["class_names"])
        self._reader = text_network.before_deciding(model)

    def probabilities(self, texts: Sequence[str]) -> Array:
        """How likely each intent is, `(texts, intents)`."""
        return text_network.classify(self.model, texts)

    def encode(self, texts: Sequence[str]) -> Array:
        """Features of texts, of length 1; near one another where they mean the same."""
        found = text_network.represent(self.model, texts, self._reader)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        normal: Array = found / np.maximum(lengths, 1e-9)
        return normal

    def likeliest(self, text: str, count: int = 3) -> list[tuple[str, float]]:
        """The likeliest intents of a text, with their probabilities."""
        found = self.probabilities([text])[0]
        order = np.argsort(-found, kind="stable")[:count]
        return [(self.names[row], float(found[row])) for row in order]


def learn_intents(
    intents: Intents,
    plan: text.Plan,
    show: Callable[[str], object] = lambda line: None,
) -> tuple[IntentNetwork, Any]:
    """Train a network on the texts in scope that are not held out.

    Args:
        intents: texts and what was meant.
        plan: how to learn.
        show: is told of every epoch.

    Returns:
        The network and its History.
    """
    rows = [place for place, name in enumerate(intents.names) if name is not None]
    names = tuple(sorted({str(intents.names[row]) for row in rows}))
    places = {name: place for place, name in enumerate(names)}
    held = intents.held[rows]
    data = Labelled(
        "intents",
        TextOrigin([intents.texts[row] for row in rows]),
        np.array([places[str(intents.names[row])] for row in rows], np.int64),
        names,
    )
    parts = {
        TRAIN: np.flatnonzero(~held),
        VALIDATION: np.zeros(0, np.int64),
        TEST: np.flatnonzero(held),
    }
    found = text.learn(text.Problem(data, parts, []), plan, None, show)
    return IntentNetwork(found.network), found.history


# ---- out of scope --------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """What comes of one threshold.

    Attributes:
        threshold: the least probability of an intent that is believed.
        accuracy: the share of texts in scope that were named right and believed.
        kept: the share of texts in scope that were believed.
        recall: the share of texts out of scope that were refused; None without such.
    """

    threshold: float
    accuracy: float
    kept: float
    recall: float | None


@dataclass(frozen=True)
class Judgement:
    """How well intents are named, and what is out of scope refused.

    Attributes:
        accuracy: the share of held-out texts in scope that are named right.
        threshold: the least probability of an intent that is believed.
        chosen: what comes of this threshold on what was held out.
        curve: what comes of others.
        counts: held-out texts in scope, and texts out of scope.
    """

    accuracy: float
    threshold: float
    chosen: Point
    curve: list[Point]
    counts: tuple[int, int]


def judge(network: IntentNetwork, intents: Intents) -> Judgement:
    """Measure a network on what was held out, and choose its threshold.

    The threshold is that at which 95% of what is in scope are believed. Texts out of
    scope are neither trained on nor looked at for it, so that all of them tell how much
    of their kind is refused.

    Args:
        network: a trained one.
        intents: what it was trained on, and what was held out.
    """
    inside = intents.rows(held=True, inside=True)
    held = [intents.texts[row] for row in inside]
    found = network.probabilities(held) if held else np.zeros((0, 1))
    names = np.array(network.names)[found.argmax(1)] if inside else np.array([])
    right = names == np.array([intents.names[row] for row in inside])
    sure = found.max(1) if inside else np.zeros(0)
    others = [row for row, name in enumerate(intents.names) if name is None]
    outside = np.zeros(0)
    if others:
        outside = network.probabilities([intents.texts[row] for row in others]).max(1)
    threshold = float(np.quantile(sure, 1 - KEPT)) if sure.size else 0.5
    return Judgement(
        float(right.mean()) if inside else float("nan"),
        threshold,
        _point(threshold, sure, right, outside),
        [_point(each, sure, right, outside) for each in THRESHOLDS],
        (len(inside), len(others)),
    )


def _point(threshold: float, sure: Array, right: Array, outside: Array) -> Point:
    believed = sure >= threshold
    return Point(
        float(threshold),
        float((believed & right).mean()) if sure.size else float("nan"),
        float(believed.mean()) if sure.size else float("nan"),
        float((outside < threshold).mean()) if outside.size else None,
    )


def curve_as_csv(curve: Sequence[Point]) -> str:
    """The curve as a table.

    Example:
        >>> print(curve_as_csv([Point(0.5, 0.9, 0.95, None)]).strip())
        threshold,in_scope_accuracy,in_scope_kept,out_of_scope_recall
        0.5,0.9,0.95,
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["threshold", "in_scope_accuracy", "in_scope_kept", "out_of_scope_recall"]
    )
    for point in curve:
        recall = "" if point.recall is None else round(point.recall, 4)
        numbers = round(point.accuracy, 4), round(point.kept, 4)
        writer.writerow([round(point.threshold, 4), *numbers, recall])
    return stream.getvalue()
