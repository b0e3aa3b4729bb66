"""Files of text: their encoding, their lines."""

from __future__ import annotations

import codecs
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from chainrule.data.dialect import OPENERS
from chainrule.errors import DataError

Source = str | os.PathLike[str]
Sources = Source | Iterable[Source]

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Of western European text in Latin-1 fewer bytes than this are above 127; in other
# alphabets most are.
MOST_ACCENTS = 0.25
_UNREADABLE = (
    OSError,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,  # an encrypted zip
)


def read_text(sources: Sources, encoding: str | None = None) -> str:
    r"""The text of a file, or of several one after the other.

    Ends of lines become `\n`, whatever they were. A mark of the byte order is left out.

    Args:
        sources: a path, or several. `.gz`, `.bz2` and `.xz` are unpacked, and a `.zip`
            that holds one file.
        encoding: of the text. None takes what a mark at the beginning says, UTF-8 where
            the bytes are that, and otherwise Windows-1252 or Latin-1 where they look
            like text of western Europe.

    Raises:
        DataError: when a file is not there, damaged, or in an encoding that is not
            found out.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "poem.txt")
        >>> _ = path.write_bytes(b"\xef\xbb\xbfto be\r\nor not")
        >>> read_text(path)
        'to be\nor not'
    """
    return "".join(_read_one(Path(each), encoding) for each in _listed(sources))


def read_lines(sources: Sources, encoding: str | None = None) -> list[str]:
    r"""The lines of a file, or of several, without their ends.

    A line ends with `\n`, `\r\n` or `\r` and with nothing else: form feeds and
    separators of Unicode stay within their lines, so that lines of two files that
    belong together keep doing so. Empty lines stay.

    Args:
        sources: see `read_text`.
        encoding: see `read_text`.

    Raises:
        DataError: see `read_text`.
    """
    found: list[str] = []
    for each in _listed(sources):
        found += split_lines(_read_one(Path(each), encoding))
    return found


def split_lines(text: str) -> list[str]:
    r"""The lines of a text whose lines end with `\n`; the last may lack its end.

    Example:
        >>> split_lines("a\n\nb"), split_lines("a\n"), split_lines("")
        (['a', '', 'b'], ['a'], [])
    """
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _listed(sources: Sources) -> list[Source]:
    alone = isinstance(sources, str | os.PathLike)
    return [sources] if alone else list(sources)  # type: ignore[list-item, arg-type]


def _read_one(path: Path, encoding: str | None) -> str:
    text = decode_text(read_bytes(path), encoding, str(path))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked where its name says that it is packed.

    Raises:
        DataError: when it is not there, damaged, or a zip of several files.
    """
    if not path.is_file():
        raise DataError(
            "there is no such file" if not path.exists() else "this is a folder",
            where=str(path),
        )
    try:
        if path.suffix.lower() == ".zip":
            return _read_zip(path)
        with OPENERS.get(path.suffix.lower(), open)(path, "rb") as file:
            content: bytes = file.read()
    except _UNREADABLE as error:
        raise DataError(
            "the file cannot be read", where=str(path), got=str(error)[:200]
        ) from None
    return content


def _read_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as packed:
        names = [
            each.filename
            for each in packed.infolist()
            if not each.is_dir() and not each.filename.startswith("__MACOSX")
        ]
        if len(names) != 1:
            raise DataError(
                "a zip with one file is read",
                where=str(path),
                got=f"{len(names)} files: {', '.join(names[:5])}",
                fix="unpack it first",
            )
        return packed.read(names[0])


def decode_text(raw: bytes, encoding: str | None, where: str) -> str:
    """Bytes as text; see `read_text`.

    Raises:
        DataError: when the encoding is wrong, unknown, or not found out.

    Example:
        >>> decode_text("Maß und Wert".encode("latin-1"), None, "poem.txt")
        'Maß und Wert'
    """
    marked = next((name for mark, name in MARKS if raw.startswith(mark)), None)
    if encoding is not None and not encoding.lower().startswith(("utf", "u8")):
        marked = None
    try:
        return raw.decode(marked or encoding or "utf-8")
    except LookupError:
        raise DataError(
            "there is no such encoding", where=where, got=encoding, fix="utf-8"
        ) from None
    except UnicodeDecodeError as error:
        if encoding is None and marked is None and _looks_western(raw):
            return _western(raw)
        raise DataError(
            f"the text is not in {marked or encoding or 'UTF-8'}",
            where=f"{where}, byte {error.start:,}",
            got=repr(raw[error.start : error.start + 8]),
            fix="encoding='...', such as cp1251, gb18030, shift_jis or euc_kr",
        ) from None


def _looks_western(raw: bytes) -> bool:
    """Whether text in no UTF-8 looks like one in Latin-1: some accents, no more."""
    high = sum(map(raw.count, (bytes([each]) for each in range(128, 256))))
    return high <= MOST_ACCENTS * len(raw) and b"\0" not in raw


def _western(raw: bytes) -> str:
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
