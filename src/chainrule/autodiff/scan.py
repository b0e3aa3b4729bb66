"""`scan`: a loop that carries a state, as one operation with a backward rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff.batching import Batching
from chainrule.autodiff.levels import Level
from chainrule.autodiff.reverse import reverse as reverse_walk
from chainrule.autodiff.reverse import zeros
from chainrule.errors import ArgumentError, ShapeError
from chainrule.ir import tree
from chainrule.ir.dtype import ALL, float64
from chainrule.ir.graph import Graph, evaluate
from chainrule.ir.primitive import Sample, Trait
from chainrule.ir.spec import Spec
from chainrule.ir.trace import as_value, current, interpret_with, replay, trace
from chainrule.ir.value import Value
from chainrule.ops import add, broadcast_to, cos, multiply, permute_dims, sin
from chainrule.ops.define import operation


@dataclass(frozen=True)
class _Parts:
    """How the inputs and outputs of a scan divide.

    The inputs are what all steps share, then what is carried at first, then the
    sequences; the outputs what is carried at last, then the stacked results.
    """

    shared: int
    carried: int

    @classmethod
    def of(cls, params: dict[str, Any], inputs: Sequence[Any]) -> _Parts:
        carried, sequences = params["carried"], params["sequences"]
        return cls(len(inputs) - carried - sequences, carried)

    def split(self, values: Sequence[Any]) -> tuple[Any, Any, Any]:
        """What is shared, what is carried, what is one of each step."""
        end = self.shared + self.carried
        return values[: self.shared], values[self.shared : end], values[end:]


def _element(spec: Spec) -> Spec:
    return Spec(spec.shape[1:], spec.dtype)


def _stacked(spec: Spec, length: int) -> Spec:
    return Spec((length, *spec.shape), spec.dtype)


def _spec(
    *inputs: Spec,
    graph: Graph,
    carried: int,
    sequences: int,
    length: int,
    reverse: bool,
    keep: bool,
) -> tuple[Spec, ...]:
    end = len(inputs) - sequences
    expected = (*inputs[:end], *map(_element, inputs[end:]))
    if expected != graph.input_specs:
        raise ShapeError(
            "the inputs of a scan do not match its graph",
            where=graph.name,
            got=", ".join(map(str, expected)),
            expected=", ".join(map(str, graph.input_specs)),
        )
    results = graph.output_specs
    stacks = tuple(_stacked(spec, length) for spec in results[carried:])
    return (*results[:carried], *stacks)


def _reference(
    *arrays: Any,
    graph: Graph,
    carried: int,
    sequences: int,
    length: int,
    reverse: bool,
    keep: bool,
) -> tuple[Any, ...]:
    """The last state and the stacked results of running `graph` step after step."""
    begin = len(arrays) - sequences - carried
    shared, state = arrays[:begin], arrays[begin : begin + carried]
    rows = arrays[begin + carried :]
    stacks = [
        np.empty((length, *spec.shape), spec.dtype.numpy)
        for spec in graph.output_specs[carried:]
    ]
    for step in reversed(range(length)) if reverse else range(length):
        given = (*shared, *state, *(row[step] for row in rows))
        results = evaluate(graph, given)
        state = results[:carried]
        for stack, result in zip(stacks, results[carried:], strict=True):
            stack[step] = result
    return (*state, *stacks)


# ---- the backward rule ---------------------------------------------------------------


def _vjp(
    needed: Sequence[bool],
    cotangents: Sequence[Any],
    outputs: Sequence[Any],
    inputs: Sequence[Any],
    params: dict[str, Any],
) -> Sequence[Any]:
    """One scan forward that keeps each state, and one backward through the steps."""
    parts = _Parts.of(params, inputs)
    shared, _, rows = parts.split(inputs)
    graph: Graph = params["graph"]
    states = _states(inputs, params, parts)
    silent = [i for i, value in enumerate(cotangents) if _is_nothing(value)]
    backward = _Backward(graph, parts, needed, silent)
    last = [cotangents[i] for i in backward.carried]
    sums = [zeros(shared[i].spec) for i in backward.shared]
    rising = [cotangents[i] for i in backward.results]
    found = run(
        *(*shared, *last, *sums, *states, *rows, *rising),
        graph=backward.graph(),
        carried=len(last) + len(sums),
        sequences=len(states) + len(rows) + len(rising),
        length=params["length"],
        reverse=not params["reverse"],
        keep=params["keep"],
    )
    return backward.placed(found, len(inputs))


def _states(
    inputs: Sequence[Any], params: dict[str, Any], parts: _Parts
) -> Sequence[Any]:
    """The states that each step began with, stacked."""
    graph: Graph = params["graph"]
    begins = graph.inputs[parts.shared : parts.shared + parts.carried]
    wide = Graph(graph.name, graph.inputs, graph.nodes, (*graph.outputs, *begins))
    results = run(*inputs, **{**params, "graph": wide})
    states: Sequence[Any] = results[len(graph.outputs) :]
    return states


def _is_nothing(value: Any) -> bool:
    """Whether a traced cotangent is zero by the way that it was made."""
    if value.data is not None or value.node is None:
        return False
    source = value.node.inputs[0] if value.node.inputs else value
    made = value.node.primitive.name == "broadcast_to"
    return made and source.data is not None and not source.data.any()


class _Backward:
    """The step of the backward scan.

    It takes what is shared, the cotangents of the state and the sums of those of what
    is shared, and then for each step: the state it began with, its rows, and the
    cotangents of its results. It runs the step again: a compiler that runs both scans
    may keep what the first one computed instead.
    """

    def __init__(
        self,
        step: Graph,
        parts: _Parts,
        needed: Sequence[bool],
        silent: Sequence[int] = (),
    ) -> None:
        self.step, self.parts = step, parts
        wanted_shared, _, wanted_rows = parts.split(needed)
        _, begins, _ = parts.split(step.inputs)
        self.shared = [i for i, wanted in enumerate(wanted_shared) if wanted]
        self.rows = [i for i, wanted in enumerate(wanted_rows) if wanted]
        self.carried = [i for i, v in enumerate(begins) if v.spec.dtype.is_float]
        specs = step.output_specs
        self.results = [
            i
            for i in range(parts.carried, len(specs))
            if specs[i].dtype.is_float and i not in silent
        ]

    def graph(self) -> Graph:
        """The traced step."""
        specs = self.step.input_specs
        outputs = self.step.output_specs
        shared, begins, rows = self.parts.split(specs)
        given = [
            *shared,
            *(begins[i] for i in self.carried),
            *(shared[i] for i in self.shared),
            *begins,
            *rows,
            *(outputs[i] for i in self.results),
        ]
        name = f"{self.step.name} backward"
        graph, captured = trace(self._step, given, name=name)
        assert not captured
        return graph

    def _step(self, *values: Any) -> Sequence[Any]:
        remaining = iter(values)

        def take(count: int) -> list[Any]:
            return [next(remaining) for _ in range(count)]

        shared = take(self.parts.shared)
        falling, sums = take(len(self.carried)), take(len(self.shared))
        begins = take(self.parts.carried)
        rows = take(len(self.step.inputs) - self.parts.shared - self.parts.carried)
        rising = dict(zip(self.results, remaining, strict=True))
        rising.update(zip(self.carried, falling, strict=True))
        level = Level()
        fresh = [level.track(value) for value in (*shared, *begins, *rows)]
        results = replay(self.step, fresh)
        chosen = sorted(rising)
        ends = [results[i] for i in chosen], [rising[i] for i in chosen]
        with level.walking():
            found = reverse_walk(*ends, fresh)
        found = [
            zeros(value.spec) if g is None else level.release(g)
            for g, value in zip(found, fresh, strict=True)
        ]
        of_shared, of_state, of_rows = self.parts.split(found)
        totals = [
            add(total, of_shared[i]) for total, i in zip(sums, self.shared, strict=True)
        ]
        state = [of_state[i] for i in self.carried]
        return [*state, *totals, *(of_rows[i] for i in self.rows)]

    def placed(self, found: Sequence[Any], count: int) -> list[Any]:
        """The results of the backward scan by the inputs of the forward one."""
        remaining = iter(found)
        cotangents: list[Any] = [None] * count
        for i in self.carried:
            cotangents[self.parts.shared + i] = next(remaining)
        for i in self.shared:
            cotangents[i] = next(remaining)
        for i in self.rows:
            cotangents[self.parts.shared + self.parts.carried + i] = next(remaining)
        return cotangents


# ---- batches -------------------------------------------------------------------------


def _batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: dict[str, Any]
) -> Sequence[Any]:
    """The state gets a batch axis whatever has one; sequences have it second."""
    parts = _Parts.of(params, inputs)
    flags = parts.split(batched)
    shared, first, rows = parts.split(inputs)
    state = [
        value if has else broadcast_to(value, shape=(size, *value.spec.shape))
        for value, has in zip(first, flags[1], strict=True)
    ]
    turned = [
        _swapped(value) if has else value
        for value, has in zip(rows, flags[2], strict=True)
    ]
    everything = [*flags[0], *[True] * parts.carried, *flags[2]]
    graph = _widened(params["graph"], size, everything)
    results = run(*shared, *state, *turned, **{**params, "graph": graph})
    stacks = [_swapped(value) for value in results[parts.carried :]]
    return [*results[: parts.carried], *stacks]


def _swapped(value: Any) -> Any:
    order = (1, 0, *range(2, value.spec.ndim))
    return permute_dims(value, axes=order)


def _widened(graph: Graph, size: int, batched: Sequence[bool]) -> Graph:
    """The graph of one example as that of a batch; all its outputs have the axis."""

    def whole(*values: Any) -> Sequence[Any]:
        inner = Batching(size, current())
        pairs = zip(values, batched, strict=True)
        one = [inner.wrap(value) if has else value for value, has in pairs]
        with interpret_with(inner):
            results = replay(graph, one)
        return [inner.unwrap(value) for value in results]

    specs = [
        Spec((size, *spec.shape), spec.dtype) if has else spec
        for spec, has in zip(graph.input_specs, batched, strict=True)
    ]
    wide, captured = trace(whole, specs, name=graph.name)
    assert not captured
    return wide


# ---- the record ----------------------------------------------------------------------


def _samples() -> Iterable[Sample]:
    random = np.random.default_rng(23)
    for shape, length in (((3, 5), 4), ((), 1), ((2,), 0), ((0, 4), 3), ((33,), 7)):
        spec = Spec(shape, float64)

        def step(w: Any, state: Any, x: Any) -> list[Any]:
            mixed = add(multiply(sin(state), w), x)
            return [mixed, multiply(cos(mixed), state)]

        graph, _ = trace(step, [spec] * 3, name="step")
        arrays = tuple(random.normal(size=s) for s in (shape, shape, (length, *shape)))
        for reverse in (False, True):
            yield Sample(
                arrays,
                {
                    "graph": graph,
                    "carried": 1,
                    "sequences": 1,
                    "length": length,
                    "reverse": reverse,
                    "keep": not reverse,
                },
            )


run = operation(
    "scan",
    spec=_spec,
    reference=_reference,
    vjp=_vjp,
    dtypes=ALL,
    samples=_samples,
    batch=_batch,
    traits=[Trait.LOOP],
    multiple=True,
)


# ---- for users -----------------------------------------------------------------------


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    keep: bool = True,
) -> tuple[Any, Any]:
    """Run `carry, y = f(carry, x)` along a sequence; the last carry and all `y`.

    ```
    carry_0 = init,   carry_(t+1), y_t = f(carry_t, x_t),   t = 0 .. length - 1
    ```

    `f` is traced once, so that a long loop is a small graph; compiled, it is one native
    loop. Its gradient is a second loop, backward, which begins each step with the carry
    that the first one had there (backpropagation through time: Werbos, "Backpropagation
    through time: what it does and how to do it", Proceedings of the IEEE, 1990).

    Args:
        f: takes and returns trees of arrays; the carry keeps its structure, shapes and
            dtypes. What it takes from around it is differentiated too.
        init: the first carry.
        xs: a tree of arrays, all as long along their first axis; None for no input.
        length: the number of steps, where there is no `xs`.
        reverse: whether to begin at the end; results lie where their inputs lay.
        keep: whether compiled code keeps what the backward loop needs of each step;
            otherwise that computes it again from the carry, in less memory.

    Returns:
        The last carry, and the tree of results stacked along a new first axis.

    Raises:
        ShapeError: when the sequences have different lengths, or the carry changes its
            structure, shape or dtype.

    Example:
        >>> import chainrule
        >>> total, sums = chainrule.scan(lambda c, x: (c + x, c + x), 0.0,
        ...                              chainrule.asarray([1.0, 2.0, 3.0]))
        >>> total.item(), sums.numpy()
        (6.0, array([1., 3., 6.], dtype=float32))
    """
    return _Scan(f, init, xs).apply(length, reverse, keep)


class _Scan:
    """A loop taken apart into values and structures."""

    def __init__(self, f: Callable[..., Any], init: Any, xs: Any) -> None:
        self.f = f
        leaves, self.carry = tree.flatten(init)
        self.first = [as_value(leaf) for leaf in leaves]
        leaves, self.element = tree.flatten(xs)
        self.rows = [as_value(leaf) for leaf in leaves]
        self.name = getattr(f, "__name__", "step").strip("<>")
        self.result: Any = None

    def apply(self, length: int | None, reverse: bool, keep: bool) -> tuple[Any, Any]:
        """Trace the step, and bind the loop."""
        steps = self._length(length)
        specs = [value.spec for value in self.first]
        specs += [_element(value.spec) for value in self.rows]
        graph, captured = trace(self._step, specs, name=self.name)
        own, outer = graph.inputs[: len(specs)], graph.inputs[len(specs) :]
        graph = Graph(graph.name, (*outer, *own), graph.nodes, graph.outputs)
        shared = [v if isinstance(v, Value) else v.held for v in captured]
        results = run(
            *(*shared, *self.first, *self.rows),
            graph=graph,
            carried=len(self.first),
            sequences=len(self.rows),
            length=steps,
            reverse=bool(reverse),
            keep=bool(keep),
        )
        carry = tree.unflatten(self.carry, list(results[: len(self.first)]))
        return carry, tree.unflatten(self.result, list(results[len(self.first) :]))

    def _length(self, length: int | None) -> int:
        lengths = {
            value.spec.shape[0] if value.spec.ndim else -1 for value in self.rows
        }
        if length is not None:
            lengths.add(int(length))
        if len(lengths) != 1 or min(lengths) < 0:
            raise ShapeError(
                "a scan takes sequences of one length",
                where="scan",
                got=", ".join(str(value.spec) for value in self.rows) or "no sequence",
                expected="arrays with a first axis of one length"
                if self.rows
                else "xs, or a length",
                fix="scan(f, init, xs)  or  scan(f, init, length=10)",
            )
        return lengths.pop()

    def _step(self, *values: Any) -> Sequence[Any]:
        count = len(self.first)
        carry = tree.unflatten(self.carry, list(values[:count]))
        x = tree.unflatten(self.element, list(values[count:]))
        returned = self.f(carry, x)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise ArgumentError(
                "the function of a scan returns the carry and a result",
                where=self.name,
                got=type(returned).__name__,
                expected="a tuple of two",
                fix="return carry, None",
            )
        leaves, structure = tree.flatten(returned[0])
        state = [as_value(leaf) for leaf in leaves]
        self._check(state, structure)
        results, self.result = tree.flatten(returned[1])
        return [*state, *map(as_value, results)]

    def _check(self, state: Sequence[Any], structure: Any) -> None:
        before = [value.spec for value in self.first]
        after = [value.spec for value in state]
        if structure == self.carry and before == after:
            return
        raise ShapeError(
            "the carry of a scan must stay what it is",
            where=self.name,
            got=", ".join(map(str, after)),
            expected=", ".join(map(str, before)),
            fix="give init the shape and dtype that the function returns, "
            "or cast: chainrule.astype(carry, 'float32')",
        )
