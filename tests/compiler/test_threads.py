from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from chainrule.compiler import engine, threads
from chainrule.compiler.llvm_types import ir
from chainrule.compiler.thread_runtime import has_futex
from chainrule.compiler.threads import BARRIER_BYTES, Pool, pool
from chainrule.errors import ArgumentError

# Context: rounds, violations, barrier at 128, then a line of 128 bytes for each thread.
PROGRAMS = """
declare void @chainrule_barrier(ptr, i64)
declare i32 @usleep(i32)

define ptr @line(ptr %context, i64 %thread) alwaysinline {
  %scaled = shl i64 %thread, 7
  %offset = add i64 %scaled, 256
  %line = getelementptr i8, ptr %context, i64 %offset
  ret ptr %line
}

define void @count(ptr %context, i64 %thread, i64 %count) {
  %line = call ptr @line(ptr %context, i64 %thread)
  %old = load i64, ptr %line
  %new = add i64 %old, %count
  store i64 %new, ptr %line
  ret void
}

; Every thread writes the round to its line, waits, and then looks at all lines.
define void @ordered(ptr %context, i64 %thread, i64 %count) {
start:
  %rounds = load i64, ptr %context
  %violations = getelementptr i64, ptr %context, i64 1
  %barrier = getelementptr i8, ptr %context, i64 128
  %own = call ptr @line(ptr %context, i64 %thread)
  br label %round
round:
  %number = phi i64 [ 1, %start ], [ %following, %end ]
  store i64 %number, ptr %own
  call void @chainrule_barrier(ptr %barrier, i64 %count)
  br label %look
look:
  %other = phi i64 [ 0, %round ], [ %next, %seen ]
  %line = call ptr @line(ptr %context, i64 %other)
  %value = load i64, ptr %line
  %right = icmp eq i64 %value, %number
  br i1 %right, label %seen, label %wrong
wrong:
  %ignored = atomicrmw add ptr %violations, i64 1 monotonic
  br label %seen
seen:
  %next = add i64 %other, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %look, label %end
end:
  call void @chainrule_barrier(ptr %barrier, i64 %count)
  %following = add i64 %number, 1
  %again = icmp ule i64 %following, %rounds
  br i1 %again, label %round, label %leave
leave:
  ret void
}

; Each thread sleeps by its number, so that the others fall asleep at the barrier.
define void @uneven(ptr %context, i64 %thread, i64 %count) {
  %barrier = getelementptr i8, ptr %context, i64 128
  %rounds = load i64, ptr %context
  %wide = mul i64 %thread, %rounds
  %time = trunc i64 %wide to i32
  %code = call i32 @usleep(i32 %time)
  call void @chainrule_barrier(ptr %barrier, i64 %count)
  call void @count(ptr %context, i64 %thread, i64 %count)
  ret void
}

; The smallest normal number, halved: zero where the processor flushes it.
define void @halve(ptr %context, i64 %thread, i64 %count) {
  %line = call ptr @line(ptr %context, i64 %thread)
  %number = load float, ptr %line
  %half = fmul float %number, 0.5
  store float %half, ptr %line
  ret void
}
"""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


@cache
def program() -> engine.LoadedObject:
    pool()
    return engine.load_object(engine.compile_module(PROGRAMS))


class Context:
    """Aligned memory for the programs above."""

    def __init__(self, rounds: int = 0) -> None:
        room = np.zeros(128 * (3 + threads.MAXIMUM_THREADS), np.uint8)
        start = -room.ctypes.data % 128
        self.bytes = room[start : start + 128 * (2 + threads.MAXIMUM_THREADS)]
        self.words = self.bytes.view(np.int64)
        self.words[0] = rounds
        self.address = self.bytes.ctypes.data

    @property
    def violations(self) -> int:
        return int(self.words[1])

    def lines(self, count: int) -> Any:
        return self.words[32 : 32 + 16 * count : 16]


@pytest.fixture(scope="module", params=["futex", "condition"])
def any_pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """The pool in each of its two ways of waiting."""
    futex = request.param == "futex"
    if futex and not has_futex(sys.platform, engine.host_target().architecture):
        pytest.skip("no futex here")
    made = Pool(futex)
    engine.provide(threads.BARRIER, made.barrier_address)
    yield made
    made.stop()
    engine.provide(threads.BARRIER, pool().barrier_address)


@pytest.fixture(scope="module")
def linked(any_pool: Pool) -> engine.LoadedObject:
    """The programs, with the barrier of that pool."""
    return engine.load_object(engine.compile_module(PROGRAMS))


def test_every_thread_runs_once_in_each_launch(any_pool: Pool) -> None:
    entry = program().address("count")
    for count in (1, 2, 3, 5, 2, 1, 4):
        context = Context()
        for _ in range(50):
            assert any_pool.run(entry, context.address, count) == count
        assert context.lines(count).tolist() == [50 * count] * count
        assert context.lines(count + 1)[count] == 0


def test_barriers_order_all_threads(
    any_pool: Pool, linked: engine.LoadedObject
) -> None:
    context = Context(rounds=50_000)
    count = min(2, threads.available_cores())
    any_pool.run(linked.address("ordered"), context.address, count)
    assert context.lines(count).tolist() == [50_000] * count
    assert context.violations == 0


def test_barriers_order_more_threads_than_cores(
    any_pool: Pool, linked: engine.LoadedObject
) -> None:
    context = Context(rounds=500)
    for count in (8, 3, 5):
        any_pool.run(linked.address("ordered"), context.address, count)
        assert context.lines(count).tolist() == [500] * count
        assert context.violations == 0


def test_the_check_of_the_order_sees_a_missing_barrier() -> None:
    broken = PROGRAMS.replace(
        "call void @chainrule_barrier(ptr %barrier, i64 %count)\n  br label %look",
        "br label %look",
    )
    assert broken != PROGRAMS
    context = Context(rounds=20_000)
    loaded = engine.load_object(engine.compile_module(broken))
    pool().run(loaded.address("ordered"), context.address, 2)
    assert context.violations > 0


def test_threads_that_fell_asleep_are_woken(
    any_pool: Pool, linked: engine.LoadedObject
) -> None:
    context = Context(rounds=3000)
    entry = linked.address("uneven")
    for launch in range(1, 6):
        time.sleep(0.002)
        any_pool.run(entry, context.address, 4)
        assert context.lines(4).tolist() == [4 * launch] * 4


def test_waiting_does_not_burn_the_processor(any_pool: Pool) -> None:
    entry = program().address("count")
    any_pool.run(entry, Context().address, 4)
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


def test_python_threads_launch_at_once() -> None:
    entry = program().address("ordered")
    contexts = [Context(rounds=50) for _ in range(6)]
    used: set[int] = set()
    failures: list[int] = []

    def work(context: Context) -> None:
        for _ in range(20):
            count = pool().run(entry, context.address, 3)
            used.add(count)
            if context.lines(count).tolist() != [50] * count or context.violations:
                failures.append(count)

    workers = [threading.Thread(target=work, args=(c,)) for c in contexts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive()
    assert not failures
    assert used <= {1, 3}


def test_a_launch_within_a_launch_runs_alone() -> None:
    context = Context()
    inner: list[int] = []
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)

    def launch_again(_: int, thread: int, count: int) -> None:
        if thread == 0 and count == 2:
            entry = program().address("count")
            inner.append(pool().run(entry, context.address, 2))

    callback = kind(launch_again)
    address = ctypes.cast(callback, ctypes.c_void_p).value
    assert address is not None
    assert pool().run(address, 0, 2) == 2
    assert inner == [1]


def test_no_thread_and_too_many() -> None:
    with pytest.raises(ArgumentError):
        pool().run(program().address("count"), 0, 0)
    context = Context()
    count = pool().run(program().address("count"), context.address, 40)
    assert context.lines(count).tolist() == [count] * count


def test_where_the_system_gives_no_threads_fewer_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Pool()
    started = threading.Thread.start

    def refuse_third(thread: threading.Thread) -> None:
        if thread.name == "chainrule-2":
            raise RuntimeError("can't start new thread")
        started(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_third)
    context = Context()
    assert made.run(program().address("count"), context.address, 4) == 2
    made.stop()
    assert made.run(program().address("count"), context.address, 4) == 1
    assert context.lines(4).tolist() == [3, 2, 0, 0]


@pytest.mark.skipif(
    engine.host_target().architecture != "x86_64", reason="the control word of x86"
)
def test_all_threads_compute_in_the_same_mode() -> None:
    flush = engine.load_object(
        engine.compile_module(
            "declare void @llvm.x86.sse.ldmxcsr(ptr)\n"
            "define void @set(i32 %mode) { %at = alloca i32 store i32 %mode, ptr %at\n"
            "call void @llvm.x86.sse.ldmxcsr(ptr %at) ret void }"
        )
    )
    set_mode = ctypes.CFUNCTYPE(None, ctypes.c_int32)(flush.address("set"))
    smallest = np.array([np.finfo(np.float32).tiny], np.float32)
    context = Context()
    context.lines(2)[:] = int(smallest.view(np.uint32)[0])
    set_mode(0x9FC0)
    try:
        pool().run(program().address("halve"), context.address, 2)
    finally:
        set_mode(0x1F80)
    halved = (smallest / 2).view(np.uint32)[0]
    assert halved != 0
    assert context.lines(2).tolist() == [halved, halved]


def test_a_barrier_is_emitted_into_a_kernel() -> None:
    word = ir.IntType(64)
    pointer = ir.IntType(8).as_pointer()
    module = ir.Module()
    kind = ir.FunctionType(ir.VoidType(), [pointer, word, word])
    entry = ir.Function(module, kind, "entry")
    builder = ir.IRBuilder(entry.append_basic_block())
    for _ in range(3):
        threads.emit_barrier(module, builder, entry.args[0], entry.args[2])
    builder.ret_void()
    pool()
    loaded = engine.load_object(engine.compile_module(str(module)))
    barrier = Context()
    assert BARRIER_BYTES <= 128
    assert pool().run(loaded.address("entry"), barrier.address, 2) == 2
    generation, sleepers = barrier.bytes[:8].view(np.int32).tolist()
    assert (generation, sleepers) == (3, 0)


# What the processes below begin with: `launch(count)` returns what each thread counted.
PRELUDE = """
import ctypes, os, signal, sys, threading, time
from chainrule.compiler import engine, threads
from chainrule.compiler.threads import pool
TEXT = '''
declare void @chainrule_barrier(ptr, i64)
declare i32 @usleep(i32)
define void @entry(ptr %context, i64 %thread, i64 %count) {
  call void @chainrule_barrier(ptr %context, i64 %count)
  %room = getelementptr i64, ptr %context, i64 32
  %own = getelementptr i64, ptr %room, i64 %thread
  store i64 %count, ptr %own
  call void @chainrule_barrier(ptr %context, i64 %count)
  ret void
}
define void @long(ptr %context, i64 %thread, i64 %count) {
  %code = call i32 @usleep(i32 700000)
  ret void
}
'''
pool()
loaded = engine.load_object(engine.compile_module(TEXT))
def launch(count):
    room = ctypes.create_string_buffer(4096)
    start = -ctypes.addressof(room) % 128
    address = ctypes.addressof(room) + start
    used = pool().run(loaded.address("entry"), address, count)
    return list((ctypes.c_int64 * used).from_buffer(room, start + 256))
"""


def run_script(script: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, ""), (run.returncode, run.stderr)
    return run.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_begins_with_threads_of_its_own() -> None:
    script = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
print(launch(3), flush=True)
busy = threading.Thread(target=pool().run, args=(loaded.address("long"), 0, 2))
busy.start()
time.sleep(0.05)
child = os.fork()
if child == 0:
    print(launch(3), [t.name for t in threading.enumerate()][1:3], flush=True)
    grandchild = os.fork()
    # two processes write at once: each its line in one piece
    os.write(1, (str(launch(2)) + os.linesep).encode())
    if grandchild:
        os.waitpid(grandchild, 0)
    sys.exit(0)
_, code = os.waitpid(child, 0)
busy.join()
print(launch(3), code)
"""
    lines = run_script(script).splitlines()
    three, two = "[3, 3, 3]", "[2, 2]"
    names = "['chainrule-1', 'chainrule-2']"
    assert lines == [three, f"{three} {names}", two, two, f"{three} 0"]


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "sys.exit(0)",
        "threading.Thread(target=lambda: (time.sleep(0.2), launch(3))).start()",
        "import atexit; atexit.register(lambda: launch(3))",
        "threading.Thread(target=pool().run, daemon=True,"
        " args=(loaded.address('long'), 0, 2)).start(); time.sleep(0.05)",
        "time.sleep(0.1)",
    ],
)
def test_the_interpreter_ends_with_workers_waiting(ending: str) -> None:
    start = time.monotonic()
    assert run_script(f"print(launch(3))\n{ending}") == "[3, 3, 3]\n"
    assert time.monotonic() - start < 15


@on_linux
def test_an_interrupt_is_handled_once_the_launch_is_over() -> None:
    script = """
launch(2)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    pool().run(loaded.address("long"), 0, 2)
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start < 3)
print(launch(2))
"""
    assert run_script(script) == "interrupted True\n[2, 2]\n"


@pytest.mark.parametrize("count", [1, 2, 8])
def test_the_environment_sets_the_number_of_threads(count: int) -> None:
    script = "print(launch(threads.default_threads()))"
    output = run_script(script, CHAINRULE_THREADS=str(count))
    assert output == f"{[count] * count}\n"


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_threads_is_refused(text: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import chainrule.settings"],
        env={**os.environ, "CHAINRULE_THREADS": text},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"CHAINRULE_THREADS='{text}'" in run.stderr


@on_linux
def test_cores_are_those_that_the_process_may_use() -> None:
    script = """
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(threads.default_threads())
"""
    environment = {"CHAINRULE_THREADS": ""}
    assert run_script(script, **environment) == "1\n"
    assert 1 <= threads.available_cores() <= len(os.sched_getaffinity(0))


@on_linux
def test_workers_leave_when_the_pool_stops() -> None:
    made = Pool()
    made.run(program().address("count"), Context().address, 4)
    workers = list(made._workers.values())
    assert len(workers) == 3
    assert all(worker.is_alive() for worker in workers)
    made.stop()
    assert not any(worker.is_alive() for worker in workers)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
