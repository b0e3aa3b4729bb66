from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data import read_records
from chainrule.data.records import _from_lines
from chainrule.errors import DataError


def read(tmp_path: Path, name: str, content: Any, **options: Any) -> Any:
    path = tmp_path / name
    raw = content if isinstance(content, bytes) else str(content).encode()
    path.write_bytes(raw)
    return read_records(path, **options)


def test_tabs_without_headings_or_quotes(tmp_path: Path) -> None:
    text = 'say "hi , there\t1\n"odd\t0\n\n  blank \tNA\nlast\t1'
    found = read(tmp_path, "a.tsv", text)
    assert not found.header
    assert found.columns["column_1"] == ['say "hi , there', '"odd', "  blank ", "last"]
    assert found.columns["column_2"] == ["1", "0", "NA", "1"]
    assert any("quotes are part" in note for note in found.notes)
    packed = read(tmp_path, "a.tsv.gz", gzip.compress(text.encode()))
    assert packed.columns == found.columns


def test_commas_headings_and_quotes(tmp_path: Path) -> None:
    text = 'Review,Stars\r\n"fine, ""really""\r\nfine",5\r\nbad,1\r\n'
    found = read(tmp_path, "a.csv", text)
    assert found.names == ["Review", "Stars"]
    assert found.columns["Review"] == ['fine, "really"\r\nfine', "bad"]
    assert found.columns["Stars"] == ["5", "1"]
    assert len(found) == 2


def test_headings_are_found_and_told(tmp_path: Path) -> None:
    rows = "buy milk;shop\nbuy bread;shop\nsing;fun\n"
    assert not read(tmp_path, "a.csv", rows).header
    headed = read(tmp_path, "a.csv", f"text;label\n{rows}")
    assert headed.header
    assert len(headed) == 3
    assert read(tmp_path, "a.csv", f"was;art\n{rows}", known=["art"]).header
    assert len(read(tmp_path, "a.csv", rows, header=True)) == 2
    places = read(tmp_path, "a.tsv", "so fine\t1\nbad\t0\n", known=["0", "1"])
    assert not places.header
    assert len(read(tmp_path, "a.csv", f"text;label\n{rows}", header=False)) == 4


def test_columns_go_by_name_or_place(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", "text,label,text\na,b,c\n")
    assert found.names == ["text", "label", "text.1"]
    wanted = ["label", "0", "-1", "2"]
    assert [found.column(each) for each in wanted] == [
        "label",
        "text",
        "text.1",
        "text.1",
    ]
    for wrong in ("3", "-4", "Text", ""):
        with pytest.raises(DataError, match=r"no such column[\s\S]*'label'"):
            found.column(wrong)


def test_very_long_cells_and_zero_bytes(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    long = "x" * 1_000_000
    found = read(tmp_path, "a.csv", f'text,label\n"{long}, y",1\n"a\0b",0\n')
    assert found.columns["text"] == [f"{long}, y", "a\0b"]
    assert csv.field_size_limit() == limit


def test_rows_of_other_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 3[\s\S]*3 cells"):
        read(tmp_path, "a.tsv", "a b\t1\nc d\t0\ne\tf\t1\n")
    for empty in ("", "\n\n"):
        with pytest.raises(DataError, match="no rows"):
            read(tmp_path, "a.tsv", empty)


ROWS: list[Any] = [["to be", "play"], ["or not", "poem"]]
OBJECTS = [{"t": "to be", "l": "play"}, {"l": "poem", "t": "or not", "n": {"a": 1}}]


def test_json_of_lists_and_objects(tmp_path: Path) -> None:
    found = read(tmp_path, "a.json", json.dumps(ROWS))
    assert found.columns == {"text": ["to be", "or not"], "label": ["play", "poem"]}
    found = read(tmp_path, "a.json", json.dumps(OBJECTS))
    assert found.columns["t"] == ["to be", "or not"]
    assert found.columns["n"] == [None, '{"a": 1}']
    lines = "\n\n".join(json.dumps(row) for row in OBJECTS)
    assert read(tmp_path, "a.jsonl", lines).columns == found.columns
    numbers = read(tmp_path, "a.ndjson", '["a\\nb", 1.0]\r\n["c\u2028d", 2]\r\n')
    assert numbers.columns == {"text": ["a\nb", "c\u2028d"], "label": ["1", "2"]}


def test_json_by_part_by_class_and_by_column(tmp_path: Path) -> None:
    found = read(tmp_path, "a.json", json.dumps({"train": ROWS, "val": ROWS[:1]}))
    assert found.part == ["train", "train", "val"]
    assert found.columns["label"] == ["play", "poem", "play"]
    found = read(
        tmp_path, "a.json", json.dumps({"play": ["to be"], "poem": ["b", "c"]})
    )
    assert found.columns == {
        "text": ["to be", "b", "c"],
        "label": ["play", *["poem"] * 2],
    }
    by_column = {"Text": ["a", "b"], "kind": ["c", "d"]}
    assert read(tmp_path, "a.json", json.dumps(by_column)).columns == by_column
    plain = {"eins": ["a", "b"], "zwei": ["c", "d"]}
    assert read(tmp_path, "a.json", json.dumps(plain), known=["zwei"]).columns == plain


@pytest.mark.parametrize(
    "text",
    ["", "{", "3", "{}", "[]", '"a"', "[1, 2]", "[[1], [1, 2]]", '{"a": 1}', "[[]]"],
)
def test_json_that_is_no_table(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        read(tmp_path, "a.json", text)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl, line 3"):
        read(tmp_path, "a.jsonl", '["a", "b"]\n\n["c", \n')


def test_parquet_keeps_texts_to_the_letter(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    texts = [" NA ", "2020-01-01", None, "文"]
    parquet.write_table(pyarrow.table({"text": texts, "label": [1, 0, 1, 0]}), path)
    found = read_records(path)
    assert found.columns == {"text": texts, "label": ["1", "0", "1", "0"]}
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="no Parquet file"):
        read_records(path)


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_what_csv_writes_comes_back(rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows(rows)
    found = _from_lines(stream.getvalue(), "x", False, True, ",", ())
    assert list(zip(*found.columns.values(), strict=True)) == rows
