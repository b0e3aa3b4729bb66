"""The U-Net: a class for every pixel."""

from __future__ import annotations

import os
from typing import Any

from chainrule import layers
from chainrule.applications.building import (
    INITIALIZER,
    InputShape,
    begin,
    check_classes,
    convolve,
    finish,
    normalize,
)
from chainrule.layers.layer import check_positive
from chainrule.models import Model


def UNet(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: InputShape = None,
    pooling: str | None = None,
    classes: int = 2,
    classifier_activation: Any = "softmax",
    name: str = "unet",
    filters: int = 64,
    depth: int = 4,
) -> Model:
    """A network that gives every pixel a class, from coarse to fine.

    On the way down, `depth` times two convolutions 3x3 and a pooling, with twice the
    channels each time; on the way up, a transposed convolution 2x2 doubles the size,
    the maps of the same size from the way down are put beside, and two convolutions
    follow. A convolution 1x1 gives the classes. Ronneberger, Fischer, Brox, "U-Net:
    convolutional networks for biomedical image segmentation", MICCAI 2015. Other than
    there, borders are padded, so that the result is as large as the picture, and every
    convolution 3x3 is followed by batch normalization, as is usual today.

    Args:
        include_top: whether to end in classes, else in `filters` maps.
        weights: a file of weights; None for fresh ones.
        input_tensor: a symbol to begin with.
        input_shape: of one picture; `(128, 128, 3)` where it is not told. Height and
            width may be None; they must be multiples of `2 ** depth`.
        pooling: without the top, `avg` or `max` over all positions.
        classes: how many.
        classifier_activation: over the classes of a pixel; None for scores.
        name: of the model.
        filters: channels of the first and last convolutions.
        depth: how often the size is halved.

    Returns:
        A functional model. Pictures `(n, height, width, channels)` become
        `(n, height, width, classes)`.

    Raises:
        ShapeError: for heights and widths that are no multiples of `2 ** depth`.
        ArgumentError: for arguments that make no network.

    Example:
        >>> UNet(input_shape=(64, 64, 1), filters=8, depth=2, classes=3).output_shape
        (None, 64, 64, 3)
    """
    check_positive(name, "filters", filters)
    divisor = 2 ** check_positive(name, "depth", depth)
    start = begin(name, input_tensor, input_shape, (128, 128, 3), divisor, divisor)
    x, beside = start, []
    for level in range(1, depth + 1):
        x = _pair(x, filters << (level - 1), f"down{level}")
        beside.append(x)
        x = layers.MaxPooling2D(name=f"down{level}_pool")(x)
    x = _pair(x, filters << depth, "bottom")
    for level in range(depth, 0, -1):
        x = _enlarge(x, filters << (level - 1), f"up{level}_transposed")
        x = layers.Concatenate(name=f"up{level}_concatenate")([beside[level - 1], x])
        x = _pair(x, filters << (level - 1), f"up{level}")
    if include_top:
        check_classes(name, classes, classifier_activation)
        x = layers.Conv2D(
            classes, 1, activation=classifier_activation, name="predictions"
        )(x)
    return finish(x, start, name, include_top, pooling, weights)


def _pair(x: Any, filters: int, name: str) -> Any:
    """Two convolutions 3x3."""
    for number in (1, 2):
        x = normalize(
            convolve(x, filters, 3, f"{name}_conv{number}"), f"{name}_bn{number}"
        )
        x = layers.ReLU(name=f"{name}_relu{number}")(x)
    return x


def _enlarge(x: Any, filters: int, name: str) -> Any:
    return layers.Conv2DTranspose(
        filters, 2, strides=2, kernel_initializer=INITIALIZER, name=name
    )(x)
