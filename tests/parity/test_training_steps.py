"""The loss of each of 100 training steps, against PyTorch's and Keras's own.

All start from the same weights and take the same batches. PyTorch is the measure where
its formula is ours; RMSprop and Adam place epsilon as Keras does, so there PyTorch is
given one too small to matter, and Keras the usual one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from chainrule import functional, losses, optimizers
from chainrule.autodiff import value_and_grad
from chainrule.layers import Dense, Layer
from chainrule.loops import Loop
from chainrule.variable import substitute
from tests.tolerances import TRAINING, assert_close

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")

torch.set_num_threads(1)  # small arrays: more threads only wait for one another
STEPS, ROWS, INPUTS, HIDDEN, CLASSES = 100, 32, 20, 16, 5
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Task:
    """A network's last activation, its loss, and data for it.

    Attributes:
        units: the width of the last layer.
        activation: of the last layer.
        loss: its name in chainrule and Keras.
        labels: labels from class numbers.
        torch_loss: from the last layer's sums and the labels.
    """

    units: int
    activation: str
    loss: str
    labels: Callable[[Array], Array]
    torch_loss: Callable[[Any, Any], Any]


def one_hot(classes: Array) -> Array:
    return np.eye(CLASSES, dtype="float32")[classes]


def is_even(classes: Array) -> Array:
    return (classes % 2 == 0).astype("float32")[:, None]


TASKS = {
    "sparse": Task(
        CLASSES,
        "softmax",
        "sparse_categorical_crossentropy",
        lambda classes: classes,
        lambda x, y: torch.nn.functional.cross_entropy(x, y),
    ),
    "categorical": Task(
        CLASSES,
        "softmax",
        "categorical_crossentropy",
        one_hot,
        lambda x, y: torch.nn.functional.cross_entropy(x, y),
    ),
    "binary": Task(
        1,
        "sigmoid",
        "binary_crossentropy",
        is_even,
        lambda x, y: torch.nn.functional.binary_cross_entropy_with_logits(x, y),
    ),
    "squares": Task(
        CLASSES,
        "linear",
        "mean_squared_error",
        one_hot,
        lambda x, y: torch.nn.functional.mse_loss(x, y),
    ),
    "huber": Task(
        CLASSES,
        "linear",
        "huber",
        one_hot,
        lambda x, y: torch.nn.functional.huber_loss(x, y),
    ),
}


@dataclass(frozen=True)
class Case:
    """An optimizer under its names in chainrule (and Keras) and PyTorch."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    torch_name: str = ""
    torch_arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"{self.name}({', '.join(f'{k}={v}' for k, v in self.arguments.items())})"
        )


RATE = {"learning_rate": 0.05}
CASES = [
    Case("SGD", RATE, "SGD", {"lr": 0.05}),
    Case("SGD", {**RATE, "momentum": 0.9}, "SGD", {"lr": 0.05, "momentum": 0.9}),
    Case(
        "SGD",
        {**RATE, "momentum": 0.9, "nesterov": True},
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    ),
    Case(
        "RMSprop",
        {"learning_rate": 0.01, "epsilon": 1e-14},
        "RMSprop",
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-7},
    ),
    Case(
        "Adam",
        {"learning_rate": 0.01, "epsilon": 1e-9},
        "Adam",
        {"lr": 0.01, "eps": 1e-9},
    ),
    Case(
        "AdamW",
        {"learning_rate": 0.01, "epsilon": 1e-9, "weight_decay": 0.1},
        "AdamW",
        {"lr": 0.01, "eps": 1e-9, "weight_decay": 0.1},
    ),
]
KERAS_CASES = [
    Case("SGD", {**RATE, "momentum": 0.9}),
    Case("SGD", {**RATE, "momentum": 0.9, "nesterov": True}),
    Case("SGD", {**RATE, "momentum": 0.9, "weight_decay": 0.1}),
    Case("SGD", {**RATE, "clipnorm": 0.2}),
    Case("SGD", {**RATE, "clipvalue": 0.02}),
    Case("SGD", {**RATE, "global_clipnorm": 0.2}),
    Case("RMSprop"),
    Case("RMSprop", {"momentum": 0.5, "centered": True, "rho": 0.8}),
    Case("Adam"),
    Case("Adam", {"learning_rate": 0.01, "amsgrad": True}),
    Case("AdamW"),
    Case("AdamW", {"learning_rate": 0.01, "weight_decay": 0.1}),
    Case("SGD", {**RATE, "gradient_accumulation_steps": 3, "clipnorm": 0.2}),
    Case("Adam", {"gradient_accumulation_steps": 4, "use_ema": True}),
    Case("Adam", {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 5}),
    Case("Adam", {"loss_scale_factor": 1 / 64}),
    Case("Adamax", {"learning_rate": 0.01, "weight_decay": 0.1}),
    Case("Nadam"),
    Case("Nadam", {"learning_rate": 0.01, "weight_decay": 0.1}),
    Case("Adagrad", RATE),
    Case("Adadelta", {"learning_rate": 1.0}),
    Case("Adafactor", {"learning_rate": 0.1}),
    Case("Adafactor", {"learning_rate": 0.01, "weight_decay": 0.1}),
    Case("Ftrl", {"learning_rate": 0.1}),
    Case(
        "Ftrl",
        {
            "learning_rate": 0.1,
            "learning_rate_power": -0.6,
            "l1_regularization_strength": 0.01,
            "l2_regularization_strength": 0.01,
            "l2_shrinkage_regularization_strength": 0.01,
            "beta": 0.5,
            "weight_decay": 0.01,
        },
    ),
    Case("Lion", {"learning_rate": 0.003, "weight_decay": 0.1}),
    Case("Lamb", {"learning_rate": 0.01}),
    Case("Lamb", {"learning_rate": 0.01, "weight_decay": 0.1}),
    Case("Muon", {"learning_rate": 0.01}),
    Case(
        "Muon",
        {
            "learning_rate": 0.01,
            "exclude_layers": ["last"],
            "nesterov": False,
            "rms_rate": None,
            "adam_lr_ratio": 0.5,
        },
    ),
]
# in the first, PyTorch's divisors are given an epsilon too small to matter
CASES += [
    Case(
        "Adamax",
        {"learning_rate": 0.01, "epsilon": 1e-12},
        "Adamax",
        {"lr": 0.01, "eps": 1e-12},
    ),
    Case(
        "Adagrad",
        {**RATE, "epsilon": 0.0},
        "Adagrad",
        {"lr": 0.05, "eps": 0.0, "initial_accumulator_value": 0.1},
    ),
    Case(
        "Adadelta",
        {"learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-6},
        "Adadelta",
        {"lr": 1.0, "rho": 0.9, "eps": 1e-6},
    ),
]


def make_data(task: Task) -> tuple[Array, Array]:
    """Classes that are a noisy function of the inputs, so that much can be learnt."""
    random = np.random.default_rng(1)
    x = random.normal(size=(STEPS * ROWS, INPUTS)).astype("float32")
    scores = np.tanh(x @ random.normal(size=(INPUTS, CLASSES)))
    noise = random.normal(size=scores.shape) * 0.1
    return x, task.labels(np.argmax(scores + noise, axis=1))


def make_weights(task: Task) -> list[Array]:
    random = np.random.default_rng(2)
    widths = [INPUTS, HIDDEN, task.units]
    weights: list[Array] = []
    for inputs, units in pairwise(widths):
        kernel = random.normal(size=(inputs, units)) / np.sqrt(inputs)
        weights += [kernel.astype("float32"), np.zeros(units, "float32")]
    return weights


def our_losses(task: Task, case: Case) -> Array:
    x, y = make_data(task)
    net: Sequence[Layer] = [
        Dense(HIDDEN, "tanh"),
        Dense(task.units, task.activation, name="last"),
    ]
    for layer, width in zip(net, (INPUTS, HIDDEN), strict=True):
        layer.build_for((None, width))
    variables = [variable for layer in net for variable in layer.weights]
    loss = losses.get(task.loss)
    optimizer = optimizers.get({"class_name": case.name, "config": case.arguments})
    optimizer.build(variables)

    def loss_of(params: list[Any], inputs: Any, labels: Any) -> Any:
        with substitute(variables, params):
            for layer in net:
                inputs = layer(inputs, training=True)
        return loss(labels, inputs)

    def step(state: Any, batch: Any) -> Any:
        value, grads = value_and_grad(loss_of)(state["params"], *batch)
        params, new = optimizer.update(grads, state["optimizer"], state["params"])
        row = functional.reshape(value, (1,))
        return {"params": params, "optimizer": new}, row

    params = [functional.asarray(w) for w in make_weights(task)]
    loop = Loop(step)
    loop.begin({"params": params, "optimizer": optimizer.init(params)}, (x, y))
    result: Array = loop.run(np.arange(len(x)), ROWS).numpy()
    return result


def torch_losses(task: Task, case: Case) -> Array:
    x, y = (torch.tensor(array) for array in make_data(task))
    params = [torch.tensor(w, requires_grad=True) for w in make_weights(task)]
    first, first_bias, last, last_bias = params
    optimizer = getattr(torch.optim, case.torch_name)(params, **case.torch_arguments)
    found = []
    for start in range(0, len(x), ROWS):
        hidden = torch.tanh(x[start : start + ROWS] @ first + first_bias)
        value = task.torch_loss(hidden @ last + last_bias, y[start : start + ROWS])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(value.item())
    return np.array(found, "float32")


def keras_losses(task: Task, case: Case) -> Array:
    if keras.backend.backend() != "torch":
        pytest.skip("set KERAS_BACKEND=torch")
    x, y = make_data(task)
    net = keras.Sequential(
        [
            keras.Input((INPUTS,)),
            keras.layers.Dense(HIDDEN, "tanh"),
            keras.layers.Dense(task.units, task.activation, name="last"),
        ]
    )
    net.set_weights(make_weights(task))
    names = {"huber": "Huber"}
    loss = keras.losses.get(names.get(task.loss, task.loss))
    optimizer = getattr(keras.optimizers, case.name)(**case.arguments)
    variables = net.trainable_weights
    found = []
    for start in range(0, len(x), ROWS):
        outputs = net(x[start : start + ROWS], training=True)
        value = keras.ops.mean(loss(y[start : start + ROWS], outputs))
        net.zero_grad()
        value.backward()
        grads = [variable.value.grad for variable in variables]
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Nadam copies tensors in an old way
            optimizer.apply(grads, variables)
        found.append(value.item())
    return np.array(found, "float32")


def check(actual: Array, expected: Array) -> None:
    assert_close(actual, expected, TRAINING)
    learnt = expected[-10:].mean() < 0.995 * expected[:10].mean()
    assert learnt, "a loss that does not move compares nothing"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_step_follows_pytorch(case: Case) -> None:
    task = TASKS["sparse"]
    check(our_losses(task, case), torch_losses(task, case))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_loss_follows_pytorch(task: Task) -> None:
    case = CASES[1]
    check(our_losses(task, case), torch_losses(task, case))


@pytest.mark.parametrize("case", KERAS_CASES, ids=str)
def test_every_step_follows_keras(case: Case) -> None:
    task = TASKS["sparse"]
    check(our_losses(task, case), keras_losses(task, case))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_loss_follows_keras(task: Task) -> None:
    case = KERAS_CASES[0]
    check(our_losses(task, case), keras_losses(task, case))
