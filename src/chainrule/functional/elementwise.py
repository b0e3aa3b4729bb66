"""Elementwise arithmetic, rounding, exponentials and trigonometry.

Operands broadcast and are promoted. Functions whose results are fractions convert
integers to float32, the default floating-point dtype.
"""

from __future__ import annotations

import math

from chainrule import ops
from chainrule.functional.promotion import (
    ArrayLike,
    Tensor,
    apply,
    apply_float,
    as_value,
    converted,
    promoted,
    promoted_floats,
)
from chainrule.ir.dtype import as_dtype

# ---- arithmetic ----------------------------------------------------------------------


def add(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 + x2`.

    Example:
        >>> add([1.0, 2.0], 10).tolist()
        [11.0, 12.0]
    """
    return apply(ops.add, x1, x2)


def subtract(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 - x2`.

    Example:
        >>> subtract([5, 7], 2).tolist()
        [3, 5]
    """
    return apply(ops.subtract, x1, x2)


def multiply(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 * x2`.

    Example:
        >>> multiply([1, 2], [3, 4]).tolist()
        [3, 8]
    """
    return apply(ops.multiply, x1, x2)


def divide(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 / x2`, in floating point.

    Example:
        >>> divide(1, [2, 4]).tolist()
        [0.5, 0.25]
    """
    return apply_float(ops.divide, x1, x2)


def floor_divide(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`floor(x1 / x2)`; an integer divided by zero gives 0.

    Example:
        >>> floor_divide([7, -7], 2).tolist()
        [3, -4]
    """
    return apply(ops.floor_divide, x1, x2)


def remainder(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 - floor(x1 / x2) * x2`, with the sign of `x2`.

    Example:
        >>> remainder([7, -7], 4).tolist()
        [3, 1]
    """
    return apply(ops.remainder, x1, x2)


def pow(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`x1 ** x2`; integers to a negative power are truncated towards zero.

    Example:
        >>> pow([1.0, 2.0, 3.0], 2).tolist()
        [1.0, 4.0, 9.0]
    """
    if isinstance(x2, (int, float)) and x2 == 2 and not isinstance(x2, bool):
        x1, x2 = promoted(x1, x2)
        return ops.multiply(x1, x1)
    return apply(ops.power, x1, x2)


def negative(x: ArrayLike, /) -> Tensor:
    """`-x`.

    Example:
        >>> negative([1, -2]).tolist()
        [-1, 2]
    """
    return apply(ops.negative, x)


def positive(x: ArrayLike, /) -> Tensor:
    """`+x`, which is `x`.

    Example:
        >>> positive([1, -2]).tolist()
        [1, -2]
    """
    return as_value(x)


def abs(x: ArrayLike, /) -> Tensor:
    """`|x|`; its gradient at 0 is 0.

    Example:
        >>> abs([-1.5, 2.0]).tolist()
        [1.5, 2.0]
    """
    return apply(ops.absolute, x)


def sign(x: ArrayLike, /) -> Tensor:
    """-1, 0 or 1 by the sign of `x`; not-a-number stays.

    Example:
        >>> sign([-2.5, 0.0, 7.0]).tolist()
        [-1.0, 0.0, 1.0]
    """
    return apply(ops.sign, x)


def reciprocal(x: ArrayLike, /) -> Tensor:
    """`1 / x`.

    Example:
        >>> reciprocal([2.0, 4.0]).tolist()
        [0.5, 0.25]
    """
    return divide(1, x)


def square(x: ArrayLike, /) -> Tensor:
    """`x * x`.

    Example:
        >>> square([-3, 4]).tolist()
        [9, 16]
    """
    value = as_value(x)
    return ops.multiply(value, value)


def maximum(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The larger of the two; not-a-number wins. A tie shares the gradient equally.

    Example:
        >>> maximum([1, 5], 3).tolist()
        [3, 5]
    """
    return apply(ops.maximum, x1, x2)


def minimum(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The smaller of the two; not-a-number wins. A tie shares the gradient equally.

    Example:
        >>> minimum([1, 5], 3).tolist()
        [1, 3]
    """
    return apply(ops.minimum, x1, x2)


def clip(
    x: ArrayLike,
    /,
    min: ArrayLike | None = None,
    max: ArrayLike | None = None,
) -> Tensor:
    """`x` limited to the interval from `min` to `max`, in the dtype of `x`.

    The gradient of `x` is 1 inside the interval and at its ends, 0 outside.

    Example:
        >>> clip([-2.0, 0.5, 9.0], 0, 1).tolist()
        [0.0, 0.5, 1.0]
    """
    value = as_value(x)
    if min is not None:
        low = converted(min, value.spec.dtype)
        value = ops.where(ops.less(value, low), low, value)
    if max is not None:
        high = converted(max, value.spec.dtype)
        value = ops.where(ops.less(high, value), high, value)
    return value


def hypot(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`sqrt(x1**2 + x2**2)`, scaled so that squares neither overflow nor vanish.

    The gradient at (0, 0) is 0.

    Example:
        >>> hypot([3.0, 0.0], [4.0, 2e30]).numpy()
        array([5.e+00, 2.e+30], dtype=float32)
    """
    a, b = (ops.absolute(x) for x in promoted_floats(x1, x2))
    large, small = ops.maximum(a, b), ops.minimum(a, b)
    infinite = ops.logical_or(ops.equal(a, math.inf), ops.equal(b, math.inf))
    special = ops.logical_or(ops.equal(large, 0.0), infinite)
    # both wheres: what is not chosen must not divide by zero in the gradient either
    ratio = ops.divide(ops.where(special, 0.0, small), ops.where(special, 1.0, large))
    length = ops.multiply(large, ops.sqrt(ops.add(ops.multiply(ratio, ratio), 1.0)))
    return ops.where(infinite, math.inf, length)


# ---- rounding ------------------------------------------------------------------------


def _rounding(operation: ops.Operation, x: ArrayLike) -> Tensor:
    value = as_value(x)
    return operation(value) if value.spec.dtype.is_float else value


def floor(x: ArrayLike, /) -> Tensor:
    """The largest integer not above `x`, in the dtype of `x`.

    Example:
        >>> floor([0.2, -0.2, 3.0]).tolist()
        [0.0, -1.0, 3.0]
    """
    return _rounding(ops.floor, x)


def ceil(x: ArrayLike, /) -> Tensor:
    """The smallest integer not below `x`, in the dtype of `x`.

    Example:
        >>> ceil([0.2, -0.2, 3.0]).tolist()
        [1.0, -0.0, 3.0]
    """
    return _rounding(ops.ceil, x)


def trunc(x: ArrayLike, /) -> Tensor:
    """The integer next to `x` towards zero, in the dtype of `x`.

    Example:
        >>> trunc([1.7, -1.7]).tolist()
        [1.0, -1.0]
    """
    return _rounding(ops.trunc, x)


def round(x: ArrayLike, /) -> Tensor:
    """The integer nearest to `x`, the even one of two, in the dtype of `x`.

    Example:
        >>> round([0.5, 1.5, -0.6]).tolist()
        [0.0, 2.0, -1.0]
    """
    return _rounding(ops.round_, x)


# ---- exponentials and logarithms -----------------------------------------------------


def exp(x: ArrayLike, /) -> Tensor:
    """`e**x`.

    Example:
        >>> exp(0).item()
        1.0
    """
    return apply_float(ops.exp, x)


def expm1(x: ArrayLike, /) -> Tensor:
    """`e**x - 1`, exact for small `x`.

    Example:
        >>> expm1(0.0).item()
        0.0
    """
    return apply_float(ops.expm1, x)


def log(x: ArrayLike, /) -> Tensor:
    """The natural logarithm.

    Example:
        >>> log(1.0).item()
        0.0
    """
    return apply_float(ops.log, x)


def log1p(x: ArrayLike, /) -> Tensor:
    """`log(1 + x)`, exact for small `x`.

    Example:
        >>> log1p(0.0).item()
        0.0
    """
    return apply_float(ops.log1p, x)


def log2(x: ArrayLike, /) -> Tensor:
    """The logarithm to base 2.

    Example:
        >>> log2([1.0, 8.0]).tolist()
        [0.0, 3.0]
    """
    return ops.divide(log(x), math.log(2))


def log10(x: ArrayLike, /) -> Tensor:
    """The logarithm to base 10.

    Example:
        >>> log10(100.0).item()
        2.0
    """
    return ops.divide(log(x), math.log(10))


def logaddexp(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """`log(exp(x1) + exp(x2))`, without overflow.

    Example:
        >>> logaddexp([0.0, 1000.0], [0.0, 1000.0]).tolist()
        [0.6931471824645996, 1000.6931762695312]
    """
    a, b = promoted_floats(x1, x2)
    first = ops.less(b, a)
    larger, smaller = ops.where(first, a, b), ops.where(first, b, a)
    # the difference of two equal infinities is not a number
    same = ops.equal(larger, smaller)
    infinite = ops.logical_and(same, ops.equal(ops.absolute(larger), math.inf))
    finite = ops.where(infinite, 0.0, larger), ops.where(infinite, 0.0, smaller)
    tail = ops.log1p(ops.exp(ops.subtract(finite[1], finite[0])))
    return ops.add(larger, tail)


def sqrt(x: ArrayLike, /) -> Tensor:
    """The square root; its gradient at 0 is infinite, as its slope is.

    Example:
        >>> sqrt([4.0, 9.0]).tolist()
        [2.0, 3.0]
    """
    return apply_float(ops.sqrt, x)


def sqrt_or_zero(x: Tensor) -> Tensor:
    """The square root of a value that may be exactly 0, where its gradient is 0."""
    zero = ops.equal(x, 0.0)
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, x)))


# ---- trigonometric and hyperbolic ----------------------------------------------------


def sin(x: ArrayLike, /) -> Tensor:
    """The sine of an angle in radians.

    Example:
        >>> sin(0.0).item()
        0.0
    """
    return apply_float(ops.sin, x)


def cos(x: ArrayLike, /) -> Tensor:
    """The cosine of an angle in radians.

    Example:
        >>> cos(0.0).item()
        1.0
    """
    return apply_float(ops.cos, x)


def tan(x: ArrayLike, /) -> Tensor:
    """The tangent of an angle in radians.

    Example:
        >>> tan(0.0).item()
        0.0
    """
    return apply_float(ops.tan, x)


def asin(x: ArrayLike, /) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is `x`.

    Example:
        >>> asin(0.0).item()
        0.0
    """
    return apply_float(ops.asin, x)


def acos(x: ArrayLike, /) -> Tensor:
    """The angle in [0, pi] whose cosine is `x`.

    Example:
        >>> acos(1.0).item()
        0.0
    """
    return apply_float(ops.acos, x)


def atan(x: ArrayLike, /) -> Tensor:
    """The angle in [-pi/2, pi/2] whose tangent is `x`.

    Example:
        >>> atan(0.0).item()
        0.0
    """
    return apply_float(ops.atan, x)


def atan2(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The angle in [-pi, pi] of the point with ordinate `x1` and abscissa `x2`.

    Example:
        >>> atan2(0.0, 1.0).item()
        0.0
    """
    return apply_float(ops.atan2, x1, x2)


def sinh(x: ArrayLike, /) -> Tensor:
    """The hyperbolic sine.

    Example:
        >>> sinh(0.0).item()
        0.0
    """
    return apply_float(ops.sinh, x)


def cosh(x: ArrayLike, /) -> Tensor:
    """The hyperbolic cosine.

    Example:
        >>> cosh(0.0).item()
        1.0
    """
    return apply_float(ops.cosh, x)


def tanh(x: ArrayLike, /) -> Tensor:
    """The hyperbolic tangent, `(e**x - e**-x) / (e**x + e**-x)`.

    Example:
        >>> tanh([-100.0, 0.0, 100.0]).tolist()
        [-1.0, 0.0, 1.0]
    """
    return apply_float(ops.tanh, x)


def asinh(x: ArrayLike, /) -> Tensor:
    """The inverse of `sinh`.

    Example:
        >>> asinh(0.0).item()
        0.0
    """
    return apply_float(ops.asinh, x)


def acosh(x: ArrayLike, /) -> Tensor:
    """The inverse of `cosh`, for `x >= 1`.

    Example:
        >>> acosh(1.0).item()
        0.0
    """
    return apply_float(ops.acosh, x)


def atanh(x: ArrayLike, /) -> Tensor:
    """The inverse of `tanh`.

    Example:
        >>> atanh(0.0).item()
        0.0
    """
    return apply_float(ops.atanh, x)


def erf(x: ArrayLike, /) -> Tensor:
    """The error function, `2 / sqrt(pi) * integral of exp(-t**2) from 0 to x`.

    Example:
        >>> erf([0.0, 10.0]).tolist()
        [0.0, 1.0]
    """
    return apply_float(ops.erf, x)


def stop_gradient(x: ArrayLike, /) -> Tensor:
    """`x`, treated as a constant by gradients.

    Example:
        >>> import chainrule
        >>> chainrule.grad(lambda x: x * stop_gradient(x))(3.0).item()
        3.0
    """
    return ops.stop_gradient(as_value(x))


# ---- numbers as bits -----------------------------------------------------------------


def signbit(x: ArrayLike, /) -> Tensor:
    """Whether the sign is negative; that of -0.0 is.

    Example:
        >>> signbit([-0.0, 0.0, -3.0]).tolist()
        [True, False, True]
    """
    value = as_value(x)
    if not value.spec.dtype.is_float:
        return ops.less(value, 0)
    word = as_dtype(f"int{value.spec.dtype.bits}")
    return ops.less(ops.bitcast(value, dtype=word), 0)


def copysign(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The magnitude of `x1` with the sign of `x2`; its gradient at 0 is 0.

    Example:
        >>> copysign([1.0, 2.0], [-0.0, 3.0]).tolist()
        [-1.0, 2.0]
    """
    size, direction = promoted_floats(x1, x2)
    size = ops.absolute(size)
    return ops.where(signbit(direction), ops.negative(size), size)


def nextafter(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """The number next to `x1` on the way to `x2`; it has no gradient.

    Example:
        >>> nextafter(1.0, 2.0).item() - 1.0
        1.1920928955078125e-07
    """
    a, b = promoted_floats(x1, x2)
    dtype = a.spec.dtype
    word = as_dtype(f"int{dtype.bits}")
    bits = ops.bitcast(a, dtype=word)
    away = ops.equal(ops.less(a, b), ops.less(0.0, a))
    one = converted(1, word)
    step = ops.where(away, one, ops.negative(one))
    stepped = ops.bitcast(ops.add(bits, step), dtype=dtype)
    tiny = copysign(ops.bitcast(one, dtype=dtype), b)
    moved = ops.where(ops.equal(a, 0.0), tiny, stepped)
    moved = ops.where(ops.equal(a, b), b, moved)
    unordered = ops.logical_or(ops.not_equal(a, a), ops.not_equal(b, b))
    return ops.where(unordered, math.nan, moved)
