"""Operations that move elements and never compute with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ir.dtype import ALL
from chainrule.ir.primitive import Sample, Trait, per_input
from chainrule.ir.spec import Shape, Spec, broadcast_shapes
from chainrule.ir.trace import constant
from chainrule.ops.define import Array, Operation, operation, same_dtype
from chainrule.ops.logic import where

Params = dict[str, Any]


def _sample(of: Sequence[int], /, **params: Any) -> Sample:
    random = np.random.default_rng(9)
    return Sample((random.normal(size=tuple(of)),), params)


# ---- reshape -------------------------------------------------------------------------


def _reshape_spec(x: Spec, shape: Shape) -> Spec:
    if math.prod(shape) != x.size or min(shape, default=0) < 0:
        raise ShapeError(
            "reshape keeps the number of elements",
            where="reshape",
            got=f"{x.shape} ({x.size} elements) to {shape} ({math.prod(shape)})",
            fix="use -1 for one axis to have it computed",
        )
    return Spec(shape, x.dtype)


def _reshape_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    return [reshape(inputs[0], shape=(size, *params["shape"]))]


reshape: Operation = operation(
    "reshape",
    spec=_reshape_spec,
    reference=lambda x, shape: np.reshape(x, shape),
    vjp=per_input(lambda g, y, x, shape: reshape(g, shape=x.spec.shape)),
    dtypes=ALL,
    samples=lambda: [
        _sample((3, 4), shape=(2, 6)),
        _sample((), shape=(1, 1)),
        _sample((0, 4), shape=(2, 0)),
        _sample((2, 3, 5), shape=(30,)),
        _sample((7, 1), shape=(7,)),
    ],
    batch=_reshape_batch,
    traits=[Trait.MOVEMENT],
    doc="The same elements in row-major order under another shape.",
)

# ---- permute_dims --------------------------------------------------------------------


def _permute_spec(x: Spec, axes: tuple[int, ...]) -> Spec:
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(
            "axes must name every axis once",
            where="permute_dims",
            got=axes,
            expected=f"an order of {tuple(range(x.ndim))}",
        )
    return Spec(tuple(x.shape[axis] for axis in axes), x.dtype)


def inverse_order(axes: Sequence[int]) -> tuple[int, ...]:
    """The order of axes that undoes `axes`."""
    return tuple(axes.index(axis) for axis in range(len(axes)))


def _permute_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    axes = (0, *(axis + 1 for axis in params["axes"]))
    return [permute_dims(inputs[0], axes=axes)]


permute_dims: Operation = operation(
    "permute_dims",
    spec=_permute_spec,
    reference=lambda x, axes: np.transpose(x, axes),
    vjp=per_input(lambda g, y, x, axes: permute_dims(g, axes=inverse_order(axes))),
    dtypes=ALL,
    samples=lambda: [
        _sample((3, 4), axes=(1, 0)),
        _sample((2, 3, 5), axes=(2, 0, 1)),
        _sample((), axes=()),
        _sample((0, 4), axes=(1, 0)),
        _sample((2, 1, 3, 4), axes=(0, 2, 3, 1)),
    ],
    batch=_permute_batch,
    traits=[Trait.MOVEMENT],
    doc="Axis `i` of the result is axis `axes[i]` of x.",
)

# ---- broadcast_to --------------------------------------------------------------------


def _broadcast_spec(x: Spec, shape: Shape) -> Spec:
    if broadcast_shapes(x.shape, shape, where="broadcast_to") != tuple(shape):
        raise ShapeError(
            "this shape cannot be broadcast to that one",
            where="broadcast_to",
            got=x.shape,
            expected=shape,
        )
    return Spec(shape, x.dtype)


def _broadcast_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    (x,), shape = inputs, params["shape"]
    ones = (1,) * (len(shape) - (x.spec.ndim - 1))
    lifted = reshape(x, shape=(size, *ones, *x.spec.shape[1:]))
    return [broadcast_to(lifted, shape=(size, *shape))]


broadcast_to = operation(
    "broadcast_to",
    spec=_broadcast_spec,
    reference=lambda x, shape: np.broadcast_to(x, shape),
    # the reverse walk sums a cotangent over the axes that were broadcast
    vjp=per_input(lambda g, y, x, shape: g),
    dtypes=ALL,
    samples=lambda: [
        _sample((3, 1), shape=(3, 4)),
        _sample((), shape=(2, 3)),
        _sample((5,), shape=(2, 3, 5)),
        _sample((1, 4), shape=(0, 4)),
        _sample((2, 1, 3), shape=(2, 4, 3)),
    ],
    batch=_broadcast_batch,
    traits=[Trait.MOVEMENT],
    doc="x repeated along new axes and along axes of length 1.",
)

# ---- slice ---------------------------------------------------------------------------


def _slice_lengths(start: Shape, stop: Shape, step: Shape) -> Shape:
    bounds = zip(start, stop, step, strict=True)
    return tuple(len(range(first, last, each)) for first, last, each in bounds)


def _check_ranks(name: str, x: Spec, *params: Shape) -> None:
    if any(len(param) != x.ndim for param in params):
        raise ShapeError(
            "parameters must have one entry for every axis",
            where=name,
            got=", ".join(map(str, params)),
            expected=f"{x.ndim} entries each, for {x}",
        )


def _slice_spec(x: Spec, start: Shape, stop: Shape, step: Shape) -> Spec:
    _check_ranks("slice", x, start, stop, step)
    inside = all(
        0 <= first <= last <= n and each > 0
        for first, last, each, n in zip(start, stop, step, x.shape, strict=True)
    )
    if not inside:
        raise ShapeError(
            "0 <= start <= stop <= length and step > 0 must hold on every axis",
            where="slice",
            got=f"start {start}, stop {stop}, step {step} of {x.shape}",
        )
    return Spec(_slice_lengths(start, stop, step), x.dtype)


def _slice_reference(x: Array, start: Shape, stop: Shape, step: Shape) -> Any:
    """Elements `start, start + step, ...` before `stop`, on every axis."""
    return x[tuple(map(slice, start, stop, step))]


def _slice_rule(g: Any, y: Any, x: Any, start: Shape, stop: Shape, step: Shape) -> Any:
    # each cotangent goes back to its place, with zeros between and around
    high = []
    for n, first, each, count in zip(
        x.spec.shape, start, step, y.spec.shape, strict=True
    ):
        covered = first + (count - 1) * each + 1 if count else first
        high.append(n - covered)
    return pad(g, 0.0, low=start, high=tuple(high), interior=tuple(s - 1 for s in step))


def _slice_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    start, stop, step = (params[key] for key in ("start", "stop", "step"))
    return [slice_(inputs[0], start=(0, *start), stop=(size, *stop), step=(1, *step))]


slice_ = operation(
    "slice",
    spec=_slice_spec,
    reference=_slice_reference,
    vjp=per_input(_slice_rule),
    dtypes=ALL,
    samples=lambda: [
        _sample((5, 7), start=(1, 0), stop=(4, 7), step=(1, 2)),
        _sample((9,), start=(2,), stop=(9,), step=(3,)),
        _sample((), start=(), stop=(), step=()),
        _sample((4, 3), start=(2, 0), stop=(2, 3), step=(1, 1)),
    ],
    batch=_slice_batch,
    traits=[Trait.MOVEMENT],
)

# ---- pad -----------------------------------------------------------------------------


def _pad_spec(x: Spec, fill: Spec, low: Shape, high: Shape, interior: Shape) -> Spec:
    dtype = same_dtype("pad", (x, fill))
    _check_ranks("pad", x, low, high, interior)
    if fill.shape != () or min((*low, *high, *interior), default=0) < 0:
        raise ShapeError(
            "padding must be non-negative and its fill a 0-d value",
            where="pad",
            got=f"low {low}, high {high}, interior {interior}, fill {fill}",
        )
    widths = zip(x.shape, low, high, interior, strict=True)
    shape = tuple(
        before + n + max(n - 1, 0) * inner + after for n, before, after, inner in widths
    )
    return Spec(shape, dtype)


def _pad_places(shape: Shape, low: Shape, interior: Shape) -> tuple[slice, ...]:
    """Where the elements of x stand in the padded array."""
    return tuple(
        slice(
            first, first + max((n - 1) * (inner + 1) + 1, 0) if n else first, inner + 1
        )
        for n, first, inner in zip(shape, low, interior, strict=True)
    )


def _pad_reference(
    x: Array, fill: Array, low: Shape, high: Shape, interior: Shape
) -> Any:
    """x with `fill` before, after and between its elements."""
    widths = zip(x.shape, low, high, interior, strict=True)
    shape = [a + n + max(n - 1, 0) * inner + b for n, a, b, inner in widths]
    result = np.full(shape, fill, x.dtype)
    result[_pad_places(x.shape, low, interior)] = x
    return result


def _unpad(g: Any, y: Any, x: Any, fill: Any, **widths: Shape) -> Any:
    places = _pad_places(x.spec.shape, widths["low"], widths["interior"])
    start, stop = tuple(p.start for p in places), tuple(p.stop for p in places)
    return slice_(g, start=start, stop=stop, step=tuple(p.step for p in places))


def _pad_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    x, fill = inputs
    if batched[1]:
        # one fill per example: pad with zeros, then choose the fill outside of x
        rank = x.spec.ndim if not batched[0] else x.spec.ndim - 1
        fills = reshape(fill, shape=(size,) + (1,) * rank)
        mask = _inside(x.spec.shape[batched[0] :], params)
        x = x if batched[0] else broadcast_to(x, shape=(size, *x.spec.shape))
        return [
            where(mask, _pad_batch(size, (True, False), (x, 0.0), params)[0], fills)
        ]
    return [pad(x, fill, **{key: (0, *value) for key, value in params.items()})]


pad = operation(
    "pad",
    spec=_pad_spec,
    reference=_pad_reference,
    vjp=per_input(
        _unpad,
        lambda g, y, x, fill, **widths: _outside_sum(g, x, widths),
    ),
    dtypes=ALL,
    samples=lambda: [
        Sample((s.arrays[0], np.asarray(1.5)), s.params)
        for s in (
            _sample((3, 4), low=(1, 0), high=(0, 2), interior=(0, 0)),
            _sample((5,), low=(2,), high=(1,), interior=(2,)),
            _sample((), low=(), high=(), interior=()),
            _sample((0, 2), low=(1, 0), high=(1, 0), interior=(3, 1)),
            _sample((0, 2), low=(0, 1), high=(0, 0), interior=(2, 0)),
        )
    ],
    batch=_pad_batch,
    traits=[Trait.MOVEMENT],
)


def _outside_sum(g: Any, x: Any, widths: dict[str, Shape]) -> Any:
    """The sum of the cotangent over the padding."""
    return where(_inside(x.spec.shape, widths), 0.0, g)


def _inside(shape: Shape, widths: dict[str, Shape]) -> Any:
    """Whether an element of the padded array comes from the array of this shape."""
    return pad(broadcast_to(constant(True), shape=shape), constant(False), **widths)


# ---- flip ----------------------------------------------------------------------------


def _flip_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    return [flip(inputs[0], axes=tuple(axis + 1 for axis in params["axes"]))]


flip: Operation = operation(
    "flip",
    spec=lambda x, axes: x,
    reference=lambda x, axes: np.flip(x, axes),
    vjp=per_input(lambda g, y, x, axes: flip(g, axes=axes)),
    dtypes=ALL,
    samples=lambda: [
        _sample((3, 5), axes=(1,)),
        _sample((3, 17), axes=(0, 1)),
        _sample((0, 4), axes=(0,)),
        _sample((), axes=()),
    ],
    batch=_flip_batch,
    traits=[Trait.MOVEMENT],
    doc="The elements in reverse order along `axes`.",
)

# ---- concatenate ---------------------------------------------------------------------


def _concatenate_spec(*parts: Spec, axis: int) -> Spec:
    dtype = same_dtype("concatenate", parts)
    first = parts[0].shape
    for part in parts:
        others = part.shape[:axis] + part.shape[axis + 1 :]
        if part.ndim != len(first) or others != first[:axis] + first[axis + 1 :]:
            raise ShapeError(
                f"shapes may differ along axis {axis} only",
                where="concatenate",
                got=", ".join(str(p.shape) for p in parts),
            )
    length = sum(part.shape[axis] for part in parts)
    return Spec((*first[:axis], length, *first[axis + 1 :]), dtype)


def _concatenate_vjp(
    needed: Sequence[bool],
    cotangents: Sequence[Any],
    outputs: Sequence[Any],
    inputs: Sequence[Any],
    params: Params,
) -> list[Any]:
    axis, position, result = params["axis"], 0, []
    g = cotangents[0]
    for need, part in zip(needed, inputs, strict=True):
        length = part.spec.shape[axis]
        start, stop = [0] * g.spec.ndim, list(g.spec.shape)
        start[axis], stop[axis] = position, position + length
        step = (1,) * g.spec.ndim
        piece = (
            slice_(g, start=tuple(start), stop=tuple(stop), step=step) if need else None
        )
        result.append(piece)
        position += length
    return result


def _concatenate_batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: Params
) -> list[Any]:
    parts = [
        x if has else broadcast_to(x, shape=(size, *x.spec.shape))
        for x, has in zip(inputs, batched, strict=True)
    ]
    return [concatenate(*parts, axis=params["axis"] + 1)]


def _concatenate_samples() -> Iterable[Sample]:
    random = np.random.default_rng(10)
    cases = [
        (((2, 3), (2, 4)), 1),
        (((1,), (5,), (0,)), 0),
        (((3, 1, 2),) * 2, 1),
        (((0, 2), (0, 3)), 1),
    ]
    for shapes, axis in cases:
        yield Sample(tuple(random.normal(size=s) for s in shapes), {"axis": axis})


concatenate = operation(
    "concatenate",
    spec=_concatenate_spec,
    reference=lambda *parts, axis: np.concatenate(parts, axis=axis),
    vjp=_concatenate_vjp,
    dtypes=ALL,
    samples=_concatenate_samples,
    batch=_concatenate_batch,
    traits=[Trait.MOVEMENT],
    doc="The parts one after another along `axis`.",
)
