"""`chainrule train`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from chainrule.cli.application import INTERRUPTED, app
from chainrule.cli.gathered import Gathered
from chainrule.cli.task import RunOptions
from chainrule.cli.tasks import TASKS, choose_task

OPTIONS = Gathered(RunOptions, [(task.title, task.options) for task in TASKS])


@app.command()
@OPTIONS.command
def train(
    given: dict[str, Any],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="Pictures: a folder or zip with a folder for every class, or with "
            "annotations of VOC or COCO; mnist, fashion_mnist, cifar10 or digits. A "
            "table: a CSV or Parquet file.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a network on data of your own.

    A folder with the model and its History is left behind.
    """
    task = choose_task(data, given)
    if task.train(data, OPTIONS.pick(task.options, given, task.title)):
        raise typer.Exit(INTERRUPTED)
