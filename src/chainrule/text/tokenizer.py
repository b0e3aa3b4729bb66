"""Text to whole numbers and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from chainrule.errors import ArgumentError, DataError, FormatError, OutOfBoundsError
from chainrule.text import library
from chainrule.text.characters import (
    CharacterTable,
    choose_characters,
    code_points,
    count_characters,
    from_code_points,
)
from chainrule.text.writing import Writer

Array = np.ndarray[Any, Any]

KINDS = ("byte_pair", "word_piece", "words", "characters")
FORMAT = "chainrule-tokenizer"
VERSION = 1
ROLES = ("padding", "unknown", "start", "end")
AT_ONCE = 1024  # texts that the library is given together


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A vocabulary of tokens, learnt from text, and the way from text to them.

    Four kinds:

    - `byte_pair`: frequent sequences of bytes (Sennrich, Haddow, Birch, "Neural machine
      translation of rare words with subword units", ACL 2016; on bytes as in GPT-2).
      Any text comes back exactly, there are no unknown tokens.
    - `word_piece`: words, and parts of words that begin with `##` (Schuster, Nakajima,
      "Japanese and Korean voice search", ICASSP 2012).
    - `words`: words and punctuation.
    - `characters`: characters. Any text made of them comes back exactly.

    The numbers of the special tokens come first: padding, unknown, start and end, as
    far as there are such, then more of your own. Text never stands for a special token:
    `"[END]"` in a text is five characters.

    Made by `train`, `from_json` or `from_config`. The kinds but `characters` need the
    library `tokenizers` (`pip install 'chainrule[text]'`); decoding needs nothing.

    Attributes:
        kind: one of the four.
        lowercase: whether text is put in lower case first.
        special: the special tokens by role, in order.
        extra: more special tokens.
        ordinary: all other tokens, in order.

    Example:
        >>> tokenizer = Tokenizer.train(["to be or not to be"], kind="characters")
        >>> tokenizer.encode("note").tolist()
        [7, 8, 10, 6]
        >>> tokenizer.decode([7, 8, 10, 6])
        'note'
        >>> tokenizer.vocabulary_size, tokenizer.padding, tokenizer.token_to_id("[END]")
        (11, 0, 3)
    """

    kind: str
    lowercase: bool
    special: Mapping[str, str]
    extra: Sequence[str]
    ordinary: Sequence[str]
    model: Mapping[str, Any] | None

    @classmethod
    def train(
        cls,
        texts: str | Iterable[str],
        kind: str = "byte_pair",
        vocabulary_size: int | None = 8192,
        *,
        lowercase: bool = False,
        min_frequency: int | None = None,
        padding: str | None = "[PAD]",
        unknown: str | None = "[UNK]",
        start: str | None = "[START]",
        end: str | None = "[END]",
        special_tokens: Sequence[str] = (),
    ) -> Tokenizer:
        """Learn a vocabulary from texts; equal texts give an equal one.

        Args:
            texts: any number of them, all at once or as they come.
            kind: see the class.
            vocabulary_size: how many tokens there may be, special ones counted. There
                are fewer where the texts do not hold as many. None, for words and
                characters, keeps all.
            lowercase: whether to put all text in lower case first.
            min_frequency: how often a pair, word or character has to occur; by default
                1 for words and characters, 2 for parts of words.
            padding: what fills short texts up; it has number 0. None leaves it out, as
                with the following.
            unknown: what stands for what is not in the vocabulary.
            start: what stands before a text.
            end: what stands behind a text.
            special_tokens: more of them, such as marks between speakers.

        Raises:
            ArgumentError: for another kind, or a vocabulary that is too small.
            DataError: when there is no text, or something else among the texts.
            DependencyError: when the library `tokenizers` is needed and missing.
        """
        roles = dict(zip(ROLES, (padding, unknown, start, end), strict=True))
        special = {role: token for role, token in roles.items() if token is not None}
        _check(kind, vocabulary_size, [*special.values(), *special_tokens])
        room = None
        if vocabulary_size is not None:
            room = vocabulary_size - len(special) - len(special_tokens)
        least = min_frequency
        if least is None:
            least = 1 if kind in ("words", "characters") else 2
        given = _texts(texts)
        if kind == "characters":
            counts = count_characters(t.lower() if lowercase else t for t in given)
            ordinary, model = choose_characters(counts, room, least), None
        else:
            most = 2**31 - 1 if room is None else room
            size = most + library.has_unknown(kind)
            model = library.train_model(kind, given, size, least, lowercase)
            ordinary = library.read_tokens(model)[library.has_unknown(kind) :]
        if not ordinary:
            raise DataError(
                "there is no text to learn a vocabulary from", got="nothing"
            )
        return cls(kind, lowercase, special, tuple(special_tokens), ordinary, model)

    # ---- the vocabulary --------------------------------------------------------------

    @cached_property
    def vocabulary(self) -> list[str]:
        """All tokens, each at its number."""
        return [*self.special.values(), *self.extra, *self.ordinary]

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are, special ones counted."""
        return self._first + len(self.ordinary)

    @property
    def padding(self) -> int | None:
        """The number of the token that fills up; None where there is none."""
        return self._role("padding")

    @property
    def unknown(self) -> int | None:
        """The number of the token for what is not in the vocabulary."""
        return self._role("unknown")

    @property
    def start(self) -> int | None:
        """The number of the token before a text."""
        return self._role("start")

    @property
    def end(self) -> int | None:
        """The number of the token behind a text."""
        return self._role("end")

    def token_to_id(self, token: str) -> int:
        """The number of a token.

        Raises:
            ArgumentError: when it is not in the vocabulary.
        """
        try:
            return self._numbers[token]
        except KeyError:
            raise ArgumentError(
                "the vocabulary lacks this token", where="Tokenizer", got=repr(token)
            ) from None

    def id_to_token(self, number: int) -> str:
        """The token of a number, as the vocabulary has it.

        Raises:
            OutOfBoundsError: when there is none.
        """
        if not 0 <= number < self.vocabulary_size:
            raise self._beyond(number)
        return self.vocabulary[number]

    def __contains__(self, token: str) -> bool:
        return token in self._numbers

    def __len__(self) -> int:
        return self.vocabulary_size

    # ---- text to numbers -------------------------------------------------------------

    def encode(self, text: str, *, start: bool = False, end: bool = False) -> Array:
        """The numbers of a text's tokens, int32.

        Args:
            text: any text, also an empty one.
            start: whether to put the number of `start` before it.
            end: whether to put the number of `end` behind it.

        Raises:
            DataError: for something else than text, and for a character that is not in
                the vocabulary where there is no token for the unknown.
        """
        return self.encode_batch([text], start=start, end=end)[0]

    def encode_batch(
        self, texts: Iterable[str], *, start: bool = False, end: bool = False
    ) -> list[Array]:
        """The numbers of many texts, faster than one by one; see `encode`."""
        before = self._edge("start") if start else []
        behind = self._edge("end") if end else []
        found = []
        for numbers in self._encode_all(_texts(texts)):
            if before or behind:
                numbers = np.concatenate([before, numbers, behind]).astype(np.int32)
            found.append(numbers)
        return found

    def _encode_all(self, texts: Iterable[str]) -> Iterator[Array]:
        if self.kind == "characters":
            for text in texts:
                places = self._table.places(text.lower() if self.lowercase else text)
                yield self._all_known(places, text)
            return
        group: list[str] = []
        for text in texts:
            group.append(library.encodable(text))
            if len(group) == AT_ONCE:
                yield from self._by_library(group)
                group = []
        yield from self._by_library(group)

    def _by_library(self, group: list[str]) -> Iterator[Array]:
        found = self._library.encode_batch(group, add_special_tokens=False)
        for text, each in zip(group, found, strict=True):
            numbers = np.array(each.ids, np.int32)
            if library.has_unknown(self.kind):  # the library has the unknown one first
                missing = -1 if self.unknown is None else self.unknown
                numbers = np.where(numbers == 0, missing, numbers + self._first - 1)
            else:
                numbers = numbers + self._first
            yield self._all_known(numbers.astype(np.int32), text)

    def _all_known(self, numbers: Array, text: str) -> Array:
        if self.unknown is None and (numbers < 0).any():
            raise DataError(
                "a text holds what is not in the vocabulary, and there is no token for "
                "the unknown",
                where="Tokenizer",
                got=ascii(text[:80]),
                fix="Tokenizer.train(texts, unknown='[UNK]')",
            )
        return numbers

    # ---- numbers to text -------------------------------------------------------------

    def decode(self, numbers: Any, *, skip_special: bool = True) -> str:
        """The text that numbers stand for.

        Args:
            numbers: whole numbers, one after the other.
            skip_special: whether to leave special tokens out; otherwise they are
                written as they are called.

        Raises:
            OutOfBoundsError: for a number that is not in the vocabulary.
        """
        found = self._checked(numbers)
        if self.kind == "characters" and (skip_special or (found >= self._first).all()):
            return from_code_points(self._points[found[found >= self._first]])
        writer = self.writer(skip_special=skip_special)
        return "".join([*map(writer.write, found.tolist()), writer.finish()])

    def decode_batch(
        self, rows: Iterable[Any], *, skip_special: bool = True
    ) -> list[str]:
        """The texts of many rows of numbers."""
        return [self.decode(row, skip_special=skip_special) for row in rows]

    def decode_stream(
        self, numbers: Iterable[int], *, skip_special: bool = True
    ) -> Iterator[str]:
        """The text as the numbers come; no character is split.

        What is given, joined, is what `decode` gives.

        Example:
            >>> tokenizer = Tokenizer.train(["äh"], kind="characters")
            >>> list(tokenizer.decode_stream([5, 4]))
            ['ä', 'h']
        """
        writer = self.writer(skip_special=skip_special)
        for number in numbers:
            if not 0 <= number < self.vocabulary_size:
                raise self._beyond(number)
            text = writer.write(int(number))
            if text:
                yield text
        rest = writer.finish()
        if rest:
            yield rest

    def writer(self, *, skip_special: bool = True) -> Writer:
        """What turns numbers into text one by one; see `Writer`."""
        return Writer(self.kind, self.vocabulary, self._first, skip_special)

    # ---- as data ---------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """All of it, in terms of JSON."""
        held = "".join(self.ordinary) if self.model is None else dict(self.model)
        return {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "lowercase": self.lowercase,
            "special": dict(self.special),
            "special_tokens": list(self.extra),
            "characters" if self.model is None else "tokenizers": held,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The tokenizer that `get_config` described.

        Raises:
            FormatError: when it is damaged, or of a later version.
        """
        try:
            if config["format"] != FORMAT or config["version"] != VERSION:
                raise ValueError(f"{config['format']} {config['version']}")
            kind, special = config["kind"], dict(config["special"])
            extra = tuple(config["special_tokens"])
            if kind not in KINDS or not set(special) <= set(ROLES):
                raise ValueError(f"kind {kind!r}, special {special!r}")
            if not all(isinstance(t, str) for t in (*special.values(), *extra)):
                raise ValueError("special tokens are texts")
            ordered = {role: special[role] for role in ROLES if role in special}
            lowercase = bool(config["lowercase"])
            if kind == "characters":
                characters = list(str(config["characters"]))
                return cls(kind, lowercase, ordered, extra, characters, None)
            model = dict(config["tokenizers"])
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                "this describes no tokenizer",
                got=repr(error)[:200],
                expected=f"{FORMAT}, version {VERSION}",
            ) from None
        ordinary = library.read_tokens(model)[library.has_unknown(kind) :]
        return cls(kind, lowercase, ordered, extra, ordinary, model)

    def to_json(self) -> str:
        """All of it as text; `from_json` makes an equal tokenizer of that."""
        return json.dumps(self.get_config())

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The tokenizer that `to_json` wrote.

        Raises:
            FormatError: when the text is damaged.
        """
        try:
            config = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FormatError("this is no JSON", got=str(error)[:200]) from None
        if not isinstance(config, dict):
            raise FormatError("this describes no tokenizer", got=repr(config)[:100])
        return cls.from_config(config)

    def __reduce__(self) -> Any:
        return type(self).from_json, (self.to_json(),)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenizer):
            return NotImplemented
        return self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((self.kind, self.vocabulary_size))

    def __repr__(self) -> str:
        return f"<Tokenizer {self.kind}, {self.vocabulary_size:,} tokens>"

    # ---- how -------------------------------------------------------------------------

    @cached_property
    def _first(self) -> int:
        """The number of the first ordinary token."""
        return len(self.special) + len(self.extra)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        ordinary = {token: self._first + i for i, token in enumerate(self.ordinary)}
        special = enumerate([*self.special.values(), *self.extra])
        return {**ordinary, **{token: number for number, token in special}}

    @cached_property
    def _table(self) -> CharacterTable:
        return CharacterTable(self.ordinary, self._first, self.unknown)

    @cached_property
    def _points(self) -> Array:
        """The code points of characters, at their numbers."""
        front = np.zeros(self._first, np.uint32)
        return np.concatenate([front, code_points("".join(self.ordinary))])

    @cached_property
    def _library(self) -> Any:
        assert self.model is not None
        return library.open_model(dict(self.model))

    def _role(self, role: str) -> int | None:
        return list(self.special).index(role) if role in self.special else None

    def _edge(self, role: str) -> list[int]:
        number = self._role(role)
        if number is None:
            raise ArgumentError(
                f"the tokenizer has no token for the {role} of a text",
                where="Tokenizer",
                fix=f"Tokenizer.train(texts, {role}='[{role.upper()}]')",
            )
        return [number]

    def _checked(self, numbers: Any) -> Array:
        found = np.asarray(numbers)
        if not found.size:
            return np.zeros(0, np.int64)
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise ArgumentError(
                "one text is a row of whole numbers",
                where="Tokenizer.decode",
                got=f"{found.dtype} {found.shape}",
                fix="tokenizer.decode_batch(rows)" if found.ndim == 2 else None,
            )
        wrong = (found < 0) | (found >= self.vocabulary_size)
        if wrong.any():
            raise self._beyond(found[wrong][0])
        return found

    def _beyond(self, number: Any) -> OutOfBoundsError:
        return OutOfBoundsError(
            "there is no token of this number",
            where="Tokenizer",
            got=number,
            expected=f"0 to {self.vocabulary_size - 1}",
        )


def _texts(texts: str | Iterable[str]) -> Iterator[str]:
    """The texts one by one; a single one counts as one, not as its characters.

    Raises:
        DataError: for something else among them.
    """
    for place, text in enumerate([texts] if isinstance(texts, str) else texts):
        if not isinstance(text, str):
            raise DataError(
                "this is no text",
                where=f"text {place}",
                got=repr(text)[:80],
                expected="str",
                fix="text.decode('utf-8')" if isinstance(text, bytes) else None,
            )
        yield str(text)


def _check(kind: str, size: int | None, special: Sequence[str]) -> None:
    """Refuse what no vocabulary can be learnt with."""
    if kind not in KINDS:
        raise ArgumentError(
            "there is no such kind of tokenizer",
            where="Tokenizer.train",
            got=repr(kind),
            expected=", ".join(KINDS),
        )
    if len(set(special)) != len(special) or "" in special:
        raise ArgumentError(
            "special tokens differ from one another, and none is empty",
            where="Tokenizer.train",
            got=", ".join(map(repr, special)),
        )
    least = len(special) + (library.BYTES if kind == "byte_pair" else 1)
    if size is None and kind not in ("words", "characters"):
        raise ArgumentError(
            "parts of words without end: say how many tokens there may be",
            where="Tokenizer.train",
            got="vocabulary_size=None",
            fix="vocabulary_size=8192",
        )
    if size is not None and size < least:
        raise ArgumentError(
            "the vocabulary is too small",
            where="Tokenizer.train",
            got=f"vocabulary_size={size}",
            expected=f"at least {least}: {len(special)} special tokens and "
            + ("the 256 bytes" if kind == "byte_pair" else "one of text"),
        )
