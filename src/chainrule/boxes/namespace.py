"""Which functions compute: NumPy's for arrays, the library's own for tensors.

Both have the names of the array API standard, so a formula is written once and is
differentiable on tensors and quick on arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.losses.shapes import as_float
from chainrule.functional.promotion import ArrayLike

NUMPY: Any = np
TENSORS: Any = functional


def namespace(*values: Any) -> Any:
    """NumPy if all values are NumPy arrays, else the functions on tensors."""
    return NUMPY if all(isinstance(x, np.ndarray) for x in values) else TENSORS


def as_boxes(boxes: ArrayLike, where: str, dtype: Any = None) -> Any:
    """Boxes as floating-point numbers: an array if they are one, else a tensor.

    Raises:
        ShapeError: when the last axis does not have four numbers.
    """
    if isinstance(boxes, np.ndarray):
        kind = np.dtype(dtype or (boxes.dtype if boxes.dtype.kind == "f" else "f4"))
        value: Any = boxes.astype(kind, copy=False)
    else:
        value = as_float(boxes)
        value = value if dtype is None else functional.astype(value, dtype)
    if value.ndim == 0 or value.shape[-1] != 4:
        raise ShapeError(
            "a box is four numbers",
            where=where,
            got=f"boxes of shape {tuple(value.shape)}",
            expected="(..., 4)",
        )
    return value


def negligible(xp: Any, like: Any) -> float:
    """The length or area below which gradients would not be finite numbers.

    About 1e-17 in float32: the square is still a normal number.
    """
    return 100 * float(xp.finfo(like.dtype).smallest_normal) ** 0.5


def divide(xp: Any, part: Any, whole: Any) -> Any:
    """The quotient, 0 where `whole` is negligible; its gradient is always finite."""
    empty = xp.abs(whole) <= negligible(xp, whole)
    one = xp.ones_like(whole)
    return xp.where(empty, xp.zeros_like(whole), part / xp.where(empty, one, whole))
