"""From what the user passes to arrays that fit the network, with all that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.training.checks import (
    Case,
    Network,
    Objective,
    SampleShape,
    find_mistakes,
)
from chainrule.training.data import Array, check_finite, split_rows, to_array
from chainrule.training.mistakes import Mistake, raise_mistakes

SPARSE = "sparse_categorical_crossentropy"


@dataclass(frozen=True)
class Examples:
    """Inputs and targets with rows in front.

    Attributes:
        x: the inputs.
        y: the targets; None for data to predict.
    """

    x: Array
    y: Array | None

    @property
    def rows(self) -> int:
        """How many samples there are."""
        return len(self.x)

    @property
    def tree(self) -> dict[str, Array]:
        """What steps get."""
        return {"x": self.x} if self.y is None else {"x": self.x, "y": self.y}

    @property
    def target_shape(self) -> SampleShape:
        """The shape of a target."""
        return () if self.y is None else self.y.shape[1:]


@dataclass(frozen=True)
class Model:
    """What preparing needs of a model.

    Attributes:
        input_shape: tells the shape of a sample that it takes, or None.
        build: makes its weights for samples of a shape.
        describe: the network, for the checks; built if it can be.
        objective: loss and metrics; None for predicting.
        trainable: tells whether training would change any weight.
        enter: what its host layers make of raw inputs.
    """

    input_shape: Callable[[], SampleShape | None]
    build: Callable[[tuple[int, ...]], None]
    describe: Callable[[], Network]
    objective: Objective | None
    trainable: Callable[[], bool] = lambda: True
    enter: Callable[[Any], Any] = lambda x: x


class Preparation:
    """Gathers data and mistakes; `finish` raises them all at once.

    Args:
        model: the model that the data is for.
        task: the method that was called, for messages.
    """

    def __init__(self, model: Model, task: str) -> None:
        self.model = model
        self.task = task
        self.mistakes: list[Mistake] = []
        self.consistent = True

    def check_whole(self, name: str, value: Any, least: int) -> None:
        """A whole number from `least` on."""
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < least:
            self.mistakes.append(
                Mistake(
                    f"{name} must be a whole number from {least} on",
                    name,
                    got=repr(value),
                    fix=f"{name}={max(least, 32 if name == 'batch_size' else 1)}",
                )
            )

    def check_fraction(self, fraction: Any) -> bool:
        """Whether `validation_split` is a share of the rows."""
        number = isinstance(fraction, (int, float, np.number))
        share = number and bool(0 <= fraction < 1)
        if not share:
            self.mistakes.append(
                Mistake(
                    "the part for validation must be a share of the rows",
                    "validation_split",
                    got=repr(fraction),
                    expected="0 <= validation_split < 1",
                    fix="validation_split=0.2",
                )
            )
        return share

    def read(self, x: Any, y: Any, suffix: str = "") -> Examples | None:
        """Inputs and targets as arrays that fit together, or None where they do not."""
        names = f"x{suffix}", f"y{suffix}"
        with_y = self.model.objective is not None
        x_array = self._array(None if x is None else self.model.enter(x), names[0])
        y_array = self._array(y, names[1]) if with_y else None
        if x_array is not None and y_array is not None and len(x_array) != len(y_array):
            self.mistakes.append(_different_rows(x_array, y_array, *names))
        if x_array is not None and not self._build(x_array):
            return None
        return self._check(x_array, y_array, names)

    def _check(
        self, x: Array | None, y: Array | None, names: tuple[str, str]
    ) -> Examples | None:
        """Data, network and loss against one another."""
        objective, network = self.model.objective, self.model.describe()
        sparse = objective is not None and objective.name == SPARSE
        if x is not None:
            x = fit_inputs(x, network.input_shape)
            self._check_finite(x, names[0])
        if y is not None:
            y = fit_targets(y, network.output_shape, sparse)
        usable = y is not None and self._check_finite(y, names[1])
        if self.consistent:
            case = Case(network, objective, x, y if usable else None, *names)
            found = find_mistakes(case)
            # what was wrong with the data to train on need not be told again
            self.consistent = not found
            self.mistakes += found
        if x is None or (objective is not None and y is None):
            return None
        if sparse and usable and y is not None and y.dtype.kind == "f":
            y = y.astype(np.int64)  # class numbers that came as floats
        return Examples(x, y)

    def read_both(
        self, x: Any, y: Any, validation: Any, fraction: float
    ) -> tuple[Examples, Examples | None]:
        """Data to train on and, where it is wanted, data to validate with.

        Args:
            x: inputs.
            y: targets.
            validation: `(x, y)`, or None.
            fraction: the share of the rows to validate with, where that is None.

        Raises:
            DataError: naming every mistake, with the corrected lines.
        """
        number = self.check_fraction(fraction)
        train = self.read(x, y)
        if train is not None and not self.model.trainable():
            self.mistakes.append(
                Mistake(
                    "there is nothing to train",
                    "model",
                    got="no weights, or none that is trainable",
                    fix="layer.trainable = True  # or add a layer such as Dense(10)",
                )
            )
        held_out = None
        if validation is not None:
            held_out = self._read_validation(validation)
        elif number and fraction and train is not None and not self.mistakes:
            train, held_out = self.split(train, fraction)
        self.finish()
        assert train is not None
        return train, held_out

    def _read_validation(self, validation: Any) -> Examples | None:
        if isinstance(validation, (tuple, list)) and len(validation) == 2:
            return self.read(validation[0], validation[1], "_val")
        self.mistakes.append(
            Mistake(
                "validation data must be a pair of inputs and targets",
                "validation_data",
                got=type(validation).__name__,
                fix="validation_data=(x_val, y_val)",
            )
        )
        return None

    def split(self, examples: Examples, fraction: float) -> tuple[Examples, Examples]:
        """The rows to train on, and the last `fraction` of them, to validate with."""
        start = split_rows(examples.rows, fraction)
        if start in (0, examples.rows):
            self.mistakes.append(
                Mistake(
                    f"{examples.rows} rows cannot be split: one part would be empty",
                    "validation_split",
                    got=repr(fraction),
                    expected="at least one row to train on, and one to validate with",
                )
            )
        y = examples.y
        assert y is not None
        train = Examples(examples.x[:start], y[:start])
        return train, Examples(examples.x[start:], y[start:])

    def finish(self) -> None:
        """Raise what was found.

        Raises:
            DataError: naming every mistake, with the corrected lines.
        """
        raise_mistakes(self.mistakes, self.task)

    def _array(self, data: Any, name: str) -> Array | None:
        if data is None:
            self.mistakes.append(
                Mistake(
                    f"{name} is missing", name, fix=f"model.{self.task}({name}=...)"
                )
            )
            return None
        array, found = to_array(data, name)
        self.mistakes += found
        if array is not None and not array.size:
            self.mistakes.append(
                Mistake(
                    "there is no data",
                    name,
                    got=f"shape {array.shape}",
                    expected="at least one row, with at least one value",
                )
            )
            return None
        return array

    def _check_finite(self, array: Array, name: str) -> bool:
        found = check_finite(array, name)
        self.mistakes += found
        return not found

    def _build(self, x: Array) -> bool:
        """Make the weights, where the network learns its shape from the data."""
        if self.model.input_shape() is not None:
            return True
        shape = x.shape[1:] or (1,)
        try:
            self.model.build(shape)
        except ChainruleError as error:
            self.mistakes.append(
                Mistake(
                    error.problem,
                    error.where or "model",
                    got=None if error.got is None else str(error.got),
                    expected=None if error.expected is None else str(error.expected),
                    fix=error.fix,
                )
            )
            return False
        return True


def _different_rows(x: Array, y: Array, x_name: str, y_name: str) -> Mistake:
    rows = min(len(x), len(y))
    swapped = x.ndim > 1 and x.shape[-1] == len(y)
    fix = f"{x_name}, {y_name} = {x_name}[:{rows}], {y_name}[:{rows}]  # if rows match"
    return Mistake(
        f"{x_name} and {y_name} must have the same number of rows",
        "data",
        got=f"{x_name} of shape {x.shape}, {y_name} of shape {y.shape}",
        expected="one row of targets for each row of inputs",
        fix=f"{x_name} = {x_name}.T" if swapped else fix,
    )


def fit_inputs(x: Array, expected: SampleShape | None) -> Array:
    """A plain row of numbers as a column, where samples are single numbers.

    Example:
        >>> fit_inputs(np.zeros(5), (1,)).shape
        (5, 1)
    """
    return x[:, None] if x.ndim == 1 and expected == (1,) else x


def fit_targets(y: Array, output_shape: SampleShape | None, sparse: bool) -> Array:
    """Targets with the axis of length 1 that the outputs have, or without it.

    `(rows,)` goes with outputs `(rows, 1)`, and `(rows, 1)` with `(rows,)`:
    broadcasting would compare each row with every other. Class numbers have no such
    axis.

    Example:
        >>> fit_targets(np.zeros(5), (1,), sparse=False).shape
        (5, 1)
        >>> fit_targets(np.zeros((5, 1)), (10,), sparse=True).shape
        (5,)
    """
    if output_shape is None:
        return y
    if sparse:
        output_shape = output_shape[:-1]
    if None in output_shape or y.shape[1:] == output_shape:
        return y
    own, wanted = y.shape[1:], tuple(n or 0 for n in output_shape)
    longer, shorter = sorted((own, wanted), key=len, reverse=True)
    return y.reshape(len(y), *wanted) if longer == (*shorter, 1) else y
