"""Orders of rows, drawn by native code.

The words that rows are sorted by are random, so their upper bits alone put them close
to their places: rows go into about as many buckets as there are rows, and what is left
to be exchanged lies side by side.
"""

from __future__ import annotations

import ctypes
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
)
from chainrule.compiler.kernels.threefry import emit_threefry2x32
from chainrule.compiler.llvm_types import IRValue, ir
from chainrule.compiler.orders import reference_orders
from chainrule.compiler.threads import default_threads, pool
from chainrule.ir.dtype import int64, uint32

Array = np.ndarray[Any, Any]

FEW = 2048  # numbers that are not worth loading code for
MANY = 1 << 15  # numbers from which on it pays to wake another thread
MOST_BITS = 22  # of the number of buckets
# words of the parameters, in order
KEY, TURN, ROWS, HALF, WORDS, SHIFT, BUCKETS, TURNS = 0, 2, 3, 4, 5, 6, 7, 8
# buffers, in order; each thread has its own words and buckets
PARAMETERS, ORDERS, DRAWN, PLACES = range(4)


def random_orders(key: tuple[int, int], turns: range, rows: int) -> Array:
    """What `reference_orders` gives.

    Example:
        >>> random_orders((1, 2), range(2), 5).tolist()
        [[0, 4, 1, 3, 2], [2, 4, 0, 3, 1]]
    """
    if len(turns) * rows < FEW:
        return reference_orders(key, turns, rows)
    return draw_orders(key, turns, rows)


def draw_orders(
    key: tuple[int, int], turns: range, rows: int, threads: int | None = None
) -> Array:
    """What `reference_orders` gives, however few numbers that are.

    Args:
        key: two words of 32 bits.
        turns: the numbers of the turns.
        rows: how many rows there are.
        threads: how many threads share the turns at most.
    """
    orders = np.empty((len(turns), rows), np.int64)
    if not orders.size:
        return orders
    if threads is None:
        threads = default_threads() if orders.size >= MANY else 1
    threads = min(threads, len(turns))
    half, lanes = -(-rows // 2), host_target().lanes(4)
    words = -(-half // lanes) * lanes
    bits = min(max(rows - 1, 1).bit_length(), MOST_BITS)
    known = (*map(int, key), turns.start, rows, half, words, 32 - bits, 1 << bits)
    drawn, places = aligned(8 * words * threads), aligned((4 << bits) * threads)
    # the table, and behind it the parameters that it points at
    table = (ctypes.c_int64 * 13)(0, *map(address_of, (orders, drawn, places)))
    start = ctypes.addressof(table)
    table[0] = start + 32
    table[4:] = [*known, len(turns)]
    pool().run(_entry(), start, threads)
    return orders


@cache
def _entry() -> int:
    return _code().address("orders")


@cache
def _code() -> LoadedObject:
    target = host_target()
    key = object_key("orders of rows", target.fingerprint)
    return load_object(objects().get(key, lambda: compile_module(_text(target))))


def _text(target: Target) -> str:
    emitter = Emitter("orders", (int64, int64, uint32, uint32), target, target.lanes(4))
    _Writer(emitter).write()
    return emitter.finish()


class _Writer:
    """Writes the function: for each turn words, buckets, and the order."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self.builder = emitter.builder

    def parameter(self, number: int) -> IRValue:
        return self.load(PARAMETERS, integer(number))

    def load(self, buffer: int, place: IRValue) -> IRValue:
        """An element of a buffer, as 64 bits."""
        kind = I64 if buffer in (PARAMETERS, ORDERS) else I32
        value = self.builder.load(self.emitter.address(buffer, place), typ=kind)
        return value if kind == I64 else self.builder.zext(value, I64)

    def store(self, buffer: int, place: IRValue, value: IRValue) -> None:
        if buffer in (DRAWN, PLACES):
            value = self.builder.trunc(value, I32)
        self.builder.store(value, self.emitter.address(buffer, place))

    def write(self) -> None:
        builder, emitter = self.builder, self.emitter
        self.rows, self.half = self.parameter(ROWS), self.parameter(HALF)
        self.words, self.shift = self.parameter(WORDS), self.parameter(SHIFT)
        self.buckets, turns = self.parameter(BUCKETS), self.parameter(TURNS)
        self.drawn = builder.mul(emitter.thread, builder.mul(self.words, integer(2)))
        self.places = builder.mul(emitter.thread, self.buckets)
        share = [
            builder.sdiv(builder.mul(who, turns), emitter.threads)
            for who in (emitter.thread, builder.add(emitter.thread, integer(1)))
        ]
        with emitter.loop(*share) as turn:
            self.order = builder.mul(turn, self.rows)
            self._draw(builder.add(turn, self.parameter(TURN)))
            self._count()
            self._place()
            self._exchange()
            self._finish()

    def _draw(self, turn: IRValue) -> None:
        """The words of a turn: first those of the first half of the rows."""
        builder, emitter = self.builder, self.emitter
        lanes = ir.VectorType(I32, emitter.lanes)
        steps = ir.Constant(lanes, list(range(emitter.lanes)))
        key0, key1, second = (
            emitter.repeat(builder.trunc(value, I32))
            for value in (self.parameter(KEY), self.parameter(KEY + 1), turn)
        )
        with emitter.loop(integer(0), self.words, emitter.lanes) as first:
            counter = builder.add(emitter.repeat(builder.trunc(first, I32)), steps)
            pair = emit_threefry2x32(builder, key0, key1, counter, second)
            place = builder.add(self.drawn, first)
            for words in pair:
                builder.store(words, emitter.address(DRAWN, place), align=4)
                place = builder.add(place, self.words)

    def _each_row(self, act: Callable[[IRValue, IRValue, IRValue], None]) -> None:
        """`act(row, word, bucket)` for every row, in order."""
        builder = self.builder
        for start, end in ((integer(0), self.half), (self.half, self.rows)):
            base = self.drawn
            if end is self.rows:
                base = builder.add(base, builder.sub(self.words, self.half))
            with self.emitter.loop(start, end) as row:
                word = self.load(DRAWN, builder.add(base, row))
                bucket = builder.add(self.places, builder.lshr(word, self.shift))
                act(row, word, bucket)

    def _count(self) -> None:
        """Where each bucket begins."""
        builder, emitter = self.builder, self.emitter
        with emitter.loop(integer(0), self.buckets) as number:
            self.store(PLACES, builder.add(self.places, number), integer(0))

        def count(_row: IRValue, _word: IRValue, bucket: IRValue) -> None:
            more = builder.add(self.load(PLACES, bucket), integer(1))
            self.store(PLACES, bucket, more)

        self._each_row(count)
        with builder.goto_entry_block():
            total = builder.alloca(I64)
        builder.store(self.order, total)
        with emitter.loop(integer(0), self.buckets) as number:
            start = builder.load(total, typ=I64)
            bucket = builder.add(self.places, number)
            end = builder.add(start, self.load(PLACES, bucket))
            self.store(PLACES, bucket, builder.sub(start, self.order))
            builder.store(end, total)

    def _place(self) -> None:
        """Word and row together, in the bucket of the word."""
        builder = self.builder

        def place(row: IRValue, word: IRValue, bucket: IRValue) -> None:
            at = self.load(PLACES, bucket)
            self.store(PLACES, bucket, builder.add(at, integer(1)))
            both = builder.or_(builder.shl(word, integer(32)), row)
            self.store(ORDERS, builder.add(self.order, at), both)

        self._each_row(place)

    def _exchange(self) -> None:
        """Sort what is nearly in order: each goes back past those that are larger."""
        builder, emitter = self.builder, self.emitter
        with emitter.loop(integer(1), self.rows) as place:
            mine = self.load(ORDERS, builder.add(self.order, place))
            before = builder.block
            head = emitter.function.append_basic_block("head")
            look = emitter.function.append_basic_block("look")
            move = emitter.function.append_basic_block("move")
            done = emitter.function.append_basic_block("found")
            builder.branch(head)
            builder.position_at_end(head)
            free = builder.phi(I64)
            free.add_incoming(place, before)
            first = builder.icmp_signed("==", free, integer(0))
            builder.cbranch(first, done, look)
            builder.position_at_end(look)
            left = builder.sub(free, integer(1))
            other = self.load(ORDERS, builder.add(self.order, left))
            larger = builder.icmp_unsigned(">", other, mine)
            builder.cbranch(larger, move, done)
            builder.position_at_end(move)
            self.store(ORDERS, builder.add(self.order, free), other)
            free.add_incoming(left, move)
            builder.branch(head)
            builder.position_at_end(done)
            self.store(ORDERS, builder.add(self.order, free), mine)

    def _finish(self) -> None:
        """Rows alone."""
        builder = self.builder
        with self.emitter.loop(integer(0), self.rows) as place:
            at = builder.add(self.order, place)
            row = builder.and_(self.load(ORDERS, at), integer(0xFFFFFFFF))
            self.store(ORDERS, at, row)
