"""Labelled pictures: a folder or zip by class, a table of files, a data set by name."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from chainrule.data.annotations import open_annotated
from chainrule.data.columns import to_text
from chainrule.data.pictures import SUFFIXES
from chainrule.data.places import FolderPlace, Place, open_place
from chainrule.data.tables import read_table
from chainrule.datasets import cifar10, fashion_mnist, mnist
from chainrule.errors import ArgumentError, DataError

Array = np.ndarray[Any, Any]

TRAIN, VALIDATION, TEST = "train", "validation", "test"
# How folders of the parts are called, in lower case.
PART_NAMES = {
    **dict.fromkeys(("train", "training", "train_set", "training_set"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing", "test_set", "eval"), TEST),
}
PICTURES = "pictures"
MAC_FOLDER = "__MACOSX"  # where macOS puts what belongs to files in a zip
DIGITS = tuple("0123456789")
DATA_SETS: dict[str, tuple[Callable[[], Any], Sequence[str]]] = {
    "mnist": (mnist.load_data, DIGITS),
    "fashion_mnist": (fashion_mnist.load_data, fashion_mnist.CLASS_NAMES),
    "cifar10": (cifar10.load_data, cifar10.CLASS_NAMES),
}


class Origin(Protocol):
    """Where pictures come from."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, place: int) -> Any:
        """A picture: the bytes of its file, or an array of pixels."""

    def called(self, place: int) -> str:
        """Its name."""


class FileOrigin:
    """Files of a folder or a zip.

    Args:
        place: the folder or zip.
        names: the files, relative.
    """

    def __init__(self, place: Place, names: Sequence[str]) -> None:
        self.place = place
        self.names = list(names)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, place: int) -> bytes:
        """The bytes of a file.

        Raises:
            DataError: when it cannot be read.
        """
        return self.place.read(self.names[place])

    def called(self, place: int) -> str:
        """Its path."""
        return str(self.place.root / self.names[place])


class PathOrigin:
    """Files by their paths.

    Args:
        paths: of the files.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, place: int) -> str:
        """The path, which is read when the picture is decoded."""
        return self.paths[place]

    def called(self, place: int) -> str:
        """The path."""
        return self.paths[place]


class ArrayOrigin:
    """Pixels in memory.

    Args:
        pixels: uint8 `(n, height, width, channels)`.
        name: what their numbers are put behind.
    """

    def __init__(self, pixels: Array, name: str) -> None:
        self.pixels = pixels
        self.name = name

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, place: int) -> Array:
        """The pixels of one picture."""
        found: Array = self.pixels[place]
        return found

    def called(self, place: int) -> str:
        """The data set and the number."""
        return f"{self.name} {place}"


@dataclass
class Labelled:
    """Labelled pictures.

    Attributes:
        name: what they are called.
        origin: where they come from.
        labels: int64, a place among the names of the classes for each picture.
        class_names: what pictures can show.
        parts: the places of the pictures to learn from, to choose by and to measure on,
            where the data say so; keys are `train`, `validation` and `test`.
        notes: what was found while looking for them.
        things: what they are called in messages.
    """

    name: str
    origin: Origin
    labels: Array
    class_names: tuple[str, ...]
    parts: dict[str, Array] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    things: str = PICTURES

    def __len__(self) -> int:
        return len(self.labels)

    def counts(self, places: Array | None = None) -> Array:
        """How many pictures there are of each class, among some or all."""
        labels = self.labels if places is None else self.labels[places]
        return np.bincount(labels, minlength=len(self.class_names))


# ---- a data set by name --------------------------------------------------------------


def load_named(name: str) -> Labelled:
    """The pictures of a data set that chainrule knows.

    Raises:
        ArgumentError: when there is none of this name.
        DownloadError: when it is not here and cannot be fetched.
    """
    if name not in DATA_SETS:
        raise ArgumentError(
            "there is no such data set",
            where="data",
            got=repr(name),
            expected=" or ".join(DATA_SETS),
        )
    load, class_names = DATA_SETS[name]
    (x_train, y_train), (x_test, y_test) = load()
    pixels = np.concatenate([x_train, x_test])
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    labels = np.concatenate([y_train, y_test]).reshape(-1).astype(np.int64)
    places = np.arange(len(labels))
    parts = {TRAIN: places[: len(x_train)], TEST: places[len(x_train) :]}
    return Labelled(name, ArrayOrigin(pixels, name), labels, tuple(class_names), parts)


# ---- a folder or a zip ---------------------------------------------------------------


def read_folder(
    path: str | os.PathLike[str],
    endings: tuple[str, ...] = SUFFIXES,
    things: str = PICTURES,
) -> Labelled:
    """The pictures of a folder or a zip: a folder in it for every class.

    The folders of the classes may lie in folders of the parts, such as `train`, `val`
    and `test`, and all of it in one folder more. Pictures in folders below that of a
    class are of this class.

    Args:
        path: the folder or zip.
        endings: of the names of the files to take.
        things: what they are, for messages.

    Raises:
        DataError: when there are no pictures by class.
        FormatError: when a zip is damaged.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("train/cat/1.png", "train/dog/1.png", "test/cat/2.png"):
        ...     (folder / name).parent.mkdir(parents=True, exist_ok=True)
        ...     _ = (folder / name).write_bytes(b"")
        >>> found = read_folder(folder)
        >>> found.class_names, {k: v.tolist() for k, v in found.parts.items()}
        (('cat', 'dog'), {'test': [0], 'train': [1, 2]})
    """
    place = open_place(path)
    every = [name for name in place.names if MAC_FOLDER not in name.split("/")]
    names = [name for name in every if name.lower().endswith(endings)]
    if not names:
        what = f"there are no {things} here"
        raise _no_classes(place, every, what, endings, things)
    start = _common_folder(names)
    inside = [name[len(start) :].split("/") for name in names]
    found_parts = _parts_of(inside)
    depth = 1 if found_parts else 0
    kept = [row for row, parts in enumerate(inside) if len(parts) > depth + 1]
    found = sorted({inside[row][depth] for row in kept}, key=natural)
    notes = []
    if len(kept) < len(names):
        loose = len(names) - len(kept)
        notes.append(f"{loose:,} {things} in no folder of a class were left out")
    if len(found) < 2:
        what = "there are not two folders of classes here"
        raise _no_classes(place, names, what, endings, things)
    numbers = {name: number for number, name in enumerate(found)}
    labels = np.array([numbers[inside[row][depth]] for row in kept], np.int64)
    origin = FileOrigin(place, [names[row] for row in kept])
    parts = rows_of_parts([inside[row][0] for row in kept]) if found_parts else {}
    classes = tuple(found)
    return Labelled(str(path), origin, labels, classes, parts, notes, things)


def _no_classes(
    place: Place, names: Sequence[str], what: str, endings: Sequence[str], things: str
) -> DataError:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return DataError(
        what,
        where=str(place.root),
        got=shown or "nothing",
        expected=f"a folder for every class, with {things} in it: "
        + ", ".join(endings),
        fix="for a table of files: chainrule train TABLE.csv --image FILE_COLUMN "
        "--target CLASS_COLUMN"
        if things == PICTURES
        else None,
    )


def _common_folder(names: Sequence[str]) -> str:
    """The folders that all pictures lie in, where more than one folder is below.

    Example:
        >>> _common_folder(["data/cats/1.png", "data/dogs/1.png"])
        'data/'
    """
    common = os.path.commonpath([os.path.dirname(name) for name in names])
    # a lone folder of a part, or of a class, is one of its kind
    while common and os.path.basename(common).lower() in PART_NAMES:
        common = os.path.dirname(common)
    return f"{common}/" if common else ""


def _parts_of(inside: Sequence[Sequence[str]]) -> set[str]:
    """The folders of parts; none where the first folders are those of classes."""
    first = {parts[0] for parts in inside if len(parts) > 1}
    named = {name for name in first if name.lower() in PART_NAMES}
    deep = all(len(p) > 2 for p in inside if p[0] in named)
    return named if named and named == first and deep else set()


def rows_of_parts(folders: Sequence[str]) -> dict[str, Array]:
    """The places of each part, by the names of their folders."""
    kinds = [PART_NAMES[folder.lower()] for folder in folders]
    found: dict[str, list[int]] = {}
    for row, kind in enumerate(kinds):
        found.setdefault(kind, []).append(row)
    return {kind: np.array(rows) for kind, rows in found.items()}


def natural(name: str) -> list[Any]:
    """A key that sorts numbers in names by their size.

    Example:
        >>> sorted(["10", "9", "b2", "b10"], key=natural)
        ['9', '10', 'b2', 'b10']
    """
    pieces = re.split(r"(\d+)", name)
    return [int(p) if n % 2 else p for n, p in enumerate(pieces)]


# ---- a table of files ----------------------------------------------------------------


def read_files_table(
    path: str | os.PathLike[str],
    image: str | None,
    target: str | None,
    root: str | os.PathLike[str] | None = None,
) -> Labelled:
    """The pictures that a table names, with the class of each.

    Paths are relative to the folder of the table, or to `root`. A column called
    `split`, `part` or `subset` with names such as `train` and `test` tells the parts.

    Args:
        path: a CSV or Parquet file.
        image: the column with the files.
        target: the column with the classes.
        root: the folder in which the files lie.

    Raises:
        DataError: when the table has no such columns, or fewer than two classes.
    """
    table = read_table(path)
    for option, column in (("--image", image), ("--target", target)):
        if column not in table.columns:
            raise DataError(
                "the table has no such column",
                where=f"{path}: {option}",
                got=repr(column),
                expected=", ".join(table.names[:20]),
            )
    files, classes = (to_text(table.columns[str(c)]) for c in (image, target))
    kept = [r for r in range(len(table)) if files[r] and classes[r] is not None]
    notes = list(table.notes)
    if len(kept) < len(table):
        notes.append(f"{len(table) - len(kept):,} rows without file or class left out")
    found = sorted({str(classes[row]) for row in kept}, key=natural)
    if len(found) < 2:
        raise DataError(
            "a table of pictures names two classes or more",
            where=f"{path}: {target}",
            got=", ".join(found) or "none",
        )
    numbers = {name: number for number, name in enumerate(found)}
    labels = np.array([numbers[str(classes[row])] for row in kept], np.int64)
    folder = Path(path).parent if root is None else Path(root)
    origin = PathOrigin([str(folder / str(files[row])) for row in kept])
    parts = _parts_of_table(table, kept)
    return Labelled(str(path), origin, labels, tuple(found), parts, notes)


def _parts_of_table(table: Any, kept: Sequence[int]) -> dict[str, Array]:
    """The parts that a column names; none where there is no such column."""
    for name in table.names:
        if name.lower() in ("split", "part", "subset"):
            words = [str(x).lower() for x in to_text(table.columns[name])[kept]]
            if set(words) <= set(PART_NAMES) and len(set(words)) > 1:
                return rows_of_parts(words)
    return {}


# ---- which kind of data a path holds -------------------------------------------------


def is_folder_of_pictures(path: str) -> bool:
    """Whether this is a folder or a zip, rather than a table or a name."""
    return Path(path).is_dir() or path.lower().endswith(".zip")


def holds_annotations(path: str) -> bool:
    """Whether a folder or zip holds boxes drawn on its pictures, rather than classes.

    As many files of XML as half of the pictures, or a JSON file with boxes.
    """
    place = open_annotated(path)
    kinds = Counter(Path(name).suffix.lower() for name in place.names)
    pictures = sum(kinds[suffix] for suffix in SUFFIXES)
    if pictures and kinds[".xml"] * 2 >= pictures:
        return True
    files = [name for name in place.names if name.lower().endswith(".json")]
    return any(_has_boxes(place, name) for name in files[:20])


def _has_boxes(place: Place, name: str) -> bool:
    try:
        text = place.read(name)
    except DataError:
        return False
    return b'"annotations"' in text and b'"bbox"' in text


def unlabelled(path: Path) -> Origin:
    """One picture, or all of a folder or zip, whatever they show.

    Raises:
        DataError: when there are none.
    """
    if path.is_file() and path.suffix.lower() != ".zip":
        return PathOrigin([str(path)])
    place = open_place(path)
    names = [name for name in place.names if name.lower().endswith(SUFFIXES)]
    names = [name for name in names if MAC_FOLDER not in name.split("/")]
    if not names:
        raise DataError("there are no pictures here", where=str(path))
    if isinstance(place, FolderPlace):
        return PathOrigin([str(place.root / name) for name in names])
    return FileOrigin(place, names)
