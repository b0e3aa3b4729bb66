"""Learning to write text, on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.options import BatchSize, Dropout, LearningRate, MaxTime, Width
from chainrule.cli.task import RunOptions, Task, needed
from chainrule.errors import ArgumentError
from chainrule.recipes import language_command
from chainrule.recipes.language import TASK, Plan


@dataclass(frozen=True)
class LanguageOptions(RunOptions):
    """Options of training on a text."""

    iterations: Annotated[
        int | None,
        typer.Option(min=1, help="Steps.", show_default="2,000, more for a large text"),
    ] = None
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="characters, or bpe: parts of words.", show_default="by the text"
        ),
    ] = None
    vocabulary_size: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="How many tokens there are at most.",
            show_default="all characters; bpe: 4096",
        ),
    ] = None
    context: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens that the network sees.", show_default="64"),
    ] = None
    layers: Annotated[
        int | None, typer.Option(min=1, help="Blocks.", show_default="4")
    ] = None
    heads: Annotated[
        int | None,
        typer.Option(min=1, help="Heads of attention.", show_default="4"),
    ] = None
    width: Width = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None
    dropout: Dropout = None
    max_time: MaxTime = None


class Language(Task):
    """A text: the network learns what comes next."""

    title = "Writing"
    names = (TASK,)
    options = LanguageOptions

    def fits(self, data: str | None, given: dict[str, Any]) -> bool:
        """Never by the data alone: a text may be learnt from in several ways."""
        return False

    def train(self, data: str | None, options: Any) -> bool:
        """Train on a text."""
        data = needed(data, "chainrule train book.txt --task generate")
        names = set(Plan.__dataclass_fields__) & set(vars(options))
        chosen = {name: getattr(options, name) for name in sorted(names)}
        given = {name: value for name, value in chosen.items() if value is not None}
        plan = Plan(**given)
        return language_command.train(data, plan, options.out, options.resume)

    def owns(self, model: Any) -> bool:
        """Whether the model writes text."""
        return language_command.is_writer(model)

    def evaluate(self, model: Any, data: str | None, options: Any) -> None:
        """Measure on another text."""
        language_command.evaluate(model, data)

    def predict(self, model: Any, given: str, options: Any, source: Path) -> str:
        """Refused: there is a command for it."""
        raise ArgumentError(
            "this model writes text",
            where=str(source),
            fix=f'chainrule generate {source} --prompt "{given:.40}"',
        )
