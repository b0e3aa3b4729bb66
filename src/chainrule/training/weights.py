"""Weights of classes, as weights of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.training.data import Array
from chainrule.training.mistakes import Mistake

BALANCED = "balanced"


def class_numbers(y: Array) -> Array | None:
    """The class of each sample: the label itself, or the place of the largest.

    None where the labels are neither whole numbers nor rows of one-hot vectors.

    Example:
        >>> class_numbers(np.array([[0, 1], [1, 0]])).tolist()
        [1, 0]
    """
    if y.ndim == 2 and y.shape[1] > 1:
        return np.asarray(y.argmax(axis=1))
    flat = y.reshape(len(y), -1)
    if flat.shape[1] != 1 or (flat != np.floor(flat)).any():
        return None
    return np.asarray(flat[:, 0].astype(np.int64))


def balanced(classes: Array) -> dict[int, float]:
    """Weights by which every class counts alike: `rows / (classes * rows of class)`.

    Example:
        >>> balanced(np.array([0, 0, 0, 1]))
        {0: 0.6666666666666666, 1: 2.0}
    """
    found, counts = np.unique(classes, return_counts=True)
    weights = len(classes) / (len(found) * counts)
    return dict(zip(found.tolist(), weights.tolist(), strict=True))


def weigh_classes(
    y: Array, class_weight: Any, name: str = "class_weight"
) -> tuple[Array | None, list[Mistake]]:
    """The weight of each sample, by its class.

    Args:
        y: labels: class numbers, or one-hot rows.
        class_weight: a weight by the number of the class, 1 for classes that it does
            not name; or `balanced`.
        name: what messages call it.

    Returns:
        The weights, or None where there are none, and what is wrong.

    Example:
        >>> weigh_classes(np.array([0, 1, 1]), {1: 3.0})[0].tolist()
        [1.0, 3.0, 3.0]
    """
    if class_weight != BALANCED and not isinstance(class_weight, Mapping):
        return None, [
            Mistake(
                "the weights of classes are a dict",
                name,
                got=repr(class_weight),
                expected="a weight by the number of the class, or 'balanced'",
                fix="class_weight={0: 1.0, 1: 5.0}",
            )
        ]
    classes = class_numbers(y)
    if classes is None:
        return None, [
            Mistake(
                "weights of classes need labels that name classes",
                name,
                got=f"labels of shape {y.shape}, dtype {y.dtype}",
                expected="class numbers, or one-hot rows",
                fix="sample_weight=weights  # one for each row",
            )
        ]
    table = balanced(classes) if class_weight == BALANCED else class_weight
    mistakes = _check_table(table, name)
    if mistakes:
        return None, mistakes
    weights = np.ones(len(classes), np.float32)
    for number, weight in table.items():
        weights[classes == int(number)] = weight
    return weights, []


def _check_table(table: Mapping[Any, Any], name: str) -> list[Mistake]:
    for number, weight in table.items():
        whole = isinstance(number, (int, np.integer))
        good = isinstance(weight, (int, float, np.number)) and weight >= 0
        if not whole or not good:
            return [
                Mistake(
                    "a class has a number, and a weight that is not negative",
                    name,
                    got=f"{number!r}: {weight!r}",
                    expected="such as {0: 1.0, 1: 5.0}",
                )
            ]
    return []
