"""Losses of boxes around objects, one number for each box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from chainrule.boxes.losses import ciou, diou, giou, iou
from chainrule.functional.promotion import Tensor
from chainrule.losses.base import Loss, LossOptions


class BoxLoss(Loss):
    """What the losses of boxes have in common: the format of the boxes."""

    def __init__(
        self,
        bounding_box_format: str = "xyxy",
        image_shape: Sequence[int] | None = None,
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        self.bounding_box_format = bounding_box_format
        self.image_shape = image_shape


class IoU(BoxLoss):
    """`1 - iou`: intersection over union. Boxes that do not meet have no gradient.

    Labels and predictions are boxes `(samples, ..., 4)`; `sample_weight` may weigh each
    box, and leaves out those that it gives 0.

    Args:
        bounding_box_format: see `chainrule.boxes.convert_format`.
        image_shape: height and width of the picture, for relative formats.
        **options: see `LossOptions`.

    Example:
        >>> IoU()([[0.0, 0.0, 2.0, 2.0]], [[0.0, 0.0, 2.0, 1.0]]).item()
        0.5
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each box."""
        return iou(y_true, y_pred, self.bounding_box_format, self.image_shape)


class GIoU(BoxLoss):
    """`1 - giou`, from 0 to 2; it also draws together boxes that do not meet.

    `giou = iou - (hull - union) / hull`, with the area of the smallest box around both.
    Rezatofighi et al., arXiv 1902.09630. Otherwise as `IoU`.

    Args:
        bounding_box_format: see `chainrule.boxes.convert_format`.
        image_shape: height and width of the picture, for relative formats.
        **options: see `LossOptions`.

    Example:
        >>> GIoU()([[0.0, 0.0, 1.0, 1.0]], [[3.0, 0.0, 4.0, 1.0]]).item()
        1.5
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each box."""
        return giou(y_true, y_pred, self.bounding_box_format, self.image_shape)


class DIoU(BoxLoss):
    """`1 - diou`, from 0 to 2; it also draws the centres together.

    `diou = iou - distance**2 / diagonal**2`, of the centres and of the smallest box
    around both. Zheng et al., arXiv 1911.08287. Otherwise as `IoU`.

    Args:
        bounding_box_format: see `chainrule.boxes.convert_format`.
        image_shape: height and width of the picture, for relative formats.
        **options: see `LossOptions`.

    Example:
        >>> DIoU()([[0.0, 0.0, 3.0, 4.0]], [[0.0, 0.0, 3.0, 4.0]]).item()
        0.0
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each box."""
        return diou(y_true, y_pred, self.bounding_box_format, self.image_shape)


class CIoU(BoxLoss):
    """`1 - ciou`: `DIoU` that also compares the aspect ratios.

    `ciou = diou - alpha * v`; see `chainrule.boxes.compute_ciou`. Zheng et al., arXiv
    1911.08287. Otherwise as `IoU`.

    Args:
        bounding_box_format: see `chainrule.boxes.convert_format`.
        image_shape: height and width of the picture, for relative formats.
        **options: see `LossOptions`.

    Example:
        >>> CIoU()([[0.0, 0.0, 3.0, 4.0]], [[0.0, 0.0, 3.0, 4.0]]).item()
        0.0
    """

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of each box."""
        return ciou(y_true, y_pred, self.bounding_box_format, self.image_shape)
