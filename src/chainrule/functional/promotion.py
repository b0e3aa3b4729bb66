"""Operands to values of one dtype: promotion, conversion and questions about dtypes.

Promotion follows the Python array API standard. A Python scalar (and a NumPy float64
scalar, which is one) is weak: it takes the dtype of the other operand, and the default
of its kind where that kind is higher (`int8 tensor + 0.5` is float32). Functions whose
results are fractions convert integers and booleans to float32, the default.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

from chainrule import ops
from chainrule.errors import ArgumentError, DTypeError, TraceError
from chainrule.ir.dtype import (
    ALL,
    DEFAULT_FLOAT,
    DEFAULT_INT,
    FLOATS,
    SIGNED,
    UNSIGNED,
    DType,
    DTypeLike,
    as_dtype,
    bfloat16,
    bool_,
    float32,
    promote,
)
from chainrule.ir.trace import constant
from chainrule.ir.value import Value
from chainrule.ops import Operation
from chainrule.variable import Variable

# `chainrule.Tensor` is built on these functions, so they cannot name its class.
Tensor: TypeAlias = Any
ArrayLike: TypeAlias = Any

_KINDS = "bif"
_DEFAULTS = {"b": bool_, "i": DEFAULT_INT, "u": DEFAULT_INT, "f": DEFAULT_FLOAT}


def is_scalar(x: object) -> bool:
    """Whether `x` is a Python number, which gives way in promotion."""
    return isinstance(x, (bool, int, float))


def is_weak(x: object) -> bool:
    """Whether the dtype of `x` gives way in promotion."""
    return is_scalar(x) or (isinstance(x, Value) and x.weak)


def from_numpy(x: Any, dtype: DType | None = None) -> Tensor:
    """A value that holds the array-like `x`, not copied where that can be avoided.

    Python numbers, and lists of them, get the default dtype of their kind.

    Raises:
        DTypeError: for data that chainrule has no dtype for.
        ArgumentError: for ragged lists.
    """
    try:
        array = np.asarray(x)
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            "not an array of numbers",
            where="asarray",
            got=f"{type(x).__name__}: {error}",
            expected="numbers, or lists of equal lengths",
        ) from None
    if dtype is None:
        dtype = _dtype_of(x, array)
    if array.dtype != dtype.numpy:
        array = ops.cast.primitive.reference(array, dtype)
    return constant(array)


def _dtype_of(x: Any, array: np.ndarray[Any, Any]) -> DType:
    dtype = as_dtype(array.dtype)
    while isinstance(x, (list, tuple)) and x:
        x = x[0]
    plain = is_scalar(x) or isinstance(x, (list, tuple))
    return DEFAULT_FLOAT if plain and dtype.is_float else dtype


def as_value(x: ArrayLike) -> Tensor:
    """`x` as a value; a Python number takes the default dtype of its kind."""
    if isinstance(x, Variable):
        x = x.value
    if not isinstance(x, Value):
        return from_numpy(x)
    return ops.cast(x, dtype=_DEFAULTS[x.spec.dtype.kind]) if x.weak else x


def common_dtype(*operands: ArrayLike) -> DType:
    """The dtype that the operands are promoted to."""
    strong = [_spec_dtype(x) for x in operands if not is_weak(x)]
    weak = [_weak_default(x) for x in operands if is_weak(x)]
    if not strong:
        return reduce(promote, weak)
    dtype = reduce(promote, strong)
    for default in weak:
        if _rank(default) > _rank(dtype):
            dtype = default
    return dtype


def _spec_dtype(x: Any) -> DType:
    if isinstance(x, (Value, Variable)):
        return x.spec.dtype
    if isinstance(x, DType):
        return x
    return _dtype_of(x, np.asarray(x))


def _weak_default(x: Any) -> DType:
    if isinstance(x, Value):
        return _DEFAULTS[x.spec.dtype.kind]
    if isinstance(x, bool):
        return bool_
    return DEFAULT_INT if isinstance(x, int) else DEFAULT_FLOAT


def _rank(dtype: DType) -> int:
    return _KINDS.index("i" if dtype.kind == "u" else dtype.kind)


def converted(x: ArrayLike, dtype: DType) -> Tensor:
    """`x` as a value of `dtype`."""
    if isinstance(x, Variable):
        x = x.value
    if isinstance(x, Value):
        return x if x.spec.dtype is dtype else ops.cast(x, dtype=dtype)
    # a float that an integer dtype cannot hold saturates, as in a conversion of arrays
    if is_scalar(x) and not (isinstance(x, float) and dtype.is_integer):
        try:
            return constant(x, dtype=dtype)
        except OverflowError:
            raise ArgumentError(
                f"the number does not fit into {dtype}", got=x, expected=dtype
            ) from None
    return from_numpy(x, dtype)


def promoted(*operands: ArrayLike) -> list[Tensor]:
    """The operands as values of their common dtype."""
    dtype = common_dtype(*operands)
    return [converted(x, dtype) for x in operands]


def promoted_floats(*operands: ArrayLike) -> list[Tensor]:
    """The operands as values of their common floating-point dtype."""
    dtype = common_dtype(*operands)
    dtype = dtype if dtype.is_float else DEFAULT_FLOAT
    return [converted(x, dtype) for x in operands]


def apply(operation: Operation, *operands: ArrayLike) -> Tensor:
    """`operation` on the promoted operands."""
    return _marked(operation(*promoted(*operands)), operands)


def apply_float(operation: Operation, *operands: ArrayLike) -> Tensor:
    """`operation` on the operands, promoted to floating point."""
    return _marked(operation(*promoted_floats(*operands)), operands)


Function = TypeVar("Function", bound=Callable[..., Any])


def widely(function: Function) -> Function:
    """`function`, which composes several operations, computed in float32 for a first
    argument of 16 bits, and rounded once.

    Example:
        >>> @widely
        ... def thrice(x):
        ...     return ops.add(ops.add(x, x), x)
        >>> thrice(converted(1.0, bfloat16)).dtype
        chainrule.bfloat16
    """

    @functools.wraps(function)
    def wide(x: ArrayLike, /, *args: Any, **kwargs: Any) -> Tensor:
        value = as_value(x)
        dtype = value.spec.dtype
        if not dtype.is_half:
            return function(x, *args, **kwargs)
        result: Tensor = function(ops.cast(value, dtype=float32), *args, **kwargs)
        return ops.cast(result, dtype=dtype) if result.spec.dtype.is_float else result

    return cast(Function, wide)


def _marked(result: Tensor, operands: Sequence[ArrayLike]) -> Tensor:
    # what is computed from Python numbers alone gives way as they do
    if any(isinstance(x, Value) and x.weak for x in operands):
        result.weak = all(map(is_weak, operands))
    return result


def concrete(x: ArrayLike, where: str, fix: str) -> np.ndarray[Any, Any]:
    """The numbers of `x`, for functions whose result's shape depends on them.

    Raises:
        TraceError: while `x` is traced, when there are no numbers.
    """
    data: np.ndarray[Any, Any] | None = as_value(x).data
    if data is None:
        raise TraceError(
            "the shape of the result depends on numbers that a traced value lacks",
            where=where,
            got=as_value(x).spec,
            expected="a tensor with numbers, outside jit, grad of jit and vmap",
            fix=fix,
        )
    return data


# ---- the standard's functions on dtypes ----------------------------------------------


def astype(
    x: ArrayLike, dtype: DTypeLike, /, *, copy: bool = True, device: str | None = None
) -> Tensor:
    """`x` converted to `dtype`.

    A float outside the range of an integer dtype saturates, and not-a-number becomes 0.
    Tensors are immutable, so `copy` makes no difference.

    Example:
        >>> astype([0.5, 2.7, -1e20], "int32").tolist()
        [0, 2, -2147483648]
    """
    check_device(device)
    return converted(x, as_dtype(dtype))


def check_device(device: object) -> None:
    """Refuse a device other than "cpu"."""
    if device not in (None, "cpu"):
        raise ArgumentError(
            "there is no such device", got=device, expected="'cpu'", fix="device='cpu'"
        )


def result_type(*arrays_and_dtypes: ArrayLike) -> DType:
    """The dtype to which these tensors, dtypes and Python numbers are promoted.

    Example:
        >>> result_type("int8", "uint8"), result_type("float32", 1.5)
        (chainrule.int16, chainrule.float32)
    """
    if not arrays_and_dtypes:
        raise ArgumentError("at least one argument is needed", where="result_type")
    return common_dtype(
        *(as_dtype(x) if _is_dtype(x) else x for x in arrays_and_dtypes)
    )


def _is_dtype(x: object) -> bool:
    return isinstance(x, (str, type, np.dtype, DType))


def can_cast(from_: ArrayLike, to: DTypeLike, /) -> bool:
    """Whether promotion alone turns `from_`, a dtype or a tensor, into `to`.

    Example:
        >>> can_cast("int8", "int32"), can_cast("float64", "float32")
        (True, False)
    """
    source = as_dtype(from_) if _is_dtype(from_) else _spec_dtype(from_)
    target = as_dtype(to)
    try:
        return promote(source, target) is target
    except DTypeError:
        return False


_KIND_NAMES: dict[str, tuple[DType, ...]] = {
    "bool": (bool_,),
    "signed integer": SIGNED,
    "unsigned integer": UNSIGNED,
    "integral": (*SIGNED, *UNSIGNED),
    "real floating": FLOATS,
    "complex floating": (),
    "numeric": (*SIGNED, *UNSIGNED, *FLOATS),
}


def isdtype(dtype: DTypeLike, kind: Any) -> bool:
    """Whether `dtype` is of `kind`: a dtype, a kind's name, or a tuple of these.

    Kinds are "bool", "signed integer", "unsigned integer", "integral", "real floating",
    "complex floating" (there are none) and "numeric".

    Example:
        >>> isdtype("int8", "integral"), isdtype("float32", ("bool", "integral"))
        (True, False)
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    if isinstance(kind, str):
        if kind not in _KIND_NAMES:
            raise ArgumentError(
                "there is no such kind of dtype",
                where="isdtype",
                got=kind,
                expected=", ".join(map(repr, _KIND_NAMES)),
            )
        return as_dtype(dtype) in _KIND_NAMES[kind]
    return as_dtype(dtype) == as_dtype(kind)


@dataclass(frozen=True)
class FloatInfo:
    """Limits of a floating-point dtype, in the words of the standard."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True)
class IntegerInfo:
    """Limits of an integer dtype, in the words of the standard."""

    bits: int
    max: int
    min: int
    dtype: DType


def finfo(type: ArrayLike, /) -> FloatInfo:
    """Limits of a floating-point dtype, or of a tensor's.

    Example:
        >>> finfo("float32").eps
        1.1920928955078125e-07
    """
    dtype = as_dtype(type) if _is_dtype(type) else _spec_dtype(type)
    if not dtype.is_float:
        raise DTypeError("not a floating-point dtype", where="finfo", got=dtype)
    if dtype is bfloat16:  # the exponents of float32, and 7 bits of fraction
        single = np.finfo(np.float32)
        least, most = float(single.smallest_normal), float(2.0 - 2.0**-7) * 2.0**127
        return FloatInfo(16, 2.0**-7, most, -most, least, dtype)
    info = np.finfo(dtype.numpy)
    return FloatInfo(
        bits=dtype.bits,
        eps=float(info.eps),
        max=float(info.max),
        min=float(info.min),
        smallest_normal=float(info.smallest_normal),
        dtype=dtype,
    )


def iinfo(type: ArrayLike, /) -> IntegerInfo:
    """Limits of an integer dtype, or of a tensor's.

    Example:
        >>> iinfo("uint8").max
        255
    """
    dtype = as_dtype(type) if _is_dtype(type) else _spec_dtype(type)
    if not dtype.is_integer:
        raise DTypeError("not an integer dtype", where="iinfo", got=dtype)
    info = np.iinfo(dtype.numpy)
    return IntegerInfo(dtype.bits, int(info.max), int(info.min), dtype)


def dtypes_of_kind(kind: Any = None) -> dict[str, DType]:
    """The standard's dtypes of `kind` by name; all of them for None.

    The floats of 16 bits are no part of the standard, and not listed.
    """
    known = [dtype for dtype in ALL if not dtype.is_half]
    return {d.name: d for d in known if kind is None or isdtype(d, kind)}
