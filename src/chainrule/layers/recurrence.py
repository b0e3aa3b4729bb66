"""The loop of recurrent layers: a cell run along a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule import functional
from chainrule.autodiff.scan import scan
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.ir import tree
from chainrule.layers.layer import Layer
from chainrule.layers.recurrent_cells import Cell

Step = Callable[[Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Found:
    """What running a cell gave.

    Attributes:
        outputs: of every step, where the steps lie in the input: `(steps, samples,
            ...)`; None if they were not asked for.
        last: the output of the step that came last.
        states: the states behind it.
    """

    outputs: Tensor | None
    last: Tensor
    states: Any


@dataclass(frozen=True)
class Recurrence:
    """How a cell runs along a sequence.

    Attributes:
        reverse: whether to begin at the end.
        unroll: whether every step becomes a piece of the program of its own.
        training: whether dropout acts.
        zero_masked: whether masked steps give 0, and not the output before them.
        sequences: whether the outputs of all steps are wanted.
    """

    reverse: bool = False
    unroll: bool = False
    training: bool = False
    zero_masked: bool = False
    sequences: bool = True

    def run(
        self,
        cell: Any,
        inputs: Tensor,
        states: Any,
        mask: Tensor | None = None,
        fresh: bool = True,
    ) -> Found:
        """Run a cell.

        Args:
            cell: a cell of the library, a stack of cells, or one of your own.
            inputs: `(steps, samples, features)`.
            states: those before the first step, as the cell takes them.
            mask: `(steps, samples)`: False for steps that are skipped.
            fresh: whether these states are zeros.
        """
        if isinstance(cell, Cell):
            return self._run_own(cell, inputs, states, mask, fresh)
        parts = getattr(cell, "cells", None)
        if parts is not None and getattr(cell, "runs_in_turn", False):
            return self._run_stack(parts, inputs, states, mask, fresh)
        return self._run_any(cell, inputs, states, mask)

    def _run_own(
        self,
        cell: Cell,
        inputs: Tensor,
        states: Any,
        mask: Tensor | None,
        fresh: bool,
    ) -> Found:
        """A cell whose output is its first state, and whose inputs are weighted before.

        The products with the inputs of all steps are one.
        """
        projected, fixed = cell.prepare(inputs, self.training)

        def step(carry: Any, row: Any) -> tuple[Any, Any]:
            x, keep = row
            new = tuple(cell.advance(x, carry, fixed))
            if keep is not None:
                new = _kept(keep, new, carry)
            return new, new[0] if self.sequences else None

        columns = None if mask is None else functional.expand_dims(mask, axis=-1)
        last, outputs = self._loop(step, tuple(states), (projected, columns))
        output = last[0]
        if not inputs.shape[0]:
            output = functional.zeros_like(output)
        if columns is not None and inputs.shape[0]:
            outputs, output = self._without(outputs, output, columns, fresh)
        return Found(outputs, output, list(last))

    def _without(
        self, outputs: Tensor | None, output: Tensor, columns: Tensor, fresh: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Outputs of 0 for steps that were skipped, where the state is another."""
        if self.zero_masked:
            counts = columns
        elif fresh:
            return outputs, output  # the output before the first step is 0
        else:
            counts = _reached(columns, self.reverse)
        if outputs is not None:
            outputs = functional.where(counts, outputs, 0.0)
        final = counts[0 if self.reverse else -1]
        return outputs, functional.where(final, output, 0.0)

    def _run_stack(
        self,
        cells: Sequence[Any],
        inputs: Tensor,
        states: Any,
        mask: Tensor | None,
        fresh: bool,
    ) -> Found:
        """One cell after the other along the whole sequence, which gives the same."""
        whole = Recurrence(self.reverse, self.unroll, self.training)
        ends = []
        for i, (cell, state) in enumerate(zip(cells, states, strict=True)):
            way = self if i == len(cells) - 1 else whole
            found = way.run(cell, inputs, state, mask, fresh)
            ends.append(found.states)
            if found.outputs is not None:
                inputs = found.outputs
        return Found(found.outputs, found.last, ends)

    def _run_any(
        self, cell: Any, inputs: Tensor, states: Any, mask: Tensor | None
    ) -> Found:
        """A cell that is called step by step."""
        call = self._caller(cell)
        start = _output_like(cell, inputs)

        def step(carry: Any, row: Any) -> tuple[Any, Any]:
            before, state = carry
            x, keep, number = row
            output, new = call(x, state, number)
            if keep is not None:
                else_given = functional.zeros_like(before) if zero else before
                new = _kept(keep, new, state)
                output = _kept(keep, output, else_given)
            return (output, new), output if self.sequences else None

        zero = self.zero_masked
        columns = None if mask is None else functional.expand_dims(mask, axis=-1)
        numbers = functional.arange(inputs.shape[0])
        rows = (inputs, columns, numbers)
        (last, states), outputs = self._loop(step, (start, states), rows)
        return Found(outputs, last, states)

    def _caller(self, cell: Any) -> Callable[..., Any]:
        """The call of a cell; what it draws at random is another in every step."""
        key = random.next_key() if self.training else None

        def call(x: Tensor, state: Any, number: Tensor) -> tuple[Any, Any]:
            if not isinstance(cell, Layer):
                output, new = (cell if callable(cell) else cell.call)(x, state)
            elif key is None:
                output, new = cell(x, state, training=False)
            else:
                with random.stream(random.fold_in(key, number)):
                    output, new = cell(x, state, training=True)
            if not isinstance(new, (list, tuple)):
                new = [new]
            structure = tree.flatten(state)[1]
            return output, tree.unflatten(structure, tree.flatten(new)[0])

        return call

    def _loop(self, step: Step, states: Any, rows: Any) -> tuple[Any, Any]:
        if not self.unroll:
            return scan(step, states, rows, reverse=self.reverse)
        leaves, structure = tree.flatten(rows)
        length = leaves[0].shape[0]
        found: list[Any] = [None] * length
        order = range(length)
        for i in reversed(order) if self.reverse else order:
            row = tree.unflatten(structure, [leaf[i] for leaf in leaves])
            states, found[i] = step(states, row)
        outputs = functional.stack(found) if self.sequences else None
        return states, outputs


def _kept(keep: Tensor, new: Any, old: Any) -> Any:
    """The new values of samples whose step counts, and the old ones of the others."""

    def one(after: Tensor, before: Tensor) -> Tensor:
        ones = (1,) * (after.ndim - 2)
        fits = functional.reshape(keep, (*keep.shape, *ones)) if ones else keep
        return functional.where(fits, after, before)

    return tree.tree_map(one, new, old)


def _reached(columns: Tensor, reverse: bool) -> Tensor:
    """Whether a step that counts was reached, at each step."""
    along = functional.flip(columns, axis=0) if reverse else columns
    count = functional.cumulative_sum(functional.astype(along, "int32"), axis=0)
    return (functional.flip(count, axis=0) if reverse else count) > 0


def _output_like(cell: Any, inputs: Tensor) -> Tensor:
    """Zeros of the shape of a cell's output."""
    size = getattr(cell, "output_size", None)
    if size is None:
        sizes = cell.state_size
        size = sizes[0] if isinstance(sizes, (list, tuple)) else sizes
    shape = tuple(size) if isinstance(size, (list, tuple)) else (size,)
    return functional.zeros((inputs.shape[1], *shape), dtype=inputs.dtype)
