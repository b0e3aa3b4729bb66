"""Comparison, logic, bits, and questions about numbers."""

from __future__ import annotations

import math

from chainrule import ops
from chainrule.functional.promotion import (
    ArrayLike,
    Tensor,
    apply,
    as_value,
    converted,
    promoted,
)
from chainrule.ir.dtype import bool_


def equal(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Whether `x1 == x2`, element by element.

    Example:
        >>> equal([1, 2, 3], [1, 0, 3]).tolist()
        [True, False, True]
    """
    return apply(ops.equal, x1, x2)


def not_equal(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Whether `x1 != x2`.

    Example:
        >>> not_equal([1, 2], 2).tolist()
        [True, False]
    """
    return apply(ops.not_equal, x1, x2)


def less(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Whether `x1 < x2`.

    Example:
        >>> less([1, 2, 3], 2).tolist()
        [True, False, False]
    """
    return apply(ops.less, x1, x2)


def less_equal(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Whether `x1 <= x2`.

    Example:
        >>> less_equal([1, 2, 3], 2).tolist()
        [True, True, False]
    """
    return apply(ops.less_equal, x1, x2)


def greater(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Whether `x1 > x2`.

    Example:
        >>> greater([1, 2, 3], 2).tolist()
        [False, False, True]
    """
    return apply(ops.less, x2, x1)


def greater_equal(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Whether `x1 >= x2`.

    Example:
        >>> greater_equal([1, 2, 3], 2).tolist()
        [False, True, True]
    """
    return apply(ops.less_equal, x2, x1)


def as_truth(x: ArrayLike) -> Tensor:
    """`x` as a boolean value: whether it differs from 0."""
    return converted(x, bool_)


def logical_and(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Whether both hold; a number counts as its difference from 0.

    Example:
        >>> logical_and([True, True], [True, False]).tolist()
        [True, False]
    """
    return ops.logical_and(as_truth(x1), as_truth(x2))


def logical_or(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Whether one or both hold.

    Example:
        >>> logical_or([True, False], [False, False]).tolist()
        [True, False]
    """
    return ops.logical_or(as_truth(x1), as_truth(x2))


def logical_xor(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Whether exactly one holds.

    Example:
        >>> logical_xor([True, True], [True, False]).tolist()
        [False, True]
    """
    return ops.logical_xor(as_truth(x1), as_truth(x2))


def logical_not(x: ArrayLike, /) -> Tensor:
    """Whether it does not hold.

    Example:
        >>> logical_not([True, False]).tolist()
        [False, True]
    """
    return ops.logical_not(as_truth(x))


def isnan(x: ArrayLike, /) -> Tensor:
    """Whether it is not a number.

    Example:
        >>> isnan([float("nan"), 1.0]).tolist()
        [True, False]
    """
    value = as_value(x)
    return ops.not_equal(value, value)


def isinf(x: ArrayLike, /) -> Tensor:
    """Whether it is infinite, of either sign.

    Example:
        >>> isinf([float("-inf"), 1.0]).tolist()
        [True, False]
    """
    value = as_value(x)
    if not value.spec.dtype.is_float:
        return ops.not_equal(value, value)
    return ops.equal(ops.absolute(value), math.inf)


def isfinite(x: ArrayLike, /) -> Tensor:
    """Whether it is a number and not infinite.

    Example:
        >>> isfinite([float("nan"), 1.0]).tolist()
        [False, True]
    """
    value = as_value(x)
    if not value.spec.dtype.is_float:
        return ops.equal(value, value)
    return ops.less(ops.absolute(value), math.inf)


# ---- bits ----------------------------------------------------------------------------


def _bitwise(
    numbers: ops.Operation, truths: ops.Operation, x1: ArrayLike, x2: ArrayLike
) -> Tensor:
    a, b = promoted(x1, x2)
    return (truths if a.spec.dtype.is_bool else numbers)(a, b)


def bitwise_and(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The bits set in both; of booleans, whether both hold.

    Example:
        >>> bitwise_and(12, 10).item()
        8
    """
    return _bitwise(ops.bitwise_and, ops.logical_and, x1, x2)


def bitwise_or(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The bits set in one or both.

    Example:
        >>> bitwise_or(12, 10).item()
        14
    """
    return _bitwise(ops.bitwise_or, ops.logical_or, x1, x2)


def bitwise_xor(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The bits set in exactly one.

    Example:
        >>> bitwise_xor(12, 10).item()
        6
    """
    return _bitwise(ops.bitwise_xor, ops.logical_xor, x1, x2)


def bitwise_invert(x: ArrayLike, /) -> Tensor:
    """Every bit turned; of booleans, whether it does not hold.

    Example:
        >>> bitwise_invert(5).item()
        -6
    """
    value = as_value(x)
    if value.spec.dtype.is_bool:
        return ops.logical_not(value)
    return ops.bitwise_invert(value)


def bitwise_left_shift(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 * 2**x2` modulo the width; 0 where `x2` reaches the width.

    Example:
        >>> bitwise_left_shift(1, 4).item()
        16
    """
    return apply(ops.shift_left, x1, x2)


def bitwise_right_shift(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`floor(x1 / 2**x2)`.

    Example:
        >>> bitwise_right_shift(-16, 2).item()
        -4
    """
    return apply(ops.shift_right, x1, x2)
