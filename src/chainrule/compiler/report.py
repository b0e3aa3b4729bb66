"""What a program costs: work, memory traffic and measured time of every kernel."""

from __future__ import annotations

import ctypes
import math
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np

from chainrule.compiler.cache import object_key, objects
from chainrule.compiler.emit import I64, POINTER, integer
from chainrule.compiler.engine import (
    compile_module,
    host_target,
    load_object,
    set_attributes,
)
from chainrule.compiler.expression import Expression
from chainrule.compiler.kernel import (
    ContractKernel,
    Fold,
    Kernel,
    LibraryKernel,
    LoopKernel,
    Plan,
    ScanKernel,
)
from chainrule.compiler.llvm_types import ir
from chainrule.compiler.traffic import touched_bytes

REPETITIONS = 15
FREE = frozenset({"load", "number", "position", "local", "cast", "bitcast"})


@dataclass(frozen=True)
class KernelCost:
    """The cost of one kernel, once.

    Attributes:
        name: the layer and the first operation.
        shape: extents of its loops.
        flops: arithmetic operations; an elementary function counts as one.
        nbytes: bytes that it touches of its buffers, at most.
        seconds: median time on one thread.
        share: of the machine's multiply-add limit, from 0 to 1.
        parallel: whether threads share it.
    """

    name: str
    shape: tuple[int, ...]
    flops: int
    nbytes: int
    seconds: float
    share: float
    parallel: bool


@dataclass(frozen=True)
class Report:
    """The cost of a program. Its text is a table.

    Attributes:
        kernels: one row each, in order.
        compile_seconds: what planning, compiling and loading took.
        arena_bytes: memory of intermediate values.
        threads: how many threads share the parallel kernels.
        gflops_limit: multiply-add limit of one core, measured.
        callbacks: operations that run outside of native code; there are none.
    """

    name: str
    kernels: tuple[KernelCost, ...]
    compile_seconds: float
    arena_bytes: int
    threads: int
    gflops_limit: float
    callbacks: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = (
            f"{self.name}: {len(self.kernels)} kernels, {self.threads} threads, "
            f"compiled in {self.compile_seconds * 1e3:.0f} ms, "
            f"arena {self.arena_bytes / 1024:.0f} KiB, "
            f"limit {self.gflops_limit:.0f} GFLOP/s a core"
        )
        width = max((len(k.name) for k in self.kernels), default=6)
        columns = (
            f"{'shape':>20} {'kflop':>10} {'KiB':>9} {'us':>9} {'GFLOP/s':>8} limit"
        )
        lines = [head, f"{'kernel':<{width}} {columns}"]
        for k in self.kernels:
            shape = "x".join(map(str, k.shape)) or "1"
            rate = k.flops / k.seconds / 1e9 if k.seconds else 0.0
            who = "" if k.parallel else "  first thread"
            lines.append(
                f"{k.name:<{width}} {shape:>20} {k.flops / 1e3:>10.1f} "
                f"{k.nbytes / 1024:>9.1f} {k.seconds * 1e6:>9.2f} {rate:>8.1f} "
                f"{k.share:>5.0%}{who}"
            )
        total = sum(k.seconds for k in self.kernels)
        lines.append(f"sum of kernels on one thread: {total * 1e6:.1f} us")
        where = ", ".join(self.callbacks) or "none"
        lines.append(f"operations outside native code: {where}")
        return "\n".join(lines)


class Measurable(Protocol):
    """A program, as far as a report is concerned."""

    name: str
    plan: Plan
    threads: int
    compile_seconds: float

    def time_kernel(self, position: int, repetitions: int) -> float:
        """Median seconds of one kernel on one thread."""


def make_report(program: Measurable) -> Report:
    """Measure every kernel of `program` on values of its own."""
    limit = machine_gflops()
    rows = []
    for position, step in enumerate(program.plan.steps):
        seconds = program.time_kernel(position, REPETITIONS)
        flops = flops_of(step.kernel)
        nbytes = touched_bytes(step)
        share = flops / seconds / (limit * 1e9) if seconds else 0.0
        rows.append(
            KernelCost(
                step.kernel.name,
                shape_of(step.kernel),
                flops,
                nbytes,
                seconds,
                share,
                step.parallel,
            )
        )
    return Report(
        program.name,
        tuple(rows),
        program.compile_seconds,
        program.plan.arena.nbytes,
        program.threads,
        limit,
    )


def shape_of(kernel: Kernel) -> tuple[int, ...]:
    """The extents of a kernel's loops."""
    if isinstance(kernel, ScanKernel):
        return (kernel.length,)
    if isinstance(kernel, LibraryKernel):
        return kernel.domain
    if isinstance(kernel, ContractKernel):
        axes = (*kernel.outer, kernel.m, kernel.n)
        return (*(a.extent for a in axes), math.prod(kernel.sums))
    lane = () if kernel.lane is None else (kernel.lane,)
    axes = (*kernel.rows, *kernel.inside, *lane)
    folded = [axis for stage in kernel.stages for axis in stage.axes]
    extra = (max(axis.extent for axis in folded),) if folded else ()
    return (*(axis.extent for axis in axes), *extra)


def flops_of(kernel: Kernel) -> int:
    """How many arithmetic operations a kernel does."""
    if isinstance(kernel, ScanKernel):
        return kernel.length * sum(flops_of(step.kernel) for step in kernel.plan.steps)
    if isinstance(kernel, LibraryKernel):
        return math.prod(kernel.domain)
    if isinstance(kernel, ContractKernel):
        axes = (*kernel.outer, kernel.m, kernel.n)
        points = math.prod(axis.extent for axis in axes)
        product = 2 * points * math.prod(kernel.sums)
        return product + points * _operations([s.expression for s in kernel.stages])
    return _loop_flops(kernel)


def _loop_flops(kernel: LoopKernel) -> int:
    points = math.prod(axis.extent for axis in (*kernel.rows, *kernel.inside))
    points *= kernel.lane.extent if kernel.lane is not None else 1
    total = 0
    for stage in kernel.stages:
        own = math.prod(axis.extent for axis in stage.axes)
        total += own * (_operations([stage.expression]) + isinstance(stage, Fold))
    return points * total


def _operations(expressions: list[Expression]) -> int:
    seen: set[int] = set()
    stack, count = list(expressions), 0
    while stack:
        expression = stack.pop()
        if id(expression) not in seen:
            seen.add(id(expression))
            stack.extend(expression.inputs)
            count += expression.kind not in FREE
    return count


# ---- the limit of the machine --------------------------------------------------------

_CHAINS = 12  # independent multiply-adds, more than the latency of one
_ROUNDS = 200_000


@cache
def machine_gflops() -> float:
    """Multiply-adds of float32 that one core can do, in GFLOP/s, measured once."""
    target = host_target()
    key = object_key("multiply-add limit", target.fingerprint)
    loaded = load_object(objects().get(key, lambda: compile_module(_limit_text())))
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
    function = kind(loaded.address("limit"))
    result = np.zeros(target.lanes(4), np.float32)
    place: Any = result.ctypes.data
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        function(place, _ROUNDS)
        best = min(best, time.perf_counter() - start)
    return 2 * _CHAINS * target.lanes(4) * _ROUNDS / best / 1e9


def _limit_text() -> str:
    """A loop of independent multiply-adds on registers."""
    module = ir.Module("limit")
    target = host_target()
    module.triple = target.triple
    kind = ir.FunctionType(ir.VoidType(), [POINTER, I64])
    function = ir.Function(module, kind, "limit")
    set_attributes(function, target)
    lanes = target.lanes(4)
    vector = ir.VectorType(ir.FloatType(), lanes)
    name = f"llvm.fma.v{lanes}f32"
    fma = ir.Function(module, ir.FunctionType(vector, [vector] * 3), name)
    entry = function.append_basic_block("entry")
    loop, done = (
        function.append_basic_block("loop"),
        function.append_basic_block("done"),
    )
    builder = ir.IRBuilder(entry)
    # read from memory, so that nothing is known before the loop runs
    start = builder.load(function.args[0], typ=vector, align=4)
    builder.branch(loop)
    builder.position_at_end(loop)
    counter = builder.phi(I64)
    counter.add_incoming(integer(0), entry)
    chains = []
    for number in range(_CHAINS):
        chain = builder.phi(vector)
        offset = ir.Constant(vector, [float(number + 1)] * lanes)
        chain.add_incoming(offset, entry)
        chains.append(chain)
    results = [builder.call(fma, [chain, start, chain]) for chain in chains]
    for chain, result in zip(chains, results, strict=True):
        chain.add_incoming(result, loop)
    following = builder.add(counter, integer(1))
    counter.add_incoming(following, loop)
    more = builder.icmp_signed("<", following, function.args[1])
    builder.cbranch(more, loop, done)
    builder.position_at_end(done)
    total = results[0]
    for result in results[1:]:
        total = builder.fadd(total, result)
    builder.store(total, function.args[0], align=4)
    builder.ret_void()
    return str(module)
