"""Numbers brought to mean 0 and variance 1, for layers that normalize.

`axes` are those that one mean is taken over; what is reduced stays with length 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.autodiff import custom_vjp
from chainrule.functional.elementwise import maximum, sqrt, square
from chainrule.functional.promotion import Tensor
from chainrule.functional.reductions import mean
from chainrule.functional.reductions import sum as sum_of

# Under a root, and far below what a number that means something has as its square.
SMALLEST_SQUARE = 1e-12


def moments(x: Any, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and variance over `axes`, in two passes.

    The second pass squares differences from the mean, so that nothing is lost where the
    mean is far larger than the spread.

    Example:
        >>> from chainrule.functional import asarray
        >>> middle, spread = moments(asarray([[1.0, 3.0]]), (1,))
        >>> middle.tolist(), spread.tolist()
        ([[2.0]], [[1.0]])
    """
    middle = mean(x, axis=tuple(axes), keepdims=True)
    return middle, mean(square(x - middle), axis=tuple(axes), keepdims=True)


def standardize(x: Any, axes: Sequence[int], epsilon: float) -> Tensor:
    """`(x - mean) / sqrt(variance + epsilon)`, with the moments over `axes`.

    Example:
        >>> from chainrule.functional import asarray
        >>> standardize(asarray([[1.0, 3.0]]), (1,), 0.0).tolist()
        [[-1.0, 1.0]]
    """
    middle, spread = moments(x, axes)
    return (x - middle) * (1.0 / sqrt(spread + epsilon))


def batch_normalization(
    x: Any, scale: Any, offset: Any, axes: Sequence[int], epsilon: float
) -> Tensor:
    """`scale * standardize(x) + offset`, where all samples share scale and offset.

    `scale` and `offset` have length 1 on `axes`. Going backwards takes two sums and one
    visit of the samples: with `h = standardize(x)` and the cotangent g,

        offset' = sum(g)          scale' = sum(g * h)
        x' = scale / sqrt(variance + epsilon) * (g - (offset' + h * scale') / n)

    Ioffe, Szegedy, "Batch normalization", ICML 2015.

    Example:
        >>> from chainrule.functional import asarray
        >>> x, two = asarray([[1.0], [3.0]]), asarray([[2.0]])
        >>> batch_normalization(x, two, two, (0,), 0.0).tolist()
        [[0.0], [4.0]]
    """
    axes = tuple(axes)
    count = math.prod(x.shape[axis] for axis in axes)

    @custom_vjp
    def normalized(x: Any, scale: Any, offset: Any) -> Tensor:
        middle, spread = moments(x, axes)
        return (x - middle) * (scale / sqrt(spread + epsilon)) + offset

    def forward(x: Any, scale: Any, offset: Any) -> tuple[None, Any]:
        middle, spread = moments(x, axes)
        narrowing = 1.0 / sqrt(spread + epsilon)
        return None, ((x - middle) * narrowing, scale * narrowing)

    def backward(residuals: Any, g: Any) -> tuple[Tensor, Tensor, Tensor]:
        standard, factor = residuals
        of_offset = sum_of(g, axis=axes, keepdims=True)
        of_scale = sum_of(g * standard, axis=axes, keepdims=True)
        shared = of_offset / count + standard * (of_scale / count)
        return factor * (g - shared), of_scale, of_offset

    normalized.defvjp(forward, backward)
    result: Tensor = normalized(x, scale, offset)
    return result


def unit(x: Any, axes: Sequence[int]) -> Tensor:
    """`x / sqrt(max(sum(x ** 2), 1e-12))`; numbers that are all 0 stay so.

    Example:
        >>> from chainrule.functional import asarray
        >>> unit(asarray([[0.0, 5.0]]), (1,)).tolist()
        [[0.0, 1.0]]
    """
    squares = sum_of(square(x), axis=tuple(axes), keepdims=True)
    return x / sqrt(maximum(squares, SMALLEST_SQUARE))
