"""Sequences that a loop writes over sequences that it reads.

What a step computes of a row often takes as much room as the row, which nobody needs
afterwards: the gates of a recurrent cell where their weighted inputs were, and in the
backward loop the gradients where the gates were. Written in place, it needs no memory
of its own, and the caches hold its lines already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from chainrule.compiler.expression import Expression, Place
from chainrule.compiler.fuse import Group, depends
from chainrule.compiler.index import Index
from chainrule.compiler.kernel import Kernel, LoopKernel, Plan, ScanKernel, Step, Write
from chainrule.compiler.lower import Store
from chainrule.ir.value import Value

Built = Mapping[Group, tuple[Kernel, list[Value]]]


class Layout(Protocol):
    """What is known of where values lie."""

    @property
    def stores(self) -> dict[int, Store]:
        """How each stored value is laid out, by identity."""


def rows_over_rows(built: Built, layout: Layout, taken: set[int]) -> dict[int, Value]:
    """For each sequence that is written over another, by identity: that other.

    The groups that read the other are made to come first.

    Args:
        built: kernels in order, with the values in their buffers.
        layout: where values lie.
        taken: the ids of values whose memory is not to be shared.
    """
    found: dict[int, Value] = {}
    for group, (kernel, _) in built.items():
        if isinstance(kernel, ScanKernel):
            _pair(group, kernel, built, layout, taken, found)
    return found


def _pair(
    group: Group,
    kernel: ScanKernel,
    built: Built,
    layout: Layout,
    taken: set[int],
    found: dict[int, Value],
) -> None:
    """Pairs of the sequences of one loop."""
    node = group.roots[0].node
    assert node is not None
    first = len(node.inputs) - node.params["sequences"]
    given = list(zip(node.inputs, kernel.bindings, strict=False))[first:]
    made = zip(
        node.outputs[node.params["carried"] :],
        kernel.bindings[len(node.inputs) :],
        strict=True,
    )
    used: set[int] = set()
    for result, target in made:
        for row, source in given:
            same = _same_place(layout, row, result) and id(row) not in used
            free = not {id(row), id(result)} & taken and row.node is not None
            alone = sum(value is row for value in node.inputs) == 1
            if not (same and free and alone):
                continue
            readers = [g for g in built if g is not group and id(row) in g.reads]
            late = any(depends(reader, group) for reader in readers)
            if late or not _at_once(kernel.plan, source.value, target.value):
                continue
            group.after.update(readers)
            used.add(id(row))
            found[id(result)] = found.get(id(row), row)
            break


def _same_place(layout: Layout, row: Value, result: Value) -> bool:
    stores = layout.stores[id(row)], layout.stores[id(result)]
    spec = row.spec.shape == result.spec.shape and row.spec.dtype is result.spec.dtype
    return spec and stores[0].strides == stores[1].strides


def _at_once(plan: Plan, row: Value, result: Value) -> bool:
    """Whether a step writes `result` over `row`, which it needs no more.

    One kernel reads the row; at each point it writes all the places that it read there.
    """
    reading = [step for step in plan.steps if any(v is row for v in step.values)]
    if len(reading) != 1 or not isinstance(reading[0].kernel, LoopKernel):
        return False
    (step,) = reading
    for earlier in plan.steps[: plan.steps.index(step)]:
        if any(_memory(plan, value) is result for value in earlier.values):
            return False
    read, written = _read(step, row), _written(step, plan, result)
    return read is not None and written is not None and read <= written


def _memory(plan: Plan, value: Value) -> Value:
    return plan.over.get(id(value), value)


def _written(step: Step, plan: Plan, result: Value) -> set[Index] | None:
    """Where a kernel writes a value at each point; None if not all at its end."""
    assert isinstance(step.kernel, LoopKernel)
    places: set[Index] = set()
    for stage in step.kernel.stages:
        if not isinstance(stage, Write) or stage.axes or step.kernel.inside:
            return None
        if _memory(plan, step.values[stage.buffer]) is result:
            places.add(stage.offset)
    return places


def _read(step: Step, row: Value) -> set[Index] | None:
    """Where a kernel reads a value at each point; None if only at some."""
    assert isinstance(step.kernel, LoopKernel)
    stack: list[Expression] = [stage.expression for stage in step.kernel.stages]
    seen: set[int] = set()
    places: set[Index] = set()
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        stack.extend(part.inputs)
        place = part.detail
        if isinstance(place, Place) and step.values[place.buffer] is row:
            if part.inputs:
                return None
            places.add(place.offset)
    return places
