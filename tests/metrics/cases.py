"""The cases of the contract of a metric, with their values by other means.

Where scikit-learn defines the same number, it gives it; elsewhere NumPy in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn import metrics as scikit

from chainrule import losses, metrics
from chainrule.metrics import Metric
from tests.metrics.values import (
    Value,
    along,
    along_concordance,
    among_columns,
    best_point,
    by_scikit,
    concordance,
    cosine,
    count,
    decided,
    jaccard,
    largest,
    mean,
    of_classes,
    pearson,
)

Array = np.ndarray[Any, Any]
ROWS, CLASSES = 60, 4
GENERATOR = np.random.default_rng(3)
SCORES = GENERATOR.normal(size=(ROWS, CLASSES)).astype("float32")
SHARES = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
CLASS = GENERATOR.integers(0, CLASSES, ROWS)
ONE_HOT = np.eye(CLASSES, dtype="float32")[CLASS]
SAID = SCORES.argmax(1)
EVEN = (CLASS % 2 == 0).astype("float32")[:, None]
YES = np.clip(
    EVEN * 0.3 + GENERATOR.uniform(0, 0.7, size=(ROWS, 1)), 0.01, 0.99
).astype("float32")
COARSE = (np.round(YES * 8) / 8).astype("float32")
MANY = GENERATOR.integers(0, 2, (ROWS, CLASSES)).astype("float32")
CHANCES = GENERATOR.uniform(0.01, 0.99, size=(ROWS, CLASSES)).astype("float32")
QUANTITIES = GENERATOR.normal(5, 2, size=(ROWS, 2)).astype("float32")
GUESSES = (QUANTITIES + GENERATOR.normal(0, 1, size=(ROWS, 2))).astype("float32")
COUNTS = GENERATOR.integers(0, 5, (ROWS, 2)).astype("float32")
RATES = GENERATOR.uniform(0.5, 3, size=(ROWS, 2)).astype("float32")
SIDES = 2 * EVEN - 1


@dataclass(frozen=True)
class Case:
    """A metric, labels and predictions, and its value of labels, predictions, weights.

    Attributes:
        digits: how exactly the value is met: 1e-12 where sums are of float64, less
            where each sample's value is computed in float32.
    """

    make: Callable[..., Metric]
    y_true: Array
    y_pred: Array
    value: Value
    arguments: dict[str, Any] = field(default_factory=dict)
    digits: float = 1e-12

    def metric(self, **options: Any) -> Metric:
        return self.make(**self.arguments, **options)

    def __str__(self) -> str:
        named = {name: getattr(x, "__name__", x) for name, x in self.arguments.items()}
        return f"{getattr(self.make, '__name__', '')}({named})"


SINGLE = 3e-6
LOGITS = {"from_logits": True}
MEANS = [
    Case(metrics.Accuracy, CLASS, SAID, mean(lambda t, p: t == p)),
    Case(metrics.BinaryAccuracy, EVEN, YES, mean(lambda t, p: (p > 0.5) == t)),
    Case(
        metrics.BinaryAccuracy,
        EVEN[:, 0],
        YES,
        mean(lambda t, p: (p[:, 0] > 0.3) == t),
        {"threshold": 0.3},
    ),
    Case(metrics.CategoricalAccuracy, ONE_HOT, SCORES, largest(scikit.accuracy_score)),
    Case(
        metrics.SparseCategoricalAccuracy, CLASS, SCORES, largest(scikit.accuracy_score)
    ),
    Case(
        metrics.SparseCategoricalAccuracy,
        CLASS[:, None],
        SCORES,
        largest(scikit.accuracy_score),
    ),
    Case(
        metrics.TopKCategoricalAccuracy,
        ONE_HOT,
        SCORES,
        lambda t, p, w: scikit.top_k_accuracy_score(
            t.argmax(1), p, k=2, sample_weight=w
        ),
        {"k": 2},
    ),
    Case(
        metrics.SparseTopKCategoricalAccuracy,
        CLASS[:, None],
        SCORES,
        lambda t, p, w: scikit.top_k_accuracy_score(t[:, 0], p, k=3, sample_weight=w),
        {"k": 3},
    ),
    Case(
        metrics.SparseTopKCategoricalAccuracy,
        CLASS,
        np.argsort(-SCORES, axis=1),
        lambda t, p, w: np.average((p[:, :2] == t[:, None]).any(1), weights=w),
        {"k": 2, "from_sorted_ids": True},
    ),
    Case(
        metrics.MeanMetricWrapper,
        CLASS,
        SCORES,
        largest(scikit.accuracy_score),
        {"fn": metrics.sparse_categorical_accuracy},
    ),
    Case(
        metrics.MeanMetricWrapper,
        QUANTITIES,
        GUESSES,
        mean(
            lambda t, p: np.where(
                abs(t - p) < 0.3, (t - p) ** 2 / 2, 0.3 * abs(t - p) - 0.045
            )
        ),
        {"fn": losses.huber, "delta": 0.3},
        SINGLE,
    ),
]
QUANTITY = [
    Case(
        metrics.MeanSquaredError,
        QUANTITIES,
        GUESSES,
        by_scikit(scikit.mean_squared_error),
        digits=SINGLE,
    ),
    Case(
        metrics.MeanSquaredError,
        QUANTITIES,
        GUESSES,
        lambda t, p, w: scikit.mean_squared_error(
            t.astype(float), p.astype(float), sample_weight=w
        ),
        {"dtype": "float64"},
    ),
    Case(
        metrics.RootMeanSquaredError,
        QUANTITIES[:, 0],
        GUESSES[:, :1],
        by_scikit(scikit.root_mean_squared_error),
        digits=SINGLE,
    ),
    Case(
        metrics.MeanAbsoluteError,
        QUANTITIES,
        GUESSES,
        by_scikit(scikit.mean_absolute_error),
        digits=SINGLE,
    ),
    Case(
        metrics.MeanAbsolutePercentageError,
        QUANTITIES,
        GUESSES,
        lambda t, p, w: (
            100 * scikit.mean_absolute_percentage_error(t, p, sample_weight=w)
        ),
        digits=SINGLE,
    ),
    Case(
        metrics.MeanSquaredLogarithmicError,
        COUNTS,
        RATES,
        by_scikit(scikit.mean_squared_log_error),
        digits=SINGLE,
    ),
    Case(
        metrics.LogCoshError,
        QUANTITIES,
        GUESSES,
        mean(lambda t, p: np.log(np.cosh(t - p))),
        digits=SINGLE,
    ),
    Case(metrics.CosineSimilarity, QUANTITIES, GUESSES, mean(cosine), digits=SINGLE),
    Case(metrics.R2Score, QUANTITIES, GUESSES, by_scikit(scikit.r2_score)),
    Case(
        metrics.R2Score,
        QUANTITIES,
        GUESSES,
        by_scikit(scikit.r2_score, multioutput="raw_values"),
        {"class_aggregation": None},
    ),
    Case(
        metrics.R2Score,
        QUANTITIES,
        GUESSES,
        by_scikit(scikit.r2_score, multioutput="variance_weighted"),
        {"class_aggregation": "variance_weighted_average"},
    ),
    Case(
        metrics.R2Score,
        QUANTITIES[:, 0],
        GUESSES[:, 0],
        lambda t, p, w: (
            1
            - (1 - scikit.r2_score(t, p, sample_weight=w))
            * ((w > 0).sum() - 1)
            / ((w > 0).sum() - 6)
        ),
        {"num_regressors": 5},
    ),
    Case(metrics.PearsonCorrelation, SCORES, CHANCES, mean(along), digits=SINGLE),
    Case(metrics.PearsonCorrelation, QUANTITIES, GUESSES, pearson, {"axis": 0}),
    Case(
        metrics.ConcordanceCorrelation,
        SCORES,
        CHANCES,
        mean(along_concordance),
        digits=SINGLE,
    ),
    Case(metrics.ConcordanceCorrelation, QUANTITIES, GUESSES, concordance, {"axis": 0}),
]
DISTRIBUTIONS = [
    Case(
        metrics.BinaryCrossentropy,
        EVEN,
        YES,
        by_scikit(scikit.log_loss),
        digits=SINGLE,
    ),
    Case(
        metrics.CategoricalCrossentropy,
        ONE_HOT,
        SHARES,
        lambda t, p, w: scikit.log_loss(t.argmax(1), p, sample_weight=w),
        digits=SINGLE,
    ),
    Case(
        metrics.SparseCategoricalCrossentropy,
        CLASS,
        SCORES,
        lambda t, p, w: scikit.log_loss(
            t, np.exp(p) / np.exp(p).sum(1, keepdims=True), sample_weight=w
        ),
        LOGITS,
        SINGLE,
    ),
    Case(
        metrics.SparseCategoricalCrossentropy,
        CLASS,
        SHARES,
        lambda t, p, w: np.average(
            -np.log(p[np.arange(len(t)), t].astype(float)), weights=w * (t != 2)
        ),
        {"ignore_class": 2},
        SINGLE,
    ),
    Case(
        metrics.KLDivergence,
        SHARES[::-1],
        SHARES,
        mean(lambda t, p: (t * np.log(t / p)).sum(1)),
        digits=SINGLE,
    ),
    Case(
        metrics.Poisson,
        COUNTS,
        RATES,
        mean(lambda t, p: p - t * np.log(p + 1e-7)),
        digits=SINGLE,
    ),
    Case(
        metrics.Hinge,
        SIDES,
        SCORES[:, :1],
        by_scikit(scikit.hinge_loss),
        digits=SINGLE,
    ),
    Case(
        metrics.SquaredHinge,
        EVEN,
        SCORES[:, :1],
        mean(lambda t, p: np.maximum(0, 1 - (2 * t - 1) * p) ** 2),
        digits=SINGLE,
    ),
    Case(
        metrics.CategoricalHinge,
        ONE_HOT,
        SCORES,
        mean(
            lambda t, p: np.maximum(
                0, 1 + np.where(t == 1, 0, p).max(1) - (t * p).sum(1)
            )
        ),
        digits=SINGLE,
    ),
]
DECISIONS = [
    Case(metrics.TruePositives, EVEN, YES, count(1, 1)),
    Case(metrics.FalsePositives, EVEN, YES, count(0, 1)),
    Case(metrics.TrueNegatives, EVEN[:, 0], YES, count(0, 0)),
    Case(metrics.FalseNegatives, EVEN, YES, count(1, 0, 0.3), {"thresholds": 0.3}),
    Case(
        metrics.TruePositives,
        EVEN,
        YES,
        lambda t, p, w: [count(1, 1, level)(t, p, w) for level in (0.7, 0.2, 0.5)],
        {"thresholds": [0.7, 0.2, 0.5]},
    ),
    Case(
        metrics.TrueNegatives,
        EVEN,
        YES,
        lambda t, p, w: [count(0, 0, i / 40)(t, p, w) for i in range(41)],
        {"thresholds": [i / 40 for i in range(41)]},
    ),
    Case(metrics.Precision, EVEN, YES, decided(scikit.precision_score)),
    Case(
        metrics.Precision,
        EVEN,
        COARSE,
        decided(scikit.precision_score, 0.625),
        {"thresholds": 0.625},
    ),
    Case(
        metrics.Precision,
        ONE_HOT,
        CHANCES,
        lambda t, p, w: decided(scikit.precision_score)(t[:, 2], p[:, 2], w),
        {"class_id": 2},
    ),
    Case(
        metrics.Precision,
        MANY,
        np.round(CHANCES, 1),
        lambda t, p, w: among_columns(t, p, w, 2)[0],
        {"top_k": 2},
    ),
    Case(metrics.Recall, EVEN, YES, decided(scikit.recall_score)),
    Case(
        metrics.Recall,
        MANY,
        CHANCES,
        lambda t, p, w: among_columns(t, p, w, 3)[1],
        {"top_k": 3},
    ),
    Case(
        metrics.FBetaScore,
        EVEN,
        YES,
        lambda t, p, w: [decided(scikit.fbeta_score, beta=2.0)(t, p, w)],
        {"beta": 2.0, "threshold": 0.5},
    ),
    Case(
        metrics.FBetaScore,
        MANY,
        CHANCES,
        decided(scikit.fbeta_score, 0.4, beta=0.5, average=None),
        {"beta": 0.5, "threshold": 0.4},
    ),
]
DECISIONS += [
    Case(
        metrics.F1Score,
        ONE_HOT if average != "weighted" else CLASS,
        SHARES,
        largest(scikit.f1_score, average=average),
        {"average": average},
    )
    for average in (None, "micro", "macro", "weighted")
]
CURVES = [
    Case(metrics.ExactAUC, EVEN, YES, by_scikit(scikit.roc_auc_score)),
    Case(metrics.ExactAUC, EVEN, COARSE, by_scikit(scikit.roc_auc_score)),
    Case(
        metrics.ExactAUC,
        EVEN,
        COARSE * 20 - 10,
        by_scikit(scikit.average_precision_score),
        {"curve": "PR", "capacity": 200},
    ),
    # predictions between thresholds: nothing is lost
    Case(
        metrics.AUC,
        EVEN,
        COARSE,
        by_scikit(scikit.roc_auc_score),
        {"thresholds": [i / 16 for i in range(1, 16, 2)]},
    ),
    Case(
        metrics.AUC,
        EVEN,
        COARSE,
        by_scikit(scikit.average_precision_score),
        {
            "curve": "PR",
            "summation_method": "minoring",
            "thresholds": [i / 16 for i in range(1, 16, 2)],
        },
        digits=0.05,  # scikit-learn takes the right end of each piece
    ),
    Case(
        metrics.AUC,
        MANY,
        CHANCES,
        by_scikit(scikit.roc_auc_score),
        {"multi_label": True, "num_thresholds": 20_001},
        digits=1e-3,
    ),
    Case(
        metrics.AUC,
        EVEN,
        12 * COARSE - 6,
        by_scikit(scikit.roc_auc_score),
        {**LOGITS, "num_thresholds": 2001},
    ),
    Case(
        metrics.SensitivityAtSpecificity,
        EVEN,
        YES,
        best_point("specificity", 0.7, "recall"),
        {"specificity": 0.7},
    ),
    Case(
        metrics.SpecificityAtSensitivity,
        EVEN,
        YES,
        best_point("recall", 0.7, "specificity", 50),
        {"sensitivity": 0.7, "num_thresholds": 50},
    ),
    Case(
        metrics.PrecisionAtRecall,
        EVEN,
        YES,
        best_point("recall", 0.8, "precision"),
        {"recall": 0.8},
    ),
    Case(
        metrics.RecallAtPrecision,
        ONE_HOT,
        np.concatenate([YES] * CLASSES, axis=1),
        lambda t, p, w: best_point("precision", 0.3, "recall")(t[:, 1], p[:, 1], w),
        {"precision": 0.3, "class_id": 1},
    ),
]
MATRICES = [
    Case(metrics.ConfusionMatrix, CLASS, SHARES, largest(scikit.confusion_matrix)),
    Case(metrics.ConfusionMatrix, EVEN, YES, decided(scikit.confusion_matrix)),
    Case(
        metrics.ConfusionMatrix,
        CLASS,
        SAID,
        by_scikit(scikit.confusion_matrix, normalize="pred"),
        {"num_classes": CLASSES, "normalize": "pred"},
    ),
    Case(
        metrics.ConfusionMatrix,
        ONE_HOT,
        SHARES,
        largest(scikit.confusion_matrix, normalize="all"),
        {"normalize": "all"},
    ),
    Case(
        metrics.BalancedAccuracy, CLASS, SHARES, largest(scikit.balanced_accuracy_score)
    ),
    Case(
        metrics.BalancedAccuracy,
        EVEN,
        YES,
        decided(scikit.balanced_accuracy_score, 0.4),
        {"threshold": 0.4},
    ),
    Case(metrics.MatthewsCorrelation, CLASS, SHARES, largest(scikit.matthews_corrcoef)),
    Case(metrics.MatthewsCorrelation, EVEN, YES, decided(scikit.matthews_corrcoef)),
    Case(
        metrics.IoU,
        CLASS,
        SAID,
        jaccard([1, 3]),
        {"num_classes": CLASSES, "target_class_ids": [1, 3]},
    ),
    Case(
        metrics.IoU,
        CLASS,
        SAID,
        lambda t, p, w: jaccard([0, 1])(t, p, w * (t != 2)),
        {"num_classes": 4, "target_class_ids": [0, 1], "ignore_class": 2},
    ),
    Case(metrics.MeanIoU, CLASS, SAID, jaccard([0, 1, 2, 3]), {"num_classes": CLASSES}),
    Case(
        metrics.BinaryIoU,
        EVEN[:, 0],
        COARSE[:, 0],
        lambda t, p, w: jaccard([1])(t, p >= 0.5, w),
        {"target_class_ids": [1]},
    ),
    Case(
        metrics.OneHotIoU,
        ONE_HOT,
        SHARES,
        of_classes(jaccard([0, 2])),
        {"num_classes": CLASSES, "target_class_ids": [0, 2]},
    ),
    Case(
        metrics.OneHotMeanIoU,
        ONE_HOT,
        SHARES,
        of_classes(jaccard([0, 1, 2, 3])),
        {"num_classes": CLASSES},
    ),
]
CASES = [*MEANS, *QUANTITY, *DISTRIBUTIONS, *DECISIONS, *CURVES, *MATRICES]
