"""Random words, drawn by native code; what they are is in `ops/random.py`."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from chainrule.compiler.arenas import address_of, aligned
from chainrule.compiler.cache import object_key, objects
from chainrule.compiler.emit import I32, I64, Emitter, integer
from chainrule.compiler.engine import (
    LoadedObject,
    Target,
    compile_module,
    host_target,
    load_object,
    set_attributes,
)
from chainrule.compiler.kernels.threefry import emit_threefry2x32
from chainrule.compiler.llvm_types import IRBuilder, IRValue, ir
from chainrule.compiler.threads import default_threads, pool
from chainrule.ir.dtype import int64, uint32

Array = np.ndarray[Any, Any]

WORD = 0xFFFFFFFF
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
    words = aligned(4 * lanes * vectors)
    # the table, and behind it the parameters that it points at
    context = (ctypes.c_int64 * 5)(0, address_of(words), *key, vectors)
    start = ctypes.addressof(context)
    context[0] = start + 16
    if threads is None:
        threads = default_threads() if count >= MANY else 1
    if threads == 1:
        _entry()(start, 0, 1)
    else:
        pool().run(_code().address("words"), start, threads)
    return words.view(np.uint32)[:count].reshape(shape)


def draw_pair(key: tuple[int, int], first: int) -> tuple[int, int]:
    """Words number `first` and `first + 1` of those that are drawn under one key.

    Example:
        >>> hex(draw_pair((0, 0), 0)[0])
        '0x6b200159'
    """
    both = _pair()(key[0] | key[1] << 32, first)
    return both & WORD, both >> 32


@cache
def _entry() -> Callable[[int, int, int], None]:
    """The function that draws an array, on the thread that calls it."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    return kind(_code().address("words"))


@cache
def _pair() -> Callable[[int, int], int]:
    kind = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
    return kind(_code().address("pair"))


@cache
def _code() -> LoadedObject:
    target = host_target()
    key = object_key("random words, and pairs of them", target.fingerprint)
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
    _write_pair(emitter)
    return emitter.finish()


def _write_pair(emitter: Emitter) -> None:
    """A function of a key and a position, both in 64 bits; two words in 64 bits."""
    kind = ir.FunctionType(I64, [I64, I64])
    function = ir.Function(emitter.module, kind, "pair")
    set_attributes(function, emitter.target)
    builder: IRBuilder = ir.IRBuilder(function.append_basic_block("entry"))
    key, first = function.args

    def halves(value: IRValue) -> tuple[IRValue, IRValue]:
        high = builder.lshr(value, integer(32))
        return builder.trunc(value, I32), builder.trunc(high, I32)

    low, high = (
        emit_threefry2x32(builder, *halves(key), *halves(place))[0]
        for place in (first, builder.add(first, integer(1)))
    )
    upper = builder.shl(builder.zext(high, I64), integer(32))
    builder.ret(builder.or_(builder.zext(low, I64), upper))
