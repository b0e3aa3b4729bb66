"""CIFAR-10: 60,000 small photographs of 32 x 32 pixels, in ten classes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.datasets import cifar_files as files
from chainrule.datasets.cifar_files import RECORD, ROWS
from chainrule.datasets.download import Remote, fetch
from chainrule.errors import DataError
from chainrule.settings import SETTINGS

Array = np.ndarray[Any, Any]
Split = tuple[Array, Array]

CLASS_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
ARCHIVE = "cifar-10-binary.tar.gz"
MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
)
SIZE = 170_052_171
DIGEST = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
# Of the batches of 10,000 records of the binary version; those of the other versions
# hold the same pictures in the same order, so that their records have these digests.
BATCHES = {
    "data_batch_1": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}


def load_data(path: str | Path | None = None) -> tuple[Split, Split]:
    """CIFAR-10 as Keras gives it.

    It is looked for in `cifar10` in the folder that `CHAINRULE_DATA` names, in that
    folder itself, then in the cache, in these forms:

    - the archive `cifar-10-binary.tar.gz`, or its folder `cifar-10-batches-bin`;
    - the archive `cifar-10-python.tar.gz`, or its folder `cifar-10-batches-py`, which
      is read without running anything that it says;
    - `cifar10_batch_00.png` and so on, of 1,000 pictures each, one a row, with
      `train_labels.npy` and `test_labels.npy`: the first pictures of CIFAR-10, as many
      as there are labels; batch 50 is the first of those to test with.

    If it is nowhere, the first archive is downloaded to the cache. Every whole batch of
    10,000 pictures is checked by its SHA-256.

    Args:
        path: a folder that holds one of the forms; nothing else is searched then.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images uint8 `(50000, 32, 32, 3)` and
        `(10000, 32, 32, 3)`, 0 to 255, or fewer of a form that is not whole; labels
        uint8 `(50000, 1)` and `(10000, 1)`, which `CLASS_NAMES` names.

    Raises:
        DataError: when `path` holds none, or the content is another.
        DownloadError: when it is nowhere and no mirror delivers it.
        DependencyError: for pictures, when Pillow is not installed.

    A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> CLASS_NAMES[3]
        'cat'
    """
    if path is not None:
        return _read_folder(Path(path).expanduser())
    cache = SETTINGS.cache / "datasets" / "cifar10"
    data = SETTINGS.data
    named = [] if data is None else [data / "cifar10", data]
    for folder in (*named, cache):
        if _reader(folder) is not None:
            return _read_folder(folder)
    target = cache / ARCHIVE
    mirrors = [mirror + ARCHIVE for mirror in MIRRORS]
    fetch(
        Remote(f"CIFAR-10 {ARCHIVE}", mirrors, SIZE),
        target,
        lambda file: files.check_archive(file, DIGEST, SIZE),
        f"download it elsewhere and save it as {target}\n"
        "or into a folder of your own, and name it:\n"
        "  export CHAINRULE_DATA=/path/to/folder",
    )
    return _read_folder(cache)


def _reader(folder: Path) -> Callable[[], dict[str, Array]] | None:
    """What reads the form that a folder holds; None when it holds none."""
    names = tuple(BATCHES)
    for archive in (ARCHIVE, "cifar-10-python.tar.gz"):
        if (folder / archive).is_file():
            return partial(files.read_archive, folder / archive, names)
    for place in (folder, folder / files.BINARY, folder / files.PYTHON):
        if (place / f"{names[0]}.bin").is_file() or (place / names[0]).is_file():
            return partial(files.read_folder, place, names)
    if (folder / "train_labels.npy").is_file():
        return partial(files.read_pictures, folder)
    return None


def _read_folder(folder: Path) -> tuple[Split, Split]:
    read = _reader(folder)
    if read is None:
        raise DataError(
            "the folder holds no form of CIFAR-10",
            where=str(folder),
            expected=f"{ARCHIVE}, or the folder {files.BINARY}; or "
            "cifar10_batch_00.png, ..., with train_labels.npy and test_labels.npy",
            fix="cifar10.load_data() looks elsewhere too, and downloads",
        )
    batches = read()
    for name, records in batches.items():
        _check(name, records, folder)
    train = np.concatenate([batches[name] for name in batches if name != "test_batch"])
    return _split(train), _split(batches["test_batch"])


def _check(name: str, records: Array, folder: Path) -> None:
    """Refuse records that are not those of CIFAR-10.

    A batch that is cut short can only be checked for its labels.
    """
    if len(records) == ROWS:
        digest = hashlib.sha256(records.tobytes()).hexdigest()
        if digest != BATCHES[name]:
            raise DataError(
                f"this is not CIFAR-10's {name}: its content is another",
                where=str(folder),
                got=f"records with the SHA-256 {digest}",
                expected=BATCHES[name],
                fix="remove the files, and it is looked for elsewhere",
            )
    elif records[:, 0].max() >= len(CLASS_NAMES):
        raise DataError(
            f"this is not CIFAR-10's {name}: labels lie beyond 9",
            where=str(folder),
            got=int(records[:, 0].max()),
        )


def _split(records: Array) -> Split:
    """Pictures and labels of records: a label, then three planes of colour."""
    assert records.shape[1] == RECORD
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, :1].copy()
