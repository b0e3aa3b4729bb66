from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, DataError
from chainrule.explain import StepTrace, trace_step
from chainrule.models import Sequential

layers = cr.layers
X = np.array([[0.05, 0.1]], np.float32)
Y = np.array([[0.01, 0.99]], np.float32)


def worked_example() -> Sequential:
    """M. Mazur, "A step by step backpropagation example", 2015."""
    model = Sequential(
        [
            layers.Dense(2, activation="sigmoid", input_shape=(2,), name="hidden"),
            layers.Dense(2, activation="sigmoid", name="output"),
        ]
    )
    model.set_weights(
        [
            [[0.15, 0.25], [0.2, 0.3]],
            [0.35, 0.35],
            [[0.4, 0.5], [0.45, 0.55]],
            [0.6, 0.6],
        ]
    )
    model.compile(cr.optimizers.SGD(0.5), "mse")
    return model


def larger(optimizer: Any = "adam") -> Sequential:
    cr.set_seed(3)
    model = Sequential(
        [
            layers.Input((4, 4)),
            layers.Flatten(),
            layers.Dense(24, activation="relu", name="hidden"),
            layers.Dropout(0.25),
            layers.Dense(3, activation="softmax", name="classes"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def batch(rows: int = 20) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(0)
    x = numbers.normal(size=(rows, 4, 4)).astype(np.float32)
    return x, numbers.integers(0, 3, rows)


def test_a_published_worked_example() -> None:
    step = trace_step(worked_example(), X, Y, verbose=False)
    close = {"rtol": 1e-6}
    hidden, output = step["hidden"], step["output"]
    np.testing.assert_allclose(hidden.pre_activation, [[0.3775, 0.3925]], **close)
    np.testing.assert_allclose(hidden.output, [[0.593269992, 0.596884378]], **close)
    np.testing.assert_allclose(output.output, [[0.75136507, 0.772928465]], **close)
    assert step.loss.value == pytest.approx(0.298371109, rel=1e-6)
    np.testing.assert_allclose(
        output.output_error, [[0.74136507, -0.217071535]], **close
    )
    np.testing.assert_allclose(
        output.pre_activation_error, [[0.138498562, -0.038098236]], **close
    )
    np.testing.assert_allclose(
        hidden.output_error, [[0.036350306, 0.041370323]], rtol=1e-5
    )
    np.testing.assert_allclose(
        output.weights[0].after,
        [[0.35891648, 0.511301270], [0.408666186, 0.561370121]],
        **close,
    )
    np.testing.assert_allclose(
        hidden.weights[0].after,
        [[0.149780716, 0.24975114], [0.19956143, 0.29950229]],
        **close,
    )


@pytest.mark.parametrize(
    "optimizer", ["sgd", "rmsprop", "adam", "adamw", cr.optimizers.SGD(0.1, 0.9)]
)
def test_an_applied_step_is_the_step_of_fit(optimizer: Any) -> None:
    x, y = batch()
    mine, fitted = larger(optimizer), larger(optimizer)
    fitted.set_weights(mine.get_weights())
    step = trace_step(mine, x, y, apply=True, seed=7, verbose=False)
    history = fitted.fit(
        x, y, batch_size=len(x), epochs=1, shuffle=False, seed=7, verbose=0
    )
    assert step.loss.value == pytest.approx(history.history["loss"][0], rel=1e-6)
    for a, b in zip(mine.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    weights = [w.after for layer in step.layers for w in layer.weights]
    for a, b in zip(weights, mine.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_optimizer_goes_on_from_its_state() -> None:
    x, y = batch()
    mine, fitted = larger(), larger()
    fitted.set_weights(mine.get_weights())
    for model in (mine, fitted):
        model.fit(x, y, batch_size=5, epochs=2, seed=1, verbose=0)
    step = trace_step(mine, x, y, apply=True, seed=2, verbose=False)
    assert step.optimizer.step == 9
    fitted.fit(x, y, batch_size=len(x), shuffle=False, seed=2, verbose=0)
    for a, b in zip(mine.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert trace_step(mine, x, y, verbose=False).optimizer.step == 10


def test_by_default_nothing_changes() -> None:
    x, y = batch()
    model = larger()
    model.fit(x, y, epochs=1, seed=0, verbose=0)
    before, attributes = model.get_weights(), [set(vars(x)) for x in model.layers]
    first = trace_step(model, x, y, verbose=False)
    second = trace_step(model, x, y, verbose=False)
    assert str(first) == str(second)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert attributes == [set(vars(x)) for x in model.layers]
    assert model.layers[1].activation is cr.layers.Dense(1, "relu").activation


def test_layers_are_restored_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = worked_example()

    def fails(*arguments: object) -> None:
        raise ZeroDivisionError

    trace_step(model, X, Y, verbose=False)
    monkeypatch.setattr(type(model.loss), "call", fails)
    with pytest.raises(ZeroDivisionError):
        trace_step(model, X, Y, verbose=False)
    assert all("call" not in vars(layer) for layer in model.layers)


def test_error_signals_are_the_derivatives_by_central_differences() -> None:
    """The output of a layer is disturbed for real, by a layer that adds to it."""

    class Shift(cr.layers.Layer):
        amount = np.zeros(4)

        def call(self, inputs: Any) -> Any:
            return inputs + cr.asarray(self.amount)

    numbers = np.random.default_rng(1)
    x, y = numbers.normal(size=(5, 3)), numbers.normal(size=(5, 2))
    shift = Shift(dtype="float64")
    model = Sequential(
        [
            layers.Dense(4, activation="tanh", input_shape=(3,), dtype="float64"),
            shift,
            layers.Dense(2, dtype="float64"),
        ]
    )
    model.compile("sgd", "mse")
    step = trace_step(model, x, y, verbose=False)
    direction, h = numbers.normal(size=4), 1e-5
    losses = []
    for sign in (1, -1):
        shift.amount = sign * h * direction
        losses.append(trace_step(model, x, y, verbose=False).loss.value)
    slope = (losses[0] - losses[1]) / (2 * h)
    error = step.layers[0].output_error.sum(axis=0)
    assert np.vdot(error, direction) == pytest.approx(slope, rel=1e-8)
    chained = step.layers[0].output_error * (1 - step.layers[0].output ** 2)
    np.testing.assert_allclose(step.layers[0].pre_activation_error, chained, rtol=1e-12)


def test_every_number_of_a_tiny_network_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    step = trace_step(worked_example(), X, Y)
    printed = capsys.readouterr().out
    assert printed == f"{step}\n"
    assert printed.isascii()
    for phase in ("1. Forward", "2. Loss", "3. Backward", "4. Update"):
        assert phase in printed
    for line in (
        "z = x @ W + b = [ 0.37750  0.39250 ]",
        "mean_squared_error:  L = mean((y - p)^2)",
        "dL/da = 2 (p - y) / 2 = [  0.74137  -0.21707 ]",
        "dL/da = dL/dz(output) @ W(output)^T = [ 0.036350  0.041370 ]",
        "W := W - lr * g",
        "The loss of the same batch: 0.298371 -> 0.280471",
    ):
        assert line in printed


def test_a_larger_network_is_shown_in_statistics() -> None:
    x, y = batch()
    printed = str(trace_step(larger(), x, y, verbose=False))
    assert "hidden: Dense(24, relu)" in printed
    assert "dL/dW, gradient of kernel" in printed
    assert "change / weight" in printed
    assert max(map(len, printed.splitlines())) <= 88


def test_statistics_of_the_forward_phase_are_those_of_the_numbers() -> None:
    x, y = batch()
    step = trace_step(larger(), x, y, verbose=False)
    hidden = step["hidden"].output
    row = next(line for line in str(step).splitlines() if "a, after it" in line)
    expected = [
        f"{hidden.mean():.4g}",
        f"{hidden.std():.4g}",
        f"{(hidden == 0).mean():.1%}",
    ]
    assert row.split()[-3:] == expected


def test_a_notebook_shows_tables_and_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Shell:
        kernel = object()

    class IPython:
        @staticmethod
        def get_ipython() -> Shell:
            return Shell()

    monkeypatch.setitem(__import__("sys").modules, "IPython", IPython)
    x, y = batch()
    step = trace_step(larger(), x, y)
    assert capsys.readouterr().out == ""
    shown = step._repr_html_()
    assert shown.count("<h4>") == 4
    assert "<table>" in shown
    assert "-&gt;" in shown


def test_predictions_of_a_loss_from_logits_are_called_output() -> None:
    model = Sequential([layers.Dense(1, input_shape=(2,))])
    model.compile("sgd", cr.losses.BinaryCrossentropy(from_logits=True))
    printed = str(trace_step(model, [[1.0, 2.0]], [1], verbose=False))
    assert "p = sigmoid(output)" in printed
    assert "    output = [" in printed


def test_a_name_that_is_no_layer() -> None:
    step = trace_step(worked_example(), X, Y, verbose=False)
    assert isinstance(step, StepTrace)
    with pytest.raises(KeyError, match="hidden"):
        step["first"]


def test_mistakes_are_told_as_by_fit() -> None:
    model = larger()
    with pytest.raises(DataError, match="3 outputs for 8 classes"):
        trace_step(model, *batch()[:1], np.arange(20) % 8)
    with pytest.raises(ArgumentError, match="compiled"):
        trace_step(Sequential([layers.Dense(1)]), X, Y)
