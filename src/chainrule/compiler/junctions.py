"""Values that many kernels need, and that are dear to compute in each of them.

The cotangent of a sum that a residual block adds to is needed by the block and by all
blocks before it. Expressed inside of what reads it, it would be computed again from the
pictures of all later blocks, more for each block. Stored, it is made where the last
product that it needs is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainrule.compiler.fuse import folds_rows, is_fold
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import Trait
from chainrule.ir.value import Node, Value

LEAST_SIZE = 1 << 14  # elements of a value that is worth a place
MANY_READS = 3  # stored values of its size that it is computed from
DEEP_READS = 4  # and where it is not summed down columns
LONG_FOLD = 32  # elements for each result
ENDS = 4  # as many kernels as are told apart

_Ends = tuple[frozenset[int], bool]
_NONE: _Ends = (frozenset(), False)


def junctions(graph: Graph, roots: Sequence[Value]) -> set[int]:
    """The ids of values that are worth storing, beside `roots`.

    They are made of many large values, and needed by a sum down columns and by another
    kernel: loops that are never one.
    """
    stored = {id(value) for value in (*graph.inputs, *roots)}
    ends = _ends(graph, stored)
    users: dict[int, int] = {}
    for node in graph.nodes:
        for key in {id(value) for value in node.inputs}:
            users[key] = users.get(key, 0) + 1
    chosen: set[int] = set()
    reads: dict[int, dict[int, int]] = {}
    for node in graph.nodes:
        value = node.outputs[0]
        if id(value) in stored:
            continue
        found = _reads(node, reads, stored)
        many = sum(2 * size > value.spec.size for size in found.values())
        several, folded = ends.get(id(value), _NONE)
        wanted = users.get(id(value), 0) > 1 and len(several) > 1
        least = MANY_READS if folded else DEEP_READS
        if wanted and many >= least and _is_large(node):
            chosen.add(id(value))
            found = {id(value): value.spec.size}
        reads[id(value)] = found
    return chosen


def _is_large(node: Node) -> bool:
    elementwise = Trait.ELEMENTWISE in node.primitive.traits
    return elementwise and node.outputs[0].spec.size >= LEAST_SIZE


def _reads(
    node: Node, reads: Mapping[int, dict[int, int]], stored: set[int]
) -> dict[int, int]:
    """The stored values that the output of a node is computed from, and their sizes."""
    found: dict[int, int] = {}
    for value in node.inputs:
        if id(value) in stored:
            found[id(value)] = value.spec.size
        else:
            found |= reads.get(id(value), {})
    return found


def _ends(graph: Graph, stored: set[int]) -> dict[int, _Ends]:
    """The stored values computed from each, and whether a long fold is among them."""
    ends: dict[int, _Ends] = {}
    for node in reversed(graph.nodes):
        value = node.outputs[0]
        if id(value) in stored:
            reached: _Ends = (frozenset([id(value)]), _is_long(node))
        else:
            reached = ends.get(id(value), _NONE)
        for source in node.inputs:
            known, folded = ends.get(id(source), _NONE)
            several = known if len(known) >= ENDS else known | reached[0]
            ends[id(source)] = several, folded or reached[1]
    return ends


def _is_long(node: Node) -> bool:
    value = node.outputs[0]
    if not is_fold(value) or node.primitive.name == "contract" or folds_rows(node):
        return False
    return node.inputs[0].spec.size >= LONG_FOLD * value.spec.size
