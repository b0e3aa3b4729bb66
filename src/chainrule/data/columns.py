"""Columns of tables as NumPy arrays, whatever the table is made of.

A column is one of three kinds of array: numbers (missing ones are NaN), times
(`datetime64`, missing ones are NaT), or text (objects: `str`, or None for missing).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from chainrule.errors import DataError

Array = np.ndarray[Any, Any]
Columns = dict[str, Array]

# What stands for a missing value in files, apart from nothing at all.
MISSING = (
    "",
    "?",
    "-",
    "--",
    ".",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "<NA>",
    "NaN",
    "nan",
    "NaT",
    "NULL",
    "Null",
    "null",
    "None",
)
# Tried in this order where a date is not written as ISO 8601 has it.
DATE_FORMATS = (
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%Y/%m/%d",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
    "%Y-%m",
)
TIME_FORMATS = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p")
ISO = "iso"
_DECORATION = re.compile(r"[\s$€£¥%']|,(?=\d{3}(?:\D|$))")
_WHOLE = re.compile(r"[-+]?\d+\.0+")


def map_unique(values: Iterable[Any], function: Callable[[Any], Any]) -> list[Any]:
    """`function` of every value, called once for each that differs.

    Example:
        >>> map_unique(["a", "b", "a"], str.upper)
        ['A', 'B', 'A']
    """
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    try:
        table = {value: function(value) for value in set(listed)}
    except TypeError:  # something that cannot be hashed
        return [function(value) for value in listed]
    return [table[value] for value in listed]


def objects(values: Sequence[Any]) -> Array:
    """A column of Python objects; never more than one axis.

    Example:
        >>> objects([[1, 2], None]).shape
        (2,)
    """
    column = np.empty(len(values), object)
    column[:] = values
    return column


# ---- one value -----------------------------------------------------------------------


def text_of(value: Any, missing: frozenset[str] = frozenset(MISSING)) -> str | None:
    """One cell as text without blanks around it; None where it is missing.

    Whole numbers read the same whether they came as integers or as floats.

    Example:
        >>> text_of(" Male "), text_of(3.0), text_of("3.0"), text_of("?")
        ('Male', '3', '3', None)
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, np.generic):
        value = value.item()
    text = str(value).strip()
    if text in missing:
        return None
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def number_of(value: Any) -> float:
    """One cell as a number, NaN where it is none; signs of money do not matter.

    Example:
        >>> number_of("1,234.5"), number_of("12 %"), number_of("many")
        (1234.5, 12.0, nan)
    """
    if isinstance(value, (int, float)):
        return float(value)
    text = value if isinstance(value, str) else text_of(value)
    if text is None or "_" in text:
        return math.nan
    for candidate in (text, _DECORATION.sub("", text)):
        try:
            return float(candidate)
        except ValueError:
            continue
    return math.nan


def time_of(value: Any, form: str = ISO) -> np.datetime64:
    """One cell as a time, NaT where it is none; times with a zone become UTC.

    Example:
        >>> time_of("2013-08-14 05:41:20"), time_of("14.08.2013", "%d.%m.%Y")
        (np.datetime64('2013-08-14T05:41:20'), np.datetime64('2013-08-14T00:00:00'))
    """
    missing = np.datetime64("NaT", "s")
    if value is None or value != value:
        return missing
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[s]")
    if not isinstance(value, (datetime, date)):
        text = str(value).strip()
        try:
            found = (
                datetime.fromisoformat(text)
                if form == ISO
                else datetime.strptime(text, form)
            )
        except ValueError:
            return missing
        value = found
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(value, "s")


# ---- one column ----------------------------------------------------------------------


def to_text(values: Array, missing: Iterable[str] = MISSING) -> Array:
    """A column as text, None for what is missing.

    Example:
        >>> to_text(np.array([1.0, np.nan, 2.5])).tolist()
        ['1', None, '2.5']
    """
    absent = frozenset(missing)
    if values.dtype.kind in "biufmM":
        found, places = np.unique(values, return_inverse=True)
        texts = [None if _absent(v) else text_of(v, absent) for v in found]
        return objects(texts)[places.reshape(values.shape)]
    return objects(map_unique(values, lambda value: text_of(value, absent)))


def to_numbers(values: Array) -> Array:
    """A column as float64, NaN for what is missing or no number.

    Example:
        >>> to_numbers(objects(["1.5", " 2", None, "many"])).tolist()
        [1.5, 2.0, nan, nan]
    """
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if values.dtype.kind in "mM":
        return np.full(len(values), np.nan)
    if values.dtype.kind == "O":
        try:  # text that is numbers throughout
            return values.astype(np.float64)
        except (TypeError, ValueError):
            pass
    texts = to_text(values)
    return np.array(map_unique(texts, number_of), np.float64).reshape(len(values))


def to_times(values: Array, form: str = ISO) -> Array:
    """A column as `datetime64[s]`, NaT for what is missing or no time."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]")
    times = map_unique(values, lambda value: time_of(value, form))
    return np.array(times, "datetime64[s]").reshape(len(values))


def absent_in(values: Array) -> Array:
    """Where a column has no value.

    Example:
        >>> absent_in(objects(["a", None])).tolist()
        [False, True]
    """
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind == "O":
        return np.array([value is None for value in values.tolist()], bool)
    return np.zeros(len(values), bool)


def find_date_form(texts: Sequence[str]) -> str | None:
    """How these dates are written: `iso`, a format of `strptime`, or None.

    Example:
        >>> find_date_form(["31/12/2013", "01/02/2014"]), find_date_form(["blue"])
        ('%d/%m/%Y', None)
    """
    if not texts or not all(any(c.isdigit() for c in text) for text in texts[:100]):
        return None
    for form in (ISO, *(d + t for d in DATE_FORMATS for t in TIME_FORMATS)):
        # the first few decide quickly
        if all(not _absent(time_of(text, form)) for text in texts[:5]) and all(
            not _absent(time_of(text, form)) for text in texts
        ):
            return form
    return None


def _absent(value: Any) -> bool:
    return bool(value != value)


# ---- whole tables --------------------------------------------------------------------


def as_columns(data: Any, names: Sequence[str] | None = None) -> Columns:
    """The columns of a table by name.

    Args:
        data: a dict of columns, a list of dicts (one a row), a pandas or polars
            DataFrame, an Arrow table, a structured array, or rows of cells.
        names: what the columns of plain rows are called.

    Raises:
        DataError: when it is none of these, or columns differ in length.

    Example:
        >>> as_columns([{"age": 3, "name": "Bo"}, {"age": 5}])["name"].tolist()
        ['Bo', None]
    """
    columns = _split(data, names)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            "the columns of a table have one length",
            where="data",
            got=", ".join(f"{name}: {n}" for name, n in list(lengths.items())[:6]),
        )
    return columns


def _split(data: Any, names: Sequence[str] | None) -> Columns:
    if isinstance(data, Mapping):
        return {str(name): as_column(column) for name, column in data.items()}
    if hasattr(data, "column_names"):  # Arrow
        return _from_arrow(data)
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):  # pandas, polars
        return _from_frame(data)
    if isinstance(data, np.ndarray) and data.dtype.names:
        return {name: as_column(data[name]) for name in data.dtype.names}
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], Mapping):
        keys = dict.fromkeys(key for row in data for key in row)
        return {str(k): as_column([row.get(k) for row in data]) for k in keys}
    return _from_rows(data, names)


def as_column(values: Any) -> Array:
    """One column as an array of numbers, times, or objects.

    Example:
        >>> as_column(["a", None]).tolist(), as_column([1, 2]).dtype.kind
        (['a', None], 'i')
    """
    if hasattr(values, "to_numpy") and not isinstance(values, np.ndarray):
        return _from_series(values)
    if isinstance(values, np.ndarray):
        array = (
            values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
        )
    else:
        listed = list(values)
        plain = all(type(value) in (int, float, bool) for value in listed)
        array = np.array(listed) if plain and listed else objects(listed)
    if array.ndim != 1:
        raise DataError(
            "a column has one value a row",
            where="data",
            got=f"shape {array.shape}",
            fix="one entry for every column: {'width': x[:, 0], 'height': x[:, 1]}",
        )
    return array if array.dtype.kind in "biufmMO" else array.astype(object)


def _from_series(series: Any) -> Array:
    """A column of pandas, polars or Arrow."""
    kind = getattr(getattr(series, "dtype", None), "kind", "O")
    if hasattr(series, "notna") and not isinstance(series.dtype, np.dtype):
        if kind in "iuf":  # numbers that may be missing
            return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
        series = series.astype(object)
        series = series.where(series.notna(), None)
    array = np.asarray(series.to_numpy())
    return array if array.dtype.kind in "biufmMO" else array.astype(object)


def _from_frame(frame: Any) -> Columns:
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        by_place = frame.iloc
        return {
            name: _from_series(by_place[:, place])
            for place, name in enumerate(unique_names(names))
        }
    return {str(name): _from_series(frame[name]) for name in frame.columns}


def _from_arrow(table: Any) -> Columns:
    found = {}
    for name, column in zip(
        unique_names(table.column_names), table.columns, strict=True
    ):
        if hasattr(column, "unify_dictionaries") and hasattr(column.type, "value_type"):
            column = column.cast(column.type.value_type)
        array = np.asarray(column.to_numpy())
        found[name] = array if array.dtype.kind in "biufmMO" else array.astype(object)
    return found


def _from_rows(data: Any, names: Sequence[str] | None) -> Columns:
    array = data if isinstance(data, np.ndarray) else np.array(data, object)
    if array.ndim != 2 or (names is not None and array.shape[1] != len(names)):
        width = "" if names is None else f" of {len(names)} columns"
        raise DataError(
            "this is no table" if array.ndim != 2 else "rows have another width",
            where="data",
            got=f"{type(data).__name__} of shape {array.shape}",
            expected=f"a dict of columns, a DataFrame, an Arrow table, or rows{width}",
        )
    named = names or [f"column_{i + 1}" for i in range(array.shape[1])]
    return {name: array[:, i] for i, name in enumerate(named)}


def unique_names(names: Iterable[str]) -> list[str]:
    """Names of which no two are equal: a second `price` becomes `price.1`.

    Example:
        >>> unique_names(["price", "price", "", "price.1"])
        ['price', 'price.1', 'column_3', 'price.1.1']
    """
    found: list[str] = []
    for place, given in enumerate(names):
        name = base = str(given).strip() or f"column_{place + 1}"
        count = 0
        while name in found:
            count += 1
            name = f"{base}.{count}"
        found.append(name)
    return found


def is_path(data: Any) -> bool:
    """Whether `data` names a file."""
    return isinstance(data, (str, os.PathLike))
