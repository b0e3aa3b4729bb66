"""What the checks know of a network, and how its lines of code are corrected."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.configurable import snake_case
from chainrule.training.case import SampleShape

# Layers that are an activation under the name of a class.
ACTIVATION_LAYERS = ("Softmax", "ReLU", "LeakyReLU", "ELU")
# Layers that hand on what they get: they change neither the width nor the activation.
TRANSPARENT = ("Dropout", "InputLayer")


def sample_shape(shape: Sequence[int | None] | None) -> SampleShape | None:
    """A shape without the axis of the rows.

    Example:
        >>> sample_shape((None, 28, 28))
        (28, 28)
    """
    return None if shape is None else tuple(shape[1:])


def undeclared(*shapes: Sequence[int | None]) -> frozenset[int]:
    """The axes, rows first, along which a sample of these shapes has any length.

    Example:
        >>> sorted(undeclared((None, 3), (None,))), sorted(undeclared((28, 28)))
        ([1], [])
    """
    axes = (enumerate(shape, 1) for shape in shapes)
    return frozenset(axis for each in axes for axis, n in each if n is None)


class Ends:
    """The first layer and the output of a network; see `training.case.Network`.

    Corrections of one layer add up: each returned function gives the line with all of
    them.

    Args:
        layers: the layers in order, nested networks taken apart.
        input_shape: the shape of a sample, where it is known.
        output_shape: the shape of an output, where it is known.
        name: what stands for a layer where there are none.
    """

    def __init__(
        self,
        layers: Sequence[Any],
        input_shape: SampleShape | None,
        output_shape: SampleShape | None,
        name: str = "model",
    ) -> None:
        self.name = name
        self.input_shape = input_shape
        self.output_shape = output_shape
        self._layers = list(layers)
        self._changes: dict[int, dict[str, Any]] = {}
        self._first = layers[0] if layers else None
        self._wide = next((x for x in reversed(layers) if hasattr(x, "units")), None)
        visible = [x for x in layers if type(x).__name__ not in TRANSPARENT]
        self._end = visible[-1] if visible else None
        self.activation = _activation(self._end)

    @property
    def first(self) -> str:
        """Name of the first layer."""
        return self.name if self._first is None else str(self._first.name)

    @property
    def last(self) -> str:
        """Name of the layer whose units are the outputs."""
        layer = self._wide if self._wide is not None else self._end
        return self.name if layer is None else str(layer.name)

    def change_input(self, shape: tuple[int, ...]) -> Callable[[], str]:
        """The corrected line of the first layer."""
        if self._first is None:
            return lambda: ""
        if type(self._first).__name__ == "InputLayer":
            return lambda: f"Input(shape={shape})"
        self._change(self._first, input_shape=shape)
        return lambda: self._line(self._first)

    def change_output(
        self, units: int | None = None, activation: str | None = None
    ) -> Callable[[], str]:
        """The corrected lines of the output."""
        touched = []
        if units is not None and self._wide is not None:
            self._change(self._wide, units=units)
            touched.append(self._wide)
        added = activation
        if activation is not None and hasattr(self._end, "activation"):
            self._change(self._end, activation=activation)
            added = None
            if self._end not in touched:
                touched.append(self._end)
        if added is None:
            return lambda: "\n".join(map(self._line, touched))
        named = type(self._end).__name__ in ACTIVATION_LAYERS
        place = f"  # instead of {self._end}" if named else "  # as the last layer"
        extra = f"Activation('{added}'){place}"
        return lambda: "\n".join([*map(self._line, touched), extra])

    def _change(self, layer: Any, **changes: Any) -> None:
        self._changes.setdefault(id(layer), {}).update(changes)

    def _line(self, layer: Any) -> str:
        """The layer's line of code, with its changes."""
        changed = copy.copy(layer)
        if re.fullmatch(snake_case(type(layer).__name__) + r"(_\d+)?", layer.name):
            changed.name = None  # given by us, not by the user
        for key, value in self._changes[id(layer)].items():
            setattr(changed, key, value)
        return repr(changed)


def _activation(layer: Any) -> str | None:
    """The name of the activation that a layer ends with; None where not known."""
    if layer is None:
        return None
    if type(layer).__name__ in ACTIVATION_LAYERS:
        return snake_case(type(layer).__name__).replace("re_lu", "relu")
    if not hasattr(layer, "activation"):
        return None
    activation = layer.activation
    if activation is None:
        return "linear"
    if isinstance(activation, str):
        return activation
    return getattr(activation, "__name__", None)
