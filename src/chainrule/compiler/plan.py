"""From a graph to a plan: kernels in order, buffers, threads and barriers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from chainrule.compiler.build import KernelBuilder
from chainrule.compiler.engine import host_target
from chainrule.compiler.frugal import in_frugal_order
from chainrule.compiler.fuse import UPDATES, Group, Grouping, depends, find_roots
from chainrule.compiler.in_place import written_over
from chainrule.compiler.index import of
from chainrule.compiler.junctions import junctions
from chainrule.compiler.kernel import (
    ContractKernel,
    Kernel,
    LoopKernel,
    Plan,
    ScanKernel,
    Step,
)
from chainrule.compiler.lower import Store, dense_strides, padded_strides
from chainrule.compiler.memory import Arena, Lifetime, plan_arena
from chainrule.compiler.nest import lanes_for
from chainrule.compiler.passes import drop_dead, inline_calls, simplify
from chainrule.compiler.passes.arrange import (
    arrange_operands,
    separate_outputs,
    separate_states,
)
from chainrule.compiler.passes.halves import sum_widely
from chainrule.compiler.passes.loops import improve_loops
from chainrule.compiler.passes.rebuild import Builder
from chainrule.compiler.passes.split import split_sums
from chainrule.compiler.passes.stretches import sum_in_stretches
from chainrule.compiler.rows import rows_over_rows
from chainrule.compiler.samples import run_apart
from chainrule.compiler.scan import Layouts
from chainrule.compiler.shares import cut_axis, own_buffers
from chainrule.compiler.view import view_base
from chainrule.compiler.wholes import Wholes, find_wholes
from chainrule.compiler.work import work_of, written_buffers
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Shape, Spec
from chainrule.ir.value import Node, Value
from chainrule.ops import identity

PARALLEL_WORK = 20_000  # operations from which on a kernel is shared by threads


def state_strides(spec: Spec) -> Shape:
    """The layout of a value that stays inside a program from step to step."""
    return padded_strides(spec.shape, spec.dtype.itemsize)


def make_plan(
    graph: Graph,
    donations: Sequence[tuple[int, int]] = (),
    guard: int = 0,
    layouts: tuple[Layouts, Layouts] = ({}, {}),
    samples: int = 0,
    alone: bool = False,
) -> Plan:
    """Simplify `graph`, fuse it into kernels and place its values.

    Args:
        graph: what the program computes.
        donations: pairs of an input and the output that takes its place in memory; both
            have the layout of `state_strides`, other inputs and outputs are dense.
        guard: bytes to leave unused behind each block of memory.
        layouts: strides of inputs and of outputs that are not dense, by position.
        samples: of the step of a loop: how many samples threads may keep to.
        alone: whether one thread runs all of it.
    """
    graph = improve_loops(simplify(inline_calls(graph)))
    graph = sum_widely(graph)
    graph = split_sums(graph, {id(graph.inputs[source]) for source, _ in donations})
    graph = sum_in_stretches(graph)
    graph, forced = arrange_operands(graph)
    graph = separate_states(drop_dead(separate_outputs(graph, donations)))
    kept = junctions(graph, find_roots(graph, forced))
    wholes = _wholes(graph, (forced, kept), donations, layouts)
    graph, forced = wholes.graph, forced | wholes.computed()
    roots = [v for v in find_roots(graph, forced, kept) if id(v) not in wholes.parts]
    stores = _stores(graph, roots, donations, layouts) | wholes.stores
    grouping = Grouping(stores, forced, wholes.parts)
    for root in roots:
        if id(root) in wholes.fills:
            _add_fill(grouping, root, wholes.fills[id(root)])
        else:
            grouping.add(root)
    over = _donate(graph, grouping, stores, donations) | _carried(graph)
    stored = _Stored(stores, forced, over, wholes)
    return _assemble(graph, grouping.groups, stored, donations, guard, samples, alone)


def _wholes(
    graph: Graph,
    stored: tuple[set[int], set[int]],
    donations: Sequence[tuple[int, int]],
    layouts: tuple[Layouts, Layouts],
) -> Wholes:
    """The values that are made in parts; those of the state are not."""
    roots = find_roots(graph, *stored)
    stores = _stores(graph, roots, donations, layouts)
    fixed = {id(graph.outputs[target]) for _, target in donations}
    return find_wholes(graph, roots, stores, fixed)


def _add_fill(grouping: Grouping, fill: Value, before: Value | None) -> None:
    """A fill in a group of its own, `before` which something is computed: the memory of
    both is needed from then on.
    """
    group = grouping.add_alone(fill)
    if before is not None:
        group.after.add(grouping.home[id(before)])


def _carried(graph: Graph) -> dict[int, Value]:
    """For each last state of a scan, by identity: the first, which it is made in."""
    over: dict[int, Value] = {}
    for node in graph.nodes:
        if node.primitive.name == "scan":
            carried, sequences = node.params["carried"], node.params["sequences"]
            end = len(node.inputs) - sequences
            first = node.inputs[end - carried : end]
            over |= zip(map(id, node.outputs[:carried]), first, strict=True)
    return over


def _stores(
    graph: Graph,
    roots: Sequence[Value],
    donations: Sequence[tuple[int, int]],
    layouts: tuple[Layouts, Layouts],
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
    for values, strides in zip((graph.inputs, graph.outputs), layouts, strict=True):
        for place, own in strides.items():
            stores[id(values[place])] = Store(values[place], own)
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
        if output is value:
            continue
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
    if group.kind == "scan":
        return False
    if group.kind == "library":
        return _is_updated(group, value)
    if value.spec.shape != group.domain:
        return False
    roots = group.roots
    if group.kind == "contract":
        root, *roots = roots
        assert root.node is not None
        copies = grouping.copies
        if any(view_base(operand, copies) is value for operand in root.node.inputs):
            return False
    point = {tuple(map(of, group.rows))}
    return all(
        grouping.reads(group, root).get(id(value), point) <= point for root in roots
    )


def _is_updated(group: Group, value: Value) -> bool:
    """Whether `group` changes some places of `value`, and reads it for nothing else."""
    node = group.roots[0].node
    assert node is not None
    first, *others = node.inputs
    return (
        node.primitive.name in UPDATES
        and first is value
        and all(other is not value for other in others)
    )


# ---- assembling ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Use:
    """How a step touches memory.

    Attributes:
        written: whether it writes there.
        own: the extent of the leading axis, where each thread touches only its share of
            that; 0 where any thread may touch anything.
        parallel: whether threads share the step.
    """

    written: bool
    own: int
    parallel: bool

    def clashes(self, other: _Use, same: bool) -> bool:
        """Whether a barrier must stand between two uses, of the `same` value or not."""
        if not (self.written or other.written):
            return False
        if not (self.parallel or other.parallel):
            return False  # the first thread does both, in order
        both = self.parallel and other.parallel
        return not (same and both and self.own and self.own == other.own)


@dataclass(frozen=True, eq=False)
class _Piece:
    """A kernel on its way to becoming a step."""

    kernel: Kernel
    values: tuple[Value, ...]
    work: int
    uses: dict[int, _Use]

    @property
    def parallel(self) -> bool:
        """Whether threads share it."""
        return any(use.parallel for use in self.uses.values())

    def shared(self) -> _Piece:
        """The same, shared by threads."""
        uses = {key: replace(use, parallel=True) for key, use in self.uses.items()}
        return replace(self, uses=uses)

    def by_one(self) -> _Piece:
        """The same, done by one thread."""
        uses = {key: replace(use, parallel=False) for key, use in self.uses.items()}
        return replace(self, uses=uses)

    def owns(self) -> set[tuple[int, int]]:
        """What each thread touches a share of: whose memory, and the extent."""
        return {(key, use.own) for key, use in self.uses.items() if use.own}


@dataclass(frozen=True)
class _Stored:
    """Where values are.

    Attributes:
        stores: their layouts, by identity.
        copies: the ids of operands that were copied into an order of their own.
        over: for each value that is written over another, by identity: that other.
        wholes: the values that are made in parts.
    """

    stores: dict[int, Store]
    copies: set[int]
    over: dict[int, Value]
    wholes: Wholes

    def memory(self, value: Value) -> Value:
        """The value whose memory `value` lies in."""
        owner = self.wholes.within.get(id(value), value)
        return self.over.get(id(owner), owner)

    def keys(self, value: Value) -> list[int]:
        """Names of the pieces of memory that `value` consists of."""
        parts = self.wholes.parts.get(id(value))
        if parts is not None:
            return [id(part) for part in parts]
        return [id(self.over.get(id(value), value))]

    def overlap(self, arena: Arena, key: int, other: int) -> bool:
        """Whether two pieces of memory share bytes: parts of one whole do not."""
        within = self.wholes.within
        wholes = [id(within[k]) if k in within else k for k in (key, other)]
        if key == other:
            return True
        return wholes[0] != wholes[1] and arena.overlap(*wholes)


def _assemble(
    graph: Graph,
    groups: Sequence[Group],
    stored: _Stored,
    donations: Sequence[tuple[int, int]],
    guard: int,
    samples: int,
    alone: bool,
) -> Plan:
    stores, over = stored.stores, stored.over | stored.wholes.within
    kept = _kept(graph, groups) | over.keys()
    codes: list[tuple[Node, int]] = []
    plan_step = partial(_plan_step, guard=guard, within=alone)
    builder = KernelBuilder(stores, kept, codes, stored.copies, plan_step=plan_step)
    built = {group: builder.build(group) for group in groups if not _is_empty(group)}
    taken = {id(value) for value in (*graph.inputs, *graph.outputs)}
    taken |= _fixed(stored)
    stored = replace(stored, over=stored.over | rows_over_rows(built, stored, taken))
    over = stored.over | stored.wholes.within
    apart = [] if alone else _run_apart(list(built.values()), stored, samples)
    if alone:
        frugal = in_frugal_order(groups, _room_of(graph, groups, stored))
        ordered = [
            _piece(*built[group], stored).by_one() for group in frugal if group in built
        ]
    else:
        own = apart or _shared(built.values(), stored)
        ordered = _in_order(groups, dict(zip(built, own, strict=True)))
    given = {id(value) for value in graph.inputs}
    inside = {id(graph.outputs[target]) for _, target in donations} - over.keys()
    outside = given | ({id(value) for value in graph.outputs} - inside)
    lives = _lifetimes(ordered, stored, outside)
    if alone:
        pairs = [(piece.kernel, piece.values) for piece in ordered]
        stored = replace(stored, over=stored.over | written_over(pairs, lives, stores))
        over = stored.over | stored.wholes.within
        lives = _lifetimes(ordered, stored, outside)
    if apart:  # a thread may be anywhere
        lives = [replace(life, first=0, last=len(ordered)) for life in lives]
    arena = plan_arena(lives, guard)
    barriers = _barriers(ordered, partial(stored.overlap, arena))
    if apart:
        barriers = [False] * len(ordered)
    steps = tuple(
        Step(piece.kernel, piece.values, piece.work, piece.parallel, barrier)
        for piece, barrier in zip(ordered, barriers, strict=True)
    )
    return Plan(graph, steps, stores, arena, over, codes, bool(apart))


def _plan_step(
    graph: Graph,
    donations: Sequence[tuple[int, int]],
    *,
    layouts: tuple[Layouts, Layouts],
    samples: int,
    alone: bool,
    guard: int,
    within: bool,
) -> Plan:
    """The plan of the step of a loop, `within` what one thread runs or not."""
    alone = alone or within
    return make_plan(graph, donations, guard, layouts, samples, alone)


def _room_of(graph: Graph, groups: Sequence[Group], stored: _Stored) -> dict[int, int]:
    """Bytes of the values that have memory of their own, by identity."""
    kept = _kept(graph, groups) - {id(value) for value in graph.outputs}
    roots = [root for group in groups for root in group.roots]
    return {
        id(root): root.spec.nbytes
        for root in roots
        if id(root) in kept and stored.memory(root) is root
    }


def _fixed(stored: _Stored) -> set[int]:
    """The ids of values that lie in, or make room for, others."""
    over, wholes = stored.over, stored.wholes
    others = (*over.values(), *wholes.within.values())
    return {*over, *wholes.within, *wholes.parts, *map(id, others)}


def _run_apart(
    built: list[tuple[Kernel, list[Value]]], stored: _Stored, samples: int
) -> list[_Piece]:
    """Kernels whose threads keep to their samples; none where that cannot be."""
    if not samples:
        return []
    within = stored.wholes.within
    kernels = run_apart(built, samples, stored.stores, within, stored.memory)
    pairs = zip(kernels or [], built, strict=bool(kernels))
    return [_piece(kernel, values, stored).shared() for kernel, (_, values) in pairs]


def _shared(
    built: Iterable[tuple[Kernel, list[Value]]], stored: _Stored
) -> list[_Piece]:
    """Kernels that threads share each by itself."""
    return _share([_piece(kernel, values, stored) for kernel, values in built])


def _piece(kernel: Kernel, values: list[Value], stored: _Stored) -> _Piece:
    work, written = work_of(kernel), written_buffers(kernel)
    shared = work >= PARALLEL_WORK
    if isinstance(kernel, ScanKernel):
        steps = kernel.plan.steps
        shared = kernel.spread or any(step.parallel for step in steps)
    axis = cut_axis(kernel, _lanes(kernel))
    own: set[int] = set()
    if axis is not None:
        own = own_buffers(kernel, axis, values, stored.stores, stored.wholes.within)
    uses: dict[int, _Use] = {}
    for number, value in enumerate(values):
        extent = axis.extent if axis is not None and number in own else 0
        for key in stored.keys(value):
            known = uses.get(key, _Use(False, extent, shared))
            uses[key] = replace(
                known,
                written=known.written or number in written,
                own=min(known.own, extent),
            )
    return _Piece(kernel, tuple(values), work, uses)


def _lanes(kernel: Kernel) -> int:
    """How many elements the code of a kernel computes side by side."""
    if isinstance(kernel, LoopKernel):
        return lanes_for(kernel, host_target())
    if isinstance(kernel, ContractKernel):
        return host_target().lanes(kernel.product.dtype.compute.itemsize)
    return 1


def _share(pieces: list[_Piece]) -> list[_Piece]:
    """Let threads share what little work goes on with what they share anyway.

    A thread then finds in its own cache what it reads, and waits for nobody.
    """
    owned: set[tuple[int, int]] = set()
    for piece in pieces:
        if piece.parallel:
            owned |= piece.owns()
    changed = True
    while changed:
        changed = False
        for number, piece in enumerate(pieces):
            if not piece.parallel and piece.owns() & owned:
                pieces[number] = piece.shared()
                owned |= piece.owns()
                changed = True
    return pieces


def _in_order(groups: Sequence[Group], pieces: dict[Group, _Piece]) -> list[_Piece]:
    """An order that keeps every dependence, with as few barriers as may be.

    What needs no barrier goes first; else what was made earliest.
    """
    done: set[Group] = set()
    waiting = list(groups)
    ordered: list[_Piece] = []
    since: dict[int, set[_Use]] = {}
    while waiting:
        ready = [group for group in waiting if group.after <= done]
        free = (g for g in ready if g not in pieces or _is_free(pieces[g], since))
        chosen = next(free, None)
        if chosen is None:
            chosen, since = ready[0], {}
        waiting.remove(chosen)
        done.add(chosen)
        if chosen in pieces:
            ordered.append(pieces[chosen])
            for key, use in pieces[chosen].uses.items():
                since.setdefault(key, set()).add(use)
    return ordered


def _is_free(piece: _Piece, since: dict[int, set[_Use]]) -> bool:
    """Whether a step may follow these uses without a barrier."""
    return not any(
        use.clashes(other, same=True)
        for key, use in piece.uses.items()
        for other in since.get(key, ())
    )


def _barriers(
    pieces: Sequence[_Piece], overlap: Callable[[int, int], bool]
) -> list[bool]:
    """Before which steps every thread waits for the others."""
    barriers: list[bool] = []
    since: list[_Piece] = []
    for piece in pieces:
        barriers.append(any(_conflict(piece, other, overlap) for other in since))
        if barriers[-1]:
            since = []
        since.append(piece)
    return barriers


def _conflict(
    piece: _Piece, other: _Piece, overlap: Callable[[int, int], bool]
) -> bool:
    """Whether a barrier must stand between two steps."""
    if not piece.parallel and not other.parallel:
        return False
    return any(
        use.clashes(another, key == other_key) and overlap(key, other_key)
        for key, use in piece.uses.items()
        for other_key, another in other.uses.items()
    )


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


def _lifetimes(
    pieces: Sequence[_Piece], stored: _Stored, outside: set[int]
) -> list[Lifetime]:
    """Lives of the values that are computed, and whose memory is not `outside`.

    What threads share lives from barrier to barrier: within, one of them may be behind.
    """
    spans: dict[int, tuple[int, int]] = {}
    for (first, last), piece in zip(_stretches(pieces), pieces, strict=True):
        for value in map(stored.memory, piece.values):
            if id(value) not in outside and value.data is None:
                begun, ended = spans.get(id(value), (first, last))
                spans[id(value)] = min(begun, first), max(ended, last)
    lives = []
    for key, (first, last) in spans.items():
        store = stored.stores[key]
        nbytes = store.extent * store.value.spec.dtype.itemsize
        lives.append(Lifetime(key, nbytes, first, last))
    return lives


def _stretches(pieces: Sequence[_Piece]) -> list[tuple[int, int]]:
    """For each step, the first and last step that may run at the same time."""
    since: dict[int, set[_Use]] = {}
    starts: list[int] = []
    for number, piece in enumerate(pieces):
        free = bool(starts) and _is_free(piece, since)
        if not free:
            since = {}
        starts.append(starts[-1] if free else number)
        for key, use in piece.uses.items():
            since.setdefault(key, set()).add(use)
    ends = {start: number for number, start in enumerate(starts)}
    return [
        (start, ends[start]) if piece.parallel else (number, number)
        for number, (start, piece) in enumerate(zip(starts, pieces, strict=True))
    ]
