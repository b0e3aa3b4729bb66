"""Whole tables from CSV and Parquet files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.columns import (
    MISSING,
    Columns,
    as_columns,
    find_date_form,
    number_of,
    to_numbers,
    to_text,
    to_times,
)
from chainrule.data.dialect import OPENERS, Dialect, sniff
from chainrule.errors import DataError, DependencyError

PARQUET = (".parquet", ".pq")
# A column of text counts as numbers where all but this share of its cells are.
MOST_STRAY_CELLS = 0.05
INSTALL = "pip install 'chainrule[data]'"


@dataclass
class Table:
    """A table in memory.

    Attributes:
        columns: arrays by name; see `chainrule.data.columns`.
        source: where it came from.
        header: whether the file named its columns.
        notes: what was found while reading, in sentences.
    """

    columns: Columns
    source: str = "data"
    header: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def without(self, names: Iterable[str]) -> Table:
        """The table without some columns."""
        gone = set(names)
        kept = {k: v for k, v in self.columns.items() if k not in gone}
        return Table(kept, self.source, self.header, self.notes)

    def rows(self, index: Any) -> Table:
        """The rows that `index` picks, in its order."""
        picked = {name: column[index] for name, column in self.columns.items()}
        return Table(picked, self.source, self.header, self.notes)


def pyarrow_modules() -> Any:
    """pyarrow, which reads the files.

    Raises:
        DependencyError: when it is not installed.
    """
    try:
        import pyarrow  # noqa: PLC0415 - an optional package
        import pyarrow.compute  # noqa: PLC0415
        import pyarrow.csv  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        raise DependencyError(
            "reading CSV and Parquet files needs pyarrow",
            where="chainrule.data",
            fix=INSTALL,
        ) from None
    return pyarrow


def read_table(
    data: Any,
    *,
    header: bool | None = None,
    missing: Iterable[str] = (),
    known: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> Table:
    """A table from a file, or from what is in memory.

    Of CSV files the separator, the decimal sign, the encoding and the headings are
    found out; blanks around cells are left out. Columns that hold numbers or dates
    throughout become such, whatever wrote them.

    Args:
        data: a path, or whatever `as_columns` takes.
        header: whether the first row of a CSV file holds headings; None finds out.
        missing: more texts that stand for a missing value, such as `"unknown"`.
        known: names that only headings can hold.
        names: what the columns are called where the table does not say.

    Raises:
        DataError: when the file cannot be read as a table.
        DependencyError: when a file is to be read and pyarrow is not installed.

    Example:
        >>> table = read_table({"age": ["31", "?"], "job": ["cook", "nurse"]})
        >>> table.columns["age"].tolist()
        [31.0, nan]
    """
    absent = (*MISSING, *missing)
    if isinstance(data, Table):
        return data
    if not isinstance(data, (str, os.PathLike)):
        columns = as_columns(data, names)
        return _typed(Table(columns, "data"), absent)
    path = Path(data)
    if not path.is_file():
        raise DataError("there is no such file", where=str(path))
    if path.suffix.lower() in PARQUET:
        return _typed(_read_parquet(path), absent)
    table = _read_csv(path, sniff(path, header, known))
    if names is not None and not table.header and len(names) == len(table.names):
        renamed = dict(zip(names, table.columns.values(), strict=True))
        table.columns = renamed
    return _typed(table, absent)


def _read_parquet(path: Path) -> Table:
    pyarrow = pyarrow_modules()
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(
            "this is no Parquet file", where=str(path), got=str(error)[:200]
        ) from None
    return Table(as_columns(table), str(path))


def csv_options(
    dialect: Dialect, skipped: list[Any], block_size: int = 1 << 24
) -> dict[str, Any]:
    """The arguments of pyarrow's readers for a file that is written like this.

    All cells are read as text, the headings too: they are taken off later.

    Args:
        dialect: how the file is written.
        skipped: is given the rows that have another number of cells.
        block_size: bytes that are read at once.
    """
    pyarrow = pyarrow_modules()

    def note(row: Any) -> str:
        skipped.append(row)
        return "skip"

    text = pyarrow.string()
    places = [f"f{place}" for place in range(len(dialect.names))]
    return {
        "read_options": pyarrow.csv.ReadOptions(
            column_names=places, encoding=dialect.encoding, block_size=block_size
        ),
        "parse_options": pyarrow.csv.ParseOptions(
            delimiter=dialect.separator,
            newlines_in_values=True,
            invalid_row_handler=note,
        ),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(places, text),
            strings_can_be_null=False,
        ),
    }


def _read_csv(path: Path, dialect: Dialect) -> Table:
    pyarrow = pyarrow_modules()
    skipped: list[Any] = []
    options = csv_options(dialect, skipped)
    try:
        with open_csv_bytes(path) as stream:
            read = pyarrow.csv.read_csv(stream, **options)
    except (pyarrow.ArrowException, OSError, EOFError, ValueError) as error:
        raise DataError(
            "the file cannot be read as CSV", where=str(path), got=str(error)[:300]
        ) from None
    if dialect.header:
        read = read.slice(1)
    if len(skipped) > max(1, len(read) // 100):
        first = skipped[0]
        raise DataError(
            f"{len(skipped)} rows have another number of cells",
            where=f"{path}, row {first.number or '?'}",
            got=f"{first.actual_columns} cells",
            expected=f"{first.expected_columns}, separated by {dialect.separator!r}",
        )
    notes = describe(dialect)
    if skipped:
        notes.append(f"{len(skipped)} rows with another number of cells were left out")
    return Table(_arrow_columns(read, dialect), str(path), dialect.header, notes)


def open_csv_bytes(path: Path) -> Any:
    """The bytes of a file, unpacked where its name says that it is packed."""
    opener = OPENERS.get(path.suffix.lower())
    return open(path, "rb") if opener is None else opener(path, "rb")


def describe(dialect: Dialect) -> list[str]:
    """What is unusual about how a file is written."""
    notes = []
    if not dialect.header:
        last = dialect.names[-1]
        notes.append(f"no headings: the columns are called column_1 to {last}")
    if dialect.separator != ",":
        notes.append(f"cells are separated by {dialect.separator!r}")
    if dialect.decimal != ".":
        notes.append("numbers are written with decimal commas")
    if dialect.encoding != "utf-8":
        notes.append(f"the text is {dialect.encoding}")
    return notes


def _arrow_columns(read: Any, dialect: Dialect) -> Columns:
    """Columns of text, or of numbers where pyarrow can make them at once."""
    compute = pyarrow_modules().compute
    found: Columns = {}
    for name, column in zip(dialect.names, read.columns, strict=True):
        column = compute.utf8_trim_whitespace(column)
        if dialect.decimal == ",":
            column = decimal_points(column)
        found[name] = arrow_numbers(column)
    return found


def decimal_points(column: Any) -> Any:
    """Numbers such as 1.234,5 as 1234.5; other text as it is."""
    compute = pyarrow_modules().compute
    grouped = compute.match_substring_regex(column, r"^[-+]?\d{1,3}(\.\d{3})+(,\d+)?$")
    plain = compute.replace_substring(column, ".", "")
    column = compute.if_else(grouped, plain, column)
    return compute.replace_substring_regex(column, r"^([-+]?\d+),(\d+)$", r"\1.\2")


def arrow_numbers(column: Any) -> Any:
    """A column of text as numbers where all of it is; otherwise as objects."""
    pyarrow = pyarrow_modules()
    compute = pyarrow.compute
    empty = compute.equal(column, "")
    filled = compute.if_else(empty, pyarrow.scalar(None, column.type), column)
    if filled.null_count < len(filled) and not _has_leading_zeros(filled):
        for kind in (pyarrow.int64(), pyarrow.float64()):
            try:
                return np.asarray(compute.cast(filled, kind).to_numpy())
            except (pyarrow.ArrowInvalid, ValueError):
                continue
    return np.asarray(filled.to_numpy()).astype(object)


def _has_leading_zeros(column: Any) -> bool:
    """Whether it holds codes such as 00501, which are no numbers."""
    compute = pyarrow_modules().compute
    codes = compute.match_substring_regex(column, r"^0\d+$")
    return bool(compute.any(codes).as_py())


# ---- what columns hold ---------------------------------------------------------------


def _typed(table: Table, missing: Sequence[str]) -> Table:
    """The table with text that is numbers or dates made such."""
    tokens: dict[str, int] = {}
    for name, column in table.columns.items():
        if column.dtype.kind == "O":
            table.columns[name] = _typed_text(name, column, missing, table, tokens)
    if tokens:
        found = ", ".join(f"{t!r} ({n:,} cells)" for t, n in tokens.items())
        table.notes.append(f"read as missing: {found}")
    return table


def _typed_text(
    name: str,
    column: Any,
    missing: Sequence[str],
    table: Table,
    tokens: dict[str, int],
) -> Any:
    texts = to_text(column, missing)
    for value, text in zip(column.tolist(), texts.tolist(), strict=True):
        if text is None and isinstance(value, str) and value.strip():
            token = value.strip()
            tokens[token] = tokens.get(token, 0) + 1
    filled = [text for text in texts.tolist() if text is not None]
    distinct = list(dict.fromkeys(filled))
    if not distinct or all(isinstance(v, bool) for v in column[:100]):
        return texts
    stray = [text for text in distinct if number_of(text) != number_of(text)]
    codes = any(len(t) > 1 and t[0] == "0" and t.isdigit() for t in distinct)
    if not codes and len(stray) < len(distinct):
        cells = sum(filled.count(text) for text in stray[:10])
        few = len(stray) <= 10 and cells <= MOST_STRAY_CELLS * len(filled)
        if few:
            if stray:
                shown = ", ".join(map(repr, stray[:3]))
                table.notes.append(
                    f"{name} holds numbers; {shown} ({cells} cells) count as missing"
                )
            return to_numbers(texts)
    form = find_date_form(distinct)
    return texts if form is None else to_times(texts, form)
