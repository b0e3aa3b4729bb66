"""Small pictures of rectangles and ellipses, annotated in the way of Pascal VOC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray[Any, Any]
KINDS = ("ellipse", "rectangle")


def draw_shapes(
    numbers: np.random.Generator, size: tuple[int, int], count: int
) -> tuple[Image.Image, list[tuple[str, tuple[int, int, int, int]]]]:
    """A picture with so many shapes apart from one another, and where they are."""
    width, height = size
    noise = numbers.integers(90, 120, (height, width, 3)).astype(np.uint8)
    image = Image.fromarray(noise)
    pen = ImageDraw.Draw(image)
    objects: list[tuple[str, tuple[int, int, int, int]]] = []
    columns = numbers.permutation(4)[:count]
    for column in columns.tolist():
        kind = KINDS[int(numbers.integers(2))]
        wide, high = numbers.integers(width // 8, width // 4 - 2, 2).tolist()
        left = column * (width // 4) + 1
        top = int(numbers.integers(1, height - high - 1))
        box = (left, top, left + wide, top + high)
        fill = (230, 60, 50) if kind == "ellipse" else (40, 90, 230)
        getattr(pen, kind)((box[0], box[1], box[2] - 1, box[3] - 1), fill=fill)
        objects.append((kind, box))
    return image, objects


def write_voc(folder: Path, count: int, size: tuple[int, int] = (64, 64)) -> Path:
    """A folder of pictures with 0 to 3 shapes each; returns it."""
    numbers = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image, objects = draw_shapes(numbers, size, number % 4)
        image.save(folder / f"{number:03}.png")
        rows = "".join(
            f"<object><name>{kind}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
            f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
            for kind, (a, b, c, d) in objects
        )
        text = f"<annotation><filename>{number:03}.png</filename>{rows}</annotation>"
        (folder / f"{number:03}.xml").write_text(text)
    return folder
