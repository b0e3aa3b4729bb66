"""From what the user passes to arrays that fit the network, with all that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ChainruleError
from chainrule.ir import tree
from chainrule.models.objective import Objective, View
from chainrule.training.case import Case, Network, SampleShape
from chainrule.training.checks import find_mistakes
from chainrule.training.data import Array, check_finite, to_array
from chainrule.training.mistakes import Mistake, raise_mistakes
from chainrule.training.targets import by_output, spread
from chainrule.training.weights import weigh_classes

SPARSE = "sparse_categorical_crossentropy"


@dataclass(frozen=True)
class Examples:
    """Inputs, targets and weights, with rows in front: arrays, or trees of them.

    Attributes:
        x: the inputs.
        y: the targets; None for data to predict, and for models without labels.
        sample_weight: how much each sample counts; None where all count alike.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None

    @property
    def rows(self) -> int:
        """How many samples there are."""
        return len(tree.flatten(self.x)[0][0])

    @property
    def tree(self) -> dict[str, Any]:
        """What steps get."""
        parts = {"x": self.x, "y": self.y, "sample_weight": self.sample_weight}
        return {name: part for name, part in parts.items() if part is not None}

    def take(self, rows: Any) -> Examples:
        """The samples of these rows, a slice or an array of numbers."""
        parts = tree.tree_map(lambda array: array[rows], self.tree)
        return Examples(**parts)


@dataclass(frozen=True)
class Outputs:
    """What a network returns.

    Attributes:
        names: the names of the outputs.
        shapes: for each the shape of a sample.
    """

    names: tuple[str, ...]
    shapes: tuple[SampleShape, ...]


@dataclass(frozen=True)
class Model:
    """What preparing needs of a model.

    Attributes:
        input_shape: tells the shape of a sample that it takes, or None; for several
            inputs None.
        build: makes its weights for these inputs, a tree of arrays.
        describe: a network for each output, for the checks; built if it can be.
        outputs: tells what it returns; None while that is not known.
        objective: loss and metrics; None for predicting.
        trainable: tells whether training would change any weight.
        several: whether a list of arrays is several inputs; None where that shows in
            the list.
        labelled: whether there must be targets.
        enter: what its host layers make of raw inputs.
        free_axes: tells the axes along which batches may differ in length.
    """

    input_shape: Callable[[], SampleShape | None]
    build: Callable[[Any], None]
    describe: Callable[[], Sequence[Network]]
    outputs: Callable[[], Outputs | None]
    objective: Objective | None
    trainable: Callable[[], bool] = lambda: True
    several: bool | None = False
    labelled: bool = True
    enter: Callable[[Any], Any] = lambda x: x
    free_axes: Callable[[], frozenset[int]] = frozenset


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
        self._unfit = False

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

    def read(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        suffix: str = "",
    ) -> Examples | None:
        """Inputs, targets and weights that fit together; None where they do not."""
        x_name, y_name = f"x{suffix}", f"y{suffix}"
        if self.model.several is False:
            x = out_of_list(x, self.model.input_shape())
        raw = None if x is None else self.model.enter(x)
        inputs = self._arrays(raw, x_name, self.model.several)
        if self.model.several and isinstance(inputs, np.ndarray):
            self.mistakes.append(_one_for_several(inputs, x_name))
            inputs = None
        built = inputs is None or self._build(inputs)
        outputs = self.model.outputs() if built else None
        if outputs is not None and len(outputs.names) == 1:
            y = out_of_list(y, outputs.shapes[0])
        labels = self._labels(y, y_name, outputs)
        single = isinstance(inputs, np.ndarray) and isinstance(labels, np.ndarray)
        if single and len(inputs) != len(labels):
            self.mistakes.append(_different_rows(inputs, labels, x_name, y_name))
        if not built:
            return None
        if isinstance(inputs, np.ndarray):
            inputs = fit_inputs(inputs, self.model.input_shape())
        labels = self._check(inputs, labels, outputs, (x_name, y_name))
        weights = self._weights(labels, sample_weight, class_weight, outputs, suffix)
        if inputs is None:
            return None
        examples = Examples(inputs, labels, weights)
        if not single or (weights is not None and len(inputs) == len(labels)):
            self._check_rows(examples, suffix)
        return examples

    def _labels(self, y: Any, name: str, outputs: Outputs | None) -> Any:
        """The targets as arrays; None where there are none."""
        objective = self.model.objective
        if objective is None or (y is None and not self._needs_labels(objective)):
            return None
        several = outputs is not None and len(outputs.names) > 1
        return self._arrays(y, name, several)

    def _needs_labels(self, objective: Objective) -> bool:
        return self.model.labelled and (
            objective.loss is not None or bool(objective.metrics or objective.weighted)
        )

    def _check(
        self, x: Any, y: Any, outputs: Outputs | None, names: tuple[str, str]
    ) -> Any:
        """Data, networks and losses against one another; the targets as they fit."""
        for leaf, name in _named(x, names[0]):
            self._check_finite(leaf, name)
        networks = self.model.describe()
        if self.model.objective is None or not self._fits_outputs(y, outputs):
            self._find(Case(networks[0], None, _alone(x), None, *names))
            return y
        views = self._views(outputs)
        fitted = []
        parts = [y] if outputs is None else by_output(y, outputs.names, "y")
        rows = zip(parts, views, networks, strict=True)
        for number, (part, view, network) in enumerate(rows):
            name = names[1]
            if view.output is not None:
                name = f"{name}[{view.output!r}]"
            if part is not None:
                view = view.meant(part.shape[1:], network.output_shape)
                part = fit_targets(part, network.output_shape, view.name == SPARSE)
            usable = part is not None and self._check_finite(part, name)
            first = _alone(x) if number == 0 else None
            judged = part if usable and view.loss is not None else None
            self._find(Case(network, view, first, judged, names[0], name))
            whole = usable and part.dtype.kind == "f" and view.name == SPARSE
            # class numbers that came as floats
            fitted.append(part.astype(np.int64) if whole else part)
        return fitted[0] if len(fitted) == 1 else fitted

    def _views(self, outputs: Outputs | None) -> list[View]:
        objective = self.model.objective
        assert objective is not None
        return objective.views(("output_0",) if outputs is None else outputs.names)

    def _find(self, case: Case) -> None:
        if not self.consistent:
            return
        found = find_mistakes(case)
        self.mistakes += found
        self._unfit = self._unfit or bool(found)

    def _fits_outputs(self, y: Any, outputs: Outputs | None) -> bool:
        """Whether targets have a part for each output."""
        if outputs is None or y is None:
            return y is None or not isinstance(y, (Mapping, list, tuple))
        try:
            by_output(y, outputs.names, "y")
        except ArgumentError as error:
            self.mistakes.append(as_mistake(error))
            return False
        return True

    def _weights(
        self,
        y: Any,
        sample_weight: Any,
        class_weight: Any,
        outputs: Outputs | None,
        suffix: str,
    ) -> Any:
        """The weight of each sample, from both kinds of weights."""
        name = f"sample_weight{suffix}"
        weights = None
        if sample_weight is not None:
            several = outputs is not None and len(outputs.names) > 1
            weights = self._arrays(sample_weight, name, several or None)
            for leaf, leaf_name in _named(weights, name):
                self._check_finite(leaf, leaf_name)
        if class_weight is None or y is None:
            return weights
        names = ("output_0",) if outputs is None else outputs.names
        given = [class_weight]
        if len(names) > 1:
            given = self._class_weights(class_weight, names)
        labels, spread_out = by_output(y, names, "y"), spread(weights, names)
        parts = zip(labels, spread_out, given, strict=True)
        found = [self._weighed(*part) for part in parts]
        return found[0] if len(found) == 1 else found

    def _class_weights(self, given: Any, names: Sequence[str]) -> list[Any]:
        if given == "balanced":
            return [given] * len(names)
        try:
            return by_output(given, names, "class_weight")
        except ArgumentError as error:
            self.mistakes.append(as_mistake(error))
            return [None] * len(names)

    def _weighed(self, y: Any, weights: Any, class_weight: Any) -> Any:
        """The weights of one output."""
        if y is None or class_weight is None:
            return weights
        found, mistakes = weigh_classes(y, class_weight)
        self.mistakes += mistakes
        if weights is None or found is None or len(weights) != len(found):
            return found if weights is None else weights
        return weights * found.reshape(len(found), *(1,) * (weights.ndim - 1))

    def finish_training(self, usable: bool) -> None:
        """Note that the data to train on was read, and whether it can be used."""
        # what was wrong with the data to train on need not be told again
        self.consistent = not self._unfit
        if usable and not self.model.trainable():
            self.mistakes.append(
                Mistake(
                    "there is nothing to train",
                    "model",
                    got="no weights, or none that is trainable",
                    fix="layer.trainable = True  # or add a layer such as Dense(10)",
                )
            )

    def read_validation(self, validation: Any) -> Examples | None:
        """Data to validate with, given as a tuple."""
        if isinstance(validation, (tuple, list)) and len(validation) in (1, 2, 3):
            x, y, weights = (*validation, None, None)[:3]
            return self.read(x, y, weights, suffix="_val")
        self.mistakes.append(
            Mistake(
                "validation data must be a pair of inputs and targets",
                "validation_data",
                got=type(validation).__name__,
                expected="(x, y) or (x, y, sample_weight)",
                fix="validation_data=(x_val, y_val)",
            )
        )
        return None

    def finish(self) -> None:
        """Raise what was found.

        Raises:
            DataError: naming every mistake, with the corrected lines.
        """
        raise_mistakes(self.mistakes, self.task)

    def _arrays(self, data: Any, name: str, several: bool | None) -> Any:
        """`data` as an array, or a tree of them; None where it cannot be used."""
        if data is None:
            self.mistakes.append(
                Mistake(
                    f"{name} is missing", name, fix=f"model.{self.task}({name}=...)"
                )
            )
            return None
        if not _is_tree(data, several):
            return self._array(data, name)
        if isinstance(data, Mapping):
            keys, parts = list(data), list(data.values())
        else:
            keys, parts = list(range(len(data))), list(data)
        found = [
            None if part is None else self._array(part, f"{name}[{key!r}]")
            for key, part in zip(keys, parts, strict=True)
        ]
        if any(a is None and p is not None for a, p in zip(found, parts, strict=True)):
            return None
        if isinstance(data, Mapping):
            return dict(zip(keys, found, strict=True))
        return found

    def _array(self, data: Any, name: str) -> Array | None:
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

    def _check_rows(self, examples: Examples, suffix: str) -> None:
        """All arrays have the same number of rows."""
        arrays = [
            (leaf, name)
            for key, part in examples.tree.items()
            for leaf, name in _named(part, f"{key}{suffix}")
        ]
        if len({len(array) for array, _ in arrays}) > 1:
            shapes = ", ".join(f"{name} of shape {a.shape}" for a, name in arrays)
            self.mistakes.append(
                Mistake(
                    "all data must have the same number of rows",
                    "data",
                    got=shapes,
                    expected="one row for each sample",
                )
            )

    def _build(self, x: Any) -> bool:
        """Make the weights, where the network learns its shape from the data."""
        if self.model.input_shape() is not None:
            return True
        try:
            self.model.build(x)
        except ChainruleError as error:
            self.mistakes.append(as_mistake(error))
            return False
        return True


def as_mistake(error: ChainruleError) -> Mistake:
    """An error as one of several mistakes."""
    return Mistake(
        error.problem,
        error.where or "model",
        got=None if error.got is None else str(error.got),
        expected=None if error.expected is None else str(error.expected),
        fix=error.fix,
    )


def _alone(x: Any) -> Array | None:
    """The single input; None for several."""
    return x if isinstance(x, np.ndarray) else None


def out_of_list(data: Any, shape: SampleShape | None) -> Any:
    """The array in a list of a single one, as a model of one input may be given it.

    Example:
        >>> out_of_list([np.zeros((8, 3))], (3,)).shape
        (8, 3)
        >>> len(out_of_list([np.zeros(3)], (3,)))  # a list of one row
        1
    """
    if not isinstance(data, (list, tuple)) or len(data) != 1 or shape is None:
        return data
    only = data[0]
    inside = hasattr(only, "shape") and np.ndim(only) == len(shape) + 1
    return only if inside else data


def _named(data: Any, name: str) -> list[tuple[Array, str]]:
    """The arrays of a tree with what messages call them."""
    leaves = tree.flatten(data)[0]
    return list(zip(leaves, tree.leaf_names(data, name), strict=True))


def _is_tree(data: Any, several: bool | None) -> bool:
    """Whether data is several arrays, and not rows."""
    if isinstance(data, Mapping):
        return True
    if not isinstance(data, (list, tuple)) or several is False:
        return False
    # rows are nested lists; arrays are inputs
    return bool(several) or all(np.ndim(p) > 0 and hasattr(p, "shape") for p in data)


def _one_for_several(x: Array, name: str) -> Mistake:
    return Mistake(
        "the model takes several inputs, and this is a single array",
        name,
        got=f"shape {x.shape}",
        expected="a list of arrays, or a dict by the names of the inputs",
        fix=f"{name} = [first, second]",
    )


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
