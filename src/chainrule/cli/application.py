"""The application that commands register with, and what they have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import chainrule
from chainrule.errors import ChainruleError

INTERRUPTED = 130  # what a shell reports for Ctrl-C


class Lessons(TyperGroup):
    """Commands whose errors are printed as they are, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error of the library ends it with exit code 1."""
        try:
            return super().invoke(ctx)
        except ChainruleError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Lessons,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ModelPath = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="A model's file, or the folder of a run."),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chainrule {chainrule.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Train neural networks by backpropagation, and see how they learn."""
