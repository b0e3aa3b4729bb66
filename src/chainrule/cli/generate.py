"""`chainrule generate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.application import app
from chainrule.models import load_model
from chainrule.recipes.language_command import Writing, check_writer, write
from chainrule.recipes.run_folder import find_model, newest_run

Writer = Annotated[
    Path | None,
    typer.Argument(
        metavar="MODEL",
        help="A model's file, or the folder of a run.",
        show_default="the newest run in runs/",
    ),
]


@app.command()
def generate(
    model: Writer = None,
    prompt: Annotated[
        str, typer.Option(help="The text to continue.", show_default="none")
    ] = "",
    max_tokens: Annotated[
        int | None,
        typer.Option(min=0, help="Tokens at most.", show_default="500; beams: 32"),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="0 takes the likeliest token always, more leaves more to chance.",
            show_default="0.8",
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Draw from so many likeliest tokens alone.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Draw from the likeliest tokens of this share alone."),
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(help="Above 1, what was written comes less often.")
    ] = None,
    beams: Annotated[
        int | None,
        typer.Option(min=1, help="Search for the likeliest text, without chance."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="So many texts.")] = 1,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="The same seed gives the same text.", show_default="another"
        ),
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="End before this text; may be repeated.")
    ] = None,
) -> None:
    """Write text with a trained model, shown as it comes."""
    if model is None:
        model = newest_run()
        typer.echo(f"{model}:", err=True)
    loaded = load_model(find_model(model))
    check_writer(loaded, model)
    options = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
    }
    if temperature is None and beams is None:
        options["temperature"] = 0.8
    how = Writing(max_tokens, samples, beams, seed, tuple(stop or ()), options)
    for piece in write(loaded, prompt, how):
        sys.stdout.write(piece)
        sys.stdout.flush()
