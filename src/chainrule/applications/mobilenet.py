"""A small network of separable convolutions."""

from __future__ import annotations

import os
from typing import Any

from chainrule import layers
from chainrule.applications.building import (
    INITIALIZER,
    InputShape,
    begin,
    classify,
    convolve,
    finish,
    normalize,
)
from chainrule.errors import ArgumentError
from chainrule.models import Model

STEM = 32
# of each block: its channels, and the step of its depthwise convolution
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
MULTIPLE = 8  # of channels, so that they fill vectors whatever alpha is


def MobileNetSmall(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: InputShape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "mobilenet_small",
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 0.001,
) -> Model:
    """MobileNet with half of its blocks: channels weighed one by one, then mixed.

    A convolution 3x3 with step 2, seven blocks of a depthwise convolution 3x3 and a
    convolution 1x1, each with batch normalization and ReLU6, from 64 to 512 channels
    and to 1/16 of the size; the mean over all positions; dropout; the classes. Howard
    et al., "MobileNets: efficient convolutional neural networks for mobile vision
    applications", 2017, which has 13 blocks.

    Args:
        include_top: whether to end in classes, else in feature maps.
        weights: a file of weights; None for fresh ones.
        input_tensor: a symbol to begin with.
        input_shape: of one picture; `(96, 96, 3)` where it is not told. Height and
            width may be None.
        pooling: without the top, `avg` or `max` over all positions.
        classes: how many.
        classifier_activation: of the last layer; None for scores.
        name: of the model.
        alpha: by what all numbers of channels are multiplied; they are then rounded to
            multiples of 8.
        depth_multiplier: outputs of a depthwise convolution for each channel.
        dropout: the share of features that the head loses while training.

    Returns:
        A functional model. Pictures `(n, height, width, channels)` become
        `(n, classes)`.

    Raises:
        ShapeError: for pictures smaller than 32 by 32.
        ArgumentError: for arguments that make no network.

    Example:
        >>> MobileNetSmall(include_top=False, alpha=0.5, pooling="avg").output_shape
        (None, 256)
    """
    start = begin(name, input_tensor, input_shape, (96, 96, 3), smallest=32)
    if not 0 < alpha < float("inf"):
        raise ArgumentError(
            "channels are multiplied by a positive number",
            where=name,
            got=f"alpha={alpha!r}",
            expected="such as 0.25, 0.5 or 1.0",
        )
    x = convolve(start, _scaled(STEM, alpha), 3, "stem_conv", 2)
    x = _activate(x, "stem")
    for number, (filters, strides) in enumerate(BLOCKS, start=1):
        x = _depthwise(x, depth_multiplier, strides, f"block{number}_depthwise")
        x = convolve(x, _scaled(filters, alpha), 1, f"block{number}_pointwise")
        x = _activate(x, f"block{number}_pointwise")
    if include_top:
        x = layers.Dropout(dropout, name="dropout")(x) if dropout else x
        x = classify(x, name, classes, classifier_activation)
    return finish(x, start, name, include_top, pooling, weights)


def _scaled(filters: int, alpha: float) -> int:
    """Channels times alpha, as a multiple of 8, and not less than 90% of it.

    Example:
        >>> _scaled(64, 0.5), _scaled(32, 0.3), _scaled(32, 0.01)
        (32, 16, 8)
    """
    wanted = filters * alpha
    near = max(MULTIPLE, int(wanted + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return near + MULTIPLE if near < 0.9 * wanted else near


def _activate(x: Any, name: str) -> Any:
    return layers.ReLU(6.0, name=f"{name}_relu")(normalize(x, f"{name}_bn"))


def _depthwise(x: Any, depth_multiplier: int, strides: int, name: str) -> Any:
    if strides > 1:
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.DepthwiseConv2D(
        3,
        strides,
        padding="valid" if strides > 1 else "same",
        depth_multiplier=depth_multiplier,
        use_bias=False,
        depthwise_initializer=INITIALIZER,
        name=name,
    )(x)
    return _activate(x, name)
