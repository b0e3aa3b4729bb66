"""Fusion: which values are stored, and which are computed together in one kernel.

A root is a value that is computed by a loop of its own: a reduction, a contraction, an
output, or an elementwise value that several kernels need. Everything else is expressed
inside the loops that read it. Roots join the group of an earlier root where they have
its loops and read what it computes at the same point.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from chainrule.compiler.expression import Expression
from chainrule.compiler.index import Axis, of
from chainrule.compiler.lower import MOVES, READS_STORED, Indices, Lowering, Store
from chainrule.compiler.view import view_base
from chainrule.ir.dtype import bool_
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import Trait
from chainrule.ir.spec import Shape
from chainrule.ir.value import Node, Value
from chainrule.ops.contract import free_axes

REDUCTIONS = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")
# elements are chosen by positions that are data
CHOOSES = ("take", "take_along_axis")
LIBRARY = ("argsort", "scatter_add", "put_rows", "cumulative_sum")
# the first input is changed at places that are data, where it lies if nobody needs it
UPDATES = ("scatter_add", "put_rows")
LOOP = "scan"
COSTLY = frozenset(
    [
        "exp",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "sigmoid",
        "erf",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "atan2",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "power",
        "divide",
        "floor_divide",
        "remainder",
    ]
)
INLINE_LIMIT = 160  # operations expressed inside one another
INLINE_DEPTH = 60  # how deep they stand in one another
GROUP_LIMIT = 1000  # expressions in one kernel: compilers are slow on more
REPEATED = 8  # elements made of one drawn number, from which on it is stored
SMALL = 4096  # elements; loops this short are joined to save the start of a kernel
FOLDED = 64  # times as many elements may be folded in such loops
ROW_LENGTH = 4  # shorter rows are folded by each lane on its own


@dataclass(eq=False)
class Group:
    """Roots that one kernel computes.

    Attributes:
        kind: `map`, `row`, `contract`, `library` or `scan`.
        rows: the axes of its outer loops; for `map` and `contract`, of all loops.
        roots: what it computes, in order.
        columns: axes within the loops, along rows or folded, by their extents.
        after: the groups that must run before it.
        number: its place in the order of making.
        weight: how many expressions its roots have.
    """

    kind: str
    rows: tuple[Axis, ...]
    number: int
    roots: list[Value] = field(default_factory=list)
    columns: dict[Shape, tuple[Axis, ...]] = field(default_factory=dict)
    after: set[Group] = field(default_factory=set)
    reads: set[int] = field(default_factory=set)
    weight: int = 0

    @property
    def domain(self) -> Shape:
        """Extents of `rows`."""
        return tuple(axis.extent for axis in self.rows)

    def column_axes(self, extents: Shape) -> tuple[Axis, ...]:
        """The axes along rows of these extents; stages with equal ones share them."""
        if extents not in self.columns:
            self.columns[extents] = tuple(map(Axis, extents))
        return self.columns[extents]


def is_fold(value: Value) -> bool:
    """Whether `value` is folded over axes, element by element."""
    if value.node is None:
        return False
    name = value.node.primitive.name
    return name in REDUCTIONS or (name == "contract" and not uses_blocks(value.node))


def reduced_axes(node: Node) -> tuple[int, ...]:
    """The axes that a reduction folds."""
    params = node.params
    return (params["axis"],) if "axis" in params else tuple(params["axes"])


def find_roots(
    graph: Graph,
    forced: set[int] | None = None,
    kept: Container[int] = (),
) -> list[Value]:
    """The values that are computed by loops of their own, in order.

    Args:
        graph: what is computed.
        forced: the ids of operands that were copied into an order of their own.
        kept: the ids of values that are stored whatever the rules say.
    """
    users: dict[int, int] = {}
    repeated: set[int] = set()
    for node in graph.nodes:
        for value in {id(v): v for v in node.inputs}.values():
            users[id(value)] = users.get(id(value), 0) + 1
            if _is_repeated(value, node):
                repeated.add(id(value))
    copies = forced or set()
    wanted = {id(value) for value in graph.outputs} | copies
    for node in graph.nodes:
        wanted.update(id(value) for value in _stored_inputs(node, copies))
    roots: list[Value] = []
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    drawn: set[int] = set()
    dear: set[int] = set()
    given = {id(value) for value in (*graph.inputs, *graph.constants())}
    for node in graph.nodes:
        value = node.outputs[0]
        if _is_given(node, given):
            given.add(id(value))
            if node.primitive.name in COSTLY or _any_in(node, dear):
                dear.add(id(value))
        size = 1 + sum(sizes.get(id(v), 0) for v in node.inputs)
        depth = 1 + max((depths.get(id(v), 0) for v in node.inputs), default=0)
        large = size > INLINE_LIMIT or depth > INLINE_DEPTH
        if _is_drawn(node, drawn):
            drawn.add(id(value))
        costly = users.get(id(value), 0) > 1 and (
            node.primitive.name in COSTLY or _is_mask(value, drawn)
        )
        again = id(value) in repeated and (id(value) in drawn or id(value) in dear)
        needed = id(value) in wanted or id(value) in kept
        if needed or _needs_loop(node) or costly or again or large:
            roots.extend(node.outputs)
            drawn.discard(id(value))
            dear.discard(id(value))
            size = depth = 0
        sizes[id(value)], depths[id(value)] = size, depth
    return roots


def _is_repeated(value: Value, node: Node) -> bool:
    """Whether `node` has many elements for each one of `value`: what was drawn for a
    picture would be drawn again for each of its pixels, and the root of a variance be
    taken again.
    """
    spreads = node.primitive.name == "broadcast_to" or (
        Trait.ELEMENTWISE in node.primitive.traits
    )
    return spreads and node.outputs[0].spec.size >= REPEATED * value.spec.size


def _is_given(node: Node, given: Container[int]) -> bool:
    """Whether this is computed from inputs alone, element by element."""
    traits = node.primitive.traits
    plain = Trait.ELEMENTWISE in traits or Trait.MOVEMENT in traits
    return plain and all(id(value) in given for value in node.inputs)


def _is_drawn(node: Node, drawn: Container[int]) -> bool:
    """Whether computing this means to draw random bits."""
    return node.primitive.name == "random_bits" or _any_in(node, drawn)


def _any_in(node: Node, known: Container[int]) -> bool:
    return any(id(value) in known for value in node.inputs)


def _is_mask(value: Value, drawn: Container[int]) -> bool:
    """Whether this was drawn with many operations and is stored in few bytes."""
    return id(value) in drawn and value.spec.dtype is bool_


def _needs_loop(node: Node) -> bool:
    name = node.primitive.name
    return name in REDUCTIONS or name in LIBRARY or name in ("contract", LOOP)


def _stored_inputs(node: Node, copies: set[int]) -> Iterator[Value]:
    """Inputs that a kernel reads from memory in another way than element by element."""
    name = node.primitive.name
    positions = READS_STORED.get(name, ())
    chosen = node.inputs if -1 in positions else [node.inputs[i] for i in positions]
    if name in LIBRARY or name == LOOP:
        chosen = node.inputs
    elif name in CHOOSES:
        chosen = [_read_through(node.inputs[0], {*MOVES, *CHOOSES})]
    else:
        chosen = [_read_through(value, MOVES) for value in chosen]
    yield from chosen
    if name == "contract" and uses_blocks(node):
        yield from (view_base(value, copies) for value in node.inputs)


def _read_through(value: Value, names: Container[str]) -> Value:
    """The value whose memory is read for `value`, if these operations store nothing.

    A window that is slid along a picture is as large as all its places together, and
    chosen from without ever being made.
    """
    node = value.node
    while node is not None and node.primitive.name in names:
        value, node = node.inputs[0], node.inputs[0].node
    return value


def uses_blocks(node: Node) -> bool:
    """Whether a contraction is done by the matrix building block."""
    if node.primitive.name != "contract":
        return False
    empty = 0 in (*node.inputs[0].spec.shape, *node.inputs[1].spec.shape)
    return node.outputs[0].spec.dtype.is_float and not empty


class Grouping:
    """Assigns roots to groups, in order.

    Args:
        stores: the values that are kept in memory: inputs, constants and every root.
        copies: the ids of operands that were copied into an order of their own.
        parts: for each value that no kernel makes, by identity: what it consists of.
    """

    def __init__(
        self,
        stores: dict[int, Store],
        copies: Container[int] = (),
        parts: Mapping[int, tuple[Value, ...]] | None = None,
    ) -> None:
        self.stores = stores
        self.copies = copies
        self.parts = parts or {}
        self.groups: list[Group] = []
        self.home: dict[int, Group] = {}
        self._weights: dict[int, int] = {}

    def add(self, root: Value) -> None:
        """Put `root` into the newest group that it fits, or into one of its own."""
        node = root.node
        assert node is not None
        if node.primitive.name == LOOP:
            first = self.home.get(id(node.outputs[0]))
            group = first or self._found("scan", ())
            self._join(group, root, {id(value) for value in node.inputs})
        elif node.primitive.name in LIBRARY:
            group = self._found("library", ())
            self._join(group, root, {id(value) for value in node.inputs})
        elif uses_blocks(node):
            group = self._found("contract", tuple(map(Axis, root.spec.shape)))
            bases = [view_base(value, self.copies) for value in node.inputs]
            self._join(group, root, set(map(id, bases)))
        else:
            self._place(root, node)

    def _place(self, root: Value, node: Node) -> None:
        row = is_fold(root) and folds_rows(node)
        own = Group("row" if row else "map", tuple(map(Axis, root.spec.shape)), 0)
        reads = set(self.reads(own, root))
        for related in (self._makes, self._shares):
            for group in reversed(self.groups):
                if not related(group, root, reads):
                    continue
                if self._fits(group, root, reads):
                    self._join(group, root, reads)
                    return
        self._join(self._found(own.kind, own.rows), root, reads)

    def add_alone(self, root: Value) -> Group:
        """Put `root` into a group that nothing else joins."""
        group = self._found("map", tuple(map(Axis, root.spec.shape)))
        self._join(group, root, set(self.reads(group, root)))
        return group

    def _found(self, kind: str, rows: tuple[Axis, ...]) -> Group:
        group = Group(kind, rows, len(self.groups))
        self.groups.append(group)
        return group

    def _join(self, group: Group, root: Value, reads: set[int]) -> None:
        group.roots.append(root)
        group.reads |= reads
        group.weight += self._weights.get(id(root), 0)
        self.home[id(root)] = group
        for key in reads:
            group.after.update(self.makers(key) - {group})

    def makers(self, key: int) -> set[Group]:
        """The groups that compute a value, or its parts."""
        keys = [id(part) for part in self.parts[key]] if key in self.parts else [key]
        return {self.home[key] for key in keys if key in self.home}

    def reads(self, group: Group, root: Value) -> dict[int, set[Indices]]:
        """What `root` reads, and at which indices, if it is computed in `group`."""
        low = Lowering(self.stores)
        express(low, group, root)
        self._weights[id(root)] = len(low.pool)
        return low.reads

    def _makes(self, group: Group, root: Value, reads: set[int]) -> bool:
        """Whether `group` computes something that `root` reads."""
        members = {id(member) for member in group.roots}
        return bool(reads & members) and _same_loops(group, root)

    def _shares(self, group: Group, root: Value, reads: set[int]) -> bool:
        """Whether `group` reads what `root` reads, or is too small to stand alone."""
        if not _same_loops(group, root):
            return False
        common = [self.stores[key].value.spec.size for key in reads & group.reads]
        if 2 * max(common, default=0) >= root.spec.size:
            return True
        return group.kind == "map" and _is_short(root) and _is_small(group)

    def _fits(self, group: Group, root: Value, reads: set[int]) -> bool:
        """Whether every member is read where it is made, and nothing comes too late."""
        if group.weight + self._weights[id(root)] > GROUP_LIMIT:
            return False
        if any(key in self.parts and group in self.makers(key) for key in reads):
            return False
        producers = {maker for key in reads for maker in self.makers(key)}
        if any(p is not group and depends(p, group) for p in producers):
            return False
        members = {id(member): member for member in group.roots}
        places = self.reads(group, root)
        return all(
            places[key] <= member_points(group, members[key])
            for key in places.keys() & members.keys()
        )


def _is_small(group: Group) -> bool:
    return math.prod(group.domain) <= SMALL


def _is_short(root: Value) -> bool:
    """Whether no long loop is hidden in what one element takes."""
    assert root.node is not None
    return not is_fold(root) or root.node.inputs[0].spec.size <= FOLDED * SMALL


def _same_loops(group: Group, root: Value) -> bool:
    node, shape, rows = root.node, root.spec.shape, group.domain
    assert node is not None
    if group.kind in ("library", "scan"):
        return False
    if is_fold(root):
        row = folds_rows(node)
        return shape == rows and group.kind == ("row" if row else "map")
    if group.kind != "row":
        return shape == rows
    # the rows of a group are shared by threads: too few of them for a large value
    enough = math.prod(rows) >= 16 or root.spec.size <= SMALL
    return shape[: len(rows)] == rows and enough


def depends(group: Group, other: Group) -> bool:
    """Whether `group` must run after `other`."""
    seen: set[Group] = set()
    stack = [group]
    while stack:
        for before in stack.pop().after:
            if before is other:
                return True
            if before not in seen:
                seen.add(before)
                stack.append(before)
    return False


def member_points(group: Group, member: Value) -> set[Indices]:
    """The indices at which other roots of the group may read `member`."""
    rows = tuple(map(of, group.rows))
    rest = member.spec.shape[len(rows) :]
    if not rest:
        return {rows}
    return {rows + tuple(map(of, group.column_axes(rest)))}


def folds_rows(node: Node) -> bool:
    """Whether a fold takes whole rows, so that each is best done by all lanes."""
    if node.primitive.name == "contract":
        return False
    shape, axes = node.inputs[0].spec.shape, reduced_axes(node)
    trailing = axes == tuple(range(len(shape) - len(axes), len(shape)))
    length = math.prod(shape[axis] for axis in axes)
    return trailing and (length > ROW_LENGTH or node.outputs[0].spec.size == 1)


def express(
    low: Lowering, group: Group, root: Value
) -> tuple[Expression, tuple[Axis, ...]]:
    """The expression of `root` at a point of `group`, and the axes of its own stage.

    For a fold, the expression is that of what is folded.
    """
    node = root.node
    assert node is not None
    rows = tuple(map(of, group.rows))
    if node.primitive.name == "contract":
        return _express_contract(low, node, rows)
    if is_fold(root):
        return _express_fold(low, group, node, rows)
    rest = root.spec.shape[len(rows) :] if group.kind == "row" else ()
    columns = group.column_axes(rest) if rest else ()
    return low.compute(root, rows + tuple(map(of, columns))), columns


def _express_fold(
    low: Lowering, group: Group, node: Node, rows: Indices
) -> tuple[Expression, tuple[Axis, ...]]:
    source, axes = node.inputs[0], reduced_axes(node)
    extents = tuple(source.spec.shape[axis] for axis in axes)
    own = group.column_axes(extents) if extents else ()
    kept, folded = iter(rows), iter(map(of, own))
    indices = tuple(
        next(folded) if axis in axes else next(kept) for axis in range(source.spec.ndim)
    )
    return low.element(source, indices), own


def _express_contract(
    low: Lowering, node: Node, rows: Indices
) -> tuple[Expression, tuple[Axis, ...]]:
    """A product of elements, to be summed over the contracted axes."""
    a, b = node.inputs
    sums, batch = node.params["sums"], node.params["batch"]
    own = tuple(Axis(a.spec.shape[axis]) for axis in sums[0])
    count = len(batch[0])
    free = len(free_axes(a.spec.ndim, sums[0], batch[0]))
    parts = (rows[count : count + free], rows[count + free :])
    elements = []
    for value, summed, batched, rest in zip(
        (a, b), sums, batch, map(iter, parts), strict=True
    ):
        indices = tuple(
            of(own[summed.index(axis)])
            if axis in summed
            else rows[batched.index(axis)]
            if axis in batched
            else next(rest)
            for axis in range(value.spec.ndim)
        )
        elements.append(low.element(value, indices))
    dtype = node.outputs[0].spec.dtype
    return low.pool.make("multiply", dtype, tuple(elements), ()), own
