"""Learning from tables, on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.options import (
    BatchSize,
    Dropout,
    Epochs,
    Header,
    Hidden,
    LearningRate,
    Target,
)
from chainrule.cli.task import RunOptions, Task, existing, needed
from chainrule.recipes import tabular_command
from chainrule.recipes.options import read_names, read_training
from chainrule.recipes.tabular import Plan

KINDS = ("binary", "classes", "regression")


@dataclass(frozen=True)
class TableOptions(RunOptions):
    """Options of training on a table."""

    target: Target = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Columns not to learn from, such as a,b."),
    ] = None
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Columns to learn from, whatever they look like."),
    ] = None
    header: Header = None
    missing: Annotated[
        list[str] | None,
        typer.Option(help="Texts that stand for a missing value, beyond '?', NA."),
    ] = None
    time_budget: Annotated[
        float, typer.Option(min=1, help="Seconds that the network may train.")
    ] = 120.0
    epochs: Epochs = None
    batch_size: BatchSize = None
    hidden: Hidden = None
    learning_rate: LearningRate = None
    dropout: Dropout = None


class Table(Task):
    """A table of numbers, categories and dates with one column to predict."""

    title = "Tables"
    names = ("table", *KINDS)
    options = TableOptions

    def fits(self, data: str | None, given: dict[str, Any]) -> bool:
        """A CSV or Parquet file, or any other file."""
        return data is not None and tabular_command.is_table(data)

    def train(self, data: str | None, options: Any) -> bool:
        """Train on a table."""
        data = needed(data, "chainrule train people.csv")
        chosen = read_training(
            options.epochs,
            options.batch_size,
            options.hidden,
            options.learning_rate,
            options.dropout,
        )
        plan = Plan(
            options.target,
            options.task if options.task in KINDS else None,
            chosen,
            options.seed,
            options.time_budget,
            read_names(options.exclude),
            read_names(options.keep),
            read_names(options.missing),
            options.header,
        )
        return tabular_command.train(data, plan, options.out, options.resume)

    def owns(self, model: Any) -> bool:
        """Whether the model reads the rows of a table."""
        return tabular_command.table_encoder(model) is not None

    def evaluate(self, model: Any, data: str | None, options: Any) -> None:
        """Measure on a table with the target."""
        tabular_command.evaluate(model, data)

    def predict(self, model: Any, given: str, options: Any, source: Path) -> str:
        """Write what the model says about the rows of a table."""
        if existing(given).is_dir():
            raise typer.BadParameter(f"the model takes rows, not a folder: {given}")
        count = tabular_command.predict(model, given, options.output)
        return f"{count:,} predictions in {options.output}"
