"""Pairs of sentences from files of all kinds."""

import bz2
import gzip
import json

import pytest

from chainrule.errors import ArgumentError, DataError
from chainrule.recipes.translation_data import (
    Pairs,
    clean,
    hold_out,
    is_table,
    read_lines,
    read_pairs,
)

GERMAN = ["Ein Hut.", "", 'Er sagt "nein".', "drei\u2028vier"]
ENGLISH = ["A hat.", "nothing", 'He says "no".', "three four"]


def write_lines(path, lines, opened=open):
    with opened(path, "wb") as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
    return str(path)


@pytest.mark.parametrize("opened", [open, gzip.open, bz2.open])
def test_two_files_of_lines(tmp_path, opened):
    ending = {gzip.open: ".gz", bz2.open: ".bz2"}.get(opened, "")
    source = write_lines(tmp_path / f"a.de{ending}", GERMAN, opened)
    target = write_lines(tmp_path / f"a.en{ending}", ENGLISH, opened)
    pairs = read_pairs(None, source, target)
    assert pairs.name == "a.de-en"
    assert pairs.sources == ["Ein Hut.", "", 'Er sagt "nein".', "drei vier"]
    assert pairs.targets == ENGLISH


def test_ends_of_lines(tmp_path):
    path = tmp_path / "x"
    path.write_bytes("\ufeffa\r\n\nb\u0085c".encode())
    assert read_lines(path) == ["a", "", "b\u0085c"]
    path.write_bytes(b"")
    assert read_lines(path) == []


def rows():
    return [list(pair) for pair in zip(GERMAN[:3], ENGLISH[:3], strict=True)]


def write_table(path, kind, names):
    if kind == "tsv":
        lines = [*([names] if names else []), *rows()]
        path.write_text("".join("\t".join(row) + "\n" for row in lines))
    elif kind == "csv":
        cells = [*([names] if names else []), *rows()]
        quoted = [['"' + c.replace('"', '""') + '"' for c in row] for row in cells]
        path.write_text("".join(",".join(row) + "\n" for row in quoted))
    elif kind == "jsonl":
        found = [dict(zip(names, row, strict=True)) for row in rows()]
        path.write_text("\n".join(json.dumps(each) for each in found))
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        columns = dict(zip(names, zip(*rows(), strict=True), strict=True))
        made = {name: list(column) for name, column in columns.items()}
        parquet.write_table(pyarrow.table(made), path)
    return str(path)


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet"])
def test_two_columns_of_a_table(tmp_path, kind):
    path = write_table(tmp_path / f"p.{kind}", kind, ["de", "en"])
    assert is_table(path)
    pairs = read_pairs(path, "de", "en")
    assert (pairs.sources, pairs.targets) == (GERMAN[:3], ENGLISH[:3])
    turned = read_pairs(path, "en", "de")
    assert (turned.sources, turned.targets) == (ENGLISH[:3], GERMAN[:3])


@pytest.mark.parametrize("kind", ["tsv", "csv"])
def test_columns_by_place(tmp_path, kind):
    path = write_table(tmp_path / f"p.{kind}", kind, None)
    assert read_pairs(path, None, None).sources == GERMAN[:3]
    assert read_pairs(path, "1", "-2").targets == GERMAN[:3]


def test_objects_within_objects(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": 1, "translation": {"de": "Hut", "en": "hat"}}\n\n')
    pairs = read_pairs(str(path), "de", "en")
    assert (pairs.sources, pairs.targets) == (["Hut"], ["hat"])


def test_what_is_wrong_with_files(tmp_path):
    three = write_lines(tmp_path / "three", ["a", "b", "c"])
    two = write_lines(tmp_path / "two", ["a", "b"])
    with pytest.raises(DataError, match="3 and 2 lines"):
        read_pairs(None, three, two)
    with pytest.raises(DataError, match="no such file"):
        read_pairs(None, three, str(tmp_path / "none"))
    with pytest.raises(ArgumentError, match="--target"):
        read_pairs(None, three, None)
    latin = tmp_path / "latin"
    latin.write_bytes("gut\nschön\n".encode("latin1"))
    with pytest.raises(DataError, match="line 2"):
        read_pairs(None, str(latin), two)
    broken = tmp_path / "broken.gz"
    broken.write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot be read"):
        read_pairs(None, str(broken), two)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.tsv", "x\ty\nz\n", DataError),
        ("b.tsv", "", DataError),
        ("c.jsonl", "[1]\n", DataError),
        ("d.jsonl", "{\n", DataError),
        ("e.tsv", "x\n", ArgumentError),
    ],
)
def test_what_is_wrong_with_tables(tmp_path, name, content, error):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(error):
        read_pairs(str(path), None, None)


def test_sentences_are_lines_in_composed_form():
    assert clean("a\u0308\tb\n c ") == "ä b c"


def test_pairs_that_are_held_out():
    pairs = Pairs("p", [str(i) for i in range(200)], [str(-i) for i in range(200)])
    train, held_out = hold_out(pairs, seed=1)
    assert (len(train), len(held_out)) == (190, 10)
    assert sorted(train.sources + held_out.sources, key=int) == pairs.sources
    assert held_out.sources == hold_out(pairs, seed=1)[1].sources
    assert held_out.sources != hold_out(pairs, seed=2)[1].sources
    few = pairs.rows(range(5))
    assert [len(part) for part in hold_out(few, seed=0)] == [5, 0]
