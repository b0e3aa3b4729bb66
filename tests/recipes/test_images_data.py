"""Labelled pictures: where they are found, and in which parts."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import ArgumentError, DataError
from chainrule.recipes import images_data
from chainrule.recipes.images_data import (
    Labelled,
    PathOrigin,
    holds_annotations,
    load_named,
    read_files_table,
    read_folder,
    unlabelled,
)
from chainrule.recipes.images_parts import divide
from tests.recipes.drawn_shapes import write_voc


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_a_folder_for_every_class(tmp_path: Path) -> None:
    names = ("b/1.png", "b/deep/2.JPG", "a/3.jpeg", "a/notes.txt", "loose.png")
    found = read_folder(touch(tmp_path, *names, ".hidden/4.png"))
    assert found.class_names == ("a", "b")
    assert found.labels.tolist() == [0, 1, 1]
    assert found.origin.called(2) == str(tmp_path / "b/deep/2.JPG")
    assert found.notes == ["1 pictures in no folder of a class were left out"]
    assert found.parts == {}


@pytest.mark.parametrize("above", ["", "flowers/", "set/Images/"])
def test_parts_below_folders_that_all_share(tmp_path: Path, above: str) -> None:
    names = ("Train/x/1.png", "Train/y/2.png", "valid/x/3.png", "test/y/4.png")
    found = read_folder(touch(tmp_path, *(above + name for name in names)))
    assert found.class_names == ("x", "y")
    assert sorted(found.parts) == ["test", "train", "validation"]
    assert [len(rows) for rows in found.parts.values()] == [2, 1, 1]


def test_classes_that_are_called_like_parts(tmp_path: Path) -> None:
    found = read_folder(touch(tmp_path, "train/1.png", "bus/2.png"))
    assert (found.class_names, found.parts) == (("bus", "train"), {})


def test_numbered_classes_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    found = read_folder(touch(tmp_path, "10/a.png", "9/b.png", "1/c.png"))
    assert found.class_names == ("1", "9", "10")


@pytest.mark.parametrize("names", [(), ("a/readme.txt",), ("a/1.png",), ("1.png",)])
def test_no_classes_to_tell_apart(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="a folder for every class"):
        read_folder(touch(tmp_path, *names))


def test_a_zip_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("set/a/1.png", "set/b/2.png", "__MACOSX/set/a/._1.png"):
            archive.writestr(name, name)
    found = read_folder(path)
    assert found.class_names == ("a", "b")
    assert [found.origin.read(k) for k in (0, 1)] == [b"set/a/1.png", b"set/b/2.png"]


def write_table(folder: Path, *rows: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_table_of_files(tmp_path: Path) -> None:
    rows = ("file,kind,split", "a.png,3,train", "b.png,1,test", "c.png,3,val")
    path = write_table(tmp_path, *rows, ",1,test", "d.png,,test")
    found = read_files_table(path, "file", "kind")
    assert found.class_names == ("1", "3")
    assert found.labels.tolist() == [1, 0, 1]
    assert found.origin.called(1) == str(tmp_path / "b.png")
    assert {k: v.tolist() for k, v in found.parts.items()} == {
        "train": [0],
        "test": [1],
        "validation": [2],
    }
    assert "2 rows without file or class left out" in found.notes


def test_a_table_without_such_columns(tmp_path: Path) -> None:
    path = write_table(tmp_path, "file,kind", "a.png,x", "b.png,x")
    with pytest.raises(DataError, match="no such column"):
        read_files_table(path, "picture", "kind")
    with pytest.raises(DataError, match="no such column"):
        read_files_table(path, "file", None)
    with pytest.raises(DataError, match="two classes or more"):
        read_files_table(path, "file", "kind")


def test_annotated_pictures_are_no_classes(tmp_path: Path) -> None:
    assert holds_annotations(str(write_voc(tmp_path / "voc", 3)))
    classes = touch(tmp_path / "classes", "a/1.png", "b/2.png")
    assert not holds_annotations(str(classes))
    (classes / "boxes.json").write_text('{"annotations": [{"bbox": [1, 2, 3, 4]}]}')
    assert holds_annotations(str(classes))


def test_pictures_without_labels(tmp_path: Path) -> None:
    folder = touch(tmp_path, "x/1.png", "2.jpg", "3.txt")
    assert len(unlabelled(folder)) == 2
    assert unlabelled(folder / "2.jpg").called(0) == str(folder / "2.jpg")
    with pytest.raises(DataError, match="no pictures"):
        unlabelled(touch(tmp_path / "empty", "3.txt"))


def test_a_data_set_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.zeros((5, 4, 4), np.uint8), np.array([[0], [1], [1], [0], [1]])
    data = (x[:3], y[:3]), (x[3:], y[3:])
    monkeypatch.setitem(images_data.DATA_SETS, "mnist", (lambda: data, ("no", "yes")))
    found = load_named("mnist")
    assert found.labels.tolist() == [0, 1, 1, 0, 1]
    assert found.origin.read(4).shape == (4, 4, 1)
    assert found.parts["test"].tolist() == [3, 4]
    with pytest.raises(ArgumentError, match="no such data set"):
        load_named("imagenet")


# ---- parts ---------------------------------------------------------------------------


def labelled(labels: list[int], **parts: list[int]) -> Labelled:
    names = tuple(map(str, range(max(labels) + 1)))
    rows = {kind: np.array(places) for kind, places in parts.items()}
    origin = PathOrigin([f"{k}.png" for k in range(len(labels))])
    return Labelled("drawn", origin, np.array(labels), names, rows)


def test_a_fifth_of_every_class_is_held_out() -> None:
    data = labelled([0] * 300 + [1] * 50 + [2])
    parts, notes = divide(data, np.arange(len(data)), seed=3)
    assert data.counts(parts["test"]).tolist() == [60, 10, 0]
    assert data.counts(parts["validation"]).tolist() == [24, 4, 0]
    together = np.concatenate(list(parts.values()))
    assert sorted(together.tolist()) == list(range(351))
    assert "(seed 3)" in notes[0]
    again, _ = divide(data, np.arange(len(data)), seed=3)
    other, _ = divide(data, np.arange(len(data)), seed=4)
    np.testing.assert_array_equal(parts["test"], again["test"])
    assert not np.array_equal(parts["test"], other["test"])


def test_few_pictures_choose_no_weights() -> None:
    parts, _ = divide(labelled([0, 1] * 10), np.arange(20), seed=0)
    assert [len(parts[k]) for k in ("train", "validation", "test")] == [16, 0, 4]


def test_parts_that_are_named_are_kept() -> None:
    data = labelled([0, 1] * 4, train=[0, 1, 2, 3], test=[4, 5], validation=[6, 7])
    parts, notes = divide(data, np.array([0, 1, 2, 4, 5, 6, 7]), seed=0)
    found = {kind: rows.tolist() for kind, rows in parts.items()}
    assert found == {"train": [0, 1, 2], "test": [4, 5], "validation": [6, 7]}
    assert notes == []


def test_a_part_to_validate_with_is_measured_where_there_is_no_other() -> None:
    data = labelled([0, 1] * 4, train=[0, 1, 2, 3], validation=[4, 5, 6, 7])
    parts, notes = divide(data, np.arange(8), seed=0)
    assert parts["test"].tolist() == [4, 5, 6, 7]
    assert "no other is named" in notes[0]


def test_too_few_pictures() -> None:
    with pytest.raises(DataError, match="fewer than two classes"):
        divide(labelled([0, 0, 1], train=[0, 1], test=[2]), np.arange(3), seed=0)
    with pytest.raises(DataError, match="no pictures are left"):
        divide(labelled([0, 1]), np.arange(2), seed=0)
