"""Reading files as tables: what is found out about them, and what is refused."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.data import read_table
from chainrule.data.columns import as_columns, find_date_form, to_text, to_times
from chainrule.errors import DataError, DependencyError

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes, **options: Any) -> Any:
    return read_table(write(folder, content), **options)


def test_numbers_text_and_dates_are_told_apart(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b,c,d\n1,x,2020-01-02,0.5\n2,y,2021-03-04,\n")
    assert [v.dtype.kind for v in table.columns.values()] == ["i", "O", "M", "f"]
    assert table.columns["d"].tolist()[0] == 0.5
    assert np.isnan(table.columns["d"][1])


def test_headings_are_found_or_made_up(tmp_path: Path) -> None:
    assert read(tmp_path, "7.4,0.7,5\n7.8,0.8,6\n").names == [
        "column_1",
        "column_2",
        "column_3",
    ]
    assert read(tmp_path, "red,big\nblue,small\nred,small\n").header is False
    assert read(tmp_path, "colour,size\nblue,small\nred,small\n").header is True
    years = "2019,2020\n1,2\n3,4\n"
    assert read(tmp_path, years).header is False
    assert read(tmp_path, years, known=["2020"]).names == ["2019", "2020"]
    assert read(tmp_path, "a,b\n1,2\n", header=False).names[0] == "column_1"


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators_are_found(tmp_path: Path, separator: str) -> None:
    text = f"a{separator}b\n1{separator}x, y\n2{separator}z, w\n"
    table = read(tmp_path, text)
    assert table.columns["b"].tolist() == ["x, y", "z, w"]


def test_decimal_commas(tmp_path: Path) -> None:
    table = read(tmp_path, "a;b\n1,5;1.234,5\n-2,25;0,5\n")
    assert table.columns["a"].tolist() == [1.5, -2.25]
    assert table.columns["b"].tolist() == [1234.5, 0.5]


def test_a_byte_order_mark_blanks_and_quoted_newlines(tmp_path: Path) -> None:
    text = '\ufeffname, note\n Bo ,"two\nlines"\nAl,"say ""hi"""\n'
    table = read(tmp_path, text)
    assert table.names == ["name", "note"]
    assert table.columns["name"].tolist() == ["Bo", "Al"]
    assert table.columns["note"].tolist() == ["two\nlines", 'say "hi"']


def test_other_encodings(tmp_path: Path) -> None:
    text = "stadt,n\nKöln,1\nZürich,2\n"
    for encoding in ("latin-1", "utf-16", "utf-8"):
        table = read(tmp_path, text.encode(encoding))
        assert table.columns["stadt"].tolist() == ["Köln", "Zürich"], encoding


def test_packed_files(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b"a,b\n1,2\n3,4\n"), "t.csv.gz")
    assert read_table(path).columns["b"].tolist() == [2, 4]


def test_missing_values_are_counted_by_how_they_are_written(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n1,?\n?,x\n3,N/A\n4,unknown\n", missing=["unknown"])
    assert np.isnan(table.columns["a"][1])
    assert table.columns["b"].tolist() == [None, "x", None, None]
    assert "'?' (2 cells)" in " ".join(table.notes)


def test_a_few_words_among_numbers_count_as_missing(tmp_path: Path) -> None:
    cells = [*map(str, range(50)), "many"]
    table = read(tmp_path, "n,m\n" + "".join(f"{cell},1\n" for cell in cells))
    assert table.columns["n"].dtype.kind == "f"
    assert np.isnan(table.columns["n"]).sum() == 1
    assert "'many' (1 cells) count as missing" in " ".join(table.notes)


def test_codes_with_leading_zeros_stay_text(tmp_path: Path) -> None:
    table = read(tmp_path, "zip,n\n00501,1\n10001,2\n")
    assert table.columns["zip"].tolist() == ["00501", "10001"]


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    assert read(tmp_path, "a,a,\n1,2,3\n").names == ["a", "a.1", "column_3"]


def test_odd_rows_are_left_out_or_refused(tmp_path: Path) -> None:
    good = "a,b\n" + "1,2\n" * 300
    table = read(tmp_path, good + "1,2,3\n")
    assert len(table) == 300
    assert "1 rows with another number of cells" in " ".join(table.notes)
    with pytest.raises(DataError, match="another number of cells"):
        read(tmp_path, good + "1,2,3\n" * 50)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"PK\0\0", b"\x89PNG\0"])
def test_no_tables(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError):
        read(tmp_path, content)


def test_files_that_are_not_there_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(write(tmp_path, b"\x1f\x8b123", "t.csv.gz"))
    with pytest.raises(DataError, match="no Parquet file"):
        read_table(write(tmp_path, b"a,b\n", "t.parquet"))


def test_headings_alone_are_a_table_of_no_rows(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n")
    assert (table.names, len(table)) == (["a", "b"], 0)


def test_all_that_holds_the_same_columns_is_alike(tmp_path: Path) -> None:
    rows = {"n": [1.5, 2.0, None], "t": ["x", None, "y"]}
    frame = pandas.DataFrame(rows)
    arrow = pyarrow.table(rows)
    parquet = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(arrow, parquet)
    nullable = frame.convert_dtypes().astype({"t": "category"})
    listed = [{"n": n, "t": t} for n, t in zip(*rows.values(), strict=True)]
    for data in (frame, arrow, parquet, str(parquet), nullable, listed):
        columns = read_table(data).columns
        np.testing.assert_array_equal(columns["n"], [1.5, 2.0, np.nan])
        assert columns["t"].tolist() == ["x", None, "y"]


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match="one length"):
        as_columns({"a": [1], "b": [1, 2]})
    with pytest.raises(DataError, match="one value a row"):
        as_columns({"a": np.zeros((3, 2))})
    with pytest.raises(DataError, match="another width"):
        as_columns([[1, 2], [3, 4]], ["a"])
    with pytest.raises(DataError, match="no table"):
        as_columns(3.0)


def test_whole_numbers_read_the_same_as_integers_and_floats() -> None:
    for column in ([3, 4], [3.0, 4.0], ["3", "4.0"], [3.0, "4"]):
        assert to_text(as_columns({"a": column})["a"]).tolist() == ["3", "4"]


def test_dates_in_other_forms() -> None:
    assert find_date_form(["31.12.2013 08:15"]) == "%d.%m.%Y %H:%M"
    assert find_date_form(["12/31/2013", "no"]) is None
    times = to_times(np.array(["2020-01-01T00:30:00+01:00", None], object))
    assert times[0] == np.datetime64("2019-12-31T23:30:00")
    assert np.isnat(times[1])


def test_without_pyarrow_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"chainrule\[data\]"):
        read(tmp_path, "a\n1\n")
