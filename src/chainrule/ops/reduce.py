"""Reductions over axes, positions of extremes, cumulative sums.

`axes` is a sorted tuple of non-negative axes; reduced axes disappear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ir.dtype import FLOATS, SIGNED, UNSIGNED, DType, bool_, int64
from chainrule.ir.primitive import Sample, Trait, Vjp, per_input
from chainrule.ir.spec import Spec
from chainrule.ir.trace import constant
from chainrule.ops.define import Array, Operation, check_dtype, operation
from chainrule.ops.elementwise import divide, multiply
from chainrule.ops.logic import cast, equal
from chainrule.ops.movement import (
    broadcast_to,
    concatenate,
    flip,
    permute_dims,
    reshape,
    slice_,
)

NUMBERS = (*SIGNED, *UNSIGNED, *FLOATS)
Axes = tuple[int, ...]


def kept_shape(shape: Sequence[int], axes: Axes) -> tuple[int, ...]:
    """`shape` with length 1 on `axes`."""
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape))


def _spread(g: Any, x: Any, axes: Axes) -> Any:
    """`g` repeated along the axes that were reduced."""
    kept = reshape(g, shape=kept_shape(x.spec.shape, axes))
    return broadcast_to(kept, shape=x.spec.shape)


def _reduction_spec(
    name: str, dtypes: Sequence[DType], result: DType | None, needs_elements: bool
) -> Callable[..., Spec]:
    def spec(x: Spec, axes: Axes) -> Spec:
        check_dtype(name, x.dtype, dtypes)
        if needs_elements and any(x.shape[axis] == 0 for axis in axes):
            raise ShapeError(f"'{name}' of no elements has no value", where=name, got=x)
        shape = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
        return Spec(shape, result or x.dtype)

    return spec


def _distinct(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Numbers far enough apart that a small step does not change their order."""
    values = np.linspace(-2.1, 2.3, math.prod(shape))
    return random.permutation(values).reshape(shape)


def _samples(boolean: bool = False, needs_elements: bool = False) -> Any:
    def samples() -> Iterable[Sample]:
        random = np.random.default_rng(6)
        cases: list[tuple[tuple[int, ...], Axes]] = [
            ((3, 5), (1,)),
            ((3, 5), (0, 1)),
            ((2, 3, 33), (0, 2)),
            ((4,), ()),
            ((), ()),
            ((0, 4), (1,)),
        ]
        if not needs_elements:
            cases += [((0, 4), (0,)), ((3, 0), (0, 1))]
        for shape, axes in cases:
            values = _distinct(shape, random)
            array = np.asarray(values > 0) if boolean else values
            yield Sample((array,), {"axes": axes}, smooth=not boolean)

    return samples


def _reduction(
    name: str,
    reference: Callable[..., Any],
    *,
    dtypes: Sequence[DType],
    rule: Callable[..., Any] | None = None,
    result: DType | None = None,
    needs_elements: bool = False,
    not_differentiable: str = "",
    doc: str = "",
) -> Operation:
    vjp: Vjp | None = per_input(rule) if rule else None

    def batch(
        size: int,
        batched: Sequence[bool],
        inputs: Sequence[Any],
        params: dict[str, Any],
    ) -> list[Any]:
        return [defined(inputs[0], axes=tuple(axis + 1 for axis in params["axes"]))]

    defined = operation(
        name,
        spec=_reduction_spec(name, dtypes, result, needs_elements),
        reference=reference,
        vjp=vjp,
        not_differentiable=not_differentiable,
        dtypes=dtypes,
        samples=_samples(dtypes == (bool_,), needs_elements),
        batch=batch,
        traits=[Trait.REDUCTION],
        doc=doc,
    )
    return defined


def _sum(x: Array, axes: Axes) -> Any:
    """The sum over `axes`, in the dtype of x."""
    return np.sum(x, axis=axes, dtype=x.dtype)


def _product(x: Array, axes: Axes) -> Any:
    """The product over `axes`, in the dtype of x."""
    return np.prod(x, axis=axes, dtype=x.dtype)


def _extreme_rule(g: Any, y: Any, x: Any, axes: Axes) -> Any:
    # shared equally among the elements that are extreme
    hit = cast(equal(x, _spread(y, x, axes)), dtype=x.spec.dtype)
    return multiply(hit, _spread(divide(g, reduce_sum(hit, axes=axes)), x, axes))


def _product_rule(g: Any, y: Any, x: Any, axes: Axes) -> Any:
    # dy/dx[i] is the product of the others: of those before i times those after i,
    # which holds where elements are zero too
    moved = _flatten_axes(x, axes)
    others = _product_of_others(moved, moved.spec.ndim - 1)
    return multiply(_spread(g, x, axes), _unflatten_axes(others, x, axes))


def _flatten_axes(x: Any, axes: Axes) -> Any:
    """The axes in `axes` moved to the end and made one."""
    rest = tuple(a for a in range(x.spec.ndim) if a not in axes)
    moved = permute_dims(x, axes=rest + axes)
    shape = tuple(x.spec.shape[a] for a in rest)
    return reshape(moved, shape=(*shape, math.prod(x.spec.shape[a] for a in axes)))


def _unflatten_axes(flat: Any, x: Any, axes: Axes) -> Any:
    rest = tuple(a for a in range(x.spec.ndim) if a not in axes)
    order = rest + axes
    split = reshape(flat, shape=tuple(x.spec.shape[a] for a in order))
    inverse = tuple(order.index(a) for a in range(x.spec.ndim))
    return permute_dims(split, axes=inverse)


def _product_of_others(x: Any, axis: int) -> Any:
    before = _exclusive_product(x, axis)
    after = flip(_exclusive_product(flip(x, axes=(axis,)), axis), axes=(axis,))
    return multiply(before, after)


def _exclusive_product(x: Any, axis: int) -> Any:
    """Products of the elements before each position: doubling steps of shifts."""
    shifted = shift(x, axis, 1, 1.0)
    distance = 1
    while distance < x.spec.shape[axis]:
        shifted = multiply(shifted, shift(shifted, axis, distance, 1.0))
        distance *= 2
    return shifted


def shift(x: Any, axis: int, distance: int, fill: float) -> Any:
    """`x` moved by `distance` along `axis`; what moves in is `fill`."""
    length = x.spec.shape[axis]
    distance = min(distance, length)
    head = list(x.spec.shape)
    head[axis] = distance
    filled = broadcast_to(constant(fill, like=x), shape=tuple(head))
    stop = list(x.spec.shape)
    stop[axis] = length - distance
    zeros = (0,) * x.spec.ndim
    kept = slice_(x, start=zeros, stop=tuple(stop), step=(1,) * x.spec.ndim)
    return concatenate(filled, kept, axis=axis)


reduce_sum = _reduction(
    "sum", _sum, dtypes=NUMBERS, rule=lambda g, y, x, axes: _spread(g, x, axes)
)
reduce_prod = _reduction("prod", _product, dtypes=NUMBERS, rule=_product_rule)
reduce_max = _reduction(
    "max",
    lambda x, axes: np.max(x, axis=axes),
    doc="The largest element over `axes`; not-a-number wins.",
    dtypes=NUMBERS,
    rule=_extreme_rule,
    needs_elements=True,
)
reduce_min = _reduction(
    "min",
    lambda x, axes: np.min(x, axis=axes),
    doc="The smallest element over `axes`; not-a-number wins.",
    dtypes=NUMBERS,
    rule=_extreme_rule,
    needs_elements=True,
)
_TRUTH = "its result is a truth value"
reduce_any = _reduction(
    "any",
    lambda x, axes: np.any(x, axis=axes),
    doc="Whether some element over `axes` is true.",
    dtypes=(bool_,),
    not_differentiable=_TRUTH,
)
reduce_all = _reduction(
    "all",
    lambda x, axes: np.all(x, axis=axes),
    doc="Whether every element over `axes` is true.",
    dtypes=(bool_,),
    not_differentiable=_TRUTH,
)

# ---- positions of extremes -----------------------------------------------------------


def _position(name: str, reference: Callable[..., Any]) -> Operation:
    def spec(x: Spec, axis: int) -> Spec:
        check_dtype(name, x.dtype, NUMBERS)
        if x.shape[axis] == 0:
            raise ShapeError(f"'{name}' of no elements", where=name, got=x)
        return Spec(x.shape[:axis] + x.shape[axis + 1 :], int64)

    def samples() -> Iterable[Sample]:
        random = np.random.default_rng(7)
        cases = [((3, 5), 1), ((3, 5), 0), ((17,), 0), ((0, 4), 1), ((2, 33, 3), 1)]
        for shape, axis in cases:
            yield Sample((_distinct(shape, random),), {"axis": axis}, smooth=False)

    def batch(
        size: int,
        batched: Sequence[bool],
        inputs: Sequence[Any],
        params: dict[str, Any],
    ) -> list[Any]:
        return [defined(inputs[0], axis=params["axis"] + 1)]

    defined = operation(
        name,
        spec=spec,
        reference=reference,
        not_differentiable="its result is a position",
        dtypes=NUMBERS,
        samples=samples,
        batch=batch,
        doc=f"The first position of the {name[3:]}imum along `axis`; NaN wins.",
    )
    return defined


argmax = _position("argmax", lambda x, axis: np.argmax(x, axis=axis))
argmin = _position("argmin", lambda x, axis: np.argmin(x, axis=axis))

# ---- cumulative sum ------------------------------------------------------------------


def _cumulative_spec(x: Spec, axis: int) -> Spec:
    check_dtype("cumulative_sum", x.dtype, NUMBERS)
    return x


def _cumulative_samples() -> Iterable[Sample]:
    random = np.random.default_rng(8)
    for shape, axis in [((3, 5), 1), ((3, 5), 0), ((33,), 0), ((0, 4), 0), ((2, 1), 1)]:
        yield Sample((random.normal(size=shape),), {"axis": axis})


def _cumulative_rule(g: Any, y: Any, x: Any, axis: int) -> Any:
    turned = cumulative_sum(flip(g, axes=(axis,)), axis=axis)
    return flip(turned, axes=(axis,))


def _cumulative_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: dict[str, Any]
) -> list[Any]:
    return [cumulative_sum(inputs[0], axis=params["axis"] + 1)]


cumulative_sum = operation(
    "cumulative_sum",
    spec=_cumulative_spec,
    reference=lambda x, axis: np.cumsum(x, axis=axis, dtype=x.dtype),
    vjp=per_input(_cumulative_rule),
    dtypes=NUMBERS,
    samples=_cumulative_samples,
    batch=_cumulative_batch,
    doc="`y[i] = x[0] + ... + x[i]` along `axis`.",
)
