"""The native loop: every thread runs the kernels of a program, step after step.

One function serves all programs; what it does is in tables of addresses.
"""

from __future__ import annotations

from functools import cache

from chainrule.compiler.cache import object_key, objects
from chainrule.compiler.emit import (
    BYTE,
    I64,
    POINTER,
    SHARE_BITS,
    SHARE_MASK,
    integer,
)
from chainrule.compiler.engine import (
    LoadedObject,
    compile_module,
    host_target,
    load_object,
    set_attributes,
)
from chainrule.compiler.llvm_types import IRBuilder, IRValue, ir
from chainrule.compiler.threads import emit_barrier, emit_flush, pool

# words of the context, in order; the stretches follow them
STRETCHES, BARRIER_AT, FLUSHES = range(3)
HEAD_WORDS = 3
# words of a stretch, the steps of one program
STEPS, KERNELS, RECORDS, TABLES, TABLE_BYTES, PATCHES, PATCH_COUNT = range(7)
MOVES, MOVE_COUNT = 7, 8
STRETCH_WORDS = 9
# words of the descriptor of a scan: the contexts of its step, one for each thread that
# takes steps alone, bindings, their number, how many steps
INNER_CONTEXTS, BINDINGS, BINDING_COUNT, LENGTH = range(4)
# words of a binding: byte offset in the step's table, byte offset from the descriptor's
# word to that of the buffer, byte in the buffer, and how much further in each step
BINDING_WORDS = 4
# words of a record: function, byte offset of its arguments, shared by threads, barrier,
# how many records from here on make a chain, into how many parts that is cut
FUNCTION, ARGUMENTS, SHARED, WAITS, CHAIN, PARTS = range(6)
RECORD_WORDS = 6
# words of a patch: byte offset of an argument, what is added to it after each step
PATCH_WORDS = 2
# words of a move, made before the first step: where to, where from, how many words
MOVE_WORDS = 3


@cache
def runner() -> tuple[int, LoadedObject]:
    """The address of `run(context, thread, threads)`, and the object that holds it."""
    pool()
    target = host_target()
    key = object_key(
        "runner of stretches and chains, scans without barriers, and scans spread over "
        "threads",
        target.fingerprint,
    )
    loaded = load_object(objects().get(key, lambda: compile_module(_text())))
    return loaded.address("run"), loaded


def _text() -> str:
    module = ir.Module("runner")
    target = host_target()
    module.triple = target.triple
    kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
    function = ir.Function(module, kind, "run")
    set_attributes(function, target)
    _Writer(module, function).write()
    scan = ir.Function(module, kind, "scan")
    set_attributes(scan, target)
    _Writer(module, scan).write_scan(function)
    spread = ir.Function(module, kind, "spread")
    set_attributes(spread, target)
    _Writer(module, spread).write_spread(function)
    return str(module)


class _Writer:
    """Writes the loops over stretches, moves, steps, kernels and patches."""

    def __init__(self, module: IRValue, function: IRValue) -> None:
        self.module, self.function = module, function
        self.builder: IRBuilder = ir.IRBuilder(function.append_basic_block("entry"))
        self.context, self.thread, self.threads = function.args

    def at(self, base: IRValue, number: IRValue, words: int) -> IRValue:
        """Where item `number` of so many words lies."""
        offset = self.builder.mul(number, integer(words))
        return self.builder.gep(base, [offset], source_etype=I64)

    def word(self, base: IRValue, position: IRValue | int) -> IRValue:
        index = integer(position) if isinstance(position, int) else position
        place = self.builder.gep(base, [index], source_etype=I64)
        return self.builder.load(place, typ=I64)

    def pointer(self, base: IRValue, position: int) -> IRValue:
        return self.builder.inttoptr(self.word(base, position), POINTER)

    def loop(self, count: IRValue, body: object) -> None:
        """`for i in range(count): body(i)`; what the body returns is the step."""
        builder = self.builder
        before = builder.block
        head = self.function.append_basic_block()
        inside = self.function.append_basic_block()
        after = self.function.append_basic_block()
        builder.branch(head)
        builder.position_at_end(head)
        counter = builder.phi(I64)
        counter.add_incoming(integer(0), before)
        builder.cbranch(builder.icmp_signed("<", counter, count), inside, after)
        builder.position_at_end(inside)
        step = body(counter) or integer(1)  # type: ignore[operator]
        counter.add_incoming(builder.add(counter, step), builder.block)
        builder.branch(head)
        builder.position_at_end(after)

    def write(self) -> None:
        builder, context = self.builder, self.context
        self.own_bits = builder.shl(self.thread, integer(SHARE_BITS))
        self.barrier = self.pointer(context, BARRIER_AT)  # null: nobody waits
        several = builder.icmp_signed(">", self.threads, integer(1))
        meets = builder.icmp_signed("!=", self.word(context, BARRIER_AT), integer(0))
        self.many = builder.and_(several, meets)
        self.first = builder.icmp_signed("==", self.thread, integer(0))
        flushes = builder.icmp_signed("!=", self.word(context, FLUSHES), integer(0))
        with builder.if_then(flushes):
            emit_flush(self.module, builder)
        self.loop(self.word(context, STRETCHES), self._stretch)
        builder.ret_void()

    def write_scan(self, run: IRValue) -> None:
        """`scan(arguments, thread, threads)`: fill the table of the step, and run it.

        The first of the arguments is the descriptor; those before it are the buffers.
        """
        builder = self.builder
        thread = builder.and_(self.thread, integer(SHARE_MASK))
        descriptor = self.pointer(self.context, 0)
        inner = self.pointer(self.pointer(descriptor, INNER_CONTEXTS), 0)
        size = self.word(inner, HEAD_WORDS + TABLE_BYTES)
        tables = self.pointer(inner, HEAD_WORDS + TABLES)
        own = builder.mul(thread, size)
        table = builder.gep(tables, [own], source_etype=BYTE)
        self._bind(descriptor, table, integer(0))
        builder.call(run, [inner, thread, self.threads])
        builder.ret_void()

    def write_spread(self, run: IRValue) -> None:
        """`spread(arguments, thread, threads)`: this thread's steps, alone.

        Each thread has a context, tables and memory of its own.
        """
        builder = self.builder
        thread = builder.and_(self.thread, integer(SHARE_MASK))
        descriptor = self.pointer(self.context, 0)
        contexts = self.pointer(descriptor, INNER_CONTEXTS)
        inner = builder.inttoptr(self.word(contexts, thread), POINTER)
        length = self.word(descriptor, LENGTH)
        first, last = (
            builder.sdiv(builder.mul(who, length), self.threads)
            for who in (thread, builder.add(thread, integer(1)))
        )
        table = self.pointer(inner, HEAD_WORDS + TABLES)
        self._bind(descriptor, table, first)
        steps = builder.gep(inner, [integer(HEAD_WORDS + STEPS)], source_etype=I64)
        builder.store(builder.sub(last, first), steps)
        builder.call(run, [inner, integer(0), integer(1)])
        builder.ret_void()

    def _bind(self, descriptor: IRValue, table: IRValue, first: IRValue) -> None:
        """Fill a table with the addresses that hold in the step `first`."""
        builder, bindings = self.builder, self.pointer(descriptor, BINDINGS)

        def bind(number: IRValue) -> None:
            binding = self.at(bindings, number, BINDING_WORDS)
            place = builder.gep(table, [self.word(binding, 0)], source_etype=BYTE)
            offset = self.word(binding, 1)
            buffer = builder.gep(self.context, [offset], source_etype=BYTE)
            start = builder.add(builder.load(buffer, typ=I64), self.word(binding, 2))
            further = builder.mul(first, self.word(binding, 3))
            builder.store(builder.add(start, further), place)

        self.loop(self.word(descriptor, BINDING_COUNT), bind)

    def _stretch(self, number: IRValue) -> None:
        builder = self.builder
        start = builder.gep(self.context, [integer(HEAD_WORDS)], source_etype=I64)
        self.stretch = self.at(start, number, STRETCH_WORDS)
        self.records = self.pointer(self.stretch, RECORDS)
        self.patches = self.pointer(self.stretch, PATCHES)
        own = builder.mul(self.thread, self.word(self.stretch, TABLE_BYTES))
        tables = self.pointer(self.stretch, TABLES)
        self.table = builder.gep(tables, [own], source_etype=BYTE)
        moves = self.word(self.stretch, MOVE_COUNT)
        moving = builder.icmp_signed("!=", moves, integer(0))
        with builder.if_then(builder.and_(moving, self.first)):
            self.moves = self.pointer(self.stretch, MOVES)
            self.loop(moves, self._move)
        self._wait(builder.and_(moving, self.many))
        self.loop(self.word(self.stretch, STEPS), self._step)

    def _move(self, number: IRValue) -> None:
        move = self.at(self.moves, number, MOVE_WORDS)
        target, source = self.pointer(move, 0), self.pointer(move, 1)

        def copy(position: IRValue) -> None:
            place = self.builder.gep(target, [position], source_etype=I64)
            self.builder.store(self.word(source, position), place)

        self.loop(self.word(move, 2), copy)

    def _step(self, step: IRValue) -> None:
        self.loop(self.word(self.stretch, KERNELS), self._kernel)
        self.loop(self.word(self.stretch, PATCH_COUNT), self._patch)
        self._wait(self.many)

    def _kernel(self, number: IRValue) -> IRValue:
        """One kernel, or a chain of them; how many these are."""
        builder = self.builder
        record = self.at(self.records, number, RECORD_WORDS)
        zero, one = integer(0), integer(1)
        waits = builder.icmp_signed("!=", self.word(record, WAITS), zero)
        self._wait(builder.and_(waits, self.many))
        length = self.word(record, CHAIN)
        with builder.if_else(builder.icmp_signed(">", length, one)) as (chain, single):
            with chain:
                self._chain(record, length)
            with single:
                shared = builder.icmp_signed("!=", self.word(record, SHARED), zero)
                with builder.if_then(builder.or_(shared, self.first)):
                    thread = builder.select(shared, self.thread, zero)
                    threads = builder.select(shared, self.threads, one)
                    self._call(record, thread, threads)
        return length

    def _chain(self, record: IRValue, length: IRValue) -> None:
        """Kernels of which each needs of the others only what its own share made.

        A thread computes a part of its share in all of them before the next part, as
        several threads would, one after the other.
        """
        builder = self.builder
        parts = builder.sdiv(self.word(record, PARTS), self.threads)
        some = builder.icmp_signed(">", parts, integer(0))
        parts = builder.select(some, parts, integer(1))
        first = builder.mul(self.thread, parts)
        shares = builder.mul(self.threads, parts)

        def part(number: IRValue) -> None:
            share = builder.add(first, number)

            def kernel(place: IRValue) -> None:
                self._call(self.at(record, place, RECORD_WORDS), share, shares)

            self.loop(length, kernel)

        self.loop(parts, part)

    def _call(self, record: IRValue, share: IRValue, shares: IRValue) -> None:
        builder = self.builder
        place = self.word(record, ARGUMENTS)
        arguments = builder.gep(self.table, [place], source_etype=BYTE)
        kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64]).as_pointer()
        function = builder.inttoptr(self.word(record, FUNCTION), kind)
        builder.call(function, [arguments, builder.or_(share, self.own_bits), shares])

    def _patch(self, number: IRValue) -> None:
        builder = self.builder
        patch = self.at(self.patches, number, PATCH_WORDS)
        place = builder.gep(self.table, [self.word(patch, 0)], source_etype=BYTE)
        moved = builder.add(builder.load(place, typ=I64), self.word(patch, 1))
        builder.store(moved, place)

    def _wait(self, condition: IRValue) -> None:
        with self.builder.if_then(condition):
            emit_barrier(self.module, self.builder, self.barrier, self.threads)
