"""What is shown of labelled pictures, and of what was told about them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.layers import Conv2D
from chainrule.models import Model
from chainrule.recipes import images_drawing as drawing
from chainrule.recipes.detection_report import make_table, plain
from chainrule.recipes.images import Outcome, Problem
from chainrule.recipes.images_data import PICTURES, TEST, TRAIN, VALIDATION
from chainrule.recipes.images_measures import Measures
from chainrule.training.files import write_atomically

Array = np.ndarray[Any, Any]

MOST_CLASSES = 30  # that are listed one by one
MOST_ACROSS = 12  # columns of a table of confusion
MISTAKES = 24  # of a sheet
MIXED_UP = 10
REPORT, TOLD = "report.md", "test.csv"
CONFUSION, SHEET, FILTERS = "confusion.png", "mistakes.png", "filters.png"
PARTS = {TRAIN: "to learn from", VALIDATION: "to choose by", TEST: "held out"}


def listed(count: int, weight: Array) -> list[int]:
    """The classes that are listed: all, or the first and last by a weight.

    Example:
        >>> listed(3, np.array([5, 1, 9])), len(listed(100, np.arange(100)))
        ([0, 1, 2], 30)
    """
    if count <= MOST_CLASSES:
        return list(range(count))
    order = np.argsort(-weight, kind="stable").tolist()
    half = MOST_CLASSES // 2
    return order[:half] + order[-half:]


def classes_rows(problem: Problem) -> list[list[str]]:
    """How many pictures of each class every part has."""
    data = problem.data
    counts = {part: data.counts(rows) for part, rows in problem.parts.items()}
    chosen = listed(len(data.class_names), counts[TRAIN])
    rows = [
        [data.class_names[k], *(f"{counts[part][k]:,}" for part in PARTS)]
        for k in chosen
    ]
    return [["class", *PARTS.values()], *rows]


def measures_rows(
    measures: Measures, class_names: Sequence[str], things: str = PICTURES
) -> list[list[str]]:
    """Precision, recall and F1 of every class, the mean below."""
    found = measures.by_class()
    chosen = listed(len(found), np.array([each["f1"] for each in found]))
    keys = ("precision", "recall", "f1")
    rows = [["class", things, "precision", "recall", "F1"]]
    for k in chosen:
        shares = (f"{found[k][key]:.1%}" for key in keys)
        rows.append([class_names[k], f"{found[k]['pictures']:,}", *shares])
    there = [each for each in found if each["pictures"]]
    means = (f"{np.mean([each[key] for each in there]):.1%}" for key in keys)
    total = sum(each["pictures"] for each in found)
    return [*rows, ["mean of the classes", f"{total:,}", *means]]


def confusion_rows(measures: Measures, class_names: Sequence[str]) -> list[list[str]]:
    """True classes down, told classes across; of many classes none."""
    if len(class_names) > MOST_ACROSS:
        return []
    counts = measures.confusion.tolist()
    head = ["true \\ told", *(drawing.short(name, 10) for name in class_names)]
    pairs = zip(class_names, counts, strict=True)
    return [head, *([name, *(f"{n:,}" for n in row)] for name, row in pairs)]


def as_table(rows: Sequence[Sequence[str]]) -> Any:
    """Rows as a table for a terminal; the first are the headings."""
    table = make_table(*map(plain, rows[0]))
    for row in rows[1:]:
        table.add_row(*map(plain, row))
    return table


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    r"""Rows as a table of Markdown; the first are the headings.

    Example:
        >>> print(as_markdown([["a", "b"], ["x|y", "1"]]))
        | a | b |
        | --- | ---: |
        | x\|y | 1 |
    """
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in rows
    ]
    rule = "| --- |" + " ---: |" * (len(rows[0]) - 1)
    return "\n".join([lines[0], rule, *lines[1:]])


def figures_line(measures: Measures) -> str:
    """The measures in a line."""
    figures = measures.figures()
    shares = [
        f"{name.replace('_', ' ')} {value:.2%}"
        for name, value in figures.items()
        if name != "loss"
    ]
    return ", ".join([*shares, f"loss {figures['loss']:.4f}"])


def mixed_up_lines(measures: Measures, class_names: Sequence[str]) -> list[str]:
    """The commonest mistakes in lines."""
    return [
        f"{class_names[true]} taken for {class_names[said]}: {count:,}"
        for true, said, count in measures.mixed_up(MIXED_UP)
    ]


# ---- files of a run ------------------------------------------------------------------


def write_told(path: Path, problem: Problem, measures: Measures) -> None:
    """Write what was told about each picture held out, as CSV."""
    names = problem.data.class_names
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "class", "told", "probability"])
    rows = zip(
        problem.parts[TEST].tolist(),
        measures.labels.tolist(),
        measures.found.tolist(),
        measures.said.max(axis=1).tolist(),
        strict=True,
    )
    for place, true, said, share in rows:
        called = problem.data.origin.called(place)
        writer.writerow([called, names[true], names[said], f"{share:.4f}"])
    write_atomically(path, text.getvalue().encode())


def write_pictures(folder: Path, problem: Problem, outcome: Outcome) -> list[str]:
    """Draw confusion, worst mistakes and first filters; the names of what was drawn."""
    drawn = {
        CONFUSION: drawing.draw_confusion(
            outcome.measures.confusion, problem.data.class_names
        ),
        SHEET: draw_mistakes(problem, outcome.measures),
        FILTERS: draw_first_filters(outcome.network, picture_of(problem, 0)),
    }
    found = {name: content for name, content in drawn.items() if content is not None}
    for name, content in found.items():
        write_atomically(folder / name, content)
    return list(found)


def picture_of(problem: Problem, row: int) -> Array:
    """A picture held out, as the network sees it."""
    place = int(problem.parts[TEST][row])
    if problem.pixels is not None:
        return np.asarray(problem.pixels[place])
    return problem.form.read(problem.data.origin.read(place))


def draw_mistakes(problem: Problem, measures: Measures) -> bytes | None:
    """The mistakes of which the network was surest; None where there are none."""
    names = problem.data.class_names
    worst = measures.worst(MISTAKES)
    captions = []
    for row in worst:
        said, share = int(measures.found[row]), float(measures.said[row].max())
        true = names[int(measures.labels[row])]
        captions.append([true, f"told {names[said]}, {share:.0%}"])
    return drawing.draw_sheet([picture_of(problem, row) for row in worst], captions)


def draw_first_filters(network: Any, picture: Array) -> bytes | None:
    """The filters of the first convolution, and what they find in a picture.

    None where there are none to see.
    """
    for layer in network.layers:
        if isinstance(layer, Conv2D):
            first = Model(network.input, layer.output)
            responses = np.asarray(first.predict(picture[None], verbose=0))[0]
            return drawing.draw_filters(layer.kernel.numpy(), responses)
    return None


def write_report(
    folder: Path, problem: Problem, outcome: Outcome, drawn: Sequence[str]
) -> None:
    """Write `report.md`: the pictures, the network, the measures and the mistakes."""
    names = problem.data.class_names
    parts = [
        f"# {problem.data.name}",
        f"Held out: **{figures_line(outcome.measures)}**.",
        "## The pictures",
        f"{len(problem.data):,} pictures of {len(names)} classes: "
        f"{problem.looks.describe()}.",
        as_markdown(classes_rows(problem)),
        *_bullets(problem.notes),
        *_damaged(problem),
        "## The network",
        describe_training(problem, outcome) + ".",
        "![loss](loss.png)" if (folder / "loss.png").exists() else "",
        "## What was told about the pictures held out",
        as_markdown(measures_rows(outcome.measures, names)),
    ]
    confusion = confusion_rows(outcome.measures, names)
    if confusion:
        parts.append(as_markdown(confusion))
    parts += _bullets(mixed_up_lines(outcome.measures, names))
    titles = {
        CONFUSION: "What is taken for what",
        SHEET: "The surest mistakes",
        FILTERS: "The filters of the first convolution, and what they find",
    }
    parts += [f"## {titles[name]}\n\n![{titles[name]}]({name})" for name in drawn]
    text = "\n\n".join(part for part in parts if part) + "\n"
    write_atomically(folder / REPORT, text.encode())


def _bullets(lines: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {line}" for line in lines)] if lines else []


def _damaged(problem: Problem) -> list[str]:
    if not problem.damaged:
        return []
    lines = [f"{name}: {why}" for name, why in problem.damaged.items()]
    return [f"{len(lines):,} files could not be read:", *_bullets(lines)]


def describe_training(problem: Problem, outcome: Outcome) -> str:
    """The network and how it was trained, in a sentence."""
    network, form = outcome.network, problem.form
    changes = ", ".join(outcome.changes) or "none"
    return (
        f"{network.name}, {network.count_params():,} weights, pictures of "
        f"{form.width} x {form.height} x {form.channels}; "
        f"{len(outcome.history.epoch)} epochs in steps of {outcome.batch_size}, "
        f"changes: {changes}"
    )
