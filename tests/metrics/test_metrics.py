"""Metrics: their values over batches, their configs, and what `accuracy` means."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from chainrule import functional, metrics
from chainrule.errors import ArgumentError, ShapeError
from chainrule.ir import tree
from chainrule.jit import jit
from chainrule.metrics import Metric
from tests.tolerances import assert_close, assert_compiled

Array = np.ndarray[Any, Any]
ROWS, CLASSES = 50, 4
GENERATOR = np.random.default_rng(3)
SCORES = GENERATOR.normal(size=(ROWS, CLASSES)).astype("float32")
SHARES = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
CLASS = GENERATOR.integers(0, CLASSES, ROWS)
ONE_HOT = np.eye(CLASSES, dtype="float32")[CLASS]
WEIGHTS = GENERATOR.uniform(size=ROWS).astype("float32")
SAID = SCORES.argmax(1)
EVEN = (CLASS % 2 == 0).astype("float32")[:, None]
YES = GENERATOR.uniform(size=(ROWS, 1)).astype("float32")


@dataclass(frozen=True)
class Case:
    """A metric, labels and predictions, and the value of each sample."""

    make: Callable[..., Metric]
    y_true: Array
    y_pred: Array
    expected: Array
    arguments: dict[str, Any] = field(default_factory=dict)
    finish: Callable[[float], float] = float

    def metric(self, **options: Any) -> Metric:
        return self.make(**self.arguments, **options)

    def __str__(self) -> str:
        return f"{getattr(self.make, '__name__', '')}({self.arguments})"


ERROR = ONE_HOT - SCORES
ENTROPY = -np.log(SHARES)[np.arange(ROWS), CLASS]
BINARY = -np.log(np.where(EVEN == 1, YES, 1 - YES))[:, 0]
CASES = [
    Case(metrics.Accuracy, CLASS, SAID, CLASS == SAID),
    Case(metrics.BinaryAccuracy, EVEN, YES, ((YES > 0.5) == EVEN)[:, 0]),
    Case(
        metrics.BinaryAccuracy,
        EVEN[:, 0],
        YES,
        ((YES > 0.3) == EVEN)[:, 0],
        {"threshold": 0.3},
    ),
    Case(metrics.CategoricalAccuracy, ONE_HOT, SCORES, CLASS == SAID),
    Case(metrics.SparseCategoricalAccuracy, CLASS, SCORES, CLASS == SAID),
    Case(metrics.SparseCategoricalAccuracy, CLASS[:, None], SCORES, CLASS == SAID),
    Case(metrics.MeanSquaredError, ONE_HOT, SCORES, (ERROR**2).mean(1)),
    Case(
        metrics.RootMeanSquaredError,
        ONE_HOT,
        SCORES,
        (ERROR**2).mean(1),
        finish=math.sqrt,
    ),
    Case(metrics.MeanAbsoluteError, ONE_HOT, SCORES, np.abs(ERROR).mean(1)),
    Case(metrics.BinaryCrossentropy, EVEN, YES, BINARY),
    Case(metrics.CategoricalCrossentropy, ONE_HOT, SHARES, ENTROPY),
    Case(
        metrics.SparseCategoricalCrossentropy,
        CLASS,
        SCORES,
        ENTROPY,
        {"from_logits": True},
    ),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def test_every_metric_has_a_case() -> None:
    classes = {
        entry
        for entry in vars(metrics).values()
        if isinstance(entry, type) and issubclass(entry, Metric)
    }
    bases = {Metric, metrics.MeanOfSamples}
    others = {metrics.Mean, metrics.MeanMetricWrapper}
    assert {type(case.metric()) for case in CASES} == classes - bases - others


@every_case
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_batches_of_any_size_give_the_value_of_the_whole(
    case: Case, weights: Array | None
) -> None:
    metric = case.metric()
    for start, stop in [(0, 7), (7, 30), (30, 30), (30, ROWS)]:
        rows = slice(start, stop)
        share = None if weights is None else weights[rows]
        metric.update_state(case.y_true[rows], case.y_pred[rows], share)
    mean = np.average(case.expected.astype("float64"), weights=weights)
    expected = np.asarray(case.finish(float(mean)), "float32")
    assert_close(metric.result().numpy(), expected)


@every_case
def test_pure_functions_and_the_face_of_keras_agree(case: Case) -> None:
    metric = case.metric()
    update = jit(lambda s, t, p, w: metric.update(s, t, p, w))
    state = update(metric.init(), case.y_true, case.y_pred, WEIGHTS)
    specs = [leaf.spec for leaf in tree.flatten(state)[0]]
    assert specs == [leaf.spec for leaf in tree.flatten(metric.init())[0]]
    called = metric(case.y_true, case.y_pred, WEIGHTS)
    assert_compiled(metric.compute(state).numpy(), called.numpy())


@every_case
def test_reset_forgets(case: Case) -> None:
    metric = case.metric()
    assert metric.result().item() == 0.0
    metric.update_state(case.y_true, case.y_pred)
    assert metric.result().item() != 0.0
    metric.reset_state()
    assert metric.result().item() == 0.0


@every_case
def test_config_makes_an_equal_metric(case: Case) -> None:
    metric = case.metric(name="here")
    config = json.loads(json.dumps(metric.get_config()))
    again = metrics.get({"class_name": type(metric).__name__, "config": config})
    assert again.get_config() == metric.get_config()
    assert eval(repr(metric), vars(metrics)).get_config() == metric.get_config()


def test_the_count_goes_beyond_float32() -> None:
    metric = metrics.Mean()
    state = {
        "total": functional.asarray(0.0, dtype="float64"),
        "count": functional.asarray(2.0**24, dtype="float64"),
    }
    for _ in range(2):
        state = metric.update(state, [2.0**24])
    assert state["count"].item() == 2**24 + 2


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


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'binary_accuracy'"):
        metrics.get("binary_acuracy")
    with pytest.raises(ShapeError, match="one weight per sample"):
        metrics.Mean()([1.0, 2.0], sample_weight=[1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match="shape"):
        metrics.MeanSquaredError()(np.ones((4, 2)), np.ones((4, 3)))
