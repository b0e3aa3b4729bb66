"""Intersection over union: how far predicted and true regions overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import DTypeLike
from chainrule.metrics.base import Metric, MetricOptions, State, divide, zeros
from chainrule.metrics.counting import count_cells


class IoU(Metric):
    """`tp / (tp + fp + fn)` of each class, and its mean over the classes asked for.

    Classes that are neither in labels nor predictions are left out, and what is no
    class is not counted.

    Args:
        num_classes: how many classes there are.
        target_class_ids: the classes that the mean is taken over.
        ignore_class: a label that is not counted.
        sparse_y_true: whether labels are class numbers; else scores on `axis`.
        sparse_y_pred: whether predictions are class numbers; else scores on `axis`.
        axis: the axis of the classes of scores.
        **options: see `MetricOptions`.

    Example:
        >>> metric = IoU(num_classes=2, target_class_ids=[0])
        >>> round(metric([0, 0, 1, 1], [0, 1, 0, 1]).item(), 4)
        0.3333
    """

    direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        if not all(0 <= number < num_classes for number in target_class_ids):
            raise ArgumentError(
                "there is no such class",
                where=type(self).__name__,
                got=f"target_class_ids={list(target_class_ids)}",
                expected=f"0 to {num_classes - 1}",
            )
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis

    def init(self) -> State:
        """Nothing seen; the last cell takes what is not counted."""
        return {"counts": zeros(self.num_classes**2 + 1)}

    def update(
        self, state: State, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> State:
        """Count the pairs of a batch, weighted where weights are given."""
        true = self._classes(y_true, self.sparse_y_true)
        predicted = self._classes(self.decide(y_pred), self.sparse_y_pred)
        if true.shape != predicted.shape:
            raise ShapeError(
                "labels and predictions differ in number",
                where=self.name,
                got=f"{true.size} labels, {predicted.size} predictions",
                expected="as many of both",
            )
        known = functional.logical_and(
            functional.logical_and(true >= 0, true < self.num_classes),
            functional.logical_and(predicted >= 0, predicted < self.num_classes),
        )
        if self.ignore_class is not None:
            known = functional.logical_and(known, true != self.ignore_class)
        pair = true * self.num_classes + predicted
        cells = functional.where(known, pair, self.num_classes**2)
        weights = None
        if sample_weight is not None:
            weights = functional.asarray(sample_weight)
            flat = functional.reshape(weights, (weights.size,))
            weights = functional.broadcast_to(flat, cells.shape)
        return {"counts": count_cells(state["counts"], cells, weights)}

    def decide(self, y_pred: Any) -> Tensor:
        """Predictions as they are counted."""
        return functional.asarray(y_pred)

    def _classes(self, values: Any, sparse: bool) -> Tensor:
        found = functional.asarray(values)
        if not sparse:
            found = functional.argmax(found, axis=self.axis)
        return functional.astype(functional.reshape(found, (found.size,)), "int64")

    def compute(self, state: State) -> Tensor:
        """The mean over the classes asked for."""
        shape = (self.num_classes, self.num_classes)
        matrix = functional.reshape(state["counts"][:-1], shape)
        hits = functional.linalg.diagonal(matrix)
        union = functional.sum(matrix, axis=0) + functional.sum(matrix, axis=1) - hits
        chosen = functional.asarray(self.target_class_ids)
        hits, union = (functional.take(x, chosen, axis=0) for x in (hits, union))
        present = functional.astype(union > 0, "float64")
        return divide(functional.sum(divide(hits, union)), functional.sum(present))


class MeanIoU(IoU):
    """The mean of `IoU` over all classes.

    Args:
        num_classes: how many classes there are.
        ignore_class: a label that is not counted.
        sparse_y_true: whether labels are class numbers; else scores on `axis`.
        sparse_y_pred: whether predictions are class numbers; else scores on `axis`.
        axis: the axis of the classes of scores.
        name: the name in reports.
        dtype: see `Metric`.

    Example:
        >>> round(MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]).item(), 4)
        0.3333
    """

    def __init__(
        self,
        num_classes: int,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(
            num_classes,
            range(num_classes),
            ignore_class,
            sparse_y_true,
            sparse_y_pred,
            axis,
            name=name,
            dtype=dtype,
        )


class BinaryIoU(IoU):
    """`IoU` of no and yes, for predictions that are probabilities.

    Args:
        target_class_ids: 0 for no, 1 for yes; the mean of both by default.
        threshold: predictions from here on are a yes.
        name: the name in reports.
        dtype: see `Metric`.

    Example:
        >>> metric = BinaryIoU(threshold=0.3)
        >>> round(metric([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7]).item(), 4)
        0.3333
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(2, target_class_ids, name=name, dtype=dtype)
        self.threshold = threshold

    def decide(self, y_pred: Any) -> Tensor:
        """1 from the threshold on."""
        return self.as_predictions(y_pred) >= self.threshold


class OneHotIoU(IoU):
    """`IoU` of one-hot labels and of scores for each class.

    Args:
        num_classes: how many classes there are.
        target_class_ids: the classes that the mean is taken over.
        ignore_class: a label that is not counted.
        sparse_y_pred: whether predictions are class numbers.
        axis: the axis of the classes.
        name: the name in reports.
        dtype: see `Metric`.

    Example:
        >>> metric = OneHotIoU(num_classes=2, target_class_ids=[1])
        >>> metric([[1, 0], [0, 1]], [[0.4, 0.6], [0.2, 0.8]]).item()
        0.5
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(
            num_classes,
            target_class_ids,
            ignore_class,
            sparse_y_true=False,
            sparse_y_pred=sparse_y_pred,
            axis=axis,
            name=name,
            dtype=dtype,
        )


class OneHotMeanIoU(OneHotIoU):
    """The mean of `OneHotIoU` over all classes.

    Args:
        num_classes: how many classes there are.
        ignore_class: a label that is not counted.
        sparse_y_pred: whether predictions are class numbers.
        axis: the axis of the classes.
        name: the name in reports.
        dtype: see `Metric`.

    Example:
        >>> metric = OneHotMeanIoU(num_classes=2)
        >>> metric([[1, 0], [0, 1]], [[0.4, 0.6], [0.2, 0.8]]).item()
        0.25
    """

    def __init__(
        self,
        num_classes: int,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
        name: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(
            num_classes,
            range(num_classes),
            ignore_class,
            sparse_y_pred,
            axis,
            name=name,
            dtype=dtype,
        )
