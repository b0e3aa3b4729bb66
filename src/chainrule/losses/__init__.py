"""Losses: what training makes small. Names, arguments and defaults are those of Keras.

A loss is called with labels, predictions and optional weights of the samples. `call`
gives one number per sample; `reduction` says how they become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.boxes.losses import ciou, diou, giou, iou
from chainrule.errors import ArgumentError
from chainrule.functional.losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    circle,
    cosine_similarity,
    dice,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    pinball,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
from chainrule.losses.base import (
    FUNCTIONS,
    REGISTRY,
    Loss,
    LossFunctionWrapper,
)
from chainrule.losses.boxes import CIoU, DIoU, GIoU, IoU
from chainrule.losses.crossentropy import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    KLDivergence,
    SparseCategoricalCrossentropy,
)
from chainrule.losses.margins import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
)
from chainrule.losses.overlap import (
    Dice,
    Tversky,
)
from chainrule.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Pinball,
    Poisson,
)
from chainrule.losses.similarity import (
    Circle,
)

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CIoU",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "DIoU",
    "Dice",
    "GIoU",
    "Hinge",
    "Huber",
    "IoU",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Pinball",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "ciou",
    "circle",
    "cosine_similarity",
    "dice",
    "diou",
    "get",
    "giou",
    "hinge",
    "huber",
    "iou",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "pinball",
    "poisson",
    "resolve",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]

# what a name may stand for until labels and outputs are known
CROSSENTROPY_NAMES = ("crossentropy", "ce")

REGISTRY.add(MeanSquaredError, "mse", "MSE")
REGISTRY.add(MeanAbsoluteError, "mae", "MAE")
REGISTRY.add(MeanAbsolutePercentageError, "mape", "MAPE")
REGISTRY.add(MeanSquaredLogarithmicError, "msle", "MSLE")
REGISTRY.add(BinaryCrossentropy, "bce", "BCE")
REGISTRY.add(KLDivergence, "kld", "KLD", "kullback_leibler_divergence")
REGISTRY.add(LogCosh, "logcosh")
REGISTRY.add(IoU, "iou")
REGISTRY.add(GIoU, "giou")
REGISTRY.add(DIoU, "diou")
REGISTRY.add(CIoU, "ciou")
REGISTRY.add(
    CategoricalGeneralizedCrossEntropy, "categorical_generalized_cross_entropy"
)
for _class in (
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    Circle,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    LossFunctionWrapper,
    Pinball,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
):
    REGISTRY.add(_class)
for _function in (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    ciou,
    circle,
    cosine_similarity,
    dice,
    diou,
    giou,
    hinge,
    huber,
    iou,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    pinball,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
):
    FUNCTIONS.add(_function)


def get(identifier: Any) -> Loss:
    """The loss that a name, a config or a function stands for.

    Raises:
        ArgumentError: for an unknown name; the message has the nearest known one.

    Example:
        >>> get("mse")
        MeanSquaredError()
    """
    found = REGISTRY.get(identifier)
    if isinstance(found, Loss):
        return found
    if callable(found):
        return LossFunctionWrapper(found)
    raise ArgumentError(
        "this is no loss",
        where="loss",
        got=found,
        expected="a name, a Loss or a function of (y_true, y_pred)",
    )


def resolve(
    identifier: Any,
    y_true_shape: Sequence[int | None],
    y_pred_shape: Sequence[int | None],
) -> Loss:
    """The loss that `identifier` means for labels and predictions of these shapes.

    `crossentropy` (or `ce`) is binary for one output, sparse for labels that are class
    numbers, else categorical.

    Args:
        identifier: what `get` takes.
        y_true_shape: the shape of the labels, samples first.
        y_pred_shape: the shape of the predictions, samples first.

    Example:
        >>> resolve("crossentropy", (None,), (None, 10))
        SparseCategoricalCrossentropy()
    """
    if not isinstance(identifier, str) or identifier.lower() not in CROSSENTROPY_NAMES:
        return get(identifier)
    if len(y_pred_shape) < 2 or y_pred_shape[-1] == 1:
        return BinaryCrossentropy()
    if len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1:
        return SparseCategoricalCrossentropy()
    return CategoricalCrossentropy()
