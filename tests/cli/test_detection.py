"""Detection on the command line: train, evaluate, detect."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import chainrule as cr
from chainrule.cli import app, choose_task
from chainrule.recipes import detection, detection_use
from chainrule.recipes.detection_network import Size
from tests.recipes.drawn_shapes import write_voc

SMALL = Size(32, 32, (4, 8), stem=4, stages=(8, 8), pyramid=8, head=1)


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def test_from_annotations_to_drawn_boxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "choose_size", lambda pictures, longest: SMALL)
    monkeypatch.setattr(detection_use, "LEAST_SCORE", 0.0)  # it learns next to nothing
    monkeypatch.chdir(tmp_path)
    write_voc(tmp_path / "shapes", 12)
    (tmp_path / "shapes" / "003.png").write_bytes(b"no picture at all")
    text = run("train", "shapes", "--task", "detect", "--epochs", "2", "--out", "out")
    assert "003.png" in text  # a damaged picture is named, and left out
    assert "cannot identify image file)" in " ".join(text.split())
    assert "11 pictures, 2 classes" in text
    assert "AP@0.5" in text
    folder = tmp_path / "out"
    names = {path.name for path in folder.iterdir()}
    assert {"model.chainrule", "history.csv", "precision_recall.csv"} <= names
    assert "best.safetensors" not in names
    assert len(list((folder / "pictures").glob("*.jpg"))) == 2
    page = (folder / "report.html").read_text()
    assert "shapes: 2 pictures held out" in page
    assert "pictures/00-" in page
    record = json.loads((folder / "run.json").read_text())
    assert set(record["held_out"]) >= {"AP", "AP50"}
    assert any("003.png" in problem for problem in record["problems"])

    text = run("evaluate", "out", "shapes", "--results", "boxes.json", "--out", "sees")
    assert "AP@0.5" in text
    assert "AR_medium" in text
    assert "found twice" in text
    assert Path("sees/report.html").is_file()
    rows = json.loads(Path("boxes.json").read_text())
    assert set(rows[0]) == {"image_id", "category_id", "bbox", "score"}
    assert {row["category_id"] for row in rows} <= {1, 2}
    check_suppression("out", "shapes", len(rows))
    run(
        *("detect", "out", "shapes/001.png", "-o", "found.jpg"),
        *("--score", "0", "--json", "found.json"),
    )
    with Image.open("found.jpg") as drawn:
        assert drawn.size == (64, 64)
    (only,) = json.loads(Path("found.json").read_text())
    assert only["found"][0]["class"] in ("ellipse", "rectangle")
    assert len(only["found"][0]["box"]) == 4

    text = run("detect", "out", "shapes", "-o", "all")  # a folder goes on without it
    assert "left out" in text
    assert "003.png" in text
    assert len(list(Path("all").iterdir())) == 11
    assert "BytesIO" not in text
    assert "chainrule detect" in run("predict", "out", "shapes/001.png", code=1)
    error = run("detect", "out", "shapes/003.png", code=1)
    assert "003.png" in error
    assert "PNG or JPEG" in run("detect", "out", "shapes/001.png", "-o", "x.y", code=1)
    assert "share" in run("detect", "out", "shapes/001.png", "--score", "2", code=1)


def check_suppression(model: str, data: str, hard: int) -> None:
    """Soft suppression leaves more boxes, that between classes fewer."""

    def count(*options: str) -> int:
        run("evaluate", model, data, "--results", "other.json", *options)
        return len(json.loads(Path("other.json").read_text()))

    assert count("--suppression", "linear", "--overlap", "0.3") > hard
    assert count("--across-classes", "--overlap", "0.3") < hard
    error = run("detect", model, f"{data}/001.png", "--suppression", "soft", code=1)
    assert "linear, gaussian" in error


def test_options_of_detection_are_refused_by_other_models(tmp_path: Path) -> None:
    model = cr.Sequential([cr.layers.Input((4,)), cr.layers.Dense(2)])
    file = str(model.save(tmp_path / "other.chainrule"))
    said = run("evaluate", file, "--across-classes", code=1)
    assert "an option of detection" in said


def test_annotations_are_known_without_being_told(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "shapes", 4)
    assert choose_task(str(folder), {}).names[0] == "detect"
    assert choose_task(str(folder / "001.xml"), {}).names[0] == "detect"
    packed = tmp_path / "packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / "shapes.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    assert choose_task(str(packed), {}).names[0] == "detect"
    assert choose_task(str(packed / "shapes.zip"), {}).names[0] == "detect"
