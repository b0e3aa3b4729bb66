"""The grids of anchors and points that detectors predict boxes from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError

Array = np.ndarray[Any, Any]

STRIDES = (8, 16, 32, 64, 128)
SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
RATIOS = (0.5, 1.0, 2.0)


def generate_points(
    image_shape: Sequence[int], strides: Sequence[int] = STRIDES
) -> list[Array]:
    """The centres of the cells of each level of a feature pyramid.

    A level of stride `s` has `ceil(height / s) * ceil(width / s)` cells, row by row, as
    a feature map made by strides with padding has.

    Args:
        image_shape: height and width of the pictures.
        strides: pixels between the cells of each level.

    Returns:
        For each level float32 `(cells, 2)`, x and y in pixels.

    Raises:
        ArgumentError: when a size or a stride is not positive.

    Example:
        >>> generate_points((16, 32), strides=[16])[0].tolist()
        [[8.0, 8.0], [24.0, 8.0]]
    """
    height, width = tuple(image_shape)[:2]
    if min(height, width, *strides) < 1:
        raise ArgumentError(
            "sizes and strides are positive",
            where="generate_points",
            got=f"image_shape={tuple(image_shape)}, strides={tuple(strides)}",
        )
    levels = []
    for stride in strides:
        x = (np.arange(-(-width // stride)) + 0.5) * stride
        y = (np.arange(-(-height // stride)) + 0.5) * stride
        grid = np.stack(np.meshgrid(x, y), axis=-1)
        levels.append(grid.reshape(-1, 2).astype("float32"))
    return levels


def generate_anchors(
    image_shape: Sequence[int],
    strides: Sequence[int] = STRIDES,
    sizes: Sequence[float] | None = None,
    scales: Sequence[float] = SCALES,
    aspect_ratios: Sequence[float] = RATIOS,
) -> list[Array]:
    """Boxes of several sizes and shapes around each cell of each level.

    Each cell has `len(aspect_ratios) * len(scales)` anchors, of area
    `(size * scale)**2` and `height / width` of `aspect_ratio`; all ratios of the first
    scale come first. Lin et al., arXiv 1708.02002.

    Args:
        image_shape: height and width of the pictures.
        strides: pixels between the cells of each level.
        sizes: of the anchors of each level; four strides by default.
        scales: factors of the sizes.
        aspect_ratios: height over width.

    Returns:
        For each level float32 `(cells * anchors, 4)`, left, top, right, bottom; they
        may reach outside the picture.

    Raises:
        ArgumentError: when a number is not positive, or sizes and strides differ in
            number.

    Example:
        >>> generate_anchors((16, 16), [16], scales=[1.0], aspect_ratios=[1.0])[0]
        array([[-24., -24.,  40.,  40.]], dtype=float32)
    """
    sizes = [4.0 * stride for stride in strides] if sizes is None else list(sizes)
    points = generate_points(image_shape, strides)
    positive = all(x > 0 for x in (*sizes, *scales, *aspect_ratios))
    if len(sizes) != len(strides) or not positive:
        raise ArgumentError(
            "each level needs one size, and all numbers are positive",
            where="generate_anchors",
            got=f"strides={list(strides)}, sizes={sizes}, scales={list(scales)}, "
            f"aspect_ratios={list(aspect_ratios)}",
        )
    levels = []
    for size, centers in zip(sizes, points, strict=True):
        shapes = np.asarray(
            [
                (size * scale / ratio**0.5, size * scale * ratio**0.5)
                for scale, ratio in product(scales, aspect_ratios)
            ]
        )
        around = np.concat([-shapes / 2, shapes / 2], axis=-1)
        boxes = np.tile(centers, 2)[:, None] + around[None]
        levels.append(boxes.reshape(-1, 4).astype("float32"))
    return levels
