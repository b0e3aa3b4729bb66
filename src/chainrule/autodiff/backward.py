"""`Tensor.backward()`: leaves gradients on the leaves of an eager tape and frees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chainrule.autodiff.levels import TAPE_BIT
from chainrule.autodiff.reverse import ones_like, reverse, zeros_like
from chainrule.errors import GradientError, ShapeError
from chainrule.ir.trace import constant, is_eager, recording
from chainrule.ir.value import Node, Value
from chainrule.ops import add, cast

# What a node whose inputs were let go has for parameters.
_FREED: dict[str, Any] = {"freed": True}


def backward(output: Value, gradient: Any, retain_graph: bool) -> None:
    """Add the gradient of `output` to `.grad` of every leaf that requires one.

    Args:
        output: where the walk starts.
        gradient: its cotangent; None means 1, for a scalar.
        retain_graph: whether the tape is kept.

    Raises:
        GradientError: when there is nothing to do or no tape to walk.
        ShapeError: when `gradient` does not have the shape of `output`.
    """
    _check(output)
    cotangent = _cotangent(output, gradient)
    nodes, leaves = _reached(output)
    with recording(~TAPE_BIT):
        found = reverse([output], [cotangent], leaves)
        for leaf, g in zip(leaves, found, strict=True):
            # a step function on the way, such as rounding, has slope 0
            g = zeros_like(leaf) if g is None else g
            leaf.grad = g if leaf.grad is None else add(leaf.grad, g)
    if not retain_graph:
        for node in nodes:
            node.inputs, node.params = (), _FREED


def _check(output: Value) -> None:
    if output.data is None or not is_eager():
        raise GradientError(
            "backward() works on numbers, not inside compiled or batched functions",
            where="Tensor.backward",
            got=output.spec,
            fix="loss, gradients = chainrule.value_and_grad(function)(weights)",
        )
    if not output.tape & TAPE_BIT:
        raise GradientError(
            "nothing that this tensor was computed from requires a gradient",
            where="Tensor.backward",
            got=output.spec,
            fix="w = chainrule.asarray(w, requires_grad=True)",
        )


def _cotangent(output: Value, gradient: Any) -> Any:
    if gradient is None:
        if output.spec.size != 1:
            raise GradientError(
                "backward() of a tensor that is no scalar needs its gradient",
                where="Tensor.backward",
                got=output.spec,
                fix="y.sum().backward(), or y.backward(gradient)",
            )
        return ones_like(output)
    value = gradient if isinstance(gradient, Value) else constant(gradient)
    if value.spec.shape != output.spec.shape:
        raise ShapeError(
            "the gradient has the shape of the tensor",
            where="Tensor.backward",
            got=value.spec,
            expected=output.spec,
        )
    return cast(value, dtype=output.spec.dtype)


def _reached(output: Value) -> tuple[list[Node], list[Value]]:
    """The nodes that no other gradient needs, and the leaves that require one."""
    nodes: dict[int, Node] = {}
    leaves: dict[int, Value] = {}
    seen: set[int] = set()
    for value in _walk(output, seen):
        if value.node is None:
            leaves[id(value)] = value
        elif value.node.params is _FREED:
            raise GradientError(
                "the tape was freed by an earlier backward()",
                where="Tensor.backward",
                fix="compute the loss again, or keep the tape: "
                "loss.backward(retain_graph=True)",
            )
        elif value.tape == TAPE_BIT:
            nodes[id(value.node)] = value.node
    return list(nodes.values()), list(leaves.values())


def _walk(output: Value, seen: set[int]) -> Iterator[Value]:
    """Every value on the tape of `backward()` below `output`, without recursion."""
    stack = [output]
    while stack:
        value = stack.pop()
        if id(value) in seen or not value.tape & TAPE_BIT:
            continue
        seen.add(id(value))
        yield value
        if value.node is not None:
            stack.extend(value.node.inputs)
