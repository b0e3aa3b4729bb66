"""How a CSV file is written: its encoding, separator, decimal sign, and headings."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.data.columns import MISSING, number_of, unique_names
from chainrule.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
SAMPLE = 1 << 18  # bytes that are looked at
SAMPLE_ROWS = 200
OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        names: of the columns: the headings, or `column_1`, `column_2`, ...
        header: whether the first row holds headings.
        separator: what stands between cells.
        decimal: the decimal sign, `.` or `,`.
        encoding: of the text.
    """

    names: tuple[str, ...]
    header: bool
    separator: str
    decimal: str
    encoding: str


def sniff(path: Path, header: bool | None = None, known: Sequence[str] = ()) -> Dialect:
    """Find out how a CSV file is written, from its beginning.

    Args:
        path: the file; `.gz`, `.bz2` and `.xz` are unpacked.
        header: whether the first row holds headings; None finds out.
        known: names that only headings can hold, such as that of a target.

    Raises:
        DataError: when it is empty, or no text.
    """
    raw = _beginning(path)
    encoding = find_encoding(raw, str(path))
    text = raw.decode(encoding, "ignore").lstrip("\ufeff")
    separator = find_separator(text)
    rows = [row for row in _rows(text, separator) if any(cell.strip() for cell in row)]
    if not rows:
        raise DataError("the file holds no rows", where=str(path), got="nothing")
    decimal = "," if separator != "," and _has_decimal_commas(rows) else "."
    if header is None:
        header = any(name in _stripped(rows[0]) for name in known) or looks_like_header(
            rows
        )
    head = _stripped(rows[0]) if header else [""] * len(rows[0])
    return Dialect(tuple(unique_names(head)), header, separator, decimal, encoding)


def _stripped(row: Sequence[str]) -> list[str]:
    return [cell.strip() for cell in row]


def _beginning(path: Path) -> bytes:
    opener = OPENERS.get(path.suffix.lower(), open)
    try:
        with opener(path, "rb") as file:
            found: bytes = file.read(SAMPLE)
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise DataError(
            "the file cannot be read", where=str(path), got=str(error)
        ) from None
    return found


def find_encoding(raw: bytes, where: str) -> str:
    """UTF-8 where the bytes are that, UTF-16 where they say so, otherwise Latin-1.

    Example:
        >>> find_encoding("né".encode("latin-1"), "x"), find_encoding(b"a,b", "x")
        ('latin-1', 'utf-8')
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in raw:
        raise DataError(
            "this is no text: it holds zero bytes",
            where=where,
            expected="a CSV file, or a Parquet file whose name ends in .parquet",
        )
    try:  # a character may be cut in two at the end
        codecs.getincrementaldecoder("utf-8")().decode(raw, len(raw) < SAMPLE)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def find_separator(text: str) -> str:
    """The separator that cuts most rows into the same number of cells, above one.

    Example:
        >>> find_separator("a;b;c\\n1,5;2;3\\n2,5;3;4"), find_separator("alone\\n1")
        (';', ',')
    """
    best, best_score = ",", 0.0
    for separator in SEPARATORS:
        widths = Counter(len(row) for row in _rows(text, separator) if row)
        if not widths:
            continue
        width, count = widths.most_common(1)[0]
        share = count / sum(widths.values())
        score = share * (1 - 1 / width)
        if score > best_score + 1e-9:
            best, best_score = separator, score
    return best


def _rows(text: str, separator: str) -> list[list[str]]:
    """The first rows; the last is left out where it may be cut."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    found: list[list[str]] = []
    try:
        for row in reader:
            if row:
                found.append(row)
            if len(found) > SAMPLE_ROWS:
                break
    except csv.Error:
        pass  # a quoted cell longer than the sample
    cut = len(text) >= SAMPLE // 4 and len(found) <= SAMPLE_ROWS
    return found[:-1] if cut and len(found) > 1 else found


def _has_decimal_commas(rows: Sequence[Sequence[str]]) -> bool:
    commas = points = 0
    for row in rows[1:]:
        for cell in _stripped(row):
            whole, sign, part = cell.partition(",")
            if sign and part.isdigit() and whole.lstrip("+-").isdigit():
                commas += 1
            elif "." in cell and not math.isnan(number_of(cell)):
                points += 1
    return commas > points


def is_number(cell: str) -> bool:
    """Whether a cell holds a number."""
    return not math.isnan(number_of(cell.strip().replace(",", "."))) or (
        cell.strip().lower() in ("nan", "inf")
    )


def looks_like_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds headings rather than values.

    A number or a missing value among them says no. Columns of numbers below words say
    yes; where all columns are words, headings are words that do not come again.

    Example:
        >>> looks_like_header([["age", "sex"], ["3", "m"], ["5", "f"]])
        True
        >>> looks_like_header([["39", "State-gov"], ["50", "Private"]])
        False
    """
    first, rest = _stripped(rows[0]), rows[1:]
    words = [cell for cell in first if cell]
    if any(is_number(cell) or cell in MISSING[1:] for cell in words):
        return False
    if not words or len(words) < len(first) - 1:
        return False
    if not rest:
        return True
    columns = list(zip(*(r for r in rest if len(r) == len(first)), strict=True))
    if any(_mostly_numbers(column) for column in columns):
        return True
    again = [
        cell in _stripped(column) for cell, column in zip(first, columns, strict=False)
    ]
    return not any(again) and len(set(words)) == len(words)


def _mostly_numbers(column: Sequence[str]) -> bool:
    filled = [cell for cell in _stripped(column) if cell not in MISSING]
    return bool(filled) and sum(map(is_number, filled)) > 0.8 * len(filled)
