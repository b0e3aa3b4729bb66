"""Losses and metrics against Keras: every reduction, with weights and without."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from chainrule import losses, metrics
from tests.tolerances import PARITY, assert_close

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

# Keras converts its tensors in a way that NumPy warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

ROWS, CLASSES = 7, 5
GENERATOR = np.random.default_rng(0)
SHARES = GENERATOR.uniform(0.01, 1, size=(ROWS, CLASSES)).astype("float32")
SHARES /= SHARES.sum(1, keepdims=True)
CLASS = GENERATOR.integers(0, CLASSES, ROWS)
ONE_HOT = np.eye(CLASSES, dtype="float32")[CLASS]
WEIGHTS = GENERATOR.uniform(size=ROWS).astype("float32")
REDUCTIONS = [
    "sum_over_batch_size",
    "sum",
    "mean",
    "mean_with_sample_weight",
    "none",
    None,
]
LOSSES: list[tuple[str, dict[str, Any], Any]] = [
    ("MeanSquaredError", {}, ONE_HOT),
    ("MeanAbsoluteError", {}, ONE_HOT),
    ("Huber", {"delta": 0.3}, ONE_HOT),
    ("BinaryCrossentropy", {}, ONE_HOT),
    ("BinaryCrossentropy", {"from_logits": True}, ONE_HOT),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, ONE_HOT),
    ("CategoricalCrossentropy", {}, ONE_HOT),
    ("CategoricalCrossentropy", {"from_logits": True}, ONE_HOT),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT),
    ("SparseCategoricalCrossentropy", {}, CLASS),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, CLASS),
]
METRICS: list[tuple[str, dict[str, Any], Any]] = [
    ("Accuracy", {}, ONE_HOT),
    ("BinaryAccuracy", {"threshold": 0.2}, ONE_HOT),
    ("CategoricalAccuracy", {}, ONE_HOT),
    ("SparseCategoricalAccuracy", {}, CLASS),
    ("MeanSquaredError", {}, ONE_HOT),
    ("RootMeanSquaredError", {}, ONE_HOT),
    ("MeanAbsoluteError", {}, ONE_HOT),
    ("BinaryCrossentropy", {}, ONE_HOT),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT),
    ("SparseCategoricalCrossentropy", {}, CLASS),
]
weighted = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])


def array(x: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(x))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "arguments", "y_true"), LOSSES)
@weighted
def test_losses(
    name: str, arguments: Any, y_true: Any, reduction: str | None, weights: Any
) -> None:
    ours = getattr(losses, name)(reduction=reduction, **arguments)
    theirs = getattr(keras.losses, name)(reduction=reduction, **arguments)
    expected = array(theirs(y_true, SHARES, weights))
    assert_close(ours(y_true, SHARES, weights).numpy(), expected, PARITY)


@pytest.mark.parametrize(("name", "arguments", "y_true"), METRICS)
@weighted
def test_metrics(name: str, arguments: Any, y_true: Any, weights: Any) -> None:
    ours = getattr(metrics, name)(**arguments)
    theirs = getattr(keras.metrics, name)(**arguments)
    for rows in (slice(0, 3), slice(3, ROWS)):
        share = None if weights is None else weights[rows]
        ours.update_state(y_true[rows], SHARES[rows], share)
        theirs.update_state(y_true[rows], SHARES[rows], share)
    assert_close(ours.result().numpy(), array(theirs.result()), PARITY)
