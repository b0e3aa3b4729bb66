"""Text and whole numbers to places in a vocabulary, and hashes; before the program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np

from chainrule.errors import ArgumentError, DataError
from chainrule.layers.fingerprint import farmhash64, siphash64
from chainrule.layers.host import HostLayer
from chainrule.layers.layer import LayerOptions, check_positive
from chainrule.layers.preprocessing import OUTPUT_MODES, check_mode

Array = np.ndarray[Any, Any]

LOOKUP_MODES = (*OUTPUT_MODES, "tf_idf")
DROPPED = -1  # a place that is in no row of an encoding


class Lookup(HostLayer):
    """What `StringLookup` and `IntegerLookup` have in common."""

    max_tokens: int | None
    num_oov_indices: int
    mask_token: Any
    oov_token: Any
    vocabulary: list[Any] | None
    idf_weights: list[float] | None
    invert: bool
    output_mode: str
    pad_to_max_tokens: bool
    sparse: bool

    def _store(
        self, arguments: Mapping[str, Any], vocabulary: Any, idf_weights: Any
    ) -> None:
        """Check the arguments and store them."""
        for name, value in arguments.items():
            setattr(self, name, value)
        check_mode(self.name, self.output_mode, LOOKUP_MODES, self.sparse)
        problems = {
            "max_tokens must be greater than 1": self.max_tokens is not None
            and self.max_tokens <= 1,
            "pad_to_max_tokens needs max_tokens": self.pad_to_max_tokens
            and self.max_tokens is None,
            "num_oov_indices must not be negative": self.num_oov_indices < 0,
            "invert needs output_mode='int'": self.invert and self.output_mode != "int",
            "idf_weights are for output_mode='tf_idf'": idf_weights is not None
            and self.output_mode != "tf_idf",
        }
        for problem, wrong in problems.items():
            if wrong:
                raise ArgumentError(problem, where=self.name, got=repr(self))
        self._given = vocabulary is not None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The vocabulary: each token at its place.

        Args:
            include_special_tokens: whether the mask and the tokens for what is not in
                the vocabulary stand in front.
        """
        return self._special() * include_special_tokens + list(self.vocabulary or ())

    def vocabulary_size(self) -> int:
        """How many places there are, those in front counted."""
        return self._start() + len(self.vocabulary or ())

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Use this vocabulary.

        Args:
            vocabulary: tokens in order, with or without the special ones in front; or
                the path of a text file with one a line.
            idf_weights: the weight of each token, for `tf_idf`.

        Raises:
            ArgumentError: when it is empty or too long, or a token comes twice.
        """
        tokens = self._tokens(vocabulary)
        special = self._special()
        complete = bool(special) and tokens[: len(special)] == special
        words = tokens[len(special) :] if complete else tokens
        twice = [token for token, count in Counter(words).items() if count > 1]
        reserved = [t for t in words if t == self.mask_token and t is not None]
        size = self._start() + len(words)
        if not words or twice or reserved or size > (self.max_tokens or size):
            raise ArgumentError(
                "the vocabulary is empty, too long, or holds a token twice",
                where=self.name,
                got=f"{len(words)} tokens; twice: {[*twice, *reserved][:5]}",
                expected=f"different tokens, at most {self.max_tokens or 'any number'}",
            )
        self.vocabulary = words
        self.idf_weights = self._place_weights(idf_weights, complete, len(tokens))
        self._index = None

    def _place_weights(
        self, given: Any, complete: bool, count: int
    ) -> list[float] | None:
        """The weight of every place, the special ones too: those get the mean."""
        if self.output_mode != "tf_idf":
            return None
        if given is None or len(given) != count:
            raise ArgumentError(
                "tf_idf needs a weight for every token of the vocabulary",
                where=self.name,
                got=None if given is None else f"{len(given)} weights",
                expected=f"{count}",
                fix="layer.adapt(data) finds vocabulary and weights",
            )
        weights = [float(weight) for weight in given]
        front = [] if complete else [float(np.mean(weights))] * self._start()
        return front + weights

    def adapt(self, data: Any) -> None:
        """Learn the vocabulary: the tokens of data, the most frequent first.

        Tokens that are equally frequent go in descending order.

        Args:
            data: an array or a list of tokens, one document a row; or batches of them.

        Raises:
            ArgumentError: when the vocabulary was given.
        """
        if self._given:
            raise ArgumentError(
                "the vocabulary was given, so there is nothing to learn",
                where=self.name,
                fix=f"{type(self).__name__}()",
            )
        counts: Counter[Any] = Counter()
        documents: Counter[Any] = Counter()
        rows = 0
        for batch in _token_batches(data):
            found = self._rows(batch)
            rows += len(found)
            counts.update(chain.from_iterable(found))
            if self.output_mode == "tf_idf":
                documents.update(chain.from_iterable(map(set, found)))
        for token in (self.mask_token, self.oov_token):
            counts.pop(token, None)
        ranked = sorted(counts.items(), key=lambda pair: (pair[1], pair[0]))[::-1]
        most = None if self.max_tokens is None else self.max_tokens - self._start()
        self.vocabulary = [token for token, _ in ranked[:most]]
        self._index = None
        if self.output_mode == "tf_idf":
            weights = [np.log1p(rows / (1 + documents[t])) for t in self.vocabulary]
            mean = float(np.mean(weights)) if weights else 0.0
            self.idf_weights = [mean] * self._start() + [float(w) for w in weights]

    def _rows(self, batch: Any) -> Sequence[list[Any]]:
        """The tokens of each document of a batch."""
        array = self._read(batch)
        rows: list[list[Any]] = array.reshape(len(array), -1).tolist()
        return rows

    def call(self, inputs: Any) -> Array:
        """The places of tokens, encoded; or with `invert` the tokens at places."""
        if self.vocabulary is None:
            raise ArgumentError(
                "the vocabulary is not known yet",
                where=self.name,
                fix="layer.adapt(tokens), or vocabulary=[...]",
            )
        if self.invert:
            return self._tokens_at(np.asarray(inputs))
        array = self._read(inputs)
        places = self._places(array)
        if self.output_mode == "int":
            return places
        depth = self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size()
        assert depth is not None
        weights = self.idf_weights if self.output_mode == "tf_idf" else None
        return encode_places(places, self.output_mode, depth, weights)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape, or with an axis for the vocabulary."""
        if input_shape is None or self.output_mode == "int":
            return input_shape
        depth = self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size()
        return encoded_shape(tuple(input_shape), self.output_mode, depth)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The layer that `get_config` described, with what it learnt."""
        given = dict(config)
        weights = given.get("idf_weights")
        layer = super().from_config({**given, "idf_weights": None, "vocabulary": None})
        words = given.get("vocabulary")
        if words is not None:
            layer.vocabulary = list(words)
            layer.idf_weights = None if weights is None else list(weights)
            layer._given = True
        return layer

    # ---- places ----------------------------------------------------------------------

    def _special(self) -> list[Any]:
        mask = self.mask_token is not None and self.output_mode == "int"
        return [self.mask_token] * mask + [self.oov_token] * self.num_oov_indices

    def _start(self) -> int:
        return len(self._special())

    def _tokens_at(self, places: Array) -> Array:
        """The tokens at places; beyond the vocabulary the one for what is not in it."""
        tokens = np.array([*self.get_vocabulary(), self.oov_token], self._dtype())
        known = (places >= 0) & (places < len(tokens) - 1)
        return tokens[np.where(known, places, len(tokens) - 1).astype(np.int64)]

    def _places(self, array: Array) -> Array:
        """The place of every token."""
        if self._index is None:
            words = self.vocabulary or ()
            start = self._start()
            self._index = {word: start + i for i, word in enumerate(words)}
        index = self._index
        distinct = set(array.reshape(-1).tolist())
        table = {token: self._place(token, index) for token in distinct}
        found = [table[token] for token in array.reshape(-1).tolist()]
        return np.array(found, np.int64).reshape(array.shape)

    def _place(self, token: Any, index: Mapping[Any, int]) -> int:
        if self.mask_token is not None and token == self.mask_token:
            return 0 if self.output_mode == "int" else DROPPED
        if token in index:
            return index[token]
        first = int(self.mask_token is not None and self.output_mode == "int")
        if self.num_oov_indices == 0:
            raise DataError(
                "a token is not in the vocabulary",
                where=self.name,
                got=repr(token),
                fix="num_oov_indices=1",
            )
        return first + self._bucket(token)

    _index: dict[Any, int] | None = None
    _given: bool = False

    def _bucket(self, token: Any) -> int:
        """Which of the places for tokens that are not in the vocabulary."""
        raise NotImplementedError

    def _dtype(self) -> Any:
        raise NotImplementedError

    def _read(self, data: Any) -> Array:
        """Tokens as an array."""
        raise NotImplementedError

    def _tokens(self, vocabulary: Any) -> list[Any]:
        """A vocabulary as a list of tokens."""
        raise NotImplementedError


class OfStrings(Lookup):
    """What lookups of strings have in common."""

    encoding: str

    def _bucket(self, token: Any) -> int:
        if self.num_oov_indices == 1:
            return 0
        return farmhash64(token.encode(self.encoding)) % self.num_oov_indices

    def _dtype(self) -> Any:
        return object

    def _read(self, data: Any) -> Array:
        return read_strings(data, self.encoding)

    def _tokens(self, vocabulary: Any) -> list[Any]:
        if isinstance(vocabulary, (str, Path)):
            text = Path(vocabulary).read_text(encoding=self.encoding)
            return text.splitlines()
        found: list[Any] = self._read(list(vocabulary)).tolist()
        return found


class StringLookup(OfStrings):
    """Strings to their places in a vocabulary.

    Args:
        max_tokens: how long the vocabulary may be, special tokens counted.
        num_oov_indices: how many places there are for strings that are not in it; with
            several, the hash of a string decides.
        mask_token: the string that stands for nothing: place 0, and no 1 in encodings.
        oov_token: what `invert` gives for a place without a string.
        vocabulary: the strings in order, or the path of a file with one a line; learnt
            by `adapt` when None.
        idf_weights: their weights, for `tf_idf`.
        invert: whether to turn places into strings instead.
        output_mode: `int`, `one_hot`, `multi_hot`, `count` or `tf_idf`.
        pad_to_max_tokens: whether encodings are always `max_tokens` wide.
        sparse: must be False: there are no sparse tensors.
        encoding: of strings that come as bytes.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: for arguments that do not go together.
        DataError: for an unknown string where there is no place for it.

    Example:
        >>> layer = StringLookup(vocabulary=["a", "b"])
        >>> layer([["a", "c"], ["b", "b"]]).tolist()
        [[1, 0], [2, 2]]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.encoding = encoding
        self.vocabulary = None
        self.idf_weights = None
        arguments = {
            "max_tokens": max_tokens,
            "num_oov_indices": num_oov_indices,
            "mask_token": mask_token,
            "oov_token": oov_token,
            "invert": invert,
            "output_mode": output_mode,
            "pad_to_max_tokens": pad_to_max_tokens,
            "sparse": sparse,
        }
        self._store(arguments, vocabulary, idf_weights)


class IntegerLookup(Lookup):
    """Whole numbers to their places in a vocabulary.

    Args:
        max_tokens: how long the vocabulary may be, special tokens counted.
        num_oov_indices: how many places there are for numbers that are not in it; with
            several, the number decides.
        mask_token: the number that stands for nothing: place 0, and no 1 in encodings.
        oov_token: what `invert` gives for a place without a number.
        vocabulary: the numbers in order, or the path of a file with one a line; learnt
            by `adapt` when None.
        vocabulary_dtype: `int64`, or `int32`.
        idf_weights: their weights, for `tf_idf`.
        invert: whether to turn places into numbers instead.
        output_mode: `int`, `one_hot`, `multi_hot`, `count` or `tf_idf`.
        sparse: must be False: there are no sparse tensors.
        pad_to_max_tokens: whether encodings are always `max_tokens` wide.
        oov_method: with several places for unknown numbers, `floormod` takes the
            remainder, `farmhash` spreads them evenly.
        **options: see `LayerOptions`.

    Example:
        >>> layer = IntegerLookup(vocabulary=[12, 36], output_mode="count")
        >>> layer([[12, 36, 36, 7]]).tolist()
        [[1.0, 1.0, 2.0]]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if oov_method not in ("floormod", "farmhash"):
            raise ArgumentError(
                "there is no such method",
                where=self.name,
                got=repr(oov_method),
                expected="floormod or farmhash",
            )
        self.vocabulary_dtype = vocabulary_dtype
        self.oov_method = oov_method
        self.vocabulary = None
        self.idf_weights = None
        arguments = {
            "max_tokens": max_tokens,
            "num_oov_indices": num_oov_indices,
            "mask_token": mask_token,
            "oov_token": oov_token,
            "invert": invert,
            "output_mode": output_mode,
            "pad_to_max_tokens": pad_to_max_tokens,
            "sparse": sparse,
        }
        self._store(arguments, vocabulary, idf_weights)

    def _bucket(self, token: Any) -> int:
        if self.oov_method == "farmhash":
            return farmhash64(str(token).encode()) % self.num_oov_indices
        return int(token) % self.num_oov_indices

    def _dtype(self) -> Any:
        return np.dtype(self.vocabulary_dtype)

    def _read(self, data: Any) -> Array:
        array = np.asarray(data)
        whole = array.dtype.kind in "biu" or (
            array.dtype.kind == "f" and bool((array == np.floor(array)).all())
        )
        if not whole:
            raise DataError(
                "this layer takes whole numbers",
                where=self.name,
                got=f"dtype {array.dtype}",
                fix="StringLookup for text, Discretization for other numbers",
            )
        return array.astype(self._dtype())

    def _tokens(self, vocabulary: Any) -> list[Any]:
        if isinstance(vocabulary, (str, Path)):
            vocabulary = [int(line) for line in Path(vocabulary).read_text().split()]
        found: list[Any] = self._read(list(vocabulary)).tolist()
        return found


class Hashing(HostLayer):
    """Strings or whole numbers to one of `num_bins` places, by a hash.

    The hash is FarmHash64 (`Fingerprint64`) of the text; with a salt SipHash-2-4,
    whose key the salt is (Aumasson, Bernstein, "SipHash: a fast short-input PRF",
    INDOCRYPT 2012).
    Both are stable: the same everywhere, at any time.

    Args:
        num_bins: how many places there are.
        mask_value: what stands for nothing, and gets place 0 for itself.
        salt: a whole number, or two.
        output_mode: `int`, `one_hot`, `multi_hot` or `count`.
        sparse: must be False: there are no sparse tensors.
        **options: see `LayerOptions`.

    Example:
        >>> Hashing(num_bins=3)([["A"], ["B"], ["C"], ["D"], ["E"]]).tolist()
        [[1], [0], [1], [1], [2]]
        >>> Hashing(num_bins=3, salt=133)([["A"], ["B"], ["C"]]).tolist()
        [[0], [0], [2]]
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: int | Sequence[int] | None = None,
        output_mode: str = "int",
        sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.num_bins = check_positive(self.name, "num_bins", num_bins)
        check_mode(self.name, output_mode, OUTPUT_MODES, sparse)
        self.mask_value = mask_value
        self.salt = salt
        self.output_mode = output_mode
        self.sparse = sparse
        pair = [salt, salt] if isinstance(salt, int) else salt
        if pair is not None and len(pair) != 2:
            raise ArgumentError(
                "a salt is one whole number, or two",
                where=self.name,
                got=repr(salt),
                fix="salt=133",
            )
        self._key = None if pair is None else (int(pair[0]), int(pair[1]))

    def call(self, inputs: Any) -> Array:
        """The places, encoded."""
        array = np.asarray(inputs)
        if array.dtype.kind == "f":
            array = array.astype(np.int64)
        if array.dtype.kind not in "biu":
            array = read_strings(inputs, "utf-8")
        listed = array.reshape(-1).tolist()
        table = {token: self._place(token) for token in set(listed)}
        places = np.array([table[token] for token in listed], np.int64)
        places = places.reshape(array.shape)
        if self.output_mode == "int":
            return places
        return encode_places(places, self.output_mode, self.num_bins)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape, or with an axis for the places."""
        if input_shape is None or self.output_mode == "int":
            return input_shape
        return encoded_shape(tuple(input_shape), self.output_mode, self.num_bins)

    def _place(self, token: Any) -> int:
        bins = self.num_bins
        masked = self.mask_value is not None and bins > 1
        if masked and token == self.mask_value:
            return 0
        text = str(token).encode()
        hashed = farmhash64(text) if self._key is None else siphash64(text, self._key)
        return hashed % (bins - masked) + masked


def read_strings(data: Any, encoding: str) -> Array:
    """Data as an array of strings; bytes are decoded, numbers written out.

    Example:
        >>> read_strings([[b"a", "b"], [1, 2.0]], "utf-8").tolist()
        [['a', 'b'], ['1', '2.0']]
    """
    array = np.asarray(data)
    if array.dtype.kind == "U":
        return array.astype(object)
    if array.dtype.kind != "O":
        array = np.array(data, object)
    flat = [
        item.decode(encoding) if isinstance(item, bytes) else str(item)
        for item in array.reshape(-1).tolist()
    ]
    found = np.empty(len(flat), object)
    found[:] = flat
    return found.reshape(array.shape)


def _token_batches(data: Any) -> Iterable[Any]:
    """Data to adapt to, batch by batch."""
    if isinstance(data, (list, tuple)) or hasattr(data, "__array__"):
        return [data]
    if not isinstance(data, Iterable):
        raise DataError("this cannot be adapted to", got=type(data).__name__)
    return (batch[0] if isinstance(batch, tuple) else batch for batch in data)


def encode_places(
    places: Array, output_mode: str, depth: int, weights: Sequence[float] | None = None
) -> Array:
    """Places as indicators, counts, or weighted counts; negative ones drop out.

    Example:
        >>> encode_places(np.array([[0, 2, 2, -1]]), "count", 3).tolist()
        [[1.0, 0.0, 2.0]]
    """
    if output_mode == "one_hot" and places.ndim > 1 and places.shape[-1] == 1:
        places = places[..., 0]
    if output_mode == "one_hot" or places.ndim == 0:
        return (places[..., None] == np.arange(depth)).astype(np.float32)
    rows = places.reshape(-1, places.shape[-1])
    counts = np.zeros((len(rows), depth), np.float32)
    row, column = np.nonzero((rows >= 0) & (rows < depth))
    np.add.at(counts, (row, rows[row, column]), 1.0)
    if output_mode == "multi_hot":
        counts = np.minimum(counts, 1.0)
    if weights is not None:
        padded = np.zeros(depth, np.float32)
        padded[: len(weights)] = weights
        counts = counts * padded
    return counts.reshape(*places.shape[:-1], depth)


def encoded_shape(shape: tuple[Any, ...], output_mode: str, depth: Any) -> Any:
    """The shape of an encoding."""
    if output_mode == "one_hot" and (len(shape) < 2 or shape[-1] != 1):
        return (*shape, depth)
    return (*shape[:-1], depth)
