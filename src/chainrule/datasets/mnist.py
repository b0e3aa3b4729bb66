"""MNIST: 70,000 handwritten digits of 28 x 28 pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.datasets.download import Remote, fetch
from chainrule.datasets.idx import read_content, read_idx
from chainrule.errors import DataError, FormatError
from chainrule.settings import SETTINGS

Array = np.ndarray[Any, Any]
Split = tuple[Array, Array]

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the four files.

    Attributes:
        name: its name, without `.gz`.
        size: bytes when unpacked.
        digest: SHA-256 of the unpacked bytes. The packed file is not compared: the same
            content can be packed in many ways.
        max_packed: the most that a download may have.
    """

    name: str
    size: int
    digest: str
    max_packed: int


PARTS = (
    Part(
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        16_000_000,
    ),
    Part(
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        60_000,
    ),
    Part(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        3_000_000,
    ),
    Part(
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        10_000,
    ),
)


def load_data(path: str | Path | None = None) -> tuple[Split, Split]:
    """MNIST as Keras gives it.

    The four files of the data set (`train-images-idx3-ubyte.gz`, and so on, packed or
    not) are looked for in the folder that `CHAINRULE_DATA` names (and in `mnist` under
    it), then in the cache. A file that is in neither is downloaded to the cache. The
    content of every file is checked.

    Args:
        path: a folder that holds the files; nothing else is searched then.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images uint8 `(60000, 28, 28)` and
        `(10000, 28, 28)`, 0 to 255; labels uint8 `(60000,)` and `(10000,)`, 0 to 9.

    Raises:
        DataError: when `path` lacks a file, or a file has another content, such as that
            of Fashion-MNIST, whose files have the same names.
        DownloadError: when a file is nowhere and no mirror delivers it; says where to
            put the files.

    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to
    document recognition", 1998.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape, x_train.dtype  # doctest: +SKIP
        ((60000, 28, 28), dtype('uint8'))
    """
    locate = _locate if path is None else partial(_locate_in, Path(path).expanduser())
    arrays = []
    for part in PARTS:
        file = locate(part)
        arrays.append(read_idx(_read(part, file), str(file)))
    x_train, y_train, x_test, y_test = arrays
    return (x_train, y_train), (x_test, y_test)


def _locate(part: Part) -> Path:
    """Where a file is, after a download if need be."""
    cache = SETTINGS.cache / "datasets" / "mnist"
    data = SETTINGS.data
    named = [] if data is None else [data / "mnist", data]
    found = _find(part, [*named, cache])
    if found is not None:
        return found
    target = cache / f"{part.name}.gz"
    mirrors = [mirror + target.name for mirror in MIRRORS]
    remote = Remote(target.name, mirrors, part.max_packed)
    fetch(remote, target, lambda path: _read(part, path), _advice(cache))
    return target


def _locate_in(folder: Path, part: Part) -> Path:
    """Where a file is in the folder that the caller named."""
    found = _find(part, [folder])
    if found is None:
        raise DataError(
            f"the folder lacks {part.name}.gz",
            where=str(folder),
            expected="\n".join(f"{part.name}.gz" for part in PARTS),
            fix="mnist.load_data() looks elsewhere too, and downloads",
        )
    return found


def _find(part: Part, folders: list[Path]) -> Path | None:
    for folder in folders:
        for name in (f"{part.name}.gz", part.name):
            if (folder / name).is_file():
                return folder / name
    return None


def _read(part: Part, path: Path) -> bytes:
    """The unpacked content of a file, checked."""
    try:
        content = read_content(path, limit=part.size)
    except FormatError as error:
        raise DataError(
            f"this is not MNIST's {part.name}: {error.problem}",
            where=str(path),
            got=error.got,
            expected=error.expected,
            fix="remove the file, and it is looked for elsewhere",
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != part.digest:
        raise DataError(
            f"this is not MNIST's {part.name}: its content is another",
            where=str(path),
            got=f"{len(content):,} bytes unpacked, SHA-256 {digest}",
            expected=f"{part.size:,} bytes unpacked, SHA-256 {part.digest}",
            fix="remove the file, and it is looked for elsewhere",
        )
    return content


def _advice(cache: Path) -> str:
    return (
        "without a network, get these four files elsewhere\n"
        f"(from {MIRRORS[0]}):\n\n"
        + "".join(f"  {part.name}.gz\n" for part in PARTS)
        + f"\nand put them into {cache}\n"
        "or into a folder of your own, and name it:\n"
        "  export CHAINRULE_DATA=/path/to/folder"
    )
