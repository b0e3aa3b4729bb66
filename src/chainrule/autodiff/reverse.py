"""The one reverse walk: from outputs back to what they were computed from.

It sees values and nodes and cannot tell an eager tape from a traced graph. The
cotangents it computes are made with the library's own operations under the interpreter
in force, so a walk can itself be traced, batched and differentiated.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from chainrule.autodiff.rows import takes_rows
from chainrule.autodiff.slices import met, met_rows, value_of
from chainrule.errors import GradientError
from chainrule.ir.primitive import check_differentiable
from chainrule.ir.spec import Shape, Spec
from chainrule.ir.trace import constant
from chainrule.ir.value import Node, Value
from chainrule.ops import broadcast_to, reduce_sum, reshape


def reverse(
    outputs: Sequence[Value],
    cotangents: Sequence[Any],
    wrt: Sequence[Value],
    tables: Container[int] = (),
) -> list[Any]:
    """Cotangents of `wrt`, given those of `outputs`.

    Implements the chain rule in reverse: for every node, the cotangents of its inputs
    are those of its outputs times the Jacobian of the node, and cotangents that meet at
    one value are summed (Linnainmaa 1970; Rumelhart, Hinton, Williams, Nature 1986).

    Args:
        outputs: where the walk starts.
        cotangents: one per output, of its shape.
        wrt: where the walk ends; it does not go past these values.
        tables: those among them, by identity, whose cotangents may stay rows.

    Returns:
        One cotangent per value of `wrt`; None where no output depends on it. That of a
        table is a `RowGradient` where nothing was done with it but to take rows.
    """
    targets = {id(value) for value in wrt}
    tape = _Tape(outputs, targets)
    sums: dict[int, Any] = {}
    for value, cotangent in zip(outputs, cotangents, strict=True):
        if value.spec.dtype.is_float:
            _accumulate(sums, value, cotangent)
    for node in reversed(tape.order):
        if id(node) in tape.needed:
            _step(node, tape, sums, tables)
    return [value_of(sums.get(id(value))) for value in wrt]


class _Tape:
    """The nodes between outputs and targets, in the order of their making.

    Attributes:
        order: every node reached, inputs before users.
        outputs: for each node, the values of it that were reached, by position.
        needed: per node that leads to a target, which inputs need a cotangent.
    """

    def __init__(self, outputs: Sequence[Value], targets: set[int]) -> None:
        self.order: list[Node] = []
        self.outputs: dict[int, dict[int, Value]] = {}
        self.needed: dict[int, list[bool]] = {}
        self._collect(outputs, targets)
        self._mark(targets)

    def _collect(self, outputs: Sequence[Value], targets: set[int]) -> None:
        # an explicit stack: a chain of 10,000 operations must not recurse
        stack: list[tuple[Node, bool]] = []
        for value in reversed(outputs):
            self._push(stack, value, targets)
        done: set[int] = set()
        while stack:
            node, expanded = stack.pop()
            if expanded:
                self.order.append(node)
            elif id(node) not in done:
                done.add(id(node))
                stack.append((node, True))
                for value in reversed(node.inputs):
                    self._push(stack, value, targets)

    def _push(
        self, stack: list[tuple[Node, bool]], value: Value, targets: set[int]
    ) -> None:
        if value.node is None or id(value) in targets:
            return
        self.outputs.setdefault(id(value.node), {})[value.index] = value
        stack.append((value.node, False))

    def _mark(self, targets: set[int]) -> None:
        for node in self.order:
            needed = [
                value.spec.dtype.is_float
                and (
                    id(value) in targets
                    or (value.node is not None and id(value.node) in self.needed)
                )
                for value in node.inputs
            ]
            if any(needed) and self._has_float_output(node):
                self.needed[id(node)] = needed

    def _has_float_output(self, node: Node) -> bool:
        return any(v.spec.dtype.is_float for v in self.outputs[id(node)].values())


def _step(
    node: Node, tape: _Tape, sums: dict[int, Any], tables: Container[int]
) -> None:
    """Carry the cotangents of the outputs of `node` to its inputs."""
    reached = tape.outputs[id(node)]
    if not any(id(value) in sums for value in reached.values()):
        return
    rule = check_differentiable(node.primitive)
    specs = _output_specs(node, reached)
    outputs = [reached.get(index) for index in range(len(specs))]
    cotangents = [
        zeros(spec)
        if value is None or id(value) not in sums
        else value_of(sums.pop(id(value)))
        for value, spec in zip(outputs, specs, strict=True)
    ]
    if takes_rows(node, tables):
        table, indices = node.inputs
        sums[id(table)] = met_rows(sums.get(id(table)), table, indices, cotangents[0])
        return
    needed = tape.needed[id(node)]
    results = rule(needed, cotangents, outputs, node.inputs, node.params)
    for value, need, cotangent in zip(node.inputs, needed, results, strict=True):
        if need and cotangent is not None:
            _accumulate(sums, value, cotangent)


def _output_specs(node: Node, reached: dict[int, Value]) -> Sequence[Spec]:
    """Specs of all outputs of `node`, of those that nobody kept too."""
    if not node.primitive.multiple:
        return [reached[0].spec]
    found = node.primitive.spec(*[value.spec for value in node.inputs], **node.params)
    return found if isinstance(found, tuple) else [found]


def _accumulate(sums: dict[int, Any], value: Value, cotangent: Any) -> None:
    if cotangent.spec.dtype is not value.spec.dtype:
        raise GradientError(
            "a backward rule gave a cotangent of another dtype",
            got=cotangent.spec,
            expected=value.spec,
        )
    cotangent = unbroadcast(cotangent, value.spec.shape)
    sums[id(value)] = met(sums.get(id(value)), cotangent)


def unbroadcast(g: Any, shape: Shape) -> Any:
    """`g` summed over the axes along which an input of `shape` was broadcast."""
    if g.spec.shape == shape:
        return g
    extra = g.spec.ndim - len(shape)
    axes = tuple(
        axis
        for axis, length in enumerate(g.spec.shape)
        if axis < extra or (shape[axis - extra] == 1 and length != 1)
    )
    if axes:
        g = reduce_sum(g, axes=axes)
    return g if g.spec.shape == shape else reshape(g, shape=shape)


def zeros(spec: Spec) -> Any:
    """Zeros of this spec."""
    return broadcast_to(constant(0, dtype=spec.dtype), shape=spec.shape)


def zeros_like(value: Value) -> Any:
    """Zeros with the spec of `value`."""
    return zeros(value.spec)


def ones_like(value: Value) -> Any:
    """Ones with the spec of `value`."""
    return broadcast_to(constant(1, dtype=value.spec.dtype), shape=value.spec.shape)
