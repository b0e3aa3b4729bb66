"""The checks before the first step: data, labels, loss and network against one another.

Each check is a function that takes a `Case` and yields what is wrong. None of them
stops at its first finding, and none trains: other libraries train a sigmoid with binary
cross-entropy on labels 0 to 9 down to a loss of -55 without a word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from chainrule.training.case import Case, Labels, count_inputs, fits, show_shape
from chainrule.training.data import Array
from chainrule.training.mistakes import Mistake
from chainrule.training.range_checks import (
    check_circle,
    check_counts,
    check_margin,
    check_one_output_each,
    check_percentage,
)

REGRESSION = (
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "pinball",
    "poisson",
)
BINARY = ("binary_crossentropy", "binary_focal_crossentropy", "dice", "tversky")
SPARSE = ("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy")
ONE_HOT = (
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "kl_divergence",
    "categorical_hinge",
)
MARGINS = ("hinge", "squared_hinge")
PROBABILISTIC = (*BINARY, *SPARSE, *ONE_HOT[:3])
COUNTED = ("poisson", "mean_squared_logarithmic_error")
# Activations whose values are no probabilities. A function not listed is trusted.
UNBOUNDED = (
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "swish",
    "softplus",
    "softsign",
    "tanh",
    "exponential",
    "log_softmax",
)
REACHABLE = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0)}


def check_input(case: Case) -> Iterator[Mistake]:
    """The shape of a sample against the first layer."""
    expected = case.network.input_shape
    if case.x is None or expected is None:
        return
    shape = case.x.shape[1:]
    if fits(shape, expected):
        return
    name = case.x_name
    fix: str | Callable[[], str]
    sizes = [length or 0 for length in expected]
    if math.prod(sizes) == math.prod(shape):
        lengths = ", ".join(map(str, sizes))
        fix = f"{name} = {name}.reshape(len({name}), {lengths})"
    elif case.objective is None:
        fix = f"pass {name} with the columns that the model was made for"
    else:
        fix = case.network.change_input(shape)
    came = f"{shape[0]}" if len(expected) == len(shape) == 1 else count_inputs(shape)
    yield Mistake(
        f"the layer takes {count_inputs(expected)}, the data has {came}",
        case.network.first,
        got=f"{name} of shape {case.x.shape}",
        expected=show_shape(expected),
        fix=fix,
    )


def check_one_softmax(case: Case) -> Iterator[Mistake]:
    """A softmax over a single unit, which is always 1."""
    if case.network.activation != "softmax" or case.width != 1:
        return
    classes = case.labels.classes if case.labels is not None else None
    many = classes is not None and classes > 2
    if many and case.objective and case.objective.name in BY_LOSS:
        return  # the check of the loss asks for one unit a class
    fix = case.network.change_output(
        units=classes if many else None, activation="softmax" if many else "sigmoid"
    )
    yield Mistake(
        "the softmax of a single unit is 1 whatever the input: it cannot learn",
        case.network.last,
        got="1 unit with softmax",
        expected="one unit a class, or sigmoid",
        fix=fix,
    )


def check_binary(case: Case) -> Iterator[Mistake]:
    """Labels for binary cross-entropy and its kind lie between 0 and 1."""
    labels = case.labels
    if labels is None or (labels.low >= 0 and labels.high <= 1):
        return
    assert case.objective is not None
    name, fix = case.y_name, None
    if labels.classes is not None:
        yield from check_one_output_each(case, labels.classes)
        fix = case.objective.change(loss="'sparse_categorical_crossentropy'")
    loss = case.objective.name.replace("crossentropy", "cross-entropy")
    yield Mistake(
        f"{loss.replace('_', ' ')} needs labels from 0 to 1; with others it falls for "
        "ever",
        "loss",
        got=f"{name} with {labels}",
        expected="0 and 1, or probabilities between them",
        fix=fix or _to_unit_range(labels, name),
    )


def _to_unit_range(labels: Labels, name: str) -> str:
    if (labels.low, labels.high, labels.whole) == (-1, 1, True):
        return f"{name} = ({name} + 1) / 2"
    return f"{name} = ({name} - {labels.low:g}) / {labels.high - labels.low:g}"


def check_sparse(case: Case) -> Iterator[Mistake]:
    """Labels for sparse categorical cross-entropy number the outputs from 0."""
    labels, width = case.labels, case.width
    if labels is None or width is None:
        return
    assert case.objective is not None
    name = case.y_name
    if labels.shape == case.network.output_shape and width > 1:
        yield Mistake(
            "the labels are vectors, and this loss takes class numbers",
            "loss",
            got=f"{name} of shape {show_shape(labels.shape)}",
            expected=show_shape(tuple(labels.shape[:-1])),
            fix=case.objective.change(loss="'categorical_crossentropy'"),
        )
    elif not labels.whole or labels.low < 0:
        yield _not_class_numbers(case, labels)
    elif labels.high >= width:
        yield from check_one_output_each(case, int(labels.high) + 1)
    elif width == 1 and case.network.activation != "softmax":
        yield Mistake(
            "one output cannot tell classes apart with this loss",
            case.network.last,
            got="1 output",
            expected="one output a class",
            fix=case.network.change_output(units=2, activation="softmax"),
        )


def _not_class_numbers(case: Case, labels: Labels) -> Mistake:
    name = case.y_name
    fix: str | Callable[[], str] = (
        f"classes, {name} = numpy.unique({name}, return_inverse=True)"
    )
    if not labels.whole and case.objective is not None:
        fix = case.objective.change(loss="'mean_squared_error'")
    return Mistake(
        "the labels must be the numbers of the classes",
        "loss",
        got=f"{name} with {labels}",
        expected=f"whole numbers from 0 to {(case.width or 1) - 1}",
        fix=fix,
    )


def check_categorical(case: Case) -> Iterator[Mistake]:
    """Labels for categorical cross-entropy are distributions, one row a sample."""
    labels, width, y = case.labels, case.width, case.y
    if labels is None or width is None or y is None:
        return
    assert case.objective is not None
    name = case.y_name
    if labels.single and width > 1:
        yield Mistake(
            "the labels are class numbers, and this loss takes one-hot vectors",
            "loss",
            got=f"{name} of shape {show_shape(labels.shape)} with {labels}",
            expected=f"{name} of shape {show_shape((width,))}",
            fix=case.objective.change(loss="'sparse_categorical_crossentropy'"),
        )
        if labels.classes is not None and labels.classes > width:
            yield from check_one_output_each(case, labels.classes)
    elif labels.shape == case.network.output_shape and width > 1:
        yield from _no_distribution(case, labels, y)


def _no_distribution(case: Case, labels: Labels, y: Array) -> Iterator[Mistake]:
    assert case.objective is not None
    sums = y.sum(axis=-1, dtype=np.float64)
    odd = np.abs(sums - 1) > 1e-3
    if not odd.any() and labels.low >= 0:
        return
    row = int(np.argwhere(odd)[0][0]) if odd.any() else int(np.argmin(y.min(axis=-1)))
    yield Mistake(
        "each row of labels must sum to 1; where a sample may have several classes, "
        "use sigmoid and binary cross-entropy",
        "loss",
        got=f"row {row} of {case.y_name} sums to {sums.reshape(len(y), -1)[row][0]:g}",
        expected="rows that sum to 1, without negative numbers",
        fix=case.objective.change(loss="'binary_crossentropy'"),
    )


def check_probabilities(case: Case) -> Iterator[Mistake]:
    """The output activation against what the loss makes of it."""
    objective, activation = case.objective, case.network.activation
    if objective is None or activation is None or objective.name not in PROBABILISTIC:
        return
    right = "sigmoid" if objective.name in BINARY else "softmax"
    if objective.from_logits and activation in ("sigmoid", "softmax"):
        yield Mistake(
            f"{activation} would be applied twice: by the layer, and by a loss with "
            "from_logits=True",
            case.network.last,
            got=f"{activation} and from_logits=True",
            expected="one of the two",
            fix=objective.change(loss=f"'{objective.name}'"),
        )
    elif not objective.from_logits and activation in UNBOUNDED and _explained(case):
        yield Mistake(
            f"{objective.name} takes probabilities, and the output is not limited to "
            "0 to 1",
            case.network.last,
            got="no activation" if activation == "linear" else activation,
            expected=right,
            fix=case.network.change_output(activation=right),
        )


def _explained(case: Case) -> bool:
    """Whether no other check corrects the same line already."""
    labels = case.labels
    if labels is None or labels.classes is None or labels.classes <= 2:
        return True
    assert case.objective is not None
    binary = case.objective.name in BINARY
    return not binary and (case.width is None or labels.classes <= case.width)


def check_target_shape(case: Case) -> Iterator[Mistake]:
    """Targets of the shape of the outputs: NumPy would stretch them without a word."""
    labels, shape = case.labels, case.network.output_shape
    if labels is None or shape is None or case.objective is None:
        return
    if fits(labels.shape, shape) or _shape_explained(case, labels):
        return
    name, width = case.y_name, math.prod(labels.shape)
    sparse = case.objective.name in SPARSE
    if sparse and fits(labels.shape, shape[:-1]):
        return
    classes = labels.classes is not None and case.network.activation == "softmax"
    if classes and case.objective.name in REGRESSION:
        yield _classes_as_quantities(case, labels)
        return
    yield Mistake(
        "targets and outputs differ in shape",
        case.network.last,
        got=f"{name} of shape {show_shape(labels.shape)}",
        expected=show_shape(shape[:-1] if sparse else shape),
        fix=None if sparse else case.network.change_output(units=width),
    )


def _classes_as_quantities(case: Case, labels: Labels) -> Mistake:
    """Class numbers, and a loss that takes them for quantities."""
    assert case.objective is not None
    return Mistake(
        f"{case.objective.name} takes the numbers of classes for quantities",
        "loss",
        got=f"{case.y_name} with {labels}",
        expected="a loss for classes",
        fix=case.objective.change(loss="'sparse_categorical_crossentropy'"),
    )


def _shape_explained(case: Case, labels: Labels) -> bool:
    """Whether another check has said more about the same thing."""
    assert case.objective is not None
    loss, width = case.objective.name, case.width or 0
    if loss in BINARY:
        return labels.classes is not None and labels.classes > 2
    if loss in ONE_HOT:
        return labels.single and width > 1
    if loss == "circle" or (loss == "pinball" and labels.single):
        return True  # embeddings; a prediction for each of several quantiles
    return loss in SPARSE and labels.shape == (1,)


def check_reachable(case: Case) -> Iterator[Mistake]:
    """Targets of a regression that the output activation can never reach."""
    labels, activation = case.labels, case.network.activation
    if labels is None or activation not in REACHABLE or case.objective is None:
        return
    low, high = REACHABLE[activation]
    inside = low <= labels.low <= labels.high <= high
    if case.objective.name not in REGRESSION or inside:
        return
    if labels.shape != case.network.output_shape:
        return  # told by the check of shapes
    if labels.classes is not None and case.objective.accuracy:
        yield from check_one_output_each(case, labels.classes)
        yield _classes_as_quantities(case, labels)
        return
    yield Mistake(
        f"{activation} gives numbers from {low:g} to {high:g}; the targets go beyond",
        case.network.last,
        got=f"{case.y_name} with {labels}",
        expected=f"targets from {low:g} to {high:g}, or an output without activation",
        fix=case.network.change_output(activation="linear"),
    )


def check_accuracy(case: Case) -> Iterator[Mistake]:
    """Accuracy counts equal classes; measured quantities are never equal."""
    labels, objective = case.labels, case.objective
    if labels is None or objective is None or not objective.accuracy:
        return
    if objective.name not in REGRESSION or labels.whole:
        return
    yield Mistake(
        "accuracy counts equal classes, and these targets are quantities",
        "metrics",
        got=f"{case.y_name} with {labels}",
        expected="a metric of distance, such as 'mae'",
        fix=objective.change(metrics="['mae']"),
    )


BY_LOSS: dict[str, Callable[[Case], Iterator[Mistake]]] = {
    **dict.fromkeys(BINARY, check_binary),
    **dict.fromkeys(SPARSE, check_sparse),
    **dict.fromkeys(ONE_HOT, check_categorical),
    **dict.fromkeys(MARGINS, check_margin),
    **dict.fromkeys(COUNTED, check_counts),
    "mean_absolute_percentage_error": check_percentage,
    "circle": check_circle,
}
CHECKS = (
    check_input,
    check_one_softmax,
    check_target_shape,
    check_probabilities,
    check_reachable,
    check_accuracy,
)


def find_mistakes(case: Case) -> list[Mistake]:
    """All that is wrong, in the order of the network: input, output, loss."""
    found = list(check_input(case))
    if case.objective is None:
        return found
    if case.objective.name in BY_LOSS:
        found += BY_LOSS[case.objective.name](case)
    for check in CHECKS[1:]:
        found += check(case)
    return found
