"""Text to places in a vocabulary of words, before the compiled program."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Unpack

import numpy as np

from chainrule.errors import ArgumentError, DataError
from chainrule.layers.layer import LayerOptions
from chainrule.layers.preprocessing_lookup import (
    DROPPED,
    OfStrings,
    encode_places,
    read_strings,
)

Array = np.ndarray[Any, Any]

LOWER, STRIP = "lower", "strip_punctuation"
BOTH = "lower_and_strip_punctuation"
ANY_SCRIPT = "unicode_lower_and_strip_punctuation"
STANDARDS = (BOTH, LOWER, STRIP, ANY_SCRIPT)
SPLITS = ("whitespace", "character")
MODES = ("int", "multi_hot", "count", "tf_idf")

_LOWERED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_STRIPPED = {ord(each): None for each in string.punctuation}
_BLANKS = re.compile("[ \t\n\v\f\r]+")


class TextVectorization(OfStrings):
    """Texts to the places of their words in a vocabulary.

    A text is put in a standard form, split, and joined to n-grams; then each token is
    looked up. Place 0 fills short rows up, place 1 stands for what is not in the
    vocabulary, the words follow; in the other modes than `int` there is no place for
    filling up.

    Args:
        max_tokens: how long the vocabulary may be, special places counted.
        standardize: `lower_and_strip_punctuation`, `lower`, `strip_punctuation`, None,
            or a function of an array of texts. Those named know letters and punctuation
            of ASCII, as those of Keras do; `unicode_lower_and_strip_punctuation` knows
            all scripts.
        split: `whitespace`, `character`, None, or a function of an array of texts that
            gives a list of tokens for each.
        ngrams: the widths of n-grams: up to a number, or those in a tuple; their words
            stand with blanks between them.
        output_mode: `int`, `multi_hot`, `count` or `tf_idf`.
        output_sequence_length: how long the rows of `int` are; None takes the longest
            of a batch.
        pad_to_max_tokens: whether the other modes are always `max_tokens` wide.
        vocabulary: the words in order, or the path of a file with one a line; learnt
            by `adapt` when None.
        idf_weights: their weights, for `tf_idf`.
        sparse: must be False: there are no sparse tensors.
        ragged: must be False: rows are filled up.
        encoding: of texts that come as bytes.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: for arguments that do not go together.
        DataError: for inputs that are not one text a row.

    Example:
        >>> layer = TextVectorization(output_sequence_length=4)
        >>> layer.adapt(["The film was good.", "The plot!"])
        >>> layer.get_vocabulary()
        ['', '[UNK]', 'the', 'was', 'plot', 'good', 'film']
        >>> layer(["A good plot", "the film the film the end"]).tolist()
        [[1, 5, 4, 0], [2, 6, 2, 6]]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: str | Callable[[Any], Any] | None = BOTH,
        split: str | Callable[[Any], Any] | None = "whitespace",
        ngrams: int | Sequence[int] | None = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.encoding = encoding
        self.vocabulary = None
        self.idf_weights = None
        self.standardize = standardize
        self.split = split
        self.ngrams = ngrams if isinstance(ngrams, int | None) else tuple(ngrams)
        self.output_sequence_length = output_sequence_length
        self.ragged = ragged
        older = {"binary": "multi_hot", "tf-idf": "tf_idf"}  # names of Keras 2
        arguments = {
            "max_tokens": max_tokens,
            "num_oov_indices": 1,
            "mask_token": "",
            "oov_token": "[UNK]",
            "invert": False,
            "output_mode": older.get(output_mode, output_mode),
            "pad_to_max_tokens": pad_to_max_tokens,
            "sparse": sparse,
        }
        self._store(arguments, vocabulary, idf_weights)
        self._check_arguments()

    def _check_arguments(self) -> None:
        widths = self._widths()
        length = self.output_sequence_length
        problems = {
            f"standardize is one of {', '.join(STANDARDS)}, None or a function": not (
                self.standardize is None
                or callable(self.standardize)
                or self.standardize in STANDARDS
            ),
            f"split is one of {', '.join(SPLITS)}, None or a function": not (
                self.split is None or callable(self.split) or self.split in SPLITS
            ),
            f"output_mode is one of {', '.join(MODES)}": self.output_mode not in MODES,
            "ngrams is a positive whole number, or several": not widths
            or any(not isinstance(n, int) or n < 1 for n in widths),
            "output_sequence_length is a positive whole number": length is not None
            and (not isinstance(length, int) or length < 1),
            "output_sequence_length is for output_mode='int'": length is not None
            and self.output_mode != "int",
            "ragged must be False: rows are filled up with 0, which "
            "Embedding(mask_zero=True) leaves out": self.ragged,
        }
        for problem, wrong in problems.items():
            if wrong:
                raise ArgumentError(problem, where=self.name, got=repr(self))

    def call(self, inputs: Any) -> Array:
        """The places of the tokens, filled up with 0; or as the mode has it."""
        if self.split is None and self.ngrams is None:
            return self._whole(inputs)
        self._need_vocabulary()
        rows = self._rows(inputs)
        lengths = np.array([len(row) for row in rows], np.int64)
        flat = np.empty(int(lengths.sum()), object)
        flat[:] = [token for row in rows for token in row]
        places = self._places(flat)
        width = int(lengths.max(initial=0))
        counted = self.output_mode == "int"
        filled = np.full((len(rows), width), 0 if counted else DROPPED, np.int64)
        filled[np.arange(width) < lengths[:, None]] = places
        if counted:
            return self._fit(filled)
        depth = self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size()
        assert depth is not None
        return encode_places(filled, self.output_mode, depth, self.idf_weights)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """One row for every text."""
        if input_shape is None:
            return None
        if self.output_mode == "int":
            return (input_shape[0], self.output_sequence_length)
        depth = self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size()
        return (input_shape[0], depth)

    def _need_vocabulary(self) -> None:
        if self.vocabulary is None:
            raise ArgumentError(
                "the vocabulary is not known yet",
                where=self.name,
                fix="layer.adapt(texts), or vocabulary=[...]",
            )

    def _whole(self, inputs: Any) -> Array:
        """The places of whole texts."""
        texts = self._standard(read_strings(inputs, self.encoding))
        if self.output_sequence_length is None:
            return super().call(texts)
        rows = texts[:, None] if texts.ndim == 1 else texts
        return self._fit(super().call(rows))

    def _fit(self, rows: Array) -> Array:
        """Rows of the length that was asked for."""
        length = self.output_sequence_length
        if length is None:
            return rows
        cut = rows[:, :length]
        return np.pad(cut, ((0, 0), (0, length - cut.shape[1])))

    # ---- tokens ----------------------------------------------------------------------

    def _rows(self, batch: Any) -> Sequence[list[Any]]:
        """The tokens of every text of a batch."""
        texts = self._standard(read_strings(batch, self.encoding))
        if self.split is None:
            rows: list[list[str]] = texts.reshape(len(texts), -1).tolist()
        else:
            rows = self._split_rows(texts)
        if self.ngrams is None:
            return rows
        return [list(self._joined(row)) for row in rows]

    def _standard(self, texts: Array) -> Array:
        """The texts in their standard form."""
        if callable(self.standardize):
            return read_strings(self.standardize(texts.astype(str)), self.encoding)
        change = _changes().get(str(self.standardize))
        if change is None:
            return texts
        found = np.empty(texts.shape, object)
        found.reshape(-1)[:] = [change(text) for text in texts.reshape(-1).tolist()]
        return found

    def _split_rows(self, texts: Array) -> list[list[str]]:
        if texts.ndim == 2 and texts.shape[1] == 1:
            texts = texts[:, 0]
        if texts.ndim != 1:
            raise DataError(
                "to be split, texts come one a row",
                where=self.name,
                got=f"shape {texts.shape}",
                expected="(rows,) or (rows, 1)",
                fix="split=None, for tokens that are split already",
            )
        if callable(self.split):
            given = [list(row) for row in self.split(texts.astype(str))]
            return [read_strings(row, self.encoding).tolist() for row in given]
        if self.split == "character":
            return [list(text) for text in texts.tolist()]
        return [[t for t in _BLANKS.split(text) if t] for text in texts.tolist()]

    def _joined(self, row: Sequence[str]) -> Iterator[str]:
        for width in self._widths():
            for start in range(len(row) - width + 1):
                yield " ".join(row[start : start + width])

    def _widths(self) -> tuple[Any, ...]:
        if isinstance(self.ngrams, int):
            return tuple(range(1, self.ngrams + 1))
        return (1,) if self.ngrams is None else tuple(self.ngrams)


def _changes() -> dict[str, Callable[[str], str]]:
    """What is done to a text, by the name of the standard form."""
    return {
        BOTH: lambda text: text.translate(_LOWERED).translate(_STRIPPED),
        LOWER: lambda text: text.translate(_LOWERED),
        STRIP: lambda text: text.translate(_STRIPPED),
        ANY_SCRIPT: strip_any_punctuation,
    }


def strip_any_punctuation(text: str) -> str:
    """A text in lower case, without punctuation and symbols of any script.

    Example:
        >>> strip_any_punctuation("Élan, „Über“ 50 €!")
        'élan über 50 '
    """
    return "".join(
        each for each in text.lower() if unicodedata.category(each)[0] not in "PS"
    )
