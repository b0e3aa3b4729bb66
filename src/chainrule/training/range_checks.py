"""Checks of losses that take only some labels, and reach only some outputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from chainrule.training.case import Case, show_shape
from chainrule.training.mistakes import Mistake

# Activations whose values are never negative.
POSITIVE = ("relu", "relu6", "sigmoid", "softmax", "softplus", "exponential")
# Activations whose values may be.
SIGNED = (
    "linear",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "swish",
    "softsign",
    "tanh",
    "log_softmax",
)


def check_one_output_each(case: Case, classes: int) -> Iterator[Mistake]:
    """As many outputs as classes, where the labels number more than two."""
    softmax = case.network.activation == "softmax"
    if case.width == classes and softmax:
        return
    wide = case.width is not None and case.width >= classes
    units = None if wide else classes
    outputs = "one output" if case.width == 1 else f"{case.width} outputs"
    problem = "the output is no distribution over the classes"
    yield Mistake(
        problem if wide else f"{outputs} for {classes} classes",
        case.network.last,
        got=f"{case.y_name} holds the labels 0 to {classes - 1}; the layer has "
        f"{outputs}" + (f" with {case.network.activation}" if wide else ""),
        expected=f"{case.width if wide else classes} outputs with softmax",
        fix=case.network.change_output(units=units, activation="softmax"),
    )


def check_margin(case: Case) -> Iterator[Mistake]:
    """Labels for hinge losses are two sides, and outputs reach both."""
    labels, activation, y = case.labels, case.network.activation, case.y
    if labels is None or y is None:
        return
    assert case.objective is not None
    sides = {float(side) for side in np.unique(y)} if labels.whole else {0.5}
    if not (sides <= {-1.0, 1.0} or sides <= {0.0, 1.0}):
        classes = labels.classes
        if classes is not None:
            yield from check_one_output_each(case, classes)
        other = "sparse_categorical_crossentropy" if classes else "mean_squared_error"
        yield Mistake(
            "hinge losses tell two sides apart",
            "loss",
            got=f"{case.y_name} with {labels}",
            expected="-1 and 1, or 0 and 1",
            fix=case.objective.change(loss=f"'{other}'"),
        )
    elif activation in POSITIVE:
        yield Mistake(
            "hinge losses want -1 and less for a no, and the output is never negative",
            case.network.last,
            got=activation,
            expected="no activation, or tanh",
            fix=case.network.change_output(activation="linear"),
        )


def check_counts(case: Case) -> Iterator[Mistake]:
    """Labels and rates of losses that take logarithms are not negative."""
    labels = case.labels
    assert case.objective is not None
    if labels is not None and labels.low < 0:
        yield Mistake(
            f"{case.objective.name} is of quantities from 0 up",
            "loss",
            got=f"{case.y_name} with {labels}",
            expected="no negative numbers",
            fix=case.objective.change(loss="'mean_squared_error'"),
        )
    elif case.objective.name == "poisson" and case.network.activation in SIGNED:
        yield Mistake(
            "poisson takes the logarithm of rates, and the output may be negative",
            case.network.last,
            got=case.network.activation,
            expected="softplus or exponential",
            fix=case.network.change_output(activation="softplus"),
        )


def check_percentage(case: Case) -> Iterator[Mistake]:
    """There is no percentage of 0."""
    if case.y is None or case.objective is None or not case.y.size:
        return
    zeros = int(np.count_nonzero(case.y == 0))
    if zeros:
        yield Mistake(
            "an error has no percentage where the target is 0",
            "loss",
            got=f"{case.y_name} with {zeros} of {case.y.size} targets equal to 0",
            expected="targets that are not 0",
            fix=case.objective.change(loss="'mean_absolute_error'"),
        )


def check_circle(case: Case) -> Iterator[Mistake]:
    """Labels of the circle loss number the classes of embeddings."""
    labels = case.labels
    if labels is None or (labels.whole and labels.single):
        return
    yield Mistake(
        "the circle loss compares samples by the numbers of their classes",
        "loss",
        got=f"{case.y_name} of shape {show_shape(labels.shape)} with {labels}",
        expected="one whole number a sample",
        fix=f"{case.y_name} = {case.y_name}.argmax(axis=-1)"
        if len(labels.shape) == 1 and not labels.single
        else None,
    )
