"""Texts in pieces: words, and n-grams of words and of the characters in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from chainrule.text.scripts import SPACELESS

# What stands alone: punctuation and symbols, also those outside ASCII.
_SYMBOLS = (
    r"!-/:-@\[-`{-~\u00a1-\u00bf\u2000-\u206f\u20a0-\u2bff\u2e00-\u2e7f"
    r"\U0001f000-\U0001fbff"
)
_WORD = re.compile(f"[{SPACELESS}]|[{_SYMBOLS}]|[^\\s{SPACELESS}{_SYMBOLS}]+")
INSIDE = "#"  # begins n-grams of characters, which stand within a word
LONGEST = 40  # characters of a word of which n-grams are made


def split_words(text: str, most: int | None = None) -> list[str]:
    """Words, punctuation marks, and characters of scripts without spaces.

    Args:
        text: any text.
        most: how many to give at most.

    Example:
        >>> split_words("Don't stop, हिन्दी!"), split_words("我喜欢")
        (['Don', "'", 't', 'stop', ',', 'हिन्दी', '!'], ['我', '喜', '欢'])
    """
    if most is None:
        return _WORD.findall(text)
    found: list[str] = []
    for match in _WORD.finditer(text):
        if len(found) == most:
            break
        found.append(match.group())
    return found


def make_grams(
    words: Sequence[str], joined: int, inside: tuple[int, int] | None
) -> Iterator[str]:
    """Sequences of words, and of characters within words.

    Args:
        words: of `split_words`.
        joined: how many words a sequence may have.
        inside: the shortest and the longest sequence of characters of a word, with `<`
            and `>` for its ends; None makes none.

    Example:
        >>> list(make_grams(["to", "be"], 2, None))
        ['to', 'be', 'to be']
        >>> list(make_grams(["abc"], 1, (4, 5)))
        ['abc', '#<abc', '#abc>']
    """
    for width in range(1, joined + 1):
        for start in range(len(words) - width + 1):
            yield " ".join(words[start : start + width])
    if inside is None:
        return
    for word in words:
        ends = f"<{word[:LONGEST]}>"
        for width in range(inside[0], min(inside[1], len(ends) - 1) + 1):
            for start in range(len(ends) - width + 1):
                yield INSIDE + ends[start : start + width]
