"""Tokens as text again, one after the other."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence

from chainrule.text.scripts import is_spaceless

Piece = Callable[[str, str], str]  # the token before, and the token: its text

INSIDE = "##"  # begins tokens of kind word_piece that go on with a word
GLUED_LEFT = frozenset(".,;:!?%)]}'\u2019\u2026\u00bb\u201d")
GLUED_RIGHT = frozenset("([{'\u2018\u00ab\u201c$#@")


def byte_alphabet() -> dict[str, int]:
    """The characters that stand for bytes in byte-pair tokens.

    Printable ones stand for themselves, the others for the next free code points from
    256 on (as in GPT-2).

    Example:
        >>> table = byte_alphabet()
        >>> len(table), table["a"], table["Ġ"]
        (256, 97, 32)
    """
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    table = {chr(byte): byte for byte in plain}
    table |= {chr(256 + place): byte for place, byte in enumerate(rest)}
    return table


ALPHABET = byte_alphabet()


def to_bytes(token: str) -> bytes:
    """The bytes of a byte-pair token; those of its text, where it is none.

    Example:
        >>> to_bytes("Ġhi"), to_bytes("文")
        (b' hi', b'\\xe6\\x96\\x87')
    """
    try:
        return bytes(ALPHABET[character] for character in token)
    except KeyError:
        return token.encode("utf-8", "replace")


def part_of_word(before: str, token: str) -> str:
    """The text of a word-piece token.

    Example:
        >>> part_of_word("play", "##ing"), part_of_word("play", "on")
        ('ing', ' on')
    """
    if token.startswith(INSIDE) and len(token) > len(INSIDE) and before:
        return token.removeprefix(INSIDE)
    return whole_word(before.removeprefix(INSIDE), token)


def whole_word(before: str, token: str) -> str:
    """The text of a word, with a blank before it where one belongs.

    Example:
        >>> whole_word("yes", "sir"), whole_word("yes", "!"), whole_word("文", "字")
        (' sir', '!', '字')
    """
    if not before or not token:
        return token
    glued = token[0] in GLUED_LEFT or before[-1] in GLUED_RIGHT
    glued |= is_spaceless(token[0]) or is_spaceless(before[-1])
    return token if glued else f" {token}"


def alone(before: str, token: str) -> str:
    """The text of a character: itself."""
    return token


PIECES: dict[str, Piece] = {
    "word_piece": part_of_word,
    "words": whole_word,
    "characters": alone,
}


class Writer:
    """Turns tokens into text as they come, and splits no character.

    What is written until the end, all together, is what `Tokenizer.decode` gives.

    Args:
        kind: of the tokenizer.
        tokens: its vocabulary, special tokens first.
        special: how many special tokens there are.
        skip_special: whether these are left out.

    Example:
        >>> writer = Writer("byte_pair", ["Ã", "¤", "!"], 0, True)
        >>> [writer.write(0), writer.write(1), writer.write(2), writer.finish()]
        ['', 'ä', '!', '']
    """

    def __init__(
        self, kind: str, tokens: Sequence[str], special: int, skip_special: bool
    ) -> None:
        self.tokens = tokens
        self.special = special
        self.skip_special = skip_special
        self._piece = PIECES.get(kind)
        self._before = ""
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, token: int) -> str:
        """The text that is certain now that this token has come."""
        text = self.tokens[token]
        if token < self.special:
            return "" if self.skip_special else self._write_special(text)
        if self._piece is None:
            return self._bytes.decode(to_bytes(text))
        shown = self._piece(self._before, text)
        self._before = text
        return shown

    def _write_special(self, text: str) -> str:
        """A special token as it is called; a character that was begun ends here."""
        rest = self._bytes.decode(b"", True)
        self._bytes.reset()
        shown = whole_word(self._before, text) if self._before else text
        self._before = text
        return rest + (text if self._piece in (None, alone) else shown)

    def finish(self) -> str:
        """What is left when no token follows: `�` for a character that was cut."""
        rest = self._bytes.decode(b"", True)
        self._bytes.reset()
        self._before = ""
        return rest
