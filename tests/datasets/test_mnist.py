from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chainrule.datasets import download, fashion_mnist, idx_files, mnist
from chainrule.errors import DataError, DownloadError
from chainrule.settings import SETTINGS, Settings

SHAPES = ((5, 28, 28), (5,), (3, 28, 28), (3,))
real_data = pytest.mark.skipif(
    SETTINGS.data is None, reason="CHAINRULE_DATA names no folder with the real MNIST"
)


def idx(shape: tuple[int, ...]) -> bytes:
    axes = b"".join(length.to_bytes(4, "big") for length in shape)
    numbers = (np.arange(np.prod(shape)) % 10).astype(np.uint8)
    return bytes([0, 0, 8, len(shape)]) + axes + numbers.tobytes()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Four small files in place of the real ones; no network, an empty cache."""
    contents, parts = {}, []
    for part, shape in zip(mnist.FILES.parts, SHAPES, strict=True):
        content = idx(shape)
        digest = hashlib.sha256(content).hexdigest()
        parts.append(idx_files.Part(part.name, len(content), digest, 10_000))
        contents[part.name] = content
    few = replace(mnist.FILES, parts=tuple(parts))
    monkeypatch.setattr(mnist, "FILES", few)
    set_mirrors(monkeypatch, tmp_path / "nowhere")
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    set_folders(monkeypatch, tmp_path)
    return contents


def set_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path | None = None
) -> None:
    monkeypatch.setattr(idx_files, "SETTINGS", Settings(data, tmp_path / "cache"))


def set_mirrors(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    mirrors = [folder.as_uri() + "/" for folder in folders]
    monkeypatch.setattr(mnist, "FILES", replace(mnist.FILES, mirrors=mirrors))


def write(folder: Path, contents: dict[str, bytes], packed: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def shapes(
    data: tuple[idx_files.Split, idx_files.Split],
) -> tuple[tuple[int, ...], ...]:
    return tuple(array.shape for split in data for array in split)


@pytest.mark.parametrize("place", ["mnist", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_the_named_folder_is_searched(
    small: dict[str, bytes],
    place: str,
    packed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_folders(monkeypatch, tmp_path, tmp_path / "data")
    write(tmp_path / "data" / place, small, packed)
    assert shapes(mnist.load_data()) == SHAPES
    assert not (tmp_path / "cache").exists()


def test_the_cache_is_searched(small: dict[str, bytes], tmp_path: Path) -> None:
    write(tmp_path / "cache" / "datasets" / "mnist", small)
    assert shapes(mnist.load_data()) == SHAPES


def test_a_folder_as_argument(small: dict[str, bytes], tmp_path: Path) -> None:
    write(tmp_path / "here", small)
    assert shapes(mnist.load_data(tmp_path / "here")) == SHAPES


def test_an_incomplete_folder_as_argument(
    small: dict[str, bytes], tmp_path: Path
) -> None:
    small.popitem()
    write(tmp_path / "here", small)
    with pytest.raises(DataError, match=r"lacks t10k-labels-idx1-ubyte\.gz"):
        mnist.load_data(str(tmp_path / "here"))


def test_what_is_nowhere_is_downloaded_once(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mirror", small)
    set_mirrors(monkeypatch, tmp_path / "mirror")
    assert shapes(mnist.load_data()) == SHAPES
    set_mirrors(monkeypatch)
    assert shapes(mnist.load_data()) == SHAPES


@pytest.mark.usefixtures("small")
def test_offline_the_message_says_where_to_put_which_files(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        mnist.load_data()
    told = str(caught.value)
    assert all(f"{part.name}.gz" in told for part in mnist.FILES.parts)
    assert str(tmp_path / "cache" / "datasets" / "mnist") in told
    assert "CHAINRULE_DATA" in told


def test_another_data_set_of_the_same_file_names_is_refused(
    small: dict[str, bytes], tmp_path: Path
) -> None:
    name = "train-labels-idx1-ubyte"
    small[name] = small[name][:-1] + b"\7"
    write(tmp_path / "here", small)
    with pytest.raises(DataError, match="not MNIST's train-labels") as caught:
        mnist.load_data(tmp_path / "here")
    assert str(tmp_path / "here" / f"{name}.gz") in str(caught.value)


def test_a_damaged_file_is_refused(small: dict[str, bytes], tmp_path: Path) -> None:
    write(tmp_path / "here", small)
    file = tmp_path / "here" / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="gzip file is damaged"):
        mnist.load_data(tmp_path / "here")


def test_a_wrong_download_is_not_kept(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dict.fromkeys(small, b"<html>")
    write(tmp_path / "mirror", wrong)
    set_mirrors(monkeypatch, tmp_path / "mirror")
    with pytest.raises(DownloadError, match="its content is another"):
        mnist.load_data()
    assert list((tmp_path / "cache" / "datasets" / "mnist").iterdir()) == []


def test_files_known_by_their_packed_digest(
    small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_folders(monkeypatch, tmp_path, tmp_path / "data")
    write(tmp_path / "data" / "fashion-mnist", small)
    write(tmp_path / "data", dict.fromkeys(small, b"the files of another set"))
    parts = []
    for part in mnist.FILES.parts:
        packed = (tmp_path / "data/fashion-mnist" / f"{part.name}.gz").read_bytes()
        digest = hashlib.sha256(packed).hexdigest()
        parts.append(replace(part, digest=digest, of_packed=True))
    few = replace(fashion_mnist.FILES, parts=tuple(parts), mirrors=())
    monkeypatch.setattr(fashion_mnist, "FILES", few)
    assert shapes(fashion_mnist.load_data()) == SHAPES
    write(tmp_path / "unpacked", small, packed=False)
    with pytest.raises(DataError, match="lacks"):
        fashion_mnist.load_data(tmp_path / "unpacked")
    other = tmp_path / "data" / "fashion-mnist" / f"{parts[0].name}.gz"
    other.write_bytes(gzip.compress(small[parts[0].name], 1, mtime=7))
    with pytest.raises(DataError, match="not Fashion-MNIST's train-images"):
        fashion_mnist.load_data()
    other.write_bytes(bytes(20_000))
    with pytest.raises(DataError, match="Fashion-MNIST"):
        fashion_mnist.load_data()


@real_data
def test_the_real_mnist() -> None:
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    assert x_train.shape == (60000, 28, 28)
    assert x_test.shape == (10000, 28, 28)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype("uint8")}
    assert y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert y_test[:5].tolist() == [7, 2, 1, 0, 4]
    assert round(float(x_train.mean()), 4) == 33.3184
