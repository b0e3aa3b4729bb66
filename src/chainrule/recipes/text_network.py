"""Networks that tell the classes of texts: several readers that vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import functional, initializers, layers
from chainrule.layers import TextEncoder
from chainrule.models import Model
from chainrule.text.grams import split_words
from chainrule.text.scripts import spaceless_share

Array = np.ndarray[Any, Any]

TASK = "text"
MOSTLY = 0.3  # share of characters from which on a text counts as without spaces
SHORT, LONG = 2, 80  # words: names and the like; documents
MANY = 200_000  # texts, whose n-grams inside words would not fit into memory
SMOOTHING = 1.0  # added to every count
TEMPER = 0.2  # of the votes by counts: n-grams of a text overlap, and vote again
MOST_COUNTED = 16_000_000  # n-grams times classes
STRETCH = 3.0  # of sums of vectors, whose weights have length 1
BAG, WORD = "bag", "words"
WIDTHS = (2, 3, 4)  # words that a convolution sees
READERS = 2  # convolutions over words, which differ in their first weights
AT_ONCE = 128


def choose_encoder(texts: Sequence[str]) -> tuple[TextEncoder, str]:
    """How texts are to be cut up, by what they look like, and why.

    Example:
        >>> encoder, why = choose_encoder(["我喜欢机器学习", "今天天气很好"])
        >>> encoder.joined, why
        (4, 'characters and up to 4 in a row: the script has no spaces between words')
    """
    counts = [len(split_words(text, LONG + 1)) for text in texts]
    median = float(np.median(counts)) if counts else 0.0
    if spaceless_share(texts) > MOSTLY:
        why = "characters and up to 4 in a row: the script has no spaces between words"
        return TextEncoder(joined=4, inside=(3, 5)), why
    if median <= SHORT:
        why = f"characters: half of the texts have {median:.0f} words or fewer"
        return TextEncoder(joined=2, inside=(1, 5), unit="characters"), why
    if median > LONG or len(texts) > MANY:
        found = f"half of the texts have more than {LONG} words"
        why = f"words and pairs of words: {found if median > LONG else 'many texts'}"
        return TextEncoder(joined=2, inside=None), why
    why = f"words, pairs of words, and parts of words: {median:.0f} words in the median"
    return TextEncoder(joined=2, inside=(3, 5)), why


def count_votes(rows: Array, labels: Array, grams: int, classes: int) -> Array:
    """How much each n-gram speaks for each class, by counts alone: naive Bayes.

    The logarithm of the share of an n-gram among those of the class, without the mean
    over the classes; row 0, which fills up, is 0.

    Args:
        rows: the numbers of the n-grams of each text.
        labels: of the texts.
        grams: how many there are.
        classes: how many classes there are.

    Example:
        >>> rows = np.array([[1, 2], [1, 3]])
        >>> count_votes(rows, np.array([0, 1]), 3, 2)[2].round(2)
        array([ 0.35, -0.35], dtype=float32)
    """
    pairs = rows.astype(np.int64) * classes + labels[:, None]
    size = (grams + 1) * classes
    counts = np.bincount(pairs.reshape(-1), minlength=size).reshape(-1, classes)
    smooth = counts[1:] + SMOOTHING
    votes = np.log(smooth / smooth.sum(axis=0))
    votes -= votes.mean(axis=1, keepdims=True)
    return np.concatenate([np.zeros((1, classes)), votes]).astype(np.float32)


class Readers:
    """The parts of a network, before they are put together.

    Args:
        encoder: that has learnt its vocabulary.
        rows: of the texts to learn from.
        labels: of these.
        classes: how many classes there are.
        width: of vectors.
    """

    def __init__(
        self, encoder: TextEncoder, rows: Array, labels: Array, classes: int, width: int
    ) -> None:
        self.encoder, self.classes, self.width = encoder, classes, width
        self.start = layers.Input(rows.shape[1:], dtype="int32", name="tokens")
        room = encoder.grams_length
        self.grams = self.start[:, :room]
        self.units = self.start[:, room:]
        self.logits = [self._head(self._bag(len(rows)), BAG, 0.3)]
        self.logits += [
            self._head(self._convolutions(place), f"{WORD}_{place}", 0.5)
            for place in range(1, READERS + 1)
        ]
        self.counted = self._count(rows[:, :room], labels)

    def training(self) -> Model:
        """The network that is trained: the answers of each reader for itself."""
        return Model(self.start, self.logits)

    def whole(self, name: str) -> Model:
        """The network that is used: the mean of what the readers say."""
        votes = [functional.softmax(each, axis=-1) for each in self.logits]
        votes += [] if self.counted is None else [self.counted]
        mean = functional.mean(functional.stack(votes, axis=1), axis=1)
        return Model(self.start, mean, name=name)

    def _head(self, seen: Any, name: str, rate: float) -> Any:
        dropped = layers.Dropout(rate, name=f"{name}_dropout")(seen)
        return layers.Dense(self.classes, name=f"{name}_classes")(dropped)

    def _bag(self, texts: int) -> Any:
        """A sum of vectors of n-grams, the rarer the longer."""
        encoder = self.encoder
        assert encoder.found_in is not None
        rarity = np.log((1 + texts) / (1 + encoder.found_in)) + 1
        table = np.concatenate([[0.0], rarity]).astype(np.float32)[:, None]
        rare = layers.Embedding(
            len(table), 1, name=f"{BAG}_rarity", weights=[table], trainable=False
        )
        weight = rare(self.grams)
        length = functional.sqrt(
            functional.sum(functional.square(weight), axis=1, keepdims=True)
        )
        weight = layers.Dropout(0.5, name=f"{BAG}_words")(
            weight / functional.maximum(length, 1e-6)
        )
        vectors = layers.Embedding(len(table), self.width, name=BAG)(self.grams)
        return functional.sum(vectors * weight, axis=1) * STRETCH

    def _convolutions(self, place: int) -> Any:
        """The strongest answers of filters over words in a row."""
        name = f"{WORD}_{place}"
        vectors = layers.Embedding(
            len(self.encoder.units) + 2,
            self.width,
            embeddings_initializer=initializers.RandomUniform(-0.25, 0.25),
            name=name,
        )(self.units)
        vectors = layers.Dropout(0.4, name=f"{name}_inputs")(vectors)
        found = []
        for width in WIDTHS:
            filters = layers.Conv1D(
                self.width,
                width,
                padding="same",
                activation="relu",
                name=f"{name}_{width}",
            )
            found.append(functional.max(filters(vectors), axis=1))
        return functional.concat(found, axis=-1)

    def _count(self, rows: Array, labels: Array) -> Any:
        """The votes by counts; None where the table would be too large."""
        grams = len(self.encoder.grams)
        if (grams + 1) * self.classes > MOST_COUNTED:
            return None
        table = count_votes(rows, labels, grams, self.classes)
        share = np.bincount(labels, minlength=self.classes) + SMOOTHING
        prior = np.log(share / share.sum()).astype(np.float32)
        votes = layers.Embedding(
            grams + 1, self.classes, name="counts", weights=[table], trainable=False
        )(self.grams)
        logits = (functional.sum(votes, axis=1) + prior) * TEMPER
        return functional.softmax(logits, axis=-1)


def is_text_classifier(model: Any) -> bool:
    """Whether a model is one that tells the classes of texts."""
    return bool(model.notes.get("task") == TASK)


def classify(network: Any, texts: Sequence[str]) -> Array:
    """The probabilities of the classes of texts, float32 `(texts, classes)`.

    Args:
        network: of `learn`, or loaded; its notes have the `class_names`.
        texts: any texts, also empty ones.
    """
    return _in_groups(network.layers[0], network.layers[1], texts)


def represent(network: Any, texts: Sequence[str], reader: Model | None = None) -> Array:
    """What the network sees in texts before it decides, float32 `(texts, width)`.

    Texts of a kind have vectors of a like direction: their cosine tells how near two
    texts are.

    Args:
        network: of `learn`, or loaded.
        texts: any texts, also empty ones.
        reader: of `before_deciding`, where there are many calls; None makes one.
    """
    reader = before_deciding(network) if reader is None else reader
    return _in_groups(network.layers[0], reader, texts)


def before_deciding(network: Any) -> Model:
    """The part of a network that sees, without what decides."""
    inner = network.layers[1]
    heads = f"{BAG}_dropout", *(f"{WORD}_{n}_dropout" for n in range(1, READERS + 1))
    seen = [inner.get_layer(name).input for name in heads]
    return Model(inner.input, functional.concat(seen, axis=-1))


def _in_groups(encoder: TextEncoder, reader: Any, texts: Sequence[str]) -> Array:
    """What a part of a network says, some texts at once and always as many."""
    found = []
    for start in range(0, len(texts), AT_ONCE * 16):
        group = encoder(list(texts[start : start + AT_ONCE * 16]))
        found.append(predict_rows(reader, group))
    if not found:
        return np.zeros((0, reader.output_shape[-1]), np.float32)
    return np.concatenate(found)


def predict_rows(model: Any, rows: Array) -> Array:
    """What a model says about rows of an encoder; one shape for all compiles once."""
    missing = -len(rows) % AT_ONCE
    filled = np.concatenate([rows, np.zeros((missing, rows.shape[1]), rows.dtype)])
    said = model.predict(filled, batch_size=AT_ONCE, verbose=0)
    return np.asarray(said[: len(rows)])
