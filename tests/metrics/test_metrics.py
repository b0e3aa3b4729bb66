"""Metrics: what names mean, what they refuse, and their edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as scikit

from chainrule import functional, metrics
from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.metrics import Metric
from tests.metrics.cases import CLASS, EVEN, MANY, ONE_HOT, SCORES, SHARES, YES


def test_a_mean_weighs_its_values() -> None:
    metric = metrics.Mean()
    metric.update_state([1.0, 3.0], sample_weight=[3.0, 1.0])
    assert metric.result().item() == 1.5


def test_functions_are_metrics() -> None:
    def worst(y_true: Any, y_pred: Any) -> Any:
        return functional.max(functional.abs(y_true - y_pred), axis=-1)

    metric = metrics.resolve(worst, (None, 2), (None, 2))
    assert metric.name == "worst"
    assert metric([[0.0, 0.0]], [[1.0, 4.0]]).item() == 4.0


MEANINGS = [
    ((None, 1), (None, 1), metrics.BinaryAccuracy),
    ((None,), (None, 1), metrics.BinaryAccuracy),
    ((None,), (None,), metrics.BinaryAccuracy),
    ((None,), (None, 10), metrics.SparseCategoricalAccuracy),
    ((None, 1), (None, 10), metrics.SparseCategoricalAccuracy),
    ((None, 7), (None, 7, 10), metrics.SparseCategoricalAccuracy),
    ((None, 10), (None, 10), metrics.CategoricalAccuracy),
]


@pytest.mark.parametrize(("true", "predicted", "kind"), MEANINGS)
@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_accuracy_means_what_the_shapes_say(
    true: Any, predicted: Any, kind: type[Metric], name: str
) -> None:
    metric = metrics.resolve(name, true, predicted)
    assert type(metric) is kind
    assert metric.name == name


def test_a_logit_above_zero_is_a_yes() -> None:
    metric = metrics.resolve("accuracy", (None, 1), (None, 1), from_logits=True)
    assert metric([[1.0], [0.0]], [[0.1], [-0.1]]).item() == 1.0


def test_a_metric_is_reported_under_the_name_it_was_given() -> None:
    assert metrics.resolve("mse", (None, 2), (None, 2)).name == "mse"
    assert metrics.get("mse").name == "mean_squared_error"


NAMES = {
    "auc": metrics.AUC,
    "AUC": metrics.AUC,
    "f1_score": metrics.F1Score,
    "fbeta_score": metrics.FBetaScore,
    "r2_score": metrics.R2Score,
    "mape": metrics.MeanAbsolutePercentageError,
    "MSLE": metrics.MeanSquaredLogarithmicError,
    "kl_divergence": metrics.KLDivergence,
    "top_k_categorical_accuracy": metrics.TopKCategoricalAccuracy,
    "binary_io_u": metrics.BinaryIoU,
    "cosine_similarity": metrics.CosineSimilarity,
    "precision": metrics.Precision,
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_of_keras(name: str) -> None:
    assert type(metrics.get(name)) is NAMES[name]
    assert metrics.resolve(name, (None, 4), (None, 4)).name == name


ENTROPIES = [
    ((None, 1), (None, 1), metrics.BinaryCrossentropy),
    ((None,), (None, 10), metrics.SparseCategoricalCrossentropy),
    ((None, 10), (None, 10), metrics.CategoricalCrossentropy),
]


@pytest.mark.parametrize(("true", "predicted", "kind"), ENTROPIES)
def test_crossentropy_means_what_the_shapes_say(
    true: Any, predicted: Any, kind: type[Metric]
) -> None:
    metric = metrics.resolve("crossentropy", true, predicted, from_logits=True)
    assert type(metric) is kind
    assert metric.get_config()["from_logits"]


def test_names_are_fit_for_logits_and_for_one_output() -> None:
    one, many = (None, 1), (None, 3)
    logits = {"from_logits": True}
    assert metrics.resolve("auc", one, one, **logits).get_config()["from_logits"]
    for name in ("precision", "true_positives"):
        found = metrics.resolve(name, one, one, **logits).get_config()
        assert found["thresholds"] == 0.0
        assert metrics.resolve(name, one, one).get_config()["thresholds"] is None
    threshold = {
        (shape, from_logits): metrics.resolve(
            "f1_score", shape, shape, from_logits
        ).get_config()["threshold"]
        for shape in (one, many)
        for from_logits in (False, True)
    }
    assert threshold == {
        (one, False): 0.5,
        (one, True): 0.0,
        (many, False): None,
        (many, True): None,
    }


# ---- edges ---------------------------------------------------------------------------


def test_a_metric_made_by_hand_is_left_as_it_is() -> None:
    given = metrics.Precision(thresholds=0.7)
    assert metrics.resolve(given, (None, 1), (None, 1), from_logits=True) is given


@pytest.mark.parametrize("summation", ["interpolation", "minoring", "majoring"])
@pytest.mark.parametrize("curve", ["ROC", "PR"])
def test_many_labels_have_the_mean_of_their_areas(curve: str, summation: str) -> None:
    options: Any = {"curve": curve, "summation_method": summation}
    weights = [1.0, 2.0, 0.0, 1.0]
    together = metrics.AUC(multi_label=True, label_weights=weights, **options)
    areas = [metrics.AUC(**options)(MANY[:, i], SHARES[:, i]).item() for i in range(4)]
    found = together(MANY, SHARES).item()
    np.testing.assert_allclose(found, np.average(areas, weights=weights), rtol=1e-12)


def test_label_weights_weigh_columns_that_are_counted_together() -> None:
    plain, weighted = metrics.AUC(), metrics.AUC(label_weights=[1.0, 0.0, 0.0, 0.0])
    expected = plain(MANY[:, 0], SHARES[:, 0]).item()
    assert weighted(MANY, SHARES).item() == expected


@pytest.mark.parametrize("thresholds", [50, 200, 1000])
def test_the_error_of_an_area_is_within_its_bound(thresholds: int) -> None:
    random = np.random.default_rng(thresholds)
    labels = random.integers(0, 2, 3000)
    scores = np.clip(random.normal(0.4 + 0.2 * labels, 0.1), 0, 1).astype("float32")
    metric = metrics.AUC(num_thresholds=thresholds)
    state = metric.update(metric.init(), labels, scores)
    sides = state["counts"].numpy().reshape(2, -1)
    bound = (sides[0] * sides[1]).sum() / 2 / sides[0].sum() / sides[1].sum()
    exact = scikit.roc_auc_score(labels, scores)
    assert abs(metric.compute(state).item() - exact) <= bound
    kept = metrics.ExactAUC()(labels, scores).item()
    np.testing.assert_allclose(kept, exact, rtol=1e-14)


@pytest.mark.parametrize(
    "metric", [metrics.AUC(), metrics.RecallAtPrecision(0.5)], ids=str
)
@pytest.mark.parametrize("wrong", [1.5, -0.1, math.nan])
def test_what_is_no_probability_is_refused(metric: Metric, wrong: float) -> None:
    metric.reset_state()
    metric.update_state([1.0, 0.0], [0.9, 0.1])
    metric.result()
    metric.update_state([1.0, 0.0], [wrong, 0.1])
    with pytest.raises(DataError, match="must be probabilities"):
        metric.result()


def test_more_predictions_than_are_kept_are_refused() -> None:
    metric = metrics.ExactAUC(capacity=4)
    metric.update_state([1.0, 0.0, 1.0], [0.9, 0.1, 0.5])
    assert metric.result().item() == 1.0
    metric.update_state([1.0, 0.0], [0.2, 0.3])
    with pytest.raises(DataError, match=r"ExactAUC\(capacity=5\)"):
        metric.result()


def test_the_exact_area_of_what_is_no_number_is_none() -> None:
    metric = metrics.ExactAUC()
    assert math.isnan(metric([1.0, 0.0, 1.0], [0.9, math.nan, 0.5]).item())
    metric.reset_state()
    assert math.isnan(metric([1.0, 1.0], [0.9, 0.5]).item())


def test_labels_of_minus_one_are_a_no() -> None:
    sides = 2 * EVEN - 1
    for metric in (metrics.AUC(), metrics.Precision(), metrics.ExactAUC()):
        found = metric(sides, YES).item()
        metric.reset_state()
        assert found == metric(EVEN, YES).item()


def test_a_score_that_is_no_number_is_not_among_the_first() -> None:
    metric = metrics.SparseTopKCategoricalAccuracy(k=2)
    assert metric([0, 1], [[math.nan, 0.1, 0.2], [0.0, 0.3, 0.2]]).item() == 0.5


def test_large_whole_numbers_are_told_apart() -> None:
    assert metrics.Accuracy()([2**24 + 1], [2**24]).item() == 0.0


def test_r2_of_labels_far_from_zero_keeps_its_digits() -> None:
    random = np.random.default_rng(0)
    labels = 1e6 + random.normal(size=(300, 1))
    guesses = labels + random.normal(0, 0.5, size=(300, 1))
    metric = metrics.R2Score()
    for rows in np.split(np.arange(300), [11, 130]):
        metric.update_state(labels[rows], guesses[rows])
    expected = scikit.r2_score(labels, guesses)
    np.testing.assert_allclose(metric.result().item(), expected, rtol=1e-9)


def test_r2_of_equal_labels_is_that_of_scikit() -> None:
    for guesses in ([2.0, 2.0], [1.0, 2.0]):
        expected = scikit.r2_score([2.0, 2.0], guesses)
        assert metrics.R2Score()([2.0, 2.0], guesses).item() == expected


def test_too_few_rows_are_not_adjusted_for() -> None:
    plain, adjusted = metrics.R2Score(), metrics.R2Score(num_regressors=2)
    labels, guesses = [1.0, 2.0, 4.0], [1.5, 2.0, 3.0]
    assert adjusted(labels, guesses).item() == plain(labels, guesses).item()


def test_absent_classes_are_left_out() -> None:
    labels, said = np.array([0, 0, 2]), np.array([0, 2, 2])
    balanced = metrics.BalancedAccuracy(num_classes=4)(labels, said).item()
    expected = scikit.balanced_accuracy_score(labels, [0, 2, 2])
    np.testing.assert_allclose(balanced, expected, rtol=1e-14)
    over = metrics.MeanIoU(num_classes=4)(labels, said).item()
    np.testing.assert_allclose(over, 0.5, rtol=1e-14)
    guess = metrics.MatthewsCorrelation(num_classes=4)(labels, [0, 0, 0]).item()
    assert guess == 0.0


def test_a_sum_adds_what_it_is_given() -> None:
    metric = metrics.Sum()
    metric.update_state([[1.0, 2.0], [3.0, 4.0]], [1.0, 0.5])
    metric.update_state(2.0)
    assert metric.result().item() == 8.5
    metric.reset_state()
    assert metric.result().item() == 0.0


UNKNOWN_SIZES = [
    metrics.R2Score(),
    metrics.F1Score(),
    metrics.AUC(multi_label=True),
    metrics.ConfusionMatrix(),
    metrics.PearsonCorrelation(axis=0),
]


@pytest.mark.parametrize("metric", UNKNOWN_SIZES, ids=str)
def test_a_size_that_is_not_known_is_asked_for(metric: Metric) -> None:
    with pytest.raises(ArgumentError, match=r"metric\.build"):
        metric.init()


LESSONS: dict[str, tuple[Any, str]] = {
    "one output": (
        lambda: metrics.F1Score().build((None, 1), (None, 1)),
        r"F1Score\(threshold=0\.5\)",
    ),
    "one number": (
        lambda: metrics.PearsonCorrelation().build((None, 1), (None, 1)),
        r"PearsonCorrelation\(axis=0\)",
    ),
    "threshold": (lambda: metrics.Precision(thresholds=1.5), "0 to 1"),
    "thresholds": (lambda: metrics.AUC(thresholds=[0.5, -1.0]), "0 to 1"),
    "few": (lambda: metrics.AUC(num_thresholds=1), "num_thresholds >= 2"),
    "curve": (lambda: metrics.AUC(curve="roc curve"), "'PR'"),
    "summation": (lambda: metrics.AUC(summation_method="mean"), "'minoring'"),
    "labels": (lambda: metrics.AUC(num_labels=3), "multi_label=True"),
    "kept": (lambda: metrics.ExactAUC(capacity=0), "capacity >= 1"),
    "rate": (lambda: metrics.PrecisionAtRecall(1.5), "recall=1.5"),
    "average": (lambda: metrics.F1Score(average="mean"), "'macro'"),
    "beta": (lambda: metrics.FBetaScore(beta=0.0), "beta > 0"),
    "aggregation": (lambda: metrics.R2Score("mean"), "'uniform_average'"),
    "regressors": (lambda: metrics.R2Score(num_regressors=-1), ">= 0"),
    "class": (lambda: metrics.IoU(3, [3]), "0 to 2"),
    "normalize": (lambda: metrics.ConfusionMatrix("rows"), "'true'"),
    "k": (lambda: metrics.TopKCategoricalAccuracy(k=0), "k >= 1"),
    "columns": (lambda: metrics.Precision(top_k=9)(ONE_HOT, SCORES), "top_k=9"),
}


@pytest.mark.parametrize("lesson", LESSONS)
def test_wrong_arguments_are_refused(lesson: str) -> None:
    make, text = LESSONS[lesson]
    with pytest.raises((ArgumentError, ShapeError), match=text):
        make()


SHAPES: dict[str, Any] = {
    "class numbers": lambda: metrics.CategoricalAccuracy()(CLASS, SCORES),
    "one-hot": lambda: metrics.SparseCategoricalAccuracy()(ONE_HOT, SCORES),
    "rows": lambda: metrics.AUC()(EVEN[:5], YES),
    "weights": lambda: metrics.Recall()(EVEN, YES, np.ones(3)),
    "column": lambda: metrics.Recall(class_id=1)(EVEN, YES),
    "matrix": lambda: metrics.ConfusionMatrix()(CLASS[:5], SCORES),
    "matrix weights": lambda: metrics.ConfusionMatrix()(CLASS, SCORES, [1.0, 2.0]),
    "over": lambda: metrics.MeanIoU(4)(CLASS[:5], CLASS),
    "f": lambda: metrics.F1Score()(MANY[:, :2], SCORES),
    "rank": lambda: metrics.R2Score()(np.ones((2, 3, 4)), np.ones((2, 3, 4))),
}


@pytest.mark.parametrize("lesson", SHAPES)
def test_shapes_that_do_not_fit_are_refused(lesson: str) -> None:
    with pytest.raises(ShapeError):
        SHAPES[lesson]()


def test_labels_that_are_no_classes_are_refused() -> None:
    metric = metrics.ConfusionMatrix(num_classes=3)
    metric.update_state(CLASS, np.zeros_like(CLASS))
    with pytest.raises(DataError, match="0 to 2"):
        metric.result()


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'binary_accuracy'"):
        metrics.get("binary_acuracy")
    with pytest.raises(ShapeError, match="one weight per sample"):
        metrics.Mean()([1.0, 2.0], sample_weight=[1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match="shape"):
        metrics.MeanSquaredError()(np.ones((4, 2)), np.ones((4, 3)))


@pytest.mark.parametrize("sides", [EVEN, 2 * EVEN - 1])
def test_accuracy_of_a_margin_is_on_either_side_of_zero(sides: Any) -> None:
    found = metrics.BinaryAccuracy(threshold=0.0)(sides, YES - 0.5).item()
    assert found == np.mean((YES > 0.5) == (EVEN == 1))
