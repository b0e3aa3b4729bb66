"""From a graph to a plan: kernels in order, buffers, threads and barriers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from chainrule.compiler.build import KernelBuilder
from chainrule.compiler.fuse import (
    Group,
    Grouping,
    depends,
    find_roots,
    schedule,
    view_base,
)
from chainrule.compiler.index import of
from chainrule.compiler.kernel import (
    ContractKernel,
    Fold,
    Kernel,
    LibraryKernel,
    Write,
)
from chainrule.compiler.lower import Store, dense_strides, padded_strides
from chainrule.compiler.memory import Arena, Lifetime, plan_arena
from chainrule.compiler.passes import drop_dead, inline_calls, simplify
from chainrule.compiler.passes.arrange import arrange_operands, separate_outputs
from chainrule.compiler.passes.rebuild import Builder
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Shape, Spec
from chainrule.ir.value import Node, Value
from chainrule.ops import identity

PARALLEL_WORK = 20_000  # operations from which on a kernel is shared by threads


@dataclass(frozen=True)
class Step:
    """One kernel in the program.

    Attributes:
        kernel: what it does.
        values: the values in its buffers.
        work: an estimate of its operations.
        parallel: whether threads share it; otherwise the first does it.
        barrier: whether every thread waits for the others before it.
    """

    kernel: Kernel
    values: tuple[Value, ...]
    work: int
    parallel: bool
    barrier: bool


@dataclass(frozen=True)
class Plan:
    """A program before code is made.

    Attributes:
        graph: the simplified graph.
        steps: kernels in order.
        stores: how each stored value is laid out, by identity.
        arena: where intermediate values lie.
        over: for each value that is written over an input, by identity: that input.
        codes: the messages of bounds checks.
    """

    graph: Graph
    steps: tuple[Step, ...]
    stores: dict[int, Store]
    arena: Arena
    over: dict[int, Value]
    codes: list[tuple[Node, int]] = field(default_factory=list)


def state_strides(spec: Spec) -> Shape:
    """The layout of a value that stays inside a program from step to step."""
    return padded_strides(spec.shape, spec.dtype.itemsize)


def make_plan(
    graph: Graph, donations: Sequence[tuple[int, int]] = (), guard: int = 0
) -> Plan:
    """Simplify `graph`, fuse it into kernels and place its values.

    Args:
        graph: what the program computes.
        donations: pairs of an input and the output that takes its place in memory; both
            have the layout of `state_strides`, other inputs and outputs are dense.
        guard: bytes to leave unused behind each block of memory.
    """
    graph = simplify(inline_calls(graph))
    graph, forced = arrange_operands(graph)
    graph = drop_dead(separate_outputs(graph))
    roots = find_roots(graph, forced)
    stores = _stores(graph, roots, donations)
    grouping = Grouping(stores)
    for root in roots:
        grouping.add(root)
    over = _donate(graph, grouping, stores, donations)
    groups = schedule(grouping.groups)
    return _assemble(graph, groups, stores, (over, donations), guard)


def _stores(
    graph: Graph, roots: Sequence[Value], donations: Sequence[tuple[int, int]]
) -> dict[int, Store]:
    """Layouts of inputs, constants and everything that is computed in loops."""
    stores: dict[int, Store] = {}
    for value in (*graph.inputs, *graph.constants(), *graph.outputs):
        stores[id(value)] = Store(value, dense_strides(value.spec.shape))
    for value in roots:
        stores.setdefault(id(value), Store(value, state_strides(value.spec)))
    for source, target in donations:
        for value in (graph.inputs[source], graph.outputs[target]):
            stores[id(value)] = Store(value, state_strides(value.spec))
    return stores


def _donate(
    graph: Graph,
    grouping: Grouping,
    stores: dict[int, Store],
    donations: Sequence[tuple[int, int]],
) -> dict[int, Value]:
    """For each value that is written over an input, by identity: that input.

    An output may be written over an input once everybody else has read it; the group
    that writes may read it itself, element by element. Where that cannot be, a copy is
    made at the end of the step.
    """
    over: dict[int, Value] = {}
    copies: list[tuple[Value, Value]] = []
    for source, target in donations:
        value, output = graph.inputs[source], graph.outputs[target]
        home = grouping.home[id(output)]
        readers = [g for g in grouping.groups if id(value) in g.reads and g is not home]
        late = any(depends(reader, home) for reader in readers)
        if late or not _reads_in_place(grouping, home, value):
            copies.append((value, output))
            continue
        home.after.update(readers)
        over[id(output)] = value
    everything = set(grouping.groups)
    for value, output in copies:
        copy = Builder().apply(identity.primitive, (output,), {})[0]
        stores[id(copy)] = Store(copy, state_strides(copy.spec))
        group = grouping.add_alone(copy)
        group.after |= everything
        over[id(copy)] = value
    return over


def _reads_in_place(grouping: Grouping, group: Group, value: Value) -> bool:
    """Whether `group` reads `value` only at the element that it is about to write."""
    if id(value) not in group.reads:
        return True
    if group.kind == "library":
        return _is_added_to(group, value, grouping.stores)
    if value.spec.shape != group.domain:
        return False
    roots = group.roots
    if group.kind == "contract":
        root, *roots = roots
        assert root.node is not None
        stores = grouping.stores
        if any(view_base(operand, stores) is value for operand in root.node.inputs):
            return False
    point = {tuple(map(of, group.rows))}
    return all(
        grouping.reads(group, root).get(id(value), point) <= point for root in roots
    )


def _is_added_to(group: Group, value: Value, stores: dict[int, Store]) -> bool:
    """Whether `group` scatters into `value`, and reads it for nothing else."""
    node = group.roots[0].node
    assert node is not None
    first, *others = node.inputs
    return (
        node.primitive.name == "scatter_add"
        and first is value
        and all(view_base(other, stores) is not value for other in others)
    )


# ---- assembling ----------------------------------------------------------------------


def _assemble(
    graph: Graph,
    groups: Sequence[Group],
    stores: dict[int, Store],
    donated: tuple[dict[int, Value], Sequence[tuple[int, int]]],
    guard: int,
) -> Plan:
    over, donations = donated
    kept = _kept(graph, groups) | over.keys()
    codes: list[tuple[Node, int]] = []
    builder = KernelBuilder(stores, kept, codes)
    built = [builder.build(group) for group in groups if not _is_empty(group)]
    inside = {id(graph.outputs[target]) for _, target in donations} - over.keys()
    outside = {id(value) for value in (*graph.inputs, *graph.outputs)} | over.keys()
    arena = plan_arena(_lifetimes(built, stores, outside - inside), guard)
    steps: list[Step] = []
    since: list[tuple[Step, dict[int, bool]]] = []
    for kernel, values in built:
        work = work_of(kernel)
        step = Step(kernel, tuple(values), work, work >= PARALLEL_WORK, False)
        touched = _touched(step, over)
        if any(_conflict(step, touched, *other, arena) for other in since):
            step = replace(step, barrier=True)
            since = []
        since.append((step, touched))
        steps.append(step)
    return Plan(graph, tuple(steps), stores, arena, over, codes)


def _kept(graph: Graph, groups: Sequence[Group]) -> set[int]:
    """The ids of values that are read outside of the group that makes them."""
    kept = {id(value) for value in graph.outputs}
    for group in groups:
        own = {id(root) for root in group.roots}
        kept |= group.reads - own
    return kept


def _is_empty(group: Group) -> bool:
    """Whether there is no element to compute."""
    return all(0 in root.spec.shape for root in group.roots)


def _touched(step: Step, over: dict[int, Value]) -> dict[int, bool]:
    """The memory that a step touches, by whose it is, and whether it is written."""
    written = written_buffers(step.kernel)
    touched: dict[int, bool] = {}
    for number, value in enumerate(step.values):
        key = id(over.get(id(value), value))
        touched[key] = touched.get(key, False) or number in written
    return touched


def _conflict(
    step: Step,
    touched: dict[int, bool],
    other: Step,
    others: dict[int, bool],
    arena: Arena,
) -> bool:
    """Whether a barrier must stand between two steps."""
    if not step.parallel and not other.parallel:
        return False  # the first thread does both, in order
    for key, written in touched.items():
        for other_key, other_written in others.items():
            if (written or other_written) and arena.overlap(key, other_key):
                return True
    return False


def written_buffers(kernel: Kernel) -> set[int]:
    """The numbers of the buffers that a kernel writes."""
    if isinstance(kernel, LibraryKernel):
        return {len(kernel.shapes) - 1}
    return {stage.buffer for stage in kernel.stages if isinstance(stage, Write)}


def _lifetimes(
    built: Sequence[tuple[Kernel, list[Value]]],
    stores: dict[int, Store],
    outside: set[int],
) -> list[Lifetime]:
    """Lives of the values that are computed, and whose memory is not `outside`."""
    spans: dict[int, tuple[int, int]] = {}
    for position, (_, values) in enumerate(built):
        for value in values:
            if id(value) not in outside and value.data is None:
                first, _ = spans.get(id(value), (position, position))
                spans[id(value)] = first, position
    lives = []
    for key, (first, last) in spans.items():
        store = stores[key]
        nbytes = store.extent * store.value.spec.dtype.itemsize
        lives.append(Lifetime(key, nbytes, first, last))
    return lives


def work_of(kernel: Kernel) -> int:
    """An estimate of the operations of a kernel."""
    if isinstance(kernel, LibraryKernel):
        return 8 * math.prod(kernel.shapes[-1])
    if isinstance(kernel, ContractKernel):
        points = math.prod(a.extent for a in (*kernel.outer, kernel.m, kernel.n))
        return points * (math.prod(kernel.sums) + 8 * len(kernel.stages)) // 8
    points = math.prod(axis.extent for axis in kernel.rows)
    points *= kernel.lane.extent if kernel.lane is not None else 1
    total = 0
    for stage in kernel.stages:
        own = math.prod(axis.extent for axis in stage.axes)
        total += points * own * (3 if isinstance(stage, Fold) else 4)
    return total // 4
