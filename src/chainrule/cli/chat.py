"""Chat models on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.application import app
from chainrule.cli.options import Epochs
from chainrule.cli.task import RunOptions, Task
from chainrule.errors import ArgumentError
from chainrule.recipes import chat_command
from chainrule.recipes.chat import Plan


@dataclass(frozen=True)
class ChatOptions(RunOptions):
    """Options of training a chat model."""

    intents: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Texts with what is meant: JSON (by parts: train, val, oos_train, "
            "oos_val), CSV or TSV.",
        ),
    ] = None
    answers: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Questions with answers: YAML of conversations, CSV, JSON lines.",
        ),
    ] = None
    dialogues: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Dialogues, turn by turn: JSON lines of turns.",
        ),
    ] = None
    epochs: Epochs = None


class Chat(Task):
    """Talking: intents, answers, replies."""

    title = "Chat"
    names = ("chat",)
    options = ChatOptions

    def fits(self, data: str | None, given: dict[str, Any]) -> bool:
        """Where intents, answers or dialogues are named."""
        return any(given.get(name) for name in ("intents", "answers", "dialogues"))

    def train(self, data: str | None, options: Any) -> bool:
        """Train a chat model."""
        if options.resume:
            raise ArgumentError(
                "a chat model is trained in one go",
                where="--resume",
                fix="leave it out",
            )
        plan = Plan(
            options.intents,
            options.answers,
            options.dialogues,
            options.seed,
            options.epochs,
        )
        return chat_command.train(data, plan, options.out)

    def owns(self, model: Any) -> bool:
        """Chat models are folders, with a command of their own."""
        return False


@app.command()
def chat(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="The folder of a chat model."),
    ],
) -> None:
    """Talk with a chat model; lines may be piped in.

    `/why` tells why the last reply was given, `/quit` ends.
    """
    chat_command.chat(model)
