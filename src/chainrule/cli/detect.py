"""`chainrule detect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.application import ModelPath, app
from chainrule.cli.detection import AcrossClasses, Method, Overlap, read_suppression
from chainrule.models import load_model
from chainrule.recipes import detection_command
from chainrule.recipes.run_folder import find_model


@app.command()
def detect(
    model: ModelPath,
    picture: Annotated[
        Path,
        typer.Argument(
            metavar="PICTURE", exists=True, help="A picture, or a folder of them."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The picture to write, or for a folder the folder for them.",
            show_default="NAME-found.png",
        ),
    ] = None,
    score: Annotated[
        float | None,
        typer.Option(
            help="The least score of a box.", show_default="the model's, by class"
        ),
    ] = None,
    numbers: Annotated[
        Path | None, typer.Option("--json", help="Write the boxes to this file.")
    ] = None,
    overlap: Overlap = None,
    suppression: Method = None,
    across_classes: AcrossClasses = False,
) -> None:
    """Find objects in pictures, and draw them."""
    how = read_suppression(overlap, suppression, across_classes)
    loaded = load_model(find_model(model))
    detection_command.detect(loaded, picture, output, score, numbers, how)
