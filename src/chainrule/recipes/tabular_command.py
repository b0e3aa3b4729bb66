"""The commands for tables: train, evaluate and predict, with what they show."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.columns import to_numbers, to_text
from chainrule.data.tables import PARQUET
from chainrule.errors import ArgumentError, DataError
from chainrule.layers import TableEncoder
from chainrule.models import Sequential
from chainrule.recipes import tabular_report as report
from chainrule.recipes.run_folder import MODEL, choose_folder, write_run
from chainrule.recipes.tabular import (
    Outcome,
    Plan,
    Problem,
    learn,
    pose,
    predict_rows,
    write_report,
)
from chainrule.recipes.tabular_measures import confusion, measure
from chainrule.recipes.tabular_profile import problems
from chainrule.recipes.tabular_task import Target, with_target
from chainrule.training.files import write_atomically

Array = np.ndarray[Any, Any]

TABLES = (".csv", ".tsv", ".txt", ".data", ".gz", ".bz2", ".xz", *PARQUET)
WIDTH = 100  # of what is shown where the output is no terminal


def is_table(path: str) -> bool:
    """Whether this names the file of a table, rather than a data set.

    Example:
        >>> is_table("people.csv.gz"), is_table("mnist")
        (True, False)
    """
    return Path(path).suffix.lower() in TABLES or Path(path).is_file()


def make_console() -> Any:
    """Where to show: the terminal, or plain lines of text."""
    # shown on a terminal only: importing chainrule loads NumPy alone
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=WIDTH, highlight=False)


def train(path: str, plan: Plan, out: Path | None, resume: bool = False) -> bool:
    """Learn from a table, show what came out, and leave the folder of a run.

    Args:
        path: the table.
        plan: what to learn, and how.
        out: the folder asked for.
        resume: whether to go on with a run that was cut short.

    Returns:
        Whether training was interrupted.
    """
    console = make_console()
    problem = pose(path, plan)
    show_problem(console, problem)
    name = Path(path).name.partition(".")[0]
    folder = choose_folder(name, out, resume=resume)
    with console.status("training") as status:

        def show(line: str) -> None:
            if console.is_terminal:
                status.update(line)

        outcome = learn(problem, plan, folder, show)
    show_outcome(console, problem, outcome)
    numbers = {
        "table": str(Path(path).resolve()),
        "rows": len(problem.table),
        "target": problem.target.describe(),
        "test": outcome.results,
    }
    write_run(folder, outcome.model, outcome.history, plan, numbers)
    write_report(folder, problem, outcome)
    console.print(f"\nthe run is in {folder}, the model in {folder / MODEL}")
    console.print(f"  chainrule predict {folder} NEW_ROWS.csv -o predictions.csv")
    return bool(outcome.history.interrupted)


def show_problem(console: Any, problem: Problem) -> None:
    """The columns, what is odd, the target and the split."""
    table, target = problem.table, problem.target
    console.print(f"{table.source}: {len(table):,} rows, {len(table.names)} columns\n")
    console.print(report.columns_table(problem.profiles, len(table)))
    for note in (*problem.notes, *problems(problem.profiles)):
        console.print(f"  - {note}", markup=False)
    kind = {"binary": "two classes", "classes": "classes", "regression": "amounts"}
    console.print(
        f"\ntarget: {target.name}, {kind[target.task]} ({target.reason})", markup=False
    )
    if target.classes:
        counts = np.bincount(target.y, minlength=len(target.classes))
        shown = [
            f"{name} {count / len(target.y):.1%}"
            for name, count in zip(target.classes[:12], counts, strict=False)
        ]
        console.print(f"  {', '.join(shown)}", markup=False)
    console.print(
        f"rows: {len(problem.learning):,} to learn from, a sixth of them to tell when "
        f"to stop; {len(problem.test):,} held out\n"
    )


def show_outcome(console: Any, problem: Problem, outcome: Outcome) -> None:
    """The network beside others, and what was confused with what."""
    weights = outcome.model.count_params()
    console.print(f"{weights:,} weights, {outcome.trained}\n", markup=False)
    console.print(report.measures_table(outcome.results))
    if not outcome.compared:
        console.print(
            "not compared with other models: that needs scikit-learn\n"
            "  pip install 'chainrule[sklearn]'",
            markup=False,
        )
    if outcome.confusion is not None:
        console.print()
        console.print(report.confusion_table(problem.target, outcome.confusion))


# ---- saved models --------------------------------------------------------------------


def table_encoder(model: Any) -> TableEncoder | None:
    """The layer that reads raw rows; None for a model that takes something else."""
    if not isinstance(model, Sequential) or not model.layers:
        return None
    first = model.layers[0]
    return first if isinstance(first, TableEncoder) and first.target else None


def evaluate(model: Any, path: str | None) -> None:
    """Measure a saved model on the rows of a table that has its target."""
    if path is None:
        raise ArgumentError(
            "say on which rows to measure",
            where="data",
            fix="chainrule evaluate MODEL ROWS.csv",
        )
    console = make_console()
    encoder = table_encoder(model)
    assert encoder is not None
    assert encoder.target is not None
    table = encoder.read(path)
    name = encoder.target["name"]
    if name not in table.columns:
        raise DataError(
            "the table lacks the target, so there is nothing to compare with",
            where=path,
            got=", ".join(table.names[:20]),
            expected=name,
            fix=f"chainrule predict MODEL {path}",
        )
    table = table.rows(with_target(table.columns[name]))
    target = _known_target(encoder.target, table.columns[name], path)
    outputs = predict_rows(model, table, target)
    console.print(f"{path}: {len(table):,} rows with {name}\n", markup=False)
    console.print(report.measures_table({"the model": measure(target, outputs)}))
    if target.classes:
        console.print()
        console.print(report.confusion_table(target, confusion(target, outputs)))


def _known_target(known: dict[str, Any], values: Array, path: str) -> Target:
    """The target of new rows, in the classes that the model knows."""
    classes = tuple(known["classes"])
    if not classes:
        return Target(known["name"], known["task"], (), to_numbers(values))
    places = {text: place for place, text in enumerate(classes)}
    texts = to_text(values).tolist()
    odd = sorted({text for text in texts if text not in places})
    if odd:
        raise DataError(
            "the table has classes that the model does not know",
            where=f"{path}: {known['name']}",
            got=", ".join(odd[:10]),
            expected=", ".join(classes[:10]),
        )
    y = np.array([places[text] for text in texts], np.int64)
    return Target(known["name"], known["task"], classes, y)


def predict(model: Any, path: str, output: Path) -> int:
    """Write what a saved model says about raw rows; returns how many there are."""
    encoder = table_encoder(model)
    assert encoder is not None
    assert encoder.target is not None
    table = encoder.read(path)
    if not len(table):
        raise DataError("the table has no rows", where=path, got="headings alone")
    outputs = model.predict(table, batch_size=1024, verbose=0)
    write_predictions(output, outputs, encoder.target)
    return len(outputs)


def write_predictions(path: Path, outputs: Array, target: dict[str, Any]) -> None:
    """Write predictions as CSV: the row, what is predicted, and all probabilities."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    classes: Sequence[str] = target["classes"]
    writer.writerow(["row", target["name"], *(f"p({name})" for name in classes)])
    for number, row in enumerate(outputs.tolist()):
        said = classes[int(np.argmax(row))] if classes else f"{row[0]:.9g}"
        shares = [f"{value:.6g}" for value in row] if classes else []
        writer.writerow([number, said, *shares])
    try:
        write_atomically(path, text.getvalue().encode())
    except OSError as error:
        raise ArgumentError(
            "the predictions cannot be written", where=str(path), got=error.strerror
        ) from None
