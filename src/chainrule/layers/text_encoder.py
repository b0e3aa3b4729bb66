"""Raw texts at the front of a classifier: n-grams and words as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Unpack

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.layers.host import HostLayer
from chainrule.layers.layer import LayerOptions
from chainrule.layers.preprocessing_lookup import read_strings
from chainrule.text.grams import INSIDE, make_grams, split_words

Array = np.ndarray[Any, Any]

UNITS = ("words", "characters")
UNKNOWN = 1  # the number of units that are not in the vocabulary
FIRST_UNIT = 2
MOST_WORDS = 4000  # of a text; what follows is not looked at
MOST_GRAMS = 2048  # in a row
MOST_UNITS = 400


class TextEncoder(HostLayer):
    """Texts of any script to rows of numbers for a classifier.

    A row has two parts. First the numbers of the different n-grams of the text, in any
    order: of words, and of characters inside words, which know of endings, spelling
    mistakes and names. Then the numbers of its words, or its characters, in order. 0
    fills both parts up; 1 is a word that is not in the vocabulary. A text with more of
    them than there is room for keeps its rarest n-grams, and its beginning.

    Characters of scripts without spaces between words count as words.

    Args:
        grams: the n-grams, the commonest first, as `adapt` found them; their numbers
            begin with 1.
        units: the words or characters, the commonest first; from number 2.
        grams_length: how many n-grams a row has room for.
        units_length: how many words or characters.
        joined: how many words an n-gram may have.
        inside: the shortest and the longest n-gram inside a word; None for none.
        unit: `words` or `characters`.
        lowercase: whether text is put in lower case first.
        **options: see `LayerOptions`.

    Example:
        >>> encoder = TextEncoder(inside=None)
        >>> encoder.adapt(["good film", "bad film"])
        >>> encoder.grams, encoder.units
        (['film', 'bad', 'bad film', 'good', 'good film'], ['film', 'bad', 'good'])
        >>> encoder(["film good !"]).tolist()
        [[1, 4, 0, 2, 4]]
    """

    def __init__(
        self,
        grams: Sequence[str] = (),
        units: Sequence[str] = (),
        grams_length: int = 0,
        units_length: int = 0,
        joined: int = 2,
        inside: Sequence[int] | None = (3, 5),
        unit: str = "words",
        lowercase: bool = True,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if unit not in UNITS:
            raise ArgumentError(
                "what is read in order is words or characters",
                where=self.name,
                got=repr(unit),
                expected=" or ".join(UNITS),
            )
        self.grams = list(grams)
        self.units = list(units)
        self.grams_length = grams_length
        self.units_length = units_length
        self.joined = joined
        self.inside = None if inside is None else tuple(inside)
        self.unit = unit
        self.lowercase = lowercase
        self.found_in: Array | None = None

    def adapt(
        self,
        data: Any,
        most_grams: int = 50_000,
        most_units: int = 20_000,
        least: int = 1,
    ) -> None:
        """Learn the n-grams and words of texts, and how long rows are to be.

        Args:
            data: the texts.
            most_grams: how many n-grams to know, the commonest.
            most_units: how many words or characters to know.
            least: in how many texts an n-gram, or how often a word, has to be; n-grams
                inside words in one text more, where this is more than 1.
        """
        documents: Counter[str] = Counter()
        units: Counter[str] = Counter()
        for text in self._texts(data):
            words = split_words(text, MOST_WORDS)
            documents.update(set(self._grams(words)))
            units.update(self._units(text, words))
        stricter = least + (least > 1)
        kept = [
            (-count, gram)
            for gram, count in documents.items()
            if count >= (stricter if gram.startswith(INSIDE) else least)
        ]
        chosen = sorted(kept)[:most_grams]
        self.grams = [gram for _, gram in chosen]
        self.found_in = np.array([-count for count, _ in chosen], np.int64)
        ranked = sorted((-n, unit) for unit, n in units.items() if n >= least)
        self.units = [unit for _, unit in ranked[:most_units]]
        self.__dict__.pop("_numbers", None)
        self._measure(data)

    def _measure(self, data: Any) -> None:
        """How long rows are: enough for all but a hundredth of the texts."""
        known, read = self._numbers[0], []
        for text in self._texts(data):
            words = split_words(text, MOST_WORDS)
            grams = sum(gram in known for gram in set(self._grams(words)))
            read.append((grams, len(self._units(text, words))))
        lengths = np.array(read, np.int64).reshape(-1, 2)
        most = (MOST_GRAMS, MOST_UNITS)
        self.grams_length, self.units_length = (
            int(np.clip(_percentile(column), 1, limit))
            for column, limit in zip(lengths.T, most, strict=True)
        )

    def call(self, inputs: Any) -> Array:
        """The rows, int32 `(texts, grams_length + units_length)`."""
        grams, units = self._numbers
        texts = list(self._texts(inputs))
        room = self.grams_length
        rows = np.zeros((len(texts), room + self.units_length), np.int32)
        for row, text in zip(rows, texts, strict=True):
            words = split_words(text, MOST_WORDS)
            found = sorted({grams[g] for g in self._grams(words) if g in grams})
            found = found[max(0, len(found) - room) :]
            row[: len(found)] = found
            order = self._units(text, words)[: self.units_length]
            row[room : room + len(order)] = [units.get(u, UNKNOWN) for u in order]
        return rows

    def __repr__(self) -> str:
        grams, units = len(self.grams), len(self.units)
        return f"<TextEncoder {self.name}, {grams:,} n-grams, {units:,} {self.unit}>"

    def compute_output_shape(self, input_shape: Any) -> Any:
        """A row for every text."""
        return (None, self.grams_length + self.units_length)

    @cached_property
    def _numbers(self) -> tuple[dict[str, int], dict[str, int]]:
        """The number of every n-gram, and of every unit."""
        return (
            {gram: number for number, gram in enumerate(self.grams, 1)},
            {unit: number for number, unit in enumerate(self.units, FIRST_UNIT)},
        )

    def _texts(self, inputs: Any) -> Iterable[str]:
        texts = read_strings(inputs, "utf-8").reshape(-1).tolist()
        return (text.lower() for text in texts) if self.lowercase else texts

    def _grams(self, words: Sequence[str]) -> Iterable[str]:
        inside = None if self.inside is None else (self.inside[0], self.inside[1])
        return make_grams(words, self.joined, inside)

    def _units(self, text: str, words: Sequence[str]) -> Sequence[str]:
        return words if self.unit == "words" else text[:MOST_WORDS]


def _percentile(lengths: Array) -> int:
    """The length that 99 in 100 do not exceed."""
    ordered = np.sort(lengths)
    return int(ordered[int(np.ceil(0.99 * len(ordered))) - 1]) if len(ordered) else 0
