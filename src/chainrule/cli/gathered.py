"""Commands whose options are those of all tasks together.

Every task lists its options as the fields of a dataclass. A command shows all of them,
and hands each task its own; an option of another task is an error.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from chainrule.errors import ArgumentError


class Gathered:
    """The options of all tasks, once each.

    Args:
        base: the dataclass of the options that all tasks have.
        sources: of each task, its title and its dataclass of options. What several
            tasks take has to be the same option in all of them.
    """

    def __init__(self, base: type, sources: Sequence[tuple[str, type]]) -> None:
        self.parameters: dict[str, inspect.Parameter] = {}
        self.takers: dict[str, list[str]] = {}
        for title, options in [("", base), *sources]:
            for option in _parameters(options):
                if self.parameters.setdefault(option.name, option) != option:
                    raise TypeError(f"{title}: {option.name} differs from that before")
                self.takers.setdefault(option.name, []).append(title)

    def command(self, function: Callable[..., None]) -> Callable[..., None]:
        """A command with the arguments of a function and the options of all tasks.

        Args:
            function: takes its own arguments, and `given`, the options by name.
        """
        own = {each.name: each for each in _arguments(function) if each.name != "given"}

        def gathered(**given: Any) -> None:
            mine = {name: given.pop(name) for name in own}
            function(**mine, given=given)

        shown = [*own.values(), *map(self._under, self.parameters.values())]
        made: Any = gathered
        made.__name__, made.__doc__ = function.__name__, function.__doc__
        made.__signature__ = inspect.Signature(shown)
        made.__annotations__ = {each.name: each.annotation for each in shown}
        return gathered

    def _under(self, option: inspect.Parameter) -> inspect.Parameter:
        """The option of a single task, listed under its title."""
        titles = self.takers[option.name]
        if len(titles) > 1 or not titles[0]:
            return option
        kind, described = get_args(option.annotation)
        described = copy.copy(described)
        described.rich_help_panel = titles[0]
        return option.replace(annotation=Annotated[kind, described])

    def pick(self, options: type, given: dict[str, Any], title: str) -> Any:
        """The options of one task, out of those of all.

        Args:
            options: the dataclass of the task.
            given: the options of all tasks, by name.
            title: what the task is called.

        Raises:
            ArgumentError: when an option was given that the task does not take.
        """
        names = {field.name for field in fields(options)}
        for name, value in given.items():
            if name not in names and value != self.parameters[name].default:
                takers = [taker for taker in self.takers[name] if taker]
                raise ArgumentError(
                    f"an option of {', '.join(takers)}, not of {title}".lower(),
                    where=f"--{name.replace('_', '-')}",
                    got=value,
                )
        return options(**{name: given[name] for name in names})


def _parameters(options: type) -> list[inspect.Parameter]:
    """The fields of a dataclass as parameters, with their annotations resolved."""
    hints = get_type_hints(options, include_extras=True)
    found = []
    for field in fields(options):
        if get_origin(hints[field.name]) is not Annotated:
            raise TypeError(f"{options.__name__}.{field.name} is not described")
        found.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=hints[field.name],
            )
        )
    return found


def _arguments(function: Callable[..., None]) -> list[inspect.Parameter]:
    """The parameters of a function, by keyword and with annotations resolved."""
    hints = get_type_hints(function, include_extras=True)
    return [
        each.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, each in inspect.signature(function).parameters.items()
    ]
