"""The cases of the contract of a loss: labels, predictions, and values in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import losses
from chainrule.losses import Loss
from tests.boxes import reference

Array = np.ndarray[Any, Any]
ROWS, CLASSES = 6, 4
GENERATOR = np.random.default_rng(3)
SCORES = GENERATOR.normal(size=(ROWS, CLASSES))
SHARES = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
CLASS = GENERATOR.integers(0, CLASSES, ROWS)
ONE_HOT = np.eye(CLASSES)[CLASS]
WEIGHTS = GENERATOR.uniform(size=ROWS)
SMOOTH = ONE_HOT * 0.8 + 0.2 / CLASSES
HALFWAY = ONE_HOT * 0.8 + 0.1
SIGMOID = 1 / (1 + np.exp(-SCORES))
ERROR = ONE_HOT - SCORES
SIDES = 2 * ONE_HOT - 1
QUANTITIES = GENERATOR.uniform(0.5, 3, size=(ROWS, CLASSES))
COUNTS = GENERATOR.integers(0, 5, (ROWS, CLASSES)).astype(float)
RATES = GENERATOR.uniform(0.5, 3, size=(ROWS, CLASSES))
MIXTURE = GENERATOR.dirichlet(np.ones(CLASSES), ROWS)
UNITS = SCORES / np.linalg.norm(SCORES, axis=1, keepdims=True)
PAIRS = np.array([0, 0, 1, 1, 2, 0])


def cross_entropy(labels: Array, shares: Array) -> Array:
    return -(labels * np.log(shares)).sum(1)


def binary(labels: Array, p: Array) -> Array:
    return -(labels * np.log(p) + (1 - labels) * np.log(1 - p))


def focal(labels: Array, p: Array, gamma: float, alpha: float | None = None) -> Array:
    right = labels * p + (1 - labels) * (1 - p)
    weight = 1 if alpha is None else np.where(labels == 1, alpha, 1 - alpha)
    return (weight * (1 - right) ** gamma * binary(labels, p)).mean(1)


def categorical_focal(labels: Array, p: Array, alpha: Any, gamma: float) -> Array:
    return -(np.asarray(alpha) * (1 - p) ** gamma * labels * np.log(p)).sum(1)


def huber(e: Array, delta: float) -> Array:
    big = delta * np.abs(e) - delta**2 / 2
    return np.where(np.abs(e) <= delta, e * e / 2, big).mean(1)


def pinball(e: Array, q: Any) -> Array:
    return np.where(e > 0, q * e, (np.asarray(q) - 1) * e).mean(-1)


def categorical_hinge(labels: Array, scores: Array) -> Array:
    right = (labels * scores).sum(1)
    wrong = np.where(labels == 1, 0, scores).max(1)
    return np.maximum(0, 1 + wrong - right)


def overlap(labels: Array, p: Array, alpha: float, beta: float, axis: Any) -> Array:
    hits = (labels * p).sum(axis)
    extra, missed = ((1 - labels) * p).sum(axis), (labels * (1 - p)).sum(axis)
    return np.asarray(1 - hits / (hits + alpha * extra + beta * missed + 1e-7))


def dice(labels: Array, p: Array, axis: Any) -> Array:
    both = (labels * p).sum(axis)
    return np.asarray(1 - 2 * both / ((labels + p).sum(axis) + 1e-7))


def circle(labels: Array, units: Array, gamma: float, margin: float) -> Array:
    """One pair at a time, as in the paper's equations 5 to 8."""
    found = []
    for i, unit in enumerate(units):
        near, far = 0.0, 0.0
        for j, other in enumerate(units):
            similarity = unit @ other
            if labels[i] != labels[j]:
                weight = max(similarity + margin, 0)
                far += np.exp(gamma * weight * (similarity - margin))
            elif i != j:
                weight = max(1 + margin - similarity, 0)
                near += np.exp(-gamma * weight * (similarity - (1 - margin)))
        found.append(np.log1p(near * far))
    return np.array(found)


@dataclass(frozen=True)
class Case:
    """A loss, its arguments, labels and predictions, and the values in float64.

    Attributes:
        counted: the losses that a mean counts; all by default.
        alone: whether the loss of a sample depends on that sample alone.
    """

    make: Callable[..., Loss]
    arguments: dict[str, Any]
    y_true: Array
    y_pred: Array
    expected: Array
    counted: Array | None = None
    alone: bool = True

    def loss(self, **options: Any) -> Loss:
        return self.make(**self.arguments, **options)

    @property
    def weights(self) -> Array | None:
        """Weights of the losses, where there is one loss per sample."""
        return WEIGHTS[: len(self.y_pred)] if self.expected.ndim else None

    def __str__(self) -> str:
        name = getattr(self.make, "__name__", "")
        named = {k: getattr(v, "__name__", v) for k, v in self.arguments.items()}
        return f"{name}({', '.join(f'{k}={v}' for k, v in named.items())})"


LOGITS = {"from_logits": True}
ENTROPY = cross_entropy(ONE_HOT, SHARES)
FIRST = int(CLASS[0])
NEAR = 1 - (1 - SHARES[np.arange(ROWS), CLASS] ** 0.3)
LEVELS = [0.1, 0.5, 0.6, 0.9]
ALPHAS = [0.1, 0.2, 0.3, 0.4]
COSINE = (SCORES * QUANTITIES).sum(1) / (
    np.linalg.norm(SCORES, axis=1) * np.linalg.norm(QUANTITIES, axis=1)
)
PERCENT = 100 * np.abs((QUANTITIES - SCORES) / QUANTITIES)
RATIO = np.log1p(COUNTS) - np.log1p(RATES)
GAP = np.maximum(0, 1 - SIDES * SCORES)
QUANTITY_CASES = [
    Case(losses.MeanSquaredError, {}, ONE_HOT, SCORES, (ERROR**2).mean(1)),
    Case(losses.MeanAbsoluteError, {}, ONE_HOT, SCORES, np.abs(ERROR).mean(1)),
    Case(losses.MeanAbsolutePercentageError, {}, QUANTITIES, SCORES, PERCENT.mean(1)),
    Case(losses.MeanSquaredLogarithmicError, {}, COUNTS, RATES, (RATIO**2).mean(1)),
    Case(losses.Huber, {}, ONE_HOT, SCORES, huber(ERROR, 1.0)),
    Case(losses.Huber, {"delta": 0.3}, ONE_HOT, SCORES, huber(ERROR, 0.3)),
    Case(losses.LogCosh, {}, ONE_HOT, SCORES, np.log(np.cosh(ERROR)).mean(1)),
    Case(
        losses.Poisson,
        {},
        COUNTS,
        RATES,
        (RATES - COUNTS * np.log(RATES + 1e-7)).mean(1),
    ),
    Case(losses.Pinball, {}, ONE_HOT, SCORES, np.abs(ERROR).mean(1) / 2),
    Case(losses.Pinball, {"quantile": 0.9}, ONE_HOT, SCORES, pinball(ERROR, 0.9)),
    Case(
        losses.Pinball,
        {"quantile": LEVELS},
        QUANTITIES[:, 0],
        SCORES,
        pinball(QUANTITIES[:, :1] - SCORES, LEVELS),
    ),
    Case(losses.CosineSimilarity, {}, QUANTITIES, SCORES, -COSINE),
    Case(
        losses.LossFunctionWrapper,
        {"fn": losses.mean_squared_error},
        ONE_HOT,
        SCORES,
        (ERROR**2).mean(1),
    ),
    Case(
        losses.LossFunctionWrapper,
        {"fn": losses.huber, "delta": 0.3},
        ONE_HOT,
        SCORES,
        huber(ERROR, 0.3),
    ),
]
BINARY_CASES = [
    Case(
        losses.BinaryCrossentropy,
        {},
        ONE_HOT,
        SIGMOID,
        binary(ONE_HOT, SIGMOID).mean(1),
    ),
    Case(
        losses.BinaryCrossentropy,
        LOGITS,
        ONE_HOT,
        SCORES,
        binary(ONE_HOT, SIGMOID).mean(1),
    ),
    Case(
        losses.BinaryCrossentropy,
        {"label_smoothing": 0.2},
        ONE_HOT,
        SIGMOID,
        binary(HALFWAY, SIGMOID).mean(1),
    ),
    Case(
        losses.BinaryFocalCrossentropy, {}, ONE_HOT, SIGMOID, focal(ONE_HOT, SIGMOID, 2)
    ),
    Case(
        losses.BinaryFocalCrossentropy,
        {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5, **LOGITS},
        ONE_HOT,
        SCORES,
        focal(ONE_HOT, SIGMOID, 1.5, 0.3),
    ),
    Case(losses.Hinge, {}, ONE_HOT, SCORES, GAP.mean(1)),
    Case(losses.Hinge, {}, SIDES, SCORES, GAP.mean(1)),
    Case(losses.SquaredHinge, {}, SIDES, SCORES, (GAP**2).mean(1)),
    Case(
        losses.Dice,
        {"axis": 1},
        ONE_HOT,
        SIGMOID,
        dice(ONE_HOT, SIGMOID, 1),
    ),
    Case(
        losses.Dice,
        {},
        ONE_HOT,
        SIGMOID,
        dice(ONE_HOT, SIGMOID, None),
        alone=False,
    ),
    Case(
        losses.Tversky,
        {"alpha": 0.3, "beta": 0.7, "axis": (1,)},
        ONE_HOT,
        SIGMOID,
        overlap(ONE_HOT, SIGMOID, 0.3, 0.7, 1),
    ),
]
CLASS_CASES = [
    Case(losses.CategoricalCrossentropy, {}, ONE_HOT, SHARES, ENTROPY),
    Case(losses.CategoricalCrossentropy, LOGITS, ONE_HOT, SCORES, ENTROPY),
    Case(
        losses.CategoricalCrossentropy,
        {"label_smoothing": 0.2},
        ONE_HOT,
        SHARES * 3,
        cross_entropy(SMOOTH, SHARES),
    ),
    Case(
        losses.CategoricalFocalCrossentropy,
        {},
        ONE_HOT,
        SHARES,
        categorical_focal(ONE_HOT, SHARES, 0.25, 2.0),
    ),
    Case(
        losses.CategoricalFocalCrossentropy,
        {"alpha": ALPHAS, "gamma": 1.0, "label_smoothing": 0.2, **LOGITS},
        ONE_HOT,
        SCORES,
        categorical_focal(SMOOTH, SHARES, ALPHAS, 1.0),
    ),
    Case(losses.SparseCategoricalCrossentropy, {}, CLASS, SHARES, ENTROPY),
    Case(losses.SparseCategoricalCrossentropy, LOGITS, CLASS[:, None], SCORES, ENTROPY),
    Case(
        losses.SparseCategoricalCrossentropy,
        {"ignore_class": FIRST},
        CLASS,
        SHARES,
        np.where(CLASS == FIRST, 0, ENTROPY),
        counted=CLASS != FIRST,
    ),
    Case(
        losses.SparseCategoricalCrossentropy,
        {"ignore_class": FIRST, "label_smoothing": 0.2, **LOGITS},
        CLASS,
        SCORES,
        np.where(CLASS == FIRST, 0, -np.sum(SMOOTH * np.log(SHARES), axis=-1)),
        counted=CLASS != FIRST,
    ),
    Case(
        losses.CategoricalGeneralizedCrossEntropy,
        {"q": 0.3},
        CLASS,
        SHARES,
        (1 - NEAR) / 0.3,
    ),
    Case(
        losses.KLDivergence,
        {},
        MIXTURE,
        SHARES,
        (MIXTURE * np.log(MIXTURE / SHARES)).sum(1),
    ),
    Case(
        losses.CategoricalHinge, {}, ONE_HOT, SCORES, categorical_hinge(ONE_HOT, SCORES)
    ),
    Case(
        losses.Circle,
        {"gamma": 3.0, "margin": 0.25},
        PAIRS,
        UNITS,
        circle(PAIRS, UNITS, 3.0, 0.25),
        counted=PAIRS != 2,
        alone=False,
    ),
]
CORNERS = GENERATOR.uniform(0, 9, (2, ROWS, 2))
TRUE_BOXES, BOXES = (
    np.concat([x, x + s], -1) for x, s in zip(CORNERS, (4, 5), strict=True)
)
# No gradient flows through the factor of the aspect ratio, so that only boxes of the
# same shape have a slope that differences can tell; `tests/boxes` has the others.
WIDE_BOXES = TRUE_BOXES + np.array([0, 0, 2, 0])


def one_minus(measure: Callable[[Any, Any], float], a: Array, b: Array) -> Array:
    return np.array([1 - measure(x, y) for x, y in zip(a, b, strict=True)])


BOX_CASES = [
    Case(
        losses.IoU, {}, WIDE_BOXES, BOXES, one_minus(reference.iou, WIDE_BOXES, BOXES)
    ),
    Case(
        losses.GIoU, {}, WIDE_BOXES, BOXES, one_minus(reference.giou, WIDE_BOXES, BOXES)
    ),
    Case(
        losses.DIoU,
        {"bounding_box_format": "rel_xyxy", "image_shape": [2, 3]},
        WIDE_BOXES / [3, 2, 3, 2],
        BOXES / [3, 2, 3, 2],
        one_minus(reference.diou, WIDE_BOXES, BOXES),
    ),
    Case(
        losses.CIoU, {}, TRUE_BOXES, BOXES, one_minus(reference.ciou, TRUE_BOXES, BOXES)
    ),
]
CASES = [*QUANTITY_CASES, *BINARY_CASES, *CLASS_CASES, *BOX_CASES]
