"""Compilation: trace a function once, run its graph from then on.

`jit` compiles a function; `Loop` compiles a step and drives it over the rows of data.
Both cache what they compiled by the specs of the arguments.
"""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff.checkpoint import call
from chainrule.compiler import Loops, Part, Runs, compile_graph, make_loop
from chainrule.errors import RetraceWarning, ShapeError, TraceError
from chainrule.ir import tree
from chainrule.ir.dtype import as_dtype, int64
from chainrule.ir.graph import Graph
from chainrule.ir.show import show
from chainrule.ir.spec import Spec
from chainrule.ir.trace import constant, is_eager, recorded_levels, trace
from chainrule.ir.value import Value
from chainrule.ops import add, broadcast_to, iota, reshape, take
from chainrule.tracing import (
    Dynamic,
    Signature,
    Traced,
    as_argument,
    kind_of,
    trace_function,
)

MANY_TRACES = 16
SHARED_TRACES = 64  # steps that are kept for others that compute the same
SHARED_BYTES = 1 << 20  # of constants in a graph, at most, for it to be kept


class Jit:
    """A compiled function; what `jit` returns.

    Attributes:
        traces: how often the function was traced, once per signature.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        static_argnames: tuple[str, ...] = (),
        max_traces: int | None = None,
        backend: str | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.static_argnames = static_argnames
        self.max_traces = max_traces
        self.backend = backend
        self.name = getattr(function, "__name__", "function").strip("<>")
        self._cache: dict[Signature, Traced] = {}
        self._programs: dict[Traced, Runs] = {}
        self._last: Signature | None = None

    @property
    def traces(self) -> int:
        """How many signatures were traced."""
        return len(self._cache)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns for these arguments."""
        if not is_eager():
            return self.function(*args, **kwargs)
        args, kwargs = self._normalize(args, kwargs)
        traced, values = self._lookup(args, kwargs)
        inputs = [*values, *traced.outer()]
        if recorded_levels(inputs):
            outputs = call(*inputs, graph=traced.graph, rule=None)
        else:
            program = self._program(traced)
            arrays = program([value.data for value in inputs])
            outputs = [constant(array) for array in arrays]
        return tree.unflatten(traced.structure, outputs)

    def _program(self, traced: Traced) -> Runs:
        if traced not in self._programs:
            self._programs[traced] = compile_graph(traced.graph, self.backend)
        return self._programs[traced]

    def program(self, *args: Any, **kwargs: Any) -> Runs:
        """What runs for these arguments; native ones have `report()` and `show()`."""
        args, kwargs = self._normalize(args, kwargs)
        return self._program(self._lookup(args, kwargs)[0])

    def show(self, *args: Any, **kwargs: Any) -> str:
        """The traced graph for these arguments, as text."""
        args, kwargs = self._normalize(args, kwargs)
        return show(self._lookup(args, kwargs)[0].graph)

    def _normalize(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Static arguments by keyword, so that a name finds them however given."""
        if not self.static_argnames:
            return args, kwargs
        names = list(inspect.signature(self.function).parameters)
        by_name = dict(zip(names, args, strict=False))
        moved = {n: by_name[n] for n in self.static_argnames if n in by_name}
        if not moved:
            return args, kwargs
        return (), {**by_name, **kwargs}

    def _lookup(self, args: Any, kwargs: Any) -> tuple[Traced, list[Any]]:
        leaves, structure = tree.flatten((args, kwargs))
        static = self._static_flags(args, kwargs)
        kinds = tuple(kind_of(x, s) for x, s in zip(leaves, static, strict=True))
        signature = Signature(structure, kinds)
        traced = self._cache.get(signature)
        if traced is None:
            self._guard(signature, args, kwargs)
            traced = trace_function(self.function, signature, self.name)
            self._cache[signature] = traced
        self._last = signature
        values = [
            as_argument(leaf, kind)
            for leaf, kind in zip(leaves, kinds, strict=True)
            if isinstance(kind, Dynamic)
        ]
        return traced, values

    def _static_flags(self, args: Any, kwargs: Any) -> list[bool]:
        flags = [False] * sum(len(tree.flatten(arg)[0]) for arg in args)
        for key, arg in kwargs.items():
            flags += [key in self.static_argnames] * len(tree.flatten(arg)[0])
        return flags

    def _guard(self, signature: Signature, args: Any, kwargs: Any) -> None:
        """Say which argument changed when the function is traced again and again."""
        count, limit = len(self._cache), self.max_traces
        if limit is not None and count >= limit:
            raise TraceError(
                f"traced {count} times, and max_traces allows no more",
                where=self.name,
                got=self._difference(signature, args, kwargs),
                fix="give the argument one shape and dtype, or raise max_traces",
            )
        if limit is None and count and count % MANY_TRACES == 0:
            warnings.warn(
                f"'{self.name}' has been traced {count} times; "
                f"{self._difference(signature, args, kwargs)}. Each trace is compiled "
                "anew: keep shapes and dtypes the same, or pad to a few sizes.",
                RetraceWarning,
                stacklevel=5,
            )

    def _difference(self, signature: Signature, args: Any, kwargs: Any) -> str:
        if self._last is None or self._last.structure != signature.structure:
            return "the structure of the arguments changed"
        names = _argument_names(self.function, args, kwargs)
        pairs = zip(names, self._last.leaves, signature.leaves, strict=True)
        changes = [
            f"argument {name} changed from {old} to {new}"
            for name, old, new in pairs
            if old != new
        ]
        return "; ".join(changes)


def _argument_names(function: Callable[..., Any], args: Any, kwargs: Any) -> list[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names: list[str] = []
    for position, arg in enumerate(args):
        known = position < len(parameters) and parameters[position].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        root = parameters[position].name if known else f"args[{position}]"
        names += tree.leaf_names(arg, root)
    for key, arg in kwargs.items():
        names += tree.leaf_names(arg, key)
    return names


def jit(
    function: Callable[..., Any] | None = None,
    *,
    static_argnames: str | Sequence[str] = (),
    max_traces: int | None = None,
    backend: str | None = None,
) -> Any:
    """Compile `function`: it is traced at the first call with arguments of new specs.

    Args:
        function: a pure function of tensors, NumPy arrays, Python numbers and trees of
            them; other hashable arguments are static.
        static_argnames: names of arguments whose values are part of the compiled code.
        max_traces: how many traces are allowed before an error; None warns every 16.
        backend: `native` or `interpret`; `CHAINRULE_BACKEND` where None.

    Returns:
        A `Jit`, called like the function. Inside other transformations it is traced
        through; where gradients are recorded it counts as one operation.

    Raises:
        TraceError: beyond `max_traces`, naming the argument that changed.

    Example:
        >>> import chainrule
        >>> @chainrule.jit
        ... def f(x, scale):
        ...     return chainrule.sum(x * scale)
        >>> f(chainrule.asarray([1.0, 2.0]), 3).item(), f.traces
        (9.0, 1)
    """
    names = (static_argnames,) if isinstance(static_argnames, str) else static_argnames
    if function is None:
        return functools.partial(
            jit, static_argnames=names, max_traces=max_traces, backend=backend
        )
    return Jit(function, tuple(names), max_traces, backend)


class Loop:
    """A compiled step, driven over the rows of data.

    Args:
        step: the step.
        name: what messages and reports call it.
        backend: `native` or `interpret`; `CHAINRULE_BACKEND` where None.
        shared: loops of one key share what they traced: their steps compute the same.

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
        self._shared = shared
        self._fed: Any = None
        self._data_structure = tree.flatten(None)[1]
        self._data_specs: list[Columns] = []
        self._loops: Loops = make_loop(backend)
        # by what state and data look like: names of the state's leaves, and the traced
        # steps by batch size
        self._cache: dict[Any, tuple[list[str], dict[int, Traced]]] = {}

    def begin(self, state: Any, data: Any) -> None:
        """Set the state, and the arrays whose rows `run` will name.

        Raises:
            ShapeError: when the arrays of `data` differ in their number of rows.
        """
        leaves, self._state_structure = tree.flatten(state)
        self._parts: dict[str, tuple[range, tree.Structure]] = {}
        values = [x if isinstance(x, Value) else constant(x) for x in leaves]
        self._state_specs = [value.spec for value in values]
        self._data_specs = []
        arrays = self._take(data, state)
        self._fed = None
        self._loops.begin([np.asarray(value.data) for value in values], arrays)

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
            self._loops.feed(self._take(data, None))
            self._fed = data

    def _take(self, data: Any, state: Any) -> list[np.ndarray[Any, Any]]:
        """The arrays of `data`, after noting what they look like."""
        arrays, structure = tree.flatten(data)
        given = [np.asarray(array) for array in arrays]
        if len({len(array) for array in given}) > 1:
            raise ShapeError(
                "all arrays must have the same number of rows",
                where=self.name,
                got=", ".join(str(array.shape) for array in given),
            )
        data_arrays, specs = [], []
        for array in given:
            data_array, columns = Columns.of(array)
            data_arrays.append(data_array)
            specs.append(columns)
        known = self._data_structure == structure and self._data_specs == specs
        self._data_structure, self._data_specs = structure, specs
        if known and state is None:
            return data_arrays  # what was traced for them is at hand
        structures = self._state_structure, self._data_structure
        key = structures, tuple(self._state_specs), tuple(self._data_specs)
        if key not in self._cache:
            if state is not None:
                self._names = tree.leaf_names(state, "state")
            self._cache[key] = (self._names, {})
        self._names, self._sizes = self._cache[key]
        self._key = key
        return data_arrays

    def read(self, part: str) -> Any:
        """What the state has under the key `part`."""
        places, structure = self._part(part)
        return tree.unflatten(structure, map(constant, self._loops.read(places)))

    def write(self, part: str, values: Any) -> None:
        """Replace what the state has under the key `part`."""
        places, _ = self._part(part)
        arrays = [np.asarray(value.data) for value in tree.flatten(values)[0]]
        self._loops.write(places, arrays)

    def _part(self, part: str) -> tuple[range, tree.Structure]:
        """The positions of a part of the state, which is a dict, and its structure."""
        if part not in self._parts:
            first = 0
            whole = self._state_structure
            for key, child in zip(whole.keys, whole.children, strict=True):
                count = child.leaf_count
                self._parts[key] = range(first, first + count), child
                first += count
        return self._parts[part]

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
                results = self._loops.run(traced.graph, rows, size or len(rows), outer)
                structure = traced.structure.children[1]
                pieces.append(results)
        columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
        return tree.unflatten(structure, map(constant, columns))

    def seconds(self, batch_size: int) -> float | None:
        """How long a step takes, where that is known and no trial is due."""
        return self._loops.seconds(self._traced(batch_size).graph)

    def passes(
        self, orders: np.ndarray[Any, Any], batch_size: int, part: str, fresh: Any
    ) -> list[Any]:
        """Take the steps of several passes over the data, at once.

        Args:
            orders: for each pass the numbers of its rows; its last step may have fewer
                than the others.
            batch_size: the rows of a step, which returns no outputs.
            part: a key of the state.
            fresh: what the state has under it before each pass.

        Returns:
            What the state had under `part` after each pass.

        Example:
            >>> import chainrule
            >>> def step(state, x):
            ...     return {"sum": state["sum"] + chainrule.sum(x)}, None
            >>> zero = chainrule.asarray(0.0)
            >>> loop = Loop(step)
            >>> loop.begin({"sum": zero}, np.arange(5, dtype="float32"))
            >>> orders = np.array([[0, 1, 2], [2, 3, 4]])
            >>> [float(sum) for sum in loop.passes(orders, 2, "sum", zero)]
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
        places, structure = self._part(part)
        leaves = [np.asarray(value.data) for value in tree.flatten(fresh)[0]]
        starts = dict(zip(places, leaves, strict=True))
        columns = self._loops.passes(parts, orders, starts)
        return [
            tree.unflatten(structure, [constant(column[i]) for column in columns])
            for i in range(len(orders))
        ]

    def state(self) -> Any:
        """The state now."""
        return tree.unflatten(self._state_structure, map(constant, self._loops.state()))

    def graph(self, batch_size: int) -> tuple[Graph, list[np.ndarray[Any, Any]]]:
        """The graph of a step for batches of this size, and what it captured.

        Its inputs are the leaves of the state, the arrays of the data, the numbers of
        the rows of the batch, and what was captured.
        """
        traced = self._traced(batch_size)
        return traced.graph, [np.asarray(value.data) for value in traced.outer()]

    def _traced(self, batch_size: int) -> Traced:
        """The step for batches of this size, which picks its rows from the data."""
        if batch_size not in self._sizes:
            key = self._shared, self.name, self._key, batch_size
            found = None if self._shared is None else _kept.get(key)
            if found is None:
                found = self._trace(batch_size)
                if self._shared is not None:
                    _kept.add(key, found)
            self._sizes[batch_size] = found
        return self._sizes[batch_size]

    def _trace(self, batch_size: int) -> Traced:
        count = len(self._state_specs)
        structures: list[tree.Structure] = []

        def whole(*values: Any) -> Sequence[Any]:
            *arrays, rows = values
            pairs = zip(self._data_specs, arrays[count:], strict=True)
            batch = [columns.rows(array, rows) for columns, array in pairs]
            result = self._step(
                tree.unflatten(self._state_structure, arrays[:count]),
                tree.unflatten(self._data_structure, batch),
            )
            leaves, found = tree.flatten(result)
            structures.append(found)
            return [
                leaf if isinstance(leaf, Value) else constant(leaf) for leaf in leaves
            ]

        data = [columns.spec for columns in self._data_specs]
        specs = [*self._state_specs, *data, Spec((batch_size,), int64)]
        graph, captured = trace(whole, specs, name=self.name)
        traced = Traced(graph, captured, structures[0])
        self._check(traced)
        return traced

    def _check(self, traced: Traced) -> None:
        """The state that comes out must fit where the state goes in."""
        pair = traced.structure
        if pair.kind is not tuple or len(pair.children) != 2:
            raise TraceError("a step returns (state, outputs)", where=self.name)
        if pair.children[0] != self._state_structure:
            raise TraceError(
                "the step returned a state of another structure",
                where=self.name,
                got=pair.children[0],
                expected=self._state_structure,
            )
        specs = zip(
            self._names, self._state_specs, traced.graph.output_specs, strict=False
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
        return array, cls(Spec(array.shape, as_dtype(array.dtype)), window)

    def rows(self, array: Any, rows: Any) -> Any:
        """The rows of these numbers; part of a compiled step."""
        if not self.window:
            return take(array, rows, axis=0)
        shape = (*rows.spec.shape, self.window)
        first = broadcast_to(reshape(rows, shape=(*rows.spec.shape, 1)), shape=shape)
        return take(array, add(first, iota(shape=shape, axis=1, dtype=int64)), axis=0)


class _Kept:
    """The last steps that were traced, by what they compute."""

    def __init__(self) -> None:
        self._traces: OrderedDict[Hashable, Traced] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._traces)

    def get(self, key: Hashable) -> Traced | None:
        """The step of this key, which is used again."""
        with self._lock:
            if key in self._traces:
                self._traces.move_to_end(key)
            return self._traces.get(key)

    def add(self, key: Hashable, traced: Traced) -> None:
        """Keep a step, unless it depends on more than its arguments or is large."""
        size = sum(value.spec.nbytes for value in traced.graph.constants())
        if traced.captured or size > SHARED_BYTES:
            return
        with self._lock:
            self._traces[key] = traced
            while len(self._traces) > SHARED_TRACES:
                self._traces.popitem(last=False)


_kept = _Kept()
