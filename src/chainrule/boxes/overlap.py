"""How far boxes overlap: intersection over union and its generalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from chainrule import functional
from chainrule.boxes.formats import RELATIVE, convert_format
from chainrule.boxes.namespace import NUMPY, divide, namespace, negligible
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import ArrayLike


class _Pair(NamedTuple):
    """Two sets of boxes that broadcast, by their corners, and the functions to use."""

    xp: Any
    a: tuple[Any, Any, Any, Any]
    b: tuple[Any, Any, Any, Any]


class _Overlap(NamedTuple):
    """What pairs of boxes have in common.

    Attributes:
        iou: intersection over union.
        union: the area of both together.
        width: of the smallest box around both.
        height: of that box.
    """

    iou: Any
    union: Any
    width: Any
    height: Any


def compute_iou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: str = "xyxy",
    use_masking: bool = False,
    mask_val: float = -1,
    image_shape: Sequence[int] | None = None,
    *,
    pairwise: bool = True,
) -> Any:
    """Intersection over union: `area(a and b) / area(a or b)`, from 0 to 1.

    Args:
        boxes1: `(..., n, 4)`.
        boxes2: `(..., m, 4)`.
        bounding_box_format: see `convert_format`.
        use_masking: whether pairs with a box whose corners are all negative, as padding
            may be, get `mask_val`.
        mask_val: the value of such pairs.
        image_shape: height and width of the picture, for relative formats.
        pairwise: whether each box meets each other one; else the boxes of equal place
            meet.

    Returns:
        `(..., n, m)`, or `(..., n)` if not pairwise. 0 where both areas are 0.

    Example:
        >>> compute_iou([[0.0, 0.0, 2.0, 2.0]], [[1.0, 0.0, 3.0, 2.0]]).tolist()[0]
        [0.3333333432674408]
    """
    pair = _prepare(boxes1, boxes2, bounding_box_format, image_shape, pairwise)
    iou = _measure(pair).iou
    if not use_masking:
        return iou
    xp = pair.xp
    hidden = xp.logical_or(_all_negative(xp, pair.a), _all_negative(xp, pair.b))
    return xp.where(hidden, xp.zeros_like(iou) + mask_val, iou)


def compute_giou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: str = "xyxy",
    image_shape: Sequence[int] | None = None,
    *,
    pairwise: bool = False,
) -> Any:
    """Generalised IoU: `iou - (hull - union) / hull`, from -1 to 1.

    `hull` is the area of the smallest box around both. Unlike `iou` it tells how far
    boxes are apart that do not meet. Rezatofighi et al., arXiv 1902.09630.

    Args:
        boxes1: `(..., 4)`.
        boxes2: `(..., 4)`.
        bounding_box_format: see `convert_format`.
        image_shape: height and width of the picture, for relative formats.
        pairwise: whether each box meets each other one, as in `compute_iou`.

    Example:
        >>> compute_giou([0.0, 0.0, 1.0, 1.0], [3.0, 0.0, 4.0, 1.0]).item()
        -0.5
    """
    pair = _prepare(boxes1, boxes2, bounding_box_format, image_shape, pairwise)
    found = _measure(pair)
    hull = found.width * found.height
    return found.iou - divide(pair.xp, hull - found.union, hull)


def compute_diou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: str = "xyxy",
    image_shape: Sequence[int] | None = None,
    *,
    pairwise: bool = False,
) -> Any:
    """Distance IoU: `iou - distance**2 / diagonal**2`, from -1 to 1.

    `distance` is that of the centres, `diagonal` that of the smallest box around both.
    Zheng et al., arXiv 1911.08287.

    Args:
        boxes1: `(..., 4)`.
        boxes2: `(..., 4)`.
        bounding_box_format: see `convert_format`.
        image_shape: height and width of the picture, for relative formats.
        pairwise: whether each box meets each other one, as in `compute_iou`.

    Example:
        >>> compute_diou([0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 4.0, 2.0]).item()
        -0.20000000298023224
    """
    pair = _prepare(boxes1, boxes2, bounding_box_format, image_shape, pairwise)
    return _distance_iou(pair, _measure(pair))


def compute_ciou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: str = "xyxy",
    image_shape: Sequence[int] | None = None,
    *,
    pairwise: bool = False,
) -> Any:
    """Complete IoU: `diou - alpha * v`, where `v` compares the aspect ratios.

    `v = 4 / pi**2 * (atan(w2 / h2) - atan(w1 / h1))**2` and
    `alpha = v / (1 - iou + v)`, through which no gradient flows, as in the paper: Zheng
    et al., arXiv 1911.08287.

    Args:
        boxes1: `(..., 4)`.
        boxes2: `(..., 4)`.
        bounding_box_format: see `convert_format`.
        image_shape: height and width of the picture, for relative formats.
        pairwise: whether each box meets each other one, as in `compute_iou`.

    Example:
        >>> compute_ciou([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]).item()
        1.0
    """
    pair = _prepare(boxes1, boxes2, bounding_box_format, image_shape, pairwise)
    found = _measure(pair)
    xp = pair.xp
    turn = _angle(xp, pair.b) - _angle(xp, pair.a)
    v = 4 / math.pi**2 * turn * turn
    alpha = divide(xp, v, 1 - found.iou + v)
    if xp is not NUMPY:
        alpha = functional.stop_gradient(alpha)
    return _distance_iou(pair, found) - alpha * v


def _prepare(
    boxes1: Any,
    boxes2: Any,
    source: str,
    image_shape: Sequence[int] | None,
    pairwise: bool,
) -> _Pair:
    if source.lower().startswith(RELATIVE) and image_shape is None:
        raise ArgumentError(
            "relative boxes need the size of the picture",
            where="bounding_box_format",
            got=f"{source!r}, image_shape=None",
            fix="image_shape=(480, 640)",
        )
    height, width = (None, None) if image_shape is None else tuple(image_shape)[:2]
    a = convert_format(boxes1, source, "xyxy", height, width)
    b = convert_format(boxes2, source, "xyxy", height, width)
    xp = namespace(a, b)
    if pairwise:
        a, b = a[..., :, None, :], b[..., None, :, :]
    return _Pair(xp, _corners(a), _corners(b))


def _corners(boxes: Any) -> tuple[Any, Any, Any, Any]:
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def _measure(pair: _Pair) -> _Overlap:
    xp, a, b = pair

    def span(low: Any, high: Any) -> Any:
        return xp.maximum(high - low, xp.zeros_like(high - low))

    inner = [
        span(xp.maximum(a[i], b[i]), xp.minimum(a[i + 2], b[i + 2])) for i in (0, 1)
    ]
    outer = [
        span(xp.minimum(a[i], b[i]), xp.maximum(a[i + 2], b[i + 2])) for i in (0, 1)
    ]
    common = inner[0] * inner[1]
    areas = [span(x[0], x[2]) * span(x[1], x[3]) for x in (a, b)]
    union = areas[0] + areas[1] - common
    return _Overlap(divide(xp, common, union), union, outer[0], outer[1])


def _distance_iou(pair: _Pair, found: _Overlap) -> Any:
    xp, a, b = pair
    x, y = (((a[i] + a[i + 2]) - (b[i] + b[i + 2])) / 2 for i in (0, 1))
    diagonal = found.width * found.width + found.height * found.height
    return found.iou - divide(xp, x * x + y * y, diagonal)


def _angle(xp: Any, corners: tuple[Any, Any, Any, Any]) -> Any:
    """`atan(width / height)`; 0 for a point, where it has no gradient."""
    width, height = corners[2] - corners[0], corners[3] - corners[1]
    zero = xp.zeros_like(width)
    width, height = xp.maximum(width, zero), xp.maximum(height, zero)
    point = xp.maximum(width, height) <= negligible(xp, width)
    return xp.atan2(width, xp.where(point, xp.ones_like(height), height))


def _all_negative(xp: Any, corners: tuple[Any, Any, Any, Any]) -> Any:
    highest = xp.maximum(
        xp.maximum(corners[0], corners[1]), xp.maximum(corners[2], corners[3])
    )
    return highest < 0
