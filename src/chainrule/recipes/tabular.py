"""Learn from your own table: columns, target, network, comparison, report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.tables import Table, read_table
from chainrule.errors import ArgumentError, DataError
from chainrule.layers import TableEncoder
from chainrule.models import Sequential
from chainrule.recipes import tabular_network as network
from chainrule.recipes.tabular_measures import confusion, guess, measure
from chainrule.recipes.tabular_peers import Peer, compare, has_sklearn
from chainrule.recipes.tabular_profile import Profile, count_duplicates, profile_table
from chainrule.recipes.tabular_task import (
    HOLD_OUT,
    Target,
    find_target,
    read_target,
    stratified_folds,
    with_target,
)
from chainrule.training.history import History

Array = np.ndarray[Any, Any]

VALIDATION = 6  # one of so many of the rows to learn from validates


@dataclass(frozen=True)
class Plan:
    """What to learn from a table, and how.

    Attributes:
        target: the column to predict, by name or by place.
        task: `binary`, `classes` or `regression`; None finds out.
        shape: overrides what is chosen by the rows; see `tabular_network.Shape`.
        seed: decides the split, the first weights and the order of rows.
        time_budget: seconds that the network may train.
        exclude: columns not to learn from.
        keep: columns to learn from although they look useless or like a leak.
        missing: texts that stand for a missing value, beyond the usual ones.
        header: whether a CSV file has headings; None finds out.
    """

    target: str | None = None
    task: str | None = None
    shape: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    time_budget: float = 120.0
    exclude: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    header: bool | None = None


@dataclass(frozen=True)
class Problem:
    """A table with what is predicted, and the split of its rows.

    Attributes:
        table: the rows that have a target; the target's column among them.
        target: what is predicted.
        profiles: of the other columns.
        learning: rows to learn from, in the order of the table.
        test: rows that nothing is learnt from.
        folds: for each row to learn from, the network that it tells when to stop.
        notes: what was found, in sentences.
    """

    table: Table
    target: Target
    profiles: list[Profile]
    learning: Array
    test: Array
    folds: Array
    notes: list[str] = field(default_factory=list)

    @property
    def used(self) -> dict[str, str]:
        """The columns to learn from, with how they are encoded."""
        return {p.name: p.encoding for p in self.profiles if p.used}

    def parts(self, number: int) -> tuple[Array, Array]:
        """The rows that a network learns from, and those that tell it when to stop."""
        stops = self.folds == number
        return self.learning[~stops], self.learning[stops]


@dataclass(frozen=True)
class Outcome:
    """What was learnt.

    Attributes:
        model: takes raw rows.
        history: of its training.
        results: measures by model, on the rows held out.
        confusion: for classes, how many rows of each went where.
        trained: in words, how.
        compared: whether other models were measured as well.
    """

    model: Sequential
    history: History
    results: dict[str, dict[str, float]]
    confusion: Array | None
    trained: str
    compared: bool


def pose(data: Any, plan: Plan) -> Problem:
    """Read a table and find out what is to be learnt from it.

    Args:
        data: a path, or a table in memory.
        plan: the target and options.

    Raises:
        ArgumentError: when a column does not exist.
        DataError: when there is nothing to learn from, or nothing to learn.

    Example:
        >>> rows = {"size": list(range(40)), "heavy": ["no"] * 20 + ["yes"] * 20}
        >>> problem = pose(rows, Plan(target="heavy", keep=("size",)))
        >>> problem.target.task, len(problem.test)
        ('binary', 8)
    """
    known = [] if plan.target is None else [plan.target]
    table = read_table(data, header=plan.header, missing=plan.missing, known=known)
    name = find_target(table, plan.target)
    _check_columns(table, (*plan.exclude, *plan.keep))
    notes = list(table.notes)
    known_rows = with_target(table.columns[name])
    if not known_rows.all():
        lost = int((~known_rows).sum())
        notes.append(f"{lost:,} rows have no {name}; they are left out")
        table = table.rows(known_rows)
    target = read_target(table.columns[name], name, plan.task)
    profiles = profile_table(table, target, plan.exclude, plan.keep)
    if not any(profile.used for profile in profiles):
        profiles = _take_any(profiles, plan.exclude)
    duplicates = count_duplicates(table)
    if duplicates:
        notes.append(
            f"{duplicates:,} rows equal an earlier one; rows held out may be among them"
        )
    return Problem(table, target, profiles, *split(target, plan.seed), notes)


def _check_columns(table: Table, wanted: Collection[str]) -> None:
    unknown = [name for name in wanted if name not in table.columns]
    if unknown:
        raise ArgumentError(
            "the table has no such column",
            where="--exclude, --keep",
            got=", ".join(unknown),
            expected=", ".join(table.names[:30]),
        )


def _take_any(profiles: Sequence[Profile], exclude: Collection[str]) -> list[Profile]:
    """Where no column is left, those that say anything at all.

    Raises:
        DataError: when none does.
    """
    found = []
    for profile in profiles:
        hopeless = profile.kind in ("constant", "empty") or profile.name in exclude
        found.append(
            profile
            if hopeless
            else Profile(
                profile.name,
                "number" if profile.kind == "id" else profile.kind,
                profile.distinct,
                profile.missing,
                note=f"used for want of better: {profile.note}",
            )
        )
    if not any(profile.used for profile in found):
        raise DataError(
            "there is no column to learn from",
            where="data",
            got=", ".join(f"{p.name}: {p.note}" for p in profiles[:10]) or "no others",
            fix="a table with a column that says something about the target",
        )
    return found


def split(target: Target, seed: int) -> tuple[Array, Array, Array]:
    """Rows to learn from (4/5), rows held out, and sixths of the former.

    Every part has its share of every class; of amounts, of every tenth of them.
    """
    test = stratified_folds(target.groups, HOLD_OUT, seed) == 0
    learning = np.flatnonzero(~test)
    folds = stratified_folds(target.groups[learning], VALIDATION, seed + 1)
    return learning, np.flatnonzero(test), folds


def learn(
    problem: Problem,
    plan: Plan,
    folder: Path | None = None,
    show: Callable[[str], object] = lambda line: None,
) -> Outcome:
    """Train the network, compare it, and measure all on the rows held out.

    Args:
        problem: from `pose`.
        plan: how to train.
        folder: of the run, from which one that is cut short goes on.
        show: is told of every epoch.
    """
    target, table = problem.target, problem.table
    used = table.without(set(table.names) - set(problem.used))
    encoder = TableEncoder(
        target={**target.describe(), "row_names": _row_names(problem)},
        missing=plan.missing,
        name="columns",
    )
    encoder.adapt(used.rows(problem.learning), problem.used)
    rows = encoder(used)
    shape = network.choose_shape(len(problem.learning), encoder.numbers, plan.shape)
    started = time.monotonic()
    members, histories = _train_members(
        problem, plan, encoder, rows, shape, folder, show
    )
    seconds = time.monotonic() - started
    model = network.assemble(encoder, members, target, problem.learning)
    outputs = predict_rows(model, used.rows(problem.test), target)
    held_out = target.rows(problem.test)
    results = {"this network": {**measure(held_out, outputs), "seconds": seconds}}
    for peer in _peers(encoder, rows, problem, plan.seed):
        results[peer.name] = {**peer.measures, "seconds": peer.seconds}
    learnt = target.rows(problem.learning)
    commonest = "mean" if target.task == "regression" else "commonest class"
    results[f"always the {commonest}"] = measure(held_out, guess(held_out, learnt))
    counts = None if target.task == "regression" else confusion(held_out, outputs)
    epochs = ", ".join(str(len(history.epoch)) for history in histories)
    trained = f"trained for {epochs} epochs, in {seconds:.1f} s"
    if network.class_weights(learnt) is not None:
        trained += (
            "; classes were weighed to count alike, as one has over 90% of the rows: "
            "accuracy and probabilities of the rare ones lean towards them"
        )
    return Outcome(model, histories[0], results, counts, trained, len(results) > 2)


def _train_members(
    problem: Problem,
    plan: Plan,
    encoder: TableEncoder,
    rows: Array,
    shape: network.Shape,
    folder: Path | None,
    show: Callable[[str], object],
) -> tuple[list[Sequential], list[History]]:
    """Networks that start from other weights and stop by other rows each."""
    members: list[Sequential] = []
    histories: list[History] = []
    deadline = time.monotonic() + plan.time_budget
    for number in range(min(shape.members, VALIDATION)):
        left = deadline - time.monotonic()
        parts = problem.parts(number)
        if histories and (left <= 0 or histories[-1].interrupted or not len(parts[1])):
            break
        member = network.build_network(
            encoder, rows[parts[0]], problem.target, shape, plan.seed + number
        )
        history = network.train_network(
            member,
            rows,
            problem.target,
            parts,
            problem.learning,
            shape,
            plan.seed + number,
            left / (shape.members - number),
            folder
            if folder is None or not number
            else folder / f"network-{number + 1}",
            partial(_tell, show, number + 1),
        )
        members.append(member)
        histories.append(history)
    return members, histories


def _tell(show: Callable[[str], object], number: int, line: str) -> None:
    show(f"network {number}, {line}")


def _row_names(problem: Problem) -> list[str] | None:
    """What to call the columns of rows that come without headings."""
    if problem.table.header:
        return None
    return problem.table.names


def _peers(
    encoder: TableEncoder, rows: Array, problem: Problem, seed: int
) -> list[Peer]:
    if not has_sklearn():
        return []
    found = compare(encoder, rows, problem.target, problem.learning, problem.test, seed)
    return list(found)


def predict_rows(model: Any, data: Any, target: Target) -> Array:
    """Probabilities `(rows, classes)` or amounts `(rows,)` for raw rows."""
    outputs = model.predict(data, batch_size=1024, verbose=0)
    return outputs[:, 0] if target.task == "regression" else outputs


def write_report(folder: Path, problem: Problem, outcome: Outcome) -> None:
    """Write `columns.json`: what was found of the columns, and what was left out."""
    columns = [vars(profile) for profile in problem.profiles]
    text = json.dumps({"columns": columns, "notes": problem.notes}, indent=1)
    (folder / "columns.json").write_text(text + "\n", encoding="utf-8")
