"""Counter-based random bits: Threefry-2x32 with 20 rounds.

Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The
bits of element `i` depend on the key and on `i` alone, so that any part of a random
array can be made anywhere, by any number of threads, and never need be stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.ir.dtype import uint32
from chainrule.ir.primitive import Sample, Trait
from chainrule.ir.spec import Shape, Spec
from chainrule.ops.define import Array, operation

PARITY = np.uint32(0x1BD11BDA)
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
ROUNDS = 20
WORD = 0xFFFFFFFF
FEW = 4  # numbers that Python computes faster than NumPy


def threefry2x32(
    key: tuple[Any, Any], first: Array, second: Array
) -> tuple[Array, Array]:
    """Two random words for each counter `(first, second)` under a key of two words.

    Example:
        >>> import numpy as np
        >>> zero = np.zeros(1, np.uint32)
        >>> [hex(int(w[0])) for w in threefry2x32((0, 0), zero, zero)]
        ['0x6b200159', '0x99ba4efe']
    """
    schedule = [np.asarray(word, np.uint32) for word in key]
    schedule.append(schedule[0] ^ schedule[1] ^ PARITY)
    a = np.asarray(first, np.uint32) + schedule[0]
    b = np.asarray(second, np.uint32) + schedule[1]
    for group in range(ROUNDS // 4):
        for rotation in ROTATIONS[group % 2]:
            a = a + b
            b = (b << np.uint32(rotation)) | (b >> np.uint32(32 - rotation))
            b = b ^ a
        a = a + schedule[(group + 1) % 3]
        b = b + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return a, b


def threefry_word(key: tuple[int, int], first: int, second: int = 0) -> int:
    """The first word of `threefry2x32` for one counter: Python is faster at one.

    Example:
        >>> hex(threefry_word((0, 0), 0))
        '0x6b200159'
    """
    schedule = (*key, key[0] ^ key[1] ^ int(PARITY))
    a, b = (first + key[0]) & WORD, (second + key[1]) & WORD
    for group in range(ROUNDS // 4):
        for rotation in ROTATIONS[group % 2]:
            a = (a + b) & WORD
            b = ((b << rotation) & WORD | (b >> (32 - rotation))) ^ a
        a = (a + schedule[(group + 1) % 3]) & WORD
        b = (b + schedule[(group + 2) % 3] + group + 1) & WORD
    return a


def _spec(key: Spec, *, shape: Shape) -> Spec:
    if key.shape[-1:] != (2,) or key.dtype is not uint32:
        raise ShapeError(
            "a random key has two 32-bit words",
            where="random_bits",
            got=key,
            expected="uint32[2]",
            fix="key = chainrule.random.key(seed)",
        )
    return Spec(key.shape[:-1] + tuple(shape), uint32)


def _reference(key: Array, *, shape: Shape) -> Array:
    """32 random bits for each element of `shape`, by its row-major position.

    Element `i` is the first word that Threefry makes of the counter `(i mod 2**32,
    i div 2**32)` under `key`. Of several keys, each gives an array of this shape.
    """
    if key.ndim == 1 and math.prod(shape) <= FEW:
        pair = int(key[0]), int(key[1])
        few = [threefry_word(pair, i) for i in range(math.prod(shape))]
        return np.array(few, np.uint32).reshape(shape)
    position = np.arange(math.prod(shape), dtype=np.uint64)
    low = (position & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    high = (position >> np.uint64(32)).astype(np.uint32)
    with np.errstate(over="ignore"):
        words, _ = threefry2x32((key[..., :1], key[..., 1:]), low, high)
    return words.reshape(key.shape[:-1] + tuple(shape))


def _batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: dict[str, Any]
) -> list[Any]:
    return [random_bits(inputs[0], **params)]


def _samples() -> Iterable[Sample]:
    key = np.array([7, 11], np.uint32)
    for shape in ((3, 5), (), (0, 4), (33,), (2, 17)):
        yield Sample((key,), {"shape": shape}, smooth=False)
    keys = np.arange(6, dtype=np.uint32).reshape(3, 2)
    yield Sample((keys,), {"shape": (5,)}, smooth=False)


random_bits = operation(
    "random_bits",
    spec=_spec,
    reference=_reference,
    not_differentiable="random bits are drawn, not computed",
    dtypes=(uint32,),
    samples=_samples,
    batch=_batch,
    traits=[Trait.CREATION],
)
