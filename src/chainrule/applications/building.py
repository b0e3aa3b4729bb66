"""What all builders share: the input, the head, the weights from a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from chainrule import layers
from chainrule.errors import ArgumentError, FormatError, ShapeError
from chainrule.functional.recording import Symbol
from chainrule.models import Model
from chainrule.models.foreign import KERAS, TORCH, Mapped
from chainrule.models.weights import HDF5, load_weights
from chainrule.training.saving import read_weights

INITIALIZER = "he_normal"  # He et al., "Delving deep into rectifiers", ICCV 2015
POOLINGS = (None, "avg", "max")
# As in PyTorch and the papers; Keras's own defaults are 0.99 and 1e-3.
MOMENTUM, EPSILON = 0.9, 1e-5

InputShape = Sequence[int | None] | None


def begin(
    name: str,
    input_tensor: Any,
    input_shape: InputShape,
    default: tuple[int, int, int],
    smallest: int,
    divisor: int = 1,
) -> Any:
    """The symbol with which a network begins.

    Args:
        name: of the network, for messages.
        input_tensor: a symbol to begin with; None makes a new input.
        input_shape: of one picture: height, width, channels.
        default: the shape where neither is told.
        smallest: of height and width.
        divisor: what height and width must be multiples of.

    Raises:
        ArgumentError: for an `input_tensor` that is no symbol, or has another shape.
        ShapeError: for pictures that the network cannot take.
    """
    if input_tensor is not None and not isinstance(input_tensor, Symbol):
        raise ArgumentError(
            "input_tensor is a symbol, as Input(...) gives it",
            where=name,
            got=type(input_tensor).__name__,
            fix="input_tensor=chainrule.Input((32, 32, 3))",
        )
    shape = _picture(name, input_tensor, input_shape, default)
    if len(shape) != 3 or not shape[-1] or shape[-1] < 1:
        raise ShapeError(
            "a picture has a height, a width and a known number of channels",
            where=name,
            got=shape,
            expected="(height, width, channels), channels last",
            fix=f"input_shape={default}",
        )
    for axis, length in zip(("height", "width"), shape, strict=False):
        _check_side(name, axis, length, smallest, divisor)
    return layers.Input(shape) if input_tensor is None else input_tensor


def _picture(
    name: str, tensor: Any, shape: InputShape, default: tuple[int, int, int]
) -> tuple[int | None, ...]:
    """The shape of one picture."""
    if tensor is None:
        return default if shape is None else tuple(shape)
    found = tuple(tensor.shape[1:])
    if shape is not None and tuple(shape) != found:
        raise ArgumentError(
            "input_tensor and input_shape say different things",
            where=name,
            got=f"input_tensor of shape {found}, input_shape={tuple(shape)}",
            fix="give one of them",
        )
    return found


def _check_side(
    name: str, axis: str, length: int | None, smallest: int, divisor: int
) -> None:
    if length is None:
        return
    if length < smallest:
        raise ShapeError(
            f"the pictures are too small: nothing would be left of their {axis}",
            where=name,
            got=f"{axis} {length}",
            expected=f"at least {smallest}",
            fix=f"chainrule.layers.Resizing({smallest}, {smallest}) before it",
        )
    if length % divisor:
        near = -(-length // divisor) * divisor
        raise ShapeError(
            f"the {axis} is halved again and again, and must come out even",
            where=name,
            got=f"{axis} {length}",
            expected=f"a multiple of {divisor}, such as {near}",
            fix="chainrule.layers.Resizing or ZeroPadding2D before it, or less depth",
        )


def finish(
    x: Any,
    input_symbol: Any,
    name: str,
    include_top: bool,
    pooling: str | None,
    weights: str | os.PathLike[str] | None,
    torch_names: Mapped | None = None,
) -> Model:
    """The model from the input to `x`, pooled without a top, its weights loaded.

    `torch_names` are the names of layers in PyTorch's files; without, order tells.

    Raises:
        ArgumentError: for an unknown `pooling`, and for weights that are no file.
        FormatError: when a file has other weights.
    """
    if pooling not in POOLINGS:
        raise ArgumentError(
            "there is no such pooling",
            where=name,
            got=f"pooling={pooling!r}",
            expected="None, 'avg' or 'max'",
        )
    if not include_top and pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    elif not include_top and pooling == "max":
        x = layers.GlobalMaxPooling2D(name="max_pool")(x)
    model = Model(_sources(input_symbol), x, name=name)
    if weights is not None:
        _load(model, weights, include_top, torch_names)
    return model


def _sources(symbol: Any) -> Any:
    """What a model begins with so that `symbol` can be computed: one, or a list."""
    found: dict[int, Any] = {}
    waiting = [symbol]
    while waiting:
        each = waiting.pop()
        if each.call.inputs:
            waiting += each.call.inputs
        else:
            found[id(each)] = each
    several = list(found.values())
    return several[0] if len(several) == 1 else several


def _layout(path: str | os.PathLike[str]) -> str | None:
    """Whose weights a file holds."""
    if str(path).endswith(HDF5):
        return KERAS
    return TORCH if any(n.endswith(".weight") for n in read_weights(path)) else None


def _load(
    model: Model,
    path: str | os.PathLike[str],
    include_top: bool,
    torch_names: Mapped | None,
) -> None:
    """Load weights; those of a head that is not there are left out."""
    if not os.path.exists(path):
        raise ArgumentError(
            "there is no such file of weights; none come with chainrule",
            where=model.name,
            got=f"weights={str(path)!r}",
            expected="None, or a file that save or save_weights wrote",
        )
    layout = _layout(path)
    names = torch_names if layout == TORCH else None
    report = load_weights(model, path, include_top, layout, names)
    if report.missing or report.mismatched:
        raise FormatError(
            "the weights in the file are not those of this network",
            where=str(path),
            got=f"{len(report.missing)} missing, {len(report.mismatched)} of another "
            "shape",
            expected=f"the weights of {model.name}",
        )


def check_classes(name: str, classes: int, activation: Any) -> None:
    """Refuse a head that cannot learn.

    Raises:
        ArgumentError: for fewer than one class, and a softmax over one.
    """
    if not isinstance(classes, int) or classes < 1:
        raise ArgumentError(
            "a head has one class or more",
            where=name,
            got=f"classes={classes!r}",
            expected="a positive integer",
        )
    if classes == 1 and activation == "softmax":
        raise ArgumentError(
            "the softmax of a single class is 1, whatever the picture",
            where=name,
            got="classes=1, classifier_activation='softmax'",
            fix="classifier_activation='sigmoid' for yes or no, or classes=2",
        )


def classify(x: Any, name: str, classes: int, activation: Any) -> Any:
    """A dense layer of classes, after the mean over all positions.

    Raises:
        ArgumentError: for a head that cannot learn.
    """
    check_classes(name, classes, activation)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return layers.Dense(classes, activation, name="predictions")(x)


def convolve(
    x: Any, filters: int, kernel_size: int, name: str, strides: int = 1
) -> Any:
    """A convolution without bias; a batch normalization follows it.

    A step of two begins one pixel outside of the picture, as in PyTorch and the papers;
    `same` of Keras would begin inside.
    """
    border = (kernel_size - 1) // 2
    framed = strides > 1 and border > 0
    if framed:
        x = layers.ZeroPadding2D(border, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="valid" if framed else "same",
        use_bias=False,
        kernel_initializer=INITIALIZER,
        name=name,
    )(x)


def normalize(x: Any, name: str) -> Any:
    """Batch normalization over the channels."""
    return layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=name)(x)
