"""Measures of the distance between distributions, one number per sample.

Each takes `y_true` and `y_pred` and reduces the classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.losses.shapes import align, as_float, mean_over, without_last
from chainrule.functional.promotion import ArrayLike, Tensor

# Probabilities are kept from 0 by the smallest normal float32: a loss stays finite, and
# no gradient is lost where a softmax is sure and wrong (Keras clips at 1e-7, where the
# gradient ends).
SMALLEST = 2.0**-126
# 1 - p cannot be smaller than this in float32 unless it is 0.
SMALLEST_GAP = 2.0**-24
LABEL_RANGE = "integer labels from 0 to classes - 1"


def binary_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`mean(-y log(p) - (1 - y) log(1 - p))` over `axis`.

    Args:
        y_true: labels, 0 or 1 (or between).
        y_pred: probabilities `p`, or logits `x` with `p = sigmoid(x)`.
        from_logits: which of the two. From logits the sum is
            `max(x, 0) - x * y + log(1 + exp(-abs(x)))`, exact for every x; from
            probabilities the logarithms end at `log(2**-126)` and `log(2**-24)`.
        label_smoothing: moves labels by this share towards 1/2.
        axis: the axis that is averaged.

    Example:
        >>> loss = binary_crossentropy([[1.0], [0.0]], [[0.5], [0.75]])
        >>> [round(x, 4) for x in loss.numpy().tolist()]
        [0.6931, 1.3863]
    """
    true, predicted = align(y_true, y_pred)
    true = _smooth_binary(true, label_smoothing)
    return mean_over(_binary(true, predicted, from_logits), axis)


def binary_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`(1 - p_t)**gamma` times the binary cross-entropy, averaged over `axis`.

    `p_t` is the probability given to the label: what is classified well already counts
    little. Lin et al., "Focal loss for dense object detection", arXiv 1708.02002.

    Args:
        y_true: labels, 0 or 1 (or between).
        y_pred: probabilities, or logits.
        apply_class_balancing: whether labels of 1 weigh `alpha` and labels of 0
            `1 - alpha`.
        alpha: the weight of the labels of 1.
        gamma: how strongly what is right already is held back; 0 is cross-entropy.
        from_logits: whether `y_pred` are logits.
        label_smoothing: moves labels by this share towards 1/2.
        axis: the axis that is averaged.

    Example:
        >>> loss = binary_focal_crossentropy([[1.0], [0.0]], [[0.5], [0.75]])
        >>> [round(x, 4) for x in loss.numpy().tolist()]
        [0.1733, 0.7798]
    """
    true, predicted = align(y_true, y_pred)
    true = _smooth_binary(true, label_smoothing)
    entropy = _binary(true, predicted, from_logits)
    p = functional.sigmoid(predicted) if from_logits else predicted
    right = true * p + (1.0 - true) * (1.0 - p)
    entropy = _focus(right, gamma) * entropy
    if apply_class_balancing:
        entropy = (true * alpha + (1.0 - true) * (1.0 - alpha)) * entropy
    return mean_over(entropy, axis)


def _focus(right: Tensor, gamma: float) -> Tensor:
    """`(1 - right)**gamma`, with a finite slope also where `right` is 1."""
    return functional.pow(functional.maximum(1.0 - right, SMALLEST_GAP), gamma)


def _smooth_binary(true: Tensor, label_smoothing: float) -> Tensor:
    if not label_smoothing:
        return true
    return true * (1.0 - label_smoothing) + 0.5 * label_smoothing


def _binary(true: Tensor, predicted: Tensor, from_logits: bool) -> Tensor:
    """The binary cross-entropy of each number."""
    if from_logits:
        return _binary_from_logits(true, predicted)
    yes = functional.log(functional.maximum(predicted, SMALLEST))
    no = functional.log(functional.maximum(1.0 - predicted, SMALLEST_GAP))
    return -(true * yes + (1.0 - true) * no)


def _binary_from_logits(true: Tensor, logits: Tensor) -> Tensor:
    # phrased so that each side is smooth up to and including 0
    positive = logits > 0
    falling = functional.where(positive, -logits, logits)
    linear = logits * (functional.where(positive, 1.0, 0.0) - true)
    return linear + functional.log1p(functional.exp(falling))


def _log_probabilities(y_pred: Tensor, from_logits: bool, axis: int) -> Tensor:
    """Logarithms of class probabilities that sum to 1 along `axis`."""
    if from_logits:
        return functional.log_softmax(y_pred, axis=axis)
    total = functional.sum(y_pred, axis=axis, keepdims=True)
    return functional.log(functional.maximum(y_pred / total, SMALLEST))


def categorical_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`-sum(y_true * log(p))` over the classes.

    Args:
        y_true: one-hot labels, or a probability for each class.
        y_pred: probabilities, brought to a sum of 1, or logits.
        from_logits: whether `y_pred` are logits `x`, with `p = softmax(x)`.
        label_smoothing: this share of each label is spread evenly over the classes.
        axis: the axis of the classes.

    Example:
        >>> loss = categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])
        >>> [round(x, 4) for x in loss.numpy().tolist()]
        [0.6931]
    """
    true, predicted = _distributions(y_true, y_pred, label_smoothing, axis)
    logs = _log_probabilities(predicted, from_logits, axis)
    return -functional.sum(true * logs, axis=axis)


def categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`-sum(alpha * (1 - p)**gamma * y_true * log(p))` over the classes.

    Lin et al., "Focal loss for dense object detection", arXiv 1708.02002.

    Args:
        y_true: one-hot labels, or a probability for each class.
        y_pred: probabilities, brought to a sum of 1, or logits.
        alpha: a weight, or one for each class.
        gamma: how strongly what is right already is held back; 0 is cross-entropy.
        from_logits: whether `y_pred` are logits `x`, with `p = softmax(x)`.
        label_smoothing: this share of each label is spread evenly over the classes.
        axis: the axis of the classes.

    Example:
        >>> loss = categorical_focal_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])
        >>> [round(x, 4) for x in loss.numpy().tolist()]
        [0.0433]
    """
    true, predicted = _distributions(y_true, y_pred, label_smoothing, axis)
    logs = _log_probabilities(predicted, from_logits, axis)
    weight: ArrayLike = alpha
    if isinstance(alpha, Sequence):
        shape = [1] * predicted.ndim
        shape[axis] = len(alpha)
        weight = functional.reshape(
            functional.asarray(list(alpha), dtype=predicted.dtype), tuple(shape)
        )
    focus = _focus(functional.exp(logs), gamma)
    return -functional.sum(weight * focus * true * logs, axis=axis)


def _distributions(
    y_true: ArrayLike, y_pred: ArrayLike, label_smoothing: float, axis: int
) -> tuple[Tensor, Tensor]:
    """Labels and predictions over the classes, the labels smoothed."""
    predicted = as_float(y_pred)
    true = functional.astype(functional.asarray(y_true), predicted.dtype)
    _check_one_hot(true, predicted)
    if label_smoothing:
        spread = label_smoothing / predicted.shape[axis]
        true = true * (1.0 - label_smoothing) + spread
    return true, predicted


def _check_one_hot(true: Tensor, predicted: Tensor) -> None:
    if true.shape != predicted.shape:
        sparse = true.ndim < predicted.ndim or true.shape[-1] == 1
        raise ShapeError(
            "labels and predictions differ in shape",
            where="categorical_crossentropy",
            got=f"y_true {true.shape}, y_pred {predicted.shape}",
            expected=f"one-hot labels of shape {predicted.shape}",
            fix="loss='sparse_categorical_crossentropy' takes integer labels"
            if sparse
            else "give the last layer as many units as there are classes",
        )


def sparse_categorical_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`-log(p[label])`; smoothed, a share of the mean of `-log(p)` over the classes.

    The label is compared with every class and the rest summed away, which a compiler
    fuses into the softmax. A label outside the classes therefore matches none and
    counts as 0: whoever reads the data checks its labels first, as `fit` does.

    Args:
        y_true: the number of the class of each sample, from 0; a last axis of length 1
            is dropped.
        y_pred: probabilities, brought to a sum of 1, or logits.
        from_logits: whether `y_pred` are logits `x`, with `p = softmax(x)`.
        ignore_class: samples of this label have a loss of 0.
        axis: the axis of the classes.
        label_smoothing: this share of each label is spread evenly over the classes.

    Example:
        >>> loss = sparse_categorical_crossentropy([1], [[0.5, 0.5]])
        >>> [round(x, 4) for x in loss.numpy().tolist()]
        [0.6931]
    """
    predicted = as_float(y_pred)
    axis = axis % predicted.ndim
    match = _label_matches(y_true, predicted, ignore_class, axis)
    logs = _log_probabilities(predicted, from_logits, axis)
    if not label_smoothing:
        return -functional.sum(functional.where(match, logs, 0.0), axis=axis)
    spread = label_smoothing / predicted.shape[axis]
    own = 1.0 - label_smoothing + spread
    parts = functional.where(match, logs * own, logs * spread)
    if ignore_class is not None:
        labels = functional.expand_dims(
            sparse_labels(y_true, predicted, axis), axis=axis
        )
        parts = functional.where(labels == ignore_class, 0.0, parts)
    return -functional.sum(parts, axis=axis)


def _label_matches(
    y_true: ArrayLike, predicted: Tensor, ignore_class: int | None, axis: int
) -> Tensor:
    """Where along `axis` the label's class is; nowhere for a class to be ignored."""
    labels = sparse_labels(y_true, predicted, axis)
    before, after = labels.shape[:axis], labels.shape[axis:]
    wanted = functional.reshape(labels, (*before, 1, *after))
    match = wanted == class_numbers(predicted, axis)
    if ignore_class is not None:
        match = functional.logical_and(match, wanted != ignore_class)
    return match


def sparse_labels(y_true: ArrayLike, predicted: Tensor, axis: int = -1) -> Tensor:
    """Class numbers as integers, of the shape of `predicted` without `axis`.

    Raises:
        ShapeError: when they have another shape.
    """
    labels = functional.astype(functional.asarray(y_true), "int64")
    axis = axis % predicted.ndim
    rest = predicted.shape[:axis] + predicted.shape[axis + 1 :]
    if labels.shape != rest and labels.ndim == predicted.ndim:
        labels = without_last(labels) if labels.shape[-1] == 1 else labels
    if labels.shape != rest:
        raise ShapeError(
            "labels and predictions do not fit together",
            where="sparse_categorical_crossentropy",
            got=f"y_true {labels.shape}, y_pred {predicted.shape}",
            expected=f"{LABEL_RANGE}, of shape {rest}",
            fix="one-hot labels go with loss='categorical_crossentropy'"
            if labels.shape == predicted.shape
            else None,
        )
    return labels


def categorical_generalized_cross_entropy(
    y_true: ArrayLike, y_pred: ArrayLike, q: float = 0.5
) -> Tensor:
    """`(1 - p[label]**q) / q`, which noisy labels mislead less.

    Between cross-entropy (`q` near 0) and the mean absolute error (`q = 1`). Zhang and
    Sabuncu, arXiv 1805.07836.

    Args:
        y_true: the number of the class of each sample, from 0.
        y_pred: probabilities of the classes.
        q: how little a sample that is far off may count, `0 < q <= 1`.

    Example:
        >>> categorical_generalized_cross_entropy([1], [[0.75, 0.25]]).numpy().tolist()
        [1.0]
    """
    predicted = as_float(y_pred)
    match = _label_matches(y_true, predicted, None, predicted.ndim - 1)
    p = functional.sum(functional.where(match, predicted, 0.0), axis=-1)
    return (1.0 - functional.pow(functional.maximum(p, SMALLEST), q)) / q


def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`sum(y_true * log(y_true / y_pred))` over the last axis.

    The Kullback-Leibler divergence of two distributions; a label of 0 adds nothing.

    Args:
        y_true: probabilities that sum to 1.
        y_pred: probabilities that sum to 1.

    Example:
        >>> [round(x, 4) for x in kl_divergence([[0.0, 1.0]], [[0.5, 0.5]]).tolist()]
        [0.6931]
    """
    true, predicted = align(y_true, y_pred)
    true = functional.clip(true, 0.0, 1.0)
    surprise = functional.log(functional.maximum(true, SMALLEST)) - functional.log(
        functional.clip(predicted, SMALLEST, 1.0)
    )
    return functional.sum(true * surprise, axis=-1)


def class_numbers(predicted: Tensor, axis: int) -> Tensor:
    """`0, 1, ...` along `axis`, of length 1 on the other axes."""
    shape = [1] * predicted.ndim
    shape[axis] = predicted.shape[axis]
    return functional.reshape(
        functional.arange(predicted.shape[axis], dtype="int64"), tuple(shape)
    )
