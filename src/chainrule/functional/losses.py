"""Measures of error, one number per sample: the mathematics of losses and metrics.

Each takes `y_true` and `y_pred` and reduces the last axis. A column of labels
`(rows, 1)` and a row of predictions `(rows,)` are lined up first, as in Keras.
"""

from __future__ import annotations

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.promotion import ArrayLike, Tensor
from chainrule.ir.dtype import DEFAULT_FLOAT

# Probabilities are kept from 0 by the smallest normal float32: a loss stays finite, and
# no gradient is lost where a softmax is sure and wrong (Keras clips at 1e-7, where the
# gradient ends).
SMALLEST = 2.0**-126
# 1 - p cannot be smaller than this in float32 unless it is 0.
SMALLEST_GAP = 2.0**-24
LABEL_RANGE = "integer labels from 0 to classes - 1"


def align(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Tensor, Tensor]:
    """Both as floating-point tensors of one rank.

    Where one has a last axis of length 1 more than the other, it is dropped; next to a
    plain row it is added, so that `(rows,)` goes with `(rows, 1)`.

    Raises:
        ShapeError: when the shapes still differ: they would broadcast to a matrix of
            every label against every prediction.
    """
    predicted = as_float(y_pred)
    true = functional.astype(functional.asarray(y_true), predicted.dtype)
    true, predicted = same_rank(true, predicted)
    if true.shape != predicted.shape:
        raise ShapeError(
            "labels and predictions differ in shape",
            where="loss",
            got=f"y_true {true.shape}, y_pred {predicted.shape}",
            expected="equal shapes",
            fix="give the last layer as many units as a label has numbers",
        )
    return true, predicted


def as_float(x: ArrayLike) -> Tensor:
    """`x` as a tensor of a floating-point dtype."""
    value = functional.asarray(x)
    if value.dtype.is_float:
        return value
    return functional.astype(value, DEFAULT_FLOAT)


def same_rank(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both, with a last axis of length 1 added or dropped where only one has it."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, _column(b)) if b.ndim == 1 else (_without_last(a), b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (_column(a), b) if a.ndim == 1 else (a, _without_last(b))
    return a, b


def line_up_weights(values: Tensor, sample_weight: ArrayLike) -> tuple[Tensor, Tensor]:
    """Values of samples and their weights, in shapes that broadcast as they should.

    Raises:
        ShapeError: when there is not one weight per sample.

    Example:
        >>> values, weights = functional.ones((2, 3)), [1.0, 2.0]
        >>> line_up_weights(values, weights)[1].shape
        (2, 1)
    """
    weights = functional.astype(functional.asarray(sample_weight), values.dtype)
    values, weights = same_rank(values, weights)
    if weights.shape != values.shape[: weights.ndim]:
        raise ShapeError(
            "there must be one weight per sample",
            where="sample_weight",
            got=weights.shape,
            expected=values.shape[:1],
        )
    trailing = (1,) * (values.ndim - weights.ndim)
    return values, functional.reshape(weights, (*weights.shape, *trailing))


def _column(x: Tensor) -> Tensor:
    return functional.reshape(x, (*x.shape, 1))


def _without_last(x: Tensor) -> Tensor:
    return functional.reshape(x, x.shape[:-1])


def _mean_last(x: Tensor) -> Tensor:
    # a plain row holds one number per sample already
    return functional.mean(x, axis=-1) if x.ndim > 1 else x


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`mean((y_true - y_pred)**2)` over the last axis.

    Example:
        >>> mean_squared_error([[0.0, 1.0]], [[1.0, 3.0]]).numpy().tolist()
        [2.5]
    """
    true, predicted = align(y_true, y_pred)
    return _mean_last(functional.square(true - predicted))


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Tensor:
    """`mean(abs(y_true - y_pred))` over the last axis.

    Example:
        >>> mean_absolute_error([[0.0, 1.0]], [[1.0, 3.0]]).numpy().tolist()
        [1.5]
    """
    true, predicted = align(y_true, y_pred)
    return _mean_last(functional.abs(true - predicted))


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> Tensor:
    """Squared where the error is at most `delta`, straight beyond.

    `mean(e**2 / 2 if abs(e) <= delta else delta * abs(e) - delta**2 / 2)` over the last
    axis. Huber, "Robust estimation of a location parameter", 1964.

    Example:
        >>> huber([[0.0, 0.0]], [[1.0, 3.0]]).numpy().tolist()
        [1.5]
    """
    true, predicted = align(y_true, y_pred)
    distance = functional.abs(predicted - true)
    straight = delta * distance - 0.5 * delta * delta
    parabola = 0.5 * functional.square(distance)
    return _mean_last(functional.where(distance <= delta, parabola, straight))


def binary_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`mean(-y log(p) - (1 - y) log(1 - p))` over the last axis.

    Args:
        y_true: labels, 0 or 1 (or between).
        y_pred: probabilities `p`, or logits `x` with `p = sigmoid(x)`.
        from_logits: which of the two. From logits the sum is
            `max(x, 0) - x * y + log(1 + exp(-abs(x)))`, exact for every x; from
            probabilities the logarithms end at `log(2**-126)` and `log(2**-24)`.
        label_smoothing: moves labels by this share towards 1/2.

    Example:
        >>> loss = binary_crossentropy([[1.0], [0.0]], [[0.5], [0.75]])
        >>> [round(x, 4) for x in loss.numpy().tolist()]
        [0.6931, 1.3863]
    """
    true, predicted = align(y_true, y_pred)
    if label_smoothing:
        true = true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        return _mean_last(_binary_from_logits(true, predicted))
    yes = functional.log(functional.maximum(predicted, SMALLEST))
    no = functional.log(functional.maximum(1.0 - predicted, SMALLEST_GAP))
    return _mean_last(-(true * yes + (1.0 - true) * no))


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
    predicted = as_float(y_pred)
    true = functional.astype(functional.asarray(y_true), predicted.dtype)
    _check_one_hot(true, predicted)
    if label_smoothing:
        spread = label_smoothing / predicted.shape[axis]
        true = true * (1.0 - label_smoothing) + spread
    logs = _log_probabilities(predicted, from_logits, axis)
    return -functional.sum(true * logs, axis=axis)


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
) -> Tensor:
    """`-log(p[label])`.

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

    Example:
        >>> loss = sparse_categorical_crossentropy([1], [[0.5, 0.5]])
        >>> [round(x, 4) for x in loss.numpy().tolist()]
        [0.6931]
    """
    predicted = as_float(y_pred)
    labels = functional.astype(functional.asarray(y_true), "int64")
    axis = axis % predicted.ndim
    rest = predicted.shape[:axis] + predicted.shape[axis + 1 :]
    if labels.shape != rest and labels.ndim == predicted.ndim:
        labels = _without_last(labels) if labels.shape[-1] == 1 else labels
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
    logs = _log_probabilities(predicted, from_logits, axis)
    wanted = functional.reshape(labels, (*rest[:axis], 1, *rest[axis:]))
    match = wanted == class_numbers(predicted, axis)
    if ignore_class is not None:
        match = functional.logical_and(match, wanted != ignore_class)
    return -functional.sum(functional.where(match, logs, 0.0), axis=axis)


def class_numbers(predicted: Tensor, axis: int) -> Tensor:
    """`0, 1, ...` along `axis`, of length 1 on the other axes."""
    shape = [1] * predicted.ndim
    shape[axis] = predicted.shape[axis]
    return functional.reshape(
        functional.arange(predicted.shape[axis], dtype="int64"), tuple(shape)
    )
