"""Folders of pictures as data sets, and pictures under the names of Keras."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import (
    ArgumentError,
    DamagedFileWarning,
    DataError,
    FormatError,
    ShapeError,
)
from chainrule.utils import (
    array_to_img,
    image_dataset_from_directory,
    img_to_array,
    load_img,
    save_img,
)

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Pictures of three classes: the shade of each is its number."""
    number = 0
    for name, count in {"katze": 5, "Hund": 4, "vögel": 3}.items():
        for place in range(count):
            path = tmp_path / name / ("deep" if place == 2 else "") / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = np.full((4 + place, 5, 3), number, np.uint8)
            Image.fromarray(shade).save(path)
            number += 1
    (tmp_path / "katze" / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "katze" / "._0.png").write_bytes(b"what a file system left")
    return tmp_path


def load(folder: Path, **options: Any) -> Any:
    return image_dataset_from_directory(folder, image_size=4, verbose=False, **options)


def shades(data: Any) -> list[int]:
    return [int(picture[0, 0, 0]) for x, _ in data for picture in x]


def test_classes_are_folders_in_alphabetical_order(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = image_dataset_from_directory(folder, image_size=(4, 6), shuffle=False)
    assert capsys.readouterr().out == "Found 12 files belonging to 3 classes.\n"
    assert data.class_names == ["Hund", "katze", "vögel"]
    ((x, y),) = list(data)
    assert x.shape == (12, 4, 6, 3)
    assert (x.dtype, y.dtype) == (np.uint8, np.int32)
    assert y.tolist() == [0] * 4 + [1] * 5 + [2] * 3
    # Keras walks a folder before those in it
    assert x[:4, 0, 0, 0].tolist() == [5, 6, 8, 7]
    assert [Path(path).name for path in data.file_paths[:4]] == [
        "0.png",
        "1.png",
        "3.png",
        "2.png",
    ]


def test_labels_in_the_forms_of_losses(folder: Path) -> None:
    names = ["vögel", "Hund"]
    y = next(iter(load(folder, class_names=names, label_mode="binary", seed=1)))[1]
    assert y.shape == (7, 1)
    assert y.dtype == np.float32
    options = {"class_names": names, "shuffle": False}
    y = next(iter(load(folder, label_mode="categorical", **options)))[1]
    assert y.tolist() == [[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 4
    for choice in ({"labels": None}, {"label_mode": None}):
        data = load(folder, **choice)
        assert data.class_names is None
        assert next(iter(data)).shape == (12, 4, 4, 3)
    given = load(folder, labels=list(range(12)), shuffle=False)
    assert next(iter(given))[1].tolist() == list(range(12))


def test_orders_are_random_new_in_every_pass_and_the_same_for_a_seed(
    folder: Path,
) -> None:
    data = load(folder, seed=3)
    first, second = shades(data), shades(data)
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    again = load(folder, seed=3)
    assert [shades(again), shades(again)] == [first, second]
    assert shades(load(folder, seed=4)) != first
    x, y = next(iter(load(folder, seed=3, batch_size=12)))
    assert [0 if 5 <= s < 9 else 1 if s < 5 else 2 for s in x[:, 0, 0, 0]] == list(y)


def test_the_parts_of_a_split_are_those_of_keras(folder: Path) -> None:
    options = {"validation_split": 0.25, "seed": 7}
    both = load(folder, subset="both", **options)
    train, validation = (data.file_paths for data in both)
    assert (len(train), len(validation)) == (9, 3)
    whole = load(folder, shuffle=False).file_paths
    assert sorted(train + validation) == sorted(whole)
    numbers = np.random.RandomState(7)
    numbers.shuffle(whole)
    assert train + validation == whole
    assert load(folder, subset="validation", **options).file_paths == validation
    assert load(folder, subset="training", **options).file_paths == train
    for wrong in ({"subset": None}, {"seed": None}, {"validation_split": 1.0}):
        with pytest.raises(ArgumentError):
            load(folder, **{"subset": "both", **options, **wrong})
    with pytest.raises(DataError, match="no picture is left for validation"):
        load(folder, subset="both", validation_split=0.01, seed=0)


def test_batches_and_single_pictures(folder: Path) -> None:
    data = load(folder, batch_size=5)
    assert len(data) == 3
    assert [len(y) for _, y in data] == [5, 5, 2]
    single = load(folder, batch_size=None, shuffle=False)
    assert len(single) == 12
    x, y = next(iter(single))
    assert x.shape == (4, 4, 3)
    assert y == 0
    assert [len(y) for _, y in single.batch(8)] == [8, 4]
    first = load(folder, data_format="channels_first", color_mode="grayscale")
    assert next(iter(first))[0].shape == (12, 1, 4, 4)


def test_a_damaged_file_is_named_or_left_out(folder: Path) -> None:
    path = folder / "Hund" / "1.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(FormatError, match=r"Hund.1\.png"):
        list(load(folder))
    data = load(folder, on_error="skip", batch_size=4, shuffle=False)
    assert len(data) == 3
    with pytest.warns(DamagedFileWarning, match=r"Hund.1\.png"):
        assert [len(y) for _, y in data] == [4, 4, 3]
    assert data.skipped == [str(path)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum(len(y) for _, y in data) == 11, "it is met once only"
    with pytest.raises(ArgumentError, match="on_error"):
        load(folder, on_error="ignore")


def test_reading_can_be_left_off(folder: Path) -> None:
    for _ in load(folder, batch_size=1):
        break


def test_a_network_learns_from_the_files(folder: Path) -> None:
    data = load(folder, batch_size=4, seed=0)
    model = cr.Sequential(
        [
            cr.layers.Input((4, 4, 3)),
            cr.layers.Rescaling(1 / 6, offset=-1),
            cr.layers.Flatten(),
            cr.layers.Dense(16, activation="tanh"),
            cr.layers.Dense(3, activation="softmax"),
        ]
    )
    rate = cr.optimizers.Adam(0.05)
    model.compile(rate, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(data, epochs=80, verbose=0, seed=0)
    assert history.history["loss"][-1] < history.history["loss"][0] / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "given"}, "labels"),
        ({"labels": [1, 2]}, "one for every picture"),
        ({"labels": [0] * 12, "class_names": ["a"]}, "class_names"),
        ({"class_names": ["Maus"]}, "names of folders"),
        ({"label_mode": "one_hot"}, "label_mode"),
        ({"label_mode": "binary"}, "two classes"),
        ({"labels": [7] * 12, "label_mode": "categorical"}, "count from 0"),
        ({"batch_size": 0}, "batch_size"),
        ({"data_format": "NHWC"}, "data_format"),
        ({"interpolation": "linear"}, "interpolation"),
    ],
)
def test_arguments_that_do_not_fit(
    folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        load(folder, **options)


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures here"):
        load(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_text("text")
    with pytest.raises(DataError, match="no pictures here"):
        load(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "absent")


# ---- single pictures -----------------------------------------------------------------


def test_pictures_go_to_files_and_back(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, 7, 4)).astype(np.float32)
    for channels in (1, 3, 4):
        save_img(tmp_path / "x.png", x[:, :, :channels], scale=False)
        mode = {1: "grayscale", 3: "rgb", 4: "rgba"}[channels]
        found = img_to_array(load_img(tmp_path / "x.png", mode))
        np.testing.assert_array_equal(found, x[:, :, :channels])
        assert found.dtype == np.float32
    first = np.moveaxis(x[:, :, :3], -1, 0)
    save_img(tmp_path / "y.bmp", first, "channels_first", scale=False)
    image = load_img(tmp_path / "y.bmp")
    np.testing.assert_array_equal(img_to_array(image, "channels_first"), first)
    with pytest.warns(UserWarning, match="transparency"):
        save_img(tmp_path / "z.jpg", x)
    file = io.BytesIO()
    save_img(file, x[:, :, :3], file_format="jpg")
    assert load_img(file.getvalue(), target_size=(3, 2)).size == (2, 3)


def test_scaling_spreads_the_values() -> None:
    x = np.linspace(-3, 5, 12).reshape(2, 2, 3)
    found = np.asarray(array_to_img(x))
    assert (found.min(), found.max()) == (0, 255)
    assert np.asarray(array_to_img(np.full((2, 2, 1), 7.0))).max() == 0
    with pytest.raises(ArgumentError, match="between 0 and 255"):
        array_to_img(x, scale=False)
    with pytest.raises(ArgumentError, match="finite"):
        array_to_img(np.full((2, 2, 1), np.nan))
    for shape in ((2, 2), (2, 2, 2), (0, 2, 3)):
        with pytest.raises(ShapeError):
            array_to_img(np.zeros(shape))


def test_the_window_that_is_kept() -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 9
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "PNG")
    image = load_img(file.getvalue(), target_size=(2, 2), keep_aspect_ratio=True)
    assert (np.asarray(image) == 9).all()
    with pytest.raises(ArgumentError, match="interpolation"):
        load_img(file.getvalue(), interpolation="area")
