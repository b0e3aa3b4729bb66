"""Metrics: what is reported beside the loss. Names and defaults are those of Keras.

A metric is three pure functions on a state: `init`, `update` with a batch, `compute`.
Training steps use these. `update_state`, `result` and `reset_state` keep a state for
whoever works by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.configurable import parameters
from chainrule.errors import ArgumentError
from chainrule.functional.losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from chainrule.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from chainrule.metrics.base import FUNCTIONS, REGISTRY, Metric
from chainrule.metrics.confusion import (
    BalancedAccuracy,
    ConfusionMatrix,
    MatthewsCorrelation,
)
from chainrule.metrics.correlation import (
    ConcordanceCorrelation,
    PearsonCorrelation,
    concordance_correlation,
    pearson_correlation,
)
from chainrule.metrics.curves import (
    AUC,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from chainrule.metrics.detection import DetectionReport, MeanAveragePrecision
from chainrule.metrics.exact import (
    ExactAUC,
)
from chainrule.metrics.f_score import (
    F1Score,
    FBetaScore,
)
from chainrule.metrics.iou import (
    BinaryIoU,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
)
from chainrule.metrics.probabilistic import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    Hinge,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from chainrule.metrics.reduction import (
    Mean,
    MeanMetricWrapper,
    MeanOfSamples,
    Sum,
)
from chainrule.metrics.regression import (
    CosineSimilarity,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    R2Score,
    RootMeanSquaredError,
)
from chainrule.metrics.thresholds import (
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)

__all__ = [
    "AUC",
    "Accuracy",
    "BalancedAccuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConcordanceCorrelation",
    "ConfusionMatrix",
    "CosineSimilarity",
    "DetectionReport",
    "ExactAUC",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "MatthewsCorrelation",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanAveragePrecision",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanOfSamples",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "concordance_correlation",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "pearson_correlation",
    "poisson",
    "resolve",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

ACCURACY_NAMES = ("accuracy", "acc")
CROSSENTROPY_NAMES = ("crossentropy", "ce")

REGISTRY.add(MeanSquaredError, "mse", "MSE")
REGISTRY.add(MeanAbsoluteError, "mae", "MAE")
REGISTRY.add(RootMeanSquaredError, "rmse", "RMSE")
REGISTRY.add(MeanAbsolutePercentageError, "mape", "MAPE")
REGISTRY.add(MeanSquaredLogarithmicError, "msle", "MSLE")
REGISTRY.add(BinaryCrossentropy, "bce", "BCE")
REGISTRY.add(KLDivergence, "kld", "KLD")
REGISTRY.add(LogCoshError, "logcosh", "log_cosh")
REGISTRY.add(FBetaScore, "fbeta_score")
REGISTRY.add(R2Score, "r2")
REGISTRY.add(MatthewsCorrelation, "mcc")
for _each in (
    AUC,
    Accuracy,
    BalancedAccuracy,
    BinaryAccuracy,
    BinaryIoU,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    ConfusionMatrix,
    CosineSimilarity,
    ExactAUC,
    F1Score,
    FalseNegatives,
    FalsePositives,
    Hinge,
    IoU,
    Mean,
    MeanIoU,
    MeanMetricWrapper,
    OneHotIoU,
    OneHotMeanIoU,
    PearsonCorrelation,
    Poisson,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SpecificityAtSensitivity,
    SquaredHinge,
    Sum,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
):
    REGISTRY.add(_each)
for _function in (
    binary_accuracy,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_accuracy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    concordance_correlation,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    pearson_correlation,
    poisson,
    sparse_categorical_accuracy,
    sparse_categorical_crossentropy,
    sparse_top_k_categorical_accuracy,
    squared_hinge,
    top_k_categorical_accuracy,
):
    FUNCTIONS.add(_function)


def get(identifier: Any) -> Metric:
    """The metric that a name, a config or a function stands for.

    Raises:
        ArgumentError: for an unknown name; the message has the nearest known one.

    Example:
        >>> get("mae").name
        'mean_absolute_error'
    """
    found = REGISTRY.get(identifier)
    if isinstance(found, Metric):
        return found
    if callable(found):
        return MeanMetricWrapper(found)
    raise ArgumentError(
        "this is no metric",
        where="metrics",
        got=found,
        expected="a name, a Metric or a function of (y_true, y_pred)",
    )


def resolve(
    identifier: Any,
    y_true_shape: Sequence[int | None],
    y_pred_shape: Sequence[int | None],
    from_logits: bool = False,
) -> Metric:
    """The metric that `identifier` means for labels and predictions of these shapes.

    `accuracy` is binary for one output, sparse for labels that are class numbers, else
    categorical; so is `crossentropy`. A metric given by a name is reported under that
    name, and is fit for logits where the predictions are: its threshold is 0 then.

    Args:
        identifier: what `get` takes.
        y_true_shape: the shape of the labels, samples first.
        y_pred_shape: the shape of the predictions, samples first.
        from_logits: whether predictions are logits: one is a yes above 0, then.

    Example:
        >>> resolve("accuracy", (None,), (None, 10))
        SparseCategoricalAccuracy(name='accuracy')
        >>> resolve("auc", (None, 1), (None, 1), from_logits=True)
        AUC(from_logits=True)
    """
    metric = get(identifier) if not isinstance(identifier, str) else None
    if metric is None:
        single = len(y_pred_shape) < 2 or y_pred_shape[-1] == 1
        sparse = len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1
        kind = "binary" if single else "sparse" if sparse else "categorical"
        metric = _named(identifier, kind, from_logits)
    metric.build(y_true_shape, y_pred_shape)
    return metric


ACCURACIES = {
    "binary": BinaryAccuracy,
    "sparse": SparseCategoricalAccuracy,
    "categorical": CategoricalAccuracy,
}
CROSSENTROPIES = {
    "binary": BinaryCrossentropy,
    "sparse": SparseCategoricalCrossentropy,
    "categorical": CategoricalCrossentropy,
}


def _named(name: str, kind: str, from_logits: bool) -> Metric:
    """The metric of this name for one output, class numbers or one-hot labels."""
    by_shape = _BY_SHAPE.get(name.lower())
    made = get(name) if by_shape is None else by_shape[kind]()
    takes = parameters(type(made))
    changed: dict[str, Any] = {}
    if from_logits and "from_logits" in takes:
        changed["from_logits"] = True
    elif from_logits:
        # logits above 0 are a yes
        changed = {x: 0.0 for x in ("threshold", "thresholds") if x in takes}
    if isinstance(made, FBetaScore):
        changed = {"threshold": 0.0 if from_logits else 0.5} if kind == "binary" else {}
    if changed:
        made = type(made).from_config({**made.get_config(), **changed})
    made.name = name
    return made


_BY_SHAPE: dict[str, dict[str, type[Metric]]] = {
    **dict.fromkeys(ACCURACY_NAMES, ACCURACIES),
    **dict.fromkeys(CROSSENTROPY_NAMES, CROSSENTROPIES),
}
