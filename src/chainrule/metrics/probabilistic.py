"""The losses of classes and distributions, as metrics."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.functional.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    hinge,
    kl_divergence,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from chainrule.functional.promotion import Tensor
from chainrule.metrics.base import MetricOptions
from chainrule.metrics.reduction import MeanOfSamples


class BinaryCrossentropy(MeanOfSamples):
    """The mean of `chainrule.losses.binary_crossentropy`.

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: moves labels by this share towards 1/2.
        **options: see `MetricOptions`.

    Example:
        >>> round(BinaryCrossentropy()([[1.0]], [[0.5]]).item(), 4)
        0.6931
    """

    direction = "down"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return binary_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing
        )


class CategoricalCrossentropy(MeanOfSamples):
    """The mean of `chainrule.losses.categorical_crossentropy`.

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: this share of each label is spread evenly over the classes.
        axis: the axis of the classes.
        **options: see `MetricOptions`.

    Example:
        >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    direction = "down"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis
        )


class SparseCategoricalCrossentropy(MeanOfSamples):
    """The mean of `chainrule.losses.sparse_categorical_crossentropy`.

    Args:
        from_logits: whether predictions are logits.
        ignore_class: samples of this label are not counted.
        axis: the axis of the classes.
        **options: see `MetricOptions`.

    Example:
        >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    direction = "down"

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return sparse_categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.ignore_class, self.axis
        )

    def counted(self, y_true: Any, values: Tensor) -> Tensor | None:
        """All samples but those of the class to be ignored."""
        if self.ignore_class is None:
            return None
        return functional.reshape(y_true != self.ignore_class, values.shape)


class KLDivergence(MeanOfSamples):
    """The mean of `chainrule.losses.kl_divergence`.

    Example:
        >>> round(KLDivergence()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    direction = "down"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The value of each sample."""
        return kl_divergence(y_true, y_pred)


class Poisson(MeanOfSamples):
    """The mean of `chainrule.losses.poisson`.

    Example:
        >>> round(Poisson()([[2.0]], [[3.0]]).item(), 4)
        0.8028
    """

    direction = "down"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The value of each sample."""
        return poisson(y_true, y_pred)


class Hinge(MeanOfSamples):
    """The mean of `chainrule.losses.hinge`.

    Example:
        >>> Hinge()([[1.0], [0.0]], [[2.0], [-0.25]]).item()
        0.375
    """

    direction = "down"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The value of each sample."""
        return hinge(y_true, y_pred)


class SquaredHinge(MeanOfSamples):
    """The mean of `chainrule.losses.squared_hinge`.

    Example:
        >>> SquaredHinge()([[1.0], [-1.0]], [[0.5], [1.0]]).item()
        2.125
    """

    direction = "down"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The value of each sample."""
        return squared_hinge(y_true, y_pred)


class CategoricalHinge(MeanOfSamples):
    """The mean of `chainrule.losses.categorical_hinge`.

    Example:
        >>> CategoricalHinge()([[0.0, 1.0]], [[0.5, 0.75]]).item()
        0.75
    """

    direction = "down"

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The value of each sample."""
        return categorical_hinge(y_true, y_pred)
