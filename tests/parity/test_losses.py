"""Losses against Keras: every reduction, with weights and without."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from chainrule import losses
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
PAIRS = np.array([0, 0, 1, 1, 2, 0, 2])
UNITS = SHARES / np.linalg.norm(SHARES, axis=1, keepdims=True)
SMOOTH = {"label_smoothing": 0.1}
LOGITS = {"from_logits": True}
Q = {"q": 0.3}
# name, arguments, labels, predictions
LOSSES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("MeanSquaredError", {}, ONE_HOT, SHARES),
    ("MeanAbsoluteError", {}, ONE_HOT, SHARES),
    ("MeanAbsolutePercentageError", {}, UNITS, SHARES),
    ("MeanSquaredLogarithmicError", {}, ONE_HOT, SHARES),
    ("CosineSimilarity", {}, ONE_HOT, SHARES),
    ("Huber", {"delta": 0.3}, ONE_HOT, SHARES),
    ("LogCosh", {}, ONE_HOT, SHARES),
    ("Poisson", {}, ONE_HOT, SHARES),
    ("Hinge", {}, ONE_HOT, SHARES),
    ("SquaredHinge", {}, 2 * ONE_HOT - 1, SHARES),
    ("CategoricalHinge", {}, ONE_HOT, SHARES),
    ("KLDivergence", {}, SHARES[::-1], SHARES),
    ("BinaryCrossentropy", {}, ONE_HOT, SHARES),
    ("BinaryCrossentropy", LOGITS, ONE_HOT, SHARES),
    ("BinaryCrossentropy", SMOOTH, ONE_HOT, SHARES),
    ("BinaryFocalCrossentropy", {}, ONE_HOT, SHARES),
    ("BinaryFocalCrossentropy", {**LOGITS, **SMOOTH}, ONE_HOT, SHARES),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True}, ONE_HOT, SHARES),
    ("CategoricalCrossentropy", {}, ONE_HOT, SHARES),
    ("CategoricalCrossentropy", LOGITS, ONE_HOT, SHARES),
    ("CategoricalCrossentropy", SMOOTH, ONE_HOT, SHARES),
    ("CategoricalFocalCrossentropy", {}, ONE_HOT, SHARES),
    ("CategoricalFocalCrossentropy", {**LOGITS, **SMOOTH}, ONE_HOT, SHARES),
    ("SparseCategoricalCrossentropy", {}, CLASS, SHARES),
    ("SparseCategoricalCrossentropy", LOGITS, CLASS, SHARES),
    ("SparseCategoricalCrossentropy", {"ignore_class": 4}, CLASS, SHARES),
    ("CategoricalGeneralizedCrossEntropy", Q, CLASS, SHARES),
    ("Dice", {"axis": 1}, ONE_HOT, SHARES),
    ("Dice", {}, ONE_HOT, SHARES),
    ("Circle", {"gamma": 2.0}, PAIRS, UNITS),
    ("Circle", {"remove_diagonal": False}, PAIRS, UNITS),
]
weighted = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])


def array(x: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(x))


@pytest.mark.parametrize(("name", "arguments", "y_true", "y_pred"), LOSSES)
@weighted
def test_losses(
    name: str, arguments: Any, y_true: Any, y_pred: Any, weights: Any
) -> None:
    if name == "Dice" and "axis" not in arguments:
        weights = None  # one number for the whole batch
    for reduction in REDUCTIONS:
        ours = getattr(losses, name)(reduction=reduction, **arguments)
        theirs = getattr(keras.losses, name)(reduction=reduction, **arguments)
        expected = array(theirs(y_true, y_pred, weights))
        assert_close(ours(y_true, y_pred, weights).numpy(), expected, PARITY)


def test_tversky_weighs_as_the_paper_does() -> None:
    """Keras 3.15 exchanges the two weights; later versions do not."""
    ours = losses.Tversky(alpha=0.3, beta=0.7, axis=1)
    exchanged = keras.losses.Tversky(alpha=0.7, beta=0.3, axis=1)
    same = keras.losses.Tversky(alpha=0.3, beta=0.7, axis=1)
    values = [array(theirs(ONE_HOT, SHARES)) for theirs in (exchanged, same)]
    found = ours(ONE_HOT, SHARES).numpy()
    assert min(np.abs(found - value) for value in values) < 1e-5


def test_every_loss_of_keras_is_here() -> None:
    known = set(dir(losses)) | {"CTC", "ctc", "Reduction", "deserialize", "serialize"}
    names = {name for name in dir(keras.losses) if not name.startswith("_")}
    assert names <= known
