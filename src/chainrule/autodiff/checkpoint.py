"""Calls: functions kept whole in a graph, with a backward rule of their own.

One primitive, `call`, carries the traced graph of a function. `checkpoint` gives it no
rule: its backward pass runs the graph again instead of keeping what it computed.
`custom_vjp` gives it the rule that the user wrote, traced too. Whatever a function
takes from around it is an input of the call, so a call can be moved, batched and
differentiated without knowing where it was made.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from chainrule.autodiff.batching import Batching
from chainrule.autodiff.levels import Level
from chainrule.autodiff.reverse import reverse
from chainrule.errors import GradientError, ShapeError
from chainrule.ir import tree
from chainrule.ir.dtype import ALL, float64
from chainrule.ir.graph import Graph, evaluate
from chainrule.ir.primitive import Sample, Trait
from chainrule.ir.spec import Spec
from chainrule.ir.trace import as_value, current, interpret_with, replay, trace
from chainrule.ir.value import Value, new_value
from chainrule.ops import broadcast_to, cast, cos, multiply
from chainrule.ops.define import operation


@dataclass(frozen=True, eq=False)
class Rule:
    """The backward rule of a call.

    Attributes:
        graph: takes the inputs of the call, then a cotangent for each of its outputs.
        present: which inputs get a cotangent; the graph returns these, in order.
    """

    graph: Graph
    present: tuple[bool, ...]

    def __str__(self) -> str:
        return str(self.graph)


@dataclass(frozen=True, eq=False)
class LateRule:
    """A rule that is traced when a gradient is first asked for.

    Attributes:
        function: takes the inputs of the call, then a cotangent for each of its
            outputs.
        specs: of what it takes.
        present: which inputs get a cotangent; the function returns these, in order.
        name: of the traced graph.
    """

    function: Callable[..., Sequence[Any]]
    specs: tuple[Spec, ...]
    present: tuple[bool, ...]
    name: str

    @functools.cached_property
    def graph(self) -> Graph:
        """The traced function, without what it computes for nothing."""
        graph, captured = trace(self.function, self.specs, name=self.name)
        assert not captured
        return _needed_alone(graph)

    def __str__(self) -> str:
        return self.name


def _needed_alone(graph: Graph) -> Graph:
    needed = {id(value) for value in graph.outputs}
    nodes = []
    for node in reversed(graph.nodes):
        if any(id(value) in needed for value in node.outputs):
            nodes.append(node)
            needed.update(map(id, node.inputs))
    return Graph(graph.name, graph.inputs, tuple(reversed(nodes)), graph.outputs)


AnyRule: TypeAlias = "Rule | LateRule | None"


def _spec(*inputs: Spec, graph: Graph, rule: AnyRule) -> tuple[Spec, ...]:
    if inputs != graph.input_specs:
        raise ShapeError(
            "the inputs of a call do not match its graph",
            where=graph.name,
            got=", ".join(map(str, inputs)),
            expected=", ".join(map(str, graph.input_specs)),
        )
    return graph.output_specs


def _reference(*arrays: Any, graph: Graph, rule: AnyRule) -> Any:
    """The outputs of `graph`; a `rule` replaces the gradient that it would have."""
    return evaluate(graph, arrays)


def _vjp(
    needed: Sequence[bool],
    cotangents: Sequence[Any],
    outputs: Sequence[Any],
    inputs: Sequence[Any],
    params: dict[str, Any],
) -> Sequence[Any]:
    rule = params["rule"]
    if rule is not None:
        found = iter(replay(rule.graph, [*inputs, *cotangents]))
        return [next(found) if has else None for has in rule.present]
    level = Level()
    fresh = [level.track(value) for value in inputs]
    again = replay(params["graph"], fresh)
    with level.walking():
        results = reverse(again, cotangents, fresh)
    return [level.release(g) for g in results]


def _batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: dict[str, Any]
) -> Sequence[Any]:
    specs = [value.spec for value in inputs]
    graph, rule = params["graph"], params["rule"]
    wide = _widen(graph, size, batched, specs)
    if rule is not None:
        # an input that all examples share gets a cotangent from each of them; the
        # reverse walk sums these, as over any axis that was broadcast
        flags = [*batched, *[True] * len(graph.outputs)]
        backward = _widen(rule.graph, size, flags, [*specs, *wide.output_specs])
        rule = Rule(backward, rule.present)
    results: Sequence[Any] = call(*inputs, graph=wide, rule=rule)
    return results


def _widen(
    graph: Graph, size: int, batched: Sequence[bool], specs: Sequence[Spec]
) -> Graph:
    """`graph` of one example as a graph of a batch, for inputs of these specs."""

    def whole(*values: Any) -> Sequence[Any]:
        inner = Batching(size, current())
        pairs = zip(values, batched, strict=True)
        one = [inner.wrap(value) if has else value for value, has in pairs]
        with interpret_with(inner):
            results = replay(graph, one)
        return [inner.unwrap(value) for value in results]

    wide, _ = trace(whole, specs, name=graph.name)
    return wide


def _samples() -> Iterable[Sample]:
    random = np.random.default_rng(17)
    for shape in ((3, 5), (), (0, 4)):
        spec = Spec(shape, float64)
        graph, _ = trace(lambda x, w: [multiply(x, cos(w)), cos(x)], [spec] * 2)
        rule, _ = trace(lambda x, w, g, h: [multiply(g, w)], [spec] * 4)
        arrays = random.normal(size=shape), random.normal(size=shape)
        yield Sample(arrays, {"graph": graph, "rule": None})
        given = Rule(rule, (True, False))
        yield Sample(arrays, {"graph": graph, "rule": given}, smooth=False)


call = operation(
    "call",
    spec=_spec,
    reference=_reference,
    vjp=_vjp,
    dtypes=ALL,
    samples=_samples,
    batch=_batch,
    traits=[Trait.CALL],
    multiple=True,
)

_TRACED = (Value, np.ndarray, np.generic, float)


class _Call:
    """A function with its arguments, taken apart into values and everything else.

    Tensors, arrays and Python floats become inputs of the graph; other leaves (a
    boolean, an axis, a name) stay what they are.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.function = function
        self.kwargs = kwargs
        self.leaves, self.structure = tree.flatten(args)
        self.places = [i for i, x in enumerate(self.leaves) if isinstance(x, _TRACED)]
        self.values = [as_value(self.leaves[i]) for i in self.places]
        self.name = getattr(function, "__name__", "function").strip("<>")
        self.graph, self.captured = trace(self._flat, self._specs(), name=self.name)

    def _specs(self) -> list[Spec]:
        return [value.spec for value in self.values]

    def arguments(self, values: Sequence[Any]) -> Any:
        """The arguments with these values in their places."""
        leaves = list(self.leaves)
        for place, value in zip(self.places, values, strict=True):
            leaves[place] = value
        return tree.unflatten(self.structure, leaves)

    def _flat(self, *values: Any) -> Sequence[Any]:
        result = self.function(*self.arguments(values), **self.kwargs)
        leaves, self.result = tree.flatten(result)
        return [as_value(leaf) for leaf in leaves]

    def apply(self) -> Any:
        """Bind the call, differentiated through its graph."""
        inputs = [*self.values, *map(_outer, self.captured)]
        return self._bound(inputs, self.graph, None)

    def apply_with(
        self, backward: Callable[[Sequence[Any], Any], Sequence[Any]]
    ) -> Any:
        """Bind the call with `backward(values, cotangent)` as its rule."""
        present: list[bool] = []

        def flat(*given: Any) -> Sequence[Any]:
            count = len(self.values)
            cotangent = tree.unflatten(self.result, given[count:])
            found = backward(given[:count], cotangent)
            present[:] = [g is not None for g in found]
            return [g for g in found if g is not None]

        specs = [*self._specs(), *self.graph.output_specs]
        graph, captured = trace(flat, specs, name=f"{self.name} backward")
        outer = [*map(_outer, self.captured), *map(_outer, captured)]
        forward, rule = self._aligned(graph)
        rest = (False,) * len(outer)
        return self._bound(
            [*self.values, *outer], forward, Rule(rule, (*present, *rest))
        )

    def _aligned(self, backward: Graph) -> tuple[Graph, Graph]:
        """Both graphs with the same inputs: arguments, then what either captured."""
        count = len(self.values)
        end = count + len(self.graph.outputs)
        own, cotangents = backward.inputs[:count], backward.inputs[count:end]
        captured = backward.inputs[end:]
        unread = [new_value(value.spec) for value in captured]
        unread_by_rule = [new_value(value.spec) for value in self.graph.inputs[count:]]
        forward_inputs = (*self.graph.inputs, *unread)
        rule_inputs = (*own, *unread_by_rule, *captured, *cotangents)
        forward = Graph(self.name, forward_inputs, self.graph.nodes, self.graph.outputs)
        rule = Graph(backward.name, rule_inputs, backward.nodes, backward.outputs)
        return forward, rule

    def _bound(self, inputs: Sequence[Any], graph: Graph, rule: Rule | None) -> Any:
        return tree.unflatten(self.result, call(*inputs, graph=graph, rule=rule))


def _outer(source: Any) -> Any:
    """The value that a trace captured; of a variable, the one it has now."""
    return source if isinstance(source, Value) else source.held


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose intermediate values are computed again in the backward pass.

    Trades a second forward pass for the memory of its intermediate values (Chen, Xu,
    Zhang, Guestrin, "Training deep nets with sublinear memory cost", arXiv 1604.06174).

    Example:
        >>> import chainrule
        >>> block = chainrule.checkpoint(lambda x: chainrule.sin(chainrule.sin(x)))
        >>> round(chainrule.grad(block)(0.5).item(), 5)
        0.77864
    """

    @functools.wraps(function)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        return _Call(function, args, kwargs).apply()

    return checkpointed


def call_with_rule(
    forward: Callable[..., Sequence[Any]],
    backward: Callable[..., Sequence[Any]],
    inputs: Sequence[Value],
    results: int,
) -> Sequence[Any]:
    """The first `results` outputs of `forward(*inputs)`, with a rule of their own.

    `backward(inputs, outputs, cotangents)` gets all outputs of `forward`, which it
    reads rather than to compute them again, and returns one cotangent for each of the
    inputs that are floats. A compiled program computes `forward` once; the rule is
    traced only where there is a gradient. Neither takes traced values from around it.
    """
    specs = tuple(value.spec for value in inputs)
    name = forward.__name__
    whole, captured = trace(forward, specs, name=name)
    assert not captured
    graph = Graph(name, whole.inputs, whole.nodes, whole.outputs[:results])

    def rule(*given: Any) -> Sequence[Any]:
        own, cotangents = given[: len(specs)], given[len(specs) :]
        return backward(own, replay(whole, own), cotangents)

    late = LateRule(
        rule,
        (*specs, *graph.output_specs),
        tuple(spec.dtype.is_float for spec in specs),
        f"{name} backward",
    )
    outputs: Sequence[Any] = call(*inputs, graph=graph, rule=late)
    return outputs


class custom_vjp:
    """A function with a backward rule of the user's.

    `defvjp(forward, backward)` gives the rule: `forward(*args)` returns the result and
    what the backward pass needs; `backward(residuals, cotangent)` returns a tuple with
    one cotangent, or None, per argument.

    All three are traced when the function is called. What they take from around them
    may be traced or tracked itself, but has no gradient by this function.

    Raises:
        GradientError: when it is called before `defvjp`.

    Example:
        >>> import chainrule
        >>> @chainrule.custom_vjp
        ... def clip_gradient(x):
        ...     return x
        >>> clip_gradient.defvjp(lambda x: (x, None),
        ...                      lambda _, g: (chainrule.clip(g, -1.0, 1.0),))
        >>> chainrule.grad(lambda x: 5 * clip_gradient(x))(2.0).item()
        1.0
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.forward: Callable[..., Any] | None = None
        self.backward: Callable[..., Any] | None = None
        self._in_rule: ContextVar[bool] = ContextVar("in rule", default=False)

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Give the backward rule."""
        self.forward, self.backward = forward, backward

    def __call__(self, *args: Any) -> Any:
        """The result of the function, with the given backward rule."""
        if self.forward is None or self.backward is None:
            name = getattr(self.function, "__name__", "function")
            raise GradientError(
                "the function has no backward rule yet",
                where=name,
                fix=f"{name}.defvjp(forward, backward)",
            )
        if self._in_rule.get():
            # the rule itself calls the function: as it is, or it would never end
            return self.function(*args)
        return self._applied(args, self.forward, self.backward)

    def _applied(
        self,
        args: tuple[Any, ...],
        forward: Callable[..., Any],
        backward: Callable[..., Any],
    ) -> Any:
        applied = _Call(self.function, args, {})

        def rule(values: Sequence[Any], cotangent: Any) -> Sequence[Any]:
            token = self._in_rule.set(True)
            try:
                _, residuals = forward(*applied.arguments(values))
                given = tuple(backward(residuals, cotangent))
            finally:
                self._in_rule.reset(token)
            leaves = tree.leaves_like(given, applied.structure)
            pairs = [
                (leaves[place], x)
                for place, x in zip(applied.places, values, strict=True)
            ]
            return [None if g is None else _fitted(g, x) for g, x in pairs]

        return applied.apply_with(rule)


def _fitted(cotangent: Any, value: Value) -> Any:
    """A cotangent given by a user, checked against the value it belongs to."""
    g = as_value(cotangent)
    if g.spec.dtype is not value.spec.dtype:
        g = cast(g, dtype=value.spec.dtype)
    if g.spec.shape != value.spec.shape:
        g = broadcast_to(g, shape=value.spec.shape)
    return g
