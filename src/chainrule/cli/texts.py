"""Telling the classes of texts, on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.options import BatchSize, Epochs, Header, LearningRate, Target
from chainrule.cli.task import EvaluateOptions, PredictOptions, RunOptions, Task, needed
from chainrule.recipes import text_command
from chainrule.recipes.options import read_training
from chainrule.recipes.text import Plan
from chainrule.recipes.text_data import holds_records, holds_texts
from chainrule.recipes.text_network import TASK

TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text",
        help="Table of texts: the column with them, by name or place from 0 on.",
        metavar="COLUMN",
    ),
]


@dataclass(frozen=True)
class TextOptions(RunOptions):
    """Options of training on labelled texts."""

    text: TextColumn = None
    target: Target = None
    header: Header = None
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Texts to measure on.",
            metavar="FILE",
            show_default="a fifth of the texts",
        ),
    ] = None
    epochs: Epochs = None
    batch_size: BatchSize = None
    learning_rate: LearningRate = None


@dataclass(frozen=True)
class MeasureTexts(EvaluateOptions):
    """Options of measuring on labelled texts."""

    text: TextColumn = None
    target: Target = None
    header: Header = None


@dataclass(frozen=True)
class PredictTexts(PredictOptions):
    """Options of telling the classes of texts."""

    text: TextColumn = None


class Texts(Task):
    """Labelled texts: a table, JSON, or a folder with a folder for every class."""

    title = "Texts"
    names = (TASK,)
    options = TextOptions
    evaluate_options = MeasureTexts
    predict_options = PredictTexts

    def fits(self, data: str | None, given: dict[str, Any]) -> bool:
        """A column of texts is named, or there are files of text by class, or JSON."""
        if data is None:
            return False
        named = given.get("text") is not None
        return named or holds_texts(data) or holds_records(data)

    def train(self, data: str | None, options: Any) -> bool:
        """Train on labelled texts."""
        data = needed(data, "chainrule train reviews.tsv --text COLUMN --target COLUMN")
        rates = (options.epochs, options.batch_size, None, options.learning_rate, None)
        plan = Plan(
            **read_training(*rates),
            text=options.text,
            target=options.target,
            header=options.header,
            validation=None if options.validation is None else str(options.validation),
            seed=options.seed,
        )
        return text_command.train(data, plan, options.out, options.resume)

    def owns(self, model: Any) -> bool:
        """Whether the model tells the classes of texts."""
        return text_command.is_text_classifier(model)

    def evaluate(self, model: Any, data: str | None, options: Any) -> None:
        """Measure on labelled texts."""
        columns = (options.text, options.target)
        text_command.evaluate(model, data, columns, options.header)

    def predict(self, model: Any, given: str, options: Any, source: Path) -> str:
        """Tell the class of a text, or those of a file."""
        return text_command.predict(model, given, options.output, options.text)
