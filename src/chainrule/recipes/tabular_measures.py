"""How good predictions for a table are."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.recipes.tabular_task import Target

Array = np.ndarray[Any, Any]

LEAST = 1e-7  # probability in a log-loss
NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
    "log_loss": "log-loss",
    "r2": "R2",
    "mae": "MAE",
    "rmse": "RMSE",
}


def measure(target: Target, outputs: Array) -> dict[str, float]:
    """The measures of a task.

    Classes: accuracy, the mean of the accuracies of the classes, log-loss, and for two
    classes the area under the ROC curve. Amounts: R2, mean absolute and root mean
    squared error.

    Args:
        target: what is true.
        outputs: probabilities `(rows, classes)`, or amounts `(rows,)`.

    Example:
        >>> target = Target("y", "binary", ("no", "yes"), np.array([0, 1]))
        >>> found = measure(target, np.array([[0.9, 0.1], [0.4, 0.6]]))
        >>> found["accuracy"], found["auc"]
        (1.0, 1.0)
    """
    if target.task == "regression":
        return _measure_amounts(target.y, outputs)
    y, said = target.y, outputs.argmax(axis=1)
    right = said == y
    classes = [right[y == c].mean() for c in np.unique(y)]
    found = {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean(classes)),
    }
    if target.task == "binary":
        found["auc"] = area_under_curve(y == 1, outputs[:, 1])
    true = np.clip(outputs[np.arange(len(y)), y], LEAST, 1)
    return {**found, "log_loss": float(-np.log(true).mean())}


def _measure_amounts(y: Array, said: Array) -> dict[str, float]:
    errors = said - y
    total = float(((y - y.mean()) ** 2).sum())
    left = float((errors**2).sum())
    return {
        "r2": 1 - left / total if total > 0 else float("nan"),
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
    }


def area_under_curve(positive: Array, score: Array) -> float:
    """The chance that a positive row scores above a negative one; ties count half.

    Example:
        >>> area_under_curve(np.array([False, True, True]), np.array([0.2, 0.2, 0.9]))
        0.75
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    least = positives * (positives + 1) / 2
    return float((ranks[positive].sum() - least) / (positives * negatives))


def confusion(target: Target, outputs: Array) -> Array:
    """How many rows of each class (down) were given to each class (across)."""
    count = len(target.classes)
    pairs = target.y * count + outputs.argmax(axis=1)
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def guess(target: Target, train: Target) -> Array:
    """The outputs of always saying what was commonest, or the mean."""
    if target.task == "regression":
        return np.full(len(target.y), train.y.mean())
    shares = np.bincount(train.y, minlength=len(target.classes)) / len(train.y)
    return np.tile(shares, (len(target.y), 1))
