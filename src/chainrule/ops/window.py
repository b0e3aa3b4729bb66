"""Windows that slide along an axis: what convolution and pooling are composed of.

Both operations move elements, one to one, between a view by positions and a view by
windows; each is the other's backward rule. The windows of x are `to_windows` of x
repeated along a new last axis, and the sum over windows that overlap is the sum of
`from_windows` along that axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ir.dtype import ALL
from chainrule.ir.primitive import Sample, Trait, per_input
from chainrule.ir.spec import Spec
from chainrule.ops.define import Array, Operation, operation

Params = dict[str, Any]


def covered(count: int, taps: int, stride: int, dilation: int) -> int:
    """How many positions `count` windows of `taps` elements reach over.

    Example:
        >>> covered(count=3, taps=2, stride=2, dilation=1)
        6
    """
    return (count - 1) * stride + (taps - 1) * dilation + 1 if count and taps else 0


def _check(name: str, x: Spec, axis: int, stride: int, dilation: int) -> None:
    if not 0 <= axis < x.ndim - 1 or stride < 1 or dilation < 1:
        raise ShapeError(
            "windows slide along an axis before the last one, in positive steps",
            where=name,
            got=f"axis {axis} of {x}, stride {stride}, dilation {dilation}",
        )


def _to_spec(x: Spec, axis: int, count: int, stride: int, dilation: int) -> Spec:
    _check("to_windows", x, axis, stride, dilation)
    if count < 0 or covered(count, x.shape[-1], stride, dilation) > x.shape[axis]:
        raise ShapeError(
            "the windows reach beyond the axis",
            where="to_windows",
            got=f"{count} windows of {x.shape[-1]} over {x.shape[axis]} positions",
        )
    return Spec((*x.shape[:axis], count, *x.shape[axis + 1 :]), x.dtype)


def _to_reference(x: Array, axis: int, count: int, stride: int, dilation: int) -> Array:
    """`y[..., o, ..., k] = x[..., o * stride + k * dilation, ..., k]`: by windows.

    `o` counts the windows along `axis`, `k` the elements of one along the last axis.
    """
    shape, strides = list(x.shape), list(x.strides)
    shape[axis] = count
    strides[-1] += dilation * strides[axis]
    strides[axis] *= stride
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


def _from_spec(x: Spec, axis: int, length: int, stride: int, dilation: int) -> Spec:
    _check("from_windows", x, axis, stride, dilation)
    if length < covered(x.shape[axis], x.shape[-1], stride, dilation):
        raise ShapeError(
            "the windows reach beyond the axis",
            where="from_windows",
            got=f"{x.shape[axis]} windows of {x.shape[-1]} over {length} positions",
        )
    return Spec((*x.shape[:axis], length, *x.shape[axis + 1 :]), x.dtype)


def _from_reference(
    x: Array, axis: int, length: int, stride: int, dilation: int
) -> Array:
    """Elements of windows back at their positions, with zeros elsewhere.

    `y[..., p, ..., k] = x[..., (p - k * dilation) / stride, ..., k]` where that is a
    window, and 0 elsewhere.
    """
    result = np.zeros((*x.shape[:axis], length, *x.shape[axis + 1 :]), x.dtype)
    if x.size:
        count = x.shape[axis]
        target = np.moveaxis(result, axis, 0)
        source = np.moveaxis(x, axis, 0)
        for tap in range(x.shape[-1]):
            first = tap * dilation
            places = slice(first, first + (count - 1) * stride + 1, stride)
            target[places, ..., tap] = source[..., tap]
    return result


def _batch(name: str) -> Any:
    def rule(
        size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
    ) -> list[Any]:
        made = to_windows if name == "to_windows" else from_windows
        return [made(inputs[0], **{**params, "axis": params["axis"] + 1})]

    return rule


def _to_samples() -> Iterable[Sample]:
    random = np.random.default_rng(12)
    cases = [
        ((5, 3), 0, 3, 1, 1),
        ((2, 9, 4, 3), 1, 3, 2, 2),
        ((17, 2, 1), 0, 9, 2, 1),
        ((6, 35, 2), 1, 11, 3, 2),
        ((4, 0, 3), 1, 0, 1, 1),
        ((0, 4, 2), 1, 3, 1, 1),
        ((7, 4), 0, 2, 3, 1),
    ]
    for shape, axis, count, stride, dilation in cases:
        params = {"axis": axis, "count": count, "stride": stride, "dilation": dilation}
        yield Sample((random.normal(size=shape),), params)


def _from_samples() -> Iterable[Sample]:
    random = np.random.default_rng(13)
    cases = [
        ((3, 3), 0, 5, 1, 1),
        ((2, 3, 4, 3), 1, 10, 2, 2),
        ((9, 2, 1), 0, 18, 2, 1),
        ((6, 11, 2), 1, 33, 3, 2),
        ((4, 0, 3), 1, 2, 1, 1),
        ((0, 3, 2), 1, 4, 1, 1),
        ((2, 4), 0, 8, 3, 1),
    ]
    for shape, axis, length, stride, dilation in cases:
        params = {
            "axis": axis,
            "length": length,
            "stride": stride,
            "dilation": dilation,
        }
        yield Sample((random.normal(size=shape),), params)


to_windows: Operation = operation(
    "to_windows",
    spec=_to_spec,
    reference=_to_reference,
    vjp=per_input(
        lambda g, y, x, axis, count, stride, dilation: from_windows(
            g, axis=axis, length=x.spec.shape[axis], stride=stride, dilation=dilation
        )
    ),
    dtypes=ALL,
    samples=_to_samples,
    batch=_batch("to_windows"),
    traits=[Trait.MOVEMENT],
)

from_windows: Operation = operation(
    "from_windows",
    spec=_from_spec,
    reference=_from_reference,
    vjp=per_input(
        lambda g, y, x, axis, length, stride, dilation: to_windows(
            g, axis=axis, count=x.spec.shape[axis], stride=stride, dilation=dilation
        )
    ),
    dtypes=ALL,
    samples=_from_samples,
    batch=_batch("from_windows"),
    traits=[Trait.MOVEMENT],
)
