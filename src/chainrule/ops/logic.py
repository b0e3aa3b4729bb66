"""Comparison, logic, bits, choice and conversion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import DTypeError
from chainrule.ir.dtype import (
    ALL,
    SIGNED,
    UNSIGNED,
    DType,
    as_array,
    as_dtype,
    bool_,
    float32,
    float64,
    is_half,
    widen,
)
from chainrule.ir.primitive import Sample, Trait, per_input
from chainrule.ir.spec import Spec, broadcast_shapes
from chainrule.ops.define import (
    Array,
    Operation,
    Samples,
    booleans,
    elementwise_spec,
    integers,
    operation,
    real_pairs,
    reals,
    same_dtype,
)

INTEGERS = (*SIGNED, *UNSIGNED)
WORDS = (*INTEGERS, float32, float64)  # whose bits can be read as another type
NOT_A_NUMBER = "its result is a truth value or an integer"


def _discrete(
    name: str,
    reference: Callable[..., Any],
    samples: Samples,
    *,
    dtypes: Sequence[DType],
    result: DType | None = None,
    commutative: bool = False,
    doc: str = "",
) -> Operation:
    """Define an operation whose result has no gradient."""
    return operation(
        name,
        spec=elementwise_spec(name, dtypes, result),
        reference=reference,
        not_differentiable=NOT_A_NUMBER,
        dtypes=dtypes,
        samples=samples,
        traits=[Trait.ELEMENTWISE] + [Trait.COMMUTATIVE] * commutative,
        doc=doc,
    )


# ---- comparison ----------------------------------------------------------------------

_SAME = real_pairs((-1, 1), (-1, 1), smooth=False)

equal = _discrete(
    "equal",
    np.equal,
    _SAME,
    dtypes=ALL,
    result=bool_,
    commutative=True,
    doc="Whether a = b; not-a-number equals nothing.",
)
not_equal = _discrete(
    "not_equal",
    np.not_equal,
    _SAME,
    dtypes=ALL,
    result=bool_,
    commutative=True,
    doc="Whether a differs from b; not-a-number differs from all.",
)
less = _discrete(
    "less",
    np.less,
    _SAME,
    dtypes=ALL,
    result=bool_,
    doc="Whether a < b.",
)
less_equal = _discrete(
    "less_equal",
    np.less_equal,
    _SAME,
    dtypes=ALL,
    result=bool_,
    doc="Whether a <= b.",
)

# ---- logic ---------------------------------------------------------------------------

_ONLY_BOOL = (bool_,)

logical_and = _discrete(
    "logical_and",
    np.logical_and,
    booleans(2),
    dtypes=_ONLY_BOOL,
    commutative=True,
    doc="Whether both hold.",
)
logical_or = _discrete(
    "logical_or",
    np.logical_or,
    booleans(2),
    dtypes=_ONLY_BOOL,
    commutative=True,
    doc="Whether one or both hold.",
)
logical_xor = _discrete(
    "logical_xor",
    np.logical_xor,
    booleans(2),
    dtypes=_ONLY_BOOL,
    commutative=True,
    doc="Whether just one of both holds.",
)
logical_not = _discrete(
    "logical_not",
    np.logical_not,
    booleans(1),
    dtypes=_ONLY_BOOL,
    doc="Whether it does not hold.",
)

# ---- bits ----------------------------------------------------------------------------


def _shift_left(x: Array, count: Array) -> Any:
    """`x * 2**count` modulo the width; 0 where the count reaches the width."""
    bits = x.dtype.itemsize * 8
    inside = (count >= 0) & (count < bits)
    return np.where(inside, np.left_shift(x, np.where(inside, count, 0)), 0).astype(
        x.dtype
    )


def _shift_right(x: Array, count: Array) -> Any:
    """`floor(x / 2**count)`; the sign fills in where the count reaches the width."""
    bits = x.dtype.itemsize * 8
    inside = (count >= 0) & (count < bits)
    last = np.asarray(bits - 1, x.dtype)
    shifted = np.right_shift(x, np.where(inside, count, last).astype(x.dtype))
    if x.dtype.kind == "i":
        return shifted
    return np.where(inside, shifted, 0).astype(x.dtype)


_WORDS = integers(0, 100, 2)
_COUNTS = integers(0, 9, 2)

bitwise_and = _discrete(
    "bitwise_and",
    np.bitwise_and,
    _WORDS,
    dtypes=INTEGERS,
    commutative=True,
    doc="The bits that are set in both.",
)
bitwise_or = _discrete(
    "bitwise_or",
    np.bitwise_or,
    _WORDS,
    dtypes=INTEGERS,
    commutative=True,
    doc="The bits that are set in one or both.",
)
bitwise_xor = _discrete(
    "bitwise_xor",
    np.bitwise_xor,
    _WORDS,
    dtypes=INTEGERS,
    commutative=True,
    doc="The bits that are set in just one of both.",
)
bitwise_invert = _discrete(
    "bitwise_invert",
    np.invert,
    integers(0, 100, 1),
    dtypes=INTEGERS,
    doc="Every bit turned.",
)
shift_left = _discrete("shift_left", _shift_left, _COUNTS, dtypes=INTEGERS)
shift_right = _discrete("shift_right", _shift_right, _COUNTS, dtypes=INTEGERS)

# ---- choice --------------------------------------------------------------------------


def _where_spec(condition: Spec, a: Spec, b: Spec) -> Spec:
    if condition.dtype is not bool_:
        raise DTypeError(
            "the condition must be boolean",
            where="where",
            got=condition,
            fix="compare first: chainrule.where(x > 0, a, b)",
        )
    shape = broadcast_shapes(condition.shape, a.shape, b.shape, where="where")
    return Spec(shape, same_dtype("where", (a, b)))


def _where_samples() -> Iterable[Sample]:
    random = np.random.default_rng(3)
    shapes = [((3, 5),) * 3, ((), (4,), (4,)), ((3, 1), (1, 5), ()), ((4,), (0, 4), ())]
    for condition, a, b in shapes:
        chosen = np.asarray(random.random(condition) < 0.5)
        yield Sample((chosen, random.normal(size=a), random.normal(size=b)))


where: Operation = operation(
    "where",
    spec=_where_spec,
    reference=np.where,
    vjp=per_input(
        None,
        lambda g, y, condition, a, b: where(condition, g, 0.0),
        lambda g, y, condition, a, b: where(condition, 0.0, g),
    ),
    dtypes=ALL,
    samples=_where_samples,
    traits=[Trait.ELEMENTWISE],
    doc="`a` where the condition holds, else `b`.",
)

# ---- conversion ----------------------------------------------------------------------


def convert(x: Array, dtype: DType) -> Array:
    """`x` in another dtype; a float outside an integer type's range saturates.

    Not-a-number becomes 0, and a boolean is whether the number differs from 0, as with
    LLVM's saturating conversions, so that every backend agrees.
    """
    if dtype.is_half or is_half(x):
        return convert(widen(x), dtype) if is_half(x) else as_array(x, dtype)
    target = dtype.numpy
    if x.dtype.kind != "f" or dtype.kind not in "iu":
        return x.astype(target)
    limits = np.iinfo(target)
    above = x >= float(limits.max) + (1 if limits.bits <= 32 else 0)
    below = x <= float(limits.min)
    inside = np.where(above | below | np.isnan(x), 0, x).astype(target)
    result = np.where(above, limits.max, np.where(below, limits.min, inside))
    return np.asarray(result.astype(target))


def _cast_samples() -> Iterable[Sample]:
    random = np.random.default_rng(4)
    for shape in ((3, 5), (), (0, 4)):
        yield Sample((random.normal(size=shape),), {"dtype": float64})
    yield Sample((random.normal(size=(3, 5)),), {"dtype": float32}, smooth=False)
    for name in ("bool", "int8", "uint8", "int32", "int64", "uint64"):
        values = random.uniform(0, 100, (2, 17))
        yield Sample((values,), {"dtype": as_dtype(name)}, smooth=False)


def _cast_back(g: Any, y: Any, x: Any, dtype: DType) -> Any:
    return cast(g, dtype=x.spec.dtype) if dtype.is_float else None


cast = operation(
    "cast",
    spec=lambda x, dtype: Spec(x.shape, dtype),
    reference=lambda x, dtype: convert(np.asarray(x), dtype),
    vjp=per_input(_cast_back),
    dtypes=ALL,
    samples=_cast_samples,
    traits=[Trait.ELEMENTWISE],
    doc=convert.__doc__ or "",
)


def _bitcast_spec(x: Spec, dtype: DType) -> Spec:
    refused = [kind for kind in (x.dtype, dtype) if kind not in WORDS]
    if x.dtype.bits != dtype.bits or refused:
        raise DTypeError(
            "bits can be read as another type of the same width only",
            where="bitcast",
            got=f"{x.dtype} as {dtype}",
            expected="integers, float32 or float64",
        )
    return Spec(x.shape, dtype)


def _bitcast_samples() -> Iterable[Sample]:
    words = np.random.default_rng(5).integers(0, 2**62, (3, 5))
    pairs = [
        ("int64", "uint64"),
        ("float64", "int64"),
        ("uint32", "float32"),
        ("int16", "uint16"),
        ("uint8", "int8"),
    ]
    for source, target in pairs:
        parts = words.astype(f"u{as_dtype(source).itemsize}").view(source)
        yield Sample((parts,), {"dtype": as_dtype(target)}, smooth=False)
        yield Sample((parts[:0],), {"dtype": as_dtype(target)}, smooth=False)


bitcast = operation(
    "bitcast",
    spec=_bitcast_spec,
    reference=lambda x, dtype: (
        np.ascontiguousarray(x).view(dtype.numpy).reshape(np.shape(x))
    ),
    not_differentiable="bits are not numbers",
    dtypes=WORDS,
    samples=_bitcast_samples,
    traits=[Trait.ELEMENTWISE],
    doc="The same bits, read as another dtype of the same width.",
)

# ---- identity ------------------------------------------------------------------------

identity = operation(
    "identity",
    spec=elementwise_spec("identity", ALL),
    reference=lambda x: x,
    vjp=per_input(lambda g, y, x: g),
    dtypes=ALL,
    samples=reals(-2, 2),
    traits=[Trait.ELEMENTWISE],
    doc="`x` itself, as a new value: what a gradient is taken with respect to.",
)
stop_gradient = operation(
    "stop_gradient",
    spec=elementwise_spec("stop_gradient", ALL),
    reference=lambda x: x,
    vjp=per_input(None),
    dtypes=ALL,
    samples=reals(-2, 2, smooth=False),
    traits=[Trait.ELEMENTWISE],
    doc="`x`, treated as a constant by gradients.",
)
