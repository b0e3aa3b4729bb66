"""What was meant: a network that names intents, and refuses what is none of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import layers
from chainrule.errors import FormatError
from chainrule.models import Model
from chainrule.optimizers import Adam
from chainrule.optimizers.schedules import CosineDecay
from chainrule.recipes.chat_data import Intents
from chainrule.text import Tokenizer, keep_tokenizer, kept_tokenizer

Array = np.ndarray[Any, Any]

WIDTH = 256
NAMES = "intents"  # in the notes of a model
FEATURES = "features"  # the layer that texts are compared by
THRESHOLDS = np.round(np.arange(0.0, 1.0, 0.05), 2)
KEPT = 0.95  # of what is in scope
RARE = 2000  # texts from which on words that occur once count as unknown


@dataclass(frozen=True)
class IntentPlan:
    """How a network learns intents.

    Attributes:
        epochs: passes over the texts; None chooses by their number.
        batch_size: texts of a step.
        learning_rate: at the beginning; it falls to 0 along a cosine.
        seed: of the weights, the order and dropout.
    """

    epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 2e-3
    seed: int = 0


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


class IntentNetwork:
    """A trained network, its words and its intents.

    Args:
        model: made by `learn_intents`.

    Attributes:
        names: the intents.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.names: list[str] = list(model.notes.get(NAMES, ()))
        if not self.names:
            raise FormatError("the model names no intents", where=str(model.name))
        self.tokenizer = kept_tokenizer(model)
        self.length = int(model.inputs[0].shape[1])
        self._features = Model(model.inputs[0], model.get_layer(FEATURES).output)

    def probabilities(self, texts: Sequence[str]) -> Array:
        """How likely each intent is, `(texts, intents)`."""
        found: Array = self.model.predict(
            numbered(self.tokenizer, texts, self.length), verbose=0
        )
        return found

    def encode(self, texts: Sequence[str]) -> Array:
        """Features of texts, of length 1; near one another where they mean the same."""
        found = self._features.predict(
            numbered(self.tokenizer, texts, self.length), verbose=0
        )
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        normal: Array = found / np.maximum(lengths, 1e-9)
        return normal

    def likeliest(self, text: str, count: int = 3) -> list[tuple[str, float]]:
        """The likeliest intents of a text, with their probabilities."""
        found = self.probabilities([text])[0]
        order = np.argsort(-found, kind="stable")[:count]
        return [(self.names[row], float(found[row])) for row in order]


def numbered(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> Array:
    """Texts as rows of numbers of words, filled up with 0.

    Example:
        >>> words = Tokenizer.train(["to be or not to be"], kind="words")
        >>> numbered(words, ["not to be or", ""], 3).tolist()
        [[6, 5, 4], [0, 0, 0]]
    """
    rows = np.zeros((len(texts), length), np.int32)
    for row, numbers in zip(rows, tokenizer.encode_batch(texts), strict=True):
        row[: min(length, len(numbers))] = numbers[:length]
    return rows


def learn_intents(intents: Intents, plan: IntentPlan) -> tuple[IntentNetwork, Any]:
    """Train a network on the texts in scope that are not held out.

    Words become vectors, their mean goes through one layer, and that names the intent.

    Args:
        intents: texts and what was meant.
        plan: how to learn.

    Returns:
        The network and its History.
    """
    rows = intents.rows(held=False, inside=True)
    texts = [intents.texts[row] for row in rows]
    names = sorted({name for name in intents.names if name is not None})
    places = {name: place for place, name in enumerate(names)}
    labels = np.array([places[str(intents.names[row])] for row in rows], np.int32)
    tokenizer = Tokenizer.train(
        texts,
        kind="words",
        vocabulary_size=None,
        lowercase=True,
        min_frequency=2 if len(texts) >= RARE else 1,
    )
    counts = [len(numbers) for numbers in tokenizer.encode_batch(texts)]
    length = int(np.clip(max(counts), 4, 128))
    model = build(tokenizer.vocabulary_size, length, len(names), plan.seed)
    model.notes[NAMES] = names
    keep_tokenizer(model, tokenizer)
    epochs = plan.epochs or int(np.clip(150_000 / max(len(texts), 1), 8, 60))
    steps = max(1, epochs * -(-len(texts) // plan.batch_size))
    model.compile(
        Adam(CosineDecay(plan.learning_rate, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    history = model.fit(
        numbered(tokenizer, texts, length),
        labels,
        batch_size=plan.batch_size,
        epochs=epochs,
        seed=plan.seed,
        verbose=0,
    )
    return IntentNetwork(model), history


def build(words: int, length: int, intents: int, seed: int) -> Model:
    """A network from numbers of words to probabilities of intents.

    Example:
        >>> build(100, 12, 5, seed=0).output_shape
        (None, 5)
    """
    from chainrule.functional.random import set_seed  # noqa: PLC0415

    set_seed(seed)
    text = layers.Input((length,), dtype="int32", name="words")
    vectors = layers.Embedding(words, WIDTH, mask_zero=True, name="vectors")(text)
    vectors = layers.Dropout(0.3, name="missing")(vectors)
    mean = layers.GlobalAveragePooling1D(name="mean")(vectors)
    features = layers.Dense(WIDTH, "relu", name=FEATURES)(mean)
    dropped = layers.Dropout(0.5, name="dropped")(features)
    named = layers.Dense(intents, "softmax", name="intent")(dropped)
    return Model(text, named, name="intents")


# ---- out of scope --------------------------------------------------------------------


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
