"""The contract of a loss, over all of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from chainrule import functional, losses
from chainrule.autodiff import grad
from chainrule.configurable import snake_case
from chainrule.functional import losses as functions
from chainrule.jit import jit
from chainrule.losses import Loss
from tests.losses.cases import CASES, Array, Case
from tests.tolerances import DIFFERENCES, assert_close, assert_compiled

every_case = pytest.mark.parametrize("case", CASES, ids=str)
samples_alone = pytest.mark.parametrize(
    "case", [case for case in CASES if case.alone], ids=str
)


def test_every_loss_has_a_case() -> None:
    classes = {
        entry
        for entry in vars(losses).values()
        if isinstance(entry, type) and issubclass(entry, Loss)
    }
    assert {type(case.loss()) for case in CASES} == classes - {Loss}
    public = {getattr(losses, name) for name in losses.__all__}
    assert classes <= public
    assert {getattr(functions, name) for name in functions.__all__} <= public


def test_every_loss_is_known_by_its_name() -> None:
    for name in losses.__all__:
        if name not in ("Loss", "LossFunctionWrapper", "get", "resolve"):
            found = losses.get(name)
            spelled = snake_case(name) if name[0].isupper() else name
            assert type(found) is type(losses.get(spelled)), name


@every_case
def test_values_of_each_sample(case: Case) -> None:
    loss = case.loss(reduction="none")
    assert_close(loss(case.y_true, case.y_pred).numpy(), case.expected)
    single = case.y_pred.astype("float32")
    assert_close(loss(case.y_true, single).numpy(), case.expected.astype("float32"))
    exact = case.loss(reduction="none", dtype="float64")(case.y_true, single).numpy()
    assert exact.dtype == np.float64
    assert_close(exact.astype("float32"), case.expected.astype("float32"))


@every_case
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_reductions(case: Case, weighted: bool) -> None:
    weights = case.weights if weighted else None
    values = case.expected * (1 if weights is None else weights)
    counted = np.ones(values.shape) if case.counted is None else case.counted
    whole = counted.sum() if weights is None else (weights * counted).sum()
    expected = {
        "sum": values.sum(),
        "mean": values.sum() / counted.sum(),
        "sum_over_batch_size": values.sum() / counted.sum(),
        "mean_with_sample_weight": values.sum() / whole,
        "none": values,
        None: values,
    }
    for reduction, value in expected.items():
        actual = case.loss(reduction=reduction)(case.y_true, case.y_pred, weights)
        assert_close(actual.numpy(), np.asarray(value))


@every_case
def test_config_makes_an_equal_loss(case: Case) -> None:
    loss = case.loss(name="here", reduction="sum", dtype="float64")
    config = json.loads(json.dumps(loss.get_config()))
    again = losses.get({"class_name": type(loss).__name__, "config": config})
    assert again.get_config() == loss.get_config()
    assert eval(repr(loss), vars(losses)).get_config() == loss.get_config()
    assert "name" not in repr(case.loss()) or case.make is losses.LossFunctionWrapper


@every_case
def test_compiled_agrees_with_eager(case: Case) -> None:
    loss = case.loss()
    y_pred = case.y_pred.astype("float32")

    def value_and_slope(y_true: Any, y_pred: Any, weights: Any) -> Any:
        slope = grad(lambda p: loss(y_true, p, weights))(y_pred)
        return loss(y_true, y_pred, weights), slope

    given = (case.y_true, functional.asarray(y_pred), case.weights)
    eager, compiled = value_and_slope(*given), jit(value_and_slope)(*given)
    for right, found in zip(eager, compiled, strict=True):
        assert_compiled(found.numpy(), right.numpy())


@every_case
def test_gradients_are_those_of_differences(case: Case) -> None:
    loss = case.loss()
    direction = np.random.default_rng(9).normal(size=case.y_pred.shape)
    slope = grad(lambda p: loss(case.y_true, p, case.weights))(
        functional.asarray(case.y_pred)
    )
    small = 1e-6
    ends = [
        loss(case.y_true, case.y_pred + step * direction, case.weights).item()
        for step in (small, -small)
    ]
    exact = np.sum(slope.numpy() * direction)
    assert_close(
        np.float64(exact), np.float64((ends[0] - ends[1]) / (2 * small)), DIFFERENCES
    )


@samples_alone
def test_two_batches_are_as_one(case: Case) -> None:
    loss = case.loss(reduction="none")
    parts = [
        loss(case.y_true[rows], case.y_pred[rows]).numpy()
        for rows in (slice(0, 2), slice(2, None))
    ]
    whole = loss(case.y_true, case.y_pred).numpy()
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@samples_alone
def test_a_weight_of_zero_is_as_good_as_absence(case: Case) -> None:
    keep = np.array([True, False, True, True, False, True])
    loss = case.loss(reduction="mean_with_sample_weight")

    def slope(y_true: Array, y_pred: Array, weights: Array) -> Array:
        found: Array = grad(lambda p: loss(y_true, p, weights))(
            functional.asarray(y_pred)
        ).numpy()
        return found

    given = (case.y_true, case.y_pred, keep * 1.0)
    alone = (case.y_true[keep], case.y_pred[keep], np.ones(keep.sum()))
    assert_close(loss(*given).numpy(), loss(*alone).numpy())
    assert_close(slope(*given)[keep], slope(*alone))
    assert not slope(*given)[~keep].any()
