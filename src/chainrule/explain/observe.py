"""Watching layers at work: what goes in, what comes out, and the error that comes back.

To every observed tensor a disturbance is added. It is zero, so that no number changes,
and the gradient of the loss with respect to it is the error signal at that place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from chainrule import activations
from chainrule.ir import tree
from chainrule.ir.value import Value
from chainrule.ops import add


@dataclass
class Visit:
    """One call of a layer.

    Attributes:
        layer: the layer.
        input: what went in.
        pre_activation: what its activation was applied to; None without one.
        output: what came out.
        places: the positions of pre-activation and output among all observed tensors.
    """

    layer: Any
    input: Any = None
    pre_activation: Any = None
    output: Any = None
    places: tuple[int | None, int] = (None, 0)


class Observer:
    """Records the calls of layers, in order.

    Layers that hand their input on, and those whose output is not one tensor of floats,
    have no error signal and are passed over.

    Args:
        disturbances: added to the observed tensors in order; None adds nothing.

    Attributes:
        visits: the calls.
        observed: the observed tensors, in the order in which they were made.
    """

    def __init__(self, disturbances: Sequence[Any] | None = None) -> None:
        self.visits: list[Visit] = []
        self.observed: list[Any] = []
        self._disturbances = disturbances
        self._inside: list[list[tuple[Any, int]]] = []

    @contextmanager
    def watching(self, layers: Sequence[Any]) -> Iterator[None]:
        """Within the block, calls of `layers` are recorded."""
        activated = [layer for layer in layers if activation_name(layer) is not None]
        originals = [layer.activation for layer in activated]
        try:
            for layer in layers:
                layer.call = partial(self._call, layer, layer.call)
            for layer in activated:
                layer.activation = partial(self._activate, layer.activation)
            yield
        finally:
            for layer in layers:
                vars(layer).pop("call", None)
            for layer, original in zip(activated, originals, strict=True):
                layer.activation = original

    def _call(
        self, layer: Any, call: Any, inputs: Any, *args: Any, **kwargs: Any
    ) -> Any:
        self._inside.append([])
        output = call(inputs, *args, **kwargs)
        found = self._inside.pop()
        if not isinstance(output, Value) or not output.spec.dtype.is_float:
            return output
        if type(layer).__name__ == "InputLayer":
            return output
        pre, place = found[0] if found else (None, None)
        output = self._observe(output)
        source = tree.flatten(inputs)[0][0]
        places = (place, len(self.observed) - 1)
        self.visits.append(Visit(layer, source, pre, output, places))
        return output

    def _activate(self, activation: Any, value: Any) -> Any:
        value = self._observe(value)
        self._inside[-1].append((value, len(self.observed) - 1))
        return activation(value)

    def _observe(self, value: Any) -> Any:
        place = len(self.observed)
        if self._disturbances is not None:
            value = add(value, self._disturbances[place])
        self.observed.append(value)
        return value


def activation_name(layer: Any) -> str | None:
    """The name of a layer's activation; None when it has none, or a linear one."""
    activation = getattr(layer, "activation", None)
    if activation is None or activation is activations.linear:
        return None
    return str(getattr(activation, "__name__", type(activation).__name__))
