"""Pictures with boxes drawn on them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.boxes.formats import convert_format
from chainrule.errors import DependencyError, ShapeError

Array = np.ndarray[Any, Any]

GOLDEN = 0.61803398875  # hues this far apart stay apart however many there are
PADDING = -1
DARK, LIGHT = (0, 0, 0), (255, 255, 255)


def class_color(label: int) -> tuple[int, int, int]:
    """The colour of a class: red, green, blue, from 0 to 255.

    Example:
        >>> class_color(0), class_color(1) == class_color(0)
        ((242, 48, 48), False)
    """
    hue = (label * GOLDEN) % 1
    parts = colorsys.hsv_to_rgb(hue, 0.8, 0.95)
    red, green, blue = (round(255 * x) for x in parts)
    return red, green, blue


def draw_boxes(
    image: Any,
    boxes: Any,
    labels: Any = None,
    scores: Any = None,
    class_names: Sequence[str] | None = None,
    *,
    bounding_box_format: str = "xyxy",
) -> Array:
    """A picture with boxes on it, each in the colour of its class, and named.

    Lines and letters grow with the picture. Boxes are drawn from the last to the first,
    so that the surest lie on top; those with label -1, as padding has, are left out.

    Args:
        image: uint8 `(height, width, 3)`, or 1 channel or none for grey.
        boxes: `(n, 4)`.
        labels: `(n,)`, the classes; one class by default.
        scores: `(n,)`, written beside the names as percentages.
        class_names: the names of the classes; their numbers by default.
        bounding_box_format: see `convert_format`.

    Returns:
        uint8 `(height, width, 3)`; the picture given stays as it is.

    Raises:
        ShapeError: when it is no picture, or boxes, labels and scores differ in number.
        DependencyError: without Pillow.

    Example:
        >>> image = np.full((40, 60, 3), 255, "uint8")
        >>> drawn = draw_boxes(image, [[10, 20, 50, 35]], [0], [0.9], ["cat"])
        >>> drawn.shape, drawn[35, 30].tolist(), image.min().item()
        ((40, 60, 3), [242, 48, 48], 255)
    """
    picture, draw_module, font_module = _pillow(as_picture(image))
    corners, names, colors = _describe(
        boxes, labels, scores, class_names, bounding_box_format, picture.size
    )
    pen = draw_module.Draw(picture)
    width = max(1, round(max(picture.size) / 320))
    font = font_module.load_default(size=max(9, round(max(picture.size) / 50)))
    for place in reversed(range(len(corners))):
        _draw_box(pen, picture.size, corners[place], colors[place], width)
        if names[place]:
            box, color = corners[place], colors[place]
            _draw_name(pen, picture.size, box, names[place], color, font)
    return np.asarray(picture)


def _pillow(image: Array) -> tuple[Any, Any, Any]:
    try:
        # optional: who draws needs it, nobody else
        from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415
    except ImportError:
        raise DependencyError(
            "Pillow draws boxes, and is not installed",
            where="draw_boxes",
            fix="pip install 'chainrule[data]'",
        ) from None
    return Image.fromarray(image).convert("RGB"), ImageDraw, ImageFont


def as_picture(image: Any) -> Array:
    """Pixels to draw on: uint8 `(height, width, 3)` or `(height, width)`.

    Raises:
        ShapeError: when they are none.

    Example:
        >>> as_picture(np.zeros((2, 3, 1), "uint8")).shape
        (2, 3)
    """
    value = np.asarray(image.numpy() if hasattr(image, "numpy") else image)
    if value.ndim == 3 and value.shape[-1] == 1:
        value = value[..., 0]
    colored = value.ndim == 3 and value.shape[-1] == 3
    if value.dtype != np.uint8 or not (value.ndim == 2 or colored) or not value.size:
        raise ShapeError(
            "this is no picture to draw on",
            where="draw_boxes",
            got=f"{value.dtype} {value.shape}",
            expected="uint8 (height, width, 3), or 1 channel",
        )
    return value


def _describe(
    boxes: Any,
    labels: Any,
    scores: Any,
    class_names: Sequence[str] | None,
    source: str,
    size: tuple[int, int],
) -> tuple[Array, list[str], list[tuple[int, int, int]]]:
    """Corners, names and colours of the boxes that are none of padding."""
    box = np.asarray(boxes.numpy() if hasattr(boxes, "numpy") else boxes, "float64")
    corners = convert_format(box.reshape(-1, 4), source, "xyxy", size[1], size[0])
    count = len(corners)
    label = np.zeros(count, int) if labels is None else np.asarray(labels).astype(int)
    score = None if scores is None else np.asarray(scores)
    if label.shape != (count,) or (score is not None and score.shape != (count,)):
        raise ShapeError(
            "boxes, labels and scores differ in number",
            where="draw_boxes",
            got=f"{count} boxes, labels {label.shape}, "
            f"scores {None if score is None else score.shape}",
        )
    usable = np.flatnonzero((label != PADDING) & np.isfinite(corners).all(-1))
    names = []
    for place in usable:
        known = class_names is not None and label[place] < len(class_names)
        name = str(class_names[label[place]]) if class_names and known else ""
        if not name and labels is not None:
            name = str(label[place])
        share = "" if score is None else f"{score[place]:.0%}"
        names.append(f"{name} {share}".strip())
    return corners[usable], names, [class_color(int(label[x])) for x in usable]


def _draw_box(
    pen: Any, size: tuple[int, int], box: Array, color: tuple[int, int, int], width: int
) -> None:
    """The outline of a box; of one that is too small for it, at least a point."""
    limits = np.asarray([*size, *size]) - 1
    left, top, right, bottom = np.clip(np.round(box), 0, limits).astype(int).tolist()
    if right < left or bottom < top:
        return
    pen.rectangle((left, top, right, bottom), outline=color, width=width)


def _draw_name(
    pen: Any,
    size: tuple[int, int],
    box: Array,
    name: str,
    color: tuple[int, int, int],
    font: Any,
) -> None:
    """The name above the box, or inside where there is no room above."""
    left, top, right, bottom = pen.textbbox((0, 0), name, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = int(min(max(box[0], 0), max(size[0] - width, 0)))
    y = box[1] - height if box[1] >= height else box[1]
    y = int(min(max(y, 0), max(size[1] - height, 0)))
    pen.rectangle((x, y, x + width, y + height), fill=color)
    brightness = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    ink = DARK if brightness > 128 else LIGHT
    pen.text((x + 2 - left, y + 2 - top), name, fill=ink, font=font)
