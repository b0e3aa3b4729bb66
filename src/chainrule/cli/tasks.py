"""The tasks that the command line knows, and how one is chosen."""

from __future__ import annotations

from typing import Any

import typer

from chainrule.cli.chat import Chat
from chainrule.cli.dense import Dense
from chainrule.cli.detection import Detection
from chainrule.cli.language import Language
from chainrule.cli.pictures import Pictures
from chainrule.cli.tables import Table
from chainrule.cli.task import Task
from chainrule.cli.texts import Texts
from chainrule.cli.translation import Translation
from chainrule.recipes import images_data

OTHER = Dense()  # for models that nobody knows
# In the order in which they look at the data: the first that fits takes them.
TASKS: tuple[Task, ...] = (
    OTHER,
    Texts(),
    Pictures(),
    Detection(),
    Table(),
    Translation(),
    Chat(),
    Language(),
)
DATA_SETS = ("digits", *images_data.DATA_SETS)


def choose_task(data: str | None, given: dict[str, Any]) -> Task:
    """What is to be learnt: as `--task` tells, or by what the data are.

    Args:
        data: the path or name, where there is one.
        given: the options of all tasks, by name.

    Raises:
        BadParameter: when the data are neither known nor there, or the task is unknown.
    """
    name = given.get("task")
    if name is None:
        fitting = [task for task in TASKS if task.fits(data, given)]
        return fitting[0] if fitting else _refuse_data(data)
    able = [task for task in TASKS if name in task.names]
    if not able:
        known = dict.fromkeys(each for task in TASKS for each in task.names)
        raise typer.BadParameter(
            f"there is no such task: {name!r}; give {', '.join(known)}",
            param_hint="--task",
        )
    fitting = [task for task in able if task.fits(data, given)]
    own = [task for task in able if task.names[0] == name]
    return [*fitting, *own][0]


def _refuse_data(data: str | None) -> Task:
    if data is None:
        raise typer.BadParameter("say which data to learn from", param_hint="DATA")
    raise typer.BadParameter(
        f"there is no such data set, and no such file or folder: {data!r}; give "
        f"{', '.join(DATA_SETS)}, or the path of pictures, of a table, or of texts"
    )


def owner_of(model: Any) -> Task:
    """The task that a loaded model was trained for."""
    return next((task for task in TASKS if task.owns(model)), OTHER)
