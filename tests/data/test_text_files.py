from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data import read_lines, read_text
from chainrule.data.text_files import split_lines
from chainrule.errors import DataError

TEXT = "Größe: 文字\nไทย\n\n👍 end"


@pytest.mark.parametrize(
    "codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"]
)
def test_encodings_of_unicode_are_found(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode(codec))
    assert read_text(path, "utf-16-le" if codec == "utf-16-le" else None) == TEXT


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files(pack: Any, tmp_path: Path) -> None:
    ending = {gzip.compress: "gz", bz2.compress: "bz2", lzma.compress: "xz"}[pack]
    path = tmp_path / f"text.txt.{ending}"
    path.write_bytes(pack(TEXT.encode()))
    assert read_text(path) == TEXT
    path.write_bytes(pack(TEXT.encode() * 99)[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        read_text(path)


def test_a_zip_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "text.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("folder/text.txt", TEXT.encode())
        packed.writestr("__MACOSX/folder/._text.txt", b"x")
    assert read_text(path) == TEXT
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("more.txt", b"")
    with pytest.raises(DataError, match=r"one file[\s\S]*folder/text.txt, more.txt"):
        read_text(path)
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match="cannot be read"):
        read_text(path)


def test_lines_end_in_three_ways_and_in_no_other(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("a\r\nb\rc\n\n d\x0b\x0c\u2028\x85\0e\n".encode())
    assert read_lines(path) == ["a", "b", "c", "", " d\x0b\x0c\u2028\x85\0e"]
    path.write_bytes(b"")
    assert read_lines(path) == []
    path.write_bytes(b"\n")
    assert read_lines(path) == [""]


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")),
        max_size=8,
    )
)
def test_lines_come_back(lines: list[str]) -> None:
    assert split_lines("".join(f"{line}\n" for line in lines)) == lines


def test_several_files_are_one_after_the_other(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("1\n2")
    second.write_text("3\n")
    assert read_lines([first, second]) == ["1", "2", "3"]
    assert read_text([str(first), second]) == "1\n23\n"


def test_a_very_long_line(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("x" * 5_000_000)
    assert list(map(len, read_lines(path))) == [5_000_000]


def test_western_text_in_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(
        "Die Straße ist „weit“, dit l'élève, \u2013 voilà".encode("cp1252")
    )
    assert read_text(path) == "Die Straße ist „weit“, dit l'élève, \u2013 voilà"
    path.write_bytes(b"Stra\xdfe \x81")
    assert read_text(path) == "Straße \x81"


@pytest.mark.parametrize("codec", ["cp1251", "gb18030", "shift_jis", "koi8-r"])
def test_other_alphabets_ask_for_their_encoding(codec: str, tmp_path: Path) -> None:
    text = {"gb18030": "我们都喜欢机器学习", "shift_jis": "日本語の文字です"}.get(
        codec, "Это русский текст"
    )
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode(codec))
    with pytest.raises(DataError, match=r"not in UTF-8[\s\S]*cp1251, gb18030"):
        read_text(path)
    assert read_text(path, codec) == text


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_text(tmp_path / "nothing.txt")
    with pytest.raises(DataError, match="folder"):
        read_lines(tmp_path)
    path = tmp_path / "text.txt"
    path.write_bytes("ä".encode("latin-1"))
    with pytest.raises(DataError, match=r"not in utf-8[\s\S]*byte|byte 0"):
        read_text(path, "utf-8")
    with pytest.raises(DataError, match="no such encoding"):
        read_text(path, "klingon")
