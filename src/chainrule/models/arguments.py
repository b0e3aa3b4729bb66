"""The arguments of recorded calls as JSON, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, FormatError
from chainrule.functional.recording import Symbol
from chainrule.ir.dtype import DType, as_dtype
from chainrule.ir.value import Value

LARGEST_ARRAY = 10_000  # numbers; what is larger is a weight


def encode(value: Any, numbers: Mapping[int, int]) -> Any:
    """An argument in terms of JSON.

    Numbers, strings, lists and None stand for themselves; all else is a dict of one
    entry that names its kind.

    Args:
        value: the argument.
        numbers: the number of each symbol, by its `id`.

    Raises:
        ArgumentError: for what a file of a model cannot hold.

    Example:
        >>> encode((2, slice(None, 3)), {})
        {'tuple': [2, {'slice': [None, 3, None]}]}
    """
    if isinstance(value, Symbol):
        return {"symbol": numbers[id(value)]}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, list):
        return [encode(part, numbers) for part in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(part, numbers) for part in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: encode(part, numbers) for key, part in value.items()}}
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        return {"slice": [encode(part, numbers) for part in parts]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, DType):
        return {"dtype": value.name}
    return _encode_array(value)


def _encode_array(value: Any) -> dict[str, Any]:
    data = value.data if isinstance(value, Value) else value
    if not isinstance(data, (np.ndarray, np.generic)) or data.size > LARGEST_ARRAY:
        raise ArgumentError(
            "an argument of a call cannot be saved",
            got=f"{type(value).__name__} {str(value)[:100]}",
            expected=f"numbers, strings, arrays of at most {LARGEST_ARRAY} numbers",
            fix="compute it in a layer of your own, which has it as an argument or "
            "weight",
        )
    dtype = as_dtype(data.dtype)
    plain = [encode(x, {}) for x in data.reshape(-1).tolist()]
    return {"array": {"dtype": dtype.name, "shape": list(data.shape), "data": plain}}


def decode(value: Any, symbols: Sequence[Any]) -> Any:
    """The argument that `encode` described.

    Raises:
        FormatError: for what `encode` does not write.

    Example:
        >>> decode({"tuple": [2, {"slice": [None, 3, None]}]}, [])
        (2, slice(None, 3, None))
    """
    if isinstance(value, list):
        return [decode(part, symbols) for part in value]
    if not isinstance(value, dict):
        return value
    kind, inside = next(iter(value.items())) if len(value) == 1 else (None, None)
    if kind not in _KINDS:
        raise FormatError("this is no argument of a call", got=f"{value}"[:200])
    return _KINDS[kind](inside, symbols)


def count_symbols(value: Any) -> int:
    """How many symbols an encoded argument has.

    Example:
        >>> count_symbols({"dict": {"a": {"symbol": 0}, "b": [{"symbol": 1}]}})
        2
    """
    if isinstance(value, list):
        return sum(map(count_symbols, value))
    if not isinstance(value, dict):
        return 0
    return int("symbol" in value) + sum(map(count_symbols, value.values()))


def _symbol(number: Any, symbols: Sequence[Any]) -> Any:
    if type(number) is not int or not 0 <= number < len(symbols):
        raise FormatError(
            "a call needs what no call before it gave",
            got=f"symbol {number}"[:200],
            expected=f"0 to {len(symbols) - 1}",
        )
    return symbols[number]


def _array(content: Mapping[str, Any], symbols: Sequence[Any]) -> Any:
    data, shape = decode(content["data"], symbols), content["shape"]
    dtype = as_dtype(content["dtype"]).numpy
    if len(data) > LARGEST_ARRAY or math.prod(shape) != len(data):
        raise FormatError("an array has another size than its shape", got=shape)
    return np.array(data, dtype).reshape(shape)


_KINDS: dict[Any, Callable[[Any, Sequence[Any]], Any]] = {
    "symbol": _symbol,
    "float": lambda text, _: float(text),
    "tuple": lambda parts, symbols: tuple(decode(parts, symbols)),
    "dict": lambda parts, symbols: {k: decode(x, symbols) for k, x in parts.items()},
    "slice": lambda parts, symbols: slice(*decode(parts, symbols)),
    "ellipsis": lambda _, __: Ellipsis,
    "dtype": lambda name, _: as_dtype(name),
    "array": _array,
}
