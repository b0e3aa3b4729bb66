"""A network that finds objects: residual stages, a feature pyramid, a shared head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainrule import initializers, layers
from chainrule.layers.detection import SIDES
from chainrule.models import Model

TASK = "detect"
HALF = 127.5
RARE = 0.01  # what every class scores before training: most places show nothing
SMALL = 1e-2  # of the first weights of the last layer
FIRST_REACH = 2.0  # strides from a place to the sides of its box, before training
MOMENTUM = 0.97  # of the moving statistics: an average of some thirty steps


@dataclass(frozen=True)
class Size:
    """How large a detector is, and at what steps it looks.

    Attributes:
        height: of the pictures that it takes, a multiple of the last stride.
        width: of these pictures.
        strides: pixels from place to place, for each level: powers of two, each twice
            the one before.
        stem: channels of the first layer.
        stages: channels after each halving, from stride 4 on.
        blocks: residual blocks in each stage.
        pyramid: channels of the pyramid and of the head.
        head: convolutions of the head before the last.
    """

    height: int
    width: int
    strides: tuple[int, ...] = (8, 16, 32)
    stem: int = 16
    stages: tuple[int, ...] = (32, 64, 128, 128)
    blocks: int = 1
    pyramid: int = 64
    head: int = 2


def build_network(size: Size, class_names: Sequence[str]) -> Model:
    """The network: bytes of a picture in, boxes and logits of the classes out.

    Stages of residual blocks halve the picture again and again; the pyramid adds what
    the coarse stages see to the finer ones (Lin and others, "Feature pyramid networks
    for object detection", CVPR 2017); a head shared by all levels, with batch
    normalization of their own, says at every place how far the sides of a box are and
    how likely the classes. See `BoxDecoder` for the output.
    """
    picture = layers.Input((size.height, size.width, 3), name="picture")
    maps = _stages(layers.Rescaling(1 / HALF, -1.0)(picture), size)
    levels = _pyramid([maps[stride] for stride in size.strides], size)
    found = _head(levels, size, len(class_names))
    decode = layers.BoxDecoder(size.strides, name="detections")
    network = Model(picture, decode(found), name="detector")
    network.notes = {"task": TASK, "class_names": [str(name) for name in class_names]}
    return network


def is_detector(model: Any) -> bool:
    """Whether a model is one that finds objects."""
    return bool(model.notes.get("task") == TASK)


def _convolve(x: Any, name: str, filters: int, kernel: int = 3, stride: int = 1) -> Any:
    """A convolution and batch normalization.

    Names are given, so that the weights of every equal network have the same.
    """
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return _normalize(x, name)


def _normalize(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x)


def _relu(x: Any) -> Any:
    return layers.ReLU()(x)


def _stages(x: Any, size: Size) -> dict[int, Any]:
    """The maps of the picture by their strides."""
    x = _relu(_convolve(x, "stem", size.stem, stride=2))
    maps, stride = {}, 2
    for filters in size.stages:
        stride *= 2
        name = f"stage_{stride}"
        x = _relu(_convolve(x, name, filters, stride=2))
        for number in range(size.blocks):
            inner = _relu(_convolve(x, f"{name}_block_{number}_a", filters))
            inner = _convolve(inner, f"{name}_block_{number}_b", filters)
            x = _relu(layers.Add()([x, inner]))
        maps[stride] = x
        if stride == size.strides[-1]:
            break
    return maps


def _pyramid(maps: Sequence[Any], size: Size) -> list[Any]:
    """Maps of equal channels that know what the coarser ones show."""
    levels: list[Any] = []
    pairs = list(zip(size.strides, maps, strict=True))
    for stride, x in reversed(pairs):
        level = _convolve(x, f"lateral_{stride}", size.pyramid, 1)
        if levels:
            level = layers.Add()([level, layers.UpSampling2D(2)(levels[0])])
        levels.insert(0, level)
    return [
        _relu(_convolve(level, f"level_{stride}", size.pyramid))
        for stride, level in zip(size.strides, levels, strict=True)
    ]


def _head(levels: Sequence[Any], size: Size, classes: int) -> list[Any]:
    """Channels for the sides of boxes and the classes, at every place."""
    rare = -math.log(1 / RARE - 1)
    towers = [
        _tower(levels, size, "box", SIDES, FIRST_REACH),
        _tower(levels, size, "class", classes, rare),
    ]
    return [layers.Concatenate()(list(pair)) for pair in zip(*towers, strict=True)]


def _tower(
    levels: Sequence[Any], size: Size, name: str, outputs: int, bias: float
) -> list[Any]:
    """Convolutions that all levels share; each level has its own normalization."""
    shared = [
        layers.Conv2D(
            size.pyramid,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_{number}",
        )
        for number in range(size.head)
    ]
    last = layers.Conv2D(
        outputs,
        1,
        kernel_initializer=initializers.RandomNormal(stddev=SMALL),
        bias_initializer=initializers.Constant(bias),
        name=f"{name}_out",
    )
    found = []
    for stride, x in zip(size.strides, levels, strict=True):
        for number, convolution in enumerate(shared):
            x = _relu(_normalize(convolution(x), f"{name}_{number}_{stride}"))
        found.append(last(x))
    return found
