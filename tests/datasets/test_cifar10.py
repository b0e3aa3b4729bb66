"""CIFAR-10 is read from all forms in which it is kept, and nothing of it is run."""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.datasets import cifar10, cifar_files, download
from chainrule.errors import DataError, DownloadError
from chainrule.settings import SETTINGS, Settings

ROWS = 40
real_data = pytest.mark.skipif(
    SETTINGS.data is None or not (SETTINGS.data / "cifar10").is_dir(),
    reason="CHAINRULE_DATA names no folder with the real CIFAR-10",
)
numbers = np.random.default_rng(0)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, np.ndarray]:
    """Small batches in place of the real ones; no network, an empty cache."""
    found, digests = {}, {}
    for name in cifar10.BATCHES:
        records = numbers.integers(0, 256, (ROWS, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        found[name] = records
        digests[name] = hashlib.sha256(records.tobytes()).hexdigest()
    monkeypatch.setattr(cifar10, "BATCHES", digests)
    for module in (cifar10, cifar_files):
        monkeypatch.setattr(module, "ROWS", ROWS)
    monkeypatch.setattr(cifar10, "MIRRORS", ((tmp_path / "nowhere").as_uri() + "/",))
    monkeypatch.setattr(cifar10, "SETTINGS", Settings(None, tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    return found


def binary(batches: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {f"{name}.bin": records.tobytes() for name, records in batches.items()}


def pickled(batches: dict[str, np.ndarray]) -> dict[str, bytes]:
    """As Python 2 wrote them: strings of bytes, numbers in a list."""
    found = {}
    for name, records in batches.items():
        content = {
            b"batch_label": name.encode(),
            b"labels": records[:, 0].tolist(),
            b"data": records[:, 1:].tobytes(),
            b"filenames": [b"cat_%d.png" % number for number in range(ROWS)],
        }
        text = bytearray(pickle.dumps(content, protocol=3))
        for code, _, place in pickletools.genops(bytes(text)):
            if "BYTES" in code.name:
                text[place] = {"B": ord("T"), "C": ord("U")}[code.code]
        found[name] = bytes(text)
    return found


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def write_archive(path: Path, top: str, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"readme.html": b"<html>", **files}.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def check(found: Any, batches: dict[str, np.ndarray]) -> None:
    (x_train, y_train), (x_test, y_test) = found
    assert x_train.shape == (5 * ROWS, 32, 32, 3)
    assert (y_train.shape, y_test.shape) == ((5 * ROWS, 1), (ROWS, 1))
    record = batches["data_batch_2"][3]
    assert y_train[ROWS + 3, 0] == record[0]
    for channel in range(3):
        plane = record[1 + 1024 * channel :][:1024].reshape(32, 32)
        np.testing.assert_array_equal(x_train[ROWS + 3, :, :, channel], plane)
    assert x_test[0, 0, 1, 2] == batches["test_batch"][0, 1 + 2048 + 1]


@pytest.mark.parametrize("form", ["binary", "python"])
@pytest.mark.parametrize("packed", [True, False])
def test_both_versions_packed_or_not(
    form: str, packed: bool, batches: dict[str, np.ndarray], tmp_path: Path
) -> None:
    files = binary(batches) if form == "binary" else pickled(batches)
    top = "cifar-10-batches-bin" if form == "binary" else "cifar-10-batches-py"
    if packed:
        write_archive(tmp_path / "here" / f"cifar-10-{form}.tar.gz", top, files)
    else:
        write_folder(tmp_path / "here" / top, files)
    check(cifar10.load_data(tmp_path / "here"), batches)


def test_nothing_in_a_pickle_is_run(
    batches: dict[str, np.ndarray], tmp_path: Path
) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    files = pickled(batches)
    records = batches["data_batch_1"]
    content = {
        b"trap": Trap(),
        b"labels": records[:, 0].tolist(),
        b"data": records[:, 1:].tobytes(),
    }
    files["data_batch_1"] = pickle.dumps(content, protocol=3)
    write_folder(tmp_path / "here", files)
    check(cifar10.load_data(tmp_path / "here"), batches)
    assert not (tmp_path / "ran").exists()
    for damaged in (b"", b"not a pickle", files["data_batch_2"][:-9_000]):
        (tmp_path / "here" / "data_batch_2").write_bytes(damaged)
        with pytest.raises(DataError, match="no batch of CIFAR-10's Python version"):
            cifar10.load_data(tmp_path / "here")


def test_pictures_in_rows(
    batches: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "data" / "cifar10"
    folder.mkdir(parents=True)
    monkeypatch.setattr(cifar_files, "PICTURES", 20)
    labels = np.concatenate([records[:, 0] for records in batches.values()])
    rows = np.concatenate([records[:, 1:] for records in batches.values()])
    pixels = rows.reshape(-1, 3, 1024).transpose(0, 2, 1)
    np.save(folder / "train_labels.npy", labels[:50])
    np.save(folder / "test_labels.npy", labels[5 * ROWS : 5 * ROWS + 10])
    for number, start in {0: 0, 1: 20, 2: 40, 50: 5 * ROWS}.items():
        picture = image.fromarray(np.ascontiguousarray(pixels[start : start + 20]))
        picture.save(folder / f"cifar10_batch_{number:02}.png")
    monkeypatch.setattr(
        cifar10, "SETTINGS", Settings(tmp_path / "data", tmp_path / "cache")
    )
    (x_train, y_train), (x_test, y_test) = cifar10.load_data()
    assert (len(x_train), len(x_test)) == (50, 10)
    np.testing.assert_array_equal(x_train[41].reshape(1024, 3), pixels[41])
    assert y_train[:, 0].tolist() == labels[:50].tolist()
    assert y_test.shape == (10, 1)
    (folder / "cifar10_batch_01.png").unlink()
    with pytest.raises(DataError, match=r"cifar10_batch_01\.png"):
        cifar10.load_data()


def test_other_contents_are_refused(
    batches: dict[str, np.ndarray], tmp_path: Path
) -> None:
    files = binary(batches)
    files["data_batch_3.bin"] = bytes(ROWS * 3073)
    write_folder(tmp_path / "other", files)
    with pytest.raises(DataError, match="not CIFAR-10's data_batch_3"):
        cifar10.load_data(tmp_path / "other")
    files["data_batch_3.bin"] = b"short"
    write_folder(tmp_path / "other", files)
    with pytest.raises(DataError, match="another size"):
        cifar10.load_data(tmp_path / "other")
    del files["data_batch_3.bin"]
    write_archive(tmp_path / "few" / cifar10.ARCHIVE, "top", files)
    with pytest.raises(DataError, match="lacks a batch"):
        cifar10.load_data(tmp_path / "few")
    archive = tmp_path / "few" / cifar10.ARCHIVE
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(DataError, match="damaged"):
        cifar10.load_data(tmp_path / "few")
    with pytest.raises(DataError, match="no form of CIFAR-10"):
        cifar10.load_data(tmp_path / "nowhere")


def test_what_is_nowhere_is_downloaded_once(
    batches: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DownloadError, match="CHAINRULE_DATA"):
        cifar10.load_data()
    archive = tmp_path / "mirror" / cifar10.ARCHIVE
    write_archive(archive, "cifar-10-batches-bin", binary(batches))
    monkeypatch.setattr(cifar10, "MIRRORS", (archive.parent.as_uri() + "/",))
    with pytest.raises(DownloadError, match=r"its content is another|more came"):
        cifar10.load_data()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10, "DIGEST", digest)
    check(cifar10.load_data(), batches)
    monkeypatch.setattr(cifar10, "MIRRORS", ())
    check(cifar10.load_data(), batches)


@real_data
def test_the_real_cifar10() -> None:
    (x_train, y_train), (x_test, y_test) = cifar10.load_data()
    assert x_train.shape[1:] == x_test.shape[1:] == (32, 32, 3)
    assert y_train[:5, 0].tolist() == [6, 9, 9, 4, 1]
    assert y_test[:10, 0].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
