"""The learning-rate finder: what it says, and that it leaves no trace."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import Sequential, find_learning_rate, layers, random
from chainrule.errors import ArgumentError, DependencyError
from chainrule.ir import tree
from chainrule.optimizers import SGD
from chainrule.training.rates import judge

ROWS = 256


def data() -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(ROWS, 6)).astype("float32")
    return x, np.sin(x @ generator.normal(size=(6, 1))).astype("float32")


def make_model(optimizer: Any = "adam") -> Sequential:
    model = Sequential([layers.Dense(16, "tanh"), layers.Dropout(0.1), layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


def contents(model: Sequential) -> list[Any]:
    state = tree.flatten(model._optimizer_state())[0]
    return [*model.get_weights(), *(leaf.numpy().copy() for leaf in state)]


def test_it_leaves_no_trace() -> None:
    models = [make_model(), make_model()]
    for model, looks in zip(models, (True, False), strict=True):
        random.set_seed(3)
        model.fit(*data(), epochs=2, verbose=0, seed=0)
        before = contents(model)
        if looks:
            find_learning_rate(model, *data(), steps=40)
            for old, now in zip(before, contents(model), strict=True):
                np.testing.assert_array_equal(old, now)
        model.fit(*data(), epochs=2, verbose=0)
    for one, two in zip(*map(contents, models), strict=True):
        np.testing.assert_array_equal(one, two)
    assert models[0].optimizer.learning_rate == 0.001


def test_the_same_seed_gives_the_same_curve() -> None:
    model = make_model()
    model.fit(*data(), verbose=0, seed=0)
    curves = [find_learning_rate(model, *data(), steps=40, seed=s) for s in (1, 1, 2)]
    np.testing.assert_array_equal(curves[0].losses, curves[1].losses)
    assert (curves[0].losses[:9] != curves[2].losses[:9]).any()


def test_the_rates_are_those_of_the_steps() -> None:
    x, y = np.ones((64, 1), "float32"), np.zeros((64, 1), "float32")
    model = Sequential([layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(SGD(), "mse")
    curve = find_learning_rate(model, x, y, lowest=1e-3, highest=0.2, steps=24)
    np.testing.assert_allclose(curve.rates, np.geomspace(1e-3, 0.2, 24), rtol=1e-6)
    weight, losses = 1.0, []
    for rate in curve.rates:
        losses.append(weight**2)
        weight -= rate * 2 * weight
    np.testing.assert_allclose(curve.losses, losses, rtol=1e-4)


def test_the_suggestion_learns_and_the_run_ends_early() -> None:
    model = make_model("sgd")
    curve = find_learning_rate(model, *data())
    assert curve.suggestion is not None
    assert 0.005 < curve.suggestion < 1.0
    assert len(curve.losses) <= 200
    assert f"{curve.suggestion:.2g}" in curve.reason
    model.compile(SGD(curve.suggestion), "mse")
    history = model.fit(*data(), epochs=10, verbose=0, seed=0).history["loss"]
    assert history[-1] < 0.7 * history[0]


def test_a_loss_that_does_not_fall_gives_no_suggestion() -> None:
    rates = np.geomspace(1e-3, 1.0, 40)
    for losses in (np.ones(40), 1 + rates, np.full(40, np.nan)):
        curve = judge(rates, losses)
        assert curve.suggestion is None
        assert "No rate" in curve.reason or "no number" in curve.reason


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rates = np.geomspace(1e-4, 1.0, 60)
    curve = judge(rates, 1 / (1 + rates / 0.01) + rates**4)
    assert curve.plot(tmp_path / "rates.png").read_bytes()[:4] == b"\x89PNG"
    assert judge(rates, np.full(60, np.nan)).plot(tmp_path / "none.png").exists()


def test_without_matplotlib_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    curve = judge(np.geomspace(1e-4, 1.0, 60), np.linspace(2, 1, 60))
    with pytest.raises(DependencyError, match="plots"):
        curve.plot(tmp_path / "rates.png")


def test_what_cannot_work_is_refused() -> None:
    model = make_model()
    with pytest.raises(ArgumentError, match="0 < lowest < highest"):
        find_learning_rate(model, *data(), lowest=1.0, highest=0.1)
    with pytest.raises(ArgumentError, match="searches for its steps itself"):
        find_learning_rate(make_model("lbfgs"), *data())
