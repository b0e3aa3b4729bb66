"""The area under a curve from every single prediction."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional, ops
from chainrule.errors import ArgumentError, DataError
from chainrule.functional.promotion import Tensor
from chainrule.metrics.base import Metric, MetricOptions, State, divide, zeros
from chainrule.metrics.counting import labels_like, spread_weights


class ExactAUC(Metric):
    """The area under a curve, equal to scikit-learn's, from predictions that are kept.

    `AUC` counts predictions between thresholds; this metric keeps each of them, with
    its label and weight (16 bytes), and sorts them when its value is asked for. Their
    order is all that matters: they may be probabilities or logits. Not-a-number where
    one of the classes is missing.

    Args:
        capacity: how many predictions can be kept; more are refused.
        curve: `ROC`: the share of pairs of a positive and a negative that are in order,
            those of equal score counted half, as `sklearn.metrics.roc_auc_score`.
            `PR`: the mean of the precisions at each positive, as
            `sklearn.metrics.average_precision_score`.
        **options: see `MetricOptions`.

    Example:
        >>> ExactAUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).item()
        0.75
    """

    direction = "up"

    def __init__(
        self,
        capacity: int = 100_000,
        curve: str = "ROC",
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        if capacity < 1 or curve not in ("ROC", "PR"):
            raise ArgumentError(
                "predictions are kept, for one of two curves",
                where="ExactAUC",
                got=f"capacity={capacity}, curve={curve!r}",
                expected="capacity >= 1, curve 'ROC' or 'PR'",
            )
        self.capacity = capacity
        self.curve = curve

    def init(self) -> State:
        """Nothing kept; what does not fit goes to a place behind the last."""
        return {
            "count": functional.zeros((), dtype="int64"),
            "scores": zeros(self.capacity + 1),
            "weights": zeros(self.capacity + 1),
        }

    def update(
        self, state: State, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> State:
        """Keep the predictions of a batch; a label of no turns the weight negative."""
        yes, predicted = labels_like(y_true, self.as_predictions(y_pred))
        weights = spread_weights(predicted, sample_weight)
        size = predicted.size
        scores = functional.reshape(functional.astype(predicted, "float64"), (size,))
        known = functional.reshape(predicted == predicted, (size,))
        signs = functional.reshape(functional.where(yes, 1.0, -1.0), (size,))
        signs = functional.astype(signs, "float64")
        if weights is not None:
            signs = signs * functional.astype(
                functional.reshape(weights, (size,)), "float64"
            )
        signs = functional.where(known, signs, float("nan"))
        scores = functional.where(known, scores, 0.0)
        places = functional.minimum(
            state["count"] + functional.arange(size, dtype="int64"), self.capacity
        )
        return {
            "count": state["count"] + size,
            "scores": ops.scatter_add(state["scores"], places, scores, axis=0),
            "weights": ops.scatter_add(state["weights"], places, signs, axis=0),
        }

    def compute(self, state: State) -> Tensor:
        """The area.

        Raises:
            DataError: when there were more predictions than can be kept.
        """
        rows = self.capacity
        if state["count"].data is not None:
            rows = state["count"].item()
            if rows > self.capacity:
                raise DataError(
                    "there were more predictions than are kept",
                    where=self.name,
                    got=f"{rows} predictions",
                    expected=f"at most {self.capacity}",
                    fix=f"ExactAUC(capacity={rows})",
                )
        weights = state["weights"][:rows]
        positive, negative = _by_score(state["scores"][:rows], weights)
        yes, no = functional.sum(positive), functional.sum(negative)
        found = yes - functional.cumulative_sum(positive)  # of higher scores
        if self.curve == "PR":
            hits = found + positive
            said = hits + no - functional.cumulative_sum(negative) + negative
            value = functional.sum(positive * divide(hits, said)) / yes
        else:
            ordered = functional.sum(negative * (found + 0.5 * positive))
            value = ordered / (yes * no)
        # not-a-number where a weight is
        return value + functional.sum(weights) * 0.0


def _by_score(scores: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The positive and negative weights of equal scores, in the order of the scores."""
    order = functional.argsort(scores)
    scores, weights = (functional.take(x, order) for x in (scores, weights))
    new = functional.astype(scores[1:] != scores[:-1], "int64")
    group = functional.cumulative_sum(new, include_initial=True)[: scores.size]
    positive, negative = (
        ops.scatter_add(
            zeros(scores.size), group, functional.maximum(side, 0.0), axis=0
        )
        for side in (weights, -weights)
    )
    return positive, negative
