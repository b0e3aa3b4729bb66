"""Labelled pictures on the command line: train, evaluate, predict."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from chainrule.cli import app, choose_task
from chainrule.recipes import images_data
from chainrule.recipes.images_network import BUILDERS
from tests.recipes.drawn_classes import tiny_network, write_classes
from tests.recipes.drawn_shapes import write_voc


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(BUILDERS, "tiny", tiny_network)


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def rows_of(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


QUICK = ("--epochs", "2", "--model", "tiny")


def test_from_a_folder_to_predictions() -> None:
    folder = write_classes(Path("shapes"), 12)
    (folder / "disc" / "003.png").write_bytes(b"no picture at all")
    text = run("train", "shapes", *QUICK, "--out", "out")
    assert "36 pictures of 3 classes" in text
    assert "left out: shapes/disc/003.png" in text
    assert "epoch 2/2" in text
    names = {path.name for path in Path("out").iterdir()}
    assert names >= {"model.chainrule", "report.md", "test.csv", "confusion.png"}
    assert "best.safetensors" not in names
    record = json.loads(Path("out/run.json").read_text())
    assert list(record["damaged"]) == ["shapes/disc/003.png"]
    assert record["pictures"] == {"train": 29, "validation": 0, "test": 6}
    assert "| cross |" in Path("out/report.md").read_text()
    assert len(rows_of("out/test.csv")) == 6

    text = run("evaluate", "out", "shapes")
    assert "35 pictures" in text
    assert "balanced accuracy" in text
    text = run("predict", "out", "shapes", "-o", "said.csv")
    assert "35 predictions in said.csv" in text
    rows = rows_of("said.csv")
    assert set(rows[0]) == {"picture", "class", "p(cross)", "p(disc)", "p(square)"}
    one = run("predict", "out", "shapes/cross/001.png", "-o", "one.csv")
    (only,) = rows_of("one.csv")
    same = next(row for row in rows if row["picture"] == "shapes/cross/001.png")
    assert float(only["p(disc)"]) == pytest.approx(float(same["p(disc)"]), rel=1e-4)
    assert one.startswith(f"shapes/cross/001.png: {only['class']} ")
    assert "no picture" in run("predict", "out", "shapes/disc/003.png", code=1)


def test_a_zip_with_parts_is_measured_on_its_own_part() -> None:
    write_classes(Path("set/train"), 6)
    write_classes(Path("set/test"), 3, seed=1)
    shutil.make_archive("pictures", "zip", "set")
    text = run("train", "pictures.zip", *QUICK, "--augment", "none", "--size", "16")
    assert "16 x 16 pixels of 3 channels" in text
    assert "changes: none" in text
    assert "9 pictures of the part test" in run(
        "evaluate", "runs/pictures", "pictures.zip"
    )
    assert "27 predictions" in run("predict", "runs/pictures", "pictures.zip")


def test_a_table_of_files() -> None:
    write_classes(Path("files"), 5, kinds=("disc", "cross"))
    lines = [f"files/{k}/{n:03}.png,{k}" for k in ("disc", "cross") for n in range(5)]
    Path("table.csv").write_text("\n".join(["file,kind", *lines]) + "\n")
    columns = ("--image", "file", "--target", "kind")
    assert "10 pictures of 2 classes" in run("train", "table.csv", *columns, *QUICK)
    assert "10 pictures" in run("evaluate", "runs/table", "table.csv", *columns)
    assert "no such column" in run("train", "table.csv", "--image", "x", code=1)


def test_a_data_set_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0)
    x = numbers.integers(0, 255, (60, 12, 12)).astype(np.uint8)
    y = np.arange(60) % 3
    data = (x[:40], y[:40]), (x[40:], y[40:])
    known = (lambda: data, ("a", "b", "c"))
    monkeypatch.setitem(images_data.DATA_SETS, "fashion_mnist", known)
    text = run("train", "fashion_mnist", "--epochs", "1", "--model", "tiny")
    assert "12 x 12 pixels, shades of grey" in text
    assert "20 pictures of the part test" in run("evaluate", "runs/fashion_mnist")


def test_what_the_path_holds_decides() -> None:
    write_voc(Path("boxes"), 3)
    text = run("train", "boxes", "--task", "classify", code=1)
    assert "a folder for every class" in text
    assert choose_task("boxes", {}).names[0] == "detect"
    write_classes(Path("shapes"), 2)
    assert choose_task("shapes", {}).names[0] == "classify"
    Path("table.csv").write_text("a,b\n1,2\n")
    assert choose_task("table.csv", {}).names[0] == "table"
    assert choose_task("table.csv", {"image": "a"}).names[0] == "classify"
    assert "annotations" in run("train", "shapes", "--task", "detect", code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "vgg"), "resnet20"),
        (("--size", "big"), "--size 64"),
        (("--augment", "spin"), "crop, flip"),
        (("--damaged", "refuse"), "001.png"),
    ],
)
def test_mistakes_are_lessons(arguments: tuple[str, ...], message: str) -> None:
    folder = write_classes(Path("shapes"), 3)
    (folder / "disc" / "001.png").write_bytes(b"")
    assert message in run("train", "shapes", *arguments, code=1)
    assert not Path("runs").exists()


def test_other_classes_cannot_be_measured() -> None:
    run("train", str(write_classes(Path("shapes"), 3)), *QUICK, "--out", "out")
    for name in ("disc", "ring"):
        Path("other", name).mkdir(parents=True)
        Image.new("L", (9, 9)).save(f"other/{name}/1.png")
    text = run("evaluate", "out", "other", code=1)
    assert "the model does not know" in text
    assert "ring" in text


def test_a_run_goes_on_with_other_pictures() -> None:
    run("train", str(write_classes(Path("shapes"), 4)), *QUICK, "--out", "first")
    other = str(write_classes(Path("other"), 4, ("disc", "cross")))
    options = ("--epochs", "2", "--from", "first", "--freeze", "--out", "second")
    assert "tiny, " in run("train", other, *options)
    assert "8 pictures" in run("evaluate", "second", other)
    assert "no model here" in run("train", other, "--from", "nowhere", code=1)
