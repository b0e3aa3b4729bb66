"""Data types and their promotion, as in the Python array API standard (2024.12).

Where the standard leaves a mix undefined, the float wins over the integer and the
number over the boolean (`int32 + float32 -> float32`), as in JAX and PyTorch; unsigned
64-bit with a signed integer has no common type and is refused.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from chainrule.errors import DTypeError


class DType:
    """One data type. Compares equal to whatever `as_dtype` takes for it.

    Example:
        >>> float32 == "float32", float32.bits, float32.is_float
        (True, 32, True)
    """

    __slots__ = ("bits", "kind", "name", "numpy")

    def __init__(self, name: str, kind: str, bits: int) -> None:
        self.name = name
        self.kind = kind
        self.bits = bits
        self.numpy: np.dtype[Any] = np.dtype(name)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.numpy.itemsize

    @property
    def is_float(self) -> bool:
        """Whether values are floating-point numbers (only these have gradients)."""
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        """Whether values are signed or unsigned integers."""
        return self.kind in "iu"

    @property
    def is_bool(self) -> bool:
        """Whether values are booleans."""
        return self.kind == "b"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if other is None or isinstance(other, DType):
            return False
        try:
            return as_dtype(other) is self  # type: ignore[arg-type]
        except DTypeError:
            return False

    def __hash__(self) -> int:
        return hash(self.numpy)

    def __repr__(self) -> str:
        return f"chainrule.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self.name,)


DTypeLike: TypeAlias = "DType | str | type | np.dtype[Any]"

bool_ = DType("bool", "b", 8)
int8 = DType("int8", "i", 8)
int16 = DType("int16", "i", 16)
int32 = DType("int32", "i", 32)
int64 = DType("int64", "i", 64)
uint8 = DType("uint8", "u", 8)
uint16 = DType("uint16", "u", 16)
uint32 = DType("uint32", "u", 32)
uint64 = DType("uint64", "u", 64)
float32 = DType("float32", "f", 32)
float64 = DType("float64", "f", 64)

SIGNED = (int8, int16, int32, int64)
UNSIGNED = (uint8, uint16, uint32, uint64)
FLOATS = (float32, float64)
ALL = (bool_, *SIGNED, *UNSIGNED, *FLOATS)
DEFAULT_FLOAT = float32
DEFAULT_INT = int64

_BY_NUMPY = {dtype.numpy: dtype for dtype in ALL}
_PYTHON = {bool: bool_, int: DEFAULT_INT, float: DEFAULT_FLOAT}


def as_dtype(dtype: DTypeLike) -> DType:
    """The `DType` named by a string, a Python type or a NumPy type.

    `float` means the default, float32; `int` means int64.

    Raises:
        DTypeError: for a type that chainrule does not have (complex, object, ...).

    Example:
        >>> as_dtype("int32"), as_dtype(float)
        (chainrule.int32, chainrule.float32)
    """
    if isinstance(dtype, DType):
        return dtype
    if isinstance(dtype, np.dtype) and dtype in _BY_NUMPY:
        return _BY_NUMPY[dtype]
    if isinstance(dtype, type) and dtype in _PYTHON:
        return _PYTHON[dtype]
    try:
        # for NumPy, None is a name of float64
        known = None if dtype is None else np.dtype(dtype).newbyteorder("=")
        found = None if known is None else _BY_NUMPY.get(known)
    except TypeError:
        found = None
    if found is None:
        raise DTypeError(
            "chainrule has no such data type",
            got=dtype,
            expected=", ".join(d.name for d in ALL),
            fix="convert first, for example array.astype('float32')",
        )
    return found


def promote(first: DType, second: DType) -> DType:
    """The smallest type that holds both, by the table of the array API standard.

    Raises:
        DTypeError: for uint64 with a signed integer, which have no common type.

    Example:
        >>> promote(int8, uint8), promote(float32, float64), promote(int64, float32)
        (chainrule.int16, chainrule.float64, chainrule.float32)
    """
    if first is second:
        return first
    order = "biuf"
    low, high = sorted((first, second), key=lambda d: (order.index(d.kind), d.bits))
    if low.kind == high.kind or high.is_float or low.is_bool:
        return high
    if low.bits > high.bits:
        return low
    wider = [d for d in SIGNED if d.bits > high.bits]
    if not wider:
        raise DTypeError(
            f"{low} and {high} have no common type",
            got=f"{first} with {second}",
            expected="signed with signed, or unsigned with unsigned",
            fix="cast one of them: chainrule.astype(x, 'int64')",
        )
    return wider[0]
