"""Vocabularies of parts of words, by the `tokenizers` library."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

from chainrule.errors import DataError, DependencyError, FormatError
from chainrule.text.writing import INSIDE

UNKNOWN = "[UNK]"  # within the library; its first token, where there is one
LONGEST_WORD = 1000  # characters; word-piece gives up on longer ones
BYTES = 256

Model = dict[str, Any]  # what the library writes as JSON


def tokenizers_modules() -> Any:
    """The `tokenizers` library.

    Raises:
        DependencyError: when it is not installed.
    """
    try:
        import tokenizers  # noqa: PLC0415 - an optional package
        import tokenizers.decoders  # noqa: PLC0415
        import tokenizers.models  # noqa: PLC0415
        import tokenizers.normalizers  # noqa: PLC0415
        import tokenizers.pre_tokenizers  # noqa: PLC0415
        import tokenizers.trainers  # noqa: PLC0415
    except ImportError:
        raise DependencyError(
            "parts of words are found by the library tokenizers, which is missing",
            where="chainrule.text",
            fix="pip install 'chainrule[text]'; or kind='characters', which needs "
            "nothing",
        ) from None
    return tokenizers


def has_unknown(kind: str) -> bool:
    """Whether a vocabulary of this kind lacks some texts.

    Example:
        >>> has_unknown("words"), has_unknown("byte_pair")
        (True, False)
    """
    return kind != "byte_pair"


def train_model(
    kind: str, texts: Iterable[str], size: int, least: int, lowercase: bool
) -> Model:
    """Learn a vocabulary, and give the library's description of it.

    Args:
        kind: `byte_pair`, `word_piece` or `words`.
        texts: to learn from.
        size: how many tokens there may be, the unknown one counted.
        least: how often a pair or word has to occur.
        lowercase: whether all text is put in lower case first.
    """
    library = tokenizers_modules()
    made = library.Tokenizer(_empty_model(library, kind))
    normalizer = _normalizer(library.normalizers, kind, lowercase)
    if normalizer is not None:
        made.normalizer = normalizer
    made.pre_tokenizer = _splitter(library.pre_tokenizers, kind)
    given: Iterable[str] = map(encodable, texts)
    options = {"vocab_size": size, "min_frequency": least, "show_progress": False}
    if kind == "word_piece":
        given = list(given)
        options |= _alphabet(map(normalizer.normalize_str, given), size)
    made.train_from_iterator(given, _trainer(library, kind, options))
    model: Model = json.loads(made.to_str())
    model["added_tokens"] = []  # text never stands for special tokens
    return model


def _empty_model(library: Any, kind: str) -> Any:
    models = library.models
    if kind == "byte_pair":
        return models.BPE()
    if kind == "word_piece":
        return models.WordPiece(
            unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD
        )
    return models.WordLevel(unk_token=UNKNOWN)


def _normalizer(normalizers: Any, kind: str, lowercase: bool) -> Any:
    steps = []
    if kind == "word_piece":
        steps.append(normalizers.BertNormalizer(strip_accents=False, lowercase=False))
    if lowercase:
        steps.append(normalizers.Lowercase())
    return normalizers.Sequence(steps) if steps else None


def _splitter(splitters: Any, kind: str) -> Any:
    if kind == "byte_pair":
        return splitters.ByteLevel(add_prefix_space=False)
    return (
        splitters.BertPreTokenizer() if kind == "word_piece" else splitters.Whitespace()
    )


def _trainer(library: Any, kind: str, options: dict[str, Any]) -> Any:
    trainers = library.trainers
    if kind == "byte_pair":
        alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
        return trainers.BpeTrainer(initial_alphabet=alphabet, **options)
    if kind == "word_piece":
        return trainers.WordPieceTrainer(**options)
    return trainers.WordLevelTrainer(special_tokens=[UNKNOWN], **options)


def _alphabet(texts: Iterable[str], size: int) -> dict[str, Any]:
    """The characters of word-piece, at the beginning of words and inside.

    Left to itself the library numbers them as its hash table has them, otherwise in
    every process. At most half of the vocabulary are characters.
    """
    counts = Counter(chain.from_iterable(texts))
    ranked = sorted((-n, each) for each, n in counts.items() if not each.isspace())
    kept = sorted(each for _, each in ranked[: max(1, (size - 1) // 4)])
    return {
        "special_tokens": [UNKNOWN, *kept, *(f"{INSIDE}{each}" for each in kept)],
        "initial_alphabet": kept,
        "limit_alphabet": len(kept),
    }


def encodable(text: str) -> str:
    """A text that can be written in UTF-8.

    Raises:
        DataError: when half of a surrogate pair stands in it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            "a text holds half of a surrogate pair, which is no character",
            where=f"character {error.start}",
            got=ascii(text[error.start : error.start + 1]),
            fix="text.encode('utf-8', 'replace').decode(), or kind='characters'",
        ) from None
    return text


def read_tokens(model: Model) -> list[str]:
    """The tokens of a library's vocabulary, in order.

    Raises:
        FormatError: when the description is damaged.
    """
    try:
        vocabulary = model["model"]["vocab"]
        tokens = sorted(vocabulary, key=vocabulary.__getitem__)
        if [vocabulary[token] for token in tokens] != list(range(len(tokens))):
            raise ValueError("the numbers of the tokens have gaps")
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            "the vocabulary of a tokenizer is damaged", got=repr(error)[:200]
        ) from None
    return tokens


def open_model(model: Model) -> Any:
    """The library's tokenizer for a description.

    Raises:
        FormatError: when the library does not understand it.
    """
    library = tokenizers_modules()
    try:
        return library.Tokenizer.from_str(json.dumps(model))
    except Exception as error:  # the library raises nothing more precise
        raise FormatError(
            "the library tokenizers does not understand this vocabulary",
            got=str(error)[:200],
        ) from None
