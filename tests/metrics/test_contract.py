"""The contract of a metric, over all of them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from chainrule import functional, metrics
from chainrule.configurable import snake_case
from chainrule.ir import tree
from chainrule.jit import jit
from chainrule.metrics import Metric
from tests.metrics.cases import CASES, ROWS, Array, Case
from tests.tolerances import assert_compiled

every_case = pytest.mark.parametrize("case", CASES, ids=str)
WEIGHTS = np.random.default_rng(5).integers(0, 4, ROWS) / 2
EQUAL = np.ones(ROWS)


def test_every_metric_has_a_case() -> None:
    classes = {
        entry
        for entry in vars(metrics).values()
        if isinstance(entry, type) and issubclass(entry, Metric)
    }
    bases = {Metric, metrics.MeanOfSamples}
    others = {metrics.Mean, metrics.Sum}  # of values, without labels
    assert {type(case.metric()) for case in CASES} == classes - bases - others
    assert classes - {metrics.MeanOfSamples} <= {
        getattr(metrics, name) for name in metrics.__all__
    }


def test_every_metric_is_known_by_its_name() -> None:
    for case in CASES:
        metric = case.metric()
        if case.make is not metrics.MeanMetricWrapper:
            for name in (
                metric.name,
                type(metric).__name__,
                snake_case(type(metric).__name__),
            ):
                config = {"class_name": name, "config": metric.get_config()}
                assert type(metrics.get(config)) is type(metric)
        assert metric.direction in ("up", "down", None)


@every_case
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_batches_of_any_size_give_the_value_of_the_whole(
    case: Case, weights: Array | None
) -> None:
    metric = case.metric()
    for start, stop in [(0, 7), (7, 30), (30, ROWS)]:
        rows = slice(start, stop)
        share = None if weights is None else weights[rows]
        metric.update_state(case.y_true[rows], case.y_pred[rows], share)
    expected = case.value(
        case.y_true, case.y_pred, EQUAL if weights is None else weights
    )
    found = metric.result().numpy()
    assert found.dtype == np.float64
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=case.digits, atol=case.digits)


@every_case
def test_a_weight_of_zero_is_as_good_as_absence(case: Case) -> None:
    keep = WEIGHTS > 0
    metric, alone = case.metric(), case.metric()
    metric.update_state(case.y_true, case.y_pred, WEIGHTS)
    alone.update_state(case.y_true[keep], case.y_pred[keep], WEIGHTS[keep])
    np.testing.assert_allclose(
        metric.result().numpy(), alone.result().numpy(), rtol=1e-12, atol=1e-14
    )
    whole, single = case.metric(), case.metric()
    whole.update_state(case.y_true, case.y_pred, EQUAL)
    single.update_state(case.y_true, case.y_pred)
    np.testing.assert_array_equal(whole.result().numpy(), single.result().numpy())


@every_case
def test_pure_functions_and_the_face_of_keras_agree(case: Case) -> None:
    metric = case.metric()
    metric.build((None, *case.y_true.shape[1:]), (None, *case.y_pred.shape[1:]))
    update = jit(lambda s, t, p, w: metric.update(s, t, p, w))
    weights = WEIGHTS.astype("float32")
    state = metric.init()
    for _ in range(2):
        state = update(state, case.y_true, case.y_pred, weights)
    specs = [leaf.spec for leaf in tree.flatten(state)[0]]
    assert specs == [leaf.spec for leaf in tree.flatten(metric.init())[0]]
    assert {spec.dtype.name for spec in specs} <= {"float64", "int64"}
    metric.update_state(case.y_true, case.y_pred, weights)
    called = metric(case.y_true, case.y_pred, weights)
    size = np.abs(called.numpy()).max()
    exact = case.digits < 1e-9
    found = metric.compute(state).numpy()
    if exact:
        assert_compiled(found, called.numpy())
    else:  # each sample's value is a float32
        np.testing.assert_allclose(found, called.numpy(), atol=2e-6 * max(size, 1))


@every_case
def test_reset_forgets(case: Case) -> None:
    metric = case.metric()
    metric.update_state(case.y_true, case.y_pred)
    first = metric.result().numpy()
    metric.reset_state()
    empty = metric.result().numpy()
    nothing = math.nan if case.make is metrics.ExactAUC else 0.0
    if case.make is not metrics.R2Score:
        np.testing.assert_array_equal(empty, np.full(empty.shape, nothing))
    metric.update_state(case.y_true, case.y_pred)
    np.testing.assert_array_equal(metric.result().numpy(), first)


@every_case
def test_config_makes_an_equal_metric(case: Case) -> None:
    metric = case.metric(name="here")
    config = json.loads(json.dumps(metric.get_config()))
    again = metrics.get({"class_name": type(metric).__name__, "config": config})
    assert again.get_config() == metric.get_config()
    assert eval(repr(metric), vars(metrics)).get_config() == metric.get_config()
    wrapped = case.make is metrics.MeanMetricWrapper
    assert wrapped or "name" not in repr(case.metric())


def test_counts_go_beyond_float32() -> None:
    metric = metrics.Mean()
    state = {
        "total": functional.asarray(0.0, dtype="float64"),
        "count": functional.asarray(2.0**24, dtype="float64"),
    }
    for _ in range(2):
        state = metric.update(state, [2.0**24])
    assert state["count"].item() == 2**24 + 2
    decisions = metrics.TruePositives()
    counts = {"counts": functional.asarray([0.0, 0.0, 0.0, 2.0**24], dtype="float64")}
    for _ in range(2):
        counts = decisions.update(counts, [1.0], [0.9])
    assert decisions.compute(counts).item() == 2**24 + 2
