"""Zip files whose entries are stored as they are: models and checkpoints.

Nothing is compressed, so that no small file can ask for much memory, and equal entries
give equal bytes.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.errors import FormatError

OLDEST_DATE = (1980, 1, 1, 0, 0, 0)  # of an entry; a fixed one keeps files equal
# What a damaged file may raise while it is read, besides FormatError.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    EOFError,
    OverflowError,
    RuntimeError,
    ValueError,
    OSError,
)


def pack_stored(entries: Mapping[str, bytes]) -> memoryview:
    """A zip of these entries, in this order.

    Example:
        >>> pack_stored({"a": b"1"}) == pack_stored({"a": b"1"})
        True
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, OLDEST_DATE), content)
    return buffer.getbuffer()


def read_stored(
    file: Any, allowed: Sequence[Sequence[str]], limits: Mapping[str, int] | None = None
) -> dict[str, bytes]:
    """The entries of a zip, none of them larger than the file itself.

    Args:
        file: an open file.
        allowed: the sets of names that it may have.
        limits: the most bytes of some entries.

    Raises:
        FormatError: for other entries, and for compressed, encrypted, false or too
            large ones; nothing has been read of them then.
    """
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        names = sorted(info.filename for info in infos)
        if names not in [sorted(each) for each in allowed]:
            raise FormatError("it has other entries", got=f"{names}"[:200])
        for info in infos:
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise FormatError(
                    "an entry is compressed or encrypted", got=info.filename
                )
            if info.file_size > (limits or {}).get(info.filename, size):
                raise FormatError("an entry is too large", got=info.filename)
        if sum(info.file_size for info in infos) > size:
            raise FormatError("the entries claim to be larger than the file", got=size)
        return {info.filename: archive.read(info) for info in infos}
