"""Scans made cheaper: what one has computed is not computed again by another.

The backward scan of a loop runs each step again from the state it began with. Here the
forward scan is made to keep what is dear of that, and sums over the steps become one
product or one sum behind the loop; not so for loops that are asked to keep nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chainrule.compiler.fuse import COSTLY
from chainrule.compiler.passes.inline import inline_calls
from chainrule.compiler.passes.rebuild import Builder, Environment
from chainrule.compiler.passes.simplify import drop_dead, node_key, simplify
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import Trait
from chainrule.ir.spec import Spec
from chainrule.ir.value import Node, Value
from chainrule.ops import add, concatenate, slice_


@dataclass(frozen=True)
class Sum:
    """A state that is a sum over the steps.

    Attributes:
        node: the product, or the sum, of one step.
        factors: the stacked inputs of all.
        first: what is added to.
        end: the value of the old graph that it is.
    """

    node: Node
    factors: tuple[Value, ...]
    first: Value
    end: Value


class Loop:
    """A scan that is being changed.

    Attributes:
        node: of the graph that is being read.
        shared, first, rows: its inputs there.
        inner: the inputs of the step, in the same three parts.
        state: what the step carries on.
        results: what it gives for each step.
        stacks: the value of the old graph that each result is; None for a new one.
        sums: states that are summed up behind the loop.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        params = node.params
        end = len(node.inputs) - params["sequences"]
        begin = end - params["carried"]
        step = simplify(inline_calls(params["graph"]))
        self.shared = list(node.inputs[:begin])
        self.first = list(node.inputs[begin:end])
        self.rows = list(node.inputs[end:])
        self.inner_shared = list(step.inputs[:begin])
        self.inner_state = list(step.inputs[begin:end])
        self.inner_rows = list(step.inputs[end:])
        self.name, self.nodes = step.name, step.nodes
        self.state = list(step.outputs[: len(self.first)])
        self.results = list(step.outputs[len(self.first) :])
        self.ends: list[Value] = list(node.outputs[: len(self.first)])
        self.stacks: list[Value] = list(node.outputs[len(self.first) :])
        self.sums: list[Sum] = []

    @property
    def length(self) -> int:
        """How many steps it takes."""
        return int(self.node.params["length"])

    def stack_of(self, result: Value) -> Value:
        """The stacked values of `result`, which becomes a result if it is none."""
        for known, stack in zip(self.results, self.stacks, strict=True):
            if known is result:
                return stack
        for known, row in zip(self.inner_rows, self.rows, strict=True):
            if known is result:
                return row
        spec = Spec((self.length, *result.spec.shape), result.spec.dtype)
        self.results.append(result)
        self.stacks.append(Value(spec))
        return self.stacks[-1]

    def graph(self) -> Graph:
        """The step as it is now."""
        inputs = (*self.inner_shared, *self.inner_state, *self.inner_rows)
        graph = Graph(self.name, inputs, self.nodes, (*self.state, *self.results))
        return drop_dead(graph)


def improve_loops(graph: Graph) -> Graph:
    """`graph` with scans that share what they compute."""
    if not any(Trait.LOOP in node.primitive.traits for node in graph.nodes):
        return graph
    loops: dict[int, Loop] = {}
    replaced: dict[int, Value] = {}
    for node in graph.nodes:
        if Trait.LOOP not in node.primitive.traits:
            continue
        loop = Loop(node)
        for field in (loop.shared, loop.first, loop.rows):
            field[:] = [replaced.get(id(value), value) for value in field]
        if any(_merge(loop, other, replaced) for other in loops.values()):
            continue
        if node.params["keep"]:
            for other in loops.values():
                _take_over(loop, other)
        loops[id(node)] = loop
        if node.params["keep"]:
            _sum_behind(loop)
    return prune_loops(_rebuilt(graph, loops, replaced))


# ---- one loop instead of two ---------------------------------------------------------


def _merge(loop: Loop, twin: Loop, replaced: dict[int, Value]) -> bool:
    """Whether `twin` takes the steps of `loop`; if so, let it give the same."""
    if twin.sums or not _same(loop, twin):
        return False
    known = dict(zip(map(id, _inner(loop)), _inner(twin), strict=False))
    matched = _matched(loop, twin, known)
    ends = [matched.get(id(value)) for value in loop.state]
    results = [matched.get(id(value)) for value in loop.results]
    if ends != twin.state or any(value is None for value in results):
        return False
    replaced.update(zip(map(id, loop.ends), twin.ends, strict=True))
    for value, stack in zip(results, loop.stacks, strict=True):
        assert value is not None
        replaced[id(stack)] = twin.stack_of(value)
    return True


def _same(loop: Loop, other: Loop) -> bool:
    """Whether two loops have the same inputs and run the same way.

    The other one may have got further sequences since.
    """
    inputs = [*loop.shared, *loop.first, *loop.rows]
    theirs = [*other.shared, *other.first, *other.rows[: len(loop.rows)]]
    ways = [(x.length, x.node.params["reverse"]) for x in (loop, other)]
    return list(map(id, inputs)) == list(map(id, theirs)) and ways[0] == ways[1]


def _inner(loop: Loop) -> list[Value]:
    return [*loop.inner_shared, *loop.inner_state, *loop.inner_rows]


# ---- what the backward loop need not compute again -----------------------------------


def _take_over(loop: Loop, source: Loop) -> None:
    """Let `source` keep what `loop` would compute again."""
    known = _known_inputs(loop, source)
    if known is None:
        return
    matched = _matched(loop, source, known)
    for values in _packs(source, _kept(loop, matched), matched):
        whole = _side_by_side(source, [matched[id(value)] for value in values])
        row = Value(whole.spec)
        loop.rows.append(source.stack_of(whole))
        loop.inner_rows.append(row)
        for place, value in enumerate(values):
            _replace(loop, value, _cut(loop, row, value, place))


def _packs(
    source: Loop, kept: list[Value], matched: dict[int, Value]
) -> list[list[Value]]:
    """What is kept, where it can be as one value that is as large as a row of `source`.

    It can then be written where the row was.
    """
    shapes = {value.spec.shape for value in source.inner_rows}
    known = {id(value) for value in (*_inner(source), *source.results)}
    packs = [[value] for value in kept]
    alike: dict[tuple[Any, ...], list[Value]] = {}
    for value in kept:
        node = matched[id(value)].node
        if value.spec.shape and id(matched[id(value)]) not in known and node:
            costly = node.primitive.name in COSTLY
            if costly:
                alike.setdefault((value.spec.dtype, value.spec.shape), []).append(value)
    for (_, (*outer, width)), values in alike.items():
        for count in range(len(values), 1, -1):
            if (*outer, count * width) in shapes:
                chosen = values[:count]
                ids = {id(value) for value in chosen}
                packs = [chosen, *(pack for pack in packs if id(pack[0]) not in ids)]
                break
    return packs


def _side_by_side(source: Loop, values: list[Value]) -> Value:
    """Values of the step of `source` as one."""
    if len(values) == 1:
        return values[0]
    builder = Builder()
    axis = values[0].spec.ndim - 1
    node = values[0].node
    scope = node.scope if node is not None else ""
    (whole,) = builder.apply(concatenate.primitive, values, {"axis": axis}, scope)
    source.nodes = (*source.nodes, *builder.nodes)
    return whole


def _cut(loop: Loop, row: Value, value: Value, place: int) -> Value:
    """The piece of a row that `value` is."""
    if row.spec == value.spec:
        return row
    builder = Builder()
    rank, width = value.spec.ndim, value.spec.shape[-1]
    params = {
        "start": (*[0] * (rank - 1), place * width),
        "stop": (*value.spec.shape[:-1], (place + 1) * width),
        "step": (1,) * rank,
    }
    (piece,) = builder.apply(slice_.primitive, (row,), params)
    loop.nodes = (*builder.nodes, *loop.nodes)
    return piece


def _known_inputs(loop: Loop, source: Loop) -> dict[int, Value] | None:
    """Inputs of the step of `loop` that are values of the step of `source`.

    None where `loop` does not begin its steps with the states of `source`.
    """
    if loop.length != source.length:
        return None
    shared = dict(zip(map(id, source.shared), source.inner_shared, strict=True))
    rows = dict(zip(map(id, source.rows), source.inner_rows, strict=True))
    rows |= zip(map(id, source.stacks), source.results, strict=True)
    known: dict[int, Value] = {}
    for outer, inner in zip(loop.shared, loop.inner_shared, strict=True):
        if id(outer) in shared:
            known[id(inner)] = shared[id(outer)]
    for outer, inner in zip(loop.rows, loop.inner_rows, strict=True):
        if id(outer) in rows:
            known[id(inner)] = rows[id(outer)]
    states = {id(value) for value in source.inner_state}
    begins = any(id(value) in states for value in known.values())
    return known if begins or not source.inner_state else None


def _matched(loop: Loop, source: Loop, known: dict[int, Value]) -> dict[int, Value]:
    """For values of the step of `loop`, by identity: the equal ones of `source`."""
    table = {
        node_key(node.primitive, node.inputs, node.params): node
        for node in source.nodes
    }
    matched = dict(known)
    for node in loop.nodes:
        inputs = tuple(matched.get(id(v), v) for v in node.inputs)
        if any(
            v.data is None and id(old) not in matched
            for v, old in zip(inputs, node.inputs, strict=True)
        ):
            continue
        same = table.get(node_key(node.primitive, inputs, node.params))
        if same is not None and inputs:
            matched |= zip(map(id, node.outputs), same.outputs, strict=True)
    return matched


def _kept(loop: Loop, matched: dict[int, Value]) -> list[Value]:
    """The values that are worth keeping: dear, and read by what is not matched."""
    inputs = {id(value) for value in _inner(loop)}
    wanted: dict[int, Value] = {}
    for node in loop.nodes:
        if id(node.outputs[0]) not in matched:
            wanted |= {id(v): v for v in node.inputs if id(v) in matched}
    wanted |= {id(v): v for v in (*loop.state, *loop.results) if id(v) in matched}
    wanted = {key: value for key, value in wanted.items() if key not in inputs}
    kept = {key for key, value in wanted.items() if not _is_cheap(value)}
    for key, value in wanted.items():
        if key not in kept and not _is_near(value, inputs | kept):
            kept.add(key)
    return [value for key, value in wanted.items() if key in kept]


def _is_cheap(value: Value) -> bool:
    """Whether computing a value takes no more than reading it."""
    node = value.node
    if node is None:
        return True
    traits = node.primitive.traits
    if Trait.MOVEMENT in traits or Trait.CREATION in traits:
        return True
    return Trait.ELEMENTWISE in traits and node.primitive.name not in COSTLY


def _is_near(value: Value, given: set[int]) -> bool:
    """Whether a value comes from `given` ones by cheap operations alone."""
    stack = [value]
    while stack:
        value = stack.pop()
        if id(value) in given or value.data is not None:
            continue
        if value.node is None or not _is_cheap(value):
            return False
        stack.extend(value.node.inputs)
    return True


def _replace(loop: Loop, old: Value, new: Value) -> None:
    """Let everything in the step read `new` instead of `old`."""
    builder = Builder()
    environment: dict[int, Value] = {id(old): new}

    def read(values: Iterable[Value]) -> list[Value]:
        return [environment.get(id(value), value) for value in values]

    for node in loop.nodes:
        if not any(id(value) in environment for value in node.inputs):
            builder.nodes.append(node)
            continue
        outputs = builder.apply(
            node.primitive, read(node.inputs), node.params, node.scope
        )
        for before, after in zip(node.outputs, outputs, strict=True):
            environment.setdefault(id(before), after)
    loop.nodes = tuple(builder.nodes)
    loop.state, loop.results = read(loop.state), read(loop.results)


# ---- sums behind the loop ------------------------------------------------------------


def _sum_behind(loop: Loop) -> None:
    """Take sums out of the state: the sum over all steps is one product, or one sum."""
    users: dict[int, int] = {}
    for value in [v for node in loop.nodes for v in node.inputs] + loop.results:
        users[id(value)] = users.get(id(value), 0) + 1
    for value in loop.state:
        users[id(value)] = users.get(id(value), 0) + 1
    for place in reversed(range(len(loop.state))):
        begun, total = loop.inner_state[place], loop.state[place]
        term = _term(begun, total)
        if term is None or users[id(begun)] != 1 or users[id(total)] != 1:
            continue
        if not _is_own_of_steps(loop, term) or not loop.length:
            continue
        assert term.node is not None
        factors = tuple(loop.stack_of(value) for value in term.node.inputs)
        loop.sums.append(Sum(term.node, factors, loop.first[place], loop.ends[place]))
        for field in (loop.first, loop.inner_state, loop.state, loop.ends):
            del field[place]


def _is_own_of_steps(loop: Loop, value: Value) -> bool:
    """Whether a value is a product, or a sum, of what each step has its own of."""
    node = value.node
    if node is None or node.primitive.name not in ("contract", "sum"):
        return False
    fixed = {id(v) for v in loop.inner_shared}
    own = all(v.data is None and id(v) not in fixed for v in node.inputs)
    return own and value.spec.dtype.is_float


def _term(begun: Value, total: Value) -> Value | None:
    """What is added to a state in each step, where nothing else is done with it."""
    node = total.node
    if node is None or node.primitive.name != "add":
        return None
    left, right = node.inputs
    if left is begun and right.spec == begun.spec:
        return right
    return left if right is begun and left.spec == begun.spec else None


def _over_steps(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a product or sum that sums over a first axis too."""
    if "axes" in params:
        return {**params, "axes": (0, *(axis + 1 for axis in params["axes"]))}
    sums = tuple((0, *(axis + 1 for axis in side)) for side in params["sums"])
    batch = tuple(tuple(axis + 1 for axis in side) for side in params["batch"])
    return {**params, "sums": sums, "batch": batch}


# ---- the graph again -----------------------------------------------------------------


def _rebuilt(graph: Graph, loops: dict[int, Loop], replaced: dict[int, Value]) -> Graph:
    builder, environment = Builder(), Environment(graph)

    def read(values: Iterable[Value]) -> tuple[Value, ...]:
        return environment.read([replaced.get(id(v), v) for v in values])

    for node in graph.nodes:
        if Trait.LOOP not in node.primitive.traits:
            results = builder.apply(
                node.primitive, read(node.inputs), node.params, node.scope
            )
            for old, new in zip(node.outputs, results, strict=True):
                environment[old] = new
        elif id(node) in loops:
            _apply_loop(loops[id(node)], builder, environment)
    nodes = tuple(builder.nodes)
    return Graph(graph.name, graph.inputs, nodes, read(graph.outputs))


def _apply_loop(loop: Loop, builder: Builder, environment: Environment) -> None:
    params = {
        **loop.node.params,
        "graph": loop.graph(),
        "carried": len(loop.first),
        "sequences": len(loop.rows),
    }
    inputs = environment.read((*loop.shared, *loop.first, *loop.rows))
    scope = loop.node.scope
    results = builder.apply(loop.node.primitive, inputs, params, scope)
    for old, new in zip((*loop.ends, *loop.stacks), results, strict=True):
        environment[old] = new
    for total in loop.sums:
        factors = environment.read(total.factors)
        node = total.node
        (value,) = builder.apply(
            node.primitive, factors, _over_steps(node.params), scope
        )
        if not _is_zero(total.first):
            first = environment[total.first]
            (value,) = builder.apply(add.primitive, (first, value), {}, scope)
        environment[total.end] = value


def _is_zero(value: Value) -> bool:
    """Whether a value is made of the number 0."""
    node = value.node
    if node is None or node.primitive.name != "broadcast_to":
        return False
    data = node.inputs[0].data
    return data is not None and not data.any()


def prune_loops(graph: Graph) -> Graph:
    """`graph` whose scans carry, take and give only what somebody reads."""
    alive = {id(value) for value in graph.outputs}
    pruned: dict[int, _Pruned] = {}
    for node in reversed(graph.nodes):
        if not any(id(value) in alive for value in node.outputs):
            continue
        inputs = node.inputs
        if Trait.LOOP in node.primitive.traits:
            pruned[id(node)] = found = _Pruned(node, alive)
            inputs = tuple(inputs[place] for place in found.inputs)
        alive.update(map(id, inputs))
    builder, environment = Builder(), Environment(graph)
    for node in graph.nodes:
        if not any(id(value) in alive for value in node.outputs):
            continue
        inputs = environment.read(node.inputs)
        outputs, params = node.outputs, node.params
        if id(node) in pruned:
            cut = pruned[id(node)]
            inputs = tuple(inputs[place] for place in cut.inputs)
            outputs, params = tuple(outputs[i] for i in cut.outputs), cut.params
        results = builder.apply(node.primitive, inputs, params, node.scope)
        for old, new in zip(outputs, results, strict=True):
            environment[old] = new
    outputs = environment.read(graph.outputs)
    return Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs)


class _Pruned:
    """What is left of a scan.

    Attributes:
        inputs, outputs: the positions of those that stay.
        params: of the scan that has them alone.
    """

    def __init__(self, node: Node, alive: set[int]) -> None:
        step: Graph = node.params["graph"]
        carried, sequences = node.params["carried"], node.params["sequences"]
        end = len(node.inputs) - sequences
        state = range(end - carried, end)
        wanted = {i for i, value in enumerate(node.outputs) if id(value) in alive}
        while True:
            read = _read(step, [step.outputs[i] for i in sorted(wanted)])
            states = {i for i, place in enumerate(state) if place in read}
            if states <= wanted:
                break
            wanted |= states
        kept = {state[i] for i in wanted if i < carried}
        self.inputs = sorted(read | kept)
        self.outputs = sorted(wanted)
        graph = Graph(
            step.name,
            tuple(step.inputs[i] for i in self.inputs),
            step.nodes,
            tuple(step.outputs[i] for i in self.outputs),
        )
        self.params = {
            **node.params,
            "graph": drop_dead(graph),
            "carried": len(kept),
            "sequences": sum(place >= end for place in self.inputs),
        }


def _read(step: Graph, outputs: list[Value]) -> set[int]:
    """The positions of the inputs that these outputs depend on."""
    read = {id(value) for value in outputs}
    for node in reversed(step.nodes):
        if any(id(value) in read for value in node.outputs):
            read.update(map(id, node.inputs))
    return {place for place, value in enumerate(step.inputs) if id(value) in read}
