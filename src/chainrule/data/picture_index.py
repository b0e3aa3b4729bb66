"""Which pictures a folder holds, of which classes, and which of them validate."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.pictures import SUFFIXES
from chainrule.errors import ArgumentError, DataError

Array = np.ndarray[Any, Any]

LABEL_MODES = ("int", "categorical", "binary", None)
SUBSETS = ("training", "validation", "both", None)


def find_pictures(folder: str | Path, follow_links: bool = False) -> list[str]:
    """The pictures in a folder and those below it, in alphabetical order.

    Files count by the end of their names; what is hidden does not.
    """
    found = []
    walk = os.walk(folder, followlinks=follow_links)
    for root, folders, files in sorted(walk, key=lambda entry: entry[0]):
        hidden = os.path.relpath(root, folder).split(os.sep)
        if any(part.startswith(".") and part != "." for part in hidden):
            folders.clear()
            continue
        found += [os.path.join(root, name) for name in sorted(files) if _shown(name)]
    return found


def _shown(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, in alphabetical order.

    Raises:
        DataError: when there is no such folder.
    """
    try:
        entries = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(
            "the folder of pictures cannot be read",
            where=str(folder),
            got=error.strerror,
        ) from None
    return [
        name
        for name in entries
        if not name.startswith(".") and os.path.isdir(folder / name)
    ]


def index_folder(
    folder: Path,
    labels: Any = "inferred",
    class_names: Sequence[str] | None = None,
    follow_links: bool = False,
) -> tuple[list[str], Array | None, list[str] | None]:
    """Pictures, their labels, and the names of the classes.

    Args:
        folder: where they are.
        labels: `"inferred"` for a folder of every class, None, or a label for each.
        class_names: the folders that count, in the order of their labels.
        follow_links: whether to look into folders that are links.

    Returns:
        Paths; int32 labels, or None; names, or None.

    Raises:
        DataError: when the folder or all pictures are missing.
        ArgumentError: when labels or names are not those of the folder.
    """
    folders = class_folders(folder)
    if not isinstance(labels, str):
        found = find_pictures(folder, follow_links)
        _some(found, folder)
        if labels is None:
            return found, None, None
        return found, *_given_labels(labels, found)
    if class_names is not None:
        folders = _chosen(class_names, folders)
    found, places = [], []
    for place, name in enumerate(folders):
        inside = find_pictures(folder / name, follow_links)
        found += inside
        places += [place] * len(inside)
    _some(found, folder)
    return found, np.array(places, np.int32), folders


def _some(found: list[str], folder: Path) -> None:
    if found:
        return
    raise DataError(
        "there are no pictures here",
        where=str(folder),
        got=", ".join(sorted(_few_names(folder))) or "an empty folder",
        expected="a folder for every class, with pictures in it: "
        + ", ".join(SUFFIXES),
    )


def _few_names(folder: Path) -> Iterator[str]:
    for number, name in enumerate(sorted(os.listdir(folder))):
        yield name if number < 8 else "..."
        if number == 8:
            return


def _given_labels(labels: Any, found: list[str]) -> tuple[Array, list[str]]:
    array = np.asarray(labels)
    if array.shape != (len(found),) or array.dtype.kind not in "iub":
        raise ArgumentError(
            "labels are whole numbers, one for every picture",
            where="labels",
            got=f"{array.dtype} of shape {array.shape}",
            expected=f"({len(found)},)",
        )
    names = [str(label) for label in sorted(set(array.tolist()))]
    return array.astype(np.int32), names


def _chosen(names: Sequence[str], folders: list[str]) -> list[str]:
    absent = [name for name in names if name not in folders]
    if absent or len(set(names)) != len(names):
        raise ArgumentError(
            "class_names are the names of folders, each once",
            where="class_names",
            got=", ".join(map(str, absent or names)),
            expected=", ".join(folders) or "a folder for every class",
        )
    return list(names)


def code_labels(places: Array, label_mode: str | None, classes: int) -> Array | None:
    """Labels in the form that a loss takes.

    Raises:
        ArgumentError: for an unknown form, two classes that are not two, or labels
            beyond the classes.

    Example:
        >>> code_labels(np.array([1, 0], np.int32), "binary", 2).tolist()
        [[1.0], [0.0]]
        >>> code_labels(np.array([2, 0], np.int32), "categorical", 3).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if label_mode is None:
        return None
    if label_mode == "int":
        return places
    if label_mode == "binary" and classes != 2:
        raise ArgumentError(
            "binary labels are for two classes",
            where="label_mode",
            got=f"{classes} classes",
            fix='label_mode="int", or "categorical"',
        )
    if not np.isin(places, np.arange(classes)).all():
        raise ArgumentError(
            "labels count from 0 up to the number of classes",
            where="labels",
            got=", ".join(map(str, sorted(set(places.tolist()))[:10])),
            expected=f"0 to {classes - 1}",
            fix='label_mode="int"',
        )
    if label_mode == "binary":
        return places.astype(np.float32)[:, None]
    return np.eye(classes, dtype=np.float32)[places]


def check_labels(labels: Any, label_mode: Any, class_names: Any) -> None:
    """Refuse labels that are not one of what there is.

    Raises:
        ArgumentError: with what there is.
    """
    inferred = isinstance(labels, str) and labels == "inferred"
    if isinstance(labels, str) and not inferred:
        raise ArgumentError(
            "labels are inferred, given, or None",
            where="labels",
            got=repr(labels),
            expected="'inferred', None, or a whole number for every picture",
        )
    if class_names is not None and not inferred:
        raise ArgumentError(
            "class_names choose among folders, so labels must be inferred from them",
            where="class_names",
            got=f"labels={labels!r:.40}",
        )
    if label_mode not in LABEL_MODES:
        raise ArgumentError(
            "unknown label_mode",
            where="label_mode",
            got=repr(label_mode),
            expected=", ".join(map(repr, LABEL_MODES)),
        )


def split_rows(
    count: int, share: float | None, subset: str | None, seeded: bool, where: str
) -> list[slice]:
    """The rows of the data sets asked for: one, or two for `"both"`.

    Those that validate are the last.

    Args:
        count: of pictures.
        share: of them that validates.
        subset: one of `SUBSETS`.
        seeded: whether two calls would find the same order.
        where: the folder, for messages.

    Raises:
        ArgumentError: when these do not fit together.
        DataError: when a part would be empty.

    Example:
        >>> split_rows(10, 0.2, "both", True, "pictures")
        [slice(0, 8, None), slice(8, 10, None)]
    """
    if share is not None and not 0 < share < 1:
        raise ArgumentError(
            "validation_split is a share between 0 and 1",
            where="validation_split",
            got=share,
        )
    if subset not in SUBSETS or (subset is None) != (share is None):
        raise ArgumentError(
            "validation_split and subset go together",
            where="subset",
            got=f"validation_split={share}, subset={subset!r}",
            fix='validation_split=0.2, subset="both", seed=0',
        )
    if share is None:
        return [slice(0, count)]
    if not seeded:
        raise ArgumentError(
            "without a seed the two parts could overlap",
            where="seed",
            got=None,
            fix="seed=0",
        )
    kept = count - int(share * count)
    parts = {"training": slice(0, kept), "validation": slice(kept, count)}
    wanted = list(parts) if subset == "both" else [str(subset)]
    for name in wanted:
        if parts[name].start == parts[name].stop:
            raise DataError(
                f"no picture is left for {name}",
                where=where,
                got=f"{count} pictures, of which {share:.0%} validate",
            )
    return [parts[name] for name in wanted]
