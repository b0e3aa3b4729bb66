"""Where NaN and infinity came from: the step, the sample, the layer and the operation.

The compiled step does not look at its numbers. Once a loss is not finite, the steps
since the last state that is known are taken again, and the first is found after which a
weight or the loss is not finite. That step is then computed node by node, and its trace
followed back from what went wrong to the operation that made it of finite numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import NonFiniteError
from chainrule.ir import tree
from chainrule.ir.dtype import widen
from chainrule.ir.graph import Graph, evaluate_all
from chainrule.ir.value import Node, Value
from chainrule.loops import Loop
from chainrule.training.data import Array
from chainrule.training.source import Chunk, Source
from chainrule.training.step import State

AT_ONCE = 64  # batches that are taken again together
GUARDED = ("trainable", "frozen")


@dataclass(frozen=True)
class Known:
    """A state that is known, and when it was.

    Attributes:
        epoch: the epoch, counted from 0.
        steps: how many of its steps were done.
        state: the state of a train step.
    """

    epoch: int
    steps: int
    state: State


@dataclass(frozen=True)
class Culprit:
    """A step that made numbers that are not finite.

    Attributes:
        epoch: its epoch, counted from 0.
        step: its number within the epoch, counted from 0.
        state: the state before it.
        data: the arrays that its rows are of.
        rows: the numbers of its rows in these.
    """

    epoch: int
    step: int
    state: State
    data: Any
    rows: Array


def is_finite(values: Any) -> bool:
    """Whether all floating-point numbers of a tree are finite.

    Example:
        >>> from chainrule.ir.trace import constant
        >>> is_finite([constant(np.array([1.0, np.inf])), constant(np.array(3))])
        False
    """
    leaves = (np.asarray(leaf.data) for leaf in tree.flatten(values)[0])
    return all(_is_finite(leaf) for leaf in leaves)


def _is_finite(array: Array) -> bool:
    array = widen(array)
    if array.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        # a sum is one pass without a copy; it may overflow where no number is infinite
        return math.isfinite(array.sum()) or bool(np.isfinite(array).all())


def locate(
    loop: Loop, source: Source, known: Known, epoch: int, value: float
) -> NonFiniteError:
    """The error that tells where a loss that is not finite came from.

    Args:
        loop: the loop of the train step; it is left in another state.
        source: what was trained on.
        known: a state before it happened.
        epoch: the epoch in which it was noticed.
        value: the loss.
    """
    culprit = None if source.continues else _find_step(loop, source, known, epoch)
    if culprit is None:
        return NonFiniteError(
            f"the loss became {value}",
            where=f"after step {known.steps + 1} of epoch {known.epoch + 1}",
            expected="finite numbers",
            fix=ADVICE,
        )
    return _explain(loop, culprit, value)


ADVICE = (
    "a smaller learning rate, or clipnorm=1.0 in the optimizer; inputs of a size near 1"
)


def _find_step(loop: Loop, source: Source, known: Known, last: int) -> Culprit | None:
    """The first step since then that leaves a weight or the loss not finite."""
    loop.begin(known.state, ())
    for epoch in range(known.epoch, last + 1):
        done = known.steps if epoch == known.epoch else 0
        for chunk, rows, first in _pieces(source, epoch, done):
            loop.feed(chunk.data)
            before = loop.state()
            loop.run(rows, chunk.batch_size)
            if not _holds(loop):
                for part, values in before.items():
                    loop.write(part, values)
                return _find_single(loop, epoch, chunk, rows, first)
    return None


def _pieces(
    source: Source, epoch: int, skip: int
) -> Iterator[tuple[Chunk, Array, int]]:
    """Chunks, rows of some steps of them, and the number of the first of these."""
    step = 0
    for chunk in source.epoch(epoch):
        for start in range(0, len(chunk.order), chunk.batch_size * AT_ONCE):
            rows = chunk.order[start : start + chunk.batch_size * AT_ONCE]
            count = -(-len(rows) // chunk.batch_size)
            left_out = min(max(0, skip - step), count)
            if left_out < count:
                yield chunk, rows[left_out * chunk.batch_size :], step + left_out
            step += count


def _find_single(
    loop: Loop, epoch: int, chunk: Chunk, rows: Array, first: int
) -> Culprit | None:
    size = chunk.batch_size
    for number, start in enumerate(range(0, len(rows), size)):
        batch = rows[start : start + size]
        before = loop.state()
        loop.run(batch, size)
        if not _holds(loop):
            return Culprit(epoch, first + number, before, chunk.data, batch)
    return None


def _holds(loop: Loop) -> bool:
    parts = [loop.read(part) for part in GUARDED]
    metrics = loop.read("metrics")
    # steps of one's own may measure something else
    loss = metrics.get("loss") if isinstance(metrics, dict) else None
    return is_finite(parts) and is_finite(loss)


def _explain(loop: Loop, culprit: Culprit, value: float) -> NonFiniteError:
    """The error for a step that is known."""
    graph, captured = loop.graph(len(culprit.rows))
    state = [np.asarray(leaf.data) for leaf in tree.flatten(culprit.state)[0]]
    data = [np.asarray(leaf) for leaf in tree.flatten(culprit.data)[0]]
    values = evaluate_all(graph, [*state, *data, culprit.rows, *captured])
    where = f"step {culprit.step + 1} of epoch {culprit.epoch + 1}"
    problem = f"the loss became {value}"
    loss = _position(culprit.state)
    found = _trace_back(graph, values, loss)
    if found is None:
        return NonFiniteError(problem, where=where, fix=ADVICE)
    node, chain = found
    output = next(v for v in node.outputs if not _is_finite(values[id(v)]))
    result = widen(values[id(output)])
    row = _row(chain, values, culprit.rows)
    forward = loss is not None and _leads_to(graph, node, graph.outputs[loss])
    phase = "forward pass" if forward else "backward pass or the update"
    if loss is None:
        phase = "step"
    place = f"layer {node.scope}" if node.scope else "the loss" * forward
    sizes = " and ".join(_size(values[id(v)]) for v in node.inputs)
    return NonFiniteError(
        f"{problem}: operation '{node.primitive.name}' of the {phase} made "
        f"{result[~np.isfinite(result)].flat[0]} of finite numbers",
        where=", ".join(part for part in (where, place) if part),
        got=f"inputs of a size up to {sizes}" + ("" if row is None else f"; {row}"),
        expected="finite numbers",
        fix=ADVICE,
    )


def _position(state: State) -> int | None:
    """Where the sum of the losses stands among the leaves of the state."""
    names = tree.leaf_names(state)
    found = (i for i, name in enumerate(names) if "['loss']['total']" in name)
    return next(found, None)


def _trace_back(
    graph: Graph, values: dict[int, Array], loss: int | None
) -> tuple[Node, list[Node]] | None:
    """The node that made a number that is not finite of finite ones, and the way there.

    The search begins at the loss or, where that is finite, at the first output that is
    not. Numbers that are not finite and never reach an output do no harm, such as the
    minus infinity of a mask.
    """
    makers = {id(value): node for node in graph.nodes for value in node.outputs}
    starts = [*graph.outputs] if loss is None else [graph.outputs[loss], *graph.outputs]
    bad = next((v for v in starts if not _is_finite(values[id(v)])), None)
    chain: list[Node] = []
    while bad is not None and id(bad) in makers:
        node = makers[id(bad)]
        chain.append(node)
        bad = next((v for v in node.inputs if not _is_finite(values[id(v)])), None)
        if bad is None:
            return node, chain
    return None


def _row(chain: Sequence[Node], values: dict[int, Array], rows: Array) -> str | None:
    """The sample, where an array on the way has one row for each."""
    for node in reversed(chain):
        for value in node.outputs:
            array = values[id(value)]
            if array.ndim and len(array) == len(rows) and not _is_finite(array):
                flat = widen(array).reshape(len(array), -1)
                place = int((~np.isfinite(flat)).any(axis=1).argmax())
                return (
                    f"sample {place} of the batch, row {int(rows[place])} of the data"
                )
    return None


def _leads_to(graph: Graph, node: Node, output: Value) -> bool:
    """Whether `output` is computed from what `node` makes."""
    reached = {id(value) for value in node.outputs}
    for other in graph.nodes:
        if any(id(value) in reached for value in other.inputs):
            reached.update(id(value) for value in other.outputs)
    return id(output) in reached


def _size(array: Array) -> str:
    return f"{np.abs(widen(array).astype(np.float64)).max():.3g}" if array.size else "0"
