"""The files of a run that can be resumed: everything at one moment, in one file each.

A checkpoint is a zip with two entries, stored and not compressed: `state.json` says all
that is not an array, `arrays.safetensors` holds the arrays. The zip keeps a checksum of
each entry. Nothing in it is run.

A checkpoint is written under a temporary name, flushed to the disk and renamed; only
then is an older one removed. So whenever the process is killed, a whole checkpoint is
there, and the one before it.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, FormatError, ResumeWarning
from chainrule.training.files import write_atomically
from chainrule.training.saving import Arrays, pack_arrays, unpack_arrays
from chainrule.training.stored import UNREADABLE, pack_stored, read_stored

FORMAT = "chainrule-checkpoint"
VERSION = 1
STATE = "state.json"
ARRAYS = "arrays.safetensors"
SUFFIX = ".checkpoint"
FOLDER = "checkpoints"  # within that of a run
ARRAY, NUMBER = "$array", "$number"
DAMAGED = (FormatError, KeyError, AttributeError, TypeError, RecursionError)


def pack_tree(tree: Any, arrays: Arrays) -> Any:
    """`tree` in terms of JSON; its arrays go into `arrays`.

    A tree is made of dicts with names, lists, numbers, strings, truth values, None and
    NumPy arrays. Numbers are kept to the last bit.

    Raises:
        ArgumentError: for anything else.

    Example:
        >>> arrays = {}
        >>> pack_tree({"best": float("inf"), "weights": [np.zeros(2)]}, arrays)
        {'best': {'$number': 'inf'}, 'weights': [{'$array': '0'}]}
        >>> arrays
        {'0': array([0., 0.])}
    """
    if isinstance(tree, np.ndarray):
        name = str(len(arrays))
        arrays[name] = tree
        return {ARRAY: name}
    if isinstance(tree, np.generic):
        tree = tree.item()
    if isinstance(tree, float) and not math.isfinite(tree):
        return {NUMBER: repr(tree)}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    if isinstance(tree, (list, tuple)):
        return [pack_tree(part, arrays) for part in tree]
    if isinstance(tree, Mapping) and all(
        isinstance(key, str) and not key.startswith("$") for key in tree
    ):
        return {key: pack_tree(part, arrays) for key, part in tree.items()}
    raise ArgumentError(
        "this cannot be kept in a checkpoint",
        where="state",
        got=repr(tree)[:200],
        expected="numbers, strings, None, NumPy arrays, and lists and dicts of them",
    )


def unpack_tree(packed: Any, arrays: Arrays) -> Any:
    """The tree that `pack_tree` was given; tuples have become lists.

    Example:
        >>> unpack_tree([{"$number": "-inf"}, {"$array": "0"}], {"0": np.ones(1)})
        [-inf, array([1.])]
    """
    if isinstance(packed, list):
        return [unpack_tree(part, arrays) for part in packed]
    if isinstance(packed, dict):
        if packed.keys() == {ARRAY}:
            return arrays[packed[ARRAY]]
        if packed.keys() == {NUMBER}:
            return float(packed[NUMBER])
        return {key: unpack_tree(part, arrays) for key, part in packed.items()}
    return packed


def pack_checkpoint(content: Mapping[str, Any]) -> memoryview:
    """The bytes of a checkpoint."""
    arrays: Arrays = {}
    state = pack_tree({"format": FORMAT, "version": VERSION, **content}, arrays)
    entries = {
        STATE: json.dumps(state, allow_nan=False).encode(),
        ARRAYS: pack_arrays(arrays),
    }
    return pack_stored(entries)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        FormatError: when it is damaged, or is no checkpoint of this version.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "one.checkpoint"
        >>> path.write_bytes(pack_checkpoint({"epoch": 3})) > 100
        True
        >>> read_checkpoint(path)["epoch"]
        3
    """
    try:
        with open(path, "rb") as file:
            entries = read_stored(file, [(STATE, ARRAYS)])
        content = json.loads(entries[STATE])
        if content.get("format") != FORMAT or content.get("version") != VERSION:
            raise FormatError("it is of another format or version")
        arrays = unpack_arrays(entries[ARRAYS], f"{path}: {ARRAYS}")
        found: dict[str, Any] = unpack_tree(content, arrays)
    except (*UNREADABLE, *DAMAGED) as error:
        raise FormatError(
            "the checkpoint is damaged",
            where=str(path),
            got=f"{type(error).__name__}: {error}"[:200],
        ) from None
    return found


class Checkpoints:
    """The numbered checkpoints in a folder, of which the newest few are kept.

    Args:
        folder: where they are; made at the first `write`.
        keep: how many.

    Example:
        >>> import tempfile
        >>> checkpoints = Checkpoints(Path(tempfile.mkdtemp()))
        >>> for epoch in range(5):
        ...     _ = checkpoints.write({"epoch": epoch})
        >>> [path.name for path in checkpoints.paths()]
        ['00000003.checkpoint', '00000004.checkpoint']
        >>> checkpoints.newest()["epoch"]
        4
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    @classmethod
    def of_run(cls, folder: Path) -> Checkpoints:
        """Those of the run in this folder."""
        return cls(folder / FOLDER)

    def paths(self) -> list[Path]:
        """The files, oldest first."""
        found = self.folder.glob(f"*{SUFFIX}")
        return sorted(path for path in found if path.stem.isdecimal())

    def newest(self) -> dict[str, Any] | None:
        """The newest checkpoint that is whole; None where there is none at all.

        Damaged ones that are newer are removed, so that they are not counted among
        those that are kept.

        Warns:
            ResumeWarning: of damaged ones.

        Raises:
            FormatError: when all are damaged.
        """
        damaged: dict[Path, FormatError] = {}
        for path in reversed(self.paths()):
            try:
                content = read_checkpoint(path)
            except FormatError as error:
                damaged[path] = error
                continue
            for bad, reason in damaged.items():
                warnings.warn(
                    f"{reason}\nThe run goes on from the checkpoint before it.",
                    ResumeWarning,
                    stacklevel=2,
                )
                bad.unlink(missing_ok=True)
            return content
        if damaged:
            raise FormatError(
                "every checkpoint of the run is damaged",
                where=str(self.folder),
                got="\n".join(f"{e.where}: {e.got}" for e in damaged.values()),
                fix="remove the folder, and the run starts from the beginning",
            )
        return None

    def write(self, content: Mapping[str, Any]) -> Path:
        """Write one more, whole or not at all, then remove those that are too many."""
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = self.paths()
        number = int(paths[-1].stem) + 1 if paths else 0
        path = self.folder / f"{number:08}{SUFFIX}"
        write_atomically(path, pack_checkpoint(content))
        for old in [*paths[: len(paths) + 1 - self.keep], *self._leftovers()]:
            old.unlink(missing_ok=True)
        return path

    def clear(self) -> None:
        """Remove all, newest last, and the folder where nothing else is in it."""
        for path in [*self._leftovers(), *self.paths()]:
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _leftovers(self) -> Iterator[Path]:
        """Temporary files of writers that were killed."""
        return self.folder.glob(f".*{SUFFIX}.*.part")
