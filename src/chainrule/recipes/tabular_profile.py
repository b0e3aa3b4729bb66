"""The columns of a table looked at before anything is learnt: kinds and problems."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.data.columns import absent_in
from chainrule.data.tables import Table
from chainrule.recipes.tabular_task import Target

Array = np.ndarray[Any, Any]

LONG_TEXT = 30  # characters on average
MANY = 50  # distinct texts that may be too many
MOSTLY = 0.5  # share of the rows with a text of their own
SUSPICIOUS = 0.9  # share of the errors of a guess that one column explains
GROUPS = 20
_ID_NAME = re.compile(r"(^|[_\W])(id|uid|uuid|guid|index|key|row|no|nr|number)$", re.I)
_ID_TAIL = re.compile(r"[a-z](Id|ID)$")


@dataclass(frozen=True)
class Profile:
    """What is known of one column.

    Attributes:
        name: of the column.
        kind: `number`, `category`, `yes/no`, `date`, `text`, `id`, `constant`, `empty`.
        distinct: how many different values.
        missing: how many rows lack one.
        used: whether the model reads it.
        note: why not, or what is odd.
    """

    name: str
    kind: str
    distinct: int
    missing: int
    used: bool = True
    note: str = ""

    def leave_out(self, note: str) -> Profile:
        """The same column, not used."""
        return replace(self, used=False, note=note)

    @property
    def encoding(self) -> str:
        """How a `TableEncoder` is told to take it."""
        return self.kind if self.kind in ("number", "date") else "category"


def profile_table(
    table: Table,
    target: Target,
    exclude: Collection[str] = (),
    keep: Collection[str] = (),
) -> list[Profile]:
    """The columns other than the target, and which of them to learn from.

    Left out are empty and constant columns, numbers that merely count or name the rows,
    long or near-unique text, columns that say the same as an earlier one, and columns
    that are the target under another name. `keep` takes columns in all the same.

    Args:
        table: the table, with the target.
        target: what is predicted.
        exclude: columns to leave out.
        keep: columns to use whatever they look like.
    """
    found = []
    seen: dict[bytes, str] = {}
    for name, values in table.columns.items():
        if name == target.name:
            continue
        codes, distinct = factorize(values)
        profile = _profile(name, values, codes, distinct)
        if profile.used:
            profile = _compare(profile, codes, seen, target)
        if name in exclude:
            profile = profile.leave_out("excluded as asked for")
        elif name in keep and profile.kind != "empty":
            profile = replace(profile, used=True, note="kept as asked for")
        found.append(profile)
    return found


def factorize(values: Array) -> tuple[Array, int]:
    """Numbers that stand for the values, in the order in which they appear.

    Missing values are -1. Returns the numbers and how many there are.

    Example:
        >>> factorize(np.array(["b", None, "a", "b"], object))
        (array([ 0, -1,  1,  0]), 2)
    """
    codes = np.full(len(values), -1, np.int64)
    known = ~absent_in(values)
    present = values[known]
    if values.dtype.kind == "O":
        table: dict[Any, int] = {}
        codes[known] = [table.setdefault(v, len(table)) for v in present.tolist()]
        return codes, len(table)
    distinct, first, inverse = np.unique(
        present, return_index=True, return_inverse=True
    )
    rank = np.empty(len(distinct), np.int64)
    rank[np.argsort(first)] = np.arange(len(distinct))
    codes[known] = rank[inverse]
    return codes, len(distinct)


def _profile(name: str, values: Array, codes: Array, distinct: int) -> Profile:
    """Kind and problems of a column by itself."""
    rows = len(values)
    missing = int((codes < 0).sum())
    plain = Profile(name, "number", distinct, missing)
    if distinct == 0:
        return replace(plain, kind="empty").leave_out("no value in any row")
    if distinct == 1 and not 0 < missing < rows:
        return replace(plain, kind="constant").leave_out("the same in all rows")
    if values.dtype.kind == "M":
        return replace(plain, kind="date")
    if values.dtype.kind == "O":
        return _profile_text(plain, values, rows - missing)
    if values.dtype.kind == "b" or (distinct <= 2 and _whole(values)):
        return replace(plain, kind="yes/no")
    if _counts_rows(name, values, distinct, rows):
        return replace(plain, kind="id").leave_out(
            "a number of its own for every row: an ID"
        )
    return plain


def _profile_text(plain: Profile, values: Array, filled: int) -> Profile:
    if plain.distinct <= 2:
        return replace(plain, kind="yes/no")
    category = replace(plain, kind="category")
    if plain.distinct <= MANY or plain.distinct <= MOSTLY * filled:
        return category
    texts = [len(str(value)) for value in values.tolist() if value is not None]
    if sum(texts) / len(texts) >= LONG_TEXT:
        return replace(plain, kind="text").leave_out("free text, hardly any twice")
    return replace(plain, kind="id").leave_out(
        f"{plain.distinct:,} different texts in {filled:,} rows: names or IDs"
    )


def _whole(values: Array) -> bool:
    found = values[~absent_in(values)]
    return bool((found == np.floor(found)).all())


def _counts_rows(name: str, values: Array, distinct: int, rows: int) -> bool:
    if distinct < rows or not _whole(values) or rows < 20:
        return False
    consecutive = float(values.max() - values.min()) == rows - 1
    named = bool(_ID_NAME.search(name) or _ID_TAIL.search(name))
    return named or (consecutive and bool((np.diff(values) > 0).all()))


def _compare(
    profile: Profile, codes: Array, seen: dict[bytes, str], target: Target
) -> Profile:
    """A column beside those before it, and beside the target."""
    key = codes.tobytes()
    if key in seen:
        return profile.leave_out(f"says the same as {seen[key]}")
    seen[key] = profile.name
    if target.task != "regression" and _same_as(codes, target.y):
        return profile.leave_out("is the target under another name: a leak")
    share = explained(codes, profile.distinct, target)
    if share > SUSPICIOUS:
        return replace(
            profile, note=f"explains {share:.0%} of the target alone: a leak?"
        )
    return profile


def _same_as(codes: Array, y: Array) -> bool:
    """Whether every value goes with one class, and every class with one value."""
    again, _ = factorize(y)
    return bool((codes == again).all())


def explained(codes: Array, distinct: int, target: Target) -> float:
    """How much a column alone explains of the target, from 0 to 1.

    Of classes: the share of the errors of always saying the commonest that go away by
    saying the commonest for each value. Of amounts: R2 of the mean for each value.
    Values that hardly recur explain nothing.

    Example:
        >>> target = Target("y", "binary", ("no", "yes"), np.array([0, 0, 1, 1] * 9))
        >>> explained(np.array([0, 0, 1, 1] * 9), 2, target)
        1.0
    """
    if distinct < 2 or len(codes) < GROUPS or distinct > len(codes) // 5:
        return 0.0
    y, group = target.y, codes + 1
    if target.task == "regression":
        counts = np.maximum(np.bincount(group, minlength=distinct + 1), 1)
        means = np.bincount(group, y, distinct + 1) / counts
        left = float(((y - means[group]) ** 2).sum())
        total = float(((y - y.mean()) ** 2).sum())
    else:
        classes = len(target.classes)
        pairs = np.bincount(group * classes + y, minlength=(distinct + 1) * classes)
        left = len(y) - float(pairs.reshape(-1, classes).max(axis=1).sum())
        total = len(y) - float(np.bincount(y).max())
    return 1 - left / total if total > 0 else 0.0


def count_duplicates(table: Table) -> int:
    """How many rows equal an earlier one in every column."""
    codes = [factorize(values)[0] for values in table.columns.values()]
    if not codes:
        return 0
    stacked = np.ascontiguousarray(np.stack(codes, axis=1))
    rows = stacked.view(np.dtype((np.void, stacked.dtype.itemsize * len(codes))))
    return len(rows) - len(np.unique(rows))


def problems(profiles: Collection[Profile]) -> Iterator[str]:
    """What is worth a sentence beyond the table of columns."""
    for profile in profiles:
        if profile.used and "a leak?" in profile.note:
            yield (
                f"{profile.name} {profile.note} If it is not known beforehand, "
                f"train again with --exclude {profile.name}"
            )
        if "under another name" in profile.note:
            yield (
                f"{profile.name} {profile.note}, so it is left out "
                f"(--keep {profile.name} takes it in)"
            )
