"""What the command line knows of a kind of problem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from chainrule.cli.options import Out, Output, Resume, Seed, TaskName
from chainrule.errors import ArgumentError


@dataclass(frozen=True)
class RunOptions:
    """Options of every training.

    Those of a task derive from it; a field is an option of `chainrule train`. A field
    that several tasks have is one option, and has to be the same in all of them.
    """

    task: TaskName = None
    seed: Seed = 0
    out: Out = None
    resume: Resume = False


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of every measurement; those of a task derive from it."""


@dataclass(frozen=True)
class PredictOptions:
    """Options of every prediction; those of a task derive from it."""

    output: Output = Path("predictions.csv")


class Task:
    """A kind of problem: how it is told from others, trained and used.

    Attributes:
        title: what its options are listed under.
        names: what `--task` calls it; the first is its own.
        options: the options of `chainrule train`.
        evaluate_options: the options of `chainrule evaluate`.
        predict_options: the options of `chainrule predict`.
    """

    title = ""
    names: tuple[str, ...] = ()
    options: type[RunOptions] = RunOptions
    evaluate_options: type[EvaluateOptions] = EvaluateOptions
    predict_options: type[PredictOptions] = PredictOptions

    def fits(self, data: str | None, given: dict[str, Any]) -> bool:
        """Whether the data, or the options given, are those of this task.

        Args:
            data: the path or name, where there is one.
            given: all options by name, also those of other tasks.
        """
        raise NotImplementedError

    def train(self, data: str | None, options: Any) -> bool:
        """Learn, and leave the folder of a run; says whether that was interrupted."""
        raise NotImplementedError

    def owns(self, model: Any) -> bool:
        """Whether a loaded model was trained for this task."""
        raise NotImplementedError

    def evaluate(self, model: Any, data: str | None, options: Any) -> None:
        """Measure a model, and show the figures."""
        raise NotImplementedError

    def predict(self, model: Any, given: str, options: Any, source: Path) -> str:
        """What a model says about a file or a text; returns what to show.

        Args:
            model: a loaded model of this task.
            given: the input as it was typed.
            options: of `predict_options`.
            source: where the model came from, for messages.
        """
        raise NotImplementedError


def needed(data: str | None, fix: str) -> str:
    """The data, where a task cannot do without.

    Raises:
        ArgumentError: when none were given.

    Example:
        >>> needed("people.csv", "chainrule train people.csv")
        'people.csv'
    """
    if data is None:
        raise ArgumentError("say which data to learn from", where="DATA", fix=fix)
    return data


def existing(given: str) -> Path:
    """The path of a file or folder that is there.

    Raises:
        BadParameter: when it is not.
    """
    path = Path(given)
    if not path.exists():
        raise typer.BadParameter(
            f"there is no such file or folder: {given!r}", param_hint="INPUT"
        )
    return path
