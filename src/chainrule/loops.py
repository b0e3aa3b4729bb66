"""A compiled step, driven over the rows of data.

What a step was traced for is kept in a table, by what its state and its data looked
like; loops whose steps compute the same share one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any
from weakref import WeakSet

import numpy as np

from chainrule.compiler import Loops, Part, make_loop
from chainrule.errors import ShapeError, TraceError
from chainrule.ir import tree
from chainrule.ir.dtype import as_dtype, int64
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Spec, spec_of
from chainrule.ir.trace import constant, trace
from chainrule.ir.value import Value, new_value
from chainrule.ops import add, broadcast_to, iota, reshape, take
from chainrule.tracing import Traced

SHARED_TRACES = 64  # steps that are kept for others that compute the same
SHARED_BYTES = 1 << 20  # of constants in a graph, at most, for it to be kept
MOST_ALIKE = 64  # of what state, or data, may look like in one table


class Lent:
    """Something that lies in a loop, and is read once, when somebody asks for it.

    A copy is a copy of what was read.

    Args:
        read: reads it.

    Attributes:
        value: what was read, or None.
    """

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read: Callable[[], Any] | None = read
        self.value: Any = None

    def __call__(self) -> Any:
        """What it is."""
        read = self._read  # another thread may ask at the same time
        if read is not None:
            self.value, self._read = read(), None
        return self.value

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self(),)


def _itself(value: Any) -> Any:
    return value


class Loop:
    """A compiled step, driven over the rows of data.

    Args:
        step: the step.
        name: what messages and reports call it.
        backend: `native` or `interpret`; `CHAINRULE_BACKEND` where None.
        shared: loops of one key share what they traced: their steps compute the same.

    Attributes:
        beginning: another object since every time that the loop began.

    The step is a pure function `step(state, batch) -> (state, outputs)`. The state that
    it returns has the structure and specs of the one it got; outputs have the rows of
    the batch in front, or are None.

    Windows that overlap, as `numpy.lib.stride_tricks.sliding_window_view` makes them,
    are not copied: a step gathers its rows from the array that they are views of.

    Example:
        >>> import numpy as np, chainrule
        >>> loop = Loop(lambda total, x: (total + chainrule.sum(x), None))
        >>> loop.begin(chainrule.asarray(0.0), np.arange(5, dtype="float32"))
        >>> loop.run(np.array([4, 3, 0]), batch_size=2)
        >>> loop.state().item()
        7.0
    """

    def __init__(
        self,
        step: Callable[[Any, Any], Any],
        name: str = "step",
        backend: str | None = None,
        shared: Hashable | None = None,
    ) -> None:
        self.name = name
        self._step = step
        self._fed: Any = None
        self._loops: Loops = make_loop(backend)
        self._lent: WeakSet[Lent] = WeakSet()
        self._turn = threading.RLock()
        self.beginning = object()
        self._table = Table() if shared is None else tables.get((shared, name))
        self._own: dict[tuple[Data, int], Traced] = {}  # what is not shared
        self._state: State
        self._data: Data

    def begin(self, state: Any, data: Any) -> None:
        """Set the state, and the arrays whose rows `run` will name.

        Raises:
            ShapeError: when the arrays of `data` differ in their number of rows.
        """
        self._read_all_lent()
        self.beginning = object()
        self._state, values = self._table.state_like(state)
        self._fed = None
        arrays = [np.asarray(value.data) for value in values]
        self._loops.begin(arrays, self._take(data), self._state.specs)

    def feed(self, data: Any) -> None:
        """Set other arrays whose rows `run` will name; the state goes on.

        Example:
            >>> import chainrule
            >>> loop = Loop(lambda total, x: (total + chainrule.sum(x), None))
            >>> loop.begin(chainrule.asarray(0.0), np.ones(2, dtype="float32"))
            >>> loop.run(np.arange(2), batch_size=2)
            >>> loop.feed(np.ones(3, dtype="float32"))
            >>> loop.run(np.arange(3), batch_size=3)
            >>> loop.state().item()
            5.0
        """
        if data is not self._fed:
            self._loops.feed(self._take(data))
            self._fed = data

    def end(self) -> None:
        """Let go of state and data.

        Example:
            >>> import chainrule
            >>> loop = Loop(lambda total, x: (total + chainrule.sum(x), None))
            >>> loop.begin(chainrule.asarray(0.0), np.ones(2, dtype="float32"))
            >>> loop.end()
        """
        self._read_all_lent()
        self.beginning = object()
        self._fed = None
        self._loops.begin((), ())

    def _read_all_lent(self) -> None:
        """Read what lies here and would be gone."""
        for lent in self._lent:
            lent()
        self._lent.clear()

    def _take(self, data: Any) -> list[np.ndarray[Any, Any]]:
        """The arrays of `data`, after noting what they look like."""
        for seen in self._state.seen:
            leaves = tree.leaves_if_like(data, seen.structure)
            if leaves is not None:
                arrays, columns = self._columns(leaves)
                if columns == seen.columns:
                    self._data = seen
                    return arrays
        arrays, columns = self._columns(tree.flatten(data)[0])
        self._data = self._state.data_like(data, columns)
        return arrays

    def _columns(
        self, leaves: Sequence[Any]
    ) -> tuple[list[np.ndarray[Any, Any]], list[Columns]]:
        """The arrays in memory, and what they look like."""
        given = [np.asarray(array) for array in leaves]
        if len({len(array) for array in given}) > 1:
            raise ShapeError(
                "all arrays must have the same number of rows",
                where=self.name,
                got=", ".join(str(array.shape) for array in given),
            )
        pairs = [Columns.of(array) for array in given]
        return [array for array, _ in pairs], [columns for _, columns in pairs]

    def read(self, part: str) -> Any:
        """What the state has under the key `part`."""
        places, structure = self._state.parts[part]
        return self._tree(structure, places, self._loops.read(places))

    def lend(self, part: str, place: int | None = None) -> Lent:
        """What the state has under a key, to be read when somebody asks for it.

        It is read at the latest when the loop begins anew.

        Args:
            part: the key.
            place: which of its leaves; all of them where None.

        Example:
            >>> import chainrule
            >>> loop = Loop(lambda state, x: ({"sum": state["sum"] + 1}, None))
            >>> loop.begin({"sum": chainrule.asarray(0)}, np.ones(3, dtype="float32"))
            >>> lent = loop.lend("sum", 0)
            >>> loop.run(np.arange(3), batch_size=1)
            >>> loop.begin((), ())
            >>> lent().item()
            3
        """
        lent = Lent(partial(self._read_lent, part, place))
        self._lent.add(lent)
        return lent

    def _read_lent(self, part: str, place: int | None) -> Any:
        with self._turn:  # not while another thread runs steps
            if place is None:
                return self.read(part)
            at = self._state.parts[part][0][place]
            return new_value(self._state.specs[at], self._loops.read([at])[0])

    def write(self, part: str, values: Any) -> None:
        """Replace what the state has under the key `part`."""
        places, _ = self._state.parts[part]
        arrays = [np.asarray(value.data) for value in tree.flatten(values)[0]]
        self._loops.write(places, arrays)

    def write_within(self, part: str, key: str, value: Value) -> None:
        """Replace a number that a part of the state, a dict, has under a key.

        Example:
            >>> import chainrule
            >>> state = {"rates": {"fast": chainrule.asarray(2.0)}}
            >>> loop = Loop(lambda state, x: (state, None))
            >>> loop.begin(state, ())
            >>> loop.write_within("rates", "fast", chainrule.asarray(3.0))
            >>> loop.read("rates")["fast"].item()
            3.0
        """
        places, structure = self._state.parts[part]
        before = structure.children[: structure.keys.index(key)]
        at = places.start + sum(child.leaf_count for child in before)
        self._loops.write([at], [np.asarray(value.data)])

    def _tree(
        self, structure: tree.Structure, places: range, arrays: Iterable[Any]
    ) -> Any:
        """What the state has at some places."""
        specs = self._state.specs[places.start : places.stop]
        values = map(new_value, specs, arrays)
        return tree.unflatten(structure, values)

    def run(self, order: np.ndarray[Any, Any], batch_size: int) -> Any:
        """Take a step for each `batch_size` rows of `order`; the last may have fewer.

        Returns:
            The outputs of all steps, rows in the order of `order`.
        """
        whole = len(order) // batch_size * batch_size
        pieces = []
        structure = tree.flatten(None)[1]
        for rows, size in ((order[:whole], batch_size), (order[whole:], 0)):
            if len(rows):
                traced = self._traced(size or len(rows))
                outer = [value.data for value in traced.outer()]
                with self._turn:
                    results = self._loops.run(
                        traced.graph, rows, size or len(rows), outer
                    )
                structure = traced.structure.children[1]
                pieces.append(results)
        columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
        return tree.unflatten(structure, map(constant, columns))

    def seconds(self, batch_size: int) -> float | None:
        """How long a step takes, where that is known and no trial is due."""
        return self._loops.seconds(self._traced(batch_size).graph)

    def passes(
        self, orders: np.ndarray[Any, Any], batch_size: int, part: str, fresh: Any
    ) -> Any:
        """Take the steps of several passes over the data, at once.

        Args:
            orders: for each pass the numbers of its rows; its last step may have fewer
                than the others.
            batch_size: the rows of a step, which returns no outputs.
            part: a key of the state.
            fresh: what the state has under it before each pass.

        Returns:
            What the state had under `part` after each pass: a tree of arrays with the
            passes in front.

        Example:
            >>> import chainrule
            >>> def step(state, x):
            ...     return {"sum": state["sum"] + chainrule.sum(x)}, None
            >>> zero = chainrule.asarray(0.0)
            >>> loop = Loop(step)
            >>> loop.begin({"sum": zero}, np.arange(5, dtype="float32"))
            >>> orders = np.array([[0, 1, 2], [2, 3, 4]])
            >>> loop.passes(orders, 2, "sum", zero).tolist()
            [3.0, 9.0]
        """
        length = orders.shape[1]
        whole = length // batch_size * batch_size
        parts = []
        for rows, size in ((whole, batch_size), (length - whole, length - whole)):
            if rows:
                traced = self._traced(size)
                outer = [value.data for value in traced.outer()]
                parts.append(Part(traced.graph, size, rows, outer))
        places, structure = self._state.parts[part]
        leaves = [np.asarray(value.data) for value in tree.flatten(fresh)[0]]
        starts = dict(zip(places, leaves, strict=True))
        columns = self._loops.passes(parts, orders, starts)
        return tree.unflatten(structure, columns)

    def state(self) -> Any:
        """The state now."""
        arrays = self._loops.state()
        return self._tree(self._state.structure, range(len(arrays)), arrays)

    def graph(self, batch_size: int) -> tuple[Graph, list[np.ndarray[Any, Any]]]:
        """The graph of a step for batches of this size, and what it captured.

        Its inputs are the leaves of the state, the arrays of the data, the numbers of
        the rows of the batch, and what was captured.
        """
        traced = self._traced(batch_size)
        return traced.graph, [np.asarray(value.data) for value in traced.outer()]

    def _traced(self, batch_size: int) -> Traced:
        """The step for batches of this size, which picks its rows from the data."""
        found = self._data.sizes.get(batch_size)
        found = found or self._own.get((self._data, batch_size))
        if found is None:
            found = self._trace(batch_size)
            if not self._table.keep(self._data, batch_size, found):
                self._own[self._data, batch_size] = found
        return found

    def _trace(self, batch_size: int) -> Traced:
        state, seen, count = self._state, self._data, len(self._state.specs)
        structures: list[tree.Structure] = []

        def whole(*values: Any) -> Sequence[Any]:
            *arrays, rows = values
            pairs = zip(seen.columns, arrays[count:], strict=True)
            batch = [columns.rows(array, rows) for columns, array in pairs]
            result = self._step(
                tree.unflatten(state.structure, arrays[:count]),
                tree.unflatten(seen.structure, batch),
            )
            leaves, found = tree.flatten(result)
            structures.append(found)
            return [
                leaf if isinstance(leaf, Value) else constant(leaf) for leaf in leaves
            ]

        data = [columns.spec for columns in seen.columns]
        specs = [*state.specs, *data, Spec((batch_size,), int64)]
        graph, captured = trace(whole, specs, name=self.name)
        traced = Traced(graph, captured, structures[0])
        self._check(traced)
        return traced

    def _check(self, traced: Traced) -> None:
        """The state that comes out must fit where the state goes in."""
        pair = traced.structure
        if pair.kind is not tuple or len(pair.children) != 2:
            raise TraceError("a step returns (state, outputs)", where=self.name)
        if pair.children[0] != self._state.structure:
            raise TraceError(
                "the step returned a state of another structure",
                where=self.name,
                got=pair.children[0],
                expected=self._state.structure,
            )
        specs = zip(
            self._state.names,
            self._state.specs,
            traced.graph.output_specs,
            strict=False,
        )
        for name, old, new in specs:
            if old != new:
                raise TraceError(
                    f"the step changed the shape or dtype of {name}",
                    where=self.name,
                    got=new,
                    expected=old,
                )


@dataclass(frozen=True)
class Columns:
    """What an array of the data looks like.

    Attributes:
        spec: of the array in memory.
        window: how many of its rows, one after another, make a row of the data; 0 where
            each is one.
    """

    spec: Spec
    window: int = 0

    @classmethod
    def of(cls, array: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], Columns]:
        """The array in memory that `array` is, or is a view of, and what it looks like.

        Example:
            >>> windows = np.lib.stride_tricks.sliding_window_view(np.arange(9), 4)
            >>> array, columns = Columns.of(windows)
            >>> array.shape, columns.window
            ((9,), 4)
        """
        window = 0
        if array.ndim > 1 and min(array.shape[:2]) > 1:
            step, inner = array.strides[:2]
            if step == inner > 0 and array[0, 0].flags.c_contiguous:
                window = array.shape[1]
                shape = (len(array) + window - 1, *array.shape[2:])
                array = np.lib.stride_tricks.as_strided(
                    array, shape, array.strides[1:], writeable=False
                )
        return array, cls(spec_of(array.shape, as_dtype(array.dtype)), window)

    def rows(self, array: Any, rows: Any) -> Any:
        """The rows of these numbers; part of a compiled step."""
        if not self.window:
            return take(array, rows, axis=0)
        shape = (*rows.spec.shape, self.window)
        first = broadcast_to(reshape(rows, shape=(*rows.spec.shape, 1)), shape=shape)
        return take(array, add(first, iota(shape=shape, axis=1, dtype=int64)), axis=0)


class Data:
    """What the data of a step looks like, and what was traced for it.

    Attributes:
        structure: of the tree of its arrays.
        columns: what each array looks like.
        sizes: the step for batches of so many rows.
    """

    def __init__(self, data: Any, columns: list[Columns]) -> None:
        self.structure = tree.flatten(data)[1]
        self.columns = columns
        self.sizes: dict[int, Traced] = {}


class State:
    """What the state of a step looks like.

    Attributes:
        structure: of the tree of its values.
        specs: of the values.
        names: of the values, for messages.
        seen: the data that came with it.
    """

    def __init__(self, state: Any, name: str) -> None:
        leaves, self.structure = tree.flatten(state)
        self.specs = [_as_value(leaf).spec for leaf in leaves]
        self.names = tree.leaf_names(state, name)
        self.seen: list[Data] = []

    def data_like(self, data: Any, columns: list[Columns]) -> Data:
        """A new kind of data."""
        if len(self.seen) >= MOST_ALIKE:
            self.seen.clear()
        made = Data(data, columns)
        self.seen.append(made)
        return made

    @cached_property
    def parts(self) -> dict[str, tuple[range, tree.Structure]]:
        """For each key of the state, which is a dict: its places and its structure."""
        found, first = {}, 0
        whole = self.structure
        for key, child in zip(whole.keys, whole.children, strict=True):
            count = child.leaf_count
            found[key] = range(first, first + count), child
            first += count
        return found


def _as_value(leaf: Any) -> Any:
    return leaf if isinstance(leaf, Value) else constant(leaf)


class Table:
    """What states and data of a step have looked like, and what was traced for them.

    Args:
        shared: whether steps of several loops are in it.
    """

    def __init__(self, shared: bool = False) -> None:
        self.shared = shared
        self._states: list[State] = []

    def state_like(self, state: Any) -> tuple[State, list[Any]]:
        """What `state` looks like, and its values."""
        for known in self._states:
            leaves = tree.leaves_if_like(state, known.structure)
            if leaves is not None:
                values = list(map(_as_value, leaves))
                if [value.spec for value in values] == known.specs:
                    return known, values
        if len(self._states) >= MOST_ALIKE:
            self._states.clear()
        made = State(state, "state")
        self._states.append(made)
        return made, list(map(_as_value, tree.flatten(state)[0]))

    def keep(self, data: Data, batch_size: int, traced: Traced) -> bool:
        """Keep a step; not where others share it and it depends on more than that."""
        if not self.shared:
            data.sizes[batch_size] = traced
            return True
        size = sum(value.spec.nbytes for value in traced.graph.constants())
        if traced.captured or size > SHARED_BYTES:
            return False
        data.sizes[batch_size] = traced
        tables.shrink()
        return True

    def __len__(self) -> int:
        return sum(len(data.sizes) for state in self._states for data in state.seen)


class Tables:
    """The tables that loops share, the last ones used, by what their steps compute."""

    def __init__(self) -> None:
        self._tables: OrderedDict[Hashable, Table] = OrderedDict()
        self._last: tuple[Hashable, Table] | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))

    def get(self, key: Hashable) -> Table:
        """The table of this key, which is used again."""
        with self._lock:
            if self._last is not None and self._last[0] == key:
                return self._last[1]  # long keys are not hashed without need
            table = self._tables.get(key)
            if table is None:
                table = self._tables[key] = Table(shared=True)
                while len(self._tables) > SHARED_TRACES:
                    self._tables.popitem(last=False)
            else:
                self._tables.move_to_end(key)
            self._last = key, table
            return table

    def shrink(self) -> None:
        """Let go of the oldest tables where there are too many steps in all."""
        with self._lock:
            while len(self) > SHARED_TRACES:
                self._last = None
                self._tables.popitem(last=False)


tables = Tables()
