"""What is shown of labelled texts, and of what was told about them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.recipes import images_drawing as drawing
from chainrule.recipes.images_data import TEST, TRAIN, VALIDATION
from chainrule.recipes.images_measures import Measures
from chainrule.recipes.images_report import (
    CONFUSION,
    REPORT,
    TOLD,
    as_markdown,
    confusion_rows,
    figures_line,
    listed,
    measures_rows,
    mixed_up_lines,
)
from chainrule.recipes.text import Outcome, Problem
from chainrule.recipes.text_data import TEXTS
from chainrule.training.files import write_atomically

Array = np.ndarray[Any, Any]

MISTAKES = 20
LENGTH = 160  # characters of a text that are shown
PARTS = {TRAIN: "to learn from", VALIDATION: "to look at", TEST: "held out"}
Words = Sequence[Sequence[tuple[str, float]]]


def classes_rows(problem: Problem) -> list[list[str]]:
    """How many texts of each class every part has."""
    data = problem.data
    shown = {part: name for part, name in PARTS.items() if len(problem.parts[part])}
    counts = {part: data.counts(problem.parts[part]) for part in shown}
    chosen = listed(len(data.class_names), counts[TRAIN])
    rows = [
        [data.class_names[k], *(f"{counts[part][k]:,}" for part in shown)]
        for k in chosen
    ]
    return [["class", *shown.values()], *rows]


def words_rows(
    words: Words, class_names: Sequence[str], counts: Array
) -> list[list[str]]:
    """The words that speak most for each class."""
    chosen = listed(len(class_names), counts)
    rows = [
        [class_names[k], ", ".join(word for word, _ in words[k])]
        for k in chosen
        if words[k]
    ]
    return [["class", "words"], *rows]


def mistakes_rows(
    measures: Measures, texts: Sequence[str], class_names: Sequence[str]
) -> list[list[str]]:
    """The mistakes of which the network was surest."""
    rows = []
    for row in measures.worst(MISTAKES):
        said = int(measures.found[row])
        share = f"{measures.said[row, said]:.0%}"
        true = class_names[int(measures.labels[row])]
        rows.append([shorten(texts[row]), true, class_names[said], share])
    return [["text", "class", "told", "probability"], *rows]


def shorten(text: str, length: int = LENGTH) -> str:
    """A text in one line of at most so many characters.

    Example:
        >>> shorten("so  long\\nand thanks", 12), shorten("")
        ('so long and…', '(empty)')
    """
    line = " ".join(text.split())
    if not line:
        return "(empty)"
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def describe_training(outcome: Outcome) -> str:
    """The network and how it was trained, in a sentence."""
    weights = outcome.network.count_params()
    return (
        f"Texts are read as {outcome.reads}. {weights:,} weights, "
        f"{len(outcome.history.epoch)} epochs in steps of {outcome.batch_size}, "
        f"{outcome.seconds:.0f} seconds"
    )


def write_told(path: Path, problem: Problem, measures: Measures) -> None:
    """Write what was told about each text held out, as CSV."""
    names = problem.data.class_names
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["text", "class", "told", "probability"])
    rows = zip(
        problem.texts(TEST),
        measures.labels.tolist(),
        measures.found.tolist(),
        measures.said.max(axis=1).tolist(),
        strict=True,
    )
    for content, true, said, share in rows:
        writer.writerow([content, names[true], names[said], f"{share:.4f}"])
    write_atomically(path, text.getvalue().encode("utf-8", "replace"))


def write_report(
    folder: Path, problem: Problem, outcome: Outcome, words: Words, seed: int
) -> None:
    """Write `report.md`: the texts, the network, the measures, words and mistakes."""
    data, measures = problem.data, outcome.measures
    names = data.class_names
    picture = drawing.draw_confusion(measures.confusion, names)
    if picture is not None:
        write_atomically(folder / CONFUSION, picture)
    held_out = problem.texts(TEST)
    parts = [
        f"# {data.name}",
        f"Held out: **{figures_line(measures)}**; {len(held_out):,} texts, "
        f"seed {seed}.",
        "## The texts",
        f"{len(data):,} texts of {len(names)} classes.",
        as_markdown(classes_rows(problem)),
        _bullets(problem.notes),
        "## The network",
        describe_training(outcome) + ".",
        "![loss](loss.png)" if (folder / "loss.png").exists() else "",
        "## What was told about the texts held out",
        as_markdown(measures_rows(measures, names, TEXTS)),
        *(as_markdown(rows) for rows in [confusion_rows(measures, names)] if rows),
        _bullets(mixed_up_lines(measures, names)),
        f"![What is taken for what]({CONFUSION})" if picture is not None else "",
        "## Words that speak most for each class",
        "By how much the probability of the class falls without them, over texts held "
        "out.",
        as_markdown(words_rows(words, names, data.counts(problem.parts[TRAIN]))),
        "## The surest mistakes",
        as_markdown(mistakes_rows(measures, held_out, names)),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    write_atomically(folder / REPORT, text.encode("utf-8", "replace"))


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


__all__ = [
    "CONFUSION",
    "REPORT",
    "TOLD",
    "classes_rows",
    "describe_training",
    "mistakes_rows",
    "shorten",
    "words_rows",
    "write_report",
    "write_told",
]
