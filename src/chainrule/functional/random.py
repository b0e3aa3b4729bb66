"""Random numbers from keys: the same key gives the same numbers, always and everywhere.

A key is a tensor of two 32-bit words. Drawing does not change it, so draw twice from
one key and the numbers are equal: `split` a key, or `fold_in` a counter, to get further
independent keys. The bits come from Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror,
Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

Layers take their keys from a stream: `next_key()` within `stream(key)`; outside of any
stream from the global one, which `set_seed` starts anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.compiler import random_pair, random_units, random_words
from chainrule.errors import ArgumentError, DTypeError, TraceError
from chainrule.functional.elementwise import erf
from chainrule.functional.manipulation import as_shape, reshape
from chainrule.functional.promotion import (
    ArrayLike,
    Tensor,
    as_value,
    converted,
    promoted_floats,
)
from chainrule.functional.searching import argmax
from chainrule.ir.dtype import (
    DEFAULT_FLOAT,
    DEFAULT_INT,
    DTypeLike,
    as_dtype,
    float32,
    int64,
    uint32,
    uint64,
)
from chainrule.ir.spec import Shape, normalize_axis
from chainrule.ir.trace import constant, is_eager, staging
from chainrule.ir.value import Value
from chainrule.ops.random import WORD
from chainrule.settings import SETTINGS

# Folding, splitting and drawing hash different messages under one key.
_FOLD = np.array([0x5EED0001, 0x464F4C44], np.uint32)
_SPLIT = np.array([0x5EED0002, 0x53504C54], np.uint32)
_FOLD_TAG, _SPLIT_TAG = _FOLD.tolist(), _SPLIT.tolist()


def key(seed: int) -> Tensor:
    """The key of a seed, a number of up to 64 bits.

    Example:
        >>> key(7).tolist()
        [7, 0]
    """
    if not -(2**63) <= seed < 2**64:
        raise ArgumentError("a seed has up to 64 bits", where="key", got=seed)
    low, high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    return constant(np.array([low, high], np.uint32))


def _tagged(key: Tensor, tag: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> Tensor:
    return ops.bitwise_xor(as_value(key), constant(tag))


def fold_in(key: Tensor, data: ArrayLike) -> Tensor:
    """A key derived from `key` and an integer, such as a step or a layer's number.

    Different integers give independent keys.

    Example:
        >>> fold_in(key(0), 1).tolist() == fold_in(key(0), 2).tolist()
        False
    """
    if isinstance(data, int) and is_eager() and key.data is not None and not key.tape:
        return constant(_folded(key.data, data))
    number = converted(data, int64)
    words = [
        ops.cast(part, dtype=uint32) for part in (number, ops.shift_right(number, 32))
    ]
    pair = ops.concatenate(*[reshape(word, (1,)) for word in words], axis=0)
    hashed = ops.random_bits(_tagged(key, _FOLD), shape=(2,))
    return ops.random_bits(ops.bitwise_xor(hashed, pair), shape=(2,))


def _folded(key: Any, number: int) -> np.ndarray[Any, Any]:
    """The words of `fold_in` for plain numbers, without an operation for each step."""
    low, high = key.tolist()
    low, high = random_pair((low ^ _FOLD_TAG[0], high ^ _FOLD_TAG[1]), 0)
    both = low ^ (number & WORD), high ^ (number >> 32 & WORD)
    return np.array(random_pair(both, 0), np.uint32)


def split(key: Tensor, num: int = 2) -> Tensor:
    """`num` independent keys, a tensor of shape `(num, 2)`.

    Example:
        >>> first, second = split(key(0))
        >>> first.shape
        (2,)
    """
    if is_eager() and key.data is not None and not key.tape and num == 2:
        low, high = key.data.tolist()
        tagged = low ^ _SPLIT_TAG[0], high ^ _SPLIT_TAG[1]
        pairs = [random_pair(tagged, first) for first in (0, 2)]
        return constant(np.array(pairs, np.uint32))
    return ops.random_bits(_tagged(key, _SPLIT), shape=(num, 2))


# ---- distributions -------------------------------------------------------------------


def bits(
    key: Tensor, shape: int | Sequence[int] = (), dtype: DTypeLike = "uint32"
) -> Tensor:
    """Random bits, each 0 or 1 with equal chance, as unsigned integers."""
    kind = as_dtype(dtype)
    if kind.kind != "u":
        raise DTypeError(
            "bits are unsigned integers",
            where="bits",
            got=kind,
            expected="uint8 to uint64",
        )
    size = as_shape(shape)
    if kind is uint64:
        return _wide_bits(key, size)
    words = _words(as_value(key), size)
    return words if kind is uint32 else ops.cast(words, dtype=kind)


def _is_known(key: Value) -> bool:
    """Whether a single key is there, and drawing is all that is to be done."""
    one = key.spec.shape == (2,) and key.spec.dtype is uint32
    return one and key.data is not None and is_eager()


def _words(key: Value, shape: Shape) -> Tensor:
    """32 random bits for each element."""
    if _is_known(key):
        return constant(random_words(np.asarray(key.data), shape))
    return ops.random_bits(key, shape=shape)


def _wide_bits(key: Tensor, shape: Shape) -> Tensor:
    pairs = ops.cast(_words(as_value(key), (2, *shape)), dtype=uint64)
    low = ops.take(pairs, constant(np.int64(0)), axis=0)
    high = ops.take(pairs, constant(np.int64(1)), axis=0)
    return ops.bitwise_or(ops.shift_left(high, 32), low)


def uniform(
    key: Tensor,
    shape: int | Sequence[int] = (),
    dtype: DTypeLike = DEFAULT_FLOAT,
    minval: ArrayLike = 0.0,
    maxval: ArrayLike = 1.0,
) -> Tensor:
    """Numbers of equal chance from `[minval, maxval)`.

    Args:
        key: the random key.
        shape: the shape of the result.
        dtype: float32 or float64; 24 or 53 random bits a number.
        minval: the lower end, which may be drawn.
        maxval: the upper end, which is not drawn unless rounding to it.

    Example:
        >>> x = uniform(key(0), (1000,))
        >>> bool((x >= 0).all()), bool((x < 1).all()), abs(float(x.mean()) - 0.5) < 0.05
        (True, True, True)
    """
    kind = as_dtype(dtype)
    _check_float(kind.is_float, dtype)
    size = as_shape(shape)
    plain = type(minval) is float and type(maxval) is float
    if kind is float32 and plain and _is_known(as_value(key)):
        return constant(random_units(as_value(key).data, size, minval, maxval))
    if kind.bits == 64:
        words = ops.shift_right(_wide_bits(key, size), 11)
        unit = ops.multiply(ops.cast(words, dtype=kind), 2.0**-53)
    else:
        words = ops.shift_right(_words(as_value(key), size), 8)
        unit = ops.multiply(ops.cast(words, dtype=kind), 2.0**-24)
    low, high = converted(minval, kind), converted(maxval, kind)
    return ops.add(low, ops.multiply(unit, ops.subtract(high, low)))


def _check_float(is_float: bool, dtype: DTypeLike) -> None:
    if not is_float:
        raise DTypeError(
            "a continuous distribution needs a floating-point dtype",
            got=dtype,
            expected="float32 or float64",
        )


def normal(
    key: Tensor,
    shape: int | Sequence[int] = (),
    dtype: DTypeLike = DEFAULT_FLOAT,
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
) -> Tensor:
    """Numbers of the normal distribution, by the method of Box and Muller (1958).

    Example:
        >>> x = normal(key(0), (2000,))
        >>> abs(float(x.mean())) < 0.1, abs(float(x.std()) - 1) < 0.1
        (True, True)
    """
    kind = as_dtype(dtype)
    pairs = uniform(key, (2, *as_shape(shape)), kind)
    first = ops.take(pairs, constant(np.int64(0)), axis=0)
    second = ops.take(pairs, constant(np.int64(1)), axis=0)
    # 1 - u lies in (0, 1], where the logarithm is finite
    radius = ops.sqrt(ops.multiply(ops.log1p(ops.negative(first)), -2.0))
    unit = ops.multiply(radius, ops.cos(ops.multiply(second, 2 * math.pi)))
    scaled = ops.multiply(unit, converted(stddev, kind))
    return ops.add(scaled, converted(mean, kind))


def truncated_normal(
    key: Tensor,
    shape: int | Sequence[int] = (),
    dtype: DTypeLike = DEFAULT_FLOAT,
    lower: float = -2.0,
    upper: float = 2.0,
) -> Tensor:
    """Numbers of the standard normal distribution that lie within `[lower, upper]`.

    Made by inverting the distribution function on the part of [0, 1] that belongs to
    the interval.

    Example:
        >>> x = truncated_normal(key(0), (1000,))
        >>> bool((abs(x) <= 2).all())
        True
    """
    if not lower < upper:
        raise ArgumentError(
            "the interval is empty", where="truncated_normal", got=f"[{lower}, {upper}]"
        )
    kind = as_dtype(dtype)
    ends = [math.erf(end / math.sqrt(2)) for end in (lower, upper)]
    place = uniform(key, shape, kind, *ends)
    value = ops.multiply(inverse_erf(place), math.sqrt(2))
    value = ops.maximum(value, lower)
    return ops.minimum(value, upper)


# Giles, "Approximating the erfinv function", GPU Computing Gems, 2012: polynomials in
# w - 2.5 for w < 5 and in sqrt(w) - 3 beyond, highest power first.
_CENTRE = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_TAIL = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


def inverse_erf(x: ArrayLike) -> Tensor:
    """The number whose error function is `x`, for `x` in (-1, 1); infinite at the ends.

    Example:
        >>> round(float(inverse_erf(erf(0.5))), 6)
        0.5
    """
    (value,) = promoted_floats(x)
    w = ops.negative(ops.log1p(ops.negative(ops.multiply(value, value))))
    centre = _polynomial(_CENTRE, ops.subtract(w, 2.5))
    wide = ops.sqrt(ops.maximum(w, 5.0))
    tail = _polynomial(_TAIL, ops.subtract(wide, 3.0))
    result = ops.multiply(ops.where(ops.less(w, 5.0), centre, tail), value)
    if value.spec.dtype.bits == 64:
        for _ in range(2):
            result = _newton(result, value)
    ended = ops.equal(ops.absolute(value), 1.0)
    return ops.where(ended, ops.multiply(ops.sign(value), math.inf), result)


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    result = converted(coefficients[0], x.spec.dtype)
    for coefficient in coefficients[1:]:
        result = ops.add(ops.multiply(result, x), coefficient)
    return result


def _newton(guess: Tensor, value: Tensor) -> Tensor:
    error = ops.subtract(erf(guess), value)
    slope = ops.exp(ops.negative(ops.multiply(guess, guess)))
    return ops.subtract(
        guess, ops.divide(ops.multiply(error, math.sqrt(math.pi) / 2), slope)
    )


def bernoulli(
    key: Tensor, p: ArrayLike = 0.5, shape: int | Sequence[int] | None = None
) -> Tensor:
    """Truth values, true with probability `p`; of the shape of `p` unless given.

    Example:
        >>> bernoulli(key(0), 1.0, (3,)).tolist()
        [True, True, True]
    """
    (chance,) = promoted_floats(p)
    size = chance.spec.shape if shape is None else as_shape(shape)
    return ops.less(uniform(key, size, chance.spec.dtype), chance)


def randint(
    key: Tensor,
    shape: int | Sequence[int],
    minval: int,
    maxval: int,
    dtype: DTypeLike = DEFAULT_INT,
) -> Tensor:
    """Integers of equal chance from `minval` up to, but without, `maxval`.

    Example:
        >>> set(randint(key(0), (100,), 3, 6).tolist()) == {3, 4, 5}
        True
    """
    if minval >= maxval:
        raise ArgumentError(
            "the range is empty",
            where="randint",
            got=f"minval={minval}, maxval={maxval}",
        )
    # 64 bits: the remainder favours no number by more than 2**-64 of the range
    wide = ops.remainder(_wide_bits(key, as_shape(shape)), maxval - minval)
    return ops.cast(ops.add(ops.cast(wide, dtype=int64), minval), dtype=as_dtype(dtype))


def permutation(key: Tensor, x: ArrayLike, axis: int = 0) -> Tensor:
    """The parts of `x` along `axis` in random order; of a number n, `range(n)`.

    Example:
        >>> sorted(permutation(key(0), 5).tolist())
        [0, 1, 2, 3, 4]
    """
    if isinstance(x, (int, np.integer)):
        return ops.argsort(_wide_bits(key, (int(x),)), axis=0, descending=False)
    value = as_value(x)
    place = normalize_axis(axis, value.spec.ndim, "permutation")
    order = permutation(key, value.spec.shape[place])
    return ops.take(value, order, axis=place)


def gumbel(
    key: Tensor, shape: int | Sequence[int] = (), dtype: DTypeLike = DEFAULT_FLOAT
) -> Tensor:
    """Numbers of the Gumbel distribution, `-log(-log(u))`.

    Example:
        >>> gumbel(key(0), (2, 3)).shape
        (2, 3)
    """
    kind = as_dtype(dtype)
    # half a step above 0, so that both logarithms are finite
    unit = ops.add(uniform(key, shape, kind), 2.0**-25 if kind.bits == 32 else 2.0**-54)
    return ops.negative(ops.log(ops.negative(ops.log(unit))))


def categorical(key: Tensor, logits: ArrayLike, axis: int = -1) -> Tensor:
    """A class number for each row of unnormalised log-probabilities along `axis`.

    Takes the largest of the logits plus Gumbel noise (Gumbel 1954; Maddison, Tarlow,
    Minka, arXiv 1411.0030).

    Example:
        >>> categorical(key(0), [[0.0, 1e9], [1e9, 0.0]]).tolist()
        [1, 0]
    """
    (value,) = promoted_floats(logits)
    noise = gumbel(key, value.spec.shape, value.spec.dtype)
    return argmax(ops.add(value, noise), axis=axis)


# Candidates for one number of a gamma distribution. Each is taken with a probability of
# at least 0.95; where none is, once in 10**15 times, the first one is.
_TRIES = 12


def _log_gamma_drawn(key: Tensor, alpha: Tensor, shape: Shape) -> Tensor:
    """Logarithms of numbers of a gamma distribution; they may lie below any float."""
    kind = alpha.spec.dtype
    alpha = ops.broadcast_to(alpha, shape=shape)
    normals, uniforms, boosts = split(key, 3)
    small = ops.less(alpha, 1.0)
    d = ops.subtract(ops.where(small, ops.add(alpha, 1.0), alpha), 1.0 / 3.0)
    x = normal(normals, (_TRIES, *shape), kind)
    root = ops.add(ops.divide(x, ops.sqrt(ops.multiply(d, 9.0))), 1.0)
    cube = ops.multiply(ops.multiply(root, root), root)
    possible = ops.less(0.0, cube)
    log_cube = ops.log(ops.where(possible, cube, 1.0))
    grown = ops.add(ops.subtract(d, ops.multiply(d, cube)), ops.multiply(d, log_cube))
    bound = ops.add(ops.multiply(ops.multiply(x, x), 0.5), grown)
    chance = ops.log1p(ops.negative(uniform(uniforms, (_TRIES, *shape), kind)))
    taken = ops.logical_and(possible, ops.less(chance, bound))
    first = reshape(argmax(ops.cast(taken, dtype=kind), axis=0), (1, *shape))
    found = reshape(ops.take_along_axis(log_cube, first, axis=0), shape)
    # one below 1 is one of alpha + 1, times a power of a number from 0 to 1
    rest = ops.log1p(ops.negative(uniform(boosts, shape, kind)))
    boost = ops.where(small, ops.divide(rest, alpha), 0.0)
    return ops.add(ops.add(ops.log(d), found), boost)


def gamma(
    key: Tensor,
    shape: int | Sequence[int],
    alpha: ArrayLike,
    dtype: DTypeLike = DEFAULT_FLOAT,
) -> Tensor:
    """Numbers of the gamma distribution of shape `alpha` and scale 1.

    Marsaglia and Tsang, "A simple method for generating gamma variables", 2000.

    Args:
        key: the random key.
        shape: the shape of the result.
        alpha: above 0; of a shape that can be broadcast.
        dtype: float32 or float64.

    Example:
        >>> x = gamma(key(0), (4000,), 3.0)
        >>> abs(float(x.mean()) - 3) < 0.1, abs(float(x.var()) - 3) < 0.3
        (True, True)
    """
    return ops.exp(
        _log_gamma_drawn(key, converted(alpha, as_dtype(dtype)), as_shape(shape))
    )


def beta(
    key: Tensor,
    shape: int | Sequence[int],
    alpha: ArrayLike,
    beta: ArrayLike,
    dtype: DTypeLike = DEFAULT_FLOAT,
) -> Tensor:
    """Numbers of the beta distribution, from 0 to 1.

    Args:
        key: the random key.
        shape: the shape of the result.
        alpha: above 0; of a shape that can be broadcast.
        beta: the same.
        dtype: float32 or float64.

    Example:
        >>> x = beta(key(0), (4000,), 2.0, 6.0)
        >>> abs(float(x.mean()) - 0.25) < 0.01
        True
    """
    kind, size = as_dtype(dtype), as_shape(shape)
    keys = split(key)
    one, other = (
        _log_gamma_drawn(each, converted(value, kind), size)
        for each, value in zip(keys, (alpha, beta), strict=True)
    )
    # of two numbers that no float can hold, the larger one takes it all
    odds = ops.minimum(ops.maximum(ops.subtract(other, one), -80.0), 80.0)
    return ops.divide(1.0, ops.add(ops.exp(odds), 1.0))


# ---- streams -------------------------------------------------------------------------


class _Stream:
    """A key, and how many keys were derived from it."""

    def __init__(self, key: Tensor) -> None:
        self.key = key
        self.count = 0

    def next(self) -> Tensor:
        self.count += 1
        return fold_in(self.key, self.count - 1)


_started: list[_Stream] = []
_stream: ContextVar[_Stream | None] = ContextVar("random_stream", default=None)


@contextmanager
def stream(key: Tensor) -> Iterator[None]:
    """Within the block, `next_key()` derives keys from `key`, in order.

    Example:
        >>> with stream(key(0)):
        ...     first = next_key()
        >>> with stream(key(0)):
        ...     print(first.tolist() == next_key().tolist())
        True
    """
    token = _stream.set(_Stream(key))
    try:
        yield
    finally:
        _stream.reset(token)


def next_key() -> Tensor:
    """A fresh key of the stream in force, or of the global one.

    Raises:
        TraceError: in a compiled function outside of any stream, where the key would be
            the same at every call.
    """
    found = _stream.get()
    if found is not None:
        return found.next()
    if staging() is not None:
        raise TraceError(
            "a compiled function would draw the same random numbers at every call",
            where="chainrule.random",
            expected="a key among the function's arguments",
            fix="with chainrule.random.stream(key): ...",
        )
    if not _started:
        set_seed(SETTINGS.seed)
    return _started[0].next()


def set_seed(seed: int) -> None:
    """Start the global stream anew, so that what follows draws the same numbers.

    Example:
        >>> set_seed(3)
        >>> first = next_key().tolist()
        >>> set_seed(3)
        >>> first == next_key().tolist()
        True
    """
    _started[:] = [_Stream(key(seed))]


def stream_position() -> list[int] | None:
    """Where the global stream stands: its key and how many were derived from it.

    None before it was first used. `restore_stream` puts it there again.

    Example:
        >>> set_seed(3)
        >>> _, position, then = next_key(), stream_position(), next_key().tolist()
        >>> restore_stream(position)
        >>> next_key().tolist() == then
        True
    """
    if not _started:
        return None
    return [*_started[0].key.tolist(), _started[0].count]


def restore_stream(position: Sequence[int] | None) -> None:
    """Put the global stream where `stream_position` found it."""
    _started.clear()
    if position is not None:
        low, high, count = position
        _started.append(_Stream(key(low | high << 32)))
        _started[0].count = count
