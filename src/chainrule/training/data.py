"""What users pass as data, as arrays that can be trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.ir.dtype import as_array, bfloat16, widen
from chainrule.ir.value import Value
from chainrule.training.mistakes import Mistake

Array = np.ndarray[Any, Any]
ACCEPTED = "numbers: bool, int8 to int64, uint8 to uint64, float16 to float64"


def to_array(data: Any, name: str) -> tuple[Array | None, list[Mistake]]:
    """`data` as an array with rows in front, without a copy where it is one already.

    Takes NumPy arrays (memory-mapped ones too), tensors, lists and tuples, and what has
    `__array__`, such as tables of pandas and Arrow.

    Args:
        data: what the user gave.
        name: its name in messages, such as `x`.

    Returns:
        The array, or None where it cannot be used, and what is wrong with it.

    Example:
        >>> to_array([[1, 2], [3, 4]], "x")[0].shape
        (2, 2)
        >>> print(to_array(["cat", "dog"], "y")[1][0].fix)
        classes, y = numpy.unique(y, return_inverse=True)
    """
    if isinstance(data, Value):
        data = data.data
    if np.ma.is_masked(data):
        return None, [_masked(name)]
    try:
        array = _as_array(data)
    except (ValueError, TypeError) as error:
        return None, [_ragged(data, name, error)]
    if array.ndim == 0:
        return None, [_not_rows(data, name)]
    if bfloat16 == array.dtype:  # ours, or that of another library
        array = widen(as_array(array, bfloat16))
    if array.dtype.kind not in "biuf":
        return None, [_not_numbers(array, name)]
    if array.dtype.itemsize == 2 and array.dtype.kind == "f":
        array = array.astype(np.float32)
    elif array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False), []


def _as_array(data: Any) -> Array:
    """An array of anything; numbers that pandas knows as missing become NaN."""
    array = np.asarray(data)
    if array.dtype.kind == "O" and hasattr(data, "dtypes"):
        try:
            return np.asarray(data.to_numpy(dtype="float64", na_value=np.nan))
        except (TypeError, ValueError):
            return array  # text, or objects
    return array


def _masked(name: str) -> Mistake:
    return Mistake(
        "values are masked, and a network has no way to skip them",
        name,
        expected="a value everywhere",
        fix=f"{name} = {name}.filled({name}.mean())",
    )


def _ragged(data: Any, name: str, error: Exception) -> Mistake:
    got = str(error)
    if isinstance(data, Sequence):
        lengths = [len(row) if hasattr(row, "__len__") else 0 for row in data]
        odd = next((i for i, n in enumerate(lengths) if n != lengths[0]), None)
        if odd is not None:
            got = f"row 0 with {lengths[0]} values, row {odd} with {lengths[odd]}"
    return Mistake("rows differ in length", name, got=got, expected="equal rows")


def _not_rows(data: Any, name: str) -> Mistake:
    dense = hasattr(data, "toarray")
    return Mistake(
        "data must be an array with one row a sample",
        name,
        got=f"{type(data).__name__}",
        expected="a NumPy array, a list, a tensor, or a table of numbers",
        fix=f"{name} = {name}.toarray()" if dense else f"{name} = numpy.asarray(rows)",
    )


def _not_numbers(array: Array, name: str) -> Mistake:
    kind = array.dtype.kind
    if kind == "O":
        return _objects(array, name)
    fix = f"{name} = {name}.astype('float32')"
    if kind in "US" and name.startswith("y"):
        fix = f"classes, {name} = numpy.unique({name}, return_inverse=True)"
    elif kind in "US":
        fix = (
            f"{name} = {name}.astype('float32')  # or encode each category by a number"
        )
    elif kind == "c":
        fix = f"{name} = numpy.concatenate([{name}.real, {name}.imag], axis=-1)"
    first = array.flat[0] if array.size else None
    return Mistake(
        "values are not real numbers",
        name,
        got=f"dtype {array.dtype}" + ("" if first is None else f", such as {first!r}"),
        expected=ACCEPTED,
        fix=fix,
    )


def _objects(array: Array, name: str) -> Mistake:
    """Dtype object: say which value is the first that is no number."""
    numbers = (bool, int, float, np.number, np.bool_)
    fix = f"{name} = {name}.astype('float32')"
    got = "dtype object"
    for index in np.ndindex(array.shape):
        value = array[index]
        if isinstance(value, numbers):
            continue
        got = f"dtype object: {describe_place(index)} holds {value!r:.40}"
        if isinstance(value, np.ndarray):
            fix = f"{name} = numpy.stack({name})"
        elif isinstance(value, str) and name.startswith("y"):
            fix = f"classes, {name} = numpy.unique({name}, return_inverse=True)"
        else:
            fix += "  # after replacing or encoding what is no number"
        break
    return Mistake(
        "values are Python objects", name, got=got, expected=ACCEPTED, fix=fix
    )


def describe_place(index: Sequence[int]) -> str:
    """Where a value stands.

    Example:
        >>> describe_place((3, 7)), describe_place((3,)), describe_place((3, 0, 1))
        ('row 3, column 7', 'row 3', 'row 3, position (0, 1)')
    """
    row, *rest = (int(i) for i in index)
    if not rest:
        return f"row {row}"
    place = f"column {rest[0]}" if len(rest) == 1 else f"position {tuple(rest)}"
    return f"row {row}, {place}"


def check_finite(array: Array, name: str) -> list[Mistake]:
    """NaN and infinity in `array`: how many, and where the first one is.

    The sum is not finite if any value is not, and reads the array once; only then is
    every value looked at.

    Example:
        >>> print(check_finite(np.array([[1.0, np.nan]]), "x")[0].got)
        1 NaN, 0 infinite; the first is nan in row 0, column 1
    """
    if array.dtype.kind != "f" or not array.size:
        return []
    with np.errstate(all="ignore"):
        if math.isfinite(array.sum()):
            return []
    nans, infinities, first = _count_not_finite(array)
    if first is None:
        return []
    what = "the label" if name.startswith("y") else "the value"
    return [
        Mistake(
            f"{what} must be finite everywhere",
            name,
            got=f"{nans} NaN, {infinities} infinite; the first is "
            f"{array[first]} in {describe_place(first)}",
            expected="finite numbers",
            fix=_finite_fix(array, name, nans, infinities),
        )
    ]


def _finite_fix(array: Array, name: str, nans: int, infinities: int) -> str:
    if name.startswith("y"):
        flat = "" if array.ndim == 1 else ".all(axis=1)"
        pair = name.replace("y", "x", 1)
        keep = f"keep = numpy.isfinite({name}){flat}"
        return f"{keep}\n{pair}, {name} = {pair}[keep], {name}[keep]"
    if infinities or array.ndim != 2:
        return f"{name} = numpy.nan_to_num({name}, nan=0.0, posinf=0.0, neginf=0.0)"
    return (
        f"{name} = numpy.where(numpy.isnan({name}), "
        f"numpy.nanmean({name}, axis=0), {name})"
    )


def _count_not_finite(array: Array) -> tuple[int, int, tuple[int, ...] | None]:
    nans = infinities = 0
    first = None
    rows = max(1, (1 << 20) * len(array) // array.size)
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        bad = ~np.isfinite(part)
        if not bad.any():
            continue
        found = int(np.isnan(part).sum())
        nans += found
        infinities += int(bad.sum()) - found
        if first is None:
            place = np.unravel_index(int(bad.argmax()), part.shape)
            first = (start + int(place[0]), *(int(i) for i in place[1:]))
    return nans, infinities, first


def split_rows(rows: int, fraction: float) -> int:
    """Where the validation part starts: the last `fraction` of the rows, as in Keras.

    Example:
        >>> split_rows(100, 0.2), split_rows(10, 0.25)
        (80, 7)
    """
    return math.floor(rows * (1.0 - fraction))
