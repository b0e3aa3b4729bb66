"""Which parameters an optimizer treats apart: by the paths of their variables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.variable import Variable


def fits(path: str, pattern: str) -> bool:
    """Whether `pattern` fits a run of names in `path`; `*` and `?` are wild.

    Example:
        >>> path = "model/encoder/dense_1/kernel"
        >>> [fits(path, each) for each in ("dense_1", "encoder/*", "*/kernel", "dense")]
        [True, True, True, False]
    """
    names = path.split("/")
    runs = (
        "/".join(names[start:end])
        for start in range(len(names))
        for end in range(start + 1, len(names) + 1)
    )
    return any(fnmatchcase(run, pattern) for run in runs)


def multipliers_of(
    where: str, paths: Sequence[str], multipliers: Mapping[str, float]
) -> list[float]:
    """The share of the learning rate that each path gets.

    Raises:
        ArgumentError: when a pattern fits no path; the message lists them.
    """
    for pattern in multipliers:
        if not any(fits(path, pattern) for path in paths):
            raise ArgumentError(
                "a pattern of learning_rate_multipliers fits no trainable variable",
                where=where,
                got=repr(pattern),
                expected=f"a part of one of these paths: {', '.join(paths)}",
            )
    return [
        next((m for pattern, m in multipliers.items() if fits(path, pattern)), 1.0)
        for path in paths
    ]


@dataclass
class Exclusions:
    """Variables whose weights do not shrink by themselves.

    Attributes:
        names: regular expressions that are searched for in paths.
        paths: paths of single variables.
        variables: identities of single variables.
    """

    names: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    variables: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.names or self.paths)

    def have(self, path: str, variable: int | None) -> bool:
        """Whether a variable is among them."""
        if variable is not None and variable in self.variables:
            return True
        if path in self.paths and not self.variables:
            return True  # made again from a config: the path is all that is known
        return any(re.search(name, path) for name in self.names)

    def get_config(self) -> dict[str, list[str]]:
        """What `excluded` makes equal exclusions of."""
        return {"var_names": self.names, "paths": self.paths}


def excluded(
    where: str, var_list: Sequence[Variable] | None, var_names: Sequence[str] | None
) -> Exclusions:
    """The exclusions that a user asked for.

    Raises:
        ArgumentError: when a name is no regular expression.
    """
    variables: Sequence[Any] = var_list or ()
    names = [var_names] if isinstance(var_names, str) else list(var_names or ())
    for name in names:
        try:
            re.compile(name)
        except (re.error, TypeError) as error:
            raise ArgumentError(
                f"this is no regular expression: {error}",
                where=where,
                got=repr(name),
                expected="a part of variables' names, such as 'bias'",
            ) from None
    return Exclusions(
        names, [v.path for v in variables], {id(variable) for variable in variables}
    )
