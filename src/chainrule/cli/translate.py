"""`chainrule translate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.application import ModelPath, app
from chainrule.cli.translation import Beams, Penalty
from chainrule.errors import ArgumentError
from chainrule.models import load_model
from chainrule.recipes.run_folder import find_model
from chainrule.recipes.translation_command import say, translate_file
from chainrule.recipes.translator import Translator


@app.command()
def translate(
    model: ModelPath,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEXT]",
            help="What to translate.",
            show_default="the lines of standard input",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A file to translate line by line.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the translation of the file.")
    ] = None,
    beams: Beams = None,
    length_penalty: Penalty = None,
    n_best: Annotated[
        int,
        typer.Option(min=1, help="So many translations of each text, with scores."),
    ] = 1,
) -> None:
    """Translate a text, a file, or what comes in line by line."""
    if (file is None) != (out is None) or (file is not None and text is not None):
        raise ArgumentError(
            "give a text, or a file together with where to write",
            where="translate",
            fix="--file in.txt --out out.txt",
        )
    translator = Translator(load_model(find_model(model)), beams, length_penalty)
    if file is not None and out is not None:
        count = translate_file(translator, file, out)
        typer.echo(f"{count:,} lines translated, in {out}")
        return
    for line in sys.stdin if text is None else [text]:
        for shown in say(translator, line, n_best):
            typer.echo(shown)
        sys.stdout.flush()
