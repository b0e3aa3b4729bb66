"""The commands for labelled texts: train, evaluate and predict."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, DataError
from chainrule.recipes import text_report as report
from chainrule.recipes.images_command import known_labels, show_measures
from chainrule.recipes.images_data import TEST, TRAIN, VALIDATION, Labelled
from chainrule.recipes.images_measures import measure
from chainrule.recipes.images_report import as_table
from chainrule.recipes.run_folder import MODEL, choose_folder, write_run
from chainrule.recipes.tabular_command import make_console
from chainrule.recipes.text import Outcome, Plan, Problem, learn, pose
from chainrule.recipes.text_data import (
    TEXTS,
    Columns,
    read_labelled,
    unlabelled_texts,
    with_validation,
)
from chainrule.recipes.text_network import classify, is_text_classifier
from chainrule.recipes.text_words import speaking_words, words_by_class
from chainrule.training.files import write_atomically

__all__ = ["evaluate", "is_text_classifier", "predict", "train"]

Array = np.ndarray[Any, Any]

LIKELIEST = 3  # classes that are shown of a text
TELLING = 6  # words
FILES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".gz", ".zip")


def read(path: str, plan: Plan) -> Problem:
    """The problem of a plan: its texts, those to learn from apart from the others."""
    data, columns = read_labelled(path, plan.text, plan.target, plan.header)
    if plan.validation is not None:
        other = _read_like(plan.validation, columns, (plan.text, plan.target), None)
        data = with_validation(data, other)
    return pose(data, plan, columns)


def _read_like(
    path: str,
    learnt: Columns | None,
    named: tuple[str | None, str | None],
    header: bool | None,
) -> Labelled:
    """Labelled texts that stand where those stood that were learnt from."""
    text, target = named
    if learnt is not None:
        text, target = text or learnt.text, target or learnt.target
        header = False if header is None and not learnt.header else header
    return read_labelled(path, text, target, header)[0]


def _learnt(network: Any) -> Columns | None:
    """Where the texts stood that a network was trained on."""
    columns = network.notes["columns"]
    return None if columns is None else Columns(**columns)


def train(path: str, plan: Plan, out: Path | None, resume: bool = False) -> bool:
    """Learn from labelled texts, show what came out, leave the folder of a run.

    Args:
        path: see `read_labelled`.
        plan: how to train.
        out: the folder asked for.
        resume: whether to go on with a run that was cut short.

    Returns:
        Whether training was interrupted.
    """
    console = make_console()
    problem = read(path, plan)
    show_problem(console, problem)
    name = Path(path).resolve().name.partition(".")[0]
    folder = choose_folder(name, out, resume=resume)

    def show(line: str) -> None:
        console.print(line, markup=False)

    outcome = learn(problem, plan, folder, show)
    console.print(f"\n{report.describe_training(outcome)}\n", markup=False)
    names = problem.data.class_names
    show_measures(console, outcome.measures, names, TEXTS)
    write_outcome(folder, path, problem, plan, outcome)
    console.print(f"\nthe run is in {folder}, the model in {folder / MODEL}")
    console.print(f'  chainrule predict {folder} "some text"', markup=False)
    return bool(outcome.history.interrupted)


def show_problem(console: Any, problem: Problem) -> None:
    """What there is to learn from, and what was found."""
    data = problem.data
    console.print(
        f"{data.name}: {len(data):,} texts of {len(data.class_names)} classes\n",
        markup=False,
    )
    if problem.columns is not None:
        columns = problem.columns
        shown = f"texts: {columns.text}, classes: {columns.target}\n"
        console.print(shown, markup=False)
    console.print(as_table(report.classes_rows(problem)))
    for note in problem.notes:
        console.print(f"  - {note}", markup=False)
    console.print()


def write_outcome(
    folder: Path, path: str, problem: Problem, plan: Plan, outcome: Outcome
) -> None:
    """Write the model, the History, figures and the report."""
    numbers = {
        "data": str(Path(path).resolve()),
        "texts": {part: len(rows) for part, rows in problem.parts.items()},
        "columns": outcome.network.notes["columns"],
        "reads": outcome.reads,
        "epochs": outcome.epochs,
        "batch_size": outcome.batch_size,
        "seconds": round(outcome.seconds, 1),
        "held_out": outcome.measures.figures(),
    }
    write_run(folder, outcome.network, outcome.history, plan, numbers)
    report.write_told(folder / report.TOLD, problem, outcome.measures)
    held_out = problem.texts(TEST)
    classes = len(problem.data.class_names)
    words = words_by_class(partial(classify, outcome.network), held_out, classes)
    report.write_report(folder, problem, outcome, words, plan.seed)


# ---- saved models --------------------------------------------------------------------


def evaluate(
    network: Any,
    path: str | None,
    columns: tuple[str | None, str | None] = (None, None),
    header: bool | None = None,
) -> None:
    """Measure a saved network on labelled texts.

    Of texts in parts, those to measure on are taken.

    Raises:
        ArgumentError: without a file.
        DataError: when they have other classes.
    """
    if path is None:
        raise ArgumentError(
            "say on which texts to measure",
            where="data",
            fix="chainrule evaluate MODEL FILE",
        )
    console = make_console()
    data = _read_like(path, _learnt(network), columns, header)
    part = next((name for name in (TEST, VALIDATION) if name in data.parts), None)
    every = data.parts.get(TRAIN, np.arange(len(data)))
    places = every if part is None else data.parts[part]
    names = network.notes["class_names"]
    labels = known_labels(data, names)[places]
    said = classify(network, [data.origin.read(place) for place in places.tolist()])
    named = "" if part is None else f" of the part {part}"
    console.print(f"{path}: {len(places):,} texts{named}\n", markup=False)
    show_measures(console, measure(labels, said), names, TEXTS)


def predict(network: Any, given: str, output: Path, text: str | None = None) -> str:
    """Tell the class of a text, or write down those of a file.

    Args:
        network: a saved classifier.
        given: a file, a folder of `.txt` files, or the text itself.
        output: the CSV file to write, for a file.
        text: of a table, the column with the texts.

    Returns:
        What to show: the likeliest classes of the text, and the words that speak for
        the first; or where they are.
    """
    names = network.notes["class_names"]
    if not is_path(given):
        return tell(network, given)
    texts = unlabelled_texts(given, text, _learnt(network))
    said = classify(network, texts)
    write_said(output, texts, said, names)
    return f"{len(texts):,} predictions in {output}"


def is_path(given: str) -> bool:
    """Whether what was typed names a file or folder, rather than being a text.

    Raises:
        DataError: when it looks like the name of a file that is not there.

    Example:
        >>> is_path("what a film"), is_path("?" * 10_000), is_path("")
        (False, False, False)
    """
    if not given.strip():
        return False
    try:
        found = Path(given).exists()
    except (OSError, ValueError):  # too long for a name, or a zero byte
        return False
    if not found and given.lower().endswith(FILES) and not set(given) & set(" \n"):
        raise DataError("there is no such file", where=given)
    return found


def tell(network: Any, text: str) -> str:
    """The likeliest classes of a text, and the words that speak for the first."""
    names = network.notes["class_names"]
    (said,) = classify(network, [text])
    best = np.argsort(-said, kind="stable")[:LIKELIEST].tolist()
    lines = [f"{said[k]:6.1%}  {names[k]}" for k in best]
    words = speaking_words(partial(classify, network), text, best[0])[:TELLING]
    telling = [f"{word} ({fall:+.1%})" for word, fall in words if fall >= 0.0005]
    if telling:
        lines.append(f"for {names[best[0]]} speak: {', '.join(telling)}")
    return "\n".join(lines)


def write_said(
    path: Path, texts: Sequence[str], said: Array, names: Sequence[str]
) -> None:
    """Write predictions as CSV: the text, the likeliest class, all probabilities.

    Raises:
        ArgumentError: when the file cannot be written.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["text", "class", *(f"p({name})" for name in names)])
    for text, row in zip(texts, said, strict=True):
        shares = [f"{value:.6g}" for value in row.tolist()]
        writer.writerow([text, names[int(row.argmax())], *shares])
    try:
        write_atomically(path, stream.getvalue().encode("utf-8", "replace"))
    except OSError as error:
        raise ArgumentError(
            "the predictions cannot be written", where=str(path), got=error.strerror
        ) from None
