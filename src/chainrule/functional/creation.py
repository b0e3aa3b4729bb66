"""Tensors made from numbers, arrays, or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.autodiff.levels import TAPE_BIT
from chainrule.errors import ArgumentError, GradientError, ShapeError
from chainrule.functional.manipulation import as_shape, broadcast_to, reshape, stack
from chainrule.functional.promotion import (
    ArrayLike,
    Tensor,
    as_value,
    check_device,
    converted,
    from_numpy,
)
from chainrule.ir.dtype import (
    DEFAULT_FLOAT,
    DEFAULT_INT,
    DType,
    DTypeLike,
    as_array,
    as_dtype,
    int64,
)
from chainrule.ir.spec import spec_of
from chainrule.ir.trace import constant, is_eager
from chainrule.ir.value import Value, new_value
from chainrule.variable import Variable


def asarray(
    obj: Any,
    /,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of what `obj` holds: numbers, nested lists, an array, tensors.

    Python floats become float32 and integers int64; arrays keep their dtype. Tensors
    are immutable, so an array is copied unless `copy=False` promises that nobody will
    write to it. A list of tensors is stacked, and gradients flow through it.

    Args:
        obj: the numbers.
        dtype: the dtype; by default that of `obj`.
        device: "cpu" or None.
        copy: False shares the memory of an array.
        requires_grad: whether `backward()` shall leave a gradient in `.grad`.

    Raises:
        DTypeError: for data of a type that chainrule lacks, such as complex numbers.
        ArgumentError: for lists of unequal lengths.

    Example:
        >>> asarray([[1, 2], [3, 4]], dtype="float32")
        Tensor([[1., 2.],
                [3., 4.]], float32)
    """
    check_device(device)
    wanted = None if dtype is None else as_dtype(dtype)
    value = _from_any(obj, wanted, copy)
    return _leaf(value) if requires_grad else value


def _from_any(obj: Any, dtype: DType | None, copy: bool | None) -> Tensor:
    if isinstance(obj, (Value, Variable)):
        value = as_value(obj)
        return value if dtype is None else converted(value, dtype)
    if isinstance(obj, (list, tuple)) and _holds_tensors(obj):
        stacked = stack([_from_any(part, None, copy) for part in obj])
        return stacked if dtype is None else converted(stacked, dtype)
    value = from_numpy(obj, dtype)
    own = isinstance(obj, (list, tuple, bool, int, float))
    if copy is False or own or not _shares_memory(value.data, obj):
        return value
    return constant(np.array(value.data))


def _shares_memory(array: Any, source: Any) -> bool:
    return not isinstance(source, np.ndarray) or np.may_share_memory(array, source)


def _holds_tensors(parts: Sequence[Any]) -> bool:
    return any(
        isinstance(part, (Value, Variable))
        or (isinstance(part, (list, tuple)) and _holds_tensors(part))
        for part in parts
    )


def _leaf(value: Tensor) -> Tensor:
    """A new value of the same numbers, where `backward()` ends."""
    if not value.spec.dtype.is_float or value.data is None:
        raise GradientError(
            "only floating-point tensors with numbers can require a gradient",
            where="asarray",
            got=value.spec,
            fix="asarray(x, dtype='float32', requires_grad=True)",
        )
    return new_value(value.spec, value.data, tape=TAPE_BIT)


def from_dlpack(
    x: Any, /, *, device: str | None = None, copy: bool | None = None
) -> Tensor:
    """A tensor of what an array of another library holds, by the DLPack protocol.

    Args:
        x: has `__dlpack__`, in the memory of the CPU.
        device: "cpu" or None.
        copy: False shares the memory, which nobody may write to from then on.

    Example:
        >>> from_dlpack(np.arange(3)).tolist()
        [0, 1, 2]
    """
    array = np.from_dlpack(x)
    return asarray(array, device=device, copy=copy is not False)


# ---- of one number -------------------------------------------------------------------


def full(
    shape: int | Sequence[int],
    fill_value: ArrayLike,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """A tensor of `shape` whose every element is `fill_value`.

    Example:
        >>> full((2, 3), 7).tolist()
        [[7, 7, 7], [7, 7, 7]]
    """
    check_device(device)
    plain = type(fill_value) is int and fill_value in (0, 1)
    if plain and dtype is not None and is_eager():  # no operation for biases and slots
        kind = as_dtype(dtype)
        if not fill_value:
            array = np.zeros(as_shape(shape), kind.numpy)
        else:
            array = np.full(as_shape(shape), as_array(fill_value, kind), kind.numpy)
        return new_value(spec_of(array.shape, kind), array)
    fill = (
        as_value(fill_value)
        if dtype is None
        else converted(fill_value, as_dtype(dtype))
    )
    return broadcast_to(fill, as_shape(shape))


def zeros(
    shape: int | Sequence[int],
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """Zeros, float32 unless `dtype` says otherwise.

    Example:
        >>> zeros(2).tolist()
        [0.0, 0.0]
    """
    return full(shape, 0, dtype=dtype or DEFAULT_FLOAT, device=device)


def ones(
    shape: int | Sequence[int],
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """Ones, float32 unless `dtype` says otherwise.

    Example:
        >>> ones((1, 2), dtype="int8").tolist()
        [[1, 1]]
    """
    return full(shape, 1, dtype=dtype or DEFAULT_FLOAT, device=device)


def empty(
    shape: int | Sequence[int],
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """Zeros: a tensor cannot be written to, so leaving it unset would help nobody.

    Example:
        >>> empty(2).tolist()
        [0.0, 0.0]
    """
    return zeros(shape, dtype=dtype, device=device)


def full_like(
    x: ArrayLike,
    /,
    fill_value: ArrayLike,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """`fill_value` in the shape and, unless given, the dtype of `x`.

    Example:
        >>> full_like([1, 2], 7).tolist()
        [7, 7]
    """
    value = as_value(x)
    wanted = dtype or value.spec.dtype
    return full(value.spec.shape, fill_value, dtype=wanted, device=device)


def zeros_like(
    x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: str | None = None
) -> Tensor:
    """Zeros in the shape and, unless given, the dtype of `x`.

    Example:
        >>> zeros_like([1, 2]).tolist()
        [0, 0]
    """
    if dtype is None and isinstance(x, Value) and not x.weak and is_eager():
        check_device(device)  # no operation for the slots of optimizers
        return new_value(x.spec, np.zeros(x.spec.shape, x.spec.dtype.numpy))
    return full_like(x, 0, dtype=dtype, device=device)


def ones_like(
    x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: str | None = None
) -> Tensor:
    """Ones in the shape and, unless given, the dtype of `x`.

    Example:
        >>> ones_like([1, 2]).tolist()
        [1, 1]
    """
    return full_like(x, 1, dtype=dtype, device=device)


def empty_like(
    x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: str | None = None
) -> Tensor:
    """Zeros in the shape and, unless given, the dtype of `x`.

    Example:
        >>> empty_like([1, 2]).tolist()
        [0, 0]
    """
    return zeros_like(x, dtype=dtype, device=device)


# ---- ranges --------------------------------------------------------------------------


def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """`start, start + step, ...` before `stop`; `arange(n)` counts from 0.

    Example:
        >>> arange(3).tolist(), arange(1, 2, 0.5).tolist()
        ([0, 1, 2], [1.0, 1.5])
    """
    check_device(device)
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ArgumentError("step must differ from 0", where="arange", got=step)
    whole = all(isinstance(x, (int, np.integer)) for x in (start, stop, step))
    kind = as_dtype(dtype) if dtype else DEFAULT_INT if whole else DEFAULT_FLOAT
    length = max(math.ceil((stop - start) / step), 0)
    if whole:
        length = len(range(int(start), int(stop), int(step)))
    # in the wide type first: float32 could not count far
    places: Any = np.arange(length, dtype=np.int64 if whole else np.float64)
    return from_numpy(start + places * step, kind)


def linspace(
    start: float,
    stop: float,
    /,
    num: int,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    endpoint: bool = True,
) -> Tensor:
    """`num` numbers at equal distances from `start` to `stop`.

    Example:
        >>> linspace(0, 1, 5).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    check_device(device)
    numbers = np.linspace(start, stop, num, endpoint=endpoint)
    return from_numpy(numbers, as_dtype(dtype) if dtype else DEFAULT_FLOAT)


# ---- matrices ------------------------------------------------------------------------


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: DTypeLike | None = None,
    device: str | None = None,
) -> Tensor:
    """Ones on the diagonal `k` places to the right of the main one, zeros elsewhere.

    Example:
        >>> eye(2).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    check_device(device)
    kind = as_dtype(dtype) if dtype else DEFAULT_FLOAT
    return from_numpy(np.eye(n_rows, n_cols, k), kind)


def tril(x: ArrayLike, /, *, k: int = 0) -> Tensor:
    """`x` with zeros above the diagonal `k` of its last two axes.

    Example:
        >>> tril(ones((2, 3))).tolist()
        [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    """
    return _triangle(x, k, "tril")


def triu(x: ArrayLike, /, *, k: int = 0) -> Tensor:
    """`x` with zeros below the diagonal `k` of its last two axes.

    Example:
        >>> triu(ones((2, 3))).tolist()
        [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    return _triangle(x, k, "triu")


def _triangle(x: ArrayLike, k: int, name: str) -> Tensor:
    value = as_value(x)
    if value.spec.ndim < 2:
        raise ShapeError("a matrix is needed", where=name, got=value.spec)
    shape = value.spec.shape[-2:]
    rows, columns = (ops.iota(shape=shape, axis=a, dtype=int64) for a in (0, 1))
    limit = ops.add(rows, k)
    inside = (
        ops.less_equal(columns, limit)
        if name == "tril"
        else ops.less_equal(limit, columns)
    )
    return ops.where(inside, value, converted(0, value.spec.dtype))


def meshgrid(*arrays: ArrayLike, indexing: str = "xy") -> list[Tensor]:
    """Coordinates of the points of a grid whose axes are the given 1-d arrays.

    Args:
        arrays: the coordinates along each axis.
        indexing: "ij" for matrix order; "xy" exchanges the first two axes.

    Example:
        >>> [x.tolist() for x in meshgrid([1, 2], [3, 4])]
        [[[1, 2], [1, 2]], [[3, 3], [4, 4]]]
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(
            "no such order", where="meshgrid", got=indexing, expected="'xy' or 'ij'"
        )
    values = [as_value(x) for x in arrays]
    count = len(values)
    order = list(range(count))
    if indexing == "xy" and count > 1:
        order[:2] = [1, 0]
    shape = [0] * count
    for place, value in zip(order, values, strict=True):
        shape[place] = value.spec.size
    grids = []
    for place, value in zip(order, values, strict=True):
        column = [1] * count
        column[place] = value.spec.size
        grids.append(broadcast_to(reshape(value, column), shape))
    return grids
