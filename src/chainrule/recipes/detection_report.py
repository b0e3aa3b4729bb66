"""What is shown of annotated pictures, and of the objects found in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.boxes import draw_boxes
from chainrule.data.annotations import Annotations
from chainrule.errors import ArgumentError
from chainrule.metrics import DetectionReport
from chainrule.recipes.detection_gallery import as_counts, write_sheets
from chainrule.recipes.detection_measures import balance
from chainrule.recipes.detection_mistakes import Judged, count_kinds
from chainrule.recipes.detection_page import MEANINGS, share, write_page
from chainrule.recipes.detection_pictures import load_pixels
from chainrule.recipes.detection_use import Found
from chainrule.training.files import write_atomically

Array = np.ndarray[Any, Any]

CURVES = "precision_recall.csv"
PICTURES = "pictures"
MISTAKES = "mistakes"
DRAWN = 8  # pictures with what was found in them
KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
OPTIONS: dict[str, dict[str, Any]] = {"PNG": {}, "JPEG": {"quality": 90}}


def make_table(*headings: str) -> Any:
    """A table for a terminal: a first column of text, and numbers."""
    # shown on a terminal only: importing chainrule loads NumPy alone
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    return table


def plain(text: str) -> str:
    """Text in which no bracket is taken for a style."""
    return text.replace("[", r"\[")


def boxes_table(annotations: Annotations, parts: dict[str, Sequence[int]]) -> Any:
    """How many boxes of each class each part has."""
    table = make_table("class", *(f"boxes, {name}" for name in parts), "median size")
    counts = [annotations.subset(places).counts() for places in parts.values()]
    for label, name in enumerate(annotations.class_names):
        numbers = (f"{count[name]:,}" for count in counts)
        table.add_row(plain(name), *numbers, _median(annotations, label))
    return table


def _median(annotations: Annotations, label: int) -> str:
    """The median width and height of the boxes of a class."""
    chosen = [p.boxes[p.labels == label] for p in annotations.pictures]
    boxes = np.concatenate(chosen)
    if not len(boxes):
        return ""
    width, height = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    return f"{width:.0f} x {height:.0f}"


def measures_table(report: DetectionReport) -> Any:
    """Average precision by class, and precision and recall where they balance."""
    table = make_table(
        "class", "objects", "AP@0.5", "AP@0.75", "AP", "precision", "recall", "score"
    )
    for label, (name, found) in zip(
        report.classes, report.by_class.items(), strict=True
    ):
        numbers = [share(found[key]) for key in ("AP50", "AP75", "AP")]
        best = balance(report, label)
        ends = ("", "", "")
        if best is not None:
            ends = (share(best.precision), share(best.recall), f"{best.score:.2f}")
        table.add_row(plain(name), f"{found['objects']:,.0f}", *numbers, *ends)
    means = [share(report.figures[key]) for key in ("AP50", "AP75", "AP")]
    total = sum(found["objects"] for found in report.by_class.values())
    table.add_row("mean of the classes", f"{total:,.0f}", *means, style="bold")
    return table


def figures_table(report: DetectionReport) -> Any:
    """The twelve figures of COCO, and what they mean."""
    table = make_table("figure", "value")
    table.add_column("of")
    for key, meaning in MEANINGS.items():
        table.add_row(key, share(report.figures[key]), meaning)
    return table


def mistakes_table(class_names: Sequence[str], counts: dict[str, list[int]]) -> Any:
    """What was found right, and the mistakes by kind and class."""
    table = make_table("class", *counts)
    for label, name in enumerate(class_names):
        numbers = (f"{numbers[label]:,}" for numbers in counts.values())
        table.add_row(plain(name), *numbers)
    total = (f"{number:,}" for number in as_counts(counts).values())
    table.add_row("all", *total, style="bold")
    return table


def write_curves(folder: Path, report: DetectionReport) -> None:
    """Write the curve of each class as CSV: recall, precision and score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "recall", "precision", "score"])
    for label, name in zip(report.classes, report.by_class, strict=True):
        curve = report.curve(label)
        points = (curve["recall"], curve["precision"], curve["score"])
        for point in zip(*(column.tolist() for column in points), strict=True):
            writer.writerow([name, *(f"{value:.4f}" for value in point)])
    write_atomically(folder / CURVES, text.getvalue().encode())


def draw(target: Path, source: Any, found: Found, class_names: Sequence[str]) -> None:
    """Write a picture with the objects found in it, as the name of the file says.

    Raises:
        ArgumentError: when the file cannot be written, or is of no known kind.
    """
    # optional: who draws needs it, nobody else
    from PIL import Image  # noqa: PLC0415

    pixels = load_pixels(source)
    drawn = draw_boxes(pixels, found.boxes, found.labels, found.scores, class_names)
    kind = KINDS.get(target.suffix.lower())
    if kind is None:
        raise ArgumentError(
            "pictures are written as PNG or JPEG",
            where=str(target),
            got=target.suffix or "no suffix",
            expected=", ".join(KINDS),
            fix="-o found.png",
        )
    file = io.BytesIO()
    Image.fromarray(drawn).save(file, kind, **OPTIONS[kind])
    try:
        write_atomically(target, file.getvalue())
    except OSError as error:
        raise ArgumentError(
            "the picture cannot be written", where=str(target), got=error.strerror
        ) from None


def write_report(
    folder: Path,
    title: str,
    annotations: Annotations,
    found: Sequence[Found],
    report: DetectionReport,
    judged: Sequence[Judged],
    score: float | Array,
) -> Path:
    """Write curves, pictures, sheets of mistakes and the page that shows them.

    Args:
        folder: where to.
        title: of the page.
        annotations: the pictures that were measured on.
        found: in each of them.
        report: how well.
        judged: of `judge`.
        score: from which on boxes are drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_curves(folder, report)
    drawn = draw_found(folder, annotations, found, score, DRAWN)
    sheets = write_sheets(folder / MISTAKES, annotations, judged)
    counts = count_kinds(judged, len(annotations.class_names))
    return write_page(folder, title, report, counts, sheets, drawn)


def draw_found(
    folder: Path,
    annotations: Annotations,
    found: Sequence[Found],
    score: float | Array,
    count: int,
) -> list[Path]:
    """Write the first pictures with what was found in them; the files."""
    into = folder / PICTURES
    into.mkdir(exist_ok=True)
    written = []
    pairs = zip(annotations.pictures[:count], found[:count], strict=True)
    for number, (picture, objects) in enumerate(pairs):
        target = into / f"{number:02}-{Path(picture.name).stem}.jpg"
        draw(target, picture.read(), objects.above(score), annotations.class_names)
        written.append(target)
    return written
