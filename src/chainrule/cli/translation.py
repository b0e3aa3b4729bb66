"""Learning to translate, on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.options import (
    BatchSize,
    Dropout,
    Epochs,
    LearningRate,
    MaxTime,
    Source,
    Target,
    Width,
)
from chainrule.cli.task import EvaluateOptions, RunOptions, Task
from chainrule.errors import ArgumentError
from chainrule.recipes import translation_command
from chainrule.recipes.translation import Plan
from chainrule.recipes.translation_network import TASK, is_translator

Beams = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Translation: how many translations of a sentence are followed; 1 takes "
        "the likeliest word always.",
        show_default="as the model says",
    ),
]
Penalty = Annotated[
    float | None,
    typer.Option(
        "--length-penalty",
        help="Translation: the higher, the longer translations may be.",
        show_default="as the model says",
    ),
]


@dataclass(frozen=True)
class TranslationOptions(RunOptions):
    """Options of training on pairs of sentences."""

    source: Source = None
    target: Target = None
    validation_source: Annotated[
        str | None,
        typer.Option(
            help="A file of sentences to choose by.", show_default="some of the others"
        ),
    ] = None
    validation_target: Annotated[
        str | None, typer.Option(help="Their translations.")
    ] = None
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None
    dropout: Dropout = None
    max_time: MaxTime = None
    width: Width = None
    blocks: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Blocks of the network that read, and as many that write.",
            show_default="3",
        ),
    ] = None
    vocabulary: Annotated[
        int | None,
        typer.Option(
            min=300, help="How many parts of words.", show_default="by the texts"
        ),
    ] = None


@dataclass(frozen=True)
class MeasureTranslation(EvaluateOptions):
    """Options of measuring on pairs of sentences."""

    source: Source = None
    target: Target = None
    beams: Beams = None
    length_penalty: Penalty = None


class Translation(Task):
    """Pairs of sentences: two files of lines, or two columns of a table."""

    title = "Translation"
    names = (TASK,)
    options = TranslationOptions
    evaluate_options = MeasureTranslation

    def fits(self, data: str | None, given: dict[str, Any]) -> bool:
        """Never by the data alone; where it is said where the sentences are."""
        return data is None and given.get("source") is not None

    def train(self, data: str | None, options: Any) -> bool:
        """Train on pairs of sentences."""
        names = ("epochs", "learning_rate", "dropout", "max_time", "vocabulary")
        chosen = {name: getattr(options, name) for name in (*names, "width", "blocks")}
        chosen["tokens"] = options.batch_size
        given = {name: value for name, value in chosen.items() if value is not None}
        return translation_command.train(
            data,
            options.source,
            options.target,
            (options.validation_source, options.validation_target),
            Plan(**given, seed=options.seed),
            options.out,
            options.resume,
        )

    def owns(self, model: Any) -> bool:
        """Whether the model translates."""
        return is_translator(model)

    def evaluate(self, model: Any, data: str | None, options: Any) -> None:
        """Measure on pairs of sentences."""
        translation_command.evaluate(
            model,
            data,
            options.source,
            options.target,
            options.beams,
            options.length_penalty,
        )

    def predict(self, model: Any, given: str, options: Any, source: Path) -> str:
        """Point to the command that translates."""
        raise ArgumentError(
            "a translator translates",
            where=str(source),
            fix=f'chainrule translate {source} "{given}"',
        )
