"""Recognise small images by dense layers alone: data, network, training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import layers, optimizers, random
from chainrule.datasets import digits, mnist
from chainrule.errors import ArgumentError
from chainrule.models import Sequential
from chainrule.training.callbacks import Callback
from chainrule.training.history import History

Array = np.ndarray[Any, Any]

CLASSES = 10
BRIGHTEST = 255.0
LOADERS: dict[str, Callable[[], Any]] = {
    "digits": digits.load_data,
    "mnist": mnist.load_data,
}


@dataclass(frozen=True)
class Images:
    """A data set of labelled images.

    Attributes:
        name: `digits` or `mnist`.
        x_train: images, rows first.
        y_train: their classes.
        x_test: images that training does not see.
        y_test: their classes.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.x_train.shape[1:]


def load_images(name: str) -> Images:
    """The data set of this name.

    Raises:
        ArgumentError: when there is none.
        DownloadError: when it is not here and cannot be fetched.
    """
    if name not in LOADERS:
        raise ArgumentError(
            "there is no such data set",
            where="data",
            got=repr(name),
            expected=" or ".join(LOADERS),
        )
    (x_train, y_train), (x_test, y_test) = LOADERS[name]()
    return Images(name, x_train, y_train, x_test, y_test)


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        epochs: passes over the data.
        batch_size: rows of a step.
        hidden: the widths of the hidden layers.
        activation: of the hidden layers.
        optimizer: its name.
        learning_rate: None takes the optimizer's own default.
        dropout: the share of units dropped after each hidden layer.
        seed: decides the first weights, the order of rows, and dropout.

    Example:
        >>> Plan(hidden=(32,), epochs=3).hidden
        (32,)
    """

    epochs: int = 10
    batch_size: int = 32
    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    optimizer: str = "adam"
    learning_rate: float | None = None
    dropout: float = 0.0
    seed: int = 0


def build(plan: Plan, images: Images) -> Sequential:
    """A compiled network for these images: it takes them as the data set gives them.

    Pixels of 0 to 255 are divided by 255 within the network, so that whoever uses it
    later need not know.
    """
    parts: list[Any] = [layers.Input(images.shape)]
    if images.x_train.dtype == np.uint8:
        parts.append(layers.Rescaling(1 / BRIGHTEST))
    parts.append(layers.Flatten())
    for width in plan.hidden:
        parts.append(layers.Dense(width, activation=plan.activation))
        if plan.dropout:
            parts.append(layers.Dropout(plan.dropout))
    parts.append(layers.Dense(CLASSES, activation="softmax"))
    with random.stream(random.key(plan.seed)):
        model = Sequential(parts, name=images.name)
    optimizer = optimizers.get(plan.optimizer)
    if plan.learning_rate is not None:
        optimizer.learning_rate = plan.learning_rate
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(
    model: Sequential,
    images: Images,
    plan: Plan,
    verbose: str | int = "auto",
    callbacks: Sequence[Callback] = (),
    resume: Path | None = None,
) -> History:
    """Train on the training images; the test images are measured after each epoch.

    Nothing is chosen by what is measured on the test images, so the last accuracy is
    what new images can expect.
    """
    return model.fit(
        images.x_train,
        images.y_train,
        batch_size=plan.batch_size,
        epochs=plan.epochs,
        validation_data=(images.x_test, images.y_test),
        seed=plan.seed,
        verbose=verbose,
        callbacks=callbacks,
        resume=resume,
    )
