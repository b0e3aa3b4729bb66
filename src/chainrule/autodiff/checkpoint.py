"""Calls: functions kept whole in a graph, with a backward rule of their own.

One primitive, `call`, carries the traced graph of a function. `checkpoint` gives it no
rule: its backward pass runs the graph again instead of keeping what it computed.
`custom_vjp` gives it the rule that the user wrote.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.autodiff.batching import Batching
from chainrule.autodiff.levels import Level
from chainrule.autodiff.reverse import reverse, zeros_like
from chainrule.autodiff.transforms import as_value
from chainrule.errors import GradientError
from chainrule.ir import tree
from chainrule.ir.dtype import ALL, float32
from chainrule.ir.graph import Graph, evaluate
from chainrule.ir.primitive import Sample, Trait
from chainrule.ir.spec import Spec
from chainrule.ir.trace import current, interpret_with, replay, trace
from chainrule.ir.value import Value
from chainrule.ops import cos, multiply
from chainrule.ops.define import operation

Rule = Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]]


def _spec(*inputs: Spec, graph: Graph, rule: Rule | None) -> tuple[Spec, ...]:
    return graph.output_specs


def _reference(*arrays: Any, graph: Graph, rule: Rule | None) -> Any:
    """The outputs of `graph`."""
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
        return list(rule(inputs, cotangents))
    level = Level()
    fresh = [level.track(value) for value in inputs]
    again = replay(params["graph"], fresh)
    with level.walking():
        found = reverse(again, cotangents, fresh)
    return [level.release(g) for g in found]


def _batch(
    size: int, batched: Sequence[bool], inputs: Sequence[Any], params: dict[str, Any]
) -> Sequence[Any]:
    graph, rule = params["graph"], params["rule"]
    whole = _over_batch(lambda *values: replay(graph, values), size, batched)
    wide, captured = trace(whole, [v.spec for v in inputs], name=graph.name)
    wide_rule = _batched_rule(rule, size, batched) if rule else None
    results = call(*inputs, *captured, graph=wide, rule=wide_rule)
    return list(results)


def _over_batch(
    function: Callable[..., Sequence[Any]], size: int, batched: Sequence[bool]
) -> Callable[..., Sequence[Any]]:
    """`function` of values of one example, applied to values of the whole batch."""

    def whole(*values: Any) -> Sequence[Any]:
        inner = Batching(size, current())
        one = [inner.wrap(v) if b else v for v, b in zip(values, batched, strict=True)]
        with interpret_with(inner):
            results = function(*one)
        return [None if value is None else inner.unwrap(value) for value in results]

    return whole


def _batched_rule(rule: Rule, size: int, batched: Sequence[bool]) -> Rule:
    def wide(inputs: Sequence[Any], cotangents: Sequence[Any]) -> Sequence[Any]:
        count = len(inputs)
        flags = [*batched, *(True for _ in cotangents)]
        split = _over_batch(lambda *v: rule(v[:count], v[count:]), size, flags)
        return split(*inputs, *cotangents)

    return wide


def _samples() -> Iterable[Sample]:
    graph, _ = trace(
        lambda x: [multiply(x, cos(x)), cos(x)], [Spec((3, 5), float32)], name="sample"
    )
    array = np.random.default_rng(17).normal(size=(3, 5)).astype(np.float32)
    yield Sample((array,), {"graph": graph, "rule": None}, smooth=False)


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


def _call(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    rule_of: Callable[[tree.Structure, tree.Structure], Rule] | None = None,
) -> Any:
    """Trace `function` and apply it as one `call`."""
    leaves, structure = tree.flatten(tuple(args))
    values = [as_value(leaf) for leaf in leaves]
    result_structure: list[tree.Structure] = []

    def flat(*inputs: Any) -> Sequence[Any]:
        result = function(*tree.unflatten(structure, inputs), **kwargs)
        outputs, found = tree.flatten(result)
        result_structure.append(found)
        return [as_value(leaf) for leaf in outputs]

    name = getattr(function, "__name__", "function")
    graph, captured = trace(flat, [v.spec for v in values], name=name)
    outer = [s if isinstance(s, Value) else s.value for s in captured]
    rule = rule_of(structure, result_structure[0]) if rule_of else None
    results = call(*values, *outer, graph=graph, rule=rule)
    return tree.unflatten(result_structure[0], results)


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
        return _call(function, args, kwargs)

    return checkpointed


class custom_vjp:
    """A function with a backward rule of the user's.

    `defvjp(forward, backward)` gives the rule: `forward(*args)` returns the result and
    what the backward pass needs; `backward(residuals, cotangent)` returns a tuple with
    one cotangent, or None, per argument.

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
        return _call(self.function, args, {}, self._rule)

    def _rule(self, arguments: tree.Structure, result: tree.Structure) -> Rule:
        forward, backward = self.forward, self.backward
        assert forward is not None
        assert backward is not None
        count = arguments.leaf_count

        def rule(inputs: Sequence[Any], cotangents: Sequence[Any]) -> Sequence[Any]:
            args = tree.unflatten(arguments, inputs[:count])
            _, residuals = forward(*args)
            given = backward(residuals, tree.unflatten(result, cotangents))
            found = [_matched(a, g) for a, g in zip(args, given, strict=True)]
            return [g for part in found for g in part] + [None] * (len(inputs) - count)

        return rule


def _matched(argument: Any, cotangent: Any) -> list[Any]:
    """Cotangent leaves of one argument; None for every leaf where there is none."""
    leaves, _ = tree.flatten(argument)
    if cotangent is None:
        return [None] * len(leaves)
    given, _ = tree.flatten(cotangent)
    return [
        zeros_like(leaf) if g is None else as_value(g)
        for leaf, g in zip(leaves, given, strict=True)
    ]
