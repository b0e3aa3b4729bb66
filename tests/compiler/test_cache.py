from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chainrule.compiler import cache as cache_module
from chainrule.compiler.cache import ObjectCache, object_key
from chainrule.compiler.engine import host_target
from chainrule.compiler.kernels import gemm
from chainrule.errors import CacheWarning

LIMIT = 1 << 20
KEY = object_key("a kernel", "a machine")


def never() -> bytes:
    raise AssertionError("compiled although the object is known")


def entry_of(folder: Path, key: str = KEY) -> Path:
    return folder / f"{key}.object"


def filled(folder: Path, code: bytes = b"native code") -> Path:
    ObjectCache(folder, LIMIT).get(KEY, lambda: code)
    return entry_of(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "objects"


def test_an_object_is_compiled_once_then_remembered_then_read(folder: Path) -> None:
    first = ObjectCache(folder, LIMIT)
    assert first.get(KEY, lambda: b"code") == b"code"
    assert first.get(KEY, never) == b"code"
    second = ObjectCache(folder, LIMIT)
    assert second.get(KEY, never) == b"code"
    assert (first.compiled, first.from_memory, first.from_disk) == (1, 1, 0)
    assert (second.compiled, second.from_memory, second.from_disk) == (0, 0, 1)


def test_keys_tell_descriptions_and_machines_apart() -> None:
    keys = {object_key(*pair) for pair in [("a", "b"), ("ab", ""), ("", "ab")]}
    assert len(keys) == 3


def test_a_change_of_the_compiler_changes_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = object_key("a", "b")
    monkeypatch.setattr(cache_module, "_sources", lambda: "another compiler")
    assert object_key("a", "b") != before


def test_folder_and_entries_are_for_the_user_alone(folder: Path) -> None:
    path = filled(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o077 == 0
    assert os.listdir(folder) == [path.name]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "longer", "magic"])
def test_a_damaged_entry_is_compiled_again_with_one_warning(
    folder: Path, damage: str
) -> None:
    path = filled(folder)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut": whole[:-1],
            "flipped": whole[:-1] + bytes([whole[-1] ^ 1]),
            "empty": b"",
            "longer": whole + b"x",
            "magic": b"X" + whole[1:],
        }[damage]
    )
    cache = ObjectCache(folder, LIMIT)
    with pytest.warns(CacheWarning, match="damaged") as caught:
        assert cache.get(KEY, lambda: b"native code") == b"native code"
    assert len(caught) == 1
    assert path.read_bytes() == whole
    assert ObjectCache(folder, LIMIT).get(KEY, never) == b"native code"


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(folder: Path, mode: int) -> None:
    path = filled(folder, b"planted")
    folder.chmod(mode)
    cache = ObjectCache(folder, LIMIT)
    with pytest.warns(CacheWarning, match="written by others"):
        assert cache.get(KEY, lambda: b"good") == b"good"
    # Said once: warnings are errors here.
    assert cache.get(object_key("other", ""), lambda: b"more") == b"more"
    assert os.listdir(folder) == [path.name]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners of POSIX")
def test_a_folder_of_somebody_else_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(folder, b"planted")
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.warns(CacheWarning, match="somebody else"):
        assert ObjectCache(folder, LIMIT).get(KEY, lambda: b"good") == b"good"


def test_a_link_in_place_of_the_folder_is_not_used(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(target)
    with pytest.warns(CacheWarning, match="not a folder"):
        ObjectCache(folder, LIMIT).get(KEY, lambda: b"good")
    assert not os.listdir(target)


def test_where_no_folder_can_be_made_objects_stay_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder is wanted")
    cache = ObjectCache(blocked / "objects", LIMIT)
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(3):
            code = b"code %d" % number
            key = object_key(str(number), "")
            assert cache.get(key, lambda code=code: code) == code
            assert cache.get(key, never) == code
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


def test_a_folder_that_takes_no_more_is_still_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    filled(folder)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    cache = ObjectCache(folder, LIMIT)
    with caplog.at_level(logging.DEBUG):
        for number in range(3):
            cache.get(object_key(str(number), ""), lambda: b"new")
    assert cache.get(KEY, never) == b"native code"
    assert len(caplog.records) == 1


def test_the_oldest_entries_make_room(folder: Path) -> None:
    keys = [object_key(str(number), "") for number in range(12)]
    cache = ObjectCache(folder, 10_000)
    for age, key in enumerate(keys[:9]):
        cache.get(key, lambda: bytes(1000))
        os.utime(entry_of(folder, key), (1e9 + age, 1e9 + age))
    # Used just now, so that the second oldest is the first to go.
    ObjectCache(folder, 10_000).get(keys[0], never)
    for key in keys[9:]:
        cache.get(key, lambda: bytes(1000))
    left = {path.stem for path in folder.iterdir()}
    assert keys[0] in left
    assert keys[1] not in left
    assert keys[11] in left
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 10_000


def test_an_object_larger_than_the_limit_and_a_limit_of_zero(folder: Path) -> None:
    for limit in (100, 0):
        cache = ObjectCache(folder, limit)
        assert cache.get(KEY, lambda: bytes(200)) == bytes(200)
    assert not folder.exists() or not os.listdir(folder)


def test_memory_is_bounded(folder: Path) -> None:
    cache = ObjectCache(None, LIMIT, memory_limit=5000)
    keys = [object_key(str(number), "") for number in range(10)]
    for key in keys:
        cache.get(key, lambda: bytes(1000))
    assert cache.get(keys[9], never) == bytes(1000)
    assert cache.get(keys[0], lambda: b"again") == b"again"
    assert not folder.exists()


def test_leftovers_of_a_crash_are_removed(folder: Path) -> None:
    filled(folder)
    old, new = folder / "old.unfinished", folder / "new.unfinished"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    ObjectCache(folder, LIMIT).get(object_key("other", ""), lambda: b"code")
    assert not old.exists()
    assert new.exists()


def test_threads_that_want_one_object_have_it_compiled_once(folder: Path) -> None:
    cache = ObjectCache(folder, LIMIT)

    def slow() -> bytes:
        time.sleep(0.1)
        return b"code"

    with ThreadPoolExecutor(8) as executor:
        results = list(executor.map(lambda _: cache.get(KEY, slow), range(8)))
    assert results == [b"code"] * 8
    assert cache.compiled == 1
    assert cache.from_memory == 7


def test_a_failed_compilation_is_tried_again_by_whoever_waited(folder: Path) -> None:
    cache = ObjectCache(folder, LIMIT)
    entered = threading.Event()

    def fail() -> bytes:
        entered.set()
        time.sleep(0.05)
        raise ValueError("no luck")

    with ThreadPoolExecutor(1) as executor:
        failed = executor.submit(cache.get, KEY, fail)
        assert entered.wait(10)
        assert cache.get(KEY, lambda: b"code") == b"code"
        with pytest.raises(ValueError, match="no luck"):
            failed.result()


RACER = """
import hashlib, pathlib, sys, time
from chainrule.compiler.cache import ObjectCache, object_key
from chainrule.compiler.engine import host_target
from chainrule.compiler.kernels import gemm
folder, start = pathlib.Path(sys.argv[1]), float(sys.argv[2])
def code_of(number):
    return hashlib.sha256(str(number).encode()).digest() * 500
time.sleep(max(0.0, start - time.time()))
for turn in range(6):
    cache = ObjectCache(folder, 100_000)
    for number in range(20):
        key = object_key(str(number), "")
        got = cache.get(key, lambda: code_of(number))
        assert got == code_of(number), (turn, number)
print("fine")
"""


def test_processes_that_race_see_whole_entries(folder: Path) -> None:
    start = str(time.time() + 0.7)
    racers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", RACER, str(folder), start],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for racer in racers:
        output, errors = racer.communicate(timeout=60)
        assert (output, errors) == ("fine\n", "")
    # Each bounds what it knows of: together they may pass the limit by one's writes.
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 200_000


def test_a_library_is_made_in_another_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = ObjectCache(tmp_path, 1 << 30)
    monkeypatch.setattr(gemm, "objects", lambda: made)
    gemm.prepare_library("float32")
    gemm.prepare_library("float32")  # which is under way
    library = gemm.GemmLibrary("float32", host_target())
    assert made.compiled == 1
    assert library.address("gemm_nn") > 0
    gemm.prepare_library("float32")
    assert not any(t.name == "chainrule-library" for t in threading.enumerate())
