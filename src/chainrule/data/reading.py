"""Files read a few megabytes at a time: rows as they come, in bounded memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.columns import MISSING, Columns, as_columns, unique_names
from chainrule.data.dialect import Dialect, sniff
from chainrule.data.tables import (
    csv_options,
    decimal_points,
    open_csv_bytes,
    pyarrow_modules,
)
from chainrule.errors import DataError

Array = np.ndarray[Any, Any]

PIECE_BYTES = 1 << 22
TURNED_ROWS = 1024
WAIT = 0.1  # seconds between two looks at whether nobody reads any more


def csv_pieces(
    path: Any,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    known: Sequence[str] = (),
) -> Iterator[Columns]:
    """The columns of a CSV file, some rows at a time.

    What a column holds, numbers or text, the first piece decides.

    Raises:
        DataError: when the file cannot be read, lacks a column, or a column of numbers
            holds text further down.
    """
    pyarrow = pyarrow_modules()
    file = existing(path)
    dialect = sniff(file, header, [*(columns or ()), *known])
    wanted = choose(dialect.names, columns, file)
    options = csv_options(dialect, [], PIECE_BYTES)
    try:
        with open_csv_bytes(file) as stream:
            reader = pyarrow.csv.open_csv(stream, **options)
            yield from _typed_pieces(reader, dialect, wanted, file)
    except (pyarrow.ArrowException, OSError, EOFError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            "the file cannot be read as CSV", where=str(file), got=str(error)[:300]
        ) from None


def _typed_pieces(
    reader: Any, dialect: Dialect, wanted: Sequence[str], file: Path
) -> Iterator[Columns]:
    kinds: dict[str, bool] = {}
    skip = int(dialect.header)
    for batch in reader:
        part = batch.slice(skip)
        skip = 0
        if not part.num_rows:
            continue
        by_name = dict(zip(dialect.names, part.columns, strict=True))
        found: Columns = {}
        for name in wanted:
            column = _cleaned(by_name[name], dialect)
            if name not in kinds:
                kinds[name] = _as_numbers(column) is not None
            found[name] = _column(name, column, kinds[name], file)
        yield found


def _cleaned(column: Any, dialect: Dialect) -> Any:
    """Cells without blanks around them; missing ones null."""
    pyarrow = pyarrow_modules()
    compute = pyarrow.compute
    column = compute.utf8_trim_whitespace(column)
    if dialect.decimal == ",":
        column = decimal_points(column)
    absent = compute.is_in(column, value_set=pyarrow.array(MISSING))
    return compute.if_else(absent, pyarrow.scalar(None, column.type), column)


def _as_numbers(column: Any) -> Array | None:
    pyarrow = pyarrow_modules()
    try:
        numbers = pyarrow.compute.cast(column, pyarrow.float64())
    except pyarrow.ArrowInvalid:
        return None
    return np.asarray(numbers.to_numpy(zero_copy_only=False))


def _column(name: str, column: Any, numbers: bool, file: Path) -> Array:
    if not numbers:
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype(object)
    found = _as_numbers(column)
    if found is None:
        raise DataError(
            "a column that begins with numbers holds text further down",
            where=f"{file}: {name}",
            fix=f"columns=[...] without {name!r}, or clean the file",
        )
    return found


def parquet_pieces(
    path: Any, columns: Sequence[str] | None = None
) -> Iterator[Columns]:
    """The columns of a Parquet file, some rows at a time.

    Raises:
        DataError: when it cannot be read, or lacks a column.
    """
    pyarrow = pyarrow_modules()
    file = existing(path)
    try:
        # what is buffered ahead stays in memory until the file is closed
        with pyarrow.parquet.ParquetFile(file, pre_buffer=False) as source:
            wanted = choose(source.schema_arrow.names, columns, file)
            rows = max(256, PIECE_BYTES // (8 * max(len(wanted), 1)))
            for batch in source.iter_batches(batch_size=rows, columns=list(wanted)):
                yield as_columns(pyarrow.Table.from_batches([batch]))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            "this is no Parquet file", where=str(file), got=str(error)[:200]
        ) from None


def existing(path: Any) -> Path:
    """The path of a file that is there.

    Raises:
        DataError: when it is not.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError("there is no such file", where=str(file))
    return file


def choose(
    names: Sequence[str], columns: Sequence[str] | None, file: Path
) -> Sequence[str]:
    """The columns to read: those asked for, or all.

    Raises:
        DataError: when one is not there.
    """
    if columns is None:
        return unique_names(names)
    absent = [name for name in columns if name not in names]
    if absent:
        raise DataError(
            "the file lacks a column",
            where=str(file),
            got=", ".join(names[:30]),
            expected=", ".join(absent),
        )
    return list(dict.fromkeys(columns))


def arranged(
    pieces: Iterator[Columns], target: str | None, matrix: bool, where: str
) -> Iterator[Any]:
    """Columns as what a model is given: `x`, or `(x, y)` where there is a target.

    Args:
        pieces: columns by name.
        target: the column that is `y`.
        matrix: whether x is one float32 array `(rows, columns)`, not a dict of columns.
        where: the file, for messages.

    Raises:
        DataError: when the target is not there, or a matrix is to hold text.
    """
    for columns in pieces:
        if target is None:
            yield as_matrix(columns, where) if matrix else columns
            continue
        if target not in columns:
            raise DataError(
                "the file lacks the target",
                where=where,
                got=", ".join(list(columns)[:30]),
                expected=target,
            )
        rest = {name: column for name, column in columns.items() if name != target}
        yield as_matrix(rest, where) if matrix else rest, columns[target]


def as_matrix(columns: Columns, where: str) -> Array:
    """Columns of numbers side by side, float32.

    Raises:
        DataError: when one holds something else.

    Example:
        >>> as_matrix({"a": np.array([1, 2]), "b": np.array([0.5, 1.5])}, "x").tolist()
        [[1.0, 0.5], [2.0, 1.5]]
    """
    odd = [name for name, column in columns.items() if column.dtype.kind not in "biuf"]
    if odd or not columns:
        raise DataError(
            "a matrix holds numbers alone",
            where=where,
            got=f"columns that hold none: {', '.join(odd[:10])}"
            if odd
            else "no column",
            fix="matrix=False, for a model that begins with a TableEncoder; "
            "or columns=[...] with numbers only",
        )
    rows = len(next(iter(columns.values())))
    matrix = np.empty((rows, len(columns)), np.float32)
    # some rows of all columns at a time stay in the caches while they are turned
    for start in range(0, rows, TURNED_ROWS):
        part = slice(start, start + TURNED_ROWS)
        for place, column in enumerate(columns.values()):
            matrix[part, place] = column[part]
    return matrix


def read_ahead(source: Callable[[], Iterator[Any]], size: int) -> Iterator[Any]:
    """What `source` gives, read by a thread up to `size` elements in advance."""
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(size)
    closed = threading.Event()

    def put(entry: tuple[bool, Any]) -> None:
        while not closed.is_set():
            try:
                ready.put(entry, timeout=WAIT)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for element in source():
                put((True, element))
                if closed.is_set():
                    return
            put((False, None))
        except BaseException as error:
            put((False, error))

    thread = threading.Thread(target=read, name="chainrule-dataset", daemon=True)
    thread.start()
    try:
        while True:
            more, element = ready.get()
            if more:
                yield element
            elif element is None:
                return
            else:
                raise element
    finally:
        closed.set()
        thread.join()
