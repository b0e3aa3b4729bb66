"""Boxes around objects in pictures: formats, overlap, anchors, suppression.

Boxes are `(..., 4)`: left, top, right, bottom in pixels (`xyxy`) unless a format is
named. NumPy arrays give NumPy arrays; everything else gives tensors, through which
gradients flow.
"""

from chainrule.boxes.anchors import generate_anchors, generate_points
from chainrule.boxes.coding import (
    decode_deltas,
    decode_distances,
    encode_deltas,
    encode_distances,
)
from chainrule.boxes.drawing import draw_boxes
from chainrule.boxes.formats import (
    FORMATS,
    clip_to_image_size,
    compute_area,
    convert_format,
)
from chainrule.boxes.overlap import (
    compute_ciou,
    compute_diou,
    compute_giou,
    compute_iou,
)
from chainrule.boxes.suppression import (
    Kept,
    batched_non_max_suppression,
    non_max_suppression,
)

__all__ = [
    "FORMATS",
    "Kept",
    "batched_non_max_suppression",
    "clip_to_image_size",
    "compute_area",
    "compute_ciou",
    "compute_diou",
    "compute_giou",
    "compute_iou",
    "convert_format",
    "decode_deltas",
    "decode_distances",
    "draw_boxes",
    "encode_deltas",
    "encode_distances",
    "generate_anchors",
    "generate_points",
    "non_max_suppression",
]
