"""Every layer against Keras's own, forward and backward; norms against PyTorch as well.

Weights are drawn once and given to both. Layers that draw random numbers are compared
where they draw none; `tests/layers` has their statistics.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import activations, functional, layers
from chainrule.autodiff import vjp
from chainrule.ir import tree
from chainrule.variable import substitute
from tests.tolerances import PARITY, TRAINING, assert_close

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

torch.set_num_threads(1)  # small arrays: more threads only wait for one another
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A layer under its name in both, and the shape of its input or inputs."""

    name: str
    arguments: dict[str, Any]
    shape: Any
    training: bool = False

    def __str__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.arguments.items())
        return f"{self.name}({shown}){' training' if self.training else ''}"


def case(
    name: str, shape: Any = (6, 5), training: bool = False, **arguments: Any
) -> Case:
    return Case(name, arguments, shape, training)


CUBE = (4, 3, 6)
PAIR = [(6, 5), (6, 5)]
CASES = [
    case("Dense", units=4, activation="gelu"),
    case("Dense", CUBE, units=4, use_bias=False),
    case("EinsumDense", CUBE, equation="abc,cd->abd", output_shape=(None, 5)),
    case(
        "EinsumDense",
        CUBE,
        equation="abc,cde->abde",
        output_shape=(None, 2, 5),
        bias_axes="de",
    ),
    case("EinsumDense", CUBE, equation="...x,xy->...y", output_shape=5, bias_axes="y"),
    case(
        "EinsumDense", CUBE, equation="ab...,bc->ac...", output_shape=5, bias_axes="c"
    ),
    case("Activation", activation="mish"),
    case("ReLU", max_value=1.0, negative_slope=0.1, threshold=0.2),
    case("LeakyReLU"),
    case("PReLU", CUBE, shared_axes=[1]),
    case("ELU", alpha=0.5),
    case("Softmax", CUBE, axis=1),
    case("Identity"),
    case("BatchNormalization"),
    case("BatchNormalization", training=True),
    case("BatchNormalization", CUBE, True, axis=1, momentum=0.6, epsilon=0.01),
    case("BatchNormalization", (4, 2, 3, 5), True, center=False, scale=False),
    case("LayerNormalization"),
    case("LayerNormalization", CUBE, axis=[1, 2], epsilon=0.1),
    case("GroupNormalization", CUBE, groups=3),
    case("GroupNormalization", (4, 3, 6, 2), groups=2, axis=2, epsilon=0.1),
    case("GroupNormalization", CUBE, groups=-1, scale=False),
    case("RMSNormalization", CUBE),
    case("RMSNormalization", CUBE, axis=[1, 2], epsilon=0.1),
    case("UnitNormalization", CUBE, axis=1),
    case("Dropout", rate=0.5),
    case("AlphaDropout", rate=0.5),
    case("GaussianNoise", stddev=0.5),
    case("GaussianDropout", rate=0.5),
    case("SpatialDropout1D", CUBE, rate=0.5),
    case("ActivityRegularization", l1=0.1, l2=0.2),
    case("Add", [*PAIR, (6, 1)]),
    case("Add", [CUBE, (4, 6)]),
    case("Subtract", PAIR),
    case("Multiply", [*PAIR, (6, 5)]),
    case("Average", [*PAIR, (6, 5)]),
    case("Maximum", PAIR),
    case("Minimum", PAIR),
    case("Concatenate", [(4, 3, 6), (4, 5, 6)], axis=1),
    case("Dot", PAIR, axes=1),
    case("Dot", [(4, 3, 6), (4, 5, 3)], axes=[1, 2], normalize=True),
    case("Dot", [(4, 3, 6), (4, 6)], axes=-1),
    case("Flatten", (4, 2, 3, 5)),
    case("Flatten", (4, 2, 3, 5), data_format="channels_first"),
    case("Reshape", CUBE, target_shape=(-1, 9)),
    case("Permute", (4, 2, 3, 5), dims=(3, 1, 2)),
    case("RepeatVector", n=3),
    case("Rescaling", scale=0.1, offset=2.0),
]


def numbers(tensor: Any) -> Array:
    """Of a tensor or a variable of Keras or PyTorch."""
    found: Array = getattr(tensor, "value", tensor).detach().numpy()
    return found


def draw(shape: Any, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    if isinstance(shape, list):
        return [generator.normal(size=each).astype("float32") for each in shape]
    return generator.normal(size=shape).astype("float32")


def with_weights(case: Case, x: Any) -> tuple[Any, Any]:
    """Both layers, built, with the same weights."""
    mine = getattr(layers, case.name)(**case.arguments)
    theirs = getattr(keras.layers, case.name)(**case.arguments)
    mine(x)
    theirs(x)
    named = {variable.name: variable for variable in theirs.weights}
    for place, variable in enumerate(mine.weights):
        value = draw(variable.shape, 10 + place)
        value = np.abs(value) + 0.5 if "variance" in variable.name else value
        variable.assign(value)
        named[variable.name].assign(value)
    assert set(named) == {variable.name for variable in mine.weights}
    return mine, theirs


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_and_gradients_are_those_of_keras(case: Case) -> None:
    x = draw(case.shape, 1)
    mine, theirs = with_weights(case, x)
    inputs, structure = tree.flatten(x)
    tensors = [torch.tensor(each, requires_grad=True) for each in inputs]
    given = tensors if isinstance(x, list) else tensors[0]
    options = {"training": True} if case.training else {}
    outputs = theirs(given, **options)
    weight = draw(tuple(outputs.shape), 2)
    (outputs * torch.tensor(weight)).sum().backward()

    learnt = mine.trainable_weights
    values = [*map(functional.asarray, inputs), *(v.value for v in learnt)]

    def function(*values: Any) -> Any:
        given = tree.unflatten(structure, values[: len(inputs)])
        with substitute(learnt, values[len(inputs) :]):
            return mine(given, training=case.training)

    found, pullback = vjp(function, *values)
    assert_close(found.numpy(), numbers(outputs), PARITY)
    slopes = pullback(functional.asarray(weight))
    named = {variable.name: variable for variable in theirs.trainable_variables}
    expected = [
        *(each.grad for each in tensors),
        *(named[variable.name].value.grad for variable in learnt),
    ]
    for one, two in zip(slopes, expected, strict=True):
        assert_close(one.numpy(), two.numpy(), PARITY)
    for variable in theirs.non_trainable_variables:
        if "seed" not in variable.path:
            own = next(v for v in mine.weights if v.name == variable.name)
            assert_close(own.numpy(), numbers(variable), PARITY)


def test_added_losses_are_those_of_keras() -> None:
    x = draw((6, 5), 1)
    for name, arguments in {
        "ActivityRegularization": {"l1": 0.1, "l2": 0.2},
        "Dense": {
            "units": 3,
            "kernel_regularizer": "l2",
            "bias_regularizer": "l1",
            "activity_regularizer": "l2",
        },
        "EinsumDense": {
            "equation": "ab,bc->ac",
            "output_shape": 3,
            "kernel_regularizer": "orthogonal_regularizer",
        },
    }.items():
        mine, theirs = with_weights(Case(name, arguments, x.shape), x)
        mine(x)
        theirs(x)
        total = sum(float(loss) for loss in mine.losses)
        expected = sum(float(numbers(loss)) for loss in theirs.losses)
        assert_close(np.float32(total), np.float32(expected), PARITY)


def test_masks_mean_what_they_mean_in_keras() -> None:
    x, mask = draw((6, 5), 1), np.random.default_rng(3).random((6, 5)) < 0.6
    mask[0] = False
    found = layers.Softmax()(x, mask=mask).numpy()
    expected = keras.layers.Softmax()(x, mask=torch.tensor(mask))
    assert_close(found, numbers(expected), PARITY)
    rows = mask[:, 1]
    mine, theirs = with_weights(case("BatchNormalization", momentum=0.5), x)
    found = mine(x, mask=rows, training=True).numpy()
    expected = theirs(torch.tensor(x), mask=torch.tensor(rows), training=True)
    assert_close(found, numbers(expected), PARITY)
    assert_close(mine.moving_variance.numpy(), numbers(theirs.moving_variance), PARITY)


def test_spectral_normalization_divides_as_keras_does() -> None:
    x = draw((6, 5), 1)
    mine = layers.SpectralNormalization(layers.Dense(4), power_iterations=3)
    theirs = keras.layers.SpectralNormalization(keras.layers.Dense(4), 3)
    mine(x)
    theirs(x)
    theirs.layer.kernel.assign(mine.kernel.numpy())
    theirs.vector_u.assign(mine.vector_u.numpy())
    expected = numbers(theirs(torch.tensor(x), training=True))
    assert_close(mine(x, training=True).numpy(), expected, PARITY)
    assert_close(mine.vector_u.numpy(), numbers(theirs.vector_u), PARITY)


# Keras's sparsemax sums to less than 1 on PyTorch: tests/functional has its own measure
NAMED = set(activations.__all__) - {"get", "serialize", "threshold", "sparsemax"}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_activations_are_those_of_keras(name: str) -> None:
    x = np.concatenate([draw((5, 6), 1) * 2, np.linspace(-30, 30, 6)[None]], 0)
    x = x.astype("float32")
    tensor = torch.tensor(x, requires_grad=True)
    expected = getattr(keras.activations, name)(tensor)
    weight = draw(tuple(expected.shape), 2)
    (expected * torch.tensor(weight)).sum().backward()
    found, pullback = vjp(activations.get(name), functional.asarray(x))
    assert_close(found.numpy(), numbers(expected), PARITY)
    (slope,) = pullback(functional.asarray(weight))
    assert_close(slope.numpy(), tensor.grad.numpy(), PARITY)


TORCH: dict[str, tuple[Callable[[], Any], Callable[[], Any], tuple[int, ...]]] = {
    "batch": (
        lambda: layers.BatchNormalization(epsilon=1e-5),
        lambda: torch.nn.BatchNorm1d(5),
        (16, 5),
    ),
    "layer": (
        lambda: layers.LayerNormalization(epsilon=1e-5),
        lambda: torch.nn.LayerNorm(5),
        (4, 5),
    ),
    "group": (
        lambda: layers.GroupNormalization(2, axis=1, epsilon=1e-5),
        lambda: torch.nn.GroupNorm(2, 6),
        (4, 6, 3),
    ),
    "rms": (
        lambda: layers.RMSNormalization(epsilon=1e-6),
        lambda: torch.nn.RMSNorm(5, eps=1e-6),
        (4, 5),
    ),
    "prelu": (
        lambda: layers.PReLU("zeros", shared_axes=[2]),
        lambda: torch.nn.PReLU(6),
        (4, 6, 3),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_layers_are_those_of_pytorch(name: str) -> None:
    make, make_torch, shape = TORCH[name]
    x, mine, theirs = draw(shape, 1), make(), make_torch()
    mine(x)
    learnt = mine.trainable_weights
    for place, (variable, parameter) in enumerate(
        zip(learnt, theirs.parameters(), strict=True)
    ):
        value = draw(variable.shape, 20 + place)
        variable.assign(value)
        parameter.data = torch.tensor(value.reshape(tuple(parameter.shape)))
    tensor = torch.tensor(x, requires_grad=True)
    expected = theirs(tensor)
    weight = draw(shape, 2)
    (expected * torch.tensor(weight)).sum().backward()

    def function(x: Any, *values: Any) -> Any:
        with substitute(learnt, values):
            return mine(x, training=True)

    found, pullback = vjp(function, functional.asarray(x), *(v.value for v in learnt))
    assert_close(found.numpy(), numbers(expected), PARITY)
    slopes = pullback(functional.asarray(weight))
    assert_close(slopes[0].numpy(), tensor.grad.numpy(), PARITY)
    for slope, parameter in zip(slopes[1:], theirs.parameters(), strict=True):
        grad = parameter.grad.numpy().reshape(slope.shape)
        assert_close(slope.numpy(), grad, PARITY)


def stack(library: Any, name: str) -> list[Any]:
    """Layers of a small network."""
    kind = library.layers
    if name == "penalties":
        limits, penalties = library.constraints, library.regularizers
        return [
            kind.Dense(
                16,
                activation="relu",
                kernel_regularizer=penalties.L1L2(0.001, 0.01),
                bias_regularizer=penalties.L2(0.1),
                activity_regularizer=penalties.L2(0.01),
                kernel_constraint=limits.MaxNorm(0.8),
                bias_constraint=limits.NonNeg(),
            ),
            kind.Dense(1, kernel_constraint=limits.UnitNorm()),
        ]
    norm = getattr(kind, name)
    return [
        kind.Dense(16),
        norm(),
        kind.ReLU(),
        kind.Dense(8),
        norm(),
        kind.ReLU(),
        kind.Dense(1),
    ]


@pytest.mark.parametrize(
    "name", ["BatchNormalization", "LayerNormalization", "penalties"]
)
def test_fifty_steps_of_training_are_those_of_keras(name: str) -> None:
    x = draw((50 * 32, 6), 1)
    y = np.tanh(x[:, :1] - x[:, 1:2] * x[:, 2:3])
    mine = chainrule.Sequential([layers.Input((6,)), *stack(chainrule, name)])
    theirs = keras.Sequential([keras.layers.Input((6,)), *stack(keras, name)])
    theirs.set_weights(mine.get_weights())
    mine.compile(chainrule.optimizers.SGD(0.05, momentum=0.9), "mse")
    theirs.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    options: dict[str, Any] = {"batch_size": 32, "shuffle": False, "verbose": 0}
    found = mine.fit(x, y, epochs=1, **options).history["loss"]
    expected = theirs.fit(x, y, epochs=1, **options).history["loss"]
    assert_close(np.float32(found), np.float32(expected), TRAINING)
    for own, other in zip(mine.weights, theirs.weights, strict=True):
        assert_close(own.numpy(), numbers(other), PARITY)
    measured = mine.evaluate(x, y, verbose=0)
    assert_close(
        np.float32(measured), np.float32(theirs.evaluate(x, y, verbose=0)), PARITY
    )
