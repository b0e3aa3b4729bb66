"""The idx format: the arrays of the MNIST files."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import FormatError

# The third byte of a file names its numbers; they are big-endian.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(content: bytes, where: str = "idx data") -> np.ndarray[Any, Any]:
    """The array that `content` holds, in this machine's byte order.

    The format (Y. LeCun, http://yann.lecun.com/exdb/mnist/): two zero bytes, a byte for
    the type of the numbers, a byte for the number of axes; the length of each axis as
    four bytes, big end first; the numbers, last axis fastest.

    Raises:
        FormatError: when the header is no idx header, or announces more or fewer
            numbers than follow. Nothing is allocated before that is known.

    Example:
        >>> read_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 7])).tolist()
        [5, 7]
    """
    code, shape = _read_header(content, where)
    dtype = np.dtype(TYPES[code])
    start = 4 + 4 * len(shape)
    announced = math.prod(shape) * dtype.itemsize  # Python's integers cannot overflow
    if announced != len(content) - start:
        raise FormatError(
            "the header announces another amount of data than there is",
            where=where,
            got=f"{len(content) - start:,} bytes of data",
            expected=f"{announced:,} bytes, for shape {shape}",
            fix="the file is damaged: get it again",
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _read_header(content: bytes, where: str) -> tuple[int, tuple[int, ...]]:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise FormatError(
            "this is not an idx file",
            where=where,
            got=f"a file that begins with {content[:4].hex(' ') or 'nothing'}",
            expected="00 00, the type of the numbers, the number of axes",
        )
    axes = content[3]
    if len(content) < 4 + 4 * axes:
        raise FormatError(
            "the header is cut off",
            where=where,
            got=f"{len(content)} bytes",
            expected=f"a header of {4 + 4 * axes} bytes, for {axes} axes",
        )
    return content[2], struct.unpack_from(f">{axes}I", content, 4)


def read_content(path: Path, limit: int) -> bytes:
    """The bytes of a file, unpacked where it is gzip.

    Raises:
        FormatError: when there are more than `limit` bytes (no more are unpacked), or
            when the file is damaged.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
            file.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=file) as unpacked:
                    content = unpacked.read(limit + 1)
            else:
                content = file.read(limit + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FormatError(
            "the gzip file is damaged", where=str(path), got=str(error)
        ) from None
    if len(content) > limit:
        raise FormatError(
            "the file holds more than it should",
            where=str(path),
            got=f"more than {limit:,} bytes",
            expected=f"at most {limit:,} bytes",
        )
    return content
