"""Products that are scaled where they are made, before their axes are moved.

What is computed of each element of a product joins the kernel of the product where it
has the same axes. `f(moved(x))` is `moved(f(x))`, and to move costs nothing.
"""

from __future__ import annotations

from chainrule.compiler.fuse import uses_blocks
from chainrule.compiler.passes.rebuild import Builder, Environment
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import Trait
from chainrule.ir.value import Node, Value
from chainrule.ops import reshape


def sink_moves(graph: Graph) -> Graph:
    """`graph` with moved products that are computed with numbers before being moved."""
    users: dict[int, int] = {}
    for node in graph.nodes:
        for key in {id(value) for value in node.inputs}:
            users[key] = users.get(key, 0) + 1
    builder, environment = Builder(), Environment(graph)
    once = {key for key, count in users.items() if count == 1}
    once -= {id(value) for value in graph.outputs}
    alone: set[int] = set()  # values of the new graph with a single user
    products: set[int] = set()  # those, and what was computed of them
    for node in graph.nodes:
        inputs = environment.read(node.inputs)
        results = _sunk(node, inputs, builder, alone, products)
        for old, new in zip(node.outputs, results, strict=True):
            environment[old] = new
            if id(old) in once:
                alone.add(id(new))
            if uses_blocks(node) or _goes_on(node, inputs, alone & products):
                products.add(id(new))
    outputs = environment.read(graph.outputs)
    return Graph(graph.name, graph.inputs, tuple(builder.nodes), outputs)


def _goes_on(node: Node, inputs: tuple[Value, ...], known: set[int]) -> bool:
    """Whether a node computes with each element of a value that is known."""
    shape = node.outputs[0].spec.shape
    return Trait.ELEMENTWISE in node.primitive.traits and any(
        id(value) in known and value.spec.shape == shape for value in inputs
    )


def _sunk(
    node: Node,
    inputs: tuple[Value, ...],
    builder: Builder,
    alone: set[int],
    products: set[int],
) -> tuple[Value, ...]:
    large = [value for value in inputs if value.spec.size != 1]
    move = large[0].node if len(large) == 1 else None
    if (
        move is None
        or Trait.ELEMENTWISE not in node.primitive.traits
        or not _keeps_elements(move)
        or id(move.inputs[0]) not in products
        or not {id(move.inputs[0]), id(large[0])} <= alone
        or node.outputs[0].spec.shape != large[0].spec.shape
    ):
        return builder.apply(node.primitive, inputs, node.params, node.scope)
    source = move.inputs[0]
    operands = [
        source if value is large[0] else _flat(value, builder) for value in inputs
    ]
    (made,) = builder.apply(node.primitive, operands, node.params, node.scope)
    alone.add(id(made))
    products.add(id(made))
    return builder.apply(move.primitive, (made,), move.params, move.scope)


def _keeps_elements(move: Node) -> bool:
    """Whether a node gives its elements other places, and neither adds nor drops any.

    Of reshapes, those that only add and drop axes of one position.
    """
    if move.primitive.name == "reshape":
        given, made = move.inputs[0].spec.shape, move.outputs[0].spec.shape
        return [n for n in given if n != 1] == [n for n in made if n != 1]
    return move.primitive.name == "permute_dims"


def _flat(number: Value, builder: Builder) -> Value:
    """A number without axes, which fits every shape."""
    if not number.spec.shape:
        return number
    return builder.apply(reshape.primitive, (number,), {"shape": ()})[0]
