"""Which rows are held out for validation: an explicit choice."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.training.data import Array, split_rows
from chainrule.training.weights import class_numbers

KINDS = ("last", "shuffled", "stratified", "grouped", "time")


class Split:
    """A choice of the rows that are not trained on, but validated with.

    Args:
        fraction: the share of the rows to hold out.
        kind: `last` takes the last rows, as a plain number does; `shuffled` any rows;
            `stratified` the same share of every class; `grouped` whole groups, so that
            no person, patient or device is on both sides; `time` the latest rows, none
            of which is as early as one that is trained on.
        by: for `grouped` the group of each row, for `time` its time; for `stratified`
            the class of each row, where that is not the label.
        seed: decides which rows.

    Raises:
        ArgumentError: for a kind that does not exist, and where `by` is missing.

    Example:
        >>> labels = np.array([0] * 8 + [1] * 2)
        >>> train, held_out = Split(0.5, "stratified").rows(10, labels)
        >>> labels[held_out].tolist()
        [0, 0, 0, 0, 1]
        >>> Split(0.5, "time", by=[3, 1, 2, 4]).rows(4)[1].tolist()
        [0, 3]
    """

    def __init__(
        self, fraction: float, kind: str = "shuffled", by: Any = None, seed: int = 0
    ) -> None:
        if kind not in KINDS:
            raise ArgumentError(
                "there is no such split",
                where="Split",
                got=f"kind={kind!r}",
                expected=", ".join(map(repr, KINDS)),
            )
        if kind in ("grouped", "time") and by is None:
            raise ArgumentError(
                f"a split of kind '{kind}' needs a value for each row",
                where="Split",
                fix=f"Split({fraction}, '{kind}', by=column)",
            )
        number = isinstance(fraction, (int, float, np.number))
        if not number or not 0 < fraction < 1:
            raise ArgumentError(
                "the part for validation must be a share of the rows",
                where="Split",
                got=repr(fraction),
                expected="0 < fraction < 1",
                fix="Split(0.2)",
            )
        self.fraction = float(fraction)
        self.kind = kind
        self.by = None if by is None else np.asarray(by)
        self.seed = seed

    def rows(self, count: int, y: Any = None) -> tuple[Array, Array]:
        """The numbers of the rows to train on, and of those held out, in order.

        Args:
            count: how many rows there are.
            y: the labels, for `stratified`.

        Raises:
            ArgumentError: where there is not one value of `by` a row, where labels do
                not name classes, and where one side would be empty.
        """
        if self.by is not None and len(self.by) != count:
            raise ArgumentError(
                "there must be one value for each row",
                where="Split",
                got=f"by of length {len(self.by)}",
                expected=f"{count}",
            )
        held_out = np.zeros(count, bool)
        held_out[getattr(self, f"_{self.kind}")(count, y)] = True
        if held_out.all() or not held_out.any():
            raise ArgumentError(
                f"{count} rows cannot be split: one part would be empty",
                where="Split",
                got=f"fraction={self.fraction}, kind={self.kind!r}",
                expected="at least one row to train on, and one to validate with",
            )
        return np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def _last(self, count: int, y: Any) -> Any:
        return slice(split_rows(count, self.fraction), None)

    def _shuffled(self, count: int, y: Any) -> Array:
        order = np.random.default_rng(self.seed).permutation(count)
        return np.asarray(order[split_rows(count, self.fraction) :])

    def _stratified(self, count: int, y: Any) -> Array:
        values = y if self.by is None else self.by
        classes = None
        if self.by is not None:
            classes = np.unique(self.by, return_inverse=True)[1].reshape(-1)
        elif isinstance(values, np.ndarray):
            classes = class_numbers(values)
        if classes is None:
            raise ArgumentError(
                "a stratified split needs labels that name classes",
                where="Split",
                fix=f"Split({self.fraction}, 'stratified', by=classes)",
            )
        random = np.random.default_rng(self.seed)
        taken = []
        for number in np.unique(classes):
            rows = random.permutation(np.flatnonzero(classes == number))
            taken.append(rows[: round(len(rows) * self.fraction)])
        return np.concatenate(taken)

    def _grouped(self, count: int, y: Any) -> Array:
        assert self.by is not None
        _, numbers, sizes = np.unique(self.by, return_inverse=True, return_counts=True)
        order = np.random.default_rng(self.seed).permutation(len(sizes))
        # as many whole groups as come nearest to the share
        filled = np.cumsum(sizes[order])
        last = int(np.argmin(np.abs(filled - self.fraction * count)))
        return np.flatnonzero(np.isin(numbers.reshape(-1), order[: last + 1]))

    def _time(self, count: int, y: Any) -> Array:
        assert self.by is not None
        sorted_times = np.sort(self.by)
        first = sorted_times[min(split_rows(count, self.fraction), count - 1)]
        return np.flatnonzero(self.by >= first)

    def __repr__(self) -> str:
        by = "" if self.by is None else ", by=..."
        return f"Split({self.fraction}, {self.kind!r}{by})"
