"""The commands for labelled pictures: train, evaluate and predict."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, DataError
from chainrule.recipes import images_report as report
from chainrule.recipes.images import (
    AT_ONCE,
    BEST,
    Outcome,
    Plan,
    Problem,
    learn,
    look_at,
    pose,
    start_network,
)
from chainrule.recipes.images_data import (
    DATA_SETS,
    PICTURES,
    TEST,
    VALIDATION,
    Labelled,
    load_named,
    natural,
    read_files_table,
    read_folder,
    unlabelled,
)
from chainrule.recipes.images_measures import measure
from chainrule.recipes.images_network import form_of, is_classifier
from chainrule.recipes.images_survey import decode
from chainrule.recipes.run_folder import MODEL, choose_folder, write_run
from chainrule.recipes.tabular_command import is_table, make_console
from chainrule.training.files import write_atomically

__all__ = ["evaluate", "is_classifier", "predict", "read", "train"]

Array = np.ndarray[Any, Any]

MOST_SHOWN = 20  # damaged files that are named
LIKELIEST = 3  # classes that are shown of a picture


def read(path: str, image: str | None = None, target: str | None = None) -> Labelled:
    """Labelled pictures: a data set by name, a table of files, a folder or a zip.

    Args:
        path: the name or the path.
        image: of a table, the column with the files.
        target: of a table, the column with the classes.
    """
    if path in DATA_SETS:
        return load_named(path)
    if Path(path).is_dir() or not is_table(path) or path.lower().endswith(".zip"):
        return read_folder(path)
    return read_files_table(path, image, target)


def train(
    path: str,
    plan: Plan,
    out: Path | None,
    resume: bool = False,
    columns: tuple[str | None, str | None] = (None, None),
) -> bool:
    """Learn from labelled pictures, show what came out, leave the folder of a run.

    Args:
        path: see `read`.
        plan: how to train.
        out: the folder asked for.
        resume: whether to go on with a run that was cut short.
        columns: of a table, the columns with the files and with the classes.

    Returns:
        Whether training was interrupted.
    """
    console = make_console()
    problem = pose(read(path, *columns), plan)
    show_problem(console, problem)
    network = start_network(problem, plan)
    name = Path(path).resolve().name.partition(".")[0]
    folder = choose_folder(name, out, resume=resume)

    def show(line: str) -> None:
        console.print(line, markup=False)

    outcome = learn(problem, plan, folder, show, network)
    show_outcome(console, problem, outcome)
    write_outcome(folder, path, problem, plan, outcome)
    console.print(f"\nthe run is in {folder}, the model in {folder / MODEL}")
    console.print(f"  chainrule predict {folder} PICTURE.jpg")
    return bool(outcome.history.interrupted)


def show_problem(console: Any, problem: Problem) -> None:
    """What there is to learn from, and what was wrong with it."""
    data, form = problem.data, problem.form
    console.print(
        f"{data.name}: {len(data):,} pictures of {len(data.class_names)} classes\n"
        f"{problem.looks.describe()}\n",
        markup=False,
    )
    console.print(report.as_table(report.classes_rows(problem)))
    for note in problem.notes:
        console.print(f"  - {note}", markup=False)
    show_damaged(console, problem.damaged)
    where = "" if problem.pixels is not None else ", read from the files as needed"
    console.print(
        f"\nthe network sees {form.width} x {form.height} pixels of {form.channels} "
        f"channel{'s' if form.channels > 1 else ''}{where}\n"
    )


def show_damaged(console: Any, damaged: dict[str, str]) -> None:
    """The first files that could not be read, and how many there are."""
    for name, why in list(damaged.items())[:MOST_SHOWN]:
        console.print(f"  - left out: {name}: {why}", markup=False)
    more = len(damaged) - MOST_SHOWN
    if more > 0:
        console.print(f"  - and {more:,} files more")


def show_outcome(console: Any, problem: Problem, outcome: Outcome) -> None:
    """How well the pictures held out are told."""
    names = problem.data.class_names
    console.print(f"\n{report.describe_training(problem, outcome)}\n", markup=False)
    show_measures(console, outcome.measures, names)


def show_measures(
    console: Any, measures: Any, class_names: Sequence[str], things: str = PICTURES
) -> None:
    """Measures by class, what is confused, and the accuracy last."""
    rows = report.measures_rows(measures, class_names, things)
    console.print(report.as_table(rows))
    confusion = report.confusion_rows(measures, class_names)
    console.print()
    if confusion:
        console.print(report.as_table(confusion))
    else:
        for line in report.mixed_up_lines(measures, class_names):
            console.print(f"  - {line}", markup=False)
    console.print(f"\n{report.figures_line(measures)}", markup=False)


def write_outcome(
    folder: Path, path: str, problem: Problem, plan: Plan, outcome: Outcome
) -> None:
    """Write the model, the History, figures, pictures and the report."""
    named = path in DATA_SETS
    numbers = {
        "data": path if named else str(Path(path).resolve()),
        "pictures": {part: len(rows) for part, rows in problem.parts.items()},
        "epochs": outcome.epochs,
        "batch_size": outcome.batch_size,
        "changes": list(outcome.changes),
        "held_out": outcome.measures.figures(),
        "damaged": problem.damaged,
    }
    if named:
        outcome.network.notes["data"] = path
    chosen = replace(plan, model=outcome.network.name)
    write_run(folder, outcome.network, outcome.history, chosen, numbers)
    (folder / BEST).unlink(missing_ok=True)  # the model has these weights
    report.write_told(folder / report.TOLD, problem, outcome.measures)
    drawn = report.write_pictures(folder, problem, outcome)
    report.write_report(folder, problem, outcome, drawn)


# ---- saved models --------------------------------------------------------------------


def evaluate(
    network: Any,
    path: str | None,
    columns: tuple[str | None, str | None] = (None, None),
) -> None:
    """Measure a saved network on labelled pictures.

    Of pictures in parts, those to measure on are taken.

    Raises:
        DataError: when they show other classes.
    """
    path = network.notes.get("data") if path is None else path
    if path is None:
        raise ArgumentError(
            "say on which pictures to measure",
            where="data",
            fix="chainrule evaluate MODEL FOLDER",
        )
    console = make_console()
    data = read(path, *columns)
    part = next((name for name in (TEST, VALIDATION) if name in data.parts), None)
    places = np.arange(len(data)) if part is None else data.parts[part]
    labels = known_labels(data, network.notes["class_names"])[places]
    form = form_of(network)
    damaged: dict[int, str] = {}
    said = np.concatenate(list(_said(network, data.origin, places, damaged)))
    kept = np.array([int(place) not in damaged for place in places], bool)
    named = "" if part is None else f" of the part {part}"
    console.print(f"{path}: {kept.sum():,} pictures{named}", markup=False)
    called = {data.origin.called(row): why for row, why in damaged.items()}
    show_damaged(console, called)
    if not kept.any():
        raise DataError("none of the pictures can be read", where=path, got=str(form))
    console.print()
    measures = measure(labels[kept], said[kept])
    show_measures(console, measures, network.notes["class_names"])


def known_labels(data: Labelled, class_names: Sequence[str]) -> Array:
    """Labels as places among the classes that a network knows.

    Raises:
        DataError: when there are classes that it does not know.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    odd = [name for name in data.class_names if name not in numbers]
    if odd:
        raise DataError(
            "there are classes that the model does not know",
            where=data.name,
            got=", ".join(odd[:10]),
            expected=", ".join(sorted(class_names, key=natural)[:20]),
        )
    places = np.array([numbers[name] for name in data.class_names], np.int64)
    return np.asarray(places[data.labels])


def _said(
    network: Any, origin: Any, places: Array, damaged: dict[int, str]
) -> Iterator[Array]:
    """Probabilities for pictures, some at once; damaged ones are noted."""
    form = form_of(network)
    step = AT_ONCE * 4
    for start in range(0, len(places), step):
        group = places[start : start + step]
        pixels, problems = decode(origin, group, form)
        damaged.update(problems)
        yield look_at(network, pixels)


def predict(network: Any, source: Path, output: Path) -> str:
    """Tell what a picture shows, or write it down for all of a folder or zip.

    Returns:
        What to show: the likeliest classes of the one picture, or where they are.

    Raises:
        FormatError: when the one picture is damaged; others are named and left out.
    """
    names = network.notes["class_names"]
    origin = unlabelled(source)
    if source.is_file() and source.suffix.lower() != ".zip":
        form = form_of(network)
        pixels = form.read(origin.read(0))
        (said,) = network.predict(pixels[None], batch_size=1, verbose=0)
        best = np.argsort(-said, kind="stable")[:LIKELIEST]
        shown = ", ".join(f"{names[k]} {said[k]:.1%}" for k in best.tolist())
        write_said(output, [str(source)], said[None], names)
        return f"{source}: {shown}"
    places = np.arange(len(origin))
    damaged: dict[int, str] = {}
    said = np.concatenate(list(_said(network, origin, places, damaged)))
    kept = [row for row in places.tolist() if row not in damaged]
    lines = [f"left out: {origin.called(k)}: {why}" for k, why in damaged.items()]
    if not kept:
        raise DataError(
            "none of the pictures can be read", where=str(source), got=lines[0]
        )
    write_said(output, [origin.called(row) for row in kept], said[kept], names)
    return "\n".join([*lines, f"{len(kept):,} predictions in {output}"])


def write_said(
    path: Path, called: Sequence[str], said: Array, names: Sequence[str]
) -> None:
    """Write predictions as CSV: the picture, the likeliest class, all probabilities."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "class", *(f"p({name})" for name in names)])
    for name, row in zip(called, said, strict=True):
        shares = [f"{value:.6g}" for value in row.tolist()]
        writer.writerow([name, names[int(row.argmax())], *shares])
    try:
        write_atomically(path, text.getvalue().encode())
    except OSError as error:
        raise ArgumentError(
            "the predictions cannot be written", where=str(path), got=error.strerror
        ) from None
