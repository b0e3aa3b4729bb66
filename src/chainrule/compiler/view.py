"""Views: how a matrix kernel reads a value that movement operations made.

A view is strides and an offset over the memory of another value. What permutes, cuts,
repeats axes or slides windows along them is seen through it and never stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

from chainrule.compiler.lower import Store, dense_strides
from chainrule.errors import GraphError
from chainrule.ir.spec import Shape
from chainrule.ir.value import Node, Value


@dataclass(frozen=True)
class View:
    """Where the elements of a value lie in memory.

    Attributes:
        base: the value whose memory it is.
        offset: the place of the first element, counted in elements.
        strides: from one element to the next along each axis.
    """

    base: Value
    offset: int
    strides: Shape


Step = Callable[[Node, View], View]


def _permute(node: Node, view: View) -> View:
    axes = node.params["axes"]
    return View(view.base, view.offset, tuple(view.strides[axis] for axis in axes))


def _broadcast(node: Node, view: View) -> View:
    shape, given = node.outputs[0].spec.shape, node.inputs[0].spec.shape
    lead = len(shape) - len(given)
    own = tuple(
        0 if n == 1 and m != 1 else step
        for step, n, m in zip(view.strides, given, shape[lead:], strict=True)
    )
    return View(view.base, view.offset, (0,) * lead + own)


def _reshape(node: Node, view: View) -> View:
    """Axes are split, and axes of length 1 come and go."""
    strides = split_strides(
        node.inputs[0].spec.shape, view.strides, node.outputs[0].spec.shape
    )
    assert strides is not None
    return View(view.base, view.offset, strides)


def split_strides(given: Shape, strides: Shape, shape: Shape) -> Shape | None:
    """The strides of `shape` over an array of shape `given` and these strides.

    None where an axis of `shape` would have to join axes of `given`.

    Example:
        >>> split_strides((6, 1, 5), (100, 0, 7), (2, 3, 5, 1))
        (300, 100, 7, 0)
    """
    rest, made = list(shape), list[int]()
    for extent, stride in zip(given, strides, strict=True):
        taken: list[int] = []
        while math.prod(taken) < extent and rest:
            taken.append(rest.pop(0))
        if math.prod(taken) != extent:
            return None
        steps = dense_strides(tuple(taken))
        made += [0 if n == 1 else d * stride for n, d in zip(taken, steps, strict=True)]
    if any(n != 1 for n in rest):
        return None
    return (*made, *(0 for _ in rest))


def _slice(node: Node, view: View) -> View:
    start, step = node.params["start"], node.params["step"]
    pairs = list(zip(view.strides, start, step, strict=True))
    offset = view.offset + sum(stride * first for stride, first, _ in pairs)
    return View(view.base, offset, tuple(stride * each for stride, _, each in pairs))


def _to_windows(node: Node, view: View) -> View:
    axis = node.params["axis"]
    strides = list(view.strides)
    strides[-1] += node.params["dilation"] * strides[axis]
    strides[axis] *= node.params["stride"]
    return View(view.base, view.offset, tuple(strides))


STEPS: Mapping[str, Step] = {
    "permute_dims": _permute,
    "broadcast_to": _broadcast,
    "reshape": _reshape,
    "slice": _slice,
    "to_windows": _to_windows,
}


def _seen_through(value: Value, copies: Container[int]) -> Node | None:
    """The node that makes `value` a view of its input; None where it is none."""
    node = value.node
    if node is None or id(value) in copies or node.primitive.name not in STEPS:
        return None
    if 0 in value.spec.shape:
        return None
    if node.primitive.name == "reshape":
        given = node.inputs[0].spec.shape
        if split_strides(given, dense_strides(given), value.spec.shape) is None:
            return None
    return node


def view_base(value: Value, copies: Container[int]) -> Value:
    """The value whose memory is read for `value`; `copies` are read as they are."""
    node = _seen_through(value, copies)
    while node is not None:
        value = node.inputs[0]
        node = _seen_through(value, copies)
    return value


def view_of(
    value: Value, copies: Container[int], stores: Mapping[int, Store] | None = None
) -> View:
    """How `value` is read.

    Args:
        value: what is read.
        copies: the ids of values that are stored and read as they are.
        stores: the layouts of stored values; they are taken to be dense where None.
    """
    node = _seen_through(value, copies)
    if node is not None:
        return STEPS[node.primitive.name](node, view_of(node.inputs[0], copies, stores))
    if stores is None:
        return View(value, 0, dense_strides(value.spec.shape))
    if id(value) not in stores:
        raise GraphError("an operand is not stored", got=value.spec)
    store = stores[id(value)]
    return View(value, store.offset, store.strides)


def contiguous_axis(value: Value, copies: Container[int]) -> int | None:
    """The axis of `value` along which neighbours are neighbours in memory."""
    strides = view_of(value, copies).strides
    pairs = list(zip(strides, value.spec.shape, strict=True))
    found = [axis for axis, (step, n) in enumerate(pairs) if step == 1 and n != 1]
    return found[-1] if found else None
