"""Regularizers, constraints and the losses that layers add."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import constraints, functional, layers, regularizers
from chainrule.configurable import serialize
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.layer import collected_losses
from tests.tolerances import assert_close

KERNEL = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def expected_orthogonal(kernel: np.ndarray[Any, Any]) -> float:
    unit = kernel / np.linalg.norm(kernel, axis=1, keepdims=True)
    pairs = [abs(unit[i] @ unit[j]) for i in range(len(unit)) for j in range(i)]
    return float(np.mean(pairs))


@pytest.mark.parametrize(
    ("regularizer", "expected"),
    [
        (regularizers.L1(0.1), 0.1 * np.abs(KERNEL).sum()),
        (regularizers.L2(0.1), 0.1 * np.square(KERNEL).sum()),
        (
            regularizers.L1L2(0.2, 0.1),
            0.2 * np.abs(KERNEL).sum() + 0.1 * np.square(KERNEL).sum(),
        ),
        (regularizers.L1L2(), 0.0),
        (regularizers.OrthogonalRegularizer(0.5), 0.5 * expected_orthogonal(KERNEL)),
        (
            regularizers.OrthogonalRegularizer(0.5, "columns"),
            0.5 * expected_orthogonal(KERNEL.T),
        ),
    ],
    ids=repr,
)
def test_penalties(regularizer: Any, expected: float) -> None:
    found = regularizer(functional.asarray(KERNEL))
    assert_close(found.numpy(), np.float32(expected))
    assert regularizers.get(serialize(regularizer)).get_config() == (
        regularizer.get_config()
    )


@pytest.mark.parametrize(
    ("constraint", "low", "high"),
    [
        (constraints.MaxNorm(1.0), 0.0, 1.0),
        (constraints.UnitNorm(), 1.0, 1.0),
        (constraints.MinMaxNorm(0.9, 1.2), 0.9, 1.2),
        (constraints.MaxNorm(0.5, axis=[0, 1]), 0.0, 0.5),
    ],
    ids=repr,
)
def test_limits(constraint: Any, low: float, high: float) -> None:
    axis = constraint.axis if isinstance(constraint.axis, int) else None
    found = constraint(functional.asarray(KERNEL)).numpy()
    norms = np.sqrt(np.square(found).sum(axis))
    assert np.all((norms > low - 1e-5) & (norms < high + 1e-5))
    was = np.sqrt(np.square(KERNEL).sum(axis))
    assert_close(found * (was / norms), KERNEL)
    assert constraints.get(serialize(constraint)).get_config() == (
        constraint.get_config()
    )


def test_a_slow_constraint_goes_part_of_the_way() -> None:
    kernel = functional.asarray([[3.0], [4.0]])
    found = constraints.MinMaxNorm(0.0, 1.0, rate=0.5)(kernel).numpy()
    assert_close(np.sqrt(np.square(found).sum()), np.float32(3.0))


def test_weights_of_zeros_stay_finite() -> None:
    zeros = functional.zeros((3, 2))
    for constraint in (constraints.MaxNorm(), constraints.UnitNorm()):
        assert not constraint(zeros).numpy().any()
    assert regularizers.OrthogonalRegularizer()(zeros).item() == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: regularizers.L1(-1.0),
        lambda: regularizers.L2(float("nan")),
        lambda: regularizers.OrthogonalRegularizer(mode="row"),
        lambda: constraints.MaxNorm(-1.0),
        lambda: constraints.MinMaxNorm(2.0, 1.0),
        lambda: layers.Dense(3, kernel_regularizer="l3"),
        lambda: layers.Dense(3, kernel_constraint="maxnorm"),
    ],
)
def test_mistakes_are_refused(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()


def test_an_orthogonal_vector_is_refused() -> None:
    with pytest.raises(ShapeError):
        regularizers.OrthogonalRegularizer()(functional.ones((3,)))


class Quiet(layers.Layer):
    def call(self, inputs: Any) -> Any:
        self.add_loss(functional.mean(functional.abs(inputs)))
        return inputs


def test_losses_of_a_call_replace_those_of_the_last_one() -> None:
    model = chainrule.Sequential(
        [Quiet(), layers.Dense(1, kernel_regularizer="l2"), Quiet()]
    )
    model(np.ones((2, 3)))
    model(np.full((2, 3), 3.0))
    losses = model.losses
    assert len(losses) == 3
    assert losses[0].item() == 3.0
    kernel = model.layers[1].weights[0].numpy()
    assert_close(losses[2].numpy(), np.float32(0.01 * np.square(kernel).sum()))
    model.layers[1].trainable = False
    assert len(model.losses) == 2


def test_a_collector_takes_the_losses_of_a_shared_layer() -> None:
    layer = Quiet()
    with collected_losses() as losses:
        layer([[1.0]])
        layer([[-3.0]])
    assert [loss.item() for loss in losses] == [1.0, 3.0]
    assert layer.losses == []


def test_several_losses_are_a_list() -> None:
    class Both(layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss([functional.max(inputs), functional.min(inputs), 2.0])
            return inputs

    layer = Both()
    layer([[1.0, -3.0]])
    assert [loss.item() for loss in layer.losses] == [1.0, -3.0, 2.0]


def test_a_loss_must_be_a_scalar() -> None:
    class Wide(layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(inputs)
            return inputs

    with pytest.raises(ShapeError, match="scalar"):
        Wide()([[1.0]])


def penalized() -> chainrule.Sequential:
    return chainrule.Sequential(
        [
            layers.Dense(
                3,
                input_shape=(4,),
                kernel_regularizer="l2",
                bias_regularizer=regularizers.L1(0.1),
                activity_regularizer=regularizers.L2(0.3),
                kernel_constraint=constraints.MaxNorm(0.5),
            ),
            Quiet(),
            layers.Dense(1),
        ]
    )


def test_training_and_measuring_add_all_penalties() -> None:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(8, 4)).astype("float32")
    y = generator.normal(size=(8, 1)).astype("float32")
    model = penalized()
    model.compile("sgd", "mse")
    kernel, bias, second, second_bias = model.get_weights()
    hidden = x @ kernel + bias
    expected = (
        np.square(hidden @ second + second_bias - y).mean()
        + 0.01 * np.square(kernel).sum()
        + 0.1 * np.abs(bias).sum()
        + 0.3 * np.square(hidden).sum() / 8
        + np.abs(hidden).mean()
    )
    assert_close(np.float32(model.evaluate(x, y, verbose=0)), expected)
    history = model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert_close(np.float32(history.history["loss"][0]), expected)
    norms = np.sqrt(np.square(model.get_weights()[0]).sum(0))
    assert norms.max() <= 0.5 + 1e-6 < np.sqrt(np.square(kernel).sum(0)).max()


def test_penalties_have_gradients() -> None:
    """With outputs that no loss looks at, a penalty alone moves the kernel."""
    x = np.zeros((8, 4), "float32")
    layer = layers.Dense(1, kernel_regularizer=regularizers.L2(0.5), use_bias=False)
    model = chainrule.Sequential([layers.Input((4,)), layer])
    model.compile(chainrule.optimizers.SGD(0.1), "mse")
    before = model.get_weights()[0]
    model.fit(x, np.zeros((8, 1)), batch_size=8, epochs=2, verbose=0)
    assert_close(model.get_weights()[0], before * 0.9**2)


def test_the_trace_of_a_step_knows_the_penalties() -> None:
    x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
    model = penalized()
    model.compile("sgd", "mse")
    measured = model.evaluate(x, y, verbose=0)
    traced = chainrule.trace_step(model, x, y)
    assert_close(np.float32(traced.loss.value), np.float32(measured))
    after = next(w.after for w in traced.layers[0].weights if w.name == "kernel")
    assert np.sqrt(np.square(after).sum(0)).max() <= 0.5 + 1e-6
