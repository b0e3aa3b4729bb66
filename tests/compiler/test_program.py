"""Programs: where they read and write, what they cost, and where they may run."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import jit, ops
from chainrule.compiler import plan, program
from chainrule.compiler.arenas import address_of
from chainrule.compiler.program import Program
from chainrule.errors import OutOfBoundsError
from chainrule.ir import constant, trace
from chainrule.ir.graph import Graph, evaluate
from tests.compiler.graphs import spec_of
from tests.compiler.test_random_graphs import GUARD, run_guarded

Array = np.ndarray[Any, Any]
PAGE = mmap.PAGESIZE
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def traced(function: Callable[..., Sequence[Any]], *arrays: Array) -> Graph:
    return trace(function, list(map(spec_of, arrays)))[0]


def floats(*shape: int) -> Array:
    random = np.random.default_rng(sum(shape))
    return np.asarray(random.normal(size=shape).astype(np.float32))


def layer(x: Any, w: Any, b: Any) -> Any:
    product = ops.contract(x, w, sums=((1,), (0,)), batch=((), ()))
    return ops.maximum(ops.add(product, b), 0.0)


# ---- guard pages ---------------------------------------------------------------------


class Fenced:
    """An array that ends where memory that may not be touched begins."""

    def __init__(self, array: Array) -> None:
        size = -(-max(array.nbytes, 1) // PAGE) * PAGE
        self.pages = mmap.mmap(-1, size + 2 * PAGE)
        whole = np.frombuffer(self.pages, np.uint8)
        for start in (0, size + PAGE):
            protect(whole[start:].ctypes.data, PAGE, 0)
        self.end = size + PAGE
        self.pad = whole[PAGE : self.end - array.nbytes]
        self.pad[:] = 0x5A
        part = whole[self.end - array.nbytes : self.end]
        self.array: Array = part.view(array.dtype).reshape(array.shape)
        self.array[...] = array

    def is_intact(self) -> bool:
        """Whether what lies before the array is as it was."""
        return bool((self.pad == 0x5A).all())

    def free(self) -> None:
        """Let the memory be touched, so that it can be given back."""
        for start in (-PAGE, self.array.nbytes):
            base = address_of(self.array) if self.array.size else 0
            if base:
                protect((base + start) // PAGE * PAGE, PAGE, 3)


def protect(address: int, size: int, rights: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    place, length = ctypes.c_void_p(address), ctypes.c_size_t(size)
    assert library.mprotect(place, length, rights) == 0


def _gathered(x: Any) -> list[Any]:
    rows = constant(np.array([-1, 0, 2, -3]))
    return [ops.take(x, rows, axis=0), ops.take_along_axis(x, rows_of(x), axis=1)]


def rows_of(x: Any) -> Any:
    order = ops.argsort(x, axis=1, descending=True)
    return ops.slice_(order, start=(0, 0), stop=(x.spec.shape[0], 2), step=(1, 1))


def _moved(x: Any) -> list[Any]:
    part = ops.slice_(x, start=(0, 1), stop=x.spec.shape, step=(1, 3))
    padded = ops.pad(part, 0.5, low=(1, 0), high=(0, 2), interior=(1, 2))
    return [padded, ops.permute_dims(x, axes=(1, 0)), ops.concatenate(x, x, axis=1)]


def _folded(x: Any) -> list[Any]:
    return [
        ops.reduce_sum(x, axes=(1,)),
        ops.reduce_max(x, axes=(0,)),
        ops.argmax(x, axis=0),
        ops.less(x, 0.0),
        ops.cumulative_sum(x, axis=0),
    ]


@linux
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x, w, b: [layer(x, w, b)], [(5, 7), (7, 19), (19,)]),
        (lambda x, w, b: [layer(x, w, b)], [(67, 3), (3, 1), (1,)]),
        (lambda x, w: [ops.contract(x, w, sums=((0,), (1,)), batch=((), ()))],
         [(33, 9), (21, 33)]),
        (lambda x, w: [ops.contract(x, w, sums=((1,), (1,)), batch=((0,), (0,)))],
         [(9, 5, 3), (9, 5, 17)]),
        (lambda x: [ops.exp(x)], [(3, 37)]),
        (_gathered, [(3, 5)]),
        (_moved, [(3, 13)]),
        (_folded, [(9, 21)]),
    ],
)  # fmt: skip
def test_nothing_outside_of_buffers_is_touched(
    function: Callable[..., Sequence[Any]],
    shapes: list[tuple[int, ...]],
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    arrays = [floats(*shape) for shape in shapes]
    graph = traced(function, *arrays)
    expected = Program(graph, threads=threads)(arrays)
    compiled = Program(graph, threads=threads)
    values = (*compiled.plan.graph.inputs, *compiled.plan.graph.outputs)
    fenced = [Fenced(array) for array in (*arrays, *map(np.zeros_like, expected))]
    # a read or a write behind the end stops the process
    compiled.launch(
        [(v, address_of(f.array)) for v, f in zip(values, fenced, strict=True)]
    )
    for fence, right in zip(fenced, (*arrays, *expected), strict=True):
        assert fence.is_intact()
        np.testing.assert_array_equal(fence.array, right)
        fence.free()


# ---- indices outside -----------------------------------------------------------------


@pytest.mark.parametrize("index", [3, -4, 2**40, -(2**40)])
@pytest.mark.parametrize("operation", ["take", "along", "scatter"])
def test_indices_outside_are_errors_and_touch_nothing(
    operation: str, index: int
) -> None:
    def function(x: Any, i: Any) -> list[Any]:
        if operation == "take":
            return [ops.take(x, i, axis=0)]
        if operation == "along":
            wide = ops.broadcast_to(ops.reshape(i, shape=(2, 1)), shape=(2, 4))
            return [ops.take_along_axis(x, wide, axis=0)]
        zeros = ops.multiply(x, 0.0)
        part = ops.slice_(x, start=(0, 0), stop=(2, 4), step=(1, 1))
        return [ops.scatter_add(zeros, i, part, axis=0)]

    x, good = floats(3, 4), np.array([0, -1])
    compiled = Program(traced(function, x, good))
    with pytest.raises(OutOfBoundsError, match=r"-3 to 2"):
        compiled([x, np.array([1, index])])
    # the program is usable afterwards
    (right,) = evaluate(compiled.source, [x, good])
    np.testing.assert_array_equal(compiled([x, good])[0], right)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize(
    ("rows", "rest", "places"),
    [(5, (1,), (9,)), (7, (3, 5), (4, 3)), (4, (33,), (0,)), (300, (130,), (1000,))],
)
def test_rows_are_added_in_order_by_any_number_of_threads(
    rows: int,
    rest: tuple[int, ...],
    places: tuple[int, ...],
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "PARALLEL_WORK", 1)
    random = np.random.default_rng(3)
    x, added = (
        (random.normal(size=shape) * 9).astype(dtype)
        for shape in ((rows, *rest), (*places, *rest))
    )
    chosen = random.integers(-rows, rows, places)

    def function(x: Any, i: Any, u: Any) -> list[Any]:
        return [ops.scatter_add(x, i, u, axis=0)]

    graph = traced(function, x, chosen, added)
    wanted = x.copy()
    np.add.at(wanted, chosen, added)
    for threads in (1, 2, 3):
        compiled = Program(graph, threads=threads, guard=GUARD)
        found = run_guarded(compiled, [x, chosen, added])
        np.testing.assert_array_equal(found[0], wanted)


# ---- cost ----------------------------------------------------------------------------


def _calls_of_second_call(length: int, monkeypatch: pytest.MonkeyPatch) -> int:
    @jit
    def function(x: Any) -> Any:
        for i in range(length):
            x = ops.add(ops.multiply(x, 1.5), float(i))
            x = ops.reshape(ops.reduce_sum(x, axes=(0,)), shape=(1, 8)) if i % 5 else x
        return x

    x = constant(floats(1, 8))
    function(x)
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    def refuse(*arguments: Any) -> None:
        raise AssertionError("something was compiled again")

    with monkeypatch.context() as patch:
        for name in ("compile_module", "make_plan", "kernel_code", "load_object"):
            patch.setattr(program, name, refuse)
        sys.setprofile(count)
        try:
            function(x)
        finally:
            sys.setprofile(None)
    return calls


def test_a_second_call_runs_no_python_for_each_operation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, many = (_calls_of_second_call(n, monkeypatch) for n in (3, 60))
    assert many == few


def _resources() -> tuple[int, int, int]:
    """Resident kilobytes, threads and open files of this process."""
    status = Path("/proc/self/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    threads = int(status.split("Threads:")[1].split()[0])
    return resident, threads, len(os.listdir("/proc/self/fd"))


@linux
def test_programs_that_are_gone_give_their_memory_back() -> None:
    x = floats(40, 30)

    def once(number: int) -> None:
        function = lambda v: [ops.exp(ops.multiply(v, 1.0 + number % 3))]  # noqa: E731
        Program(traced(function, x))([x])

    for number in range(30):
        once(number)
    gc.collect()
    before = _resources()
    for number in range(200):
        once(number)
    gc.collect()
    after = _resources()
    assert after[0] - before[0] < 4000
    assert after[1:] == before[1:]


# ---- many callers --------------------------------------------------------------------


def test_threads_of_python_call_the_same_and_other_programs() -> None:
    x, w, b = floats(64, 50), floats(50, 70), floats(70)
    same = Program(traced(lambda *v: [layer(*v)], x, w, b))
    others = [
        Program(traced(lambda v, n=n: [ops.multiply(ops.tanh(v), n + 0.5)], x))
        for n in range(4)
    ]
    (right,) = same([x, w, b])
    wanted = [other([x])[0] for other in others]

    def work(number: int) -> bool:
        for _ in range(40):
            (result,) = same([x, w, b])
            (other,) = others[number % 4]([x])
            if not (result == right).all() or not (other == wanted[number % 4]).all():
                return False
        return True

    with ThreadPoolExecutor(6) as callers:
        assert all(callers.map(work, range(6)))


# ---- other processes -----------------------------------------------------------------

TRAIN = """
import hashlib, numpy as np, chainrule as cr
from chainrule import ops
from chainrule.loops import Loop
random = np.random.default_rng(0)
x = random.normal(size=(256, 96)).astype("float32")
def step(state, batch):
    def loss(w, v):
        h = cr.relu(cr.matmul(batch, w))
        return cr.mean((cr.matmul(h, v) - batch) ** 2)
    value, (dw, dv) = cr.value_and_grad(loss, argnums=(0, 1))(*state)
    w, v = state
    return (w - 0.1 * dw, v - 0.1 * dv), cr.reshape(value, (1,))
loop = Loop(step)
state = [random.normal(size=s).astype("float32") / 10 for s in ((96, 130), (130, 96))]
loop.begin(tuple(map(cr.asarray, state)), x)
losses = loop.run(np.arange(256), 64)
"""
PRINT = """
digest = hashlib.sha256(losses.numpy().tobytes())
for value in loop.state():
    digest.update(value.numpy().tobytes())
print(digest.hexdigest())
"""


def python(
    code: str, *, wrapper: Sequence[str] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """The result of running `code` in a process of its own."""
    root = Path(__file__).parents[2]
    paths = [str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}
    return subprocess.run(
        [*wrapper, sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def output_of(code: str, **variables: str) -> str:
    done = python(code, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_training_gives_the_same_bits_for_any_number_of_threads() -> None:
    results = {output_of(TRAIN + PRINT, CHAINRULE_THREADS=n) for n in ("1", "2", "3")}
    assert len(results) == 1


def test_two_processes_fill_one_cache(tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    with ThreadPoolExecutor(2) as callers:
        runs = callers.map(
            lambda _: python(TRAIN + PRINT, CHAINRULE_CACHE=cache), range(2)
        )
        first, second = runs
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout == second.stdout
    assert output_of(TRAIN + PRINT, CHAINRULE_CACHE=cache) == first.stdout.strip()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    usual = output_of(TRAIN + PRINT)
    places = {"CHAINRULE_CACHE": str(blocker / "cache")}
    assert output_of(TRAIN + PRINT, **places) == usual
    home = {"HOME": "/proc", "XDG_CACHE_HOME": "", "CHAINRULE_CACHE": ""}
    assert output_of(TRAIN + PRINT, **home) == usual


FORK = """
import os, sys, threading
first = [value.numpy() for value in loop.state()]
busy = threading.Event()
def again():
    other = Loop(step)
    other.begin(tuple(map(cr.asarray, state)), x)
    while not busy.is_set():
        other.run(np.arange(256), 64)
worker = threading.Thread(target=again); worker.start()
import time; time.sleep(0.2)
import warnings; warnings.simplefilter("ignore")
child = os.fork()
if not child:
    mine = Loop(step)
    mine.begin(tuple(map(cr.asarray, state)), x)
    mine.run(np.arange(256), 64)
    same = all((a.numpy() == b).all() for a, b in zip(mine.state(), first))
    os._exit(0 if same else 3)
_, status = os.waitpid(child, 0)
busy.set(); worker.join()
loop.run(np.arange(256), 64)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_programs_run_in_the_child_of_a_fork() -> None:
    for threads in ("1", "3"):
        done = python(TRAIN + FORK, CHAINRULE_THREADS=threads)
        assert done.returncode == 0, done.stderr


EXIT = """
import atexit, threading
def last():
    loop.run(np.arange(256), 64)
    print("ran", flush=True)
atexit.register(last)
def forever():
    other = Loop(step)
    other.begin(tuple(map(cr.asarray, state)), x)
    while True:
        other.run(np.arange(256), 64)
threading.Thread(target=forever, daemon=True).start()
"""


def test_programs_run_at_the_exit_of_the_interpreter() -> None:
    assert output_of(TRAIN + EXIT, CHAINRULE_THREADS="2") == "ran"


# ---- memcheck ------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is missing")
def test_memcheck_finds_no_invalid_access(tmp_path: Path) -> None:
    # it knows no AVX-512, and its processor is not the one at hand: another target
    narrow = """
from chainrule.compiler.llvm_types import binding
binding.get_host_cpu_name = lambda: "haswell"
flags = {"avx": True, "avx2": True, "fma": True, "bmi": True, "bmi2": True}
class Features(dict):
    def flatten(self):
        return ",".join("+" + name for name in self)
binding.get_host_cpu_features = lambda: Features(flags)
"""
    small = {"(256, 96)": "(16, 9)", "256": "16", "96": "9", "130": "13", "64": "5"}
    code = narrow + TRAIN + "print('done')"
    for old, new in small.items():
        code = code.replace(old, new)
    log, cache = tmp_path / "log", str(tmp_path / "cache")
    # what the first run compiles, the second only loads: valgrind is slow
    assert output_of(code, CHAINRULE_CACHE=cache) == "done"
    done = python(
        code,
        wrapper=["valgrind", "--error-limit=no", f"--log-file={log}"],
        PYTHONMALLOC="malloc",
        CHAINRULE_CACHE=cache,
        CHAINRULE_THREADS="2",
    )
    report = log.read_text()
    assert done.stdout.strip() == "done", done.stderr + report[-2000:]
    contexts = re.split(r"^==\d+== \n", report, flags=re.MULTILINE)
    # the loader of glibc reads strings by words
    invalid = [c for c in contexts if "Invalid" in c and "dl-load.c" not in c]
    assert invalid == []
