"""What a model costs, before it is trained: operations, memory, and time of a step."""

from __future__ import annotations

import copy
import importlib
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from chainrule import optimizers
from chainrule.errors import ChainruleError
from chainrule.functional import mean, random, square
from chainrule.ir import tree
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import Trait
from chainrule.ir.spec import Spec
from chainrule.ir.trace import trace
from chainrule.ir.value import Node
from chainrule.layers.collected import collected_losses
from chainrule.layers.host import entered
from chainrule.ops import add
from chainrule.training.step import differentiate
from chainrule.variable import current_values, substitute


@dataclass(frozen=True)
class Cost:
    """The cost of a model for a batch.

    Attributes:
        rows: of the batch.
        forward: floating-point operations of the forward pass, by layer.
        step_flops: operations of a training step: forward, backward and update.
        optimizer: whose update was counted.
        weights: bytes of all weights.
        gradients: bytes of the gradients of the trainable weights.
        slots: bytes of the optimizer's state.
        working: bytes of activations and of other values between the operations.
        seconds: about how long a step takes on this machine.
    """

    rows: int
    forward: dict[str, int]
    step_flops: int
    optimizer: str
    weights: int
    gradients: int
    slots: int
    working: int
    seconds: float


def flops_of(node: Node) -> int:
    """Floating-point operations of a node: two for each product that is summed up.

    Example:
        >>> from chainrule import functional
        >>> from chainrule.ir.dtype import float32
        >>> specs = [Spec((32, 784), float32), Spec((784, 10), float32)]
        >>> graph, _ = trace(lambda a, b: [functional.matmul(a, b)], specs)
        >>> sum(map(flops_of, graph.nodes)) == 2 * 32 * 784 * 10
        True
    """
    traits, outputs = node.primitive.traits, node.outputs
    if Trait.CALL in traits:
        return sum(map(flops_of, node.params["graph"].nodes))
    if Trait.LOOP in traits:
        step = sum(map(flops_of, node.params["graph"].nodes))
        return int(node.params["length"]) * step
    if Trait.CONTRACTION in traits:
        first = node.inputs[0].spec
        summed = math.prod(first.shape[axis] for axis in node.params["sums"][0])
        return 2 * outputs[0].spec.size * summed
    if Trait.REDUCTION in traits:
        return node.inputs[0].spec.size
    plain = Trait.ELEMENTWISE in traits and node.primitive.name != "cast"
    return outputs[0].spec.size if plain else 0


def cost_of(model: Any, rows: int) -> Cost | None:
    """The cost of a training step on `rows` rows; None where it cannot be told.

    Args:
        model: a built model that knows its inputs.
        rows: of the batch.
    """
    optimizer = model.optimizer or optimizers.get("adam")
    try:
        forward = forward_flops(model, rows)
        graph, slots, count = _step(model, copy.copy(optimizer), rows)
    except (ChainruleError, NotImplementedError):
        return None
    donations = [(place, place) for place in range(count)]
    # planning loads the compiler, which `import chainrule` does not
    estimate = importlib.import_module("chainrule.compiler.estimate")
    found = estimate.estimate_graph(graph, donations)
    trainable = model.trainable_weights
    return Cost(
        rows,
        forward,
        sum(map(flops_of, graph.nodes)),
        type(optimizer).__name__,
        sum(v.spec.nbytes for v in model.weights),
        sum(v.spec.nbytes for v in trainable),
        slots,
        found.arena_bytes,
        found.seconds,
    )


def _inputs(model: Any, rows: int) -> tuple[list[Spec], tree.Structure]:
    """The specs of a batch of inputs, unknown lengths taken as 1."""
    if model.inputs is not None:
        _, structure = tree.flatten(model.input)
        specs = [Spec(_filled(x.shape, rows), x.dtype) for x in model.inputs]
        return specs, structure
    specs, structure = model._seen_inputs
    return [Spec(_filled(x.shape, rows), x.dtype) for x in specs], structure


def _filled(shape: tuple[int | None, ...], rows: int) -> tuple[int, ...]:
    return (rows, *(n or 1 for n in shape[1:]))


def forward_flops(model: Any, rows: int) -> dict[str, int]:
    """Operations of the forward pass by the path of the layer, as `model/dense`."""
    specs, structure = _inputs(model, rows)

    def call(*values: Any) -> list[Any]:
        with entered(), collected_losses():
            outputs = model(tree.unflatten(structure, values), training=False)
        return tree.flatten(outputs)[0]

    graph, _ = trace(call, specs, name="forward")
    found: Counter[str] = Counter()
    for node in graph.nodes:
        found[node.scope] += flops_of(node)
    return dict(found)


def _step(model: Any, optimizer: Any, rows: int) -> tuple[Graph, int, int]:
    """The graph of a step, the bytes of the slots, and the number of donated inputs."""
    inputs, structure = _inputs(model, rows)
    trainable, frozen = model.trainable_weights, model.non_trainable_weights
    optimizer.build(trainable)
    specs = [variable.spec for variable in trainable]
    states: list[tree.Structure] = []

    def init(*params: Any) -> list[Any]:
        leaves, found = tree.flatten(optimizer.init(list(params)))
        states.append(found)
        return leaves

    slots = trace(init, specs, name="init")[0].output_specs
    kept = [*specs, *slots, *(variable.spec for variable in frozen)]

    def step(*values: Any) -> list[Any]:
        source = iter(values)
        params = [next(source) for _ in specs]
        state = tree.unflatten(states[0], [next(source) for _ in slots])
        rest = [next(source) for _ in frozen]
        x = tree.unflatten(structure, source)

        def loss(params: list[Any]) -> tuple[Any, list[Any]]:
            held = substitute([*trainable, *frozen], [*params, *rest])
            with held, random.stream(random.key(0)), entered():
                with collected_losses() as total:
                    outputs = tree.flatten(model(x, training=True))[0]
                for value in outputs:
                    if value.spec.dtype.is_float:
                        total.append(mean(square(value)))
                return _sum(total), current_values(frozen)

        (value, after), gradients = differentiate(loss, trainable, params)
        params, state = optimizer.update(gradients, state, params, value=value)
        return [*params, *tree.flatten(state)[0], *after, value]

    graph, _ = trace(step, [*kept, *inputs], name="step")
    return graph, sum(spec.nbytes for spec in slots), len(kept)


def _sum(values: list[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = add(total, value)
    return total
