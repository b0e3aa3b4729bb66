from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.datasets.idx import TYPES, read_content, read_idx
from chainrule.errors import FormatError


def pack(array: np.ndarray, code: int) -> bytes:
    header = bytes([0, 0, code, array.ndim]) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return header + array.astype(TYPES[code]).tobytes()


@pytest.mark.parametrize("code", sorted(TYPES))
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0, 4), (1, 2, 3, 4)])
def test_every_type_comes_back_in_native_order(
    code: int, shape: tuple[int, ...]
) -> None:
    count = int(np.prod(shape))
    array = (np.arange(count) * 7 % 100).reshape(shape).astype(TYPES[code])
    found = read_idx(pack(array, code))
    assert found.dtype.isnative
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, array)


def test_the_result_can_be_written_to() -> None:
    found = read_idx(pack(np.arange(4), 0x08))
    found[0] = 9
    assert found.tolist() == [9, 1, 2, 3]


def test_a_header_that_announces_more_than_there_is_allocates_nothing() -> None:
    huge = bytes([0, 0, 0x0E, 4]) + struct.pack(">4I", *[2**32 - 1] * 4) + b"12345678"
    with pytest.raises(FormatError, match="another amount of data"):
        read_idx(huge)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an idx file"),
        (b"\0\0\x08", "not an idx file"),
        (b"\0\1\x08\0", "not an idx file"),
        (b"\0\0\x07\0", "not an idx file"),
        (b"\0\0\x08\x02\0\0\0\1", "header is cut off"),
        (b"\0\0\x08\x01\0\0\0\2\7", "another amount of data"),
        (b"\0\0\x08\x01\0\0\0\2\7\7\7", "another amount of data"),
        (b"<html>Not found</html>", "not an idx file"),
    ],
)
def test_damage_is_named(content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_idx(content)


@given(st.binary(max_size=64))
def test_arbitrary_bytes_give_an_array_or_a_format_error(content: bytes) -> None:
    try:
        array = read_idx(content)
    except FormatError:
        return
    assert array.nbytes == len(content) - 4 - 4 * array.ndim


@given(st.data())
def test_a_flipped_byte_never_escapes_as_another_error(data: st.DataObject) -> None:
    content = bytearray(pack(np.arange(12).reshape(3, 4), 0x08))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        array = read_idx(bytes(content))
    except FormatError:
        assert place < 12, "only the header can be wrong"
    else:
        assert array.nbytes == 12 or place == 2


def test_packed_and_plain_files_read_alike(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"content")
    (tmp_path / "packed").write_bytes(gzip.compress(b"content"))
    assert read_content(tmp_path / "plain", 7) == b"content"
    assert read_content(tmp_path / "packed", 7) == b"content"


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(FormatError, match="more than it should"):
        read_content(tmp_path / "bomb", 1000)


@given(cut=st.integers(2, 40), place=st.integers(2, 40), flip=st.integers(0, 255))
def test_damaged_gzip_gives_the_content_or_a_format_error(
    cut: int, place: int, flip: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(gzip.compress(b"some content " * 10, mtime=0)[:cut])
    content[min(place, len(content) - 1)] ^= flip
    path = tmp_path_factory.getbasetemp() / "damaged.gz"
    path.write_bytes(content)
    try:
        found = read_content(path, 1000)
    except FormatError:
        return
    # What does not begin as gzip does is taken as it is.
    assert found in (bytes(content), b"some content " * 10)
