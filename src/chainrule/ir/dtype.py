"""Data types and their promotion, as in the Python array API standard (2024.12).

Where the standard leaves a mix undefined, the float wins over the integer and the
number over the boolean (`int32 + float32 -> float32`), as in JAX and PyTorch; unsigned
64-bit with a signed integer has no common type and is refused.

The floats of 16 bits, `float16` and `bfloat16`, are formats of storage: what is
computed with them is computed in float32 and rounded to nearest, ties to even. NumPy
has no bfloat16; its bits lie in a record of one unsigned number, which can be moved,
cut and joined as any other array, while arithmetic with it by mistake is an error.
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

    __slots__ = ("_hash", "bits", "is_half", "kind", "name", "numpy")

    def __init__(self, name: str, kind: str, bits: int, numpy: Any = None) -> None:
        self.name = name
        self.kind = kind
        self.bits = bits
        self.is_half = kind == "f" and bits == 16
        self.numpy: np.dtype[Any] = np.dtype(name if numpy is None else numpy)
        self._hash = hash(self.numpy)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.numpy.itemsize

    @property
    def compute(self) -> DType:
        """The type that its numbers are computed in: float32 for floats of 16 bits."""
        return float32 if self.is_half else self

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
        return self._hash

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
bfloat16 = DType("bfloat16", "f", 16, [("bfloat16", "=u2")])
float16 = DType("float16", "f", 16)
float32 = DType("float32", "f", 32)
float64 = DType("float64", "f", 64)

SIGNED = (int8, int16, int32, int64)
UNSIGNED = (uint8, uint16, uint32, uint64)
HALVES = (bfloat16, float16)
FLOATS = (*HALVES, float32, float64)
ALL = (bool_, *SIGNED, *UNSIGNED, *FLOATS)
DEFAULT_FLOAT = float32
DEFAULT_INT = int64

_BY_NUMPY = {dtype.numpy: dtype for dtype in ALL}
_BY_NAME = {dtype.name: dtype for dtype in ALL}
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
    if type(dtype) is str and dtype in _BY_NAME:
        return _BY_NAME[dtype]
    if isinstance(dtype, np.dtype) and dtype in _BY_NUMPY:
        return _BY_NUMPY[dtype]
    # other libraries bring a NumPy type of their own, which is known by its name
    if getattr(dtype, "name", dtype) == "bfloat16":
        return bfloat16
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
    order = "biuf"  # neither float of 16 bits holds the other: float32 holds both
    low, high = sorted((first, second), key=lambda d: (order.index(d.kind), d.bits))
    if low.is_half and high.is_half:
        return float32
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


Array: TypeAlias = "np.ndarray[Any, Any]"

_HALF_CODES = "eV"  # NumPy's letters of float16, and of the record of bfloat16
_BY_CODE = {dtype.numpy.char: dtype for dtype in HALVES}
_NOT_A_NUMBER = 0x7FC0


def is_half(array: Array) -> bool:
    """Whether an array holds floats of 16 bits."""
    return array.dtype.char in _HALF_CODES


def widen(array: Array) -> Array:
    """An array of floats of 16 bits as float32, exactly; any other as it is.

    Example:
        >>> widen(as_array([1.0, 0.1], bfloat16)).tolist()
        [1.0, 0.10009765625]
    """
    if array.dtype.char not in _HALF_CODES:
        return array
    if _BY_CODE[array.dtype.char] is float16:
        return array.astype(np.float32)
    words = np.ascontiguousarray(array).view(np.uint16).astype(np.uint32)
    return (words << 16).view(np.float32).reshape(array.shape)


def as_array(numbers: Any, dtype: DType) -> Array:
    """Numbers as an array of `dtype`, rounded to nearest, ties to even.

    What is too large for a float of 16 bits becomes infinite. Doubles are rounded to
    float32 on the way, as by most libraries.

    Example:
        >>> widen(as_array(3.14159, bfloat16)).item()
        3.140625
    """
    array = np.asarray(numbers)
    if array.dtype == dtype.numpy:
        return array
    if array.dtype.name == "bfloat16":
        array = array.view(np.uint16).view(bfloat16.numpy)
    if dtype is not bfloat16:
        wide = widen(array)
        with np.errstate(all="ignore"):
            wide = np.asarray(wide, np.float32) if dtype is float16 else wide
            return np.asarray(wide, dtype.numpy)
    if array.dtype == dtype.numpy:
        return array
    return _rounded(np.asarray(widen(array)))


def _rounded(array: Array) -> Array:
    """The nearest bfloat16 of numbers."""
    with np.errstate(all="ignore"):
        single = np.ascontiguousarray(array, np.float32)
    words = single.view(np.uint32)
    odd = (words >> 16) & 1
    upper = ((words + (0x7FFF + odd)) >> 16).astype(np.uint16)
    upper = np.where(np.isnan(single), np.uint16(_NOT_A_NUMBER), upper)
    return np.asarray(upper).view(bfloat16.numpy).reshape(array.shape)
