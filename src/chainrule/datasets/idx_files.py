"""Data sets of four idx files, as MNIST has them: found, downloaded, checked, read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.datasets.download import Remote, fetch
from chainrule.datasets.idx import read_content, read_idx
from chainrule.errors import DataError, FormatError
from chainrule.settings import SETTINGS

Array = np.ndarray[Any, Any]
Split = tuple[Array, Array]


@dataclass(frozen=True, slots=True)
class Part:
    """One of the four files.

    Attributes:
        name: its name, without `.gz`.
        size: bytes when unpacked.
        digest: SHA-256 of the unpacked bytes, as the same content can be packed in many
            ways; or of the packed file, where only that is published.
        max_packed: the most that a download may have.
        of_packed: whether `digest` is that of the packed file; there is no other then.
    """

    name: str
    size: int
    digest: str
    max_packed: int
    of_packed: bool = False


@dataclass(frozen=True, slots=True)
class IdxFiles:
    """Where a data set of four files is, and what is in them.

    Attributes:
        title: what messages call it.
        module: its name in `chainrule.datasets`, and that of its folder in the cache.
        folders: folders that are searched under the one that `CHAINRULE_DATA` names.
        mirrors: addresses of folders on the network, with a slash at their end.
        parts: images and labels to train on, images and labels to test with.
    """

    title: str
    module: str
    folders: Sequence[str]
    mirrors: Sequence[str]
    parts: Sequence[Part]

    def load(self, path: str | Path | None) -> tuple[Split, Split]:
        """The four arrays.

        Raises:
            DataError: when `path` lacks a file, or a file has another content.
            DownloadError: when a file is nowhere, and no mirror delivers it.
        """
        arrays = []
        for part in self.parts:
            if path is None:
                file = self._locate(part)
            else:
                file = self._locate_in(Path(path).expanduser(), part)
            arrays.append(read_idx(self._read(part, file), str(file)))
        x_train, y_train, x_test, y_test = arrays
        return (x_train, y_train), (x_test, y_test)

    def _locate(self, part: Part) -> Path:
        """Where a file is, after a download if need be."""
        cache = SETTINGS.cache / "datasets" / self.module
        data = SETTINGS.data
        named = [] if data is None else [data / folder for folder in self.folders]
        found = _find(part, [*named, cache])
        if found is not None:
            return found
        target = cache / f"{part.name}.gz"
        mirrors = [mirror + target.name for mirror in self.mirrors]
        remote = Remote(f"{self.title} {target.name}", mirrors, part.max_packed)
        fetch(remote, target, lambda path: self._read(part, path), self._advice(cache))
        return target

    def _locate_in(self, folder: Path, part: Part) -> Path:
        """Where a file is in the folder that the caller named."""
        found = _find(part, [folder])
        if found is None:
            raise DataError(
                f"the folder lacks {part.name}.gz",
                where=str(folder),
                expected="\n".join(f"{part.name}.gz" for part in self.parts),
                fix=f"{self.module}.load_data() looks elsewhere too, and downloads",
            )
        return found

    def _read(self, part: Part, path: Path) -> bytes:
        """The unpacked content of a file, checked."""
        problem = f"this is not {self.title}'s {part.name}"
        try:
            content = read_content(path, limit=part.size)
            checked = _packed(path, part.max_packed) if part.of_packed else content
        except FormatError as error:
            raise DataError(
                f"{problem}: {error.problem}",
                where=str(path),
                got=error.got,
                expected=error.expected,
                fix="remove the file, and it is looked for elsewhere",
            ) from None
        digest = hashlib.sha256(checked).hexdigest()
        if digest != part.digest:
            form = "of the file" if part.of_packed else "of the unpacked content"
            raise DataError(
                f"{problem}: its content is another",
                where=str(path),
                got=f"{len(content):,} bytes unpacked, SHA-256 {form} {digest}",
                expected=f"{part.size:,} bytes unpacked, SHA-256 {part.digest}",
                fix="remove the file, and it is looked for elsewhere",
            )
        return content

    def _advice(self, cache: Path) -> str:
        return (
            "without a network, get these four files elsewhere\n"
            f"(from {self.mirrors[0] if self.mirrors else 'a mirror'}):\n\n"
            + "".join(f"  {part.name}.gz\n" for part in self.parts)
            + f"\nand put them into {cache}\n"
            f"or into a folder {self.folders[0]} within one that you name:\n"
            "  export CHAINRULE_DATA=/path/to/folder"
        )


def _find(part: Part, folders: Sequence[Path]) -> Path | None:
    names = [f"{part.name}.gz"] if part.of_packed else [f"{part.name}.gz", part.name]
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None


def _packed(path: Path, limit: int) -> bytes:
    """The bytes of the file as it is."""
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise FormatError(
            "the file is larger than it should be",
            where=str(path),
            got=f"more than {limit:,} bytes",
        )
    return content
