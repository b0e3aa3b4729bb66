"""Use a saved model: measure it, and predict for rows from a file."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, DataError
from chainrule.recipes.perceptron import load_images
from chainrule.training.files import write_atomically

Array = np.ndarray[Any, Any]

SHAPES = {"digits": (8, 8), "mnist": (28, 28)}


def sample_shape(model: Any) -> tuple[int | None, ...]:
    """The shape of a sample that a loaded model takes."""
    return tuple(model._sample_shape() or ())


def data_for(model: Any) -> str:
    """The data set whose images a model takes.

    Raises:
        ArgumentError: when it takes other inputs.
    """
    shape = sample_shape(model)
    for name, known in SHAPES.items():
        if shape in (known, (math.prod(known),)):
            return name
    raise ArgumentError(
        "this model takes the images of no data set that comes with chainrule",
        where=model.name,
        got=f"inputs of shape {shape}",
        expected=", ".join(f"{name}: {known}" for name, known in SHAPES.items()),
        fix="in Python: chainrule.models.load_model(path).evaluate(x, y)",
    )


def evaluate(model: Any, name: str | None) -> tuple[str, int, dict[str, float]]:
    """Measure a model on the test images of a data set.

    Args:
        model: a loaded model.
        name: the data set; None takes the one whose images the model takes.

    Returns:
        The data set, the number of test images, and what was measured.
    """
    name = data_for(model) if name is None else name
    images = load_images(name)
    x = fit_rows(images.x_test, sample_shape(model), name)
    found = model.evaluate(x, images.y_test, verbose=0, return_dict=True)
    return name, len(x), found


def read_rows(path: Path) -> Array:
    """The rows of a `.npy` file, or of a file of numbers separated by commas.

    A first line that holds no numbers is taken for headings.

    Raises:
        DataError: when the file cannot be read as numbers; names the line.
    """
    if path.suffix.lower() == ".npy":
        try:
            with path.open("rb") as file:
                array = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(
                "this is no .npy file of numbers", where=str(path), got=str(error)
            ) from None
        return np.asarray(array)
    return _read_csv(path)


def _read_csv(path: Path) -> Array:
    rows: list[list[float]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for line, cells in enumerate(csv.reader(file), 1):
                if cells:
                    _append(rows, cells, line, path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            "this is no file of comma-separated numbers",
            where=str(path),
            got=str(error),
            fix="numpy.save('rows.npy', rows), or numpy.savetxt with delimiter=','",
        ) from None
    if not rows:
        raise DataError("the file holds no rows", where=str(path))
    return np.array(rows, np.float32)


def _append(rows: list[list[float]], cells: list[str], line: int, path: Path) -> None:
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError as error:
        if line == 1:
            return
        raise DataError(
            "a cell is no number", where=f"{path}, line {line}", got=str(error)
        ) from None
    if rows and len(numbers) != len(rows[0]):
        raise DataError(
            "lines differ in their number of cells",
            where=f"{path}, line {line}",
            got=len(numbers),
            expected=len(rows[0]),
        )
    rows.append(numbers)


def fit_rows(x: Array, shape: tuple[int | None, ...], where: str) -> Array:
    """Rows in the shape that a model takes: flat rows become images, and the reverse.

    A single image without the axis of the rows counts as one row.

    Raises:
        DataError: when a row has another number of values.

    Example:
        >>> fit_rows(np.zeros((5, 64)), (8, 8), "rows.csv").shape
        (5, 8, 8)
    """
    if None in shape:
        return x
    lengths = tuple(length for length in shape if length is not None)
    if x.shape in (lengths, (math.prod(lengths),)):
        x = x[None]
    if x.ndim and math.prod(x.shape[1:]) == math.prod(lengths):
        return x.reshape(len(x), *lengths)
    raise DataError(
        "the rows do not fit the model",
        where=where,
        got=f"shape {x.shape}",
        expected=f"(rows, {', '.join(map(str, lengths))}), "
        f"or (rows, {math.prod(lengths)})",
    )


def write_predictions(path: Path, outputs: Array) -> None:
    """Write predictions as CSV, one line a row.

    Distributions over classes give the likeliest class and all probabilities; other
    outputs are written as they are.
    """
    flat = outputs.reshape(len(outputs), -1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if is_distribution(outputs):
        names = [f"p{number}" for number in range(flat.shape[1])]
        writer.writerow(["row", "class", *names])
        for number, row in enumerate(flat):
            cells = [f"{value:.6g}" for value in row.tolist()]
            writer.writerow([number, int(row.argmax()), *cells])
    else:
        names = [f"output{number}" for number in range(flat.shape[1])]
        writer.writerow(["row", *names])
        for number, row in enumerate(flat):
            writer.writerow([number, *(f"{value:.9g}" for value in row.tolist())])
    try:
        write_atomically(path, text.getvalue().encode())
    except OSError as error:
        raise ArgumentError(
            "the predictions cannot be written", where=str(path), got=error.strerror
        ) from None


def is_distribution(outputs: Array) -> bool:
    """Whether every row holds the probabilities of two classes or more."""
    return (
        outputs.ndim == 2
        and outputs.shape[1] > 1
        and bool((outputs >= 0).all())
        and bool(np.allclose(outputs.sum(axis=1), 1, atol=1e-3))
    )
