"""The static description of a value: shape and dtype."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chainrule.errors import ShapeError
from chainrule.ir.dtype import DType

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape and dtype of a value.

    Example:
        >>> from chainrule.ir.dtype import float32
        >>> str(Spec((32, 784), float32)), Spec((2, 3), float32).size
        ('float32[32, 784]', 6)
    """

    shape: Shape
    dtype: DType

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, stored densely."""
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


_KNOWN = 4096
_known: dict[tuple[Shape, str], Spec] = {}


def spec_of(shape: Shape, dtype: DType) -> Spec:
    """The spec of an array, the same object for arrays that look alike.

    Example:
        >>> from chainrule.ir.dtype import float32
        >>> spec_of((2, 3), float32) is spec_of((2, 3), float32)
        True
    """
    key = shape, dtype.name
    found = _known.get(key)
    if found is None:
        if len(_known) >= _KNOWN:
            _known.clear()
        found = _known[key] = Spec(shape, dtype)
    return found


def broadcast_shapes(*shapes: Shape, where: str = "broadcast") -> Shape:
    """The common shape of `shapes` by NumPy's broadcasting rules.

    Raises:
        ShapeError: when an axis has two different lengths, neither of them 1.

    Example:
        >>> broadcast_shapes((32, 1), (10,))
        (32, 10)
    """
    rank = max(map(len, shapes), default=0)
    result = []
    for axis in range(-rank, 0):
        lengths = {shape[axis] for shape in shapes if -axis <= len(shape)} - {1}
        if len(lengths) > 1:
            raise ShapeError(
                f"shapes cannot be broadcast together along axis {axis}",
                where=where,
                got=" with ".join(map(str, shapes)),
                expected="equal lengths, or 1, on every axis",
                fix="reshape one of them so that its axes line up from the right",
            )
        result.append(lengths.pop() if lengths else 1)
    return tuple(result)


def normalize_axis(axis: int, ndim: int, where: str = "axis") -> int:
    """`axis` counted from the front.

    Raises:
        ShapeError: when the axis does not exist.
    """
    if not -ndim <= axis < ndim:
        raise ShapeError(
            f"axis {axis} does not exist",
            where=where,
            got=axis,
            expected=f"-{ndim} to {ndim - 1}" if ndim else "no axis: the value is 0-d",
        )
    return axis % ndim


def normalize_axes(
    axis: int | tuple[int, ...] | None, ndim: int, where: str = "axis"
) -> tuple[int, ...]:
    """`axis` as a sorted tuple counted from the front; None means every axis."""
    if axis is None:
        return tuple(range(ndim))
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    found = tuple(sorted(normalize_axis(a, ndim, where) for a in given))
    if len(set(found)) != len(found):
        raise ShapeError("an axis is named twice", where=where, got=axis)
    return found
