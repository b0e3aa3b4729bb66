"""What the machine can do at most: multiply-adds and memory traffic, measured.

    python -m benchmarks.limits THREADS

Two loops, compiled for the machine at hand: one of independent fused multiply-adds on
vectors of float32 that stay in registers, and the triad `a[i] = b[i] + s * c[i]` over
arrays far larger than any cache, which counts 12 bytes an element (McCalpin, "Memory
Bandwidth and Machine Balance", 1995).
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from chainrule.compiler.engine import (
    LoadedObject,
    compile_module,
    host_target,
    load_object,
    set_attributes,
)
from chainrule.compiler.llvm_types import IRBuilder, IRValue, ir

ACCUMULATORS = 12  # hides a latency of 4 cycles where 3 results come a cycle
UNROLLED = 4
REPEATS = 7
TURNS = 4_000_000
ELEMENTS = 1 << 24  # of each array and thread: 64 MiB

FLOAT, I64 = ir.FloatType(), ir.IntType(64)
POINTER = ir.PointerType()


def _vector() -> Any:
    return ir.VectorType(FLOAT, host_target().lanes(4))


def _fma(builder: IRBuilder, *operands: IRValue) -> IRValue:
    kind = _vector()
    name = f"llvm.fma.v{kind.count}f32"
    module = builder.module
    if name not in module.globals:
        ir.Function(module, ir.FunctionType(kind, [kind] * 3), name)
    return builder.call(module.globals[name], operands)


def _splat(builder: IRBuilder, number: IRValue) -> IRValue:
    kind = _vector()
    lane = ir.Constant(ir.IntType(32), 0)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, lane)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def _function(module: Any, name: str, kinds: list[Any]) -> tuple[IRValue, IRBuilder]:
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    set_attributes(function, host_target())
    return function, ir.IRBuilder(function.append_basic_block("entry"))


def _loop(builder: IRBuilder) -> tuple[IRValue, Any]:
    """Open a loop: its counter, and the block before it."""
    before = builder.block
    inside = builder.append_basic_block("inside")
    builder.branch(inside)
    builder.position_at_end(inside)
    counter = builder.phi(I64)
    counter.add_incoming(ir.Constant(I64, 0), before)
    return counter, before


def _close(builder: IRBuilder, counter: IRValue, count: IRValue, by: int) -> None:
    following = builder.add(counter, ir.Constant(I64, by))
    counter.add_incoming(following, builder.block)
    after = builder.append_basic_block("after")
    more = builder.icmp_signed("<", following, count)
    builder.cbranch(more, counter.parent, after)
    builder.position_at_end(after)


def _add_chain(module: Any) -> None:
    """`chain(turns, a, b, out)`: every turn makes `fma(sum, a, b)` of each sum."""
    function, builder = _function(module, "chain", [I64, FLOAT, FLOAT, POINTER])
    turns, a, b, out = function.args
    kind = _vector()
    a, b = _splat(builder, a), _splat(builder, b)
    counter, before = _loop(builder)
    sums = [builder.phi(kind) for _ in range(ACCUMULATORS)]
    made = [_fma(builder, each, a, b) for each in sums]
    for each, new in zip(sums, made, strict=True):
        each.add_incoming(b, before)
        each.add_incoming(new, builder.block)
    _close(builder, counter, turns, 1)
    # each sum ends at a place of its own, so that none can be left out
    for position, new in enumerate(made):
        place = builder.gep(out, [ir.Constant(I64, position)], source_etype=kind)
        builder.store(new, place, align=4)
    builder.ret_void()


def _add_triad(module: Any) -> None:
    """`triad(count, a, b, c, s)`: `a[i] = b[i] + s * c[i]`."""
    kinds = [I64, POINTER, POINTER, POINTER, FLOAT]
    function, builder = _function(module, "triad", kinds)
    count, a, b, c, scale = function.args
    kind = _vector()
    scale = _splat(builder, scale)
    by = UNROLLED * kind.count
    counter, _ = _loop(builder)
    for part in range(UNROLLED):
        at = builder.add(counter, ir.Constant(I64, part * kind.count))
        places = [builder.gep(x, [at], source_etype=FLOAT) for x in (a, b, c)]
        left = builder.load(places[1], typ=kind, align=4)
        right = builder.load(places[2], typ=kind, align=4)
        builder.store(_fma(builder, scale, right, left), places[0], align=4)
    _close(builder, counter, count, by)
    builder.ret_void()


def _compiled() -> LoadedObject:
    module = ir.Module("limits")
    module.triple = host_target().triple
    _add_chain(module)
    _add_triad(module)
    return load_object(compile_module(str(module)))


def _best(work: Callable[[int], None], threads: int) -> float:
    """The shortest time in which all threads finish `work(thread)`."""
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(REPEATS):
            started = time.perf_counter()
            list(pool.map(work, range(threads)))
            seconds.append(time.perf_counter() - started)
    return min(seconds)


def measure_fma(code: LoadedObject, threads: int, turns: int = TURNS) -> float:
    """Billions of floating-point operations a second; a multiply-add counts two."""
    kinds = (ctypes.c_int64, ctypes.c_float, ctypes.c_float, ctypes.c_void_p)
    chain = ctypes.CFUNCTYPE(None, *kinds)(code.address("chain"))
    lanes = host_target().lanes(4)
    room = [np.zeros(ACCUMULATORS * lanes, np.float32) for _ in range(threads)]

    def work(thread: int) -> None:
        chain(turns, 0.5, 1.0, room[thread].ctypes.data)

    operations = 2.0 * lanes * ACCUMULATORS * turns * threads
    return operations / _best(work, threads) / 1e9


def measure_triad(code: LoadedObject, threads: int, elements: int = ELEMENTS) -> float:
    """Billions of bytes a second."""
    kinds = (ctypes.c_int64, *[ctypes.c_void_p] * 3, ctypes.c_float)
    triad = ctypes.CFUNCTYPE(None, *kinds)(code.address("triad"))
    arrays = [np.ones((3, elements), np.float32) for _ in range(threads)]

    def work(thread: int) -> None:
        triad(elements, *(row.ctypes.data for row in arrays[thread]), 3.0)

    return 3.0 * 4 * elements * threads / _best(work, threads) / 1e9


def measure_limits(
    threads: int, turns: int = TURNS, elements: int = ELEMENTS
) -> dict[str, float]:
    """All limits of this machine on one thread and on `threads`."""
    code = _compiled()
    return {
        "fma_gflops_one_thread": measure_fma(code, 1, turns),
        "fma_gflops": measure_fma(code, threads, turns),
        "triad_gbytes": measure_triad(code, threads, elements),
    }


if __name__ == "__main__":
    print(json.dumps(measure_limits(int(sys.argv[1]))))
