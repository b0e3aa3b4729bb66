"""Values made from nothing: positions along an axis."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from chainrule.ir.dtype import FLOATS, SIGNED, UNSIGNED, DType, float32, int64
from chainrule.ir.primitive import Sample, Trait
from chainrule.ir.spec import Shape, Spec
from chainrule.ops.define import Array, check_dtype, operation

NUMBERS = (*SIGNED, *UNSIGNED, *FLOATS)


def _iota_spec(*, shape: Shape, axis: int, dtype: DType) -> Spec:
    check_dtype("iota", dtype, NUMBERS)
    return Spec(shape, dtype)


def _iota_reference(*, shape: Shape, axis: int, dtype: DType) -> Array:
    """The position along `axis`, as a number."""
    column = [1] * len(shape)
    column[axis] = shape[axis]
    positions = np.arange(shape[axis]).astype(dtype.numpy).reshape(column)
    return np.broadcast_to(positions, shape)


def _iota_samples() -> Iterable[Sample]:
    for shape, axis, dtype in [
        ((5,), 0, int64),
        ((3, 17), 1, float32),
        ((0, 2), 0, int64),
    ]:
        yield Sample((), {"shape": shape, "axis": axis, "dtype": dtype}, smooth=False)


iota = operation(
    "iota",
    spec=_iota_spec,
    reference=_iota_reference,
    not_differentiable="it has no input",
    dtypes=NUMBERS,
    samples=_iota_samples,
    traits=[Trait.CREATION],
)
