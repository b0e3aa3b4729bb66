"""Which pictures are learnt from, which choose the weights, which are held out."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import DataError
from chainrule.recipes.images_data import TEST, TRAIN, VALIDATION, Labelled

Array = np.ndarray[Any, Any]

TEST_SHARE = 0.2  # held out where the data name none
CHOOSING_SHARE = 0.1
MOST_CHOOSING = 1000
LEAST_CHOOSING = 20  # with fewer, chance would choose


def divide(
    data: Labelled, whole: Array, seed: int
) -> tuple[dict[str, Array], list[str]]:
    """The places of the pictures of each part, and what is to be told of them.

    Parts that the data name are kept. Where no part is named to measure on, a fifth of
    every class is held out by chance; where none is named to choose weights by, a tenth
    of what is left, at most 1,000 pictures, unless that is fewer than 20.

    Args:
        data: labelled pictures.
        whole: the places of those that can be read.
        seed: of the chance.

    Raises:
        DataError: when there is nothing to learn from, or to measure on.
    """
    named = {k: np.intersect1d(rows, whole) for k, rows in data.parts.items()}
    named = {kind: rows for kind, rows in named.items() if len(rows)}
    numbers = np.random.default_rng(seed)
    notes = []
    if TRAIN not in named:
        named = {TRAIN: whole}
    if TEST not in named and VALIDATION in named:
        named[TEST] = named.pop(VALIDATION)
        notes.append("measured on the part for validation, as no other is named")
    if TEST not in named:
        named[TRAIN], named[TEST] = draw(data, named[TRAIN], TEST_SHARE, numbers)
        notes.append(f"a fifth of every class held out by chance (seed {seed})")
    if VALIDATION not in named:
        count = len(named[TRAIN])
        share = min(CHOOSING_SHARE, MOST_CHOOSING / count)
        named[VALIDATION] = np.array([], np.int64)
        if count * share >= LEAST_CHOOSING:
            rest, chosen = draw(data, named[TRAIN], share, numbers)
            named[TRAIN], named[VALIDATION] = rest, chosen
            notes.append(f"{len(chosen):,} of those to learn from choose the weights")
    return checked_parts(data, named), notes


def draw(
    data: Labelled, places: Array, share: float, numbers: np.random.Generator
) -> tuple[Array, Array]:
    """Take a share of every class by chance; at least one picture of each stays."""
    taken: list[Array] = []
    labels = data.labels[places]
    for label in np.unique(labels):
        rows = numbers.permutation(places[labels == label])
        count = min(max(round(len(rows) * share), 1), len(rows) - 1)
        taken.append(rows[:count])
    chosen = np.sort(np.concatenate(taken))
    return np.setdiff1d(places, chosen), chosen


def checked_parts(data: Labelled, parts: dict[str, Array]) -> dict[str, Array]:
    """The parts, where something can be learnt from them and measured on them.

    Raises:
        DataError: where not.
    """
    learning = data.counts(parts[TRAIN])
    if (learning > 0).sum() < 2:
        raise DataError(
            f"there are {data.things} of fewer than two classes to learn from",
            where=data.name,
            got=f"{len(parts[TRAIN])} {data.things}",
        )
    if not len(parts[TEST]):
        raise DataError(
            f"no {data.things} are left to measure on",
            where=data.name,
            got=f"{len(parts[TRAIN])} {data.things}, one of each class",
            expected=f"two {data.things} of a class or more",
        )
    return {kind: parts[kind] for kind in (TRAIN, VALIDATION, TEST)}
