"""Losses of boxes: one minus an overlap, one number for each box."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.boxes.overlap import (
    compute_ciou,
    compute_diou,
    compute_giou,
    compute_iou,
)
from chainrule.functional.losses.shapes import align
from chainrule.functional.promotion import ArrayLike, Tensor

Size = Sequence[int] | None


def iou(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    bounding_box_format: str = "xyxy",
    image_shape: Size = None,
) -> Tensor:
    """`1 - iou`; boxes that do not meet have no gradient. See `compute_iou`.

    Args:
        y_true: boxes `(..., 4)`.
        y_pred: as many boxes.
        bounding_box_format: see `chainrule.boxes.convert_format`.
        image_shape: height and width of the picture, for relative formats.

    Example:
        >>> iou([[0.0, 0.0, 2.0, 2.0]], [[0.0, 0.0, 2.0, 1.0]]).tolist()
        [0.5]
    """
    true, predicted = align(y_true, y_pred)
    found = compute_iou(
        true, predicted, bounding_box_format, image_shape=image_shape, pairwise=False
    )
    return 1.0 - found


def giou(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    bounding_box_format: str = "xyxy",
    image_shape: Size = None,
) -> Tensor:
    """`1 - giou`, from 0 to 2. See `compute_giou`.

    Args:
        y_true: boxes `(..., 4)`.
        y_pred: as many boxes.
        bounding_box_format: see `chainrule.boxes.convert_format`.
        image_shape: height and width of the picture, for relative formats.

    Example:
        >>> giou([[0.0, 0.0, 1.0, 1.0]], [[3.0, 0.0, 4.0, 1.0]]).tolist()
        [1.5]
    """
    true, predicted = align(y_true, y_pred)
    return 1.0 - compute_giou(true, predicted, bounding_box_format, image_shape)


def diou(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    bounding_box_format: str = "xyxy",
    image_shape: Size = None,
) -> Tensor:
    """`1 - diou`, from 0 to 2. See `compute_diou`.

    Args:
        y_true: boxes `(..., 4)`.
        y_pred: as many boxes.
        bounding_box_format: see `chainrule.boxes.convert_format`.
        image_shape: height and width of the picture, for relative formats.

    Example:
        >>> diou([[0.0, 0.0, 3.0, 4.0]], [[0.0, 0.0, 3.0, 4.0]]).tolist()
        [0.0]
    """
    true, predicted = align(y_true, y_pred)
    return 1.0 - compute_diou(true, predicted, bounding_box_format, image_shape)


def ciou(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    bounding_box_format: str = "xyxy",
    image_shape: Size = None,
) -> Tensor:
    """`1 - ciou`. See `compute_ciou`.

    Args:
        y_true: boxes `(..., 4)`.
        y_pred: as many boxes.
        bounding_box_format: see `chainrule.boxes.convert_format`.
        image_shape: height and width of the picture, for relative formats.

    Example:
        >>> ciou([[0.0, 0.0, 3.0, 4.0]], [[0.0, 0.0, 3.0, 4.0]]).tolist()
        [0.0]
    """
    true, predicted = align(y_true, y_pred)
    return 1.0 - compute_ciou(true, predicted, bounding_box_format, image_shape)
