"""Residual networks: those for small pictures, and the smallest for large ones."""

from __future__ import annotations

import os
from typing import Any

from chainrule import functional, layers
from chainrule.applications.building import (
    InputShape,
    begin,
    classify,
    convolve,
    finish,
    normalize,
)
from chainrule.applications.names import torch_names
from chainrule.models import Model

SMALL_WIDTHS = (16, 32, 64)
LARGE_WIDTHS = (64, 128, 256, 512)


def ResNet20(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: InputShape = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Any = "softmax",
    name: str = "resnet20",
) -> Model:
    """The residual network of 20 layers for small pictures such as CIFAR-10.

    A convolution 3x3 of 16 channels, then three stages of three blocks with 16, 32 and
    64 channels, the second and third of half the size; the mean over all positions;
    the classes. A block is `relu(x + bn(conv(relu(bn(conv(x))))))`, both 3x3. He,
    Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, section
    4.2. Where a stage begins, the shortcut takes every second pixel and fills the new
    channels with zeros (option A there), which needs no weights.

    Args:
        include_top: whether to end in classes, else in 64 feature maps.
        weights: a file of weights; None for fresh ones.
        input_tensor: a symbol to begin with.
        input_shape: of one picture; `(32, 32, 3)` where it is not told. Height and
            width may be None.
        pooling: without the top, `avg` or `max` over all positions.
        classes: how many.
        classifier_activation: of the last layer; None for scores.
        name: of the model.

    Returns:
        A functional model. Pictures `(n, height, width, channels)` become
        `(n, classes)`.

    Raises:
        ShapeError: for pictures smaller than 8 by 8.
        ArgumentError: for arguments that make no network.

    Example:
        >>> model = ResNet20(classes=7)
        >>> model.output_shape
        (None, 7)
    """
    start = begin(name, input_tensor, input_shape, (32, 32, 3), smallest=8)
    x = _small(start, blocks=3)
    if include_top:
        x = classify(x, name, classes, classifier_activation)
    return finish(x, start, name, include_top, pooling, weights, torch_names)


def ResNet32(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: InputShape = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Any = "softmax",
    name: str = "resnet32",
) -> Model:
    """The residual network of 32 layers: `ResNet20` with five blocks in a stage.

    The arguments, the result and the errors are those of `ResNet20`.

    Example:
        >>> ResNet32().count_params() > ResNet20().count_params()
        True
    """
    start = begin(name, input_tensor, input_shape, (32, 32, 3), smallest=8)
    x = _small(start, blocks=5)
    if include_top:
        x = classify(x, name, classes, classifier_activation)
    return finish(x, start, name, include_top, pooling, weights, torch_names)


def ResNet18(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: InputShape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "resnet18",
    small_pictures: bool = False,
) -> Model:
    """The residual network of 18 layers.

    A convolution 7x7 with step 2, a pooling 3x3 with step 2, four stages of two blocks
    with 64, 128, 256 and 512 channels; the mean over all positions; the classes. Where
    a stage begins, the shortcut is a convolution 1x1 (option B). He, Zhang, Ren, Sun,
    "Deep residual learning for image recognition", CVPR 2016, table 1. Borders are
    those of PyTorch, so that its weights give its numbers.

    Args:
        include_top: whether to end in classes, else in 512 feature maps.
        weights: a file of weights; None for fresh ones.
        input_tensor: a symbol to begin with.
        input_shape: of one picture; `(224, 224, 3)` where it is not told, `(32, 32, 3)`
            with `small_pictures`. Height and width may be None.
        pooling: without the top, `avg` or `max` over all positions.
        classes: how many.
        classifier_activation: of the last layer; None for scores.
        name: of the model.
        small_pictures: whether to begin with a convolution 3x3 of step 1 and without
            pooling, so that pictures of 32 by 32 are not shrunk to a pixel.

    Returns:
        A functional model. Pictures `(n, height, width, channels)` become
        `(n, classes)`.

    Raises:
        ShapeError: for pictures smaller than 32 by 32, or 8 with `small_pictures`.
        ArgumentError: for arguments that make no network.

    Example:
        >>> ResNet18(small_pictures=True, classes=10).count_params()
        11183562
    """
    side, smallest = (32, 8) if small_pictures else (224, 32)
    start = begin(name, input_tensor, input_shape, (side, side, 3), smallest)
    if small_pictures:
        x = _stem(start, LARGE_WIDTHS[0], 3, 1)
    else:
        x = _stem(start, LARGE_WIDTHS[0], 7, 2)
        # what is pooled is not negative: a border of zeros never wins
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    x = _stages(x, LARGE_WIDTHS, 2, projected=True)
    if include_top:
        x = classify(x, name, classes, classifier_activation)
    return finish(x, start, name, include_top, pooling, weights, torch_names)


def _small(x: Any, blocks: int) -> Any:
    """The feature maps of a network for small pictures."""
    x = _stem(x, SMALL_WIDTHS[0], 3, 1)
    return _stages(x, SMALL_WIDTHS, blocks, projected=False)


def _stem(x: Any, filters: int, kernel_size: int, strides: int) -> Any:
    x = convolve(x, filters, kernel_size, "stem_conv", strides)
    return layers.ReLU(name="stem_relu")(normalize(x, "stem_bn"))


def _stages(x: Any, widths: tuple[int, ...], blocks: int, projected: bool) -> Any:
    """Blocks of equal width form a stage; all but the first begin with a step of 2."""
    for stage, filters in enumerate(widths, start=1):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _block(x, filters, strides, projected, f"stage{stage}_block{block}")
    return x


def _block(x: Any, filters: int, strides: int, projected: bool, name: str) -> Any:
    inside = convolve(x, filters, 3, f"{name}_conv1", strides)
    inside = layers.ReLU(name=f"{name}_relu1")(normalize(inside, f"{name}_bn1"))
    inside = convolve(inside, filters, 3, f"{name}_conv2")
    inside = normalize(inside, f"{name}_bn2")
    if strides > 1:
        x = _project(x, filters, name) if projected else _widen(x, filters)
    total = layers.Add(name=f"{name}_add")([inside, x])
    return layers.ReLU(name=f"{name}_relu2")(total)


def _project(x: Any, filters: int, name: str) -> Any:
    """Option B: a convolution 1x1 with a step of 2."""
    x = convolve(x, filters, 1, f"{name}_shortcut_conv", 2)
    return normalize(x, f"{name}_shortcut_bn")


def _widen(x: Any, filters: int) -> Any:
    """Option A: every second pixel, new channels of zeros on both sides."""
    new = filters - x.shape[-1]
    sides = (new // 2, new - new // 2)
    return functional.pad(x[:, ::2, ::2], [(0, 0), (0, 0), (0, 0), sides])
