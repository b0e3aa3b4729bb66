"""Layers called with symbols, while a model is drawn; see `functional.recording`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.functional.recording import (
    Call,
    Symbol,
    new_symbol,
    outline,
    record,
    symbols_in,
)
from chainrule.ir import tree
from chainrule.layers.collected import collected_losses
from chainrule.likeness import likeness
from chainrule.variable import current_values, substitute

KEPT_OUTLINES = 256
_outlines: dict[Any, Any] = {}


def draw(
    layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], training: bool | None
) -> Any:
    """Note down a call of a layer; the symbols that it gives.

    Example:
        >>> from chainrule import Input
        >>> from chainrule.layers import Dense
        >>> y = Dense(10, name="out")(Input((784,)))
        >>> y.shape, y.call.name, y.call.inputs[0].shape
        ((None, 10), 'out', (None, 784))
    """
    told = {} if training is None else {"training": training}
    call = Call(layer, layer.name, args, {**kwargs, **told})

    def shapes(*values: Any, **options: Any) -> Any:
        options["training"] = False  # nothing random need be drawn for a shape
        with _dry(layer):
            return layer(*values, **options)

    def find(function: Any, args: Any, kwargs: Any) -> Any:
        return _outline(layer, function, args, kwargs)

    made = record(call, shapes, find)
    layer._calls.append(call)
    return made


def _outline(layer: Any, function: Any, args: Any, kwargs: Any) -> Any:
    """What a layer gives, traced once for all layers that compute the same."""
    if len(args) != 1 or kwargs or not isinstance(args[0], Symbol):
        return outline(function, args, kwargs)
    layer.build_for(args[0].shape)
    # layers inside may make their weights when they are called, and not before
    alike = likeness(layer) if layer.is_whole() else None
    if alike is None:
        return outline(function, args, kwargs)
    key = alike, args[0].shape, args[0].dtype
    found = _outlines.get(key)
    if found is None:
        found = outline(function, args, kwargs)
        while len(_outlines) >= KEPT_OUTLINES:
            _outlines.pop(next(iter(_outlines)), None)
        _outlines[key] = found
    return found


@contextmanager
def _dry(layer: Any) -> Iterator[None]:
    """Within the block a call leaves no losses behind, and no state: there are none."""
    variables = layer.weights
    with collected_losses(), substitute(variables, current_values(variables)):
        yield


def drawn(layer: Any, what: str) -> Any:
    """Inputs or outputs of the first call of a layer with symbols.

    Raises:
        ArgumentError: when it was never called with one.
    """
    if not layer._calls:
        raise ArgumentError(
            f"the layer has no {what} yet: it was not called with a symbol",
            where=layer.name,
            fix="x = chainrule.Input(shape); layer(x)",
        )
    call = layer._calls[0]
    if what == "output":
        return call.outputs
    symbols = call.inputs or symbols_in(call.outputs)
    return symbols[0] if len(symbols) == 1 else symbols


def tree_of_shapes(shapes: Any) -> Any:
    """A shape as a tuple; a list or dict of shapes as such a list or dict.

    Example:
        >>> tree_of_shapes([None, 3]), tree_of_shapes([[None, 3], (None, 2)])
        ((None, 3), [(None, 3), (None, 2)])
    """
    if shapes is None:
        return None
    if isinstance(shapes, Mapping):
        return {key: tree_of_shapes(shape) for key, shape in shapes.items()}
    if any(isinstance(part, (list, tuple, Mapping)) for part in shapes):
        return [tree_of_shapes(shape) for shape in shapes]
    return tuple(shapes)


def output_shape(layer: Any, input_shape: Any) -> Any:
    """The shape that a layer gives for a shape, or for a list or dict of shapes."""

    def call(inputs: Any) -> Any:
        with _dry(layer):
            return layer(inputs, training=False)

    inputs = _symbols(layer, tree_of_shapes(input_shape))
    found, structure = outline(call, (inputs,), {})
    return tree.unflatten(structure, [shape for shape, _ in found])


def _symbols(layer: Any, shapes: Any) -> Any:
    """A symbol for each shape, of the dtype of the layer."""
    if isinstance(shapes, dict):
        return {key: _symbols(layer, shape) for key, shape in shapes.items()}
    if isinstance(shapes, list):
        return [_symbols(layer, shape) for shape in shapes]
    return new_symbol(shapes, layer.dtype, Call(layer, layer.name, (), {}))
