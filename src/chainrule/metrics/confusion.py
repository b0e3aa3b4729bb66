"""The confusion matrix, and what is read off it."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.metrics.base import (
    Metric,
    MetricOptions,
    Shape,
    State,
    divide,
    unbuilt,
    zeros,
)
from chainrule.metrics.counting import count_cells

NORMALIZATIONS = (None, "true", "pred", "all")


class OfConfusion(Metric):
    """Base of metrics that count pairs of a label and a predicted class.

    Labels are class numbers, one-hot rows, or yes or no. Predictions are a score for
    each class, of which the largest is meant; one score, which is a yes above the
    threshold; or whole numbers, which are classes.

    Args:
        num_classes: how many classes; as many as outputs by default, two for one.
        threshold: what a single score is compared with: 0.5 for probabilities, 0 for
            logits.
        **options: see `MetricOptions`.
    """

    direction: str | None = "up"

    def __init__(
        self,
        num_classes: int | None = None,
        threshold: float = 0.5,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        self.threshold = threshold
        self._classes = num_classes

    def build(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        """Learn how many classes there are."""
        if self.num_classes is None:
            many = len(y_pred_shape) > 1 and y_pred_shape[-1] != 1
            self._classes = y_pred_shape[-1] if many else 2

    def init(self) -> State:
        """Nothing seen; the last cell counts what is no class."""
        if self._classes is None:
            raise unbuilt(self, "class", "num_classes")
        return {"counts": zeros(self._classes**2 + 1)}

    def update(
        self, state: State, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> State:
        """Count the pairs of a batch, weighted where weights are given."""
        classes = self._classes or 0
        predicted = self._predicted(functional.asarray(y_pred))
        true = self._true(functional.asarray(y_true), predicted)
        known = functional.logical_and(
            functional.logical_and(true >= 0, true < classes),
            functional.logical_and(predicted >= 0, predicted < classes),
        )
        cells = functional.where(known, true * classes + predicted, classes**2)
        weights = None
        if sample_weight is not None:
            weights = functional.asarray(sample_weight)
            if weights.size != cells.size:
                raise ShapeError(
                    "there must be one weight per sample",
                    where="sample_weight",
                    got=weights.shape,
                    expected=cells.shape,
                )
        return {"counts": count_cells(state["counts"], cells, weights)}

    def _predicted(self, predicted: Tensor) -> Tensor:
        if predicted.ndim > 1 and predicted.shape[-1] > 1:
            return functional.argmax(predicted, axis=-1)
        if predicted.dtype.is_float:
            predicted = predicted > self.threshold
        flat = functional.reshape(predicted, (predicted.size,))
        return functional.astype(flat, "int64")

    def _true(self, true: Tensor, predicted: Tensor) -> Tensor:
        if true.shape == (*predicted.shape, self._classes):
            return functional.argmax(true, axis=-1)
        if true.size != predicted.size:
            raise ShapeError(
                "labels and predictions do not fit together",
                where=self.name,
                got=f"y_true {true.shape}, predicted classes {predicted.shape}",
                expected="one label for each predicted class",
            )
        return functional.astype(functional.reshape(true, predicted.shape), "int64")

    def matrix(self, state: State) -> Tensor:
        """How often each label (row) met each predicted class (column).

        Raises:
            DataError: when labels or predictions were no classes.
        """
        classes = self._classes or 0
        outside = state["counts"][-1]
        if outside.data is not None and outside.item() > 0:
            raise DataError(
                "labels and predictions must be numbers of classes",
                where=self.name,
                got=f"{outside.item():g} others",
                expected=f"whole numbers from 0 to {classes - 1}",
                fix=f"{type(self).__name__}(num_classes=...)",
            )
        return functional.reshape(state["counts"][:-1], (classes, classes))


class ConfusionMatrix(OfConfusion):
    """How often each label (row) was predicted as each class (column).

    Args:
        normalize: None leaves sums of weights; `true` gives shares of the labels of a
            class, `pred` of its predictions, `all` of all samples.
        num_classes: how many classes; as many as outputs by default, two for one.
        threshold: what a single score is compared with.
        **options: see `MetricOptions`.

    Example:
        >>> ConfusionMatrix()([0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]]).tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """

    direction = None

    def __init__(
        self,
        normalize: str | None = None,
        num_classes: int | None = None,
        threshold: float = 0.5,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(num_classes, threshold, **options)
        if normalize not in NORMALIZATIONS:
            raise ArgumentError(
                "unknown normalization",
                where="ConfusionMatrix",
                got=f"normalize={normalize!r}",
                expected=", ".join(map(repr, NORMALIZATIONS)),
            )
        self.normalize = normalize

    def compute(self, state: State) -> Tensor:
        """The matrix."""
        matrix = self.matrix(state)
        if self.normalize is None:
            return matrix
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        return divide(matrix, functional.sum(matrix, axis=axis, keepdims=True))


class BalancedAccuracy(OfConfusion):
    """The mean over the classes of the share of their samples that is recognised.

    Classes without samples are left out.

    Args:
        num_classes: how many classes; as many as outputs by default, two for one.
        threshold: what a single score is compared with.
        **options: see `MetricOptions`.

    Example:
        >>> metric = BalancedAccuracy()
        >>> round(metric([0, 1, 1, 1], [0.1, 0.2, 0.9, 0.7]).item(), 4)
        0.8333
    """

    def compute(self, state: State) -> Tensor:
        """The mean of the recalls."""
        matrix = self.matrix(state)
        labels = functional.sum(matrix, axis=1)
        recalls = divide(functional.linalg.diagonal(matrix), labels)
        present = functional.astype(labels > 0, "float64")
        return divide(functional.sum(recalls), functional.sum(present))


class MatthewsCorrelation(OfConfusion):
    """The correlation of labels and predicted classes, from -1 to 1; 0 for guessing.

    Matthews, 1975; for several classes Gorodkin, "Comparing two K-category
    assignments", 2004.

    Args:
        num_classes: how many classes; as many as outputs by default, two for one.
        threshold: what a single score is compared with.
        **options: see `MetricOptions`.

    Example:
        >>> metric = MatthewsCorrelation()
        >>> round(metric([0, 1, 1, 1], [0.1, 0.2, 0.9, 0.7]).item(), 4)
        0.5774
    """

    def compute(self, state: State) -> Tensor:
        """`covariance / sqrt(variance * variance)`."""
        matrix = self.matrix(state)
        true, said = functional.sum(matrix, axis=1), functional.sum(matrix, axis=0)
        whole = functional.sum(matrix)
        right = functional.sum(functional.linalg.diagonal(matrix))
        both = right * whole - functional.sum(true * said)
        spread = whole * whole - functional.sum(true * true)
        other = whole * whole - functional.sum(said * said)
        return divide(both, functional.sqrt(spread * other))
