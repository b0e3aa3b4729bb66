"""`vmap`: a function of one example applied to a batch, as an interpreter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.errors import ArgumentError, GraphError, ShapeError
from chainrule.ir import tree
from chainrule.ir.primitive import Primitive, Trait
from chainrule.ir.spec import Spec, normalize_axis
from chainrule.ir.trace import (
    Interpreter,
    as_value,
    current,
    interpret_with,
    recorded_levels,
)
from chainrule.ir.value import Node, Value, new_value
from chainrule.ops import Operation, broadcast_to, permute_dims, reshape


class Batching:
    """Applies each primitive to a whole batch, by its batching rule.

    A value of this interpreter has the spec of one example; its payload is the value of
    the interpreter outside, with the batch axis in front.
    """

    def __init__(self, size: int, outer: Interpreter) -> None:
        self.size = size
        self.outer = outer

    def wrap(self, outer: Any) -> Any:
        """The value of one example of the batch `outer`."""
        spec = Spec(outer.spec.shape[1:], outer.spec.dtype)
        return new_value(spec, owner=self, payload=outer)

    def unwrap(self, value: Any) -> Any:
        """The whole batch of which `value` is one example."""
        if value.owner is self:
            return value.payload
        return broadcast_to(value, shape=(self.size, *value.spec.shape))

    def bind(
        self, primitive: Primitive, inputs: tuple[Value, ...], params: dict[str, Any]
    ) -> Any:
        """Apply `primitive` to the batch, under the interpreter outside."""
        batched = [value.owner is self for value in inputs]
        with interpret_with(self.outer):
            if not any(batched):
                return self.outer.bind(primitive, inputs, params)
            outer = [
                v.payload if b else v for v, b in zip(inputs, batched, strict=True)
            ]
            results = _rule(primitive)(self.size, batched, outer, params)
        tape = recorded_levels(inputs)
        node = Node(primitive, inputs, params) if tape else None
        outputs = tuple(map(self.wrap, results))
        for index, value in enumerate(outputs):
            value.node, value.index, value.tape = node, index, tape
        return outputs if primitive.multiple else outputs[0]


def _rule(primitive: Primitive) -> Callable[..., Sequence[Any]]:
    if primitive.batch is not None:
        return primitive.batch
    if Trait.ELEMENTWISE in primitive.traits:
        return lambda *given: _elementwise(primitive, *given)
    raise GraphError("the primitive has no batching rule", where=primitive.name)


def _elementwise(
    primitive: Primitive,
    size: int,
    batched: Sequence[bool],
    inputs: Sequence[Any],
    params: dict[str, Any],
) -> list[Any]:
    """Broadcasting does the work once the axes of one example line up."""
    ranks = [x.spec.ndim - b for x, b in zip(inputs, batched, strict=True)]
    rank = max(ranks)
    aligned = []
    for x, has, own in zip(inputs, batched, ranks, strict=True):
        if has and own < rank:
            shape = (size, *(1,) * (rank - own), *x.spec.shape[1:])
            x = reshape(x, shape=shape)
        aligned.append(x)
    return [Operation(primitive)(*aligned, **params)]


def vmap(
    function: Callable[..., Any], in_axes: Any = 0, out_axes: int = 0
) -> Callable[..., Any]:
    """`function`, written for one example, applied to each example of a batch at once.

    Args:
        function: takes and returns trees of values.
        in_axes: the batch axis of every argument, or a tuple with one entry per
            argument; None for an argument that all examples share, as they share all
            keyword arguments.
        out_axes: the batch axis of the results.

    Returns:
        A function of batches that computes what a loop over examples would.

    Raises:
        ShapeError: when batch axes have different lengths.

    Example:
        >>> import chainrule
        >>> per_example = chainrule.vmap(chainrule.grad(lambda w, x: w * x * x),
        ...                              in_axes=(None, 0))
        >>> per_example(chainrule.asarray(1.0), chainrule.asarray([1.0, 2.0])).numpy()
        array([1., 4.], dtype=float32)
    """

    def batched_function(*args: Any, **kwargs: Any) -> Any:
        outer = current()
        axes = _axes_of(in_axes, len(args))
        flat = [_flatten(arg, axis) for arg, axis in zip(args, axes, strict=True)]
        interpreter = Batching(_batch_size(flat), outer)
        inner = [
            tree.unflatten(structure, _enter(interpreter, leaves, axis))
            for leaves, structure, axis in flat
        ]
        with interpret_with(interpreter):
            result = function(*inner, **kwargs)
        leaves, structure = tree.flatten(result)
        done = [_leave(interpreter, leaf, out_axes) for leaf in leaves]
        return tree.unflatten(structure, done)

    return batched_function


def _axes_of(in_axes: Any, count: int) -> Sequence[int | None]:
    if isinstance(in_axes, int):
        return [in_axes] * count
    if not isinstance(in_axes, (tuple, list)) or len(in_axes) != count:
        raise ArgumentError(
            "in_axes must have one entry per argument",
            where="vmap",
            got=in_axes,
            expected=f"an integer, or {count} of integers and None",
        )
    return in_axes


def _flatten(
    arg: Any, axis: int | None
) -> tuple[list[Any], tree.Structure, int | None]:
    leaves, structure = tree.flatten(arg)
    if axis is not None:
        leaves = [as_value(x) for x in leaves]
    return leaves, structure, axis


def _batch_size(flat: Sequence[tuple[list[Any], tree.Structure, int | None]]) -> int:
    sizes: set[int] = {
        leaf.spec.shape[normalize_axis(axis, leaf.spec.ndim, "vmap")]
        for leaves, _, axis in flat
        if axis is not None
        for leaf in leaves
    }
    if len(sizes) != 1:
        raise ShapeError(
            "batch axes must have one length",
            where="vmap",
            got=", ".join(map(str, sorted(sizes))) or "no argument with a batch axis",
            expected="one length",
            fix="name the batch axis of each argument: vmap(f, in_axes=(0, None))",
        )
    return sizes.pop()


def _enter(
    interpreter: Batching, leaves: Sequence[Any], axis: int | None
) -> Sequence[Any]:
    if axis is None:
        return leaves
    return [interpreter.wrap(_move(x, axis, 0)) for x in leaves]


def _leave(interpreter: Batching, leaf: Any, axis: int) -> Any:
    return _move(interpreter.unwrap(as_value(leaf)), 0, axis)


def _move(x: Any, source: int, target: int) -> Any:
    ndim = x.spec.ndim
    source, target = normalize_axis(source, ndim), normalize_axis(target, ndim)
    if source == target:
        return x
    order = [axis for axis in range(ndim) if axis != source]
    order.insert(target, source)
    return permute_dims(x, axes=tuple(order))
