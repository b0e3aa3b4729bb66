"""A folder of files, or a zip of one: the same view of both.

Names are relative and use slashes. Whatever a name in an annotation says, only files
that were listed can be read, so nothing leads out of the folder or the zip.
"""

from __future__ import annotations

import os
import threading
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Protocol

from chainrule.errors import DataError, FormatError

LARGEST_FILE = 1 << 30
ZIP = ".zip"
# What reading one entry of a damaged zip may raise.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    EOFError,
    RuntimeError,  # encrypted
    ValueError,
    OSError,
)


class Place(Protocol):
    """Files by relative name.

    Attributes:
        root: the folder or the zip.
        names: the files in it, sorted.
    """

    root: Path
    names: list[str]

    def read(self, name: str, limit: int = LARGEST_FILE) -> bytes:
        """The bytes of a file.

        Raises:
            DataError: when it cannot be read or has more than `limit` bytes.
        """


class FolderPlace:
    """A folder with all folders in it; links to folders are followed once.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = sorted(self._walk())

    def _walk(self) -> list[str]:
        found: list[str] = []
        seen: set[str] = set()
        for folder, folders, files in os.walk(self.root, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            inside = Path(folder).relative_to(self.root).as_posix()
            prefix = "" if inside == "." else inside + "/"
            found += [prefix + name for name in files if not name.startswith(".")]
            folders[:] = [name for name in folders if not name.startswith(".")]
        return found

    def read(self, name: str, limit: int = LARGEST_FILE) -> bytes:
        """The bytes of a file; see `Place`."""
        path = self.root / name
        try:
            # A pipe or a device would be waited for without end.
            if not path.is_file():
                raise DataError("this is no file", where=str(path))
            _check_size(path.stat().st_size, limit, path)
            return path.read_bytes()
        except OSError as error:
            raise DataError(
                "the file cannot be read", where=str(path), got=error.strerror or error
            ) from None


class ZipPlace:
    """A zip, read in place; its entries are never unpacked to the disk.

    Args:
        root: the zip file.

    Raises:
        FormatError: when it is no zip, or a damaged one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            self._archive = zipfile.ZipFile(root)
        except _UNREADABLE as error:
            raise FormatError(
                "the file cannot be read as a zip", where=str(root), got=error
            ) from None
        self._lock = threading.Lock()
        infos = self._archive.infolist()
        self._infos = {x.filename: x for x in infos if _is_wanted(x.filename)}
        self.names = sorted(self._infos)

    def read(self, name: str, limit: int = LARGEST_FILE) -> bytes:
        """The bytes of an entry; see `Place`."""
        path = self.root / name
        _check_size(self._infos[name].file_size, limit, path)
        try:
            with self._lock:
                # No more than the size that was checked is ever unpacked.
                return self._archive.read(self._infos[name])
        except _UNREADABLE as error:
            raise DataError(
                "the entry cannot be read", where=str(path), got=error
            ) from None


class TreePlace:
    """A folder whose zips count as folders: `set.zip/a.png` is `a.png` in `set.zip`.

    Args:
        folder: the folder.

    Raises:
        FormatError: when one of the zips is damaged.
    """

    def __init__(self, folder: FolderPlace) -> None:
        self.root = folder.root
        self._folder = folder
        self._zips: dict[str, ZipPlace] = {}
        names: list[str] = []
        for name in folder.names:
            if name.lower().endswith(ZIP):
                self._zips[name] = ZipPlace(folder.root / name)
                names += [f"{name}/{inner}" for inner in self._zips[name].names]
            else:
                names.append(name)
        self.names = sorted(names)

    def read(self, name: str, limit: int = LARGEST_FILE) -> bytes:
        """The bytes of a file, or of an entry of a zip; see `Place`."""
        for archive, place in self._zips.items():
            if name.startswith(archive + "/"):
                return place.read(name[len(archive) + 1 :], limit)
        return self._folder.read(name, limit)


def open_place(path: str | os.PathLike[str]) -> Place:
    """The folder or the zip at `path`.

    Raises:
        DataError: when nothing is there.
        FormatError: when a file is no zip.

    Example:
        >>> import tempfile
        >>> open_place(tempfile.mkdtemp()).names
        []
    """
    root = Path(path).expanduser()
    if root.is_dir():
        return FolderPlace(root)
    if root.is_file():
        return ZipPlace(root)
    raise DataError("there is no such file or folder", where=str(root))


class Finder:
    """Finds the file that a name in an annotation means.

    Args:
        names: the files there are.
    """

    def __init__(self, names: list[str]) -> None:
        self._exact = set(names)
        self._by_base: dict[str, list[str]] = defaultdict(list)
        for name in names:
            self._by_base[PurePosixPath(name).name].append(name)

    def find(self, wanted: str, near: str) -> str | None:
        """The file of this name: beside `near`, or the one nearest to it.

        Args:
            wanted: a name, perhaps with folders, of which not all need be there.
            near: the file that names it.
        """
        parts = [x for x in wanted.replace("\\", "/").split("/") if x not in ("", ".")]
        if not parts or ".." in parts:
            return None
        beside = "/".join([*PurePosixPath(near).parts[:-1], *parts])
        if beside in self._exact:
            return beside
        candidates = self._by_base.get(parts[-1], [])
        return _nearest(candidates, parts, near)


def _nearest(candidates: list[str], parts: list[str], near: str) -> str | None:
    """The candidate that shares most folders with what was asked for, then with `near`.

    Between folders of one set, `train2017/` beside `instances_train2017.json`, the one
    that the name of the file mentions comes first.
    """
    if not candidates:
        return None
    base = PurePosixPath(near).stem.lower()

    def likeness(name: str) -> tuple[int, int, int]:
        folders = name.split("/")[:-1]
        same = _common(folders[::-1], parts[:-1][::-1])
        mentioned = sum(folder.lower() in base for folder in folders)
        return same, mentioned, _common(folders, near.split("/")[:-1])

    return max(sorted(candidates), key=likeness)


def _common(a: list[str], b: list[str]) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count


def _is_wanted(name: str) -> bool:
    """Whether an entry of a zip is a file, and stays inside."""
    parts = name.split("/")
    return not (
        name.endswith("/")
        or name.startswith("/")
        or "\\" in name
        or ":" in parts[0]
        or ".." in parts
        or parts[0] == "__MACOSX"
        or parts[-1].startswith(".")
    )


def _check_size(size: int, limit: int, path: Path) -> None:
    if size > limit:
        raise DataError(
            "the file is too large",
            where=str(path),
            got=f"{size:,} bytes",
            expected=f"{limit:,} at most",
        )


def decode(content: bytes) -> tuple[str, bool]:
    """Text of bytes, and whether they were UTF-8; else they are read as Latin-1.

    Example:
        >>> decode("Zelle ä".encode("latin-1"))
        ('Zelle ä', False)
    """
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, "replace"), True
    try:
        return content.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        return content.decode("latin-1"), False
