"""Random words, drawn by native code; what they are is in `ops/random.py`."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
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
from chainrule.ir.dtype import float32, int64, uint32

Array = np.ndarray[Any, Any]

WORD = 0xFFFFFFFF
F32 = ir.FloatType()
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
    count = math.prod(shape)
    words = _room_for(count)
    _draw(_entry("words"), key, words, threads)
    return words.view(np.uint32)[:count].reshape(shape)


def draw_units(
    key: tuple[int, int],
    shape: tuple[int, ...],
    low: Any,
    width: Any,
    threads: int | None = None,
) -> Array:
    """Numbers of equal chance, of 24 random bits each, scaled by `width` behind `low`.

    Args:
        key: two words of 32 bits.
        shape: the shape of the array.
        low: the lower end, a float32.
        width: the upper end less the lower one, a float32.
        threads: how many threads share the numbers at most.

    Example:
        >>> draw_units((0, 0), (1,), np.float32(0), np.float32(1)).tolist()
        [0.4184570908546448]
    """
    count = math.prod(shape)
    units, ends = _room_for(count), np.array([low, width], np.float32)
    _draw(_entry("units"), key, units, threads, (address_of(ends),))
    return units.view(np.float32)[:count].reshape(shape)


def _room_for(count: int) -> Array:
    """Memory for so many words, in whole vectors."""
    lanes = host_target().lanes(4)
    return aligned(4 * lanes * -(-count // lanes))


def _draw(
    entry: Entry,
    key: tuple[int, int],
    room: Array,
    threads: int | None,
    more: tuple[int, ...] = (),
) -> None:
    """Fill a room."""
    # the table, and behind it the parameters that it points at
    head = 2 + len(more)
    vectors = len(room) // (4 * host_target().lanes(4))
    context = (ctypes.c_int64 * (head + 3))(0, address_of(room), *more, *key, vectors)
    start = ctypes.addressof(context)
    context[0] = start + 8 * head
    if threads is None:
        threads = default_threads() if len(room) >= 4 * MANY else 1
    if threads == 1:
        entry.function(start, 0, 1)
    else:
        pool().run(entry.address, start, threads)


def draw_pair(key: tuple[int, int], first: int) -> tuple[int, int]:
    """Words number `first` and `first + 1` of those that are drawn under one key.

    Example:
        >>> hex(draw_pair((0, 0), 0)[0])
        '0x6b200159'
    """
    both = _pair()(key[0] | key[1] << 32, first)
    return both & WORD, both >> 32


@dataclass(frozen=True)
class Entry:
    """A function that fills rooms: to be called, and for the pool of threads."""

    address: int
    function: Callable[[int, int, int], None]


@cache
def _entry(name: str) -> Entry:
    address = _code().address("words") if name == "words" else _units().address(name)
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    return Entry(address, kind(address))


@cache
def _pair() -> Callable[[int, int], int]:
    kind = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
    return kind(_code().address("pair"))


@cache
def _code() -> LoadedObject:
    target = host_target()
    key = object_key("random words, and pairs of them", target.fingerprint)
    return load_object(objects().get(key, lambda: compile_module(_text(target))))


@cache
def _units() -> LoadedObject:
    target = host_target()
    key = object_key("numbers of equal chance", target.fingerprint)
    return load_object(objects().get(key, lambda: compile_module(_units_text(target))))


def _text(target: Target) -> str:
    emitter = Emitter("words", (int64, uint32), target, target.lanes(4))
    _write_words(emitter, lambda words: words)
    _write_pair(emitter)
    return emitter.finish()


def _units_text(target: Target) -> str:
    emitter = Emitter("units", (int64, float32, float32), target, target.lanes(4))
    builder = emitter.builder
    kind = ir.VectorType(F32, emitter.lanes)
    ends = [
        emitter.repeat(builder.load(emitter.address(2, integer(i)), typ=F32))
        for i in range(2)
    ]

    def scaled(words: IRValue) -> IRValue:
        bits = builder.lshr(words, emitter.repeat(ir.Constant(I32, 8)))
        unit = builder.sitofp(bits, kind)
        unit = builder.fmul(unit, emitter.repeat(ir.Constant(F32, 2.0**-24)))
        return builder.fadd(ends[0], builder.fmul(unit, ends[1]))

    _write_words(emitter, scaled)
    return emitter.finish()


def _write_words(emitter: Emitter, made_of: Callable[[IRValue], IRValue]) -> None:
    """Vector after vector of words, or of what is made of them."""
    builder, lanes = emitter.builder, emitter.lanes
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
        builder.store(made_of(words), emitter.address(1, place), align=4)


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
