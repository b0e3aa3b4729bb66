"""The nine formats of boxes, named as in Keras, and conversions between them.

| format | the four numbers |
|---|---|
| `xyxy` | left, top, right, bottom in pixels |
| `yxyx` | top, left, bottom, right in pixels |
| `xywh` | left, top, width, height in pixels |
| `center_xywh` | x and y of the centre, width, height in pixels |
| `center_yxhw` | y and x of the centre, height, width in pixels |
| `rel_xyxy` `rel_yxyx` `rel_xywh` `rel_center_xywh` | as shares of the picture |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule import functional
from chainrule.boxes.namespace import NUMPY, as_boxes, namespace
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import ArrayLike
from chainrule.ir.dtype import DTypeLike

FORMATS = (
    "xyxy",
    "yxyx",
    "xywh",
    "center_xywh",
    "center_yxhw",
    "rel_xyxy",
    "rel_yxyx",
    "rel_xywh",
    "rel_center_xywh",
)
RELATIVE = "rel_"


def convert_format(
    boxes: Any,
    source: str,
    target: str,
    height: ArrayLike | None = None,
    width: ArrayLike | None = None,
    dtype: DTypeLike | None = None,
) -> Any:
    """Boxes of one format in another.

    Args:
        boxes: `(..., 4)`, or a dict whose `"boxes"` are converted.
        source: their format; see `FORMATS`.
        target: the format to make.
        height: of the picture, in pixels; for relative formats. One number, or one for
            each picture of a batch.
        width: of the picture.
        dtype: the float type of the result; that of the boxes by default.

    Returns:
        NumPy arrays of NumPy arrays, else tensors; of a dict a new dict.

    Raises:
        ArgumentError: for an unknown format, or a missing size.
        ShapeError: when there are not four numbers.

    Example:
        >>> convert_format([[10.0, 20.0, 30.0, 60.0]], "xyxy", "center_xywh").tolist()
        [[20.0, 40.0, 20.0, 40.0]]
        >>> box = np.asarray([10.0, 20.0, 30.0, 60.0])
        >>> convert_format(box, "xyxy", "rel_xywh", height=100, width=200).tolist()
        [0.05, 0.2, 0.1, 0.4]
    """
    source, target = _known(source, "source"), _known(target, "target")
    if isinstance(boxes, Mapping):
        args = (source, target, height, width, dtype)
        return {**boxes, "boxes": convert_format(boxes["boxes"], *args)}
    value = as_boxes(boxes, "convert_format", dtype)
    if source == target:
        return value
    scales = source.startswith(RELATIVE) != target.startswith(RELATIVE)
    if scales and (height is None or width is None):
        raise ArgumentError(
            "relative and absolute boxes differ by the size of the picture",
            where="convert_format",
            got=f"source={source!r}, target={target!r}, no height or no width",
            fix=f"convert_format(boxes, {source!r}, {target!r}, height=480, width=640)",
        )
    xp = namespace(value)
    corners = _to_corners(xp, value, source.removeprefix(RELATIVE))
    sizes = [_lined_up(xp, x, value) for x in (width, height)] if scales else []
    if scales and source.startswith(RELATIVE):
        corners = [x * sizes[i % 2] for i, x in enumerate(corners)]
    parts = _from_corners(corners, target.removeprefix(RELATIVE))
    if scales and target.startswith(RELATIVE):
        first = target == "rel_yxyx"
        parts = [x / sizes[(i + first) % 2] for i, x in enumerate(parts)]
    return xp.concat(parts, axis=-1)


def _known(name: str, argument: str) -> str:
    lowered = name.lower()
    if lowered not in FORMATS:
        raise ArgumentError(
            "there is no such format of boxes",
            where=argument,
            got=name,
            expected=", ".join(FORMATS),
        )
    return lowered


def _lined_up(xp: Any, size: Any, boxes: Any) -> Any:
    """A height or width that broadcasts with one coordinate of the boxes."""
    if xp is NUMPY:
        value = np.asarray(size, dtype=boxes.dtype)
    else:
        value = functional.astype(functional.asarray(size), boxes.dtype)
    if value.ndim == 1:  # one for each picture
        return xp.reshape(value, (-1, *[1] * (boxes.ndim - 1)))
    return value


def _to_corners(xp: Any, boxes: Any, source: str) -> list[Any]:
    """Left, top, right and bottom, each `(..., 1)`."""
    a, b, c, d = (boxes[..., i : i + 1] for i in range(4))
    if source in ("yxyx", "center_yxhw"):
        a, b, c, d = b, a, d, c
    if source == "xywh":
        return [a, b, a + c, b + d]
    if source.startswith("center"):
        c, d = c / 2, d / 2
        return [a - c, b - d, a + c, b + d]
    return [a, b, c, d]


def _from_corners(corners: list[Any], target: str) -> list[Any]:
    left, top, right, bottom = corners
    if target == "xyxy":
        return corners
    if target == "yxyx":
        return [top, left, bottom, right]
    width, height = right - left, bottom - top
    if target == "xywh":
        return [left, top, width, height]
    x, y = left + width / 2, top + height / 2
    if target == "center_yxhw":
        return [y, x, height, width]
    return [x, y, width, height]


def clip_to_image_size(
    bounding_boxes: Any,
    height: ArrayLike | None = None,
    width: ArrayLike | None = None,
    bounding_box_format: str = "xyxy",
) -> Any:
    """Boxes cut at the borders of their picture.

    Args:
        bounding_boxes: boxes `(..., 4)`, or a dict of `"boxes"` and perhaps `"labels"`;
            the labels of boxes without area become -1, as those of padding.
        height: of the picture, as in `convert_format`.
        width: of the picture; neither is needed for relative formats.
        bounding_box_format: see `FORMATS`.

    Raises:
        ArgumentError: for an unknown format, or a missing size.

    Example:
        >>> boxes = np.asarray([[-5.0, 10.0, 20.0, 90.0], [70.0, 0.0, 80.0, 9.0]])
        >>> clip_to_image_size(boxes, height=50, width=60).tolist()
        [[0.0, 10.0, 20.0, 50.0], [60.0, 0.0, 60.0, 9.0]]
    """
    if isinstance(bounding_boxes, Mapping):
        boxes = clip_to_image_size(
            bounding_boxes["boxes"], height, width, bounding_box_format
        )
        clipped = {**bounding_boxes, "boxes": boxes}
        if "labels" in bounding_boxes:
            area = compute_area(boxes, bounding_box_format)
            labels = bounding_boxes["labels"]
            xp = namespace(boxes, labels)
            clipped["labels"] = xp.where(area > 0, labels, -1)
        return clipped
    source = _known(bounding_box_format, "bounding_box_format")
    relative = source.startswith(RELATIVE)
    if not relative and (height is None or width is None):
        raise ArgumentError(
            "where a picture ends is not known",
            where="clip_to_image_size",
            got=f"bounding_box_format={source!r}, no height or no width",
            fix="clip_to_image_size(boxes, height=480, width=640)",
        )
    value = as_boxes(bounding_boxes, "clip_to_image_size")
    xp = namespace(value)
    sizes = [1, 1] if relative else [_lined_up(xp, x, value) for x in (width, height)]
    corners = _to_corners(xp, value, source.removeprefix(RELATIVE))
    cut = [
        xp.minimum(xp.maximum(x, xp.zeros_like(x)), xp.zeros_like(x) + sizes[i % 2])
        for i, x in enumerate(corners)
    ]
    return xp.concat(_from_corners(cut, source.removeprefix(RELATIVE)), axis=-1)


def compute_area(boxes: ArrayLike, bounding_box_format: str = "xyxy") -> Any:
    """Width times height of each box; 0 where one of them is negative.

    Args:
        boxes: `(..., 4)`.
        bounding_box_format: see `FORMATS`; the area of relative boxes is relative.

    Example:
        >>> compute_area([[0.0, 0.0, 3.0, 4.0], [5.0, 5.0, 4.0, 9.0]]).tolist()
        [12.0, 0.0]
    """
    source = _known(bounding_box_format, "bounding_box_format").removeprefix(RELATIVE)
    value = as_boxes(boxes, "compute_area")
    xp = namespace(value)
    left, top, right, bottom = (x[..., 0] for x in _to_corners(xp, value, source))
    zero = xp.zeros_like(left)
    return xp.maximum(right - left, zero) * xp.maximum(bottom - top, zero)
