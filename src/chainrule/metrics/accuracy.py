"""Accuracies: shares of predictions that are right."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.losses.crossentropy import class_numbers, sparse_labels
from chainrule.functional.losses.shapes import align, as_float, same_rank
from chainrule.functional.promotion import ArrayLike, Tensor
from chainrule.metrics.base import MetricOptions
from chainrule.metrics.reduction import MeanOfSamples


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """1 where a prediction equals its label.

    Example:
        >>> accuracy([1, 2, 3], [1, 2, 0]).tolist()
        [1.0, 1.0, 0.0]
    """
    true, predicted = same_rank(functional.asarray(y_true), functional.asarray(y_pred))
    if true.dtype is not predicted.dtype:
        # a float32 could not tell large whole numbers apart
        true, predicted = (functional.astype(x, "float64") for x in (true, predicted))
    _check_same(true, predicted, "accuracy")
    return as_float(true == predicted)


def binary_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5
) -> Tensor:
    """1 where a prediction falls on its label's side of the threshold.

    A label of -1, as of hinge losses, is a no as 0 is.

    Example:
        >>> binary_accuracy([1.0, 0.0, 1.0], [0.9, 0.2, 0.4]).tolist()
        [1.0, 1.0, 0.0]
    """
    true, predicted = align(y_true, y_pred)
    said = functional.astype(predicted > threshold, predicted.dtype)
    return as_float(functional.where(true == -1, 0.0, true) == said)


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """1 where label and prediction are largest at the same place.

    Example:
        >>> categorical_accuracy([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]]).tolist()
        [1.0, 0.0]
    """
    true, predicted = functional.asarray(y_true), as_float(y_pred)
    _check_same(true, predicted, "categorical_accuracy")
    place = functional.argmax(predicted, axis=-1)
    return as_float(functional.argmax(true, axis=-1) == place)


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """1 where the largest prediction is at the label.

    Example:
        >>> sparse_categorical_accuracy([1, 0], [[0.1, 0.9], [0.2, 0.8]]).tolist()
        [1.0, 0.0]
    """
    predicted = as_float(y_pred)
    labels = sparse_labels(y_true, predicted)
    return as_float(labels == functional.argmax(predicted, axis=-1))


def top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5
) -> Tensor:
    """1 where fewer than `k` predictions are larger than that at the label.

    Args:
        y_true: one-hot labels.
        y_pred: scores of the classes.
        k: how many are looked at.

    Example:
        >>> top_k_categorical_accuracy([[0, 1, 0]], [[0.5, 0.3, 0.2]], k=2).tolist()
        [1.0]
    """
    true, predicted = functional.asarray(y_true), as_float(y_pred)
    _check_same(true, predicted, "top_k_categorical_accuracy")
    return _among_first(functional.argmax(true, axis=-1), predicted, k)


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5, from_sorted_ids: bool = False
) -> Tensor:
    """1 where fewer than `k` predictions are larger than that at the label.

    Args:
        y_true: class numbers.
        y_pred: scores of the classes, or class numbers, the best first.
        k: how many are looked at.
        from_sorted_ids: whether `y_pred` are class numbers.

    Example:
        >>> sparse_top_k_categorical_accuracy([1], [[0.5, 0.3, 0.2]], k=2).tolist()
        [1.0]
    """
    if not from_sorted_ids:
        predicted = as_float(y_pred)
        return _among_first(sparse_labels(y_true, predicted), predicted, k)
    chosen = functional.asarray(y_pred)
    labels = functional.astype(sparse_labels(y_true, chosen), chosen.dtype)
    hits = labels[..., None] == chosen[..., :k]
    return as_float(functional.any(hits, axis=-1))


def _among_first(labels: Tensor, predicted: Tensor, k: int) -> Tensor:
    """Whether fewer than `k` scores are above that of the label; no not-a-number is."""
    match = labels[..., None] == class_numbers(predicted, predicted.ndim - 1)
    score = functional.sum(functional.where(match, predicted, 0.0), axis=-1)
    above = functional.sum(as_float(predicted > score[..., None]), axis=-1)
    known = functional.any(match, axis=-1)
    hits = functional.logical_and(
        above < k, functional.logical_and(known, score == score)
    )
    return as_float(hits)


def _check_same(true: Tensor, predicted: Tensor, where: str) -> None:
    if true.shape != predicted.shape:
        sparse = "categorical" in where and true.ndim < predicted.ndim
        raise ShapeError(
            "labels and predictions differ in shape",
            where=where,
            got=f"y_true {true.shape}, y_pred {predicted.shape}",
            expected="equal shapes",
            fix=f"metrics=['sparse_{where}'] takes class numbers" if sparse else None,
        )


class Accuracy(MeanOfSamples):
    """The share of predictions that equal their labels.

    Example:
        >>> Accuracy()([1, 2, 3, 4], [1, 2, 3, 0]).item()
        0.75
    """

    direction = "up"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 where they are equal."""
        return accuracy(y_true, y_pred)


class BinaryAccuracy(MeanOfSamples):
    """The share of yes-or-no predictions that are right.

    Args:
        threshold: predictions above it count as yes: 0.5 for probabilities, 0 for
            logits.
        **options: see `MetricOptions`.

    Example:
        >>> BinaryAccuracy()([[1], [1], [0], [0]], [[0.9], [0.2], [0.1], [0.3]]).item()
        0.75
    """

    direction = "up"

    def __init__(
        self, threshold: float = 0.5, **options: Unpack[MetricOptions]
    ) -> None:
        super().__init__(**options)
        self.threshold = threshold

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 where the prediction falls on the label's side."""
        return binary_accuracy(y_true, y_pred, self.threshold)


class CategoricalAccuracy(MeanOfSamples):
    """The share of samples whose largest prediction is at the label's place.

    Labels are one-hot, or a probability for each class.

    Example:
        >>> CategoricalAccuracy()([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]]).item()
        0.5
    """

    direction = "up"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 where both are largest at the same place."""
        return categorical_accuracy(y_true, y_pred)


class SparseCategoricalAccuracy(MeanOfSamples):
    """The share of samples whose largest prediction is at the label.

    Labels are the numbers of the classes.

    Example:
        >>> SparseCategoricalAccuracy()([1, 0], [[0.1, 0.9], [0.2, 0.8]]).item()
        0.5
    """

    direction = "up"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 where the largest prediction is at the label."""
        return sparse_categorical_accuracy(y_true, y_pred)


class TopKCategoricalAccuracy(MeanOfSamples):
    """The share of samples whose label is among the `k` largest predictions.

    Labels are one-hot. Predictions as large as the label's do not stand before it.

    Args:
        k: how many are looked at.
        **options: see `MetricOptions`.

    Example:
        >>> TopKCategoricalAccuracy(k=2)([[0, 1, 0]], [[0.5, 0.3, 0.2]]).item()
        1.0
    """

    direction = "up"

    def __init__(self, k: int = 5, **options: Unpack[MetricOptions]) -> None:
        super().__init__(**options)
        _check_k(k)
        self.k = k

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 where the label is among the first."""
        return top_k_categorical_accuracy(y_true, y_pred, self.k)


class SparseTopKCategoricalAccuracy(MeanOfSamples):
    """The share of samples whose label is among the `k` largest predictions.

    Labels are the numbers of the classes.

    Args:
        k: how many are looked at.
        from_sorted_ids: whether predictions are class numbers, the best first.
        **options: see `MetricOptions`.

    Example:
        >>> SparseTopKCategoricalAccuracy(k=2)([2], [[0.5, 0.3, 0.2]]).item()
        0.0
    """

    direction = "up"

    def __init__(
        self,
        k: int = 5,
        from_sorted_ids: bool = False,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        _check_k(k)
        self.k = k
        self.from_sorted_ids = from_sorted_ids

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """1 where the label is among the first."""
        return sparse_top_k_categorical_accuracy(
            y_true, y_pred, self.k, self.from_sorted_ids
        )


def _check_k(k: int) -> None:
    if k < 1:
        raise ArgumentError(
            "at least one prediction is looked at", got=f"k={k}", expected="k >= 1"
        )
