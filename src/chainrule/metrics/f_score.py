"""The F-scores: precision and recall in one number."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.losses.shapes import line_up_weights
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import DTypeLike
from chainrule.metrics.base import (
    Metric,
    MetricOptions,
    Shape,
    State,
    divide,
    unbuilt,
    zeros,
)

AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(Metric):
    """`(1 + beta**2) * precision * recall / (beta**2 * precision + recall)`.

    Args:
        average: None gives the score of each class; `macro` their mean, `weighted`
            their mean by the number of labels, `micro` one score of all decisions.
        beta: how many times as much recall counts as precision.
        threshold: predictions above it are a yes; without it, the largest of a sample
            is. Networks with one output need one: 0.5 for probabilities.
        **options: see `MetricOptions`.

    Labels are one-hot or several yes or no a sample, of the shape of the predictions;
    class numbers are taken as well.

    Example:
        >>> metric = FBetaScore(beta=2.0, threshold=0.5)
        >>> metric([[1], [1], [0]], [[0.9], [0.2], [0.8]]).tolist()
        [0.5]
    """

    direction = "up"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        if average not in AVERAGES:
            raise ArgumentError(
                "unknown average",
                where=type(self).__name__,
                got=f"average={average!r}",
                expected=", ".join(map(repr, AVERAGES)),
            )
        if not beta > 0:
            raise ArgumentError(
                "recall counts for something",
                where=type(self).__name__,
                got=f"beta={beta}",
                expected="beta > 0",
            )
        if threshold is not None and not 0 <= threshold <= 1:
            raise ArgumentError(
                "a threshold lies between the probabilities",
                where=type(self).__name__,
                got=f"threshold={threshold}",
                expected="a number from 0 to 1",
            )
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self._classes: int | None = None

    @classmethod
    def default_name(cls) -> str:
        """The name that Keras gives it."""
        return "fbeta_score"

    def build(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        """Learn how many classes there are."""
        if len(y_pred_shape) != 2:
            raise ShapeError(
                "predictions are a row for each sample",
                where=self.name,
                got=f"predictions of shape {tuple(y_pred_shape)}",
                expected="(rows, classes)",
            )
        self._classes = y_pred_shape[1]
        if self._classes == 1 and self.threshold is None:
            raise ArgumentError(
                "without a threshold the largest prediction is a yes, and one output "
                "is always the largest",
                where=self.name,
                got="one output, threshold=None",
                expected="a threshold",
                fix=f"{type(self).__name__}(threshold=0.5)",
            )

    def init(self) -> State:
        """Nothing seen."""
        if self._classes is None:
            raise unbuilt(self, "class")
        names = ("true_positives", "false_positives", "false_negatives")
        return {name: zeros(self._classes) for name in names}

    def update(
        self, state: State, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> State:
        """Add the decisions of a batch, weighted where weights are given."""
        predicted = self.as_predictions(y_pred)
        true = self._one_hot(functional.asarray(y_true), predicted)
        said = functional.astype(self._decide(predicted), "float64")
        weights: Any = 1.0
        if sample_weight is not None:
            _, weights = line_up_weights(said, sample_weight)
        sums = {
            "true_positives": said * true,
            "false_positives": said * (1.0 - true),
            "false_negatives": (1.0 - said) * true,
        }
        return {
            name: state[name] + functional.sum(values * weights, axis=0)
            for name, values in sums.items()
        }

    def _decide(self, predicted: Tensor) -> Tensor:
        if self.threshold is not None:
            return predicted > self.threshold
        largest = functional.max(predicted, axis=-1, keepdims=True)
        # a row of zeros says nothing
        some = functional.abs(predicted) > 1e-9
        return functional.logical_and(predicted >= largest, some)

    def _one_hot(self, true: Tensor, predicted: Tensor) -> Tensor:
        """Labels of the shape of the predictions, float64."""
        if true.shape == predicted.shape:
            return functional.astype(true, "float64")
        rows, classes = predicted.shape
        if classes == 1 and true.shape == (rows,):
            return functional.astype(functional.reshape(true, (rows, 1)), "float64")
        if true.shape not in ((rows,), (rows, 1)):
            raise ShapeError(
                "labels and predictions differ in shape",
                where=self.name,
                got=f"y_true {true.shape}, y_pred {predicted.shape}",
                expected=f"one-hot labels of shape {predicted.shape}, or class numbers",
            )
        numbers = functional.astype(functional.reshape(true, (rows, 1)), "int64")
        places = functional.arange(classes, dtype="int64")
        return functional.astype(numbers == places[None, :], "float64")

    def compute(self, state: State) -> Tensor:
        """The score, averaged as asked for; 0 where nothing was said or to be found."""
        tp, fp, fn = (
            functional.sum(count) if self.average == "micro" else count
            for count in state.values()
        )
        more = self.beta**2
        hits = (1.0 + more) * tp
        scores = divide(hits, hits + more * fn + fp)
        if self.average == "weighted":
            labels = tp + fn
            return divide(functional.sum(scores * labels), functional.sum(labels))
        return functional.mean(scores) if self.average == "macro" else scores


class F1Score(FBetaScore):
    """`2 * precision * recall / (precision + recall)`; see `FBetaScore`.

    Args:
        average: as for `FBetaScore`.
        threshold: as for `FBetaScore`.
        name: the name in reports.
        dtype: see `Metric`.

    Example:
        >>> metric = F1Score(average="macro")
        >>> labels, scores = [0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]]
        >>> round(metric(labels, scores).item(), 4)
        0.6667
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name=name, dtype=dtype)

    @classmethod
    def default_name(cls) -> str:
        """The name that Keras gives it."""
        return "f1_score"
