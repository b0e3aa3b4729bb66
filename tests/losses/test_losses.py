"""Losses: their names, their gradients where numbers run out, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chainrule import functional, losses
from chainrule.autodiff import grad
from chainrule.errors import ArgumentError, ShapeError
from tests.losses.cases import CLASS, ONE_HOT, SCORES, SHARES

KERAS_NAMES = {
    "mape": losses.MeanAbsolutePercentageError,
    "MSLE": losses.MeanSquaredLogarithmicError,
    "kld": losses.KLDivergence,
    "kullback_leibler_divergence": losses.KLDivergence,
    "logcosh": losses.LogCosh,
    "cosine_similarity": losses.CosineSimilarity,
    "CategoricalHinge": losses.CategoricalHinge,
    "categorical_generalized_cross_entropy": losses.CategoricalGeneralizedCrossEntropy,
}
ALIASES = {
    **KERAS_NAMES,
    "mse": losses.MeanSquaredError,
    "MSE": losses.MeanSquaredError,
    "mean_squared_error": losses.MeanSquaredError,
    "mae": losses.MeanAbsoluteError,
    "huber": losses.Huber,
    "bce": losses.BinaryCrossentropy,
    "binary_crossentropy": losses.BinaryCrossentropy,
    "BinaryCrossentropy": losses.BinaryCrossentropy,
    "categorical_crossentropy": losses.CategoricalCrossentropy,
    "sparse_categorical_crossentropy": losses.SparseCategoricalCrossentropy,
}


@pytest.mark.parametrize("alias", ALIASES)
def test_names_are_those_of_keras(alias: str) -> None:
    assert type(losses.get(alias)) is ALIASES[alias]


MEANINGS = [
    ((None, 1), (None, 1), losses.BinaryCrossentropy),
    ((None,), (None,), losses.BinaryCrossentropy),
    ((None,), (None, 10), losses.SparseCategoricalCrossentropy),
    ((None, 7), (None, 7, 10), losses.SparseCategoricalCrossentropy),
    ((None, 1), (None, 10), losses.SparseCategoricalCrossentropy),
    ((None, 10), (None, 10), losses.CategoricalCrossentropy),
]


@pytest.mark.parametrize(("true", "predicted", "kind"), MEANINGS)
@pytest.mark.parametrize("name", ["crossentropy", "ce"])
def test_crossentropy_means_what_the_shapes_say(
    true: Any, predicted: Any, kind: type[losses.Loss], name: str
) -> None:
    assert type(losses.resolve(name, true, predicted)) is kind
    assert type(losses.resolve("mse", true, predicted)) is losses.MeanSquaredError


def test_functions_and_instances_are_losses() -> None:
    def twice(y_true: Any, y_pred: Any) -> Any:
        return functional.mean(2 * functional.abs(y_true - y_pred), axis=-1)

    found = losses.get(twice)
    assert found.name == "twice"
    assert found([[1.0]], [[3.0]]).item() == 4.0
    loss = losses.Huber(0.5)
    assert losses.get(loss) is loss


# ---- where numbers run out -----------------------------------------------------------


@pytest.mark.parametrize("x", [-1e4, -200.0, -50.0, 0.0, 50.0, 200.0, 1e4])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_binary_from_logits_is_exact_everywhere(x: float, label: float) -> None:
    loss = losses.BinaryCrossentropy(from_logits=True)
    logits = functional.asarray([[x]], dtype="float32")
    exact = max(x, 0.0) - x * label + math.log1p(math.exp(-abs(x)))
    value = loss([[label]], logits).item()
    np.testing.assert_allclose(value, exact, rtol=1e-6, atol=2.0**-126)
    slope = grad(lambda x: loss([[label]], x))(logits).item()
    sigmoid = 1 / (1 + math.exp(-x)) if x > -700 else 0.0
    np.testing.assert_allclose(slope, sigmoid - label, rtol=1e-6, atol=1e-7)
    bend = grad(lambda x: functional.sum(grad(lambda x: loss([[label]], x))(x)))(logits)
    np.testing.assert_allclose(bend.item(), sigmoid * (1 - sigmoid), atol=1e-7)


@pytest.mark.parametrize("gap", [0.0, 10.0, 40.0, 80.0])
def test_a_softmax_that_is_sure_and_wrong_still_learns(gap: float) -> None:
    """Keras clips at 1e-7, from a gap of 16 on its gradient is 0."""
    loss = losses.SparseCategoricalCrossentropy()
    logits = functional.asarray([[gap, 0.0]], dtype="float32")
    value = loss([1], functional.softmax(logits)).item()
    np.testing.assert_allclose(value, gap + math.log1p(math.exp(-gap)), rtol=1e-5)
    slope = grad(lambda x: loss([1], functional.softmax(x)))(logits).numpy()
    right = 1 / (1 + math.exp(-gap))
    np.testing.assert_allclose(slope, [[right, -right]], rtol=1e-5)


@pytest.mark.parametrize("gap", [0.0, 10.0, 40.0, 80.0])
def test_a_sigmoid_that_is_sure_and_wrong_still_learns(gap: float) -> None:
    loss = losses.BinaryCrossentropy()
    logits = functional.asarray([[-gap]], dtype="float32")
    slope = grad(lambda x: loss([[1.0]], functional.sigmoid(x)))(logits).item()
    np.testing.assert_allclose(slope, -1 / (1 + math.exp(-gap)), rtol=1e-5)


@pytest.mark.parametrize("name", ["binary", "categorical", "sparse_categorical"])
def test_certain_predictions_have_finite_losses(name: str) -> None:
    loss = losses.get(f"{name}_crossentropy")
    y_true: Any = [0, 1] if name.startswith("sparse") else [[1.0, 0.0], [0.0, 1.0]]
    wrong = functional.asarray([[0.0, 1.0], [1.0, 0.0]])
    right = functional.asarray([[1.0, 0.0], [0.0, 1.0]])
    assert 16 < loss(y_true, wrong).item() < 90
    assert 0 <= loss(y_true, right).item() < 1e-6
    for predictions in (wrong, right):
        slope = grad(lambda p: loss(y_true, p))(predictions).numpy()
        assert np.all(np.isfinite(slope))


def test_large_logits_do_not_overflow() -> None:
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    logits = functional.asarray([[1e4, 0.0], [0.0, -1e4]])
    assert loss([1, 1], logits).item() == 1e4


@pytest.mark.parametrize("size", [0.0, 1e-4, 1e-2, 1.0, 30.0, 1e4])
def test_log_cosh_keeps_the_digits_of_small_and_large_errors(size: float) -> None:
    error = functional.asarray([[size]], dtype="float32")
    exact = size - math.log(2) if size > 20 else math.log(math.cosh(size))
    value = losses.LogCosh()([[0.0]], error).item()
    np.testing.assert_allclose(value, exact, rtol=2e-7, atol=1e-7 * size)
    slope = grad(lambda x: losses.LogCosh()([[0.0]], x))(error).item()
    np.testing.assert_allclose(slope, math.tanh(size), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("x", [-80.0, -20.0, 0.0, 20.0, 90.0])
def test_focal_losses_have_slopes_everywhere(gamma: float, x: float) -> None:
    logits = functional.asarray([[x, 0.0]], dtype="float32")
    one_hot = [[1.0, 0.0]]
    for from_logits in (True, False):
        for loss, last in [
            (losses.BinaryFocalCrossentropy, functional.sigmoid),
            (losses.CategoricalFocalCrossentropy, functional.softmax),
        ]:
            made = loss(gamma=gamma, from_logits=from_logits)
            end = (lambda p: p) if from_logits else last
            value = made(one_hot, end(logits)).item()
            slope = grad(lambda p, m=made, e=end: m(one_hot, e(p)))(logits).numpy()
            assert 0 <= value < 90
            assert np.isfinite(slope).all()
            assert x > -80 or slope[0, 0] < 0


def test_distributions_may_have_zeros() -> None:
    labels, shares = [[0.0, 1.0]], functional.asarray([[1.0, 0.0]])
    assert losses.KLDivergence()(labels, labels).item() == 0.0
    slope = grad(lambda p: losses.KLDivergence()(labels, p))(shares).numpy()
    assert np.isfinite(slope).all()
    noisy = losses.CategoricalGeneralizedCrossEntropy()
    assert np.isfinite(grad(lambda p: noisy([1], p))(shares).numpy()).all()


def test_a_vector_of_zeros_has_no_direction() -> None:
    loss = losses.CosineSimilarity()
    zeros = functional.zeros((1, 3))
    assert loss([[1.0, 2.0, 3.0]], zeros).item() == 0.0
    slope = grad(lambda p: loss([[1.0, 2.0, 3.0]], p))(zeros).numpy()
    assert np.isfinite(slope).all()


def test_circle_knows_samples_without_their_like() -> None:
    units = functional.asarray([[1.0, 0.0], [0.0, 1.0]])
    loss = losses.Circle()
    for labels in ([0, 1], [0, 0]):
        assert loss(labels, units).item() == 0.0
        slope = grad(lambda p, labels=labels: loss(labels, p))(units).numpy()
        np.testing.assert_array_equal(slope, 0.0)
    among = losses.circle([0], units[:1], [0, 1], units, remove_diagonal=False)
    assert among.item() > 0


def test_pinball_is_least_at_the_quantile() -> None:
    labels = np.arange(101.0)[:, None]
    loss = losses.Pinball(quantile=0.9)
    values = [loss(labels, np.full((101, 1), float(p))).item() for p in range(101)]
    assert int(np.argmin(values)) == 90


def test_means_leave_out_the_class_to_be_ignored() -> None:
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    half = np.full((4, 2), 0.5, "float32")
    np.testing.assert_allclose(loss([0, -1, -1, 1], half).item(), math.log(2))
    assert loss([-1, -1, -1, -1], half).item() == 0.0
    weighted = loss([0, -1, -1, 1], half, [3.0, 9.0, 9.0, 1.0]).item()
    np.testing.assert_allclose(weighted, 2 * math.log(2), rtol=1e-6)


# ---- shapes --------------------------------------------------------------------------


def test_a_column_goes_with_a_row() -> None:
    """Without care (3,) and (3, 1) would broadcast to (3, 3)."""
    row, column = np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [4.0]])
    for y_true, y_pred in [(row, column), (column, row), (column, column)]:
        expected = 0.0 if y_true is y_pred else 1 / 3
        value = losses.MeanSquaredError()(y_true, y_pred).item()
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_sequences_have_a_loss_at_each_place() -> None:
    labels = np.zeros((2, 3), "int64")
    shares = np.full((2, 3, 4), 0.25, "float32")
    loss = losses.SparseCategoricalCrossentropy(reduction="none")
    assert loss(labels, shares).shape == (2, 3)
    weighted = loss(labels, shares, np.array([1.0, 0.0])).numpy()
    np.testing.assert_allclose(weighted[0], math.log(4), rtol=1e-6)
    np.testing.assert_array_equal(weighted[1], 0)


def test_another_axis_may_hold_the_classes() -> None:
    moved = np.moveaxis(SHARES, 1, 0)
    loss = losses.SparseCategoricalCrossentropy(axis=0)
    same = losses.SparseCategoricalCrossentropy()
    np.testing.assert_allclose(
        loss(CLASS, moved).item(), same(CLASS, SHARES).item(), rtol=1e-6
    )


def test_weights_of_zero_count_nothing() -> None:
    loss = losses.MeanSquaredError(reduction="mean_with_sample_weight")
    assert loss([[1.0], [2.0]], [[0.0], [0.0]], [0.0, 0.0]).item() == 0.0


LESSONS = {
    "broadcast": (lambda: losses.get("mse")(np.ones((4, 2)), np.ones((4, 3))), "shape"),
    "sparse to dense": (
        lambda: losses.get("categorical_crossentropy")(CLASS, SHARES),
        "loss='sparse_categorical_crossentropy'",
    ),
    "dense to sparse": (
        lambda: losses.get("sparse_categorical_crossentropy")(ONE_HOT, SHARES),
        "loss='categorical_crossentropy'",
    ),
    "weights": (
        lambda: losses.get("mse")(ONE_HOT, SCORES, np.ones(3)),
        "one weight per sample",
    ),
    "weights of one number": (
        lambda: losses.Dice()(ONE_HOT, SCORES, np.ones(6)),
        "one weight per sample",
    ),
    "quantiles": (
        lambda: losses.Pinball([0.1, 0.9])(CLASS, SCORES),
        "give the last layer 2 units",
    ),
    "embeddings": (lambda: losses.Circle()(ONE_HOT, SCORES), "one label for each row"),
}


@pytest.mark.parametrize("lesson", LESSONS)
def test_shapes_that_do_not_fit_are_refused(lesson: str) -> None:
    call, text = LESSONS[lesson]
    with pytest.raises(ShapeError, match=text):
        call()


ARGUMENTS = {
    "name": (lambda: losses.get("binary_crossentrpy"), "'binary_crossentropy'"),
    "kind": (lambda: losses.get(3), "this is no loss"),
    "reduction": (lambda: losses.Huber(reduction="average"), "'sum_over_batch_size'"),
    "delta": (lambda: losses.Huber(delta=0.0), "delta > 0"),
    "quantile": (lambda: losses.Pinball(1.0), "0 < quantile < 1"),
    "q": (lambda: losses.CategoricalGeneralizedCrossEntropy(0.0), "0 < q <= 1"),
    "smoothing": (
        lambda: losses.BinaryCrossentropy(label_smoothing=1.5),
        "0 <= label_smoothing <= 1",
    ),
}


@pytest.mark.parametrize("lesson", ARGUMENTS)
def test_wrong_arguments_are_refused(lesson: str) -> None:
    make, text = ARGUMENTS[lesson]
    with pytest.raises(ArgumentError, match=text):
        make()
