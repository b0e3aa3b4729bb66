"""What is given to the options of the command line, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.recipes.perceptron import Plan


def read_names(given: list[str] | None) -> tuple[str, ...]:
    """Names given one by one or with commas between them.

    Example:
        >>> read_names(["id, name", "zip"]), read_names(None)
        (('id', 'name', 'zip'), ())
    """
    parts = [part.strip() for text in given or () for part in text.split(",")]
    return tuple(part for part in parts if part)


def read_training(
    epochs: int | None,
    batch_size: int | None,
    hidden: list[str] | None,
    learning_rate: float | None,
    dropout: float | None,
) -> dict[str, Any]:
    """What is told of training, by name; what is not told is left out.

    Example:
        >>> read_training(None, 8, ["16,4"], None, 0.5)
        {'batch_size': 8, 'hidden': (16, 4), 'dropout': 0.5}
    """
    given = {
        "epochs": epochs,
        "batch_size": batch_size,
        "hidden": None if hidden is None else read_widths(hidden),
        "learning_rate": learning_rate,
        "dropout": dropout,
    }
    return {name: value for name, value in given.items() if value is not None}


def read_picture_options(
    model: str, size: str | None, augment: list[str] | None, start: Path | None
) -> dict[str, Any]:
    """What is told of the network and of the changes of pictures.

    Example:
        >>> found = read_picture_options("auto", "64", ["crop,flip"], Path("runs/a"))
        >>> found["model"], found["size"], found["augment"], found["start"]
        (None, (64,), ('crop', 'flip'), 'runs/a')
    """
    return {
        "model": None if model == "auto" else model,
        "size": read_size(size),
        "augment": None if augment is None else read_names(augment),
        "start": None if start is None else str(start),
    }


def read_size(given: str | None) -> tuple[int, ...] | None:
    """The size of pictures: a side, or height and width.

    Raises:
        ArgumentError: when it is neither.

    Example:
        >>> read_size("64"), read_size("48x96"), read_size(None)
        ((64,), (48, 96), None)
    """
    if given is None:
        return None
    parts = given.lower().split("x")
    if len(parts) > 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise ArgumentError(
            "a size is a side, or height and width, in pixels",
            where="--size",
            got=given,
            fix="--size 64, or --size 48x96",
        )
    return tuple(int(part) for part in parts)


def read_widths(given: list[str] | None) -> tuple[int, ...]:
    """The widths of hidden layers: `--hidden 128,64` or `--hidden 128 --hidden 64`.

    Example:
        >>> read_widths(["128,64"]), read_widths(["128", "64"]), read_widths(None)
        ((128, 64), (128, 64), (128,))
    """
    if given is None:
        return Plan().hidden
    try:
        widths = tuple(int(part) for text in given for part in text.split(",") if part)
    except ValueError:
        widths = (0,)
    if any(width < 1 for width in widths):
        raise ArgumentError(
            "widths are positive whole numbers",
            where="--hidden",
            got=" ".join(given),
            fix="--hidden 128,64",
        )
    return widths
