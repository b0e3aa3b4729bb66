"""Small pictures of discs, crosses and squares, a folder for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from chainrule import layers

Array = np.ndarray[Any, Any]
KINDS = ("cross", "disc", "square")


def draw_class(
    numbers: np.random.Generator, kind: str, size: tuple[int, int] = (24, 20)
) -> Image.Image:
    """A picture of this kind, in colours; `size` is width and height."""
    width, height = size
    noise = numbers.integers(40, 80, (height, width, 3)).astype(np.uint8)
    image = Image.fromarray(noise)
    pen = ImageDraw.Draw(image)
    side = min(size) // 2
    left = int(numbers.integers(1, width - side - 1))
    top = int(numbers.integers(1, height - side - 1))
    box = (left, top, left + side, top + side)
    fill = tuple(numbers.integers(150, 255, 3).tolist())
    if kind == "cross":
        pen.line(box, fill=fill, width=3)
        pen.line((left, top + side, left + side, top), fill=fill, width=3)
    else:
        getattr(pen, {"disc": "ellipse"}.get(kind, "rectangle"))(box, fill=fill)
    return image


def write_classes(
    folder: Path,
    count: int,
    kinds: Sequence[str] = KINDS,
    size: tuple[int, int] = (24, 20),
    mode: str = "RGB",
    suffix: str = "png",
    seed: int = 0,
) -> Path:
    """A folder with so many pictures of each kind; returns it."""
    numbers = np.random.default_rng(seed)
    for kind in kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = draw_class(numbers, kind, size).convert(mode)
            image.save(folder / kind / f"{number:03}.{suffix}")
    return folder


def tiny_network(start: Any, classes: int) -> Any:
    """A convolution and classes: learns a little, and compiles at once."""
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(start)
    x = layers.GlobalMaxPooling2D(name="features")(x)
    return layers.Dense(classes, "softmax", name="predictions")(x)
