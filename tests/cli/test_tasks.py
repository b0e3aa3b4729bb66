from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from chainrule.cli import app, tasks
from chainrule.cli.gathered import Gathered
from chainrule.cli.options import Target
from chainrule.cli.task import RunOptions, Task
from chainrule.errors import ArgumentError

Colour = Annotated[str, typer.Option(help="Of the sky.")]


@dataclass(frozen=True)
class Sky(RunOptions):
    colour: Colour = "blue"
    target: Target = None


@dataclass(frozen=True)
class Sea(RunOptions):
    depth: Annotated[int, typer.Option(help="In metres.")] = 9
    target: Target = None


@dataclass(frozen=True)
class Gull(RunOptions):
    colour: Colour = "white"


GATHERED = Gathered(RunOptions, [("Sky", Sky), ("Sea", Sea)])


def run(*arguments: str) -> Any:
    said: list[Any] = []
    one = typer.Typer()

    @one.command()
    @GATHERED.command
    def watch(given: dict[str, Any], place: str = "here") -> None:
        """Watch the weather."""
        said.append((place, given))

    result = CliRunner().invoke(one, list(arguments))
    assert result.exit_code == 0, result.output
    return said[0] if said else result.output


def test_options_of_all_tasks_come_with_their_defaults() -> None:
    place, given = run("--depth", "3", "--place", "there")
    assert place == "there"
    assert (given["depth"], given["colour"], given["seed"]) == (3, "blue", 0)


def test_help_lists_an_option_once_and_under_its_task() -> None:
    shown = run("--help")
    assert shown.count("--target") == 1
    assert shown.index("Sky") < shown.index("--colour") < shown.index("Sea")
    assert "Watch the weather." in shown


def test_each_task_gets_its_own_options() -> None:
    _, given = run("--depth", "3", "--seed", "5", "--target", "t")
    assert GATHERED.pick(Sea, given, "Sea") == Sea(depth=3, seed=5, target="t")


def test_an_option_of_another_task_is_refused() -> None:
    _, given = run("--colour", "grey")
    with pytest.raises(ArgumentError, match=r"--colour: an option of sky, not of sea"):
        GATHERED.pick(Sea, given, "Sea")


def test_tasks_that_share_an_option_agree_on_it() -> None:
    with pytest.raises(TypeError, match="Gull: colour differs"):
        Gathered(RunOptions, [("Sky", Sky), ("Gull", Gull)])


def test_a_task_may_do_without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dream(Task):
        title = "Dreams"
        names = ("dream",)

        def fits(self, data: str | None, given: dict[str, Any]) -> bool:
            return False

    dream = Dream()
    monkeypatch.setattr(tasks, "TASKS", (*tasks.TASKS, dream))
    assert tasks.choose_task(None, {"task": "dream"}) is dream
    assert tasks.choose_task("digits", {}) is tasks.OTHER


def test_the_table_of_tasks() -> None:
    names = [task.names[0] for task in tasks.TASKS]
    titles = [task.title for task in tasks.TASKS]
    assert len(set(names)) == len(names)
    assert len(set(titles)) == len(titles)
    for task in tasks.TASKS:
        assert not task.fits(None, {})


def test_training_refuses_what_the_task_does_not_take() -> None:
    result = CliRunner().invoke(app, ["train", "digits", "--flip-vertical"])
    assert result.exit_code == 1
    assert "--flip-vertical: an option of detection" in result.output
