"""Scans: a plan within a plan, which runs again and again over what it carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from chainrule.compiler.kernel import Binding, Plan, ScanKernel
from chainrule.compiler.lower import Store
from chainrule.compiler.samples import LEAST_THREADS, samples_of
from chainrule.compiler.threads import default_threads
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Shape
from chainrule.ir.value import Node, Value

Layouts = Mapping[int, Shape]


class PlanStep(Protocol):
    """Plans the graph of one step."""

    def __call__(
        self,
        graph: Graph,
        donations: Sequence[tuple[int, int]],
        *,
        layouts: tuple[Layouts, Layouts],
        samples: int,
        alone: bool,
    ) -> Plan:
        """The plan; what the state is donated to takes its place in memory."""


def scan_kernel(
    node: Node, name: str, stores: dict[int, Store], plan_step: PlanStep
) -> tuple[ScanKernel, list[Value]]:
    """The kernel of a scan, and the values in its buffers.

    The step reads and writes slices of the sequences where they lie, and updates the
    state in place.
    """
    graph: Graph = node.params["graph"]
    carried, sequences = node.params["carried"], node.params["sequences"]
    length, reverse = node.params["length"], node.params["reverse"]
    end = len(node.inputs) - sequences
    shared = end - carried
    values = [*node.inputs, *node.outputs]
    # the state is bound by its inputs: the outputs lie there too
    sources = dict(enumerate(range(len(node.inputs))))
    targets = {
        place: len(node.inputs) + place for place in range(carried, len(node.outputs))
    }

    def strides(buffer: int, sliced: bool) -> Shape:
        own = stores[id(values[buffer])].strides
        return own[1:] if sliced else own

    layouts = (
        {place: strides(buffer, place >= end) for place, buffer in sources.items()},
        {place: strides(buffer, True) for place, buffer in targets.items()},
    )
    donations = [(shared + place, place) for place in range(carried)]
    spread = not carried and length >= max(default_threads(), LEAST_THREADS)
    plan = plan_step(
        graph, donations, layouts=layouts, samples=samples_of(node), alone=spread
    )

    def bound(value: Value, buffer: int, sliced: bool) -> Binding:
        if not sliced:
            return Binding(value, buffer)
        stride = stores[id(values[buffer])].strides[0] * value.spec.dtype.itemsize
        start = (length - 1) * stride if reverse else 0
        return Binding(value, buffer, start, -stride if reverse else stride)

    inner = plan.graph
    bindings = [
        bound(inner.inputs[place], buffer, place >= end)
        for place, buffer in sources.items()
    ]
    bindings += [
        bound(inner.outputs[place], buffer, True) for place, buffer in targets.items()
    ]
    written = frozenset(range(len(node.inputs), len(values)))
    dtypes = tuple(value.spec.dtype for value in values)
    kernel = ScanKernel(name, length, plan, tuple(bindings), written, dtypes, spread)
    return kernel, values
