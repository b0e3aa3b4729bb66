"""What is to be predicted: the target column, the task, and the split of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.data.columns import absent_in, to_numbers, to_text
from chainrule.data.tables import Table
from chainrule.errors import ArgumentError, DataError

Array = np.ndarray[Any, Any]

TASKS = ("binary", "classes", "regression")
MOST_WHOLE_CLASSES = 10  # distinct whole numbers that count as classes, not amounts
MOST_CLASSES = 1000
FEWEST_ROWS = 5
HOLD_OUT = 5  # one row in so many is held out
BINS = 10


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        name: of the column.
        task: `binary`, `classes` or `regression`.
        classes: their names in order; empty for a regression.
        y: class numbers, or the amounts.
        reason: why it is this task, in words.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    y: Array
    reason: str = ""

    @property
    def groups(self) -> Array:
        """What the split keeps in proportion: classes, or tenths of the amounts."""
        if self.task != "regression":
            return self.y
        edges = np.unique(np.quantile(self.y, np.linspace(0, 1, BINS + 1)[1:-1]))
        return np.searchsorted(edges, self.y, side="right")

    def rows(self, index: Array) -> Target:
        """The target of some rows."""
        return Target(self.name, self.task, self.classes, self.y[index], self.reason)

    def describe(self) -> dict[str, Any]:
        """What a saved model has to know of it."""
        return {"name": self.name, "task": self.task, "classes": list(self.classes)}


def find_target(table: Table, wanted: str | None) -> str:
    """The name of the target column, given by name or by place.

    Args:
        table: the table.
        wanted: a name; or a place counted from 1, or from the end: -1 is the last.

    Raises:
        ArgumentError: when there is no such column.
    """
    names = table.names
    if wanted in names:
        return str(wanted)
    try:
        place = int(wanted or "")
    except ValueError:
        place = 0
    if 1 <= abs(place) <= len(names):
        return names[place - 1 if place > 0 else place]
    raise ArgumentError(
        "the table has no such column" if wanted else "say what is to be predicted",
        where="--target",
        got=repr(wanted),
        expected=", ".join(names[:30]) + f"; or a place from 1 to {len(names)}, or -1",
        fix=f"--target {_nearest(wanted, names)}",
    )


def _nearest(wanted: str | None, names: Sequence[str]) -> str:
    for name in names:
        if wanted and name.lower() == wanted.lower():
            return name
    return names[-1] if names else "NAME"


def read_target(values: Array, name: str, task: str | None = None) -> Target:
    """The target that a column without missing values holds.

    Two different values make a binary task; text, and up to ten different whole numbers
    that recur, make classes; other numbers a regression.

    Args:
        values: the column.
        name: what it is called.
        task: overrides what it looks like.

    Raises:
        DataError: when nothing can be learnt from it.
        ArgumentError: for a task that there is not, or that does not fit.

    Example:
        >>> read_target(np.array([0, 1, 1, 0, 1]), "y").task
        'binary'
        >>> read_target(np.array([0.1, 1.5, 1.25, 3.0, 2.5]), "y").task
        'regression'
    """
    if task is not None and task not in TASKS:
        raise ArgumentError(
            "there is no such task", where="--task", got=task, expected=", ".join(TASKS)
        )
    if len(values) < FEWEST_ROWS:
        raise DataError(
            "too few rows to learn from and to measure with",
            where=name,
            got=f"{len(values)} rows with a target",
            expected=f"at least {FEWEST_ROWS}, better hundreds",
        )
    distinct = np.unique(to_text(values).astype(str))
    if len(distinct) < 2:
        raise DataError(
            "there is nothing to learn: the target is always the same",
            where=name,
            got=f"{distinct[0]!r} in all {len(values):,} rows",
        )
    guessed, reason = _guess(values, len(distinct))
    if (task or guessed) == "regression":
        return _amounts(values, name, reason if task is None else "as asked for")
    if task == "binary" and len(distinct) > 2:
        raise ArgumentError(
            "a binary target has two values",
            where=name,
            got=f"{len(distinct)}: {', '.join(distinct[:5])}, ...",
            fix="--task classes",
        )
    return _classes(values, name, reason if task is None else "as asked for")


def _guess(values: Array, distinct: int) -> tuple[str, str]:
    if distinct == 2:
        return "binary", "two different values"
    if values.dtype.kind == "O":
        return "classes", f"{distinct} different texts"
    if values.dtype.kind == "M":
        return "regression", "times"
    whole = bool((values == np.floor(values)).all())
    if whole and distinct <= MOST_WHOLE_CLASSES and len(values) >= 5 * distinct:
        return (
            "classes",
            f"{distinct} different whole numbers; --task regression takes them as "
            "amounts",
        )
    return "regression", f"{distinct:,} different numbers"


def _amounts(values: Array, name: str, reason: str) -> Target:
    numbers = to_numbers(values)
    if values.dtype.kind == "M":
        numbers = values.astype("datetime64[s]").astype(np.int64).astype(np.float64)
    if not np.isfinite(numbers).all():
        bad = to_text(values)[~np.isfinite(numbers)][0]
        raise DataError(
            "a regression needs numbers",
            where=name,
            got=repr(bad),
            fix="--task classes",
        )
    return Target(name, "regression", (), numbers, reason)


def _classes(values: Array, name: str, reason: str) -> Target:
    texts = to_text(values)
    names = sorted(set(texts.tolist()), key=_natural)
    if len(names) > MOST_CLASSES or len(names) > len(values) // 2:
        raise DataError(
            "hardly any value of the target recurs, so there are no classes to learn",
            where=name,
            got=f"{len(names):,} different values in {len(values):,} rows",
            fix="--target with another column, or --task regression for numbers",
        )
    places = {text: place for place, text in enumerate(names)}
    y = np.array([places[text] for text in texts.tolist()], np.int64)
    return Target(
        name, "binary" if len(names) == 2 else "classes", tuple(names), y, reason
    )


def _natural(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def with_target(values: Array) -> Array:
    """Which rows have a target."""
    known = ~absent_in(values)
    if values.dtype.kind == "f":
        known &= np.isfinite(values)
    return known


def stratified_folds(groups: Array, folds: int, seed: int) -> Array:
    """The fold of each row; every fold has its share of every group.

    Example:
        >>> folds = stratified_folds(np.array([0] * 8 + [1] * 4), 4, seed=0)
        >>> [int((folds[:8] == fold).sum()) for fold in range(4)]
        [2, 2, 2, 2]
    """
    numbers = np.random.default_rng(seed)
    shuffled = numbers.permutation(len(groups))
    order = shuffled[np.argsort(groups[shuffled], kind="stable")]
    found = np.empty(len(groups), np.int64)
    found[order] = (np.arange(len(groups)) + numbers.integers(folds)) % folds
    return found
