"""Detectors in a few lines, and the mistakes that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import chainrule as cr
from chainrule.data.annotations import AnnotatedPicture, Annotations
from chainrule.data.places import FolderPlace
from chainrule.errors import ArgumentError, ShapeError
from chainrule.recipes import detection, detection_use
from chainrule.recipes.detection_gallery import caption, draw_sheet, write_sheets
from chainrule.recipes.detection_mistakes import (
    FALSE,
    MISLABELLED,
    MISPLACED,
    MISSED,
    RIGHT,
    TWICE,
    Judged,
    count_kinds,
    judge,
    worst,
)
from chainrule.recipes.detection_network import Size
from chainrule.recipes.detector import Detector, Found, Suppression, train_detector
from tests.recipes.drawn_shapes import write_voc

Array = np.ndarray[Any, Any]
SMALL = Size(32, 32, (4, 8), stem=4, stages=(8, 8), pyramid=8, head=1)


def one_picture(folder: Path, boxes: Any, labels: Any, **marks: Any) -> Annotations:
    """A picture with these boxes, of the classes cat and dog."""
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (100, 80), (90, 120, 60)).save(folder / "a.png")
    none = np.zeros(len(labels), bool)
    picture = AnnotatedPicture(
        path=folder / "a.png",
        width=100,
        height=80,
        boxes=np.float32(boxes).reshape(-1, 4),
        labels=np.array(labels, "int64"),
        crowd=np.array(marks.get("crowd", none)),
        difficult=np.array(marks.get("difficult", none)),
        id=0,
        place=FolderPlace(folder),
        name="a.png",
    )
    return Annotations([picture], ["cat", "dog"])


def found(*rows: Any) -> Found:
    """Boxes, each with a score and a label behind the corners."""
    table = np.float32(rows).reshape(-1, 6)
    return Found(table[:, :4], table[:, 4], table[:, 5].astype("int64"))


OBJECTS = [[0, 0, 20, 20], [40, 0, 60, 20], [0, 40, 20, 60], [70, 50, 90, 70]]


@pytest.fixture
def judged(tmp_path: Path) -> list[Judged]:
    annotations = one_picture(tmp_path / "p", OBJECTS, [0, 0, 1, 1])
    said = found(
        [0, 0, 20, 19, 0.9, 0],  # right
        [0, 1, 20, 20, 0.8, 0],  # its object was found before
        [40, 0, 60, 21, 0.7, 1],  # it is a cat
        [8, 40, 28, 60, 0.6, 1],  # overlap 12 / 28
        [60, 30, 65, 35, 0.5, 0],  # nothing is there
        [70, 50, 90, 70, 0.2, 1],  # below the score
    )
    return judge(annotations, [said], 0.3)


def test_each_kind_of_mistake_is_told_apart(judged: list[Judged]) -> None:
    kinds = [RIGHT, TWICE, MISLABELLED, MISPLACED, FALSE, MISSED]
    assert [each.kind for each in judged] == kinds
    assert judged[3].overlap == pytest.approx(12 / 28)
    assert judged[2].label == 0
    assert judged[2].said == 1
    counts = count_kinds(judged, 2)
    assert counts[MISSED] == [0, 1]
    assert counts[FALSE] == [1, 0]
    # every object is right, missed, or what a mislabelled or misplaced box is about
    about = (RIGHT, MISSED, MISLABELLED, MISPLACED)
    assert sum(sum(counts[kind]) for kind in about) == len(OBJECTS)


def test_a_box_takes_the_object_that_it_overlaps_most(tmp_path: Path) -> None:
    annotations = one_picture(tmp_path, [[0, 0, 20, 20], [5, 0, 25, 20]], [0, 0])
    judged = judge(
        annotations, [found([5, 0, 25, 20, 0.9, 0], [4, 0, 24, 20, 0.8, 0])], 0
    )
    assert [each.kind for each in judged] == [RIGHT, RIGHT]
    assert judged[0].overlap == pytest.approx(1)


def test_a_box_beside_an_object_that_was_found_is_false(tmp_path: Path) -> None:
    annotations = one_picture(tmp_path, [[0, 0, 20, 20]], [0])
    said = found([0, 0, 20, 20, 0.9, 0], [12, 0, 32, 20, 0.8, 0])
    assert [each.kind for each in judge(annotations, [said], 0)] == [RIGHT, FALSE]
    alone = found([12, 0, 32, 20, 0.8, 0])
    assert [each.kind for each in judge(annotations, [alone], 0)] == [MISPLACED]


def test_classes_have_scores_of_their_own() -> None:
    said = found([0, 0, 1, 1, 0.9, 0], [0, 0, 1, 1, 0.5, 1], [0, 0, 1, 1, 0.4, 0])
    shown = said.above(np.array([0.6, 0.45]))
    assert shown.labels.tolist() == [0, 1]
    assert len(said.above(0.45).labels) == 2


def test_crowds_and_difficult_objects_count_neither_way(tmp_path: Path) -> None:
    boxes = [[0, 0, 60, 60], [70, 50, 90, 70]]
    marks = {"crowd": [True, False], "difficult": [False, True]}
    annotations = one_picture(tmp_path, boxes, [0, 1], **marks)
    said = found([5, 5, 15, 15, 0.9, 0], [70, 50, 90, 69, 0.9, 1])
    assert judge(annotations, [said], 0.5) == []
    other = judge(annotations, [found([5, 5, 15, 15, 0.9, 1])], 0.5)
    assert [each.kind for each in other] == [FALSE]


def test_pictures_without_objects_or_boxes_are_judged(tmp_path: Path) -> None:
    empty = one_picture(tmp_path, [], [])
    (only,) = judge(empty, [found([1, 1, 9, 9, 0.9, 1])], 0.5)
    assert (only.kind, only.label) == (FALSE, 1)
    assert judge(empty, [found()], 0.5) == []
    full = one_picture(tmp_path, OBJECTS, [0, 0, 1, 1])
    assert [each.kind for each in judge(full, [found()], 0.5)] == [MISSED] * 4


def test_the_gravest_come_first(judged: list[Judged]) -> None:
    rows = [Judged(FALSE, 0, 0, score=score) for score in (0.3, 0.9, 0.5)]
    assert [each.score for each in worst(rows, FALSE, 2)] == [0.9, 0.5]
    sizes = [Judged(MISSED, 0, 0, np.float32([0, 0, a, 1])) for a in (2, 8, 5)]
    assert worst(sizes, MISSED, 1)[0] is sizes[1]


def test_sheets_show_each_kind(tmp_path: Path, judged: list[Judged]) -> None:
    annotations = one_picture(tmp_path / "p", OBJECTS, [0, 0, 1, 1])
    sheets = write_sheets(tmp_path / "sheets", annotations, judged)
    assert list(sheets) == [MISSED, FALSE, MISLABELLED, MISPLACED, TWICE]
    assert sheets[MISPLACED].name == "badly_placed.jpg"
    sheet = np.asarray(draw_sheet(annotations, [judged[2], judged[3]]))
    white = (sheet[:200, :208] == 255).all(-1)
    assert white.any(0).sum() > 80  # the true box
    assert caption(judged[2], ["cat", "dog"]) == "dog 70%, truly cat"
    assert caption(judged[3], ["cat", "dog"]) == "dog 60%, overlap 0.43"
    assert caption(judged[5], ["cat", "dog"]) == "dog, missed"
    assert write_sheets(tmp_path / "none", annotations, judged[:1]) == {}
    assert not (tmp_path / "none").exists()


def test_from_a_folder_to_a_drawn_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "choose_size", lambda pictures, longest: SMALL)
    monkeypatch.setattr(detection_use, "LEAST_SCORE", 0.0)
    folder = write_voc(tmp_path / "shapes", 12)
    lines: list[str] = []
    detector = train_detector(folder, tmp_path / "run", lines.append, epochs=2)
    assert len(lines) == 2
    assert detector.class_names == ["ellipse", "rectangle"]
    again = Detector.load(tmp_path / "run", Suppression(overlap=0.1))
    file = folder / "001.png"
    pixels = np.asarray(Image.open(file))
    by_path, by_pixels = detector.find(file), detector.find(pixels)
    np.testing.assert_array_equal(by_path.boxes, by_pixels.boxes)
    assert len(again.find(file).boxes) < len(by_path.boxes)
    assert again.find(file).boxes.max() <= 64
    drawn = detector.draw(file, by_path, score=0.0)
    assert drawn.shape == pixels.shape
    assert (drawn != pixels).any()
    assert (detector.draw(pixels, by_path, score=1.0) == pixels).all()
    figures = again.evaluate(folder).figures
    assert 0 <= figures["AP50"] <= 1
    many = list(detector.find_all([file, pixels, file], batch_size=2))
    assert len(many) == 3
    np.testing.assert_allclose(many[2].boxes, by_path.boxes, atol=1e-3)
    with pytest.raises(ShapeError, match="no picture"):
        detector.find(pixels.astype("float32"))
    with pytest.raises(ArgumentError, match="holds a model"):
        train_detector(folder, tmp_path / "run", epochs=1)


def test_other_models_are_no_detectors() -> None:
    other = cr.Sequential([cr.layers.Dense(2, input_shape=(3,))])
    with pytest.raises(ArgumentError, match="does not find objects"):
        Detector(other)
