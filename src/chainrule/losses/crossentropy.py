"""Losses of classes and of distributions over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    kl_divergence,
    sparse_categorical_crossentropy,
)
from chainrule.functional.losses.shapes import check_share
from chainrule.functional.promotion import Tensor
from chainrule.losses.base import Loss, LossOptions


class BinaryCrossentropy(Loss):
    """Cross-entropy of yes-or-no labels: `-y log(p) - (1 - y) log(1 - p)`.

    Goes with a last layer of `Dense(1, activation='sigmoid')`, or of `Dense(1)` and
    `from_logits=True`, which stays exact however sure the network is. Probabilities are
    kept from 0 and 1 as described at `chainrule.losses.binary_crossentropy`.

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: moves labels by this share towards 1/2.
        axis: the axis that is averaged.
        **options: see `LossOptions`.

    Example:
        >>> round(BinaryCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]]).item(), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        check_share(type(self).__name__, "label_smoothing", label_smoothing)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return binary_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis
        )


class BinaryFocalCrossentropy(Loss):
    """Binary cross-entropy times `(1 - p)**gamma`: what is right already counts little.

    `p` is the probability given to the label. Lin et al., "Focal loss for dense object
    detection", arXiv 1708.02002.

    Args:
        apply_class_balancing: whether labels of 1 weigh `alpha`, of 0 `1 - alpha`.
        alpha: the weight of the labels of 1.
        gamma: how strongly what is right is held back; 0 is cross-entropy.
        from_logits: whether predictions are logits.
        label_smoothing: moves labels by this share towards 1/2.
        axis: the axis that is averaged.
        **options: see `LossOptions`.

    Example:
        >>> round(BinaryFocalCrossentropy()([[1.0]], [[0.5]]).item(), 4)
        0.1733
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        check_share(type(self).__name__, "label_smoothing", label_smoothing)
        self.apply_class_balancing = apply_class_balancing
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The focal cross-entropy of each sample."""
        return binary_focal_crossentropy(
            y_true,
            y_pred,
            self.apply_class_balancing,
            self.alpha,
            self.gamma,
            self.from_logits,
            self.label_smoothing,
            self.axis,
        )


class CategoricalCrossentropy(Loss):
    """Cross-entropy of one-hot labels: `-sum(y_true * log(p))`.

    Goes with a last layer of `Dense(classes, activation='softmax')`, or of
    `Dense(classes)` and `from_logits=True`.

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: this share of each label is spread evenly over the classes.
        axis: the axis of the classes.
        **options: see `LossOptions`.

    Example:
        >>> loss = CategoricalCrossentropy()
        >>> round(loss([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        check_share(type(self).__name__, "label_smoothing", label_smoothing)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis
        )


class CategoricalFocalCrossentropy(Loss):
    """`-sum(alpha * (1 - p)**gamma * y_true * log(p))`, for one-hot labels.

    Lin et al., "Focal loss for dense object detection", arXiv 1708.02002.

    Args:
        alpha: a weight, or one for each class.
        gamma: how strongly what is right is held back; 0 is cross-entropy.
        from_logits: whether predictions are logits.
        label_smoothing: this share of each label is spread evenly over the classes.
        axis: the axis of the classes.
        **options: see `LossOptions`.

    Example:
        >>> loss = CategoricalFocalCrossentropy()
        >>> round(loss([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.0433
    """

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        check_share(type(self).__name__, "label_smoothing", label_smoothing)
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The focal cross-entropy of each sample."""
        return categorical_focal_crossentropy(
            y_true,
            y_pred,
            self.alpha,
            self.gamma,
            self.from_logits,
            self.label_smoothing,
            self.axis,
        )


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of integer labels: `-log(p[label])`.

    Goes with a last layer of `Dense(classes, activation='softmax')`, or of
    `Dense(classes)` and `from_logits=True`.

    Args:
        from_logits: whether predictions are logits.
        ignore_class: samples of this label have a loss of 0, and are not counted in a
            mean.
        axis: the axis of the classes.
        label_smoothing: this share of each label is spread evenly over the classes.
            Szegedy et al., arXiv 1512.00567.
        **options: see `LossOptions`.

    Example:
        >>> loss = SparseCategoricalCrossentropy()
        >>> round(loss([1], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
        label_smoothing: float = 0.0,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        check_share(type(self).__name__, "label_smoothing", label_smoothing)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The cross-entropy of each sample."""
        return sparse_categorical_crossentropy(
            y_true,
            y_pred,
            self.from_logits,
            self.ignore_class,
            self.axis,
            self.label_smoothing,
        )

    def counted(self, y_true: Any, values: Tensor) -> Tensor | None:
        """All samples but those of the class to be ignored."""
        if self.ignore_class is None:
            return None
        return functional.reshape(y_true != self.ignore_class, values.shape)


class CategoricalGeneralizedCrossEntropy(Loss):
    """`(1 - p[label]**q) / q`, which noisy labels mislead less than cross-entropy.

    Zhang and Sabuncu, arXiv 1805.07836.

    Args:
        q: from nearly 0, as cross-entropy, to 1, as the mean absolute error.
        **options: see `LossOptions`.

    Example:
        >>> CategoricalGeneralizedCrossEntropy()([1], [[0.75, 0.25]]).item()
        1.0
    """

    def __init__(
        self,
        q: float = 0.5,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        if not 0 < q <= 1:
            raise ArgumentError(
                "the exponent lies between cross-entropy and absolute error",
                where="CategoricalGeneralizedCrossEntropy",
                got=f"q={q}",
                expected="0 < q <= 1",
            )
        self.q = q

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each sample."""
        return categorical_generalized_cross_entropy(y_true, y_pred, self.q)


class KLDivergence(Loss):
    """`sum(y_true * log(y_true / y_pred))`: how far one distribution is from another.

    Example:
        >>> round(KLDivergence()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
        0.6931
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The divergence of each sample."""
        return kl_divergence(y_true, y_pred)
