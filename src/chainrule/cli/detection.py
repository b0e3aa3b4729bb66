"""Finding objects in pictures, on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from chainrule.cli.options import BatchSize, Epochs, LearningRate, PictureSize
from chainrule.cli.task import EvaluateOptions, RunOptions, Task, needed
from chainrule.errors import ArgumentError
from chainrule.recipes import detection_command, images_data
from chainrule.recipes.detection import Plan
from chainrule.recipes.detection_network import is_detector
from chainrule.recipes.detection_use import Suppression
from chainrule.recipes.options import read_size, read_training

Overlap = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Detection: of two boxes of a class that may be of two objects.",
        show_default=str(Suppression().overlap),
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--suppression",
        help="Detection: what becomes of boxes that overlap a better one more: hard "
        "drops them, linear and gaussian lower their scores.",
        show_default=Suppression().method,
    ),
]
AcrossClasses = Annotated[
    bool,
    typer.Option(
        "--across-classes",
        help="Detection: boxes of different classes rule out one another, too.",
    ),
]


@dataclass(frozen=True)
class DetectionOptions(RunOptions):
    """Options of training on annotated pictures."""

    size: PictureSize = None
    flip_vertical: Annotated[
        bool,
        typer.Option(
            "--flip-vertical", help="Learn from pictures turned upside down as well."
        ),
    ] = False
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None


@dataclass(frozen=True)
class MeasureDetection(EvaluateOptions):
    """Options of measuring on annotated pictures."""

    results: Annotated[
        Path | None,
        typer.Option(help="Write the boxes to this file, as COCO does."),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for a report with pictures of mistakes."),
    ] = None
    overlap: Overlap = None
    suppression: Method = None
    across_classes: AcrossClasses = False


class Detection(Task):
    """Objects in annotated pictures."""

    title = "Detection"
    names = (detection_command.TASK,)
    options = DetectionOptions
    evaluate_options = MeasureDetection

    def fits(self, data: str | None, given: dict[str, Any]) -> bool:
        """Pictures with annotations, or the annotations themselves."""
        if data is None:
            return False
        if images_data.is_folder_of_pictures(data):
            return images_data.holds_annotations(data)
        return detection_command.is_annotations(data)

    def train(self, data: str | None, options: Any) -> bool:
        """Train on annotated pictures."""
        data = needed(data, "chainrule train ANNOTATIONS --task detect")
        rates = (options.epochs, options.batch_size, None, options.learning_rate, None)
        plan = Plan(
            **read_training(*rates),
            flip_vertical=options.flip_vertical,
            seed=options.seed,
            size=read_size(options.size),
        )
        return detection_command.train(data, plan, options.out, options.resume)

    def owns(self, model: Any) -> bool:
        """Whether the model finds objects."""
        return is_detector(model)

    def evaluate(self, model: Any, data: str | None, options: Any) -> None:
        """Measure on annotated pictures."""
        how = read_suppression(
            options.overlap, options.suppression, options.across_classes
        )
        detection_command.evaluate(model, data, how, options.results, options.out)

    def predict(self, model: Any, given: str, options: Any, source: Path) -> str:
        """Detectors have a command of their own."""
        raise ArgumentError(
            "this model finds objects in pictures",
            where=str(source),
            fix=f"chainrule detect {source} {given} --json found.json",
        )


def read_suppression(
    overlap: float | None, method: str | None, across_classes: bool
) -> Suppression | None:
    """How boxes of the same object are told apart; None where nothing is said."""
    if overlap is None and method is None and not across_classes:
        return None
    usual = Suppression()
    return Suppression(
        usual.overlap if overlap is None else overlap,
        cast(Any, usual.method if method is None else method),
        not across_classes,
    )
