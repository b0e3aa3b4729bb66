"""Pictures and their boxes changed at random, within the compiled step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import functional as F
from chainrule.functional import random
from chainrule.functional.promotion import Tensor

GREY = 114.0  # around the picture


@dataclass(frozen=True)
class Changes:
    """How far pictures are changed.

    Attributes:
        zoom: the least and the largest magnification.
        stretch: how much wider or narrower than high they may become.
        flip_horizontal: whether half of them are mirrored left to right.
        flip_vertical: whether half of them are mirrored upside down.
        brightness: added to all pixels, as a share of white, at most.
        contrast: the factor of differences from the mean is 1 plus or minus this.
        saturation: the factor of differences from grey is 1 plus or minus this.
        least_visible: boxes of which less is left are dropped.
    """

    zoom: tuple[float, float] = (0.7, 1.5)
    stretch: float = 1.15
    flip_horizontal: bool = True
    flip_vertical: bool = False
    brightness: float = 0.1
    contrast: float = 0.2
    saturation: float = 0.3
    least_visible: float = 0.4


def change(
    pictures: Tensor, boxes: Tensor, labels: Tensor, changes: Changes
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures with other sizes, places, sides and colours, and boxes that follow.

    Zoom, stretch, shift and flips are one resampling: two products with matrices of
    interpolation weights, one for the rows and one for the columns, which average
    where the picture gets smaller.

    Args:
        pictures: `(samples, height, width, 3)`, 0 to 255.
        boxes: `(samples, boxes, 4)`, left, top, right, bottom in pixels.
        labels: `(samples, boxes)`, -1 where there is no box.
        changes: how far.
    """
    samples, height, width, _ = pictures.shape
    scale_y, scale_x, shift_y, shift_x = _draw(samples, changes)
    rows = _weights(scale_y, shift_y * height, height)
    columns = _weights(scale_x, shift_x * width, width)
    x = F.astype(pictures, "float32") - GREY
    x = F.matmul(rows, F.reshape(x, (samples, height, width * 3)))
    x = F.permute_dims(F.reshape(x, (samples, height, width, 3)), (0, 2, 1, 3))
    x = F.matmul(columns, F.reshape(x, (samples, width, height * 3)))
    x = F.permute_dims(F.reshape(x, (samples, width, height, 3)), (0, 2, 1, 3))
    moved, kept = _move(
        boxes, scale_x, shift_x * width, scale_y, shift_y * height, (height, width)
    )
    labels = F.where(kept >= changes.least_visible, labels, -1)
    moved = F.where((labels >= 0)[..., None], moved, 0.0)
    return _colour(x, changes), moved, labels


def _draw(samples: int, changes: Changes) -> tuple[Tensor, ...]:
    """Magnification and shift of each sample: new = scale * old + shift.

    Coordinates count from the middle, shifts in shares of the length; a mirrored axis
    has a negative scale.
    """
    draw = random.uniform(random.next_key(), (6, samples))
    low, high = (math.log(z) for z in changes.zoom)
    zoom = F.exp(low + (high - low) * draw[0])
    stretch = F.exp((2 * draw[1] - 1) * (math.log(changes.stretch) / 2))
    mirror_x = F.where(draw[2] < 0.5 * changes.flip_horizontal, -1.0, 1.0)
    mirror_y = F.where(draw[3] < 0.5 * changes.flip_vertical, -1.0, 1.0)
    scale_y, scale_x = zoom / stretch, zoom * stretch
    # room to move: all of a smaller picture stays visible, a larger one fills the frame
    shift_y = (draw[4] - 0.5) * F.abs(scale_y - 1.0)
    shift_x = (draw[5] - 0.5) * F.abs(scale_x - 1.0)
    return scale_y * mirror_y, scale_x * mirror_x, shift_y, shift_x


def _weights(scale: Tensor, shift: Tensor, length: int) -> Tensor:
    """How much each old position counts in each new one, `(samples, new, old)`."""
    middle = F.asarray([i + 0.5 - length / 2 for i in range(length)], dtype="float32")
    source = (middle - shift[:, None]) / scale[:, None]
    reach = F.maximum(1.0 / F.abs(scale), 1.0)[:, None, None]
    distance = F.abs(source[:, :, None] - middle) / reach
    return F.maximum(1.0 - distance, 0.0) / reach


def _move(
    boxes: Tensor,
    scale_x: Tensor,
    shift_x: Tensor,
    scale_y: Tensor,
    shift_y: Tensor,
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Boxes where their objects are now, cut at the frame, and the share left."""
    ends: list[Any] = []
    for low, high, scale, shift, length in (
        (boxes[..., 0], boxes[..., 2], scale_x, shift_x, size[1]),
        (boxes[..., 1], boxes[..., 3], scale_y, shift_y, size[0]),
    ):
        a = (low - length / 2) * scale[:, None] + shift[:, None] + length / 2
        b = (high - length / 2) * scale[:, None] + shift[:, None] + length / 2
        ends.append((F.minimum(a, b), F.maximum(a, b), float(length)))
    (left, right, width), (top, bottom, height) = ends
    area = (right - left) * (bottom - top)
    cut = [F.clip(left, 0.0, width), F.clip(top, 0.0, height)]
    cut += [F.clip(right, 0.0, width), F.clip(bottom, 0.0, height)]
    left_over = (cut[2] - cut[0]) * (cut[3] - cut[1])
    return F.stack(cut, axis=-1), left_over / F.maximum(area, 1e-6)


def _colour(x: Tensor, changes: Changes) -> Tensor:
    """Other brightness, contrast and saturation, from differences to `GREY`."""
    draw = random.uniform(random.next_key(), (x.shape[0], 3)) * 2 - 1
    # a product, so that each sample's numbers are drawn once and not for every pixel
    reach = F.asarray(
        np.diag([changes.contrast, changes.saturation, 255.0 * changes.brightness])
    )
    drawn = F.matmul(draw, F.astype(reach, "float32"))[:, None, None, :]
    contrast, saturation = 1 + drawn[..., :1], 1 + drawn[..., 1:2]
    light = GREY + drawn[..., 2:]
    plain = F.sum(x, axis=-1, keepdims=True) * (contrast * (1 - saturation) / 3)
    return F.clip(x * (contrast * saturation) + (plain + light), 0.0, 255.0)
