"""`chainrule summary` and `chainrule demo`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.application import INTERRUPTED, ModelPath, app
from chainrule.models import load_model
from chainrule.recipes import demo as demonstration
from chainrule.recipes.pictures import shades_for
from chainrule.recipes.run_folder import MODEL, find_model


@app.command()
def summary(model: ModelPath) -> None:
    """Show the layers of a saved model, with shapes and numbers of weights."""
    load_model(find_model(model)).summary(print_fn=typer.echo)


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/demo")
    ] = None,
) -> None:
    """Open one training step, then learn real handwritten digits."""
    typer.echo("PART 1. One step of backpropagation, in numbers\n")
    typer.echo(demonstration.open_one_step())
    typer.echo("\n\nPART 2. Real digits\n")
    shades = shades_for(sys.stdout.encoding)
    outcome = demonstration.learn_digits(shades, out, show=typer.echo)
    typer.echo("\n" + "\n".join(demonstration.describe(outcome)))
    typer.echo("\nTry next:")
    typer.echo(f"  chainrule summary {outcome.folder / MODEL}")
    typer.echo("  chainrule train mnist --epochs 2")
    if outcome.history.interrupted:
        raise typer.Exit(INTERRUPTED)
