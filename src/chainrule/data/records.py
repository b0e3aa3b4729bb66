"""Tables of text: every cell as it stands in the file."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from chainrule.data.columns import unique_names
from chainrule.data.dialect import OPENERS, find_separator, looks_like_header
from chainrule.data.tables import PARQUET, pyarrow_modules
from chainrule.data.text_files import Source, decode_text, read_bytes, split_lines
from chainrule.errors import DataError

JSON, JSON_LINES = (".json",), (".jsonl", ".ndjson", ".jsonlines")
TABBED = (".tsv", ".tab")
SAMPLE = 1 << 18  # characters by which the separator is found
QUOTE = '"'
# Headings of columns of text and of classes, in lower case.
HEADINGS = frozenset(
    (
        "text",
        "texts",
        "sentence",
        "review",
        "comment",
        "message",
        "utterance",
        "query",
        "question",
        "title",
        "content",
        "body",
        "tweet",
        "document",
        "label",
        "labels",
        "class",
        "category",
        "target",
        "intent",
        "sentiment",
        "topic",
        "language",
        "rating",
        "score",
        "id",
        "index",
    )
)
LABELLED = ("text", "label")  # what columns are called that have no name


@dataclass
class Records:
    """A table of text in memory.

    Attributes:
        columns: the cells by the name of the column: text, or None where there is none.
        source: where it came from.
        header: whether the columns were named there.
        part: for each row the name of the part that it stood in, such as `train`; None
            where there are no parts.
        notes: how the file is written, in sentences.
    """

    columns: dict[str, list[str | None]]
    source: str
    header: bool = True
    part: list[str] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def column(self, wanted: str) -> str:
        """The name of a column that is given by name or by place; -1 is the last.

        Raises:
            DataError: when there is none.

        Example:
            >>> records = Records({"text": ["a"], "label": ["b"]}, "data")
            >>> records.column("label"), records.column("0"), records.column("-1")
            ('label', 'text', 'label')
        """
        if wanted in self.columns:
            return wanted
        names = self.names
        if is_place(wanted) and -len(names) <= int(wanted) < len(names):
            return names[int(wanted)]
        raise DataError(
            "there is no such column",
            where=self.source,
            got=repr(wanted),
            expected=f"{', '.join(map(repr, names[:20]))}, or a place from 0 to "
            f"{len(names) - 1}",
        )


def is_place(wanted: str) -> bool:
    """Whether this may be the place of a column, rather than its name.

    Example:
        >>> is_place("0"), is_place("-1"), is_place("text")
        (True, True, False)
    """
    return wanted.removeprefix("-").isdecimal()


def read_records(
    path: Source,
    *,
    header: bool | None = None,
    quoting: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    known: Sequence[str] = (),
) -> Records:
    r"""A table whose cells are text, to the letter: no number or date is made of it.

    - CSV and TSV, and any other file of lines: the separator, whether there are
      headings, and whether cells are quoted, are found out;
    - JSON: a list of objects, or of lists; an object of such lists by part, such as
      `train` and `test`; an object of lists of texts by class; or columns by name;
    - JSON lines: an object or a list in every line;
    - Parquet.

    Args:
        path: the file; `.gz`, `.bz2`, `.xz` and a `.zip` of one file are unpacked.
        header: whether the first row holds headings; None finds out.
        quoting: whether cells may stand in double quotes; None finds out.
        separator: of cells; None finds out.
        encoding: see `read_text`.
        known: names that only headings can hold.

    Raises:
        DataError: when the file cannot be read, or its rows differ in length.
        DependencyError: for Parquet, when pyarrow is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "reviews.tsv")
        >>> _ = path.write_text('a "fine film\t1\n3 stars\t0\n')
        >>> read_records(path).columns
        {'column_1': ['a "fine film', '3 stars'], 'column_2': ['1', '0']}
    """
    file = Path(path)
    kind = kind_of_file(file)
    if kind in PARQUET:
        return _read_parquet(file)
    text = decode_text(read_bytes(file), encoding, str(file))
    if kind in JSON:
        return _from_json(_load(text, str(file)), str(file), known)
    if kind in JSON_LINES:
        rows = [
            _load(line, f"{file}, line {number}")
            for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1)
            if line.strip()
        ]
        return _from_json(rows, str(file), known)
    if separator is None:
        separator = "\t" if kind in TABBED else find_separator(text[:SAMPLE])
    return _from_lines(text, str(file), header, quoting, separator, known)


def kind_of_file(path: PurePath) -> str:
    """The ending that tells what a file holds, that of its packing left out.

    Example:
        >>> kind_of_file(PurePath("a/b.TSV.gz")), kind_of_file(PurePath("b.gz"))
        ('.tsv', '')
    """
    packed = path.suffix.lower() in (*OPENERS, ".zip")
    return PurePath(path.stem if packed else path.name).suffix.lower()


# ---- lines of cells ------------------------------------------------------------------


def _from_lines(
    text: str,
    where: str,
    header: bool | None,
    quoting: bool | None,
    separator: str,
    known: Sequence[str],
) -> Records:
    if quoting is None:
        quoting = looks_quoted(text, separator)
    rows = list(_rows(text, separator, quoting, where))
    if not rows:
        raise DataError("the file holds no rows", where=where, got="nothing")
    width = len(rows[0])
    odd = [number for number, row in enumerate(rows) if len(row) != width]
    if odd:
        raise DataError(
            f"{len(odd):,} rows have another number of cells",
            where=f"{where}, row {odd[0] + 1}",
            got=f"{len(rows[odd[0]])} cells: {rows[odd[0]]!r}"[:300],
            expected=f"{width}, separated by {separator!r}, "
            f"{'in quotes or not' if quoting else 'quotes being part of the text'}",
            fix="read_records(path, separator=..., quoting=...)",
        )
    if header is None:
        header = _has_header(rows, known)
    head = [cell.strip() for cell in rows[0]] if header else [""] * width
    columns = zip(*rows[header:], strict=True) if len(rows) > header else [()] * width
    named = dict(zip(unique_names(head), map(list, columns), strict=True))
    notes = [] if quoting or QUOTE not in text else ["quotes are part of the text"]
    if not header:
        notes.append(f"no headings: the columns are called {', '.join(named)}")
    found: dict[str, list[str | None]] = {k: list(v) for k, v in named.items()}
    return Records(found, where, header, None, notes)


def looks_quoted(text: str, separator: str) -> bool:
    r"""Whether quotes stand around cells, rather than within the text.

    They are around cells where reading them so leaves none open, and rows of one
    length; within the text where only leaving them alone does.

    Example:
        >>> looks_quoted('"a, b",1\n"c",2\n', ","), looks_quoted('"a" b\t1\n', "\t")
        (True, False)
    """
    if QUOTE not in text:
        return False
    lines = split_lines(text.replace("\r\n", "\n"))
    rows = [line.split(separator) for line in lines if line]
    if not any(c.lstrip().startswith(QUOTE) for row in rows for c in row):
        return False
    stream = io.StringIO(text, newline="")
    with _cells_of_any_length():
        try:
            reader = csv.reader(stream, delimiter=separator, strict=True)
            return len({len(row) for row in reader if row}) == 1 or not _uniform(rows)
        except csv.Error:
            return not _uniform(rows)


def _uniform(rows: Sequence[Sequence[str]]) -> bool:
    return len(set(map(len, rows))) == 1


def _rows(text: str, separator: str, quoting: bool, where: str) -> Iterator[list[str]]:
    """The rows; lines with nothing in them are left out."""
    if not quoting:
        for line in split_lines(text.replace("\r\n", "\n").replace("\r", "\n")):
            if line:
                yield line.split(separator)
        return
    stream = io.StringIO(text, newline="")
    with _cells_of_any_length():
        reader = csv.reader(stream, delimiter=separator)
        try:
            yield from (row for row in reader if row)
        except csv.Error as error:
            raise DataError(
                "the file cannot be read as CSV",
                where=f"{where}, line {reader.line_num}",
                got=str(error),
            ) from None


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _has_header(rows: Sequence[Sequence[str]], known: Sequence[str]) -> bool:
    first = [cell.strip() for cell in rows[0]]
    if any(name in first for name in known if not is_place(name)):
        return True
    named = any(cell.lower() in HEADINGS for cell in first)
    return named or looks_like_header(rows)


# ---- JSON and Parquet ----------------------------------------------------------------


def _load(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError("this is no JSON", where=where, got=str(error)[:200]) from None


def _from_json(data: Any, where: str, known: Sequence[str]) -> Records:
    if isinstance(data, list):
        return _from_rows(data, where)
    lists = isinstance(data, dict) and all(isinstance(v, list) for v in data.values())
    if not lists or not any(data.values()):
        raise DataError(
            "this JSON holds no rows",
            where=where,
            got=f"{type(data).__name__}: {json.dumps(data)[:120]}",
            expected="a list of objects or of lists, or an object of such lists",
        )
    if all(isinstance(row, (dict, list)) for rows in data.values() for row in rows):
        return _from_parts(data, where)
    columns = any(name in data for name in known)
    if len({len(values) for values in data.values()}) == 1 and (
        columns or any(str(name).lower() in HEADINGS for name in data)
    ):
        return Records({str(k): [_cell(v) for v in r] for k, r in data.items()}, where)
    pairs = [[text, name] for name, texts in data.items() for text in texts]
    found = _from_rows(pairs, where)
    found.notes = ["texts listed by class"]
    return found


def _from_parts(data: Mapping[str, Any], where: str) -> Records:
    rows = [row for part in data.values() for row in part]
    found = _from_rows(rows, where)
    found.part = [str(name) for name, part in data.items() for _ in part]
    return found


def _from_rows(rows: Sequence[Any], where: str) -> Records:
    """Objects by their keys, or lists of equal length."""
    if not rows:
        raise DataError("the file holds no rows", where=where, got="nothing")
    if all(isinstance(row, dict) for row in rows):
        names = list(dict.fromkeys(str(key) for row in rows for key in row))
        columns = {name: [_cell(row.get(name)) for row in rows] for name in names}
        return Records(columns, where)
    first = rows[0]
    width = len(first) if isinstance(first, list) else 0
    for number, row in enumerate(rows):
        if not isinstance(row, list) or not width or len(row) != width:
            raise DataError(
                "rows are objects, or lists of equal length",
                where=f"{where}, row {number + 1}",
                got=json.dumps(row)[:120],
                expected=f"a list of {width}" if width else "an object or a list",
            )
    names = list(LABELLED) if width == 2 else unique_names([""] * width)
    cells = zip(*rows, strict=True)
    columns = {
        name: [_cell(value) for value in column]
        for name, column in zip(names, cells, strict=True)
    }
    return Records(columns, where, header=False)


def _cell(value: Any) -> str | None:
    """A value as text: whole numbers without a point, anything larger as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, default=str)


def _read_parquet(path: Path) -> Records:
    pyarrow = pyarrow_modules()
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(
            "this is no Parquet file", where=str(path), got=str(error)[:200]
        ) from None
    columns = {
        name: [_cell(value) for value in column.to_pylist()]
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return Records(columns, str(path))
