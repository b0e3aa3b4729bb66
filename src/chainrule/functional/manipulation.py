"""Functions that move elements: shape, order of axes, joining, repeating."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import (
    ArrayLike,
    Tensor,
    as_value,
    concrete,
    converted,
    promoted,
)
from chainrule.ir.spec import (
    Shape,
    broadcast_shapes,
    normalize_axes,
    normalize_axis,
)
from chainrule.ir.trace import constant

Axis = int | tuple[int, ...] | None


def as_shape(shape: int | Sequence[int]) -> Shape:
    """`shape` as a tuple of integers."""
    if isinstance(shape, (int, np.integer)):
        return (int(shape),)
    return tuple(map(int, shape))


def reshape(
    x: ArrayLike, /, shape: int | Sequence[int], *, copy: bool | None = None
) -> Tensor:
    """The elements of `x` in row-major order under `shape`; one length may be -1.

    Tensors are immutable, so `copy` makes no difference.

    Raises:
        ShapeError: when the number of elements differs.

    Example:
        >>> reshape([1, 2, 3, 4, 5, 6], (2, -1)).tolist()
        [[1, 2, 3], [4, 5, 6]]
    """
    value = as_value(x)
    wanted = as_shape(shape)
    if -1 in wanted:
        known = math.prod(length for length in wanted if length != -1)
        if wanted.count(-1) > 1 or known == 0 or value.spec.size % known:
            raise ShapeError(
                "the length of the axis given as -1 cannot be computed",
                where="reshape",
                got=f"{value.spec.shape} to {wanted}",
                expected=f"a divisor of {value.spec.size} elements, and a single -1",
            )
        free = value.spec.size // known
        wanted = tuple(free if length == -1 else length for length in wanted)
    return value if wanted == value.spec.shape else ops.reshape(value, shape=wanted)


def permute_dims(x: ArrayLike, /, axes: Sequence[int]) -> Tensor:
    """Axis `i` of the result is axis `axes[i]` of `x`.

    Example:
        >>> permute_dims([[1, 2], [3, 4]], (1, 0)).tolist()
        [[1, 3], [2, 4]]
    """
    value = as_value(x)
    order = tuple(normalize_axis(a, value.spec.ndim, "permute_dims") for a in axes)
    return ops.permute_dims(value, axes=order)


def moveaxis(
    x: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int], /
) -> Tensor:
    """`x` with the axes `source` at the places `destination`, the others in order.

    Example:
        >>> import chainrule
        >>> moveaxis(chainrule.zeros((2, 3, 5)), 0, -1).shape
        (3, 5, 2)
    """
    value = as_value(x)
    ndim = value.spec.ndim
    origin, target = (
        [normalize_axis(a, ndim, "moveaxis") for a in as_shape(axes)]
        for axes in (source, destination)
    )
    if not len(origin) == len(target) == len({*origin}) == len({*target}):
        raise ArgumentError(
            "source and destination must name as many axes, each once",
            where="moveaxis",
            got=f"{source} to {destination}",
        )
    order = [axis for axis in range(ndim) if axis not in origin]
    for place, axis in sorted(zip(target, origin, strict=True)):
        order.insert(place, axis)
    return ops.permute_dims(value, axes=tuple(order))


def squeeze(x: ArrayLike, /, axis: Axis = None) -> Tensor:
    """`x` without the axes `axis`, each of length 1; None means every such axis.

    Raises:
        ShapeError: when an axis has another length.

    Example:
        >>> squeeze([[1, 2]]).tolist()
        [1, 2]
    """
    value = as_value(x)
    shape = value.spec.shape
    if axis is None:
        axis = tuple(i for i, length in enumerate(shape) if length == 1)
    axes = normalize_axes(axis, len(shape), "squeeze")
    if any(shape[a] != 1 for a in axes):
        raise ShapeError(
            "only axes of length 1 can be dropped",
            where="squeeze",
            got=f"axis {axis} of {shape}",
        )
    kept = tuple(length for i, length in enumerate(shape) if i not in axes)
    return reshape(value, kept)


def expand_dims(x: ArrayLike, /, *, axis: int | tuple[int, ...] = 0) -> Tensor:
    """`x` with new axes of length 1 at the places `axis` of the result.

    Example:
        >>> expand_dims([1, 2], axis=1).tolist()
        [[1], [2]]
    """
    value = as_value(x)
    count = 1 if isinstance(axis, int) else len(axis)
    places = normalize_axes(axis, value.spec.ndim + count, "expand_dims")
    lengths = iter(value.spec.shape)
    total = value.spec.ndim + count
    shape = tuple(1 if i in places else next(lengths) for i in range(total))
    return reshape(value, shape)


def broadcast_to(x: ArrayLike, /, shape: Sequence[int]) -> Tensor:
    """`x` repeated to `shape` along new axes and axes of length 1.

    Example:
        >>> broadcast_to([1, 2], (2, 2)).tolist()
        [[1, 2], [1, 2]]
    """
    value = as_value(x)
    wanted = as_shape(shape)
    if wanted == value.spec.shape:
        return value
    return ops.broadcast_to(value, shape=wanted)


def broadcast_arrays(*arrays: ArrayLike) -> list[Tensor]:
    """The arrays, each broadcast to their common shape.

    Example:
        >>> [x.tolist() for x in broadcast_arrays([1, 2], 3)]
        [[1, 2], [3, 3]]
    """
    values = [as_value(x) for x in arrays]
    shape = broadcast_shapes(*[v.spec.shape for v in values], where="broadcast_arrays")
    return [broadcast_to(v, shape) for v in values]


def concat(arrays: Sequence[ArrayLike], /, *, axis: int | None = 0) -> Tensor:
    """The arrays one after another along `axis`; None flattens them first.

    Example:
        >>> concat([[1, 2], [3]]).tolist()
        [1, 2, 3]
    """
    values = _several(arrays, "concat")
    if axis is None:
        values, axis = [reshape(v, -1) for v in values], 0
    axis = normalize_axis(axis, values[0].spec.ndim, "concat")
    return values[0] if len(values) == 1 else ops.concatenate(*values, axis=axis)


def stack(arrays: Sequence[ArrayLike], /, *, axis: int = 0) -> Tensor:
    """The arrays, of one shape, along a new axis.

    Example:
        >>> stack([[1, 2], [3, 4]], axis=1).tolist()
        [[1, 3], [2, 4]]
    """
    values = _several(arrays, "stack")
    axis = normalize_axis(axis, values[0].spec.ndim + 1, "stack")
    return concat([expand_dims(v, axis=axis) for v in values], axis=axis)


def _several(arrays: Sequence[ArrayLike], where: str) -> list[Tensor]:
    if len(arrays) == 0:
        raise ArgumentError("at least one array is needed", where=where)
    return promoted(*arrays)


def take_slice(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    """The elements from `start` to `stop` along `axis`."""
    shape = x.spec.shape
    if start == 0 and stop == shape[axis]:
        return x
    first, last = [0] * len(shape), list(shape)
    first[axis], last[axis] = start, stop
    step = (1,) * len(shape)
    return ops.slice_(x, start=tuple(first), stop=tuple(last), step=step)


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The parts of `x` along `axis`, without that axis.

    Example:
        >>> [x.tolist() for x in unstack([[1, 2], [3, 4]])]
        [[1, 2], [3, 4]]
    """
    value = as_value(x)
    axis = normalize_axis(axis, value.spec.ndim, "unstack")
    length = value.spec.shape[axis]
    parts = (take_slice(value, axis, i, i + 1) for i in range(length))
    return tuple(squeeze(part, axis) for part in parts)


def split(
    x: ArrayLike, /, indices_or_sections: int | Sequence[int], axis: int = 0
) -> list[Tensor]:
    """`x` cut along `axis` into equal sections, or before each of the given positions.

    Raises:
        ShapeError: when sections cannot be equal.

    Example:
        >>> [part.tolist() for part in split([1, 2, 3, 4], 2)]
        [[1, 2], [3, 4]]
    """
    value = as_value(x)
    axis = normalize_axis(axis, value.spec.ndim, "split")
    length = value.spec.shape[axis]
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        if sections < 1 or length % sections:
            raise ShapeError(
                "the axis cannot be cut into equal sections",
                where="split",
                got=f"{sections} sections of length {length}",
                fix="give the positions to cut at: split(x, [10, 25])",
            )
        cuts = list(range(0, length + 1, length // sections or 1))[: sections + 1]
        cuts += [length] * (sections + 1 - len(cuts))
    else:
        cuts = [0, *(slice(i).indices(length)[1] for i in indices_or_sections), length]
    pairs = pairwise(cuts)
    return [take_slice(value, axis, a, max(a, b)) for a, b in pairs]


def flip(x: ArrayLike, /, *, axis: Axis = None) -> Tensor:
    """The elements in reverse order along `axis`; None means every axis.

    Example:
        >>> flip([1, 2, 3]).tolist()
        [3, 2, 1]
    """
    value = as_value(x)
    return ops.flip(value, axes=normalize_axes(axis, value.spec.ndim, "flip"))


def roll(
    x: ArrayLike,
    /,
    shift: int | tuple[int, ...],
    *,
    axis: Axis = None,
) -> Tensor:
    """The elements moved by `shift` along `axis`; what leaves at an end comes in again.

    Example:
        >>> roll([1, 2, 3, 4], 1).tolist()
        [4, 1, 2, 3]
    """
    value = as_value(x)
    if axis is None:
        return reshape(roll(reshape(value, -1), shift, axis=0), value.spec.shape)
    axes = as_shape(axis)
    shifts = as_shape(shift) * (len(axes) if isinstance(shift, int) else 1)
    if isinstance(axis, int):
        axes *= len(shifts)
    for each, distance in zip(axes, shifts, strict=True):
        place = normalize_axis(each, value.spec.ndim, "roll")
        length = value.spec.shape[place]
        cut = -distance % length if length else 0
        if cut:
            tail = take_slice(value, place, cut, length)
            value = ops.concatenate(tail, take_slice(value, place, 0, cut), axis=place)
    return value


def repeat(
    x: ArrayLike, repeats: int | ArrayLike, /, *, axis: int | None = None
) -> Tensor:
    """Each element `repeats` times along `axis`; None flattens first.

    `repeats` may be an array with a number per element; its numbers must be known.

    Example:
        >>> repeat([1, 2], 2).tolist(), repeat([1, 2], [0, 3]).tolist()
        ([1, 1, 2, 2], [2, 2, 2])
    """
    value = as_value(x)
    if axis is None:
        value, axis = reshape(value, -1), 0
    axis = normalize_axis(axis, value.spec.ndim, "repeat")
    if not isinstance(repeats, (int, np.integer)):
        counts = concrete(repeats, "repeat", "give the same number for every element")
        places = np.repeat(np.arange(value.spec.shape[axis]), counts)
        return ops.take(value, constant(places), axis=axis)
    before, after = value.spec.shape[: axis + 1], value.spec.shape[axis + 1 :]
    wide = ops.reshape(value, shape=(*before, 1, *after))
    wide = broadcast_to(wide, (*before, int(repeats), *after))
    return ops.reshape(wide, shape=(*before[:-1], before[-1] * int(repeats), *after))


def tile(x: ArrayLike, repetitions: Sequence[int], /) -> Tensor:
    """`x` as a whole, repeated along each axis.

    Example:
        >>> tile([1, 2], (2, 2)).tolist()
        [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    value = as_value(x)
    counts = as_shape(repetitions)
    counts = (1,) * (value.spec.ndim - len(counts)) + counts
    shape = (1,) * (len(counts) - value.spec.ndim) + value.spec.shape
    pairs = list(zip(counts, shape, strict=True))
    lifted = ops.reshape(
        value, shape=tuple(n for _, length in pairs for n in (1, length))
    )
    wide = broadcast_to(lifted, [n for pair in pairs for n in pair])
    return ops.reshape(wide, shape=tuple(count * length for count, length in pairs))


_GATHERED_MODES = ("reflect", "symmetric", "edge", "wrap")


def pad(
    x: ArrayLike,
    /,
    pad_width: Sequence[Sequence[int]],
    *,
    mode: str = "constant",
    constant_values: ArrayLike = 0,
) -> Tensor:
    """`x` with `pad_width[i] = (before, after)` further elements on axis `i`.

    Args:
        x: the values.
        pad_width: a pair for each axis.
        mode: "constant", or as in NumPy "reflect", "symmetric", "edge" or "wrap".
        constant_values: the number that fills in, for mode "constant".

    Example:
        >>> pad([1, 2], [(1, 2)]).tolist()
        [0, 1, 2, 0, 0]
        >>> pad([1, 2, 3], [(2, 0)], mode="reflect").tolist()
        [3, 2, 1, 2, 3]
    """
    value = as_value(x)
    widths = [as_shape(pair) for pair in pad_width]
    if len(widths) != value.spec.ndim or any(len(pair) != 2 for pair in widths):
        raise ArgumentError(
            "pad_width has a pair (before, after) for each axis",
            where="pad",
            got=pad_width,
            expected=f"{value.spec.ndim} pairs",
        )
    if mode == "constant":
        fill = converted(constant_values, value.spec.dtype)
        return _pad_with(value, widths, fill)
    if mode not in _GATHERED_MODES:
        expected = ", ".join(("constant", *_GATHERED_MODES))
        raise ArgumentError("no such mode", where="pad", got=mode, expected=expected)
    return _pad_by_positions(value, widths, mode)


def _pad_with(value: Tensor, widths: list[Shape], fill: Tensor) -> Tensor:
    """Padded as if the axes behind the last one that grows were part of it: then the
    innermost loop is long, also where these axes are a few channels.
    """
    shape = value.spec.shape
    last = max((axis for axis, pair in enumerate(widths) if any(pair)), default=None)
    if last is None:
        return value
    inner = math.prod(shape[last + 1 :])
    sides = [
        (*(pair[side] for pair in widths[:last]), widths[last][side] * inner)
        for side in (0, 1)
    ]
    flat = ops.reshape(value, shape=(*shape[:last], shape[last] * inner))
    zero = (0,) * (last + 1)
    padded = ops.pad(flat, fill, low=sides[0], high=sides[1], interior=zero)
    grown = tuple(n + sum(pair) for n, pair in zip(shape, widths, strict=True))
    return ops.reshape(padded, shape=grown)


def _pad_by_positions(value: Tensor, widths: list[Shape], mode: Any) -> Tensor:
    for axis, pair in enumerate(widths):
        if any(pair):
            places = np.pad(np.arange(value.spec.shape[axis]), pair, mode=mode)
            value = ops.take(value, constant(places), axis=axis)
    return value
