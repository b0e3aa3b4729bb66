"""Compiled objects, kept in memory and on disk by the hash of what they were made from.

An entry is a file with a header that holds length and SHA-256 of what follows. It is
written under a temporary name, flushed and renamed, so that processes that race see a
whole entry or none. The folder belongs to the user alone: whoever could write there
could have the user run anything.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import struct
import tempfile
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from chainrule.errors import CacheWarning
from chainrule.settings import SETTINGS

FORMAT_VERSION = 1
MEMORY_LIMIT = 64 << 20
_MAGIC = b"chainrule object"
_HEADER = struct.Struct("<16sQ32s")
_SUFFIX = ".object"
_UNFINISHED = ".unfinished"
_UNFINISHED_SECONDS = 3600.0
# Making room for a tenth more than needed saves looking through the folder each time.
_KEPT_SHARE = 0.9
_LOG = logging.getLogger("chainrule.cache")


def object_key(description: str, fingerprint: str) -> str:
    """Name of an object: a hash of what it is made from and for which machine.

    Args:
        description: the text that is compiled, or anything that determines it together
            with the sources of this compiler, such as a kernel's printed form.
        fingerprint: `Target.fingerprint`.

    Example:
        >>> object_key("kernel", "machine") == object_key("kernel", "machine")
        True
    """
    digest = hashlib.sha256()
    for part in (str(FORMAT_VERSION), _sources(), fingerprint, description):
        encoded = part.encode()
        digest.update(struct.pack("<Q", len(encoded)))
        digest.update(encoded)
    return digest.hexdigest()


@cache
def _sources() -> str:
    """A hash of this compiler: an object made by other sources is another object."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class ObjectCache:
    """Objects by key: in memory, then on disk, then compiled.

    Attributes:
        from_memory: how many requests found the object in memory.
        from_disk: how many read it from disk.
        compiled: how many had to compile it.

    Args:
        folder: where to keep objects; none keeps them in memory only.
        limit: bytes on disk; the entries that were used least recently go first.
        memory_limit: bytes in memory.
    """

    def __init__(
        self, folder: Path | None, limit: int, memory_limit: int = MEMORY_LIMIT
    ) -> None:
        self.from_memory = self.from_disk = self.compiled = 0
        self._disk = _Disk(folder, limit) if folder is not None and limit else None
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._memory_limit = memory_limit
        self._memory_bytes = 0
        self._forget_others()

    def _forget_others(self) -> None:
        """Wait for nobody, as in the child of a fork."""
        self._lock = threading.Lock()
        self._under_way: dict[str, threading.Event] = {}

    def get(self, key: str, compile: Callable[[], bytes]) -> bytes:
        """The object of a key; `compile` makes it where it is not known yet.

        Threads that ask for the same key at once have it compiled once.
        """
        while True:
            with self._lock:
                known = self._memory.get(key)
                if known is not None:
                    self._memory.move_to_end(key)
                    self.from_memory += 1
                    return known
                other = self._under_way.get(key)
                if other is None:
                    finished = self._under_way[key] = threading.Event()
                    break
            other.wait()
        try:
            return self._find_or_make(key, compile)
        finally:
            with self._lock:
                self._under_way.pop(key, None)
            finished.set()

    def has(self, key: str) -> bool:
        """Whether the object of a key is there, or is being made."""
        with self._lock:
            if key in self._memory or key in self._under_way:
                return True
        return self._disk is not None and self._disk.has(key)

    def _find_or_make(self, key: str, compile: Callable[[], bytes]) -> bytes:
        code = self._disk.read(key) if self._disk else None
        if code is not None:
            self.from_disk += 1
        else:
            code = compile()
            self.compiled += 1
            if self._disk:
                self._disk.write(key, code)
        with self._lock:
            self._remember(key, code)
        return code

    def _remember(self, key: str, code: bytes) -> None:
        self._memory[key] = code
        self._memory_bytes += len(code)
        while self._memory_bytes > self._memory_limit and len(self._memory) > 1:
            _, oldest = self._memory.popitem(last=False)
            self._memory_bytes -= len(oldest)


class _Disk:
    """The folder of objects."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._trusted: bool | None = None
        self._writable = True
        self._size: int | None = None

    def read(self, key: str) -> bytes | None:
        """The object, or none where it is missing or damaged."""
        if not self._is_trusted():
            return None
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        code = _unpack(content)
        if code is None:
            warnings.warn(
                f"{path} is damaged; it is compiled again", CacheWarning, stacklevel=4
            )
            return None
        with suppress(OSError):
            os.utime(path)
        return code

    def has(self, key: str) -> bool:
        """Whether there is a file of this key, whatever is in it."""
        return self._is_trusted() and self._path(key).exists()

    def write(self, key: str, code: bytes) -> None:
        """Keep the object if that is possible; it is no error if it is not."""
        content = _pack(code)
        if not self._writable or len(content) > self._limit or not self._is_trusted():
            return
        try:
            self._make_room(len(content))
            self._replace(self._path(key), content)
        except OSError as error:
            self._give_up(error)

    def _path(self, key: str) -> Path:
        return self._folder / (key + _SUFFIX)

    def _replace(self, path: Path, content: bytes) -> None:
        handle, name = tempfile.mkstemp(_UNFINISHED, dir=self._folder)
        try:
            with open(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise

    def _is_trusted(self) -> bool:
        if self._trusted is None:
            self._trusted = self._prepare()
        return self._trusted

    def _prepare(self) -> bool:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self._folder.lstat()
        except OSError as error:
            self._give_up(error)
            return False
        reason = _distrust(found)
        if reason:
            warnings.warn(
                f"compiled code is not kept: {self._folder} {reason}",
                CacheWarning,
                stacklevel=6,
            )
        return not reason

    def _give_up(self, error: OSError) -> None:
        """Write no more. What is there already can still be read."""
        self._writable = False
        _LOG.debug("compiled code is kept in memory only: %s", error)

    def _make_room(self, needed: int) -> None:
        """Remove what was used least recently if the limit would be passed."""
        if self._size is None:
            self._size = sum(size for _, size, _ in self._entries())
        if self._size + needed > self._limit:
            # Others write here too: count again before anything is removed.
            entries = sorted(self._entries())
            self._size = sum(size for _, size, _ in entries)
            self._remove_oldest(entries, int(self._limit * _KEPT_SHARE) - needed)
        self._size += needed

    def _remove_oldest(self, entries: list[tuple[float, int, str]], keep: int) -> None:
        assert self._size is not None
        for _, size, path in entries:
            if self._size <= keep:
                return
            with suppress(FileNotFoundError):
                os.unlink(path)
            self._size -= size

    def _entries(self) -> Iterator[tuple[float, int, str]]:
        """Time of last use, size and path of each entry; leftovers are removed."""
        forgotten = time.time() - _UNFINISHED_SECONDS
        with os.scandir(self._folder) as found:
            for entry in found:
                # Another process may remove what was just listed.
                with suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(_SUFFIX):
                        yield facts.st_mtime, facts.st_size, entry.path
                    elif (
                        entry.name.endswith(_UNFINISHED) and facts.st_mtime < forgotten
                    ):
                        os.unlink(entry.path)


def _distrust(found: os.stat_result) -> str | None:
    """Why nothing is read from a folder; none if only the user can write to it."""
    if not stat.S_ISDIR(found.st_mode):
        return "is not a folder"
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        return "belongs to somebody else"
    if os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by others; type chmod 700 on it"
    return None


def _pack(code: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, len(code), hashlib.sha256(code).digest()) + code


def _unpack(content: bytes) -> bytes | None:
    if len(content) < _HEADER.size:
        return None
    magic, length, digest = _HEADER.unpack_from(content)
    code = content[_HEADER.size :]
    whole = magic == _MAGIC and length == len(code)
    return code if whole and hashlib.sha256(code).digest() == digest else None


_CACHES: list[ObjectCache] = []
_CACHES_LOCK = threading.Lock()


def objects() -> ObjectCache:
    """The cache of this process, in the folder that the settings name."""
    with _CACHES_LOCK:
        if not _CACHES:
            _CACHES.append(
                ObjectCache(SETTINGS.cache / "objects", SETTINGS.cache_limit)
            )
        return _CACHES[0]


def _begin_after_fork() -> None:
    global _CACHES_LOCK
    _CACHES_LOCK = threading.Lock()
    for made in _CACHES:
        made._forget_others()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_after_fork)
