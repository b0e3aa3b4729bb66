"""A text to learn to write from: read, turned into tokens, cut into windows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.text_files import read_text
from chainrule.errors import ArgumentError, DataError
from chainrule.text import Tokenizer

Array = np.ndarray[Any, Any]

SUFFIXES = (".txt", ".text", ".md", ".rst", ".tex")
PACKED = (".gz", ".bz2", ".xz", ".zip")
CHARACTERS, BYTE_PAIR = "characters", "byte_pair"
KINDS = {CHARACTERS: CHARACTERS, "bpe": BYTE_PAIR, BYTE_PAIR: BYTE_PAIR}
LARGE = 5_000_000  # characters of a text from which on parts of words are learnt
MANY = 1000  # different characters, likewise
VOCABULARY = 4096  # parts of words
HELD_OUT = 0.1  # the share at the end of the text that is measured on
LEAST = 40  # tokens that a text has at least
CONTEXT = 64  # tokens that the network sees
PIECE = 100_000  # characters that are turned into tokens at once


@dataclass(frozen=True)
class Corpus:
    """A text as tokens.

    Attributes:
        name: what it is called.
        files: how many it was read from.
        tokenizer: what turned it into tokens.
        train: the tokens to learn from.
        validation: the tokens behind them.
        characters: how many characters there are in both parts.
    """

    name: str
    files: int
    tokenizer: Tokenizer
    train: Array
    validation: Array
    characters: tuple[int, int]


def find_files(path: str) -> list[Path]:
    """The files of a text: one, several with commas between them, or a folder.

    Of a folder, files of text, packed ones too, in the order of their names; where
    there are none, all files.

    Raises:
        DataError: when there is no such file, or the folder is empty.
    """
    whole = Path(path)
    parts = [whole] if whole.exists() else [Path(p.strip()) for p in path.split(",")]
    found: list[Path] = []
    for part in parts:
        if not part.exists():
            raise DataError(
                "there is no such file or folder",
                where="DATA",
                got=str(part),
                expected="a file of text, several with commas between, or a folder",
            )
        found += _inside(part) if part.is_dir() else [part]
    if not found:
        raise DataError("the folder holds no text", where="DATA", got=path)
    return found


def _inside(folder: Path) -> list[Path]:
    files = sorted(
        (each for each in folder.rglob("*") if each.is_file() and _is_shown(each)),
        key=lambda each: [
            int(part) if part.isdecimal() else part
            for part in re.split(r"(\d+)", str(each.relative_to(folder)))
        ],
    )
    return [each for each in files if _is_text(each)] or files


def _is_shown(path: Path) -> bool:
    return not path.name.startswith(".")


def _is_text(path: Path) -> bool:
    names = [suffix.lower() for suffix in path.suffixes]
    if names and names[-1] in PACKED:
        names.pop()
    return bool(names) and names[-1] in SUFFIXES


def read_corpus(
    path: str, kind: str | None = None, vocabulary: int | None = None
) -> Corpus:
    """A text as tokens, the last tenth apart.

    Args:
        path: see `find_files`.
        kind: `characters`, or `byte_pair` (`bpe`); None takes characters of texts that
            are not large.
        vocabulary: how many tokens there are at most; all characters, or 4096 parts of
            words, by default.

    Raises:
        ArgumentError: for another kind.
        DataError: when there is too little text.
    """
    if kind is not None and kind not in KINDS:
        raise ArgumentError(
            "there is no such tokenizer",
            where="--tokenizer",
            got=kind,
            expected="characters or bpe",
        )
    files = find_files(path)
    text = read_text(files)
    chosen = choose_kind(text) if kind is None else KINDS[kind]
    if not text.strip():
        raise DataError(
            "there is no text to learn from", where=path, got=repr(text[:20])
        )
    tokenizer = learn_tokenizer(text, chosen, vocabulary)
    cut = _cut(text, round(len(text) * (1 - HELD_OUT)))
    parts = text[:cut], text[cut:]
    train, validation = (encode(tokenizer, part) for part in parts)
    if len(train) + len(validation) < LEAST:
        raise DataError(
            "there is too little text to learn from",
            where=path,
            got=f"{len(train) + len(validation)} tokens",
            expected=f"{LEAST} at least, thousands for words to be learnt",
        )
    name = re.sub(r"\W+", "-", files[0].name.partition(".")[0]).strip("-") or "text"
    name = name if len(files) == 1 else Path(path.split(",")[0]).resolve().name
    lengths = len(parts[0]), len(parts[1])
    return Corpus(name, len(files), tokenizer, train, validation, lengths)


def choose_kind(text: str) -> str:
    """Characters, or parts of words where a text is large or has many characters.

    Example:
        >>> choose_kind("to be or not to be")
        'characters'
    """
    many = len(text) >= LARGE or len(set(text)) > MANY
    return BYTE_PAIR if many else CHARACTERS


def learn_tokenizer(text: str, kind: str, vocabulary: int | None) -> Tokenizer:
    """A tokenizer without special tokens: a text has no parts of that kind."""
    bare: Any = {"padding": None, "unknown": None, "start": None, "end": None}
    if kind == CHARACTERS:
        if vocabulary is not None and vocabulary < len(set(text)):
            bare["unknown"] = "[UNK]"
        return Tokenizer.train([text], CHARACTERS, vocabulary, **bare)
    return Tokenizer.train(pieces(text), kind, vocabulary or VOCABULARY, **bare)


def pieces(text: str) -> Iterator[str]:
    """A text in pieces that end with a line, where lines are not too long."""
    start = 0
    while start < len(text):
        end = _cut(text, start + PIECE)
        yield text[start:end]
        start = end


def _cut(text: str, place: int) -> int:
    """The end of the line at a place, or the place where that line is long."""
    if place >= len(text):
        return len(text)
    end = text.find("\n", max(0, place - 1), place + 1000)
    return place if end < 0 else end + 1


def encode(tokenizer: Tokenizer, text: str) -> Array:
    """The tokens of a text, in as few bytes as hold them."""
    size = tokenizer.vocabulary_size
    kind = next(
        k for k in (np.uint8, np.uint16, np.int32) if size - 1 <= np.iinfo(k).max
    )
    found = [each.astype(kind) for each in tokenizer.encode_batch(pieces(text))]
    return np.concatenate(found) if found else np.zeros(0, kind)


def choose_context(corpus: Corpus, wanted: int | None) -> int:
    """How many tokens the network sees: fewer where a text is short."""
    most = min(len(corpus.train), len(corpus.validation)) - 1
    if wanted is None:
        return max(1, min(CONTEXT, most // 2))
    if not 1 <= wanted <= most:
        raise ArgumentError(
            "the text is too short for this context",
            where="--context",
            got=wanted,
            expected=f"1 to {most}",
        )
    return wanted


def all_windows(tokens: Array, context: int) -> tuple[Array, Array]:
    """Every window of a text, and the tokens that come next: views, not copies.

    Example:
        >>> x, y = all_windows(np.arange(5), 3)
        >>> x.tolist(), y.tolist()
        ([[0, 1, 2], [1, 2, 3]], [[1, 2, 3], [2, 3, 4]])
    """
    windows = np.lib.stride_tricks.sliding_window_view(tokens, context + 1)
    return windows[:, :-1], windows[:, 1:]


def some_windows(tokens: Array, context: int, most: int) -> tuple[Array, Array]:
    """Windows one behind the other, evenly spread where there are too many.

    Args:
        tokens: of a text.
        context: the length of a window.
        most: how many tokens they have together, about.
    """
    starts = np.arange(0, len(tokens) - context, context)
    count = max(1, most // context)
    if len(starts) > count:
        starts = starts[np.linspace(0, len(starts) - 1, count).astype(np.int64)]
    rows = starts[:, None] + np.arange(context + 1)
    found = tokens[rows]
    return found[:, :-1], found[:, 1:]


def known_part(tokenizer: Tokenizer, text: str) -> tuple[str, Sequence[str]]:
    """A text without characters that a tokenizer does not know, and which these are.

    Example:
        >>> known_part(learn_tokenizer("aabb", "characters", None), "abc")
        ('ab', ['c'])
    """
    if tokenizer.kind != CHARACTERS or tokenizer.unknown is not None:
        return text, []
    strange = sorted({each for each in text if each not in tokenizer})
    if strange:
        text = "".join(each for each in text if each in tokenizer)
    return text, strange
