"""Native programs: a plan with its code, its memory and its tables."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import numpy as np

from chainrule.compiler.arenas import SHARED_BYTES, address_of, aligned, arenas
from chainrule.compiler.cache import object_key, objects
from chainrule.compiler.engine import (
    LoadedObject,
    compile_module,
    host_target,
    load_object,
)
from chainrule.compiler.inner import InnerLoop
from chainrule.compiler.kernel import (
    ContractKernel,
    Kernel,
    LibraryKernel,
    LoopKernel,
    Plan,
    ScanKernel,
    Step,
)
from chainrule.compiler.kernels.gemm import gemm_library, prepare_library
from chainrule.compiler.library import emit_library
from chainrule.compiler.lower import Store
from chainrule.compiler.nest import emit_loops
from chainrule.compiler.pace import Pace
from chainrule.compiler.plan import make_plan
from chainrule.compiler.product import called_function, emit_product, scratch_bytes
from chainrule.compiler.report import Report, make_report
from chainrule.compiler.runner import RECORD_WORDS, runner
from chainrule.compiler.sorting import workspace_bytes
from chainrule.compiler.text import fingerprint, show_kernel
from chainrule.compiler.threads import BARRIER_BYTES, default_threads, pool
from chainrule.errors import OutOfBoundsError
from chainrule.ir.dtype import float32, float64
from chainrule.ir.graph import Graph
from chainrule.ir.value import Value
from chainrule.ops import contract

Array = np.ndarray[Any, Any]
_KEPT_PROGRAMS = 16
_KEPT_BYTES = 1 << 22
_MEASURABLE = 2e-4  # seconds that a clock measures well
_loaded: WeakValueDictionary[str, LoadedObject] = WeakValueDictionary()


def emit_kernel(kernel: LoopKernel | ContractKernel | LibraryKernel) -> str:
    """The LLVM text of a kernel for the machine at hand."""
    if isinstance(kernel, LoopKernel):
        return emit_loops(kernel, host_target())
    if isinstance(kernel, ContractKernel):
        return emit_product(kernel, host_target())
    return emit_library(kernel, host_target())


def kernel_code(kernel: Kernel) -> LoadedObject:
    """The code of a kernel; equal kernels share it."""
    if isinstance(kernel, ScanKernel):
        return runner()[1]
    key = object_key(show_kernel(kernel), host_target().fingerprint)
    loaded = _loaded.get(key)
    if loaded is None:
        code = objects().get(key, lambda: compile_module(emit_kernel(kernel)))
        loaded = load_object(code)
        _loaded[key] = loaded
    return loaded


@dataclass(frozen=True)
class Stretch:
    """Steps of one program, as `runner` takes them.

    Attributes:
        words: what `runner` is told, up to the moves.
        held: the arrays that the words point into.
        moves: copies made before the first step: where to, where from, how many words
            of 8 bytes.
    """

    words: list[int]
    held: tuple[Array, ...]
    moves: Array | None = None


class Program:
    """A compiled graph.

    Args:
        graph: what to compute.
        donations: pairs of an input and the output that is written over it.
        threads: how many threads to use; where None, at most `CHAINRULE_THREADS` or one
            per core, by trial.
        guard: bytes left unused behind each intermediate value, for tests.
        plan: the plan of `graph`, where it is there already.

    Attributes:
        plan: the kernels, in order, and where values lie.
        inner: the programs of the steps of scans, by position; of one whose steps are
            spread over threads there is one for each.
        pace: how many threads run it.
        arena: where the values between inputs and outputs lie; None where much memory
            is needed, which is borrowed for each run.
    """

    def __init__(
        self,
        graph: Graph,
        donations: Sequence[tuple[int, int]] = (),
        *,
        threads: int | None = None,
        guard: int = 0,
        plan: Plan | None = None,
    ) -> None:
        begun = time.perf_counter()
        _prepare_libraries(graph)
        self.plan: Plan = plan or make_plan(graph, donations, guard)
        self.name = graph.name
        self.source = graph
        self._lock = threading.RLock()
        shared = any(step.parallel for step in self.plan.steps)
        self.threads = (threads or default_threads()) if shared else 1
        self._codes = [kernel_code(step.kernel) for step in self.plan.steps]
        runner()  # while building blocks are made; see `_prepare_libraries`
        self.pace = Pace(self.threads, fixed=threads is not None)
        # a program within another is told once where its values lie
        borrows = plan is None and not guard
        self._build_memory(borrows and self.plan.arena.nbytes > SHARED_BYTES)
        self.inner = {
            place: self._programs_of(step.kernel)
            for place, step in enumerate(self.plan.steps)
            if isinstance(step.kernel, ScanKernel)
        }
        self._build_tables()
        _alive.add(self)
        self.compile_seconds = time.perf_counter() - begun

    def _programs_of(self, kernel: ScanKernel) -> list[Program]:
        """The programs of the step of a scan: one, or for each thread its own."""
        graph, plan = kernel.plan.graph, kernel.plan
        if kernel.spread:
            alone = range(self.threads)
            return [Program(graph, threads=1, plan=plan) for _ in alone]
        return [Program(graph, threads=self.threads, plan=plan)]

    # ---- memory and tables -----------------------------------------------------------

    def _build_memory(self, borrows: bool) -> None:
        plan = self.plan
        self.arena = None if borrows else aligned(plan.arena.nbytes)
        if borrows:
            arenas.join(self, plan.arena.nbytes)
        self.status = np.zeros(max(self.threads, 1), np.int64)
        # threads may be in different kernels, so that only equal shares lie together
        room = 0
        self._scratch_at: dict[int, int] = {}
        for share in sorted({workspace(step.kernel) for step in plan.steps}):
            self._scratch_at[share] = room
            room += share * self.threads
        self.scratch = aligned(room)
        self._constants = {
            id(value): np.ascontiguousarray(value.data)
            for step in plan.steps
            for value in step.values
            if value.data is not None
        }
        self._base = 0 if self.arena is None else address_of(self.arena)
        self._places = {key: self._base + at for key, at in plan.arena.offsets.items()}
        for key, array in self._constants.items():
            self._places[key] = address_of(array)

    def _build_tables(self) -> None:
        words: list[int] = []
        self._slots: dict[int, list[int]] = {}
        self._order: tuple[tuple[int, ...], Array, Array] | None = None
        records = []
        self._loops: list[InnerLoop] = []
        for place, step in enumerate(self.plan.steps):
            at = len(words) * 8 + _entry_offset(step)
            flags = [int(step.parallel), int(step.barrier), step.chain, step.parts]
            records.append([self._entry(place), at, *flags])
            for value in step.values:
                owner = self.plan.over.get(id(value), value)
                self._slots.setdefault(id(owner), []).append(len(words))
                words.append(self._places.get(id(owner), 0))
            at = self._scratch_at[workspace(step.kernel)]
            words += [address_of(self.status), address_of(self.scratch) + at]
            words.append(self._last_word(place))
        self.table = np.array(words or [0], np.int64)
        inside = self.plan.arena.offsets
        places = [at for key in inside for at in self._slots.get(key, ())]
        self._in_arena = np.array(places, np.int64)
        self.records = np.array(records or [[0] * RECORD_WORDS], np.int64)
        self._barrier = aligned(BARRIER_BYTES)
        self._barrier[:] = 0
        self._records_at = address_of(self.records)
        # nobody waits where there is no barrier
        self._barrier_at = 0 if self.plan.apart else address_of(self._barrier)

    def _entry(self, place: int) -> int:
        """The address of the code of a step."""
        kernel, name = self.plan.steps[place].kernel, "kernel"
        if isinstance(kernel, ScanKernel):
            name = "spread" if kernel.spread else "scan"
        return self._codes[place].address(name)

    def _last_word(self, place: int) -> int:
        """What a kernel is given last: the building block, or the step of a scan."""
        step = self.plan.steps[place]
        if not isinstance(step.kernel, ScanKernel):
            return block_address(step)
        loop = InnerLoop(step.kernel, self.inner[place])
        self._loops.append(loop)
        return loop.address

    def begin_after_fork(self) -> None:
        """Forget a run of another thread, which the child of a fork does not have."""
        self._lock = threading.RLock()
        self._barrier[:] = 0
        self.status[:] = 0

    def slots_of(self, value: Value) -> list[int]:
        """The positions in the table that hold the address of `value`."""
        return self._slots.get(id(value), [])

    def _slots_of_all(self, values: tuple[int, ...]) -> tuple[Array, Array]:
        """The positions for values in this order, and which of them each is for."""
        if self._order is None or self._order[0] != values:
            pairs = [
                (slot, place)
                for place, value in enumerate(values)
                for slot in self._slots.get(value, ())
            ]
            slots, owners = np.array(pairs, np.int64).reshape(-1, 2).T
            self._order = values, slots, owners
        return self._order[1:]

    # ---- running ---------------------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within the block this thread alone may run the program, which has memory."""
        with self._lock:
            if self.arena is not None:
                yield
                return
            block = arenas.borrow(self.plan.arena.nbytes)
            try:
                base = address_of(block)
                self.table[self._in_arena] += base - self._base
                self._base = base
                yield
            finally:
                arenas.give_back(block)

    def launch(
        self,
        places: Sequence[tuple[Value, int]],
        steps: int = 1,
        moving: Sequence[tuple[Value, int]] = (),
        flush: bool = False,
    ) -> None:
        """Run `steps` steps with inputs and outputs at these addresses.

        Args:
            places: for each input and output its address.
            steps: how often the program runs.
            moving: values whose address moves by so many bytes after each step.
            flush: whether subnormal numbers count as 0.

        Raises:
            OutOfBoundsError: an index pointed outside its axis.
        """
        with self.alone():
            table = self.addressed(places)
            patches = self.patches(moving)
            while steps:
                count, threads = self.pace.next(steps)
                tables = np.empty((threads, len(table)), np.int64)
                tables[:] = table
                stretch = self.stretch(count, tables, patches)
                self._run(self.context([stretch], flush), count, threads)
                table = tables[0]
                steps -= count
            self._check_status()

    def addressed(self, places: Sequence[tuple[Value, int]]) -> Array:
        """The table with inputs and outputs at these addresses."""
        table = self.table.copy()
        slots, owners = self._slots_of_all(tuple(id(value) for value, _ in places))
        table[slots] = np.array([place for _, place in places], np.int64)[owners]
        return table

    def patches(self, moving: Sequence[tuple[Value, int]]) -> Array:
        """Words that move the addresses of values by so many bytes after each step."""
        found = [
            [8 * slot, by] for value, by in moving for slot in self.slots_of(value)
        ]
        return np.array(found, np.int64).reshape(-1, 2)

    def stretch(self, steps: int, tables: Array, patches: Array) -> Stretch:
        """So many steps, with a table for each thread."""
        words = [steps, len(self.plan.steps), self._records_at]
        words += [address_of(tables), 8 * tables.shape[-1]]
        return Stretch([*words, address_of(patches), len(patches)], (tables, patches))

    def run_with(
        self, others: Sequence[Program], context: Array, steps: int, threads: int
    ) -> None:
        """Run stretches of this program and of others, subnormal numbers being 0.

        Their tables were made by who is `alone_with` the programs.

        Args:
            others: the other programs.
            context: what `context` gave for the stretches.
            steps: how many steps they are.
            threads: how many threads take them.

        Raises:
            OutOfBoundsError: an index pointed outside its axis.
        """
        self._run(context, steps, threads)
        for program in (self, *others):
            program._check_status()

    def _run(self, context: Array, steps: int, threads: int) -> None:
        entry, _ = runner()
        begun = time.perf_counter()
        pool().run(entry, address_of(context), threads)
        self.pace.learn(steps, threads, time.perf_counter() - begun)

    def context(self, stretches: Sequence[Stretch], flush: bool = False) -> Array:
        """What the native loop is told to run."""
        words = [len(stretches), self._barrier_at, int(flush)]
        for stretch in stretches:
            moves = stretch.moves
            words += stretch.words
            words += (0, 0) if moves is None else (address_of(moves), len(moves))
        return np.array(words, np.int64)

    def _check_status(self) -> None:
        for inner in itertools.chain(*self.inner.values()):
            inner._check_status()
        if not self.status.any():
            return
        code = int(self.status.max())
        self.status[:] = 0
        node, extent = self.plan.codes[code - 1]
        raise OutOfBoundsError(
            "an index points outside its axis",
            where=node.primitive.name,
            expected=f"-{extent} to {extent - 1}",
        )

    def __call__(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """The outputs for these inputs."""
        graph = self.plan.graph
        inputs = [np.ascontiguousarray(array) for array in arrays]
        outputs = [np.empty(v.spec.shape, v.spec.dtype.numpy) for v in graph.outputs]
        places = [
            (value, address_of(array))
            for value, array in zip(
                (*graph.inputs, *graph.outputs), (*inputs, *outputs), strict=True
            )
        ]
        self.launch(places)
        return tuple(outputs)

    # ---- reporting -------------------------------------------------------------------

    def report(self) -> Report:
        """What every kernel costs, measured on values made up for it."""
        return make_report(self)

    def time_kernel(self, position: int, repetitions: int) -> float:
        """Median seconds of one kernel on one thread, on memory of its own."""
        entry, _ = runner()
        step = self.plan.steps[position]
        # what is written over its input in the program, is here
        owners = [self.plan.over.get(id(value), value) for value in step.values]
        room = {id(v): _workbench(self.plan.stores[id(v)]) for v in owners}
        words = [address_of(room[id(owner)]) for owner in owners]
        status, scratch = np.zeros(1, np.int64), aligned(workspace(step.kernel))
        words += [address_of(status), address_of(scratch)]
        at = _entry_offset(step)
        last = (int(self.records[position][1]) - at) // 8 + len(words)
        words.append(int(self.table[last]))
        table = np.array(words, np.int64)
        record = np.array([self._entry(position), at, 1, 0, 1, 1], np.int64)
        times: list[float] = []
        rounds = 1
        while len(times) < repetitions:
            context = self._context(rounds, record, table)
            start = time.perf_counter()
            pool().run(entry, address_of(context), 1)
            spent = time.perf_counter() - start
            if spent < _MEASURABLE:
                rounds *= 4
                continue
            times.append(spent / rounds)
        return float(np.median(times))

    def _context(self, steps: int, record: Array, table: Array) -> Array:
        """A context that runs one kernel on one thread."""
        words = [1, address_of(self._barrier), 0]
        words += [steps, 1, address_of(record), address_of(table), 8 * len(table)]
        return np.array([*words, 0, 0, 0, 0], np.int64)

    def show(self) -> str:
        """The kernels in order, as text."""
        parts = []
        for number, step in enumerate(self.plan.steps):
            who = "shared" if step.parallel else "first thread"
            after = ", after a barrier" if step.barrier else ""
            if step.chain > 1:
                after += f", a chain of {step.chain} in {step.parts} parts"
            parts.append(f"# {number} {step.kernel.name}: {who}{after}")
            parts.append(show_kernel(step.kernel))
        return "\n".join(parts)


def workspace(kernel: Kernel) -> int:
    """The bytes of scratch memory that each thread needs."""
    if isinstance(kernel, LibraryKernel):
        return workspace_bytes(kernel)
    return scratch_bytes(kernel) if isinstance(kernel, ContractKernel) else 0


def _entry_offset(step: Step) -> int:
    """At which byte the arguments of a step begin, as its code sees them.

    A scan sees its descriptor first, and the addresses of its buffers before it.
    """
    return 8 * (len(step.values) + 2) if isinstance(step.kernel, ScanKernel) else 0


@contextmanager
def alone_with(programs: Iterable[Program]) -> Iterator[None]:
    """Within the block this thread alone may run these programs."""
    with ExitStack() as held:
        for program in sorted(
            set(programs), key=id
        ):  # one order of locks for everybody
            held.enter_context(program.alone())
        yield


class _Programs:
    """Programs by what they compute, so that equal graphs share one.

    The last few stay, as when a model is made and trained again and again; others go
    with whoever holds them.
    """

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, Program] = WeakValueDictionary()
        self._recent: OrderedDict[bytes, Program] = OrderedDict()
        self._keys: WeakKeyDictionary[Graph, tuple[Any, bytes]] = WeakKeyDictionary()
        self.begin_after_fork()

    def begin_after_fork(self) -> None:
        """Let the child of a fork in, whoever was inside."""
        self._lock = threading.Lock()

    def get(self, graph: Graph, donations: Sequence[tuple[int, int]] = ()) -> Program:
        """A program for `graph`; `donations` as in `Program`."""
        key = self._key_of(graph, donations)
        with self._lock:
            program = self._known.get(key)
            if program is not None:
                self._keep(key, program)
                return program
        program = Program(graph, donations)
        with self._lock:
            self._known[key] = program
            self._keep(key, program)
        return program

    def _key_of(self, graph: Graph, donations: Sequence[tuple[int, int]]) -> bytes:
        """The fingerprint, which is computed once for a graph."""
        known = self._keys.get(graph)
        if known is None or known[0] != donations:
            known = donations, fingerprint(graph, donations)
            self._keys[graph] = known
        return known[1]

    def _keep(self, key: bytes, program: Program) -> None:
        if program.plan.arena.nbytes > _KEPT_BYTES:
            return
        self._recent[key] = program
        self._recent.move_to_end(key)
        while len(self._recent) > _KEPT_PROGRAMS:
            self._recent.popitem(last=False)


programs = _Programs()
_alive: WeakSet[Program] = WeakSet()


def _begin_after_fork() -> None:
    programs.begin_after_fork()
    arenas.begin_after_fork()
    for program in list(_alive):
        program.begin_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_after_fork)


def _workbench(store: Store) -> Array:
    """Memory for a value, filled with numbers that no operation trips over."""
    dtype = store.value.spec.dtype
    room = aligned(max(store.extent, 1) * dtype.itemsize).view(dtype.numpy)
    room[:] = 0.5 if dtype.is_float else 0
    return room


def _prepare_libraries(graph: Graph) -> None:
    """Have another core compile the building blocks that products will call."""
    if default_threads() == 1:
        return
    products = [node for node in graph.nodes if node.primitive is contract.primitive]
    for dtype in {node.outputs[0].spec.dtype for node in products} & {float32, float64}:
        prepare_library(dtype.name)


def block_address(step: Step) -> int:
    """The address of the building block that a kernel calls, or 0."""
    if not isinstance(step.kernel, ContractKernel):
        return 0
    library = gemm_library(step.kernel.product.dtype.name)
    return library.address(called_function(step.kernel))
