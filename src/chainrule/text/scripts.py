"""Which characters are written without spaces between words."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Thai, Lao, Tibetan, Myanmar, Khmer, kana, Bopomofo, Han, and their extensions.
RANGES = (
    (0x0E00, 0x0EFF),
    (0x0F00, 0x0FFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x1950, 0x1A5F),
    (0x2E80, 0x312F),
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0xFE30, 0xFE4F),
    (0xFF00, 0xFFEF),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
SPACELESS = "".join(f"{chr(first)}-{chr(last)}" for first, last in RANGES)
_ANY = re.compile(f"[{SPACELESS}]")


def is_spaceless(character: str) -> bool:
    """Whether a character is of a script that puts no spaces between words.

    Such are Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan; Korean is not.

    Example:
        >>> [is_spaceless(c) for c in "a文ไ한"]
        [False, True, True, False]
    """
    return _ANY.match(character) is not None


def spaceless_share(texts: Iterable[str]) -> float:
    """The share of characters, blanks left out, of scripts without spaces.

    Example:
        >>> spaceless_share(["ab 文字"]), spaceless_share([])
        (0.5, 0.0)
    """
    total = found = 0
    for text in texts:
        total += sum(map(len, text.split()))
        found += len(_ANY.findall(text))
    return found / total if total else 0.0
