"""Values and the nodes that made them: together they are the tape and the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.ir.primitive import Primitive
from chainrule.ir.spec import Spec


class Value:
    """What operations take and give: a spec, data or none, and the node that made it.

    Attributes:
        spec: shape and dtype.
        data: the numbers (a NumPy array), or None while tracing.
        node: the node that made it; None for inputs, constants, untracked results.
        index: which output of the node it is.
        tape: a bit mask of the gradient levels that this value belongs to.
        owner: the interpreter that made it; None for the eager one.
        payload: the owner's own note about it (the batched value, for `vmap`).
        weak: made from a Python scalar, so that its dtype gives way in promotion.
        mask: which steps of a sequence count, where a layer said so; else None.
    """

    __slots__ = (
        "__weakref__",
        "data",
        "grad",
        "index",
        "mask",
        "node",
        "owner",
        "payload",
        "spec",
        "tape",
        "weak",
    )

    spec: Spec
    data: np.ndarray[Any, Any] | None
    node: Node | None

    def __init__(
        self,
        spec: Spec,
        data: np.ndarray[Any, Any] | None = None,
        *,
        node: Node | None = None,
        index: int = 0,
        tape: int = 0,
        owner: Any = None,
        payload: Any = None,
        weak: bool = False,
    ) -> None:
        self.spec = spec
        self.data = data
        self.node = node
        self.index = index
        self.tape = tape
        self.owner = owner
        self.payload = payload
        self.weak = weak
        self.grad: Any = None
        self.mask: Any = None


class Node:
    """One application of a primitive.

    Attributes:
        primitive: the operation.
        inputs: the values it was applied to, in order.
        params: its keyword parameters.
        outputs: the values it made; filled in traced graphs only, so that an eager tape
            has no reference cycle and is freed as soon as its result is.
        scope: the layer inside which it was recorded, such as `dense_1`.
    """

    __slots__ = ("inputs", "outputs", "params", "primitive", "scope")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Value, ...],
        params: dict[str, Any],
        scope: str = "",
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.params = params
        self.scope = scope
        self.outputs: tuple[Value, ...] = ()


class _Factory:
    """The class that interpreters make their results of."""

    value: type[Value] = Value


def use_value_class(value_class: type[Value]) -> None:
    """Name the class that users hold (`chainrule.Tensor`), a subclass of `Value`."""
    _Factory.value = value_class


def new_value(
    spec: Spec, data: np.ndarray[Any, Any] | None = None, **slots: Any
) -> Any:
    """A value of the class that users hold."""
    return _Factory.value(spec, data, **slots)
