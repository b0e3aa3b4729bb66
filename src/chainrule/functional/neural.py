"""Functions of neural networks, in numerically stable form.

Each is correct at its kinks and at large arguments in value and in gradient; a gradient
at a kink is that of the left side, unless its docstring says otherwise.
"""

from __future__ import annotations

import math

from chainrule import ops
from chainrule.functional.elementwise import clip
from chainrule.functional.manipulation import Axis, expand_dims, reshape, split
from chainrule.functional.promotion import (
    ArrayLike,
    Tensor,
    as_value,
    promoted_floats,
    widely,
)
from chainrule.functional.reductions import cumulative_sum
from chainrule.functional.reductions import max as max_of
from chainrule.functional.reductions import min as min_of
from chainrule.functional.reductions import sum as sum_of
from chainrule.functional.searching import sort
from chainrule.ir.dtype import DEFAULT_FLOAT, DTypeLike, as_dtype, int64
from chainrule.ir.spec import normalize_axes, normalize_axis


def _float(x: ArrayLike) -> Tensor:
    return promoted_floats(x)[0]


# ---- piecewise linear ----------------------------------------------------------------


def relu(
    x: ArrayLike,
    /,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Tensor:
    """`max(x, 0)`, and its variants; its gradient at 0 is 0.

    `max_value` where `x >= max_value`; x from `threshold` on; below it
    `negative_slope * (x - threshold)`.

    Args:
        x: the numbers.
        negative_slope: the slope below the threshold.
        max_value: where the output ends; None for nowhere.
        threshold: where the output begins.

    Example:
        >>> relu([-1.0, 0.0, 2.0]).tolist()
        [0.0, 0.0, 2.0]
        >>> relu([-1.0, 0.5, 9.0], 0.5, max_value=6.0).tolist()
        [-0.5, 0.5, 6.0]
    """
    value = as_value(x)
    if negative_slope == 0 and threshold == 0:
        # phrased so that not-a-number passes
        outputs = ops.where(ops.less_equal(value, 0), 0, value)
    else:
        value = _float(value)
        below = ops.multiply(ops.subtract(value, threshold), negative_slope)
        outputs = ops.where(ops.less(value, threshold), below, value)
    if max_value is None:
        return outputs
    return ops.where(ops.less_equal(max_value, outputs), max_value, outputs)


def relu6(x: ArrayLike, /) -> Tensor:
    """`min(max(x, 0), 6)`; its gradient at 0 and at 6 is 0.

    Example:
        >>> relu6([-1.0, 3.0, 9.0]).tolist()
        [0.0, 3.0, 6.0]
    """
    value = relu(x)
    return ops.where(ops.less_equal(6, value), 6, value)


def leaky_relu(x: ArrayLike, /, negative_slope: float = 0.2) -> Tensor:
    """`x` where positive, else `negative_slope * x`.

    Example:
        >>> leaky_relu([-10.0, 3.0]).tolist()
        [-2.0, 3.0]
    """
    value = _float(x)
    scaled = ops.multiply(value, negative_slope)
    return ops.where(ops.less(0.0, value), value, scaled)


def hard_sigmoid(x: ArrayLike, /) -> Tensor:
    """`relu6(x + 3) / 6`.

    Example:
        >>> hard_sigmoid([-9.0, 0.0, 9.0]).tolist()
        [0.0, 0.5, 1.0]
    """
    return ops.divide(relu6(ops.add(_float(x), 3.0)), 6.0)


@widely
def hard_silu(x: ArrayLike, /) -> Tensor:
    """`x * hard_sigmoid(x)`.

    Example:
        >>> hard_silu([-9.0, 0.0, 9.0]).tolist()
        [-0.0, 0.0, 9.0]
    """
    value = _float(x)
    return ops.multiply(value, hard_sigmoid(value))


def hard_tanh(x: ArrayLike, /) -> Tensor:
    """`x` limited to [-1, 1]; its gradient at the ends is 0.

    Example:
        >>> hard_tanh([-9.0, 0.5, 9.0]).tolist()
        [-1.0, 0.5, 1.0]
    """
    value = _float(x)
    lower = ops.where(ops.less_equal(value, -1.0), -1.0, value)
    return ops.where(ops.less_equal(1.0, lower), 1.0, lower)


def hard_shrink(x: ArrayLike, /, threshold: float = 0.5) -> Tensor:
    """`x` where `|x| > threshold`, else 0.

    Example:
        >>> hard_shrink([-2.0, 0.25, 2.0]).tolist()
        [-2.0, 0.0, 2.0]
    """
    value = _float(x)
    return ops.where(ops.less_equal(ops.absolute(value), threshold), 0.0, value)


def soft_shrink(x: ArrayLike, /, threshold: float = 0.5) -> Tensor:
    """`x` moved towards 0 by `threshold`, and 0 within that distance of it.

    Example:
        >>> soft_shrink([-2.0, 0.25, 2.0]).tolist()
        [-1.5, 0.0, 1.5]
    """
    value = _float(x)
    moved = ops.subtract(value, ops.multiply(ops.sign(value), threshold))
    return ops.where(ops.less_equal(ops.absolute(value), threshold), 0.0, moved)


def threshold(x: ArrayLike, threshold: float, default_value: float) -> Tensor:
    """`x` where it is above `threshold`, else `default_value`.

    Example:
        >>> threshold([0.5, 2.0], 1.0, -1.0).tolist()
        [-1.0, 2.0]
    """
    value = _float(x)
    return ops.where(ops.less_equal(value, threshold), default_value, value)


@widely
def sparse_plus(x: ArrayLike, /) -> Tensor:
    """0 up to -1, `(x + 1)**2 / 4` up to 1, and x from there on.

    Example:
        >>> sparse_plus([-2.0, 0.0, 2.0]).tolist()
        [0.0, 0.25, 2.0]
    """
    value = _float(x)
    moved = ops.add(value, 1.0)
    parabola = ops.multiply(ops.multiply(moved, moved), 0.25)
    middle = ops.where(ops.less_equal(value, -1.0), 0.0, parabola)
    return ops.where(ops.less_equal(1.0, value), value, middle)


@widely
def sparse_sigmoid(x: ArrayLike, /) -> Tensor:
    """0 up to -1, `(x + 1) / 2` up to 1, and 1 from there on.

    Example:
        >>> sparse_sigmoid([-2.0, 0.0, 2.0]).tolist()
        [0.0, 0.5, 1.0]
    """
    value = _float(x)
    line = ops.multiply(ops.add(value, 1.0), 0.5)
    middle = ops.where(ops.less_equal(value, -1.0), 0.0, line)
    return ops.where(ops.less_equal(1.0, value), 1.0, middle)


# ---- sigmoid family ------------------------------------------------------------------


def sigmoid(x: ArrayLike, /) -> Tensor:
    """`1 / (1 + exp(-x))`.

    Example:
        >>> sigmoid([-1000.0, 0.0, 1000.0]).tolist()
        [0.0, 0.5, 1.0]
    """
    return ops.sigmoid(_float(x))


@widely
def log_sigmoid(x: ArrayLike, /) -> Tensor:
    """`log(sigmoid(x))`, which is `-softplus(-x)`.

    Example:
        >>> log_sigmoid([-1000.0, 1000.0]).tolist()
        [-1000.0, -0.0]
    """
    return ops.negative(softplus(ops.negative(_float(x))))


@widely
def softplus(x: ArrayLike, /) -> Tensor:
    """`log(1 + exp(x))`, without overflow.

    Example:
        >>> softplus([-1000.0, 0.0, 1000.0]).tolist()
        [0.0, 0.6931471824645996, 1000.0]
    """
    value = _float(x)
    positive = ops.less(0.0, value)
    # each side is smooth up to and including 0, so every derivative there is right
    falling = ops.where(positive, ops.negative(value), value)
    return ops.add(ops.where(positive, value, 0.0), ops.log1p(ops.exp(falling)))


@widely
def softsign(x: ArrayLike, /) -> Tensor:
    """`x / (1 + |x|)`.

    Example:
        >>> softsign([-1.0, 0.0, 3.0]).tolist()
        [-0.5, 0.0, 0.75]
    """
    value = _float(x)
    return ops.divide(value, ops.add(ops.absolute(value), 1.0))


@widely
def silu(x: ArrayLike, /) -> Tensor:
    """`x * sigmoid(x)` (Elfwing, Uchibe, Doya, arXiv 1702.03118).

    Example:
        >>> silu([-1000.0, 0.0, 1000.0]).tolist()
        [-0.0, 0.0, 1000.0]
    """
    value = _float(x)
    return ops.multiply(value, ops.sigmoid(value))


def swish(x: ArrayLike, /) -> Tensor:
    """`silu` under its other name (Ramachandran, Zoph, Le, arXiv 1710.05941).

    Example:
        >>> swish([-1000.0, 0.0, 1000.0]).tolist()
        [-0.0, 0.0, 1000.0]
    """
    return silu(x)


@widely
def mish(x: ArrayLike, /) -> Tensor:
    """`x * tanh(softplus(x))` (Misra, arXiv 1908.08681).

    Example:
        >>> mish([-1000.0, 0.0, 1000.0]).tolist()
        [-0.0, 0.0, 1000.0]
    """
    value = _float(x)
    return ops.multiply(value, ops.tanh(softplus(value)))


def glu(x: ArrayLike, /, axis: int = -1) -> Tensor:
    """`a * sigmoid(b)` for the halves a, b of `x` along `axis` (arXiv 1612.08083).

    Example:
        >>> glu([3.0, 0.0]).tolist()
        [1.5]
    """
    value = _float(x)
    place = normalize_axis(axis, value.spec.ndim, "glu")
    first, second = split(value, 2, axis=place)
    return ops.multiply(first, ops.sigmoid(second))


@widely
def tanh_shrink(x: ArrayLike, /) -> Tensor:
    """`x - tanh(x)`.

    Example:
        >>> tanh_shrink(0.0).item()
        0.0
    """
    value = _float(x)
    return ops.subtract(value, ops.tanh(value))


@widely
def squareplus(x: ArrayLike, /, b: float = 4) -> Tensor:
    """`(x + sqrt(x**2 + b)) / 2`.

    Example:
        >>> squareplus(0.0).item()
        1.0
    """
    value = _float(x)
    root = ops.sqrt(ops.add(ops.multiply(value, value), float(b)))
    return ops.multiply(ops.add(value, root), 0.5)


# ---- exponential family --------------------------------------------------------------


def exponential(x: ArrayLike, /) -> Tensor:
    """`exp(x)`, under its name as an activation.

    Example:
        >>> exponential(0.0).item()
        1.0
    """
    return ops.exp(_float(x))


def linear(x: ArrayLike, /) -> Tensor:
    """`x` itself.

    Example:
        >>> linear([1.0, 2.0]).tolist()
        [1.0, 2.0]
    """
    return as_value(x)


@widely
def elu(x: ArrayLike, /, alpha: float = 1.0) -> Tensor:
    """`x` where positive, else `alpha * (exp(x) - 1)` (arXiv 1511.07289).

    Example:
        >>> elu([-1000.0, 0.0, 2.0]).tolist()
        [-1.0, 0.0, 2.0]
    """
    value = _float(x)
    positive = ops.less(0.0, value)
    falling = ops.expm1(ops.where(positive, 0.0, value))
    return ops.where(positive, value, ops.multiply(falling, alpha))


@widely
def celu(x: ArrayLike, /, alpha: float = 1.0) -> Tensor:
    """`x` where positive, else `alpha * (exp(x / alpha) - 1)` (arXiv 1704.07483).

    Example:
        >>> celu([-1000.0, 0.0, 2.0]).tolist()
        [-1.0, 0.0, 2.0]
    """
    value = _float(x)
    positive = ops.less(0.0, value)
    falling = ops.expm1(ops.divide(ops.where(positive, 0.0, value), alpha))
    return ops.where(positive, value, ops.multiply(falling, alpha))


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


@widely
def selu(x: ArrayLike, /) -> Tensor:
    """`1.0507 * elu(x, 1.6733)`: keeps mean 0, variance 1 (arXiv 1706.02515).

    Example:
        >>> selu([0.0, 1.0]).tolist()
        [0.0, 1.0507010221481323]
    """
    return ops.multiply(elu(x, _SELU_ALPHA), _SELU_SCALE)


@widely
def gelu(x: ArrayLike, /, approximate: bool = False) -> Tensor:
    """`x * P(X <= x)` for X normal: `x / 2 * (1 + erf(x / sqrt(2)))`.

    Hendrycks, Gimpel, "Gaussian error linear units", arXiv 1606.08415. With
    `approximate` it is `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))`,
    computed as `x * sigmoid(2 * ...)`, which is the same and exact where the tangent is
    near -1.

    Example:
        >>> round(float(gelu(1.0)), 4), round(float(gelu(1.0, approximate=True)), 4)
        (0.8413, 0.8412)
    """
    value = _float(x)
    if approximate:
        # beyond 10 the share is 0 or 1 to the last bit, and the cube could overflow
        near = clip(value, -10.0, 10.0)
        cube = ops.multiply(ops.multiply(near, near), near)
        inner = ops.add(near, ops.multiply(cube, 0.044715))
        steep = ops.multiply(inner, 2.0 * math.sqrt(2 / math.pi))
        return ops.multiply(value, ops.sigmoid(steep))
    share = ops.erf(ops.multiply(value, math.sqrt(0.5)))
    return ops.multiply(ops.multiply(value, 0.5), ops.add(share, 1.0))


# ---- over an axis --------------------------------------------------------------------


def _largest(value: Tensor, axis: Axis) -> Tensor:
    """The largest along `axis`, a finite constant: exponents are measured from it."""
    largest = ops.stop_gradient(max_of(value, axis, keepdims=True))
    return ops.where(ops.less(ops.absolute(largest), math.inf), largest, 0.0)


@widely
def softmax(x: ArrayLike, /, axis: Axis = -1) -> Tensor:
    """`exp(x) / sum(exp(x))` along `axis`, without overflow.

    A row of minus infinities has no softmax and gives not-a-number.

    Example:
        >>> softmax([1000.0, 1000.0]).tolist()
        [0.5, 0.5]
    """
    value = _float(x)
    powers = ops.exp(ops.subtract(value, _largest(value, axis)))
    return ops.divide(powers, sum_of(powers, axis, keepdims=True))


@widely
def log_softmax(x: ArrayLike, /, axis: Axis = -1) -> Tensor:
    """`x - logsumexp(x)` along `axis`: the logarithm of `softmax`, without overflow.

    Example:
        >>> log_softmax([0.0, -1000.0]).tolist()
        [0.0, -1000.0]
    """
    value = _float(x)
    shifted = ops.subtract(value, _largest(value, axis))
    total = sum_of(ops.exp(shifted), axis, keepdims=True)
    return ops.subtract(shifted, ops.log(total))


@widely
def sparsemax(x: ArrayLike, /, axis: int = -1) -> Tensor:
    """The point nearest to x among the probabilities along `axis`; many are exactly 0.

    `max(x - t, 0)`, with t such that they sum to 1. Martins, Astudillo, "From softmax
    to sparsemax", ICML 2016.

    Example:
        >>> sparsemax([0.5, 1.0, -3.0]).tolist()
        [0.25, 0.75, 0.0]
    """
    value = _float(x)
    place = normalize_axis(axis, value.spec.ndim, "sparsemax")
    fixed = ops.stop_gradient(value)
    ordered = sort(fixed, axis=place, descending=True)
    counts = ops.add(ops.iota(shape=ordered.spec.shape, axis=place, dtype=int64), 1)
    ranks = ops.cast(counts, dtype=value.spec.dtype)
    sums = cumulative_sum(ordered, axis=place)
    inside = ops.less(sums, ops.add(ops.multiply(ordered, ranks), 1.0))
    # the smallest number that takes part
    least = min_of(ops.where(inside, ordered, math.inf), axis=place, keepdims=True)
    part = ops.less_equal(least, fixed)
    size = sum_of(ops.cast(part, dtype=value.spec.dtype), place, keepdims=True)
    total = sum_of(ops.where(part, value, 0.0), place, keepdims=True)
    level = ops.divide(ops.subtract(total, 1.0), size)
    return ops.where(part, ops.subtract(value, level), 0.0)


@widely
def logsumexp(x: ArrayLike, /, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """`log(sum(exp(x)))` over `axis`, without overflow.

    Over minus infinities alone it is minus infinity, with gradient 0.

    Example:
        >>> logsumexp([1000.0, 1000.0]).item()
        1000.6931762695312
    """
    value = _float(x)
    largest = _largest(value, axis)
    total = sum_of(ops.exp(ops.subtract(value, largest)), axis, keepdims=True)
    empty = ops.equal(total, 0.0)
    level = ops.add(ops.log(ops.where(empty, 1.0, total)), largest)
    result = ops.where(empty, -math.inf, level)
    if keepdims:
        return result
    axes = normalize_axes(axis, value.spec.ndim, "logsumexp")
    kept = (n for i, n in enumerate(result.spec.shape) if i not in axes)
    return reshape(result, tuple(kept))


def one_hot(
    x: ArrayLike, num_classes: int, *, axis: int = -1, dtype: DTypeLike | None = None
) -> Tensor:
    """1 at the position that each integer names along a new axis, 0 elsewhere.

    An integer outside of 0 to `num_classes - 1` gives zeros alone.

    Args:
        x: class numbers.
        num_classes: the length of the new axis.
        axis: where the new axis stands in the result.
        dtype: float32 unless given.

    Example:
        >>> one_hot([0, 2], 3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    value = ops.cast(as_value(x), dtype=int64)
    rank = value.spec.ndim + 1
    place = normalize_axis(axis, rank, "one_hot")
    column = expand_dims(value, axis=place)
    shape = tuple(num_classes if i == place else 1 for i in range(rank))
    classes = ops.iota(shape=shape, axis=place, dtype=int64)
    kind = as_dtype(dtype) if dtype else DEFAULT_FLOAT
    return ops.cast(ops.equal(column, classes), dtype=kind)
