"""From a graph to a plan: kernels in order, buffers, threads and barriers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from chainrule.compiler.build import KernelBuilder
from chainrule.compiler.chains import (
    Link,
    Parts,
    chain_lengths,
    cut_by_samples,
    find_parts,
)
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
from chainrule.compiler.memory import Arena, peak_bytes, plan_arena
from chainrule.compiler.nest import lanes_for
from chainrule.compiler.order import (
    Piece,
    Use,
    find_barriers,
    find_lifetimes,
    in_order,
)
from chainrule.compiler.passes import drop_dead, inline_calls, simplify
from chainrule.compiler.passes.arrange import (
    arrange_operands,
    separate_outputs,
    separate_states,
)
from chainrule.compiler.passes.clipped import ask_clipped
from chainrule.compiler.passes.halves import sum_widely
from chainrule.compiler.passes.loops import improve_loops
from chainrule.compiler.passes.rebuild import Builder
from chainrule.compiler.passes.sink import sink_moves
from chainrule.compiler.passes.split import split_sums
from chainrule.compiler.passes.stretches import sum_in_stretches
from chainrule.compiler.rows import rows_over_rows
from chainrule.compiler.samples import run_apart
from chainrule.compiler.scan import Layouts
from chainrule.compiler.shares import (
    cut_axis,
    own_buffers,
    sample_buffers,
    together,
)
from chainrule.compiler.view import view_base
from chainrule.compiler.wholes import Wholes, find_wholes
from chainrule.compiler.work import work_of, written_buffers
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Shape, Spec
from chainrule.ir.value import Node, Value
from chainrule.ops import identity

MOST_MEMORY = 1.25  # times as much as is needed at once, where threads never wait
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
    graph = sum_widely(sink_moves(ask_clipped(graph)))
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
    whole = layouts == ({}, {}) and not samples and not alone
    how = _How(guard, samples, alone, whole)
    return _assemble(graph, grouping.groups, stored, donations, how)


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


@dataclass(frozen=True)
class _How:
    """How a plan is made.

    Attributes:
        guard: bytes to leave unused behind each block of memory.
        samples: how many samples threads may keep to in a loop.
        alone: whether one thread runs all of it.
        whole: whether it is no part of another.
    """

    guard: int
    samples: int
    alone: bool
    whole: bool


def _assemble(
    graph: Graph,
    groups: Sequence[Group],
    stored: _Stored,
    donations: Sequence[tuple[int, int]],
    how: _How,
) -> Plan:
    stores, over = stored.stores, stored.over | stored.wholes.within
    kept = _kept(graph, groups) | over.keys()
    codes: list[tuple[Node, int]] = []
    plan_step = partial(_plan_step, guard=how.guard, within=how.alone)
    builder = KernelBuilder(stores, kept, codes, stored.copies, plan_step=plan_step)
    built = {group: builder.build(group) for group in groups if not _is_empty(group)}
    taken = {id(value) for value in (*graph.inputs, *graph.outputs)}
    taken |= _fixed(stored)
    stored = replace(stored, over=stored.over | rows_over_rows(built, stored, taken))
    over = stored.over | stored.wholes.within
    apart = [] if how.alone else _run_apart(list(built.values()), stored, how.samples)
    parts = find_parts(list(built.values()), taken) if how.whole else None
    if how.alone:
        frugal = in_frugal_order(groups, _room_of(graph, groups, stored))
        ordered = [
            _piece(*built[group], stored).by_one() for group in frugal if group in built
        ]
    else:
        own = apart or _shared(built.values(), stored, parts)
        ordered = in_order(groups, dict(zip(built, own, strict=True)))
    given = {id(value) for value in graph.inputs}
    inside = {id(graph.outputs[target]) for _, target in donations} - over.keys()
    outside = given | ({id(value) for value in graph.outputs} - inside)
    lives = find_lifetimes(ordered, stored.memory, stores, outside)
    if how.alone:
        pairs = [(piece.kernel, piece.values) for piece in ordered]
        stored = replace(stored, over=stored.over | written_over(pairs, lives, stores))
        over = stored.over | stored.wholes.within
        lives = find_lifetimes(ordered, stored.memory, stores, outside)
    if apart:  # a thread may be anywhere
        lives = [
            replace(life, first=0, last=len(ordered), exact=None) for life in lives
        ]
    arena = plan_arena(lives, how.guard)
    if parts and arena.nbytes > MOST_MEMORY * peak_bytes(lives):
        return _assemble(graph, groups, stored, donations, replace(how, whole=False))
    overlap = partial(stored.overlap, arena)
    barriers = find_barriers(ordered, overlap, arena.aligned)
    if apart:
        barriers = [False] * len(ordered)
    steps = tuple(_steps(ordered, barriers, parts))
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


def _steps(
    pieces: Sequence[Piece], barriers: Sequence[bool], parts: Parts | None
) -> Iterator[Step]:
    """Kernels in order, with barriers and chains."""
    links = [piece.link if piece.parallel else None for piece in pieces]
    chains = chain_lengths(links, barriers, parts)
    for piece, waits, chain in zip(pieces, barriers, chains, strict=True):
        count = parts.count if parts and chain > 1 else 1
        step = Step(piece.kernel, piece.values, piece.work, piece.parallel, waits)
        yield replace(step, chain=chain, parts=count)


def _fixed(stored: _Stored) -> set[int]:
    """The ids of values that lie in, or make room for, others."""
    over, wholes = stored.over, stored.wholes
    others = (*over.values(), *wholes.within.values())
    return {*over, *wholes.within, *wholes.parts, *map(id, others)}


def _run_apart(
    built: list[tuple[Kernel, list[Value]]], stored: _Stored, samples: int
) -> list[Piece]:
    """Kernels whose threads keep to their samples; none where that cannot be."""
    if not samples:
        return []
    within = stored.wholes.within
    kernels = run_apart(built, samples, stored.stores, within, stored.memory)
    pairs = zip(kernels or [], built, strict=bool(kernels))
    return [_piece(kernel, values, stored).shared() for kernel, (_, values) in pairs]


def _shared(
    built: Iterable[tuple[Kernel, list[Value]]], stored: _Stored, parts: Parts | None
) -> list[Piece]:
    """Kernels that threads share each by itself, or by samples."""
    return _share(
        [
            (parts and _part(kernel, values, stored, parts))
            or _piece(kernel, values, stored)
            for kernel, values in built
        ]
    )


def _part(
    kernel: Kernel, values: list[Value], stored: _Stored, parts: Parts
) -> Piece | None:
    """A kernel that is shared by samples; None where these cannot be told apart."""
    cut = cut_by_samples(kernel, parts)
    if cut is None:
        return None
    within = stored.wholes.within
    own = sample_buffers(cut, parts.samples, values, stored.stores, within)
    if not written_buffers(cut) <= own.keys():
        return None
    keys = {
        number: (parts.samples, parts.unit, size * values[number].spec.dtype.itemsize)
        for number, size in own.items()
    }
    sizes = {id(value): value.spec.nbytes for value in values}
    mine = sum(sizes[key] for key in {id(values[number]) for number in own})
    link = Link(mine, sum(sizes.values()) - mine)
    return replace(_piece(cut, values, stored, keys), link=link)


def _piece(
    kernel: Kernel,
    values: list[Value],
    stored: _Stored,
    keys: Mapping[int, tuple[int, ...]] | None = None,
) -> Piece:
    """A kernel, with how threads own its buffers where `keys` does not say."""
    work, written = work_of(kernel), written_buffers(kernel)
    shared = work >= PARALLEL_WORK
    if isinstance(kernel, ScanKernel):
        steps = kernel.plan.steps
        shared = kernel.spread or any(step.parallel for step in steps)
    axis = cut_axis(kernel, _lanes(kernel))
    if keys is None and axis is not None:
        own = own_buffers(kernel, axis, values, stored.stores, stored.wholes.within)
        keys = {number: _cut_of(values[number], stored, axis.extent) for number in own}
    uses: dict[int, Use] = {}
    for number, value in enumerate(values):
        cut = (keys or {}).get(number, ())
        for key in stored.keys(value):
            known = uses.get(key, Use(False, cut, shared))
            uses[key] = replace(
                known,
                written=known.written or number in written,
                own=cut if known.own == cut else (),
            )
    return Piece(kernel, tuple(values), work, uses)


def _cut_of(value: Value, stored: _Stored, extent: int) -> tuple[int, ...]:
    """How threads cut the leading axis of a value."""
    size = stored.stores[id(value)].strides[0] * value.spec.dtype.itemsize
    return extent, together(extent), size


def _lanes(kernel: Kernel) -> int:
    """How many elements the code of a kernel computes side by side."""
    if isinstance(kernel, LoopKernel):
        return lanes_for(kernel, host_target())
    if isinstance(kernel, ContractKernel):
        return host_target().lanes(kernel.product.dtype.compute.itemsize)
    return 1


def _share(pieces: list[Piece]) -> list[Piece]:
    """Let threads share what little work goes on with what they share anyway.

    A thread then finds in its own cache what it reads, and waits for nobody.
    """
    owned: set[tuple[int, tuple[int, ...]]] = set()
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
