"""Telling what pictures show, on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.options import (
    BatchSize,
    Epochs,
    ImageColumn,
    LearningRate,
    ModelName,
    PictureSize,
    Target,
)
from chainrule.cli.task import EvaluateOptions, RunOptions, Task, existing, needed
from chainrule.recipes import images_command, images_data
from chainrule.recipes.images import Plan
from chainrule.recipes.images_network import TASK, is_classifier
from chainrule.recipes.options import read_picture_options, read_training


@dataclass(frozen=True)
class PicturesOptions(RunOptions):
    """Options of training on labelled pictures."""

    target: Target = None
    image: ImageColumn = None
    model: ModelName = "auto"
    size: PictureSize = None
    augment: Annotated[
        list[str] | None,
        typer.Option(
            help="Changes while training, such as crop,flip; or none.",
            show_default="by the pictures",
        ),
    ] = None
    damaged: Annotated[
        str, typer.Option(help="Skip damaged files, or refuse them.")
    ] = "skip"
    start: Annotated[
        Path | None,
        typer.Option("--from", help="A run whose network gets new classes."),
    ] = None
    freeze: Annotated[
        bool, typer.Option("--freeze", help="With --from: only the last layer learns.")
    ] = False
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None


@dataclass(frozen=True)
class MeasurePictures(EvaluateOptions):
    """Options of measuring on labelled pictures."""

    image: ImageColumn = None
    target: Target = None


class Pictures(Task):
    """Labelled pictures: a data set by name, a folder or zip, a table of files."""

    title = "Pictures"
    names = (TASK,)
    options = PicturesOptions
    evaluate_options = MeasurePictures

    def fits(self, data: str | None, given: dict[str, Any]) -> bool:
        """A known data set, a column of files, or pictures without annotations."""
        if data is None:
            return False
        if data in images_data.DATA_SETS or given.get("image") is not None:
            return True
        folder = images_data.is_folder_of_pictures(data)
        return folder and not images_data.holds_annotations(data)

    def train(self, data: str | None, options: Any) -> bool:
        """Train on labelled pictures."""
        data = needed(data, "chainrule train FOLDER")
        rates = (options.epochs, options.batch_size, None, options.learning_rate, None)
        plan = Plan(
            **read_training(*rates),
            **read_picture_options(
                options.model, options.size, options.augment, options.start
            ),
            damaged=options.damaged,
            freeze=options.freeze,
            seed=options.seed,
        )
        columns = (options.image, options.target)
        return images_command.train(data, plan, options.out, options.resume, columns)

    def owns(self, model: Any) -> bool:
        """Whether the model tells what pictures show."""
        return is_classifier(model)

    def evaluate(self, model: Any, data: str | None, options: Any) -> None:
        """Measure on labelled pictures."""
        images_command.evaluate(model, data, (options.image, options.target))

    def predict(self, model: Any, given: str, options: Any, source: Path) -> str:
        """Tell what a picture shows, or those of a folder or zip."""
        return images_command.predict(model, existing(given), options.output)
