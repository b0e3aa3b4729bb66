"""The files of CIFAR-10 in all their forms, as the records of its binary version.

A record is a byte for the label and 3,072 for the picture: red, green and blue planes
of 32 x 32, row by row.
"""

from __future__ import annotations

import hashlib
import pickletools
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from chainrule.data.pictures import load_picture
from chainrule.errors import DataError, FormatError

Array = np.ndarray[Any, Any]

RECORD = 3073
PIXELS = 3072
ROWS = 10_000  # of a batch
PICTURES = 1000  # in a PNG file
BINARY, PYTHON = "cifar-10-batches-bin", "cifar-10-batches-py"
FIRST_TEST = 50  # the number of the PNG file with the first pictures to test with
MOST_PICKLED = 40_000_000  # bytes of a batch of the Python version


def check_archive(path: Path, digest: str, size: int) -> None:
    """Refuse an archive with another content.

    Raises:
        DataError: with what it holds.
    """
    found = path.stat().st_size
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != digest:
        raise DataError(
            "this is not CIFAR-10's archive: its content is another",
            where=str(path),
            got=f"{found:,} bytes, SHA-256 {got}",
            expected=f"{size:,} bytes, SHA-256 {digest}",
        )


def read_archive(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """The batches in an archive, by name; nothing is unpacked to disk.

    Raises:
        DataError: when it is damaged, or lacks one.
    """
    found = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and name.removesuffix(".bin") in names:
                    found[name.removesuffix(".bin")] = _read(content, name, path)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(
            "the archive is damaged",
            where=str(path),
            got=str(error),
            fix="remove it, and it is downloaded again",
        ) from None
    absent = [name for name in names if name not in found]
    if absent:
        raise DataError(
            "the archive lacks a batch", where=str(path), expected=", ".join(absent)
        )
    return {name: found[name] for name in names}


def read_folder(folder: Path, names: Sequence[str]) -> dict[str, Array]:
    """The batches in a folder, by name.

    Raises:
        DataError: when it lacks one, or one is damaged.
    """
    found = {}
    for name in names:
        paths = [folder / f"{name}.bin", folder / name]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise DataError("the folder lacks a batch", where=str(folder), got=name)
        with path.open("rb") as file:
            found[name] = _read(file, path.name, path)
    return found


def _read(file: IO[bytes], name: str, path: Path) -> Array:
    """The records of a batch of the binary version, or of the Python version."""
    if not name.endswith(".bin"):
        return read_pickled(file.read(MOST_PICKLED), str(path))
    content = file.read(ROWS * RECORD + 1)
    if len(content) != ROWS * RECORD:
        raise DataError(
            f"{name} has another size",
            where=str(path),
            got=f"{len(content):,} bytes, or more",
            expected=f"{ROWS * RECORD:,} bytes",
        )
    return np.frombuffer(content, np.uint8).reshape(ROWS, RECORD)


def read_pickled(content: bytes, where: str) -> Array:
    """The records of a batch of the Python version, which is a pickle.

    A pickle is a program, and this one is not run: its instructions are looked through
    for the long string of pixels and for the numbers of the list that follows the key
    `labels`. What they are worth is for the digest of the records to say.

    Raises:
        DataError: when there is no such string, or no such list.
    """
    pixels, labels, collecting = b"", bytearray(), False
    try:
        for code, argument, _ in pickletools.genops(content):
            if isinstance(argument, (str, bytes)):
                text = argument if isinstance(argument, bytes) else _bytes(argument)
                collecting = text == b"labels"
                pixels = max(pixels, text, key=len)
            elif collecting and isinstance(argument, int) and "INT" in code.name:
                labels.append(min(argument, 255) if argument >= 0 else 255)
    except Exception as error:  # whatever damaged instructions make the reader raise
        raise DataError(
            "this is no batch of CIFAR-10's Python version",
            where=where,
            got=f"{type(error).__name__}: {error}",
        ) from None
    if len(pixels) != ROWS * PIXELS or len(labels) != ROWS:
        raise DataError(
            "this is no batch of CIFAR-10's Python version",
            where=where,
            got=f"{len(labels):,} labels and {len(pixels):,} bytes of pixels",
            expected=f"{ROWS:,} and {ROWS * PIXELS:,}",
        )
    records = np.empty((ROWS, RECORD), np.uint8)
    records[:, 0] = np.frombuffer(bytes(labels), np.uint8)
    records[:, 1:] = np.frombuffer(pixels, np.uint8).reshape(ROWS, PIXELS)
    return records


def _bytes(text: str) -> bytes:
    """A string of Python 2, which is one of bytes."""
    return text.encode("latin-1", "replace")


def read_pictures(folder: Path) -> dict[str, Array]:
    """The batches of 10,000 in PNG files of 1,000 pictures, each a row of its own.

    Raises:
        DataError: when a file is missing or damaged.
    """
    train = _read_rows(folder, "train_labels.npy", 0)
    batches = {
        f"data_batch_{number + 1}": train[start : start + ROWS]
        for number, start in enumerate(range(0, len(train), ROWS))
    }
    return {**batches, "test_batch": _read_rows(folder, "test_labels.npy", FIRST_TEST)}


def _read_rows(folder: Path, labels_name: str, first: int) -> Array:
    path = folder / labels_name
    try:
        labels = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            "the labels cannot be read", where=str(path), got=str(error)
        ) from None
    most = FIRST_TEST * PICTURES if first == 0 else ROWS
    if labels.ndim != 1 or labels.dtype != np.uint8 or not 0 < len(labels) <= most:
        raise DataError(
            "these are no labels of CIFAR-10",
            where=str(path),
            got=f"{labels.dtype} of shape {labels.shape}",
            expected=f"uint8 of shape (n,), n at most {most:,}",
        )
    records = np.empty((len(labels), RECORD), np.uint8)
    records[:, 0] = labels
    for place in range(0, len(labels), PICTURES):
        rows = min(PICTURES, len(labels) - place)
        file = folder / f"cifar10_batch_{first + place // PICTURES:02}.png"
        records[place : place + rows, 1:] = _read_png(file)[:rows]
    return records


def _read_png(path: Path) -> Array:
    try:
        pixels = load_picture(path)
    except FormatError as error:
        raise DataError(
            "a batch of pictures is missing or damaged",
            where=str(path),
            got=error.got or error.problem,
        ) from None
    if pixels.size != PICTURES * PIXELS:
        raise DataError(
            "this is no batch of 1,000 pictures",
            where=str(path),
            got=f"{pixels.shape[1]} x {pixels.shape[0]} pixels",
            expected="1024 x 1000 pixels",
        )
    return pixels.reshape(PICTURES, 1024, 3).transpose(0, 2, 1).reshape(PICTURES, -1)
