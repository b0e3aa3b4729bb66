"""Layers that compute on NumPy arrays, before the compiled program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.functional.recording import has_symbol
from chainrule.ir import tree
from chainrule.ir.value import Value
from chainrule.layers.layer import Layer


class HostLayer(Layer):
    """A layer on text, tables and the like, which no compiled program can hold.

    Subclasses define `call(inputs)` from what users pass to NumPy arrays, and
    `compute_output_shape`. A model runs its first layers, as far as they are such, when
    it is given data: once for a whole `fit`, `evaluate` or `predict` on data in memory.
    The rest is compiled.

    Example:
        >>> class Length(HostLayer):
        ...     def call(self, inputs):
        ...         return np.array([[len(text)] for text in inputs], np.float32)
        >>> Length()(["one", "three"]).tolist()
        [[3.0], [5.0]]
    """

    full = True

    host = True

    def __call__(
        self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any
    ) -> Any:
        """The output for raw inputs, as NumPy arrays.

        Raises:
            TraceError: inside a compiled function.
        """
        if not self.built:
            self._build(None)
        return self.call(from_tensor(self.name, inputs), *args, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output: by default that of the input, known or None."""
        return None if input_shape is None else tuple(input_shape)


def from_tensor(where: str, inputs: Any) -> Any:
    """`inputs`, with the numbers of a tensor in its place.

    Raises:
        TraceError: for a tensor without numbers, and for a symbol.
    """
    if has_symbol([inputs]):
        raise TraceError(
            "this layer computes before the compiled program: it is no part of a graph",
            where=where,
            got="a symbol",
            fix=f"Sequential([{where}, Model(inputs, outputs)]), with a graph that "
            "begins behind this layer",
        )
    if not isinstance(inputs, Value):
        return inputs
    if inputs.data is None:
        raise TraceError(
            "this layer computes before the compiled program, not inside it",
            where=where,
            fix="make it the first layer of the model",
        )
    return np.asarray(inputs.data)


_entered: ContextVar[bool] = ContextVar("entered", default=False)


@contextmanager
def entered() -> Iterator[None]:
    """Within the block, models take what their host layers have made."""
    token = _entered.set(True)
    try:
        yield
    finally:
        _entered.reset(token)


def inside_entry(inputs: Any) -> bool:
    """Whether inputs have been through the host layers: so have traces and symbols.

    Example:
        >>> inside_entry(["raw text"])
        False
    """
    if _entered.get() or has_symbol([inputs]):
        return True
    leaves = tree.flatten(inputs)[0] if isinstance(inputs, (Value, dict, list)) else ()
    return any(isinstance(leaf, Value) and leaf.data is None for leaf in leaves)
