"""LeNet-5."""

from __future__ import annotations

import os
from typing import Any

from chainrule import layers
from chainrule.applications.building import (
    INITIALIZER,
    InputShape,
    begin,
    check_classes,
    finish,
)
from chainrule.models import Model

SMALLEST = 28


def LeNet5(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: InputShape = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Any = "softmax",
    name: str = "lenet5",
    activation: Any = "tanh",
) -> Model:
    """The network that read cheques: two convolutions, three dense stages.

    `conv 6 @ 5x5 - pool - conv 16 @ 5x5 - pool - conv 120 @ 5x5 - dense 84 - classes`.
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
    recognition", 1998. A picture of 28 by 28 gets a border of two pixels, as there.
    As everywhere today, pooling has no weights, every map of the second convolution
    sees all of the first, and the classes are a softmax.

    Args:
        include_top: whether to end in classes, else after the second pooling.
        weights: a file of weights; None for fresh ones.
        input_tensor: a symbol to begin with.
        input_shape: of one picture; `(28, 28, 1)` where it is not told.
        pooling: without the top, `avg` or `max` over all positions.
        classes: how many.
        classifier_activation: of the last layer; None for scores.
        name: of the model.
        activation: of all other layers; with `relu` weights begin as He proposed, else
            as LeCun did.

    Returns:
        A functional model. Pictures `(n, height, width, channels)` become
        `(n, classes)`.

    Raises:
        ShapeError: for pictures smaller than 28 by 28 where `include_top`.
        ArgumentError: for arguments that make no network.

    Example:
        >>> LeNet5().count_params()
        61706
    """
    smallest = SMALLEST if include_top else 12
    start = begin(name, input_tensor, input_shape, (28, 28, 1), smallest)
    options = {
        "activation": activation,
        "kernel_initializer": INITIALIZER if activation == "relu" else "lecun_normal",
    }
    x = layers.Conv2D(6, 5, padding="same", name="conv1", **options)(start)
    x = layers.AveragePooling2D(name="pool1")(x)
    x = layers.Conv2D(16, 5, name="conv2", **options)(x)
    x = layers.AveragePooling2D(name="pool2")(x)
    if include_top:
        check_classes(name, classes, classifier_activation)
        x = layers.Conv2D(120, 5, name="conv3", **options)(x)
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(84, name="dense", **options)(x)
        x = layers.Dense(classes, classifier_activation, name="predictions")(x)
    return finish(x, start, name, include_top, pooling, weights)
