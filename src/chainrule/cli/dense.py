"""Networks of dense layers on small images, and models of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.options import (
    BatchSize,
    Dropout,
    Epochs,
    Hidden,
    LearningRate,
    ModelName,
)
from chainrule.cli.task import RunOptions, Task, existing, needed
from chainrule.recipes import use_model
from chainrule.recipes.images_network import TASK
from chainrule.recipes.options import read_training
from chainrule.recipes.perceptron import Plan, build, load_images
from chainrule.recipes.perceptron import train as train_images
from chainrule.recipes.run_folder import choose_folder, write_run

DENSE = "mlp"  # the model without convolutions


class Data(StrEnum):
    """A data set of small images, for networks of dense layers."""

    digits = "digits"
    mnist = "mnist"


@dataclass(frozen=True)
class DenseOptions(RunOptions):
    """Options of training dense layers."""

    model: ModelName = "auto"
    epochs: Epochs = None
    batch_size: BatchSize = None
    hidden: Hidden = None
    activation: Annotated[str, typer.Option(help="Of the hidden layers.")] = "relu"
    optimizer: Annotated[str, typer.Option(help="Such as sgd, adamw, muon.")] = "adam"
    learning_rate: LearningRate = None
    dropout: Dropout = None


class Dense(Task):
    """The images of digits and mnist; measuring and asking any other model."""

    title = "Dense layers (--model mlp)"
    names = (DENSE, TASK)
    options = DenseOptions

    def fits(self, data: str | None, given: dict[str, Any]) -> bool:
        """The digits, or a wish for dense layers."""
        asked = data == Data.digits or given.get("model") == DENSE
        return asked or (data == Data.mnist and bool(given.get("hidden")))

    def train(self, data: str | None, options: Any) -> bool:
        """Train dense layers on images."""
        chosen = read_training(
            options.epochs,
            options.batch_size,
            options.hidden,
            options.learning_rate,
            options.dropout,
        )
        plan = Plan(
            **chosen,
            activation=options.activation,
            optimizer=options.optimizer,
            seed=options.seed,
        )
        known = read_data(needed(data, "chainrule train digits"))
        return train_dense(known, plan, options.out, options.resume)

    def owns(self, model: Any) -> bool:
        """No model is made for this task alone; it takes what nobody else does."""
        return False

    def evaluate(self, model: Any, data: str | None, options: Any) -> None:
        """Measure on the test images of a data set."""
        wanted = None if data is None else read_data(data).value
        name, rows, measured = use_model.evaluate(model, wanted)
        typer.echo(f"{name}: {rows:,} test images")
        for metric, number in measured.items():
            typer.echo(f"{metric:<10}{number:.4f}")

    def predict(self, model: Any, given: str, options: Any, source: Path) -> str:
        """Write what a model says about rows of numbers."""
        rows = existing(given)
        if rows.is_dir():
            raise typer.BadParameter(
                f"the model takes rows of a file, not a folder: {rows}"
            )
        shape = use_model.sample_shape(model)
        x = use_model.fit_rows(use_model.read_rows(rows), shape, given)
        outputs = model.predict(x, verbose=0)
        use_model.write_predictions(options.output, outputs)
        return f"{len(outputs):,} predictions in {options.output}"


def train_dense(data: Data, plan: Plan, out: Path | None, resume: bool) -> bool:
    """Train on images; says whether that was interrupted."""
    images = load_images(data.value)
    model = build(plan, images)
    folder = choose_folder(data.value, out, resume=resume)
    rows, tests = len(images.x_train), len(images.x_test)
    typer.echo(
        f"{data.value}: {rows:,} images to train on, {tests:,} to test with; "
        f"{model.count_params():,} weights"
    )
    history = train_images(model, images, plan, resume=folder)
    results = model.evaluate(images.x_test, images.y_test, verbose=0, return_dict=True)
    drawn = write_run(
        folder, model, history, plan, {"data": data.value, "test": results}
    )
    typer.echo(f"test loss {results['loss']:.4f}, accuracy {results['accuracy']:.2%}")
    _show_folder(folder, drawn)
    return bool(history.interrupted)


def _show_folder(folder: Path, drawn: bool) -> None:
    """What the run has left behind."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    typer.echo(f"the run is in {folder}: {', '.join(names)}")
    if not drawn:
        typer.echo("no loss curve was drawn: it needs matplotlib")
        typer.echo("  pip install 'chainrule[plots]'")


def read_data(name: str) -> Data:
    """The data set of this name.

    Raises:
        BadParameter: when there is none.
    """
    names = [each.value for each in Data]
    if name not in names:
        raise typer.BadParameter(
            f"a network of dense layers takes {' or '.join(names)}, not {name!r}"
        )
    return Data(name)
