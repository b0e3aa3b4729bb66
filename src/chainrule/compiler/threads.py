"""Threads that run one native program together, each on its share.

A launch calls `void entry(void* context, int64 thread_id, int64 thread_count)` on every
thread at once; the caller is thread 0. The others are Python threads that stay inside a
native function, without the interpreter's lock, and wait there: first by looking again
and again for some 50 microseconds, then asleep in the kernel.

There is one pool for the process and one launch at a time. Whoever comes while it is
busy runs its program alone: `entry` must give the same bits for any number of threads,
and take the number that it is told, not the one that was asked for.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from chainrule.compiler import engine
from chainrule.compiler.cache import object_key, objects
from chainrule.compiler.llvm_types import IRBuilder, IRType, IRValue, ir
from chainrule.compiler.thread_runtime import (
    BARRIER_BYTES,
    MAXIMUM_THREADS,
    has_futex,
    runtime_text,
)
from chainrule.errors import ArgumentError
from chainrule.settings import SETTINGS

__all__ = [
    "BARRIER_BYTES",
    "Pool",
    "default_threads",
    "emit_barrier",
    "emit_flush",
    "pool",
]

BARRIER = "chainrule_barrier"  # what kernels call it
FLUSH = "chainrule_flush"
SPIN_SECONDS = 50e-6
# With more threads than cores, looking on keeps the awaited thread from its core.
CROWDED_TURNS = 16
_EXIT_SECONDS = 1.0
_CALIBRATION_TURNS = 1000
_CPU_FOLDER = Path("/sys/devices/system/cpu")
_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


class _Runtime:
    """The native functions of a pool, never unloaded: workers live in them."""

    def __init__(self, futex: bool) -> None:
        target = engine.host_target()
        text = runtime_text(target.architecture, futex)
        key = object_key(text, target.fingerprint)
        code = objects().get(key, lambda: engine.compile_module(text))
        self.object = engine.load_object(code)
        number, address = ctypes.c_int64, ctypes.c_void_p
        self.worker = self._function("worker", None, number)
        self.launch = self._function(
            "launch", number, address, address, number, ctypes.c_uint32
        )
        self.stop = self._function("stop", ctypes.c_int32, number)
        self.reset = self._function("reset", None)
        self._turn = self._function("turns", None, number)
        self.barrier_address = self.object.address("chainrule_meet")
        self.flush_address = self.object.address("chainrule_flush_to_zero")
        self.reset()
        self.spin_turns = self._calibrate()

    def _function(
        self, name: str, result: type | None, *arguments: type
    ) -> Callable[..., Any]:
        kind = ctypes.CFUNCTYPE(result, *arguments)
        return kind(self.object.address(f"chainrule_{name}"))

    def _calibrate(self) -> int:
        """How many looks take `SPIN_SECONDS`: a pause is 10 to 150 cycles long."""
        times = []
        for _ in range(3):
            start = time.perf_counter()
            self._turn(_CALIBRATION_TURNS)
            times.append(time.perf_counter() - start)
        turns = _CALIBRATION_TURNS * SPIN_SECONDS / max(min(times), 1e-9)
        return int(min(max(turns, CROWDED_TURNS), 1 << 20))


class Pool:
    """Worker threads, started when a launch first needs them.

    Args:
        futex: whether to wait as Linux does; none chooses by the machine.

    Example:
        >>> code = engine.compile_module(
        ...     "define void @entry(ptr %at, i64 %thread, i64 %count) {"
        ...     "  %old = atomicrmw add ptr %at, i64 %count monotonic ret void }"
        ... )
        >>> program, total = engine.load_object(code), ctypes.c_int64()
        >>> pool().run(program.address("entry"), ctypes.addressof(total), threads=2)
        2
        >>> total.value
        4
    """

    def __init__(self, futex: bool | None = None) -> None:
        if futex is None:
            architecture = engine.host_target().architecture
            futex = has_futex(sys.platform, architecture)
        self._runtime = _Runtime(futex)
        self._forget()
        _POOLS.append(self)

    def _forget(self) -> None:
        """Begin without workers, as in the child of a fork."""
        self._workers: dict[int, threading.Thread] = {}
        self._ready = 1
        self._stopped = False
        self._growing = threading.Lock()

    def run(self, entry: int, context: int, threads: int) -> int:
        """Call `entry(context, thread_id, thread_count)` on up to `threads` threads.

        Signals are handled once all threads have returned.

        Args:
            entry: address of the native function.
            context: passed on; whatever it points at must outlive the call.
            threads: how many threads to use at most.

        Returns:
            How many threads ran: fewer where the pool was busy with another launch,
            where the system gives no more threads, and at the exit of the interpreter.

        Raises:
            ArgumentError: no thread is asked for.
        """
        if threads < 1:
            raise ArgumentError("a launch needs a thread", where="run", got=threads)
        if threads > self._ready:
            threads = self._grow(threads)
        crowded = threads > available_cores()
        turns = CROWDED_TURNS if crowded else self._runtime.spin_turns
        return int(self._runtime.launch(entry, context, threads, turns))

    @property
    def barrier_address(self) -> int:
        """Where `void barrier(void* barrier, int64 thread_count)` lies."""
        return self._runtime.barrier_address

    @property
    def flush_address(self) -> int:
        """Where `void flush()` lies; see `emit_flush`."""
        return self._runtime.flush_address

    def _grow(self, threads: int) -> int:
        """Have workers for so many threads, and return for how many there are."""
        with self._growing:
            wanted = 1 if self._stopped else min(threads, MAXIMUM_THREADS)
            for number in range(self._ready, wanted):
                if not self._start(number):
                    break
                self._ready = number + 1
            return min(threads, self._ready)

    def _start(self, number: int) -> bool:
        # An interrupt may have come while this worker was started before. Starting it
        # once more is harmless: the native side lets one thread in for each number.
        worker = threading.Thread(
            target=self._runtime.worker,
            args=(number,),
            name=f"chainrule-{number}",
            daemon=True,
        )
        self._workers[number] = worker
        try:
            worker.start()
        except RuntimeError:
            del self._workers[number]
            return False
        return True

    def stop(self) -> None:
        """End the workers; later launches run on the caller alone.

        Where another thread is in the middle of a launch, the workers are left to it.
        """
        with self._growing:
            self._stopped = True
            count, self._ready = self._ready, 1
        if not self._runtime.stop(count):
            return
        for worker in self._workers.values():
            worker.join(_EXIT_SECONDS)


# A pool is kept to the end of the process: its workers stand in its code.
_POOLS: list[Pool] = []
_DEFAULT: list[Pool] = []
_DEFAULT_LOCK = threading.Lock()


def pool() -> Pool:
    """The pool of this process, made when first asked for."""
    with _DEFAULT_LOCK:
        if not _DEFAULT:
            made = Pool()
            engine.provide(BARRIER, made.barrier_address)
            engine.provide(FLUSH, made.flush_address)
            _DEFAULT.append(made)
        return _DEFAULT[0]


def emit_barrier(
    module: IRValue, builder: IRBuilder, barrier: IRValue, thread_count: IRValue
) -> None:
    """Emit a wait until all threads of the launch have come here.

    What any thread wrote before is seen by all after. The object that results needs
    `pool()` to exist when it is loaded.

    Args:
        module: the `llvmlite.ir` module that is being built.
        builder: where to emit.
        barrier: pointer to `BARRIER_BYTES` bytes, aligned to 64, zero before the first
            launch. One barrier serves any number of waits and of launches.
        thread_count: the entry's own argument, `i64`.
    """
    function = _declared(module, BARRIER, [ir.PointerType(), ir.IntType(64)])
    builder.call(function, [builder.bitcast(barrier, ir.PointerType()), thread_count])


def emit_flush(module: IRValue, builder: IRBuilder) -> None:
    """Emit the change to a mode in which subnormal numbers are read and written as 0.

    Some processors take a hundred times as long where one occurs. The mode is that of
    the calling thread, until its share of the launch ends.
    """
    builder.call(_declared(module, FLUSH, []), [])


def _declared(module: IRValue, name: str, arguments: list[IRType]) -> IRValue:
    """A function of the pool, declared once in `module`."""
    function = module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), arguments)
        function = ir.Function(module, kind, name)
        function.attributes.add("nounwind")
    return function


def default_threads() -> int:
    """`CHAINRULE_THREADS`, or the number of cores that this process may use."""
    return min(SETTINGS.threads or available_cores(), MAXIMUM_THREADS)


@cache
def available_cores() -> int:
    """Physical cores that the process may run on, within the quota of its container."""
    if hasattr(os, "sched_getaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        cores = len({_core_of(processor) for processor in processors})
    else:
        cores = os.cpu_count() or 1
    return max(1, min(cores, _quota()))


def _core_of(processor: int) -> str:
    """A name for the core of a processor, equal for those that share it."""
    siblings = _CPU_FOLDER / f"cpu{processor}" / "topology" / "thread_siblings_list"
    try:
        return siblings.read_text()
    except OSError:
        return str(processor)


def _quota() -> int:
    """Whole processors' worth of time that the container is allowed."""
    with suppress(OSError, ValueError):
        allowed, period = _QUOTA_FILE.read_text().split()
        return max(1, int(allowed) // int(period))
    return MAXIMUM_THREADS


def _stop_at_exit() -> None:
    for made in _POOLS:
        made.stop()


def _begin_after_fork() -> None:
    """The child has none of the workers, and maybe half a launch of another thread."""
    global _DEFAULT_LOCK
    _DEFAULT_LOCK = threading.Lock()
    for made in _POOLS:
        made._runtime.reset()
        made._forget()


atexit.register(_stop_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_after_fork)
