"""`chainrule evaluate` and `chainrule predict`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from chainrule.cli.application import ModelPath, app
from chainrule.cli.gathered import Gathered
from chainrule.cli.task import EvaluateOptions, PredictOptions
from chainrule.cli.tasks import TASKS, owner_of
from chainrule.models import load_model
from chainrule.recipes.run_folder import find_model

EVALUATE = Gathered(
    EvaluateOptions, [(task.title, task.evaluate_options) for task in TASKS]
)
PREDICT = Gathered(
    PredictOptions, [(task.title, task.predict_options) for task in TASKS]
)


@app.command()
@EVALUATE.command
def evaluate(
    model: ModelPath,
    given: dict[str, Any],
    data: Annotated[
        str | None,
        typer.Argument(
            help="A table with the target, pictures by class, annotated pictures, or "
            "a data set by name.",
            show_default="the images that the model takes",
        ),
    ] = None,
) -> None:
    """Measure a saved model."""
    loaded = load_model(find_model(model))
    task = owner_of(loaded)
    options = EVALUATE.pick(task.evaluate_options, given, task.title)
    task.evaluate(loaded, data, options)


@app.command()
@PREDICT.command
def predict(
    model: ModelPath,
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Rows: a table as it was trained on; a picture, or a folder or zip of "
            "them; or for other models a .npy file, or numbers separated by commas.",
        ),
    ],
    given: dict[str, Any],
) -> None:
    """Tell or write down what a saved model says about an input."""
    loaded = load_model(find_model(model))
    task = owner_of(loaded)
    options = PREDICT.pick(task.predict_options, given, task.title)
    typer.echo(task.predict(loaded, source, options, model))
