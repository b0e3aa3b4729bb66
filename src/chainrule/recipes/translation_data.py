"""Pairs of sentences from files: two files of lines, or two columns of a table."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.dialect import OPENERS
from chainrule.data.tables import pyarrow_modules
from chainrule.errors import ArgumentError, DataError

PARQUET = (".parquet", ".pq")
TABLES = (".tsv", ".csv", ".jsonl", ".ndjson", *PARQUET)
HELD_OUT = 0.05  # of the pairs, where none are given to choose by
MOST_HELD_OUT = 1000
FEW = 20  # pairs of which none are held out


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations.

    Attributes:
        name: what they are called in reports.
        sources: the sentences.
        targets: a translation of each.
    """

    name: str
    sources: list[str]
    targets: list[str]

    def __len__(self) -> int:
        return len(self.sources)

    def rows(self, chosen: Iterable[int]) -> Pairs:
        """Some of them."""
        places = list(chosen)
        sources = [self.sources[place] for place in places]
        return Pairs(self.name, sources, [self.targets[place] for place in places])


def clean(text: str) -> str:
    """A sentence in the form in which it is learnt: one line, in NFC.

    Example:
        >>> clean("  zwei  Hu\\u0308te\\n") == "zwei Hüte"
        True
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_pairs(
    data: str | None, source: str | None, target: str | None, name: str | None = None
) -> Pairs:
    """Pairs of sentences.

    Args:
        data: a table: TSV, CSV, JSON lines or Parquet, maybe compressed; None for two
            files of lines.
        source: without `data` a file with a sentence a line; else a column, by name or
            place; the first one by default.
        target: likewise the translations; the second column by default.
        name: what they are called; that of the file by default.

    Raises:
        ArgumentError: when it is not said where both are.
        DataError: when files cannot be read, or differ in their number of lines.
    """
    if data is not None:
        columns = read_columns(Path(data), source, target)
        return _paired(name or Path(data).name, *columns)
    if source is None or target is None:
        raise ArgumentError(
            "say where sentences and their translations are",
            where="--source" if source is None else "--target",
            fix="--source a.de --target b.en, or a table with both",
        )
    files = [Path(source), Path(target)]
    sources, targets = (read_lines(path) for path in files)
    if len(sources) != len(targets):
        raise DataError(
            "the two files must have the same number of lines: line n of one is the "
            "translation of line n of the other",
            where=f"{files[0]}, {files[1]}",
            got=f"{len(sources):,} and {len(targets):,} lines",
        )
    return _paired(name or common_name(*files), sources, targets)


def _paired(name: str, sources: Sequence[str], targets: Sequence[str]) -> Pairs:
    return Pairs(name, [*map(clean, sources)], [*map(clean, targets)])


def common_name(source: Path, target: Path) -> str:
    """What two files are called together.

    Example:
        >>> common_name(Path("train.de.gz"), Path("train.en.gz"))
        'train.de-en'
        >>> common_name(Path("hello.txt"), Path("hallo.txt"))
        'hello-hallo'
    """
    first, second = (plain_name(path) for path in (source, target))
    stem, _, language = first.rpartition(".")
    other, _, second_language = second.rpartition(".")
    if stem and stem == other and language != second_language:
        return f"{stem}.{language}-{second_language}"
    return f"{first.partition('.')[0]}-{second.partition('.')[0]}"


def plain_name(path: Path) -> str:
    """The name of a file, without that of its compression."""
    return path.stem if path.suffix.lower() in OPENERS else path.name


def read_lines(path: Path) -> list[str]:
    """The lines of a file of text, UTF-8, maybe compressed.

    Only line feeds end lines: other characters that Unicode counts as ends may stand
    within sentences.

    Raises:
        DataError: when there is no such file, or it is no text.
    """
    text = read_text(path)
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def read_text(path: Path) -> str:
    """The text of a file; see `read_lines`."""
    if not path.is_file():
        raise DataError("there is no such file", where=str(path))
    opened = OPENERS.get(path.suffix.lower(), open)
    try:
        with opened(path, "rb") as file:
            content: bytes = file.read()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            "the file is no text in UTF-8",
            where=f"{path}, line {line}",
            got=repr(content[error.start : error.start + 8]),
            fix="iconv -f latin1 -t utf-8",
        ) from None
    except (OSError, EOFError) as error:
        raise DataError(
            "the file cannot be read", where=str(path), got=str(error)
        ) from None


def is_table(path: str) -> bool:
    """Whether a file is a table by its name.

    Example:
        >>> is_table("pairs.tsv.gz"), is_table("train.de")
        (True, False)
    """
    return Path(plain_name(Path(path))).suffix.lower() in TABLES


def read_columns(
    path: Path, source: str | None, target: str | None
) -> tuple[list[str], list[str]]:
    """Two columns of a table, as text.

    Raises:
        DataError: when the table cannot be read.
        ArgumentError: when there is no such column.
    """
    kind = Path(plain_name(path)).suffix.lower()
    wanted = [source or "0", target or "1"]
    if kind in PARQUET:
        names, rows = _read_parquet(path)
    elif kind in (".jsonl", ".ndjson"):
        names, rows = _read_json_lines(path)
    else:
        names, rows = _read_cells(path, kind, wanted)
    places = [_place(each, names, str(path)) for each in wanted]
    first, second = ([_text(row[place]) for row in rows] for place in places)
    return first, second


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _place(wanted: str, names: Sequence[str], where: str) -> int:
    """The place of a column, by its name or by its place."""
    if wanted in names:
        return names.index(wanted)
    try:
        place = int(wanted)
    except ValueError:
        place = len(names)
    if not -len(names) <= place < len(names):
        raise ArgumentError(
            "there is no such column",
            where=where,
            got=wanted,
            expected=", ".join(names) + f", or 0 to {len(names) - 1}",
        )
    return place


def _read_cells(
    path: Path, kind: str, wanted: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of TSV or CSV; without headings the columns are numbered.

    The first row is headings where it holds the names that are asked for. In TSV,
    quotation marks are characters like others.
    """
    text = read_text(path)
    if kind == ".csv":
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    else:
        lines = text.replace("\r\n", "\n").split("\n")
        rows = [line.split("\t") for line in lines if line]
    if not rows:
        raise DataError("the file holds no rows", where=str(path))
    named = all(each in rows[0] for each in wanted)
    names = rows[0] if named else [str(i) for i in range(len(rows[0]))]
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise DataError(
                "rows differ in their number of cells",
                where=f"{path}, row {number}",
                got=f"{len(row)} cells: {row!r:.80}",
                expected=f"{len(names)}",
            )
    return names, rows[named:]


def _read_json_lines(path: Path) -> tuple[list[str], list[list[Any]]]:
    names: list[str] = []
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            found, why = None, str(error)
        else:
            why = f"{found!r:.60}"
        if not isinstance(found, dict):
            raise DataError(
                "every line holds a JSON object",
                where=f"{path}, line {number}",
                got=why,
            )
        found = _flat(found)
        names = names or list(found)
        rows.append([found.get(name) for name in names])
    if not rows:
        raise DataError("the file holds no rows", where=str(path))
    return names, rows


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    """The values of objects within an object, as those of the outer one.

    Example:
        >>> _flat({"id": 3, "translation": {"de": "Hut", "en": "hat"}})
        {'id': 3, 'de': 'Hut', 'en': 'hat'}
    """
    flat: dict[str, Any] = {}
    for name, value in found.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def _read_parquet(path: Path) -> tuple[list[str], list[list[Any]]]:
    if not path.is_file():
        raise DataError("there is no such file", where=str(path))
    parquet = pyarrow_modules().parquet
    try:
        rows = [_flat(row) for row in parquet.read_table(path).to_pylist()]
    except Exception as error:  # the library raises nothing more precise
        raise DataError(
            "the file cannot be read", where=str(path), got=str(error)[:200]
        ) from None
    if not rows:
        raise DataError("the file holds no rows", where=str(path))
    names = list(rows[0])
    return names, [[row.get(name) for name in names] for row in rows]


def hold_out(pairs: Pairs, seed: int) -> tuple[Pairs, Pairs]:
    """Pairs to learn from, and some to choose by; none of those where there are few.

    Example:
        >>> pairs = Pairs("p", [str(i) for i in range(100)], ["x"] * 100)
        >>> [len(part) for part in hold_out(pairs, seed=0)]
        [95, 5]
    """
    count = 0 if len(pairs) < FEW else int(min(HELD_OUT * len(pairs), MOST_HELD_OUT))
    order = np.random.default_rng(seed).permutation(len(pairs)).tolist()
    return pairs.rows(sorted(order[count:])), pairs.rows(sorted(order[:count]))
