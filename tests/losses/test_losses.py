"""Losses: their values, their reductions, their gradients where numbers run out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from chainrule import functional, losses
from chainrule.autodiff import grad
from chainrule.errors import ArgumentError, ShapeError
from chainrule.jit import jit
from chainrule.losses import Loss
from tests.tolerances import DIFFERENCES, assert_close, assert_compiled

Array = np.ndarray[Any, Any]
ROWS, CLASSES = 6, 4
GENERATOR = np.random.default_rng(3)
SCORES = GENERATOR.normal(size=(ROWS, CLASSES))
SHARES = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
CLASS = GENERATOR.integers(0, CLASSES, ROWS)
ONE_HOT = np.eye(CLASSES)[CLASS]
WEIGHTS = GENERATOR.uniform(size=ROWS)


def cross_entropy(labels: Array, shares: Array) -> Array:
    return -(labels * np.log(shares)).sum(1)


def binary(labels: Array, p: Array) -> Array:
    return -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean(1)


def huber(e: Array, delta: float) -> Array:
    big = delta * np.abs(e) - delta**2 / 2
    return np.where(np.abs(e) <= delta, e * e / 2, big).mean(1)


@dataclass(frozen=True)
class Case:
    """A loss, its arguments, labels and predictions, and the values in float64."""

    make: Callable[..., Loss]
    arguments: dict[str, Any]
    y_true: Array
    y_pred: Array
    expected: Array

    def loss(self, **options: Any) -> Loss:
        return self.make(**self.arguments, **options)

    def __str__(self) -> str:
        name = getattr(self.make, "__name__", "")
        return f"{name}({', '.join(f'{k}={v}' for k, v in self.arguments.items())})"


SMOOTH = ONE_HOT * 0.8 + 0.2 / CLASSES
HALFWAY = ONE_HOT * 0.8 + 0.1
SIGMOID = 1 / (1 + np.exp(-SCORES))
ERROR = ONE_HOT - SCORES
LOGITS = {"from_logits": True}
CASES = [
    Case(losses.MeanSquaredError, {}, ONE_HOT, SCORES, (ERROR**2).mean(1)),
    Case(losses.MeanAbsoluteError, {}, ONE_HOT, SCORES, np.abs(ERROR).mean(1)),
    Case(losses.Huber, {}, ONE_HOT, SCORES, huber(ERROR, 1.0)),
    Case(losses.Huber, {"delta": 0.3}, ONE_HOT, SCORES, huber(ERROR, 0.3)),
    Case(losses.BinaryCrossentropy, {}, ONE_HOT, SIGMOID, binary(ONE_HOT, SIGMOID)),
    Case(losses.BinaryCrossentropy, LOGITS, ONE_HOT, SCORES, binary(ONE_HOT, SIGMOID)),
    Case(
        losses.BinaryCrossentropy,
        {"label_smoothing": 0.2},
        ONE_HOT,
        SIGMOID,
        binary(HALFWAY, SIGMOID),
    ),
    Case(
        losses.CategoricalCrossentropy,
        {},
        ONE_HOT,
        SHARES,
        cross_entropy(ONE_HOT, SHARES),
    ),
    Case(
        losses.CategoricalCrossentropy,
        LOGITS,
        ONE_HOT,
        SCORES,
        cross_entropy(ONE_HOT, SHARES),
    ),
    Case(
        losses.CategoricalCrossentropy,
        {"label_smoothing": 0.2},
        ONE_HOT,
        SHARES * 3,
        cross_entropy(SMOOTH, SHARES),
    ),
    Case(
        losses.SparseCategoricalCrossentropy,
        {},
        CLASS,
        SHARES,
        cross_entropy(ONE_HOT, SHARES),
    ),
    Case(
        losses.SparseCategoricalCrossentropy,
        LOGITS,
        CLASS[:, None],
        SCORES,
        cross_entropy(ONE_HOT, SHARES),
    ),
    Case(
        losses.SparseCategoricalCrossentropy,
        {"ignore_class": int(CLASS[0])},
        CLASS,
        SHARES,
        cross_entropy(ONE_HOT, SHARES) * (CLASS[0] != CLASS),
    ),
    Case(
        losses.LossFunctionWrapper,
        {"fn": losses.mean_squared_error},
        ONE_HOT,
        SCORES,
        (ERROR**2).mean(1),
    ),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def test_every_loss_has_a_case() -> None:
    classes = {
        entry
        for entry in vars(losses).values()
        if isinstance(entry, type) and issubclass(entry, Loss)
    }
    assert {type(case.loss()) for case in CASES} == classes - {Loss}


@every_case
def test_values_of_each_sample(case: Case) -> None:
    loss = case.loss(reduction="none")
    assert_close(loss(case.y_true, case.y_pred).numpy(), case.expected)
    single = case.y_pred.astype("float32")
    assert_close(loss(case.y_true, single).numpy(), case.expected.astype("float32"))


@every_case
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_reductions(case: Case, weights: Array | None) -> None:
    values = case.expected * (1 if weights is None else weights)
    whole = len(values) if weights is None else weights.sum()
    expected = {
        "sum": values.sum(),
        "mean": values.mean(),
        "sum_over_batch_size": values.mean(),
        "mean_with_sample_weight": values.sum() / whole,
        "none": values,
        None: values,
    }
    for reduction, value in expected.items():
        actual = case.loss(reduction=reduction)(case.y_true, case.y_pred, weights)
        assert_close(actual.numpy(), np.asarray(value))


@every_case
def test_config_makes_an_equal_loss(case: Case) -> None:
    loss = case.loss(name="here", reduction="sum")
    config = json.loads(json.dumps(loss.get_config()))
    again = losses.get({"class_name": type(loss).__name__, "config": config})
    assert again.get_config() == loss.get_config()
    assert eval(repr(loss), vars(losses)).get_config() == loss.get_config()


@every_case
def test_compiled_agrees_with_eager(case: Case) -> None:
    loss = case.loss()
    y_pred = case.y_pred.astype("float32")
    eager = loss(case.y_true, y_pred, WEIGHTS).numpy()
    compiled = jit(lambda t, p, w: loss(t, p, w))(case.y_true, y_pred, WEIGHTS)
    assert_compiled(compiled.numpy(), eager)


@every_case
def test_gradients_are_those_of_differences(case: Case) -> None:
    loss = case.loss()
    direction = np.random.default_rng(9).normal(size=case.y_pred.shape)
    slope = grad(lambda p: loss(case.y_true, p, WEIGHTS))(
        functional.asarray(case.y_pred)
    )
    small = 1e-6
    ends = [
        loss(case.y_true, case.y_pred + step * direction, WEIGHTS).item()
        for step in (small, -small)
    ]
    exact = np.sum(slope.numpy() * direction)
    assert_close(
        np.float64(exact), np.float64((ends[0] - ends[1]) / (2 * small)), DIFFERENCES
    )


ALIASES = {
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
