"""Counts of right and wrong decisions at thresholds, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.losses.crossentropy import class_numbers
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import DTypeLike
from chainrule.metrics.base import Metric, MetricOptions, State, divide, zeros
from chainrule.metrics.counting import (
    check_thresholds,
    count_cells,
    exceeding,
    labels_like,
    levels_passed,
    spread_weights,
)

Thresholds = float | Sequence[float] | None


class Decisions(Metric):
    """Base of metrics of yes-or-no decisions: a prediction above a threshold is a yes.

    The state holds, for labels of no and of yes, how many predictions are above so and
    so many of the thresholds.

    Args:
        thresholds: one, or several; the value is then an array. 0.5 by default.
        top_k: only the `k` largest predictions of a sample are a yes.
        class_id: only this column of labels and predictions is looked at.
        **options: see `MetricOptions`.
    """

    def __init__(
        self,
        thresholds: Thresholds = None,
        top_k: int | None = None,
        class_id: int | None = None,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        self.thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        # with top_k alone, whatever is among the k is a yes
        default = 0.5 if top_k is None else -1e10
        given = default if thresholds is None else thresholds
        if thresholds is not None:
            check_thresholds(thresholds, type(self).__name__)
        self._levels = np.atleast_1d(np.asarray(given, np.float64))
        self._several = isinstance(given, Sequence) and len(given) > 1

    def init(self) -> State:
        """Nothing seen."""
        return {"counts": zeros(2 * (len(self._levels) + 1))}

    def update(
        self, state: State, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> State:
        """Add the decisions of a batch, weighted where weights are given."""
        yes, predicted = labels_like(y_true, self.as_predictions(y_pred))
        weights = spread_weights(predicted, sample_weight)
        if self.top_k is not None:
            predicted = functional.where(
                largest(predicted, self.top_k), predicted, float("-inf")
            )
        if self.class_id is not None:
            yes, predicted, weights = (
                _column(x, self.class_id) for x in (yes, predicted, weights)
            )
        passed = levels_passed(predicted, list(np.sort(self._levels)))
        cells = passed + functional.where(yes, len(self._levels) + 1, 0)
        return {"counts": count_cells(state["counts"], cells, weights)}

    def rates(self, state: State) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """True and false positives, true and false negatives, at each threshold."""
        sides = functional.reshape(state["counts"], (2, -1))
        positives = exceeding(sides)
        negatives = functional.sum(sides, axis=1, keepdims=True) - positives
        order = np.argsort(np.argsort(self._levels, kind="stable"), kind="stable")
        return (
            functional.take(positives[1], order),
            functional.take(positives[0], order),
            functional.take(negatives[0], order),
            functional.take(negatives[1], order),
        )

    def of_rates(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
        """What the metric makes of the four counts."""
        raise NotImplementedError

    def compute(self, state: State) -> Tensor:
        """A number, or one for each of several thresholds."""
        values = self.of_rates(*self.rates(state))
        return values if self._several else values[0]


def largest(predicted: Tensor, k: int) -> Tensor:
    """Whether each prediction is among the `k` largest; of equals, the first are.

    Raises:
        ArgumentError: when a sample has not as many predictions.

    Example:
        >>> largest(functional.asarray([[0.2, 0.5, 0.2]]), 2).tolist()
        [[True, True, False]]
    """
    width = predicted.shape[-1]
    if not 1 <= k <= width:
        raise ArgumentError(
            "a sample has not as many predictions",
            where="top_k",
            got=f"top_k={k}",
            expected=f"1 to {width}",
        )
    # each against each: for the widths of outputs this is faster than sorting
    own, other = predicted[..., :, None], predicted[..., None, :]
    place = class_numbers(predicted, predicted.ndim - 1)
    earlier = place[..., None, :] < place[..., :, None]
    ahead = functional.logical_or(
        other > own, functional.logical_and(other == own, earlier)
    )
    return functional.sum(functional.astype(ahead, "float32"), axis=-1) < k


def _column(x: Tensor | None, class_id: int) -> Tensor | None:
    if x is None:
        return None
    if x.ndim < 2 or not -x.shape[-1] <= class_id < x.shape[-1]:
        raise ShapeError(
            "there is no column of this class",
            where="class_id",
            got=f"class_id={class_id}, predictions of shape {x.shape}",
            expected="predictions of shape (rows, classes)",
        )
    return x[..., class_id]


class TruePositives(Decisions):
    """How many yes decisions are right.

    Args:
        thresholds: predictions above it are a yes; for several the value is an array.
        name: the name in reports.
        dtype: see `Metric`.

    Example:
        >>> TruePositives()([1, 0, 1, 1], [0.9, 0.8, 0.7, 0.1]).item()
        2.0
    """

    direction = "up"

    def __init__(
        self,
        thresholds: Thresholds = None,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(thresholds, name=name, dtype=dtype)

    def of_rates(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
        """Their number."""
        return tp


class FalsePositives(TruePositives):
    """How many yes decisions are wrong.

    Example:
        >>> FalsePositives()([1, 0, 1, 1], [0.9, 0.8, 0.7, 0.1]).item()
        1.0
    """

    direction = "down"

    def of_rates(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
        """Their number."""
        return fp


class TrueNegatives(TruePositives):
    """How many no decisions are right.

    Example:
        >>> TrueNegatives()([1, 0, 1, 1], [0.9, 0.8, 0.7, 0.1]).item()
        0.0
    """

    def of_rates(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
        """Their number."""
        return tn


class FalseNegatives(TruePositives):
    """How many no decisions are wrong.

    Example:
        >>> FalseNegatives()([1, 0, 1, 1], [0.9, 0.8, 0.7, 0.1]).item()
        1.0
    """

    direction = "down"

    def of_rates(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
        """Their number."""
        return fn


class Precision(Decisions):
    """The share of yes decisions that are right: `tp / (tp + fp)`, 0 of none.

    Args:
        thresholds: predictions above it are a yes: 0.5 by default, 0 for logits; for
            several the value is an array.
        top_k: only the `k` largest predictions of a sample are a yes.
        class_id: only this column of labels and predictions is looked at.
        **options: see `MetricOptions`.

    Example:
        >>> round(Precision()([1, 0, 1, 1], [0.9, 0.8, 0.7, 0.1]).item(), 4)
        0.6667
    """

    direction = "up"

    def of_rates(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
        """`tp / (tp + fp)`."""
        return divide(tp, tp + fp)


class Recall(Decisions):
    """The share of labels of yes that are found: `tp / (tp + fn)`, 0 of none.

    Args:
        thresholds: as for `Precision`.
        top_k: as for `Precision`.
        class_id: as for `Precision`.
        **options: see `MetricOptions`.

    Example:
        >>> Recall(thresholds=[0.5, 0.85])([1, 0, 1], [0.9, 0.8, 0.7]).tolist()
        [1.0, 0.5]
    """

    direction = "up"

    def of_rates(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
        """`tp / (tp + fn)`."""
        return divide(tp, tp + fn)
