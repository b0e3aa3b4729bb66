"""Labelled texts: from tables, from JSON, from folders by class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.places import open_place
from chainrule.data.records import (
    JSON,
    JSON_LINES,
    Records,
    kind_of_file,
    read_records,
)
from chainrule.data.text_files import decode_text, read_bytes, read_lines
from chainrule.errors import DataError
from chainrule.recipes.images_data import (
    PART_NAMES,
    TEST,
    TRAIN,
    VALIDATION,
    Labelled,
    natural,
    read_folder,
    rows_of_parts,
)
from chainrule.recipes.images_parts import TEST_SHARE, checked_parts, draw

Array = np.ndarray[Any, Any]

TEXTS = "texts"
ENDINGS = (".txt",)
MOST_NAMED = 5


@dataclass(frozen=True)
class Columns:
    """Where texts stand in a table.

    Attributes:
        text: the column with the texts.
        target: that with the classes.
        header: whether the table has headings.
    """

    text: str
    target: str
    header: bool


class TextOrigin:
    """Texts in memory.

    Args:
        texts: the texts.
        names: what they are called; None counts them.
    """

    def __init__(
        self, texts: Sequence[str], names: Sequence[str] | None = None
    ) -> None:
        self.texts = list(texts)
        self.names = names

    def __len__(self) -> int:
        return len(self.texts)

    def read(self, place: int) -> str:
        """A text."""
        return self.texts[place]

    def called(self, place: int) -> str:
        """Its name, or its row, counted from 1."""
        return f"row {place + 1}" if self.names is None else self.names[place]


def read_labelled(
    path: str,
    text: str | None = None,
    target: str | None = None,
    header: bool | None = None,
) -> tuple[Labelled, Columns | None]:
    """Labelled texts of a table, of JSON, or of a folder or zip.

    Args:
        path: a folder or zip with a folder of `.txt` files for every class; or a file
            for `read_records`.
        text: the column with the texts, by name or place; None takes that with the
            longest.
        target: the column with the classes; None takes that with the fewest different
            values among the others.
        header: whether the first row holds headings; None finds out.

    Returns:
        The texts, and where they stand, if in a table.

    Raises:
        DataError: when they cannot be read, or no row has both.
    """
    if holds_texts(path):
        return _read_by_folder(path), None
    known = [name for name in (text, target) if name is not None]
    records = read_records(path, header=header, known=known)
    if not len(records):
        raise DataError("the table has no rows", where=path, got="headings alone")
    chosen = choose_columns(records, text, target)
    return _from_records(records, *chosen), Columns(*chosen, records.header)


def holds_texts(path: str | os.PathLike[str]) -> bool:
    """Whether a folder or zip has files of text in folders."""
    if not Path(path).is_dir() and not str(path).lower().endswith(".zip"):
        return False
    names = open_place(path).names
    texts = [name for name in names if name.lower().endswith(ENDINGS) and "/" in name]
    return len(texts) * 2 > len(names)


def holds_records(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds a table in JSON, rather than annotations of pictures."""
    file = Path(path)
    kind = kind_of_file(file)
    if kind in JSON_LINES or kind not in JSON or not file.is_file():
        return kind in JSON_LINES and file.is_file()
    raw = read_bytes(file)
    return not (b'"annotations"' in raw and b'"images"' in raw)


def _read_by_folder(path: str) -> Labelled:
    found = read_folder(path, ENDINGS, TEXTS)
    names = [found.origin.called(place) for place in range(len(found))]
    found.origin = TextOrigin(
        [
            decode_text(found.origin.read(place), None, name)
            for place, name in enumerate(names)
        ],
        names,
    )
    return found


def choose_columns(
    records: Records, text: str | None, target: str | None
) -> tuple[str, str]:
    """The columns of the texts and of the classes.

    Raises:
        DataError: when there are not two.

    Example:
        >>> columns = {"id": ["1", "2"], "said": ["so long", "hello"], "by": ["a", "a"]}
        >>> choose_columns(Records(columns, "data"), None, None)
        ('said', 'by')
    """
    names = records.names
    if len(names) < 2:
        raise DataError(
            "there is one column, and no class for each text",
            where=records.source,
            got=", ".join(names),
            expected="a column of texts and one of classes",
        )
    label = None if target is None else records.column(target)
    if text is None:
        chosen = _longest(records, [name for name in names if name != label])
    else:
        chosen = records.column(text)
    if label is None:
        rest = [name for name in names if name != chosen]
        label = min(rest, key=lambda name: len(set(records.columns[name])))
    if label == chosen:
        raise DataError(
            "texts and classes are the same column",
            where=records.source,
            got=repr(label),
            expected=f"two of {', '.join(map(repr, names[:20]))}",
        )
    return chosen, label


def _longest(records: Records, names: Sequence[str]) -> str:
    """The column with the longest texts."""
    return max(names, key=lambda n: sum(len(c or "") for c in records.columns[n]))


def _from_records(records: Records, text: str, target: str) -> Labelled:
    """Rows with a text and a class; others are left out."""
    texts, classes = records.columns[text], records.columns[target]
    parts = None if records.part is None else [p.lower() for p in records.part]
    kept, notes = [], list(records.notes)
    for row, (said, label) in enumerate(zip(texts, classes, strict=True)):
        placed = parts is None or parts[row] in PART_NAMES
        if placed and said is not None and label is not None and label.strip():
            kept.append(row)
    lost = len(texts) - len(kept)
    other = sorted(set(parts or ()) - set(PART_NAMES))
    if other:
        notes.append(f"the parts {', '.join(other)} were left out")
    elif lost:
        notes.append(f"{lost:,} rows without a text or a class were left out")
    if not kept:
        raise DataError(
            "no row has both a text and a class",
            where=records.source,
            got=f"{len(texts)} rows",
            expected=f"{text} and {target}",
        )
    labels = [str(classes[row]).strip() for row in kept]
    found = sorted(set(labels), key=natural)
    numbers = {name: number for number, name in enumerate(found)}
    return Labelled(
        records.source,
        TextOrigin([str(texts[row]) for row in kept]),
        np.array([numbers[label] for label in labels], np.int64),
        tuple(found),
        {} if parts is None else rows_of_parts([parts[row] for row in kept]),
        notes,
        TEXTS,
    )


def with_validation(data: Labelled, other: Labelled) -> Labelled:
    """Texts to learn from, and others to measure on.

    Raises:
        DataError: when the others have classes that there are not to learn from.
    """
    numbers = {name: number for number, name in enumerate(data.class_names)}
    odd = [name for name in other.class_names if name not in numbers]
    if odd:
        raise DataError(
            "there are classes to measure on that are not learnt",
            where=other.name,
            got=", ".join(odd[:MOST_NAMED]),
            expected=", ".join(data.class_names[:20]),
        )
    learnt = data.parts.get(TRAIN, np.arange(len(data)))
    places = other.parts.get(TEST, other.parts.get(VALIDATION, np.arange(len(other))))
    again = np.array([numbers[name] for name in other.class_names], np.int64)
    texts = [data.origin.read(place) for place in learnt.tolist()]
    texts += [other.origin.read(place) for place in places.tolist()]
    count = len(learnt)
    return Labelled(
        data.name,
        TextOrigin(texts),
        np.concatenate([data.labels[learnt], again[other.labels[places]]]),
        data.class_names,
        {TRAIN: np.arange(count), TEST: np.arange(count, len(texts))},
        [*data.notes, f"measured on {other.name}"],
        TEXTS,
    )


def divide_texts(data: Labelled, seed: int) -> tuple[dict[str, Array], list[str]]:
    """The places to learn from and to measure on, and what is to be told of them.

    Parts that the data name are kept; where none is named to measure on, a fifth of
    every class is held out by chance.

    Raises:
        DataError: when there is nothing to learn from, or to measure on.
    """
    parts, notes = dict(data.parts), []
    if TRAIN not in parts:
        parts = {TRAIN: np.arange(len(data))}
    if TEST not in parts and VALIDATION in parts:
        parts[TEST] = parts.pop(VALIDATION)
        notes.append("measured on the part for validation, as no other is named")
    if TEST not in parts:
        numbers = np.random.default_rng(seed)
        parts[TRAIN], parts[TEST] = draw(data, parts[TRAIN], TEST_SHARE, numbers)
        notes.append(f"a fifth of every class held out by chance (seed {seed})")
    parts.setdefault(VALIDATION, np.array([], np.int64))
    learnt = {data.origin.read(place) for place in parts[TRAIN].tolist()}
    again = sum(data.origin.read(place) in learnt for place in parts[TEST].tolist())
    if again:
        notes.append(f"{again:,} of the texts held out are among those to learn from")
    return checked_parts(data, parts), notes


def unlabelled_texts(
    path: str, text: str | None = None, learnt: Columns | None = None
) -> list[str]:
    """The texts of a file: of a column of a table, or one in every line.

    Args:
        path: a folder or zip of `.txt` files, with a text in each; a file for
            `read_records`; or one of kind `.txt`, without tabs, with a text in every
            line.
        text: the column with the texts, by name or place.
        learnt: where texts stood in what was learnt from, which holds where nothing is
            said; where there is no such column, that with the longest texts.

    Raises:
        DataError: when the file cannot be read, or lacks the column that was named.
    """
    if Path(path).is_dir() or path.lower().endswith(".zip"):
        return _whole_files(path)
    if kind_of_file(Path(path)) in ENDINGS:
        lines = read_lines(path)
        if not any("\t" in line for line in lines):
            return lines
    names = [name for name in (text, learnt and learnt.text) if name]
    header = False if learnt is not None and not learnt.header else None
    records = read_records(path, known=names, header=header)
    if text is not None:
        chosen = records.column(text)
    elif learnt is not None and learnt.text in records.columns:
        chosen = learnt.text
    else:
        chosen = _longest(records, records.names)
    return [cell or "" for cell in records.columns[chosen]]


def _whole_files(path: str) -> list[str]:
    place = open_place(path)
    names = [name for name in place.names if name.lower().endswith(ENDINGS)]
    if not names:
        raise DataError("there are no files of text here", where=path, got="no .txt")
    return [decode_text(place.read(name), None, name) for name in names]
