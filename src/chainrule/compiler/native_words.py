"""Random words, drawn by native code; what they are is in `ops/random.py`."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from chainrule.compiler.cache import object_key, objects
from chainrule.compiler.emit import I32, I64, Emitter, integer
from chainrule.compiler.engine import (
    LoadedObject,
    Target,
    compile_module,
    host_target,
    load_object,
)
from chainrule.compiler.kernels.threefry import emit_threefry2x32
from chainrule.compiler.llvm_types import ir
from chainrule.compiler.program import address_of, aligned
from chainrule.compiler.threads import default_threads, pool
from chainrule.ir.dtype import int64, uint32

Array = np.ndarray[Any, Any]

MANY = 1 << 18  # words from which on it pays to wake another thread


def draw_words(
    key: tuple[int, int], shape: tuple[int, ...], threads: int | None = None
) -> Array:
    """An array of what `ops.random_bits` gives under one key.

    Args:
        key: two words of 32 bits.
        shape: the shape of the array.
        threads: how many threads share the words at most.

    Example:
        >>> hex(draw_words((0, 0), (3,))[0])
        '0x6b200159'
    """
    count, lanes = math.prod(shape), host_target().lanes(4)
    vectors = -(-count // lanes)
    if threads is None:
        threads = default_threads() if count >= MANY else 1
    words = aligned(4 * lanes * vectors)
    parameters = np.array([*map(int, key), vectors], np.int64)
    table = np.array([address_of(parameters), address_of(words)], np.int64)
    pool().run(_code().address("words"), address_of(table), threads)
    return words.view(np.uint32)[:count].reshape(shape)


@cache
def _code() -> LoadedObject:
    target = host_target()
    key = object_key("random words", target.fingerprint)
    return load_object(objects().get(key, lambda: compile_module(_text(target))))


def _text(target: Target) -> str:
    lanes = target.lanes(4)
    emitter = Emitter("words", (int64, uint32), target, lanes)
    builder = emitter.builder
    key0, key1, vectors = (
        builder.load(emitter.address(0, integer(number)), typ=I64)
        for number in range(3)
    )
    key0, key1 = (emitter.repeat(builder.trunc(key, I32)) for key in (key0, key1))
    steps = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
    first, last = (
        builder.sdiv(builder.mul(who, vectors), emitter.threads)
        for who in (emitter.thread, builder.add(emitter.thread, integer(1)))
    )
    with emitter.loop(first, last) as vector:
        place = builder.mul(vector, integer(lanes))
        low = builder.add(emitter.repeat(builder.trunc(place, I32)), steps)
        rest = builder.trunc(builder.lshr(place, integer(32)), I32)
        words, _ = emit_threefry2x32(builder, key0, key1, low, emitter.repeat(rest))
        builder.store(words, emitter.address(1, place), align=4)
    return emitter.finish()
