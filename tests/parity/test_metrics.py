"""Metrics against Keras, over two batches, with weights and without."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from chainrule import metrics
from tests.tolerances import PARITY, assert_close

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

# Keras converts its tensors in a way that NumPy warns of, and warns of weights for IoU.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are passing weight:UserWarning"),
]

ROWS, CLASSES = 24, 5
GENERATOR = np.random.default_rng(0)
SHARES = GENERATOR.uniform(0.01, 1, size=(ROWS, CLASSES)).astype("float32")
SHARES /= SHARES.sum(1, keepdims=True)
CHANCES = GENERATOR.uniform(0.01, 0.99, size=(ROWS, CLASSES)).astype("float32")
CLASS = GENERATOR.integers(0, CLASSES, ROWS)
SAID = GENERATOR.integers(0, CLASSES, ROWS)
ONE_HOT = np.eye(CLASSES, dtype="float32")[CLASS]
MANY = GENERATOR.integers(0, 2, (ROWS, CLASSES)).astype("float32")
WEIGHTS = GENERATOR.integers(0, 4, ROWS).astype("float32")
EVEN, YES = MANY[:, :1], CHANCES[:, :1]
LEVELS = [0.1, 0.35, 0.8]
Arguments = dict[str, Any]


def auc(**arguments: Any) -> tuple[str, Arguments, Any, Any]:
    return ("AUC", arguments, EVEN, YES)


METRICS: list[tuple[str, Arguments, Any, Any]] = [
    ("Accuracy", {}, ONE_HOT, MANY),
    ("BinaryAccuracy", {"threshold": 0.2}, ONE_HOT, SHARES),
    ("CategoricalAccuracy", {}, ONE_HOT, SHARES),
    ("SparseCategoricalAccuracy", {}, CLASS, SHARES),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT, SHARES),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, CLASS, SHARES),
    ("MeanSquaredError", {}, ONE_HOT, SHARES),
    ("RootMeanSquaredError", {}, ONE_HOT, SHARES),
    ("MeanAbsoluteError", {}, ONE_HOT, SHARES),
    ("MeanAbsolutePercentageError", {}, CHANCES, SHARES),
    ("MeanSquaredLogarithmicError", {}, ONE_HOT, SHARES),
    ("LogCoshError", {}, ONE_HOT, SHARES),
    ("CosineSimilarity", {}, ONE_HOT, SHARES),
    ("R2Score", {}, CHANCES, SHARES),
    ("R2Score", {"class_aggregation": None}, CHANCES, SHARES),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, CHANCES, SHARES),
    ("PearsonCorrelation", {}, CHANCES, SHARES),
    ("ConcordanceCorrelation", {}, CHANCES, SHARES),
    ("BinaryCrossentropy", {}, ONE_HOT, SHARES),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT, SHARES),
    ("SparseCategoricalCrossentropy", {}, CLASS, SHARES),
    ("KLDivergence", {}, SHARES[::-1], SHARES),
    ("Poisson", {}, MANY, SHARES),
    ("Hinge", {}, MANY, SHARES),
    ("SquaredHinge", {}, MANY, SHARES),
    ("CategoricalHinge", {}, ONE_HOT, SHARES),
    ("TruePositives", {}, MANY, CHANCES),
    ("FalsePositives", {"thresholds": LEVELS}, MANY, CHANCES),
    ("TrueNegatives", {"thresholds": 0.3}, EVEN, YES),
    ("FalseNegatives", {"thresholds": LEVELS}, EVEN, YES),
    ("Precision", {}, EVEN, YES),
    ("Precision", {"top_k": 2}, MANY, CHANCES),
    ("Precision", {"top_k": 3, "thresholds": 0.6}, MANY, CHANCES),
    ("Precision", {"top_k": 3, "class_id": 1}, MANY, CHANCES),
    ("Recall", {"class_id": 2}, MANY, CHANCES),
    ("Recall", {"thresholds": LEVELS}, MANY, CHANCES),
    ("FBetaScore", {"beta": 2.0, "threshold": 0.4}, MANY, CHANCES),
    ("F1Score", {}, ONE_HOT, SHARES),
    ("F1Score", {"average": "micro"}, ONE_HOT, SHARES),
    ("F1Score", {"average": "macro"}, ONE_HOT, SHARES),
    ("F1Score", {"average": "weighted", "threshold": 0.3}, MANY, CHANCES),
    auc(),
    auc(num_thresholds=11),
    auc(thresholds=LEVELS),
    auc(from_logits=True),
    auc(curve="PR"),
    auc(curve="PR", summation_method="minoring"),
    auc(curve="PR", thresholds=LEVELS, summation_method="majoring"),
    auc(curve="PRGAIN"),
    auc(curve="PRGAIN", summation_method="minoring"),
    auc(summation_method="majoring", num_thresholds=7),
    ("AUC", {"multi_label": True}, MANY, CHANCES),
    ("AUC", {"multi_label": True, "curve": "PR", "num_labels": 5}, MANY, CHANCES),
    (
        "AUC",
        {"multi_label": True, "label_weights": [1.0, 0.0, 2.0, 1.0, 1.0]},
        MANY,
        CHANCES,
    ),
    ("SensitivityAtSpecificity", {"specificity": 0.6}, EVEN, YES),
    ("SpecificityAtSensitivity", {"sensitivity": 0.6, "class_id": 2}, MANY, CHANCES),
    ("PrecisionAtRecall", {"recall": 0.7, "num_thresholds": 30}, EVEN, YES),
    ("RecallAtPrecision", {"precision": 0.6}, EVEN, YES),
    ("RecallAtPrecision", {"precision": 0.1, "num_thresholds": 1}, EVEN, YES),
    ("IoU", {"num_classes": 5, "target_class_ids": [0, 2]}, CLASS, SAID),
    ("BinaryIoU", {"threshold": 0.3}, EVEN, YES),
    ("MeanIoU", {"num_classes": 5}, CLASS, SAID),
    ("MeanIoU", {"num_classes": 5, "ignore_class": 1}, CLASS, SAID),
    ("OneHotIoU", {"num_classes": 5, "target_class_ids": [1]}, ONE_HOT, SHARES),
    ("OneHotMeanIoU", {"num_classes": 5}, ONE_HOT, SHARES),
]
weighted = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])


@pytest.mark.parametrize(("name", "arguments", "y_true", "y_pred"), METRICS)
@weighted
def test_metrics(
    name: str, arguments: Any, y_true: Any, y_pred: Any, weights: Any
) -> None:
    ours = getattr(metrics, name)(**arguments)
    theirs = getattr(keras.metrics, name)(**arguments)
    assert ours.name == theirs.name.rstrip("_0123456789") or name in ("F1Score",)
    for rows in (slice(0, 7), slice(7, ROWS)):
        share = None if weights is None else weights[rows]
        ours.update_state(y_true[rows], y_pred[rows], share)
        theirs.update_state(y_true[rows], y_pred[rows], share)
    expected = np.asarray(keras.ops.convert_to_numpy(theirs.result()), "float32")
    assert_close(ours.result().numpy().astype("float32"), expected, PARITY)


@weighted
def test_means_and_sums(weights: Any) -> None:
    for name in ("Mean", "Sum"):
        ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
        ours.update_state(YES[:, 0], weights)
        theirs.update_state(YES[:, 0], weights)
        expected = np.asarray(keras.ops.convert_to_numpy(theirs.result()), "float32")
        assert_close(ours.result().numpy().astype("float32"), expected, PARITY)


def test_every_metric_of_keras_is_here() -> None:
    names = {name for name in dir(keras.metrics) if not name.startswith("_")}
    assert names <= set(dir(metrics)) | {"deserialize", "serialize"}
