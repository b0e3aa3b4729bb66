"""`Sequential`: layers in a row, each taking what the one before it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Self

from chainrule import layers
from chainrule.configurable import serialize
from chainrule.errors import ArgumentError
from chainrule.functional.recording import Symbol, symbols_in
from chainrule.ir import tree
from chainrule.layers import Layer
from chainrule.layers.host import entered, inside_entry
from chainrule.models.ends import sample_shape, undeclared
from chainrule.models.graph import maker
from chainrule.models.model import Model, Shape
from chainrule.models.prepare import Outputs
from chainrule.symbolic import SymbolicTensor
from chainrule.training.case import SampleShape
from chainrule.training.targets import Output, default_names


class Sequential(Model):
    """Layers in a row.

    The weights are made at once where the first layer says what a sample looks like
    (`input_shape=(784,)`, or an `Input`), and otherwise at the first data.

    Args:
        layers: the layers in order; a `Sequential` may be one of them.
        trainable: whether training changes the weights.
        name: its name.

    Raises:
        ArgumentError: for something that is no layer, and for two layers of one name.

    Example:
        >>> from chainrule.layers import Dense
        >>> model = Sequential([Dense(10, "relu", input_shape=(784,)), Dense(1)])
        >>> model.output_shape, model.count_params()
        ((None, 1), 7861)
    """

    def __init__(
        self,
        layers: Sequence[Layer | SymbolicTensor] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable)
        self._layers: list[Layer] = []
        self._symbols: list[Any] = []  # the input, and what the layers make of it
        for layer in layers or ():
            self._append(layer)
        self._build_if_known()

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the `Input`."""
        return [x for x in self._layers if not isinstance(x, layers.InputLayer)]

    @property
    def output_shape(self) -> Any:
        """The shape of the output, rows first; None while the input is not known."""
        return shapes_of(self._symbols[-1]) if self.built else None

    @property
    def input(self) -> Any:
        """The symbol of the input, from which further models can be made.

        Raises:
            ArgumentError: while the shape of the input is not known.
        """
        return self._ends()[0]

    @property
    def output(self) -> Any:
        """The symbol of the output.

        Raises:
            ArgumentError: while the shape of the input is not known.

        Example:
            >>> from chainrule import Model
            >>> from chainrule.layers import Dense
            >>> inner = Sequential([Dense(3, input_shape=(4,)), Dense(1)])
            >>> Model(inner.input, inner.layers[0].output).output_shape
            (None, 3)
        """
        return self._ends()[-1]

    def named_layers(self) -> list[tuple[str, Layer]]:
        """The layers by name; names are unique, and the config holds them."""
        return [(layer.name, layer) for layer in self._layers]

    def add(self, layer: Layer | SymbolicTensor) -> None:
        """Append a layer.

        Example:
            >>> from chainrule.layers import Dense, Input
            >>> model = Sequential()
            >>> model.add(Input(shape=(4,)))
            >>> model.add(Dense(2))
            >>> model.output_shape
            (None, 2)
        """
        self._append(layer)
        self._rebuild()

    def pop(self) -> Layer:
        """Remove the last layer and return it.

        Raises:
            ArgumentError: when there is none.
        """
        if not self._layers:
            raise ArgumentError("there is no layer to remove", where=self.name)
        layer = self._layers.pop()
        self._rebuild()
        return layer

    def build(self, input_shape: Shape) -> None:
        """Make the weights of all layers; the shape is that behind the host layers."""
        shape: Any = (None, *input_shape[1:])
        self._seen_shape = sample_shape(shape)
        if not self._symbols or self._symbols[0].shape[1:] != shape[1:]:
            self._symbols = [self._start(shape)]
        rest = self._compiled_layers()
        if rest and self._symbols[0].call.target is rest[0]:
            rest = rest[1:]
        known = self._symbols[1:]
        del self._symbols[1:]
        for layer, symbol in zip_longest(rest, known[: len(rest)]):
            same = symbol is not None and maker(symbol) is layer
            last = self._symbols[-1]
            self._symbols.append(symbol if same else layer(last))
        self.inputs = self._symbols[:1]
        self.outputs = symbols_in(self._symbols[-1])

    def __call__(
        self, inputs: Any, *args: Any, training: bool | None = None, **kwargs: Any
    ) -> Any:
        """The output; raw data goes through the host layers first."""
        inputs = inputs if inside_entry(inputs) else self.enter(inputs)
        with entered():
            return super().__call__(inputs, *args, training=training, **kwargs)

    def call(self, inputs: Any) -> Any:
        """The layers behind the host layers, one after the other."""
        for layer in self._compiled_layers():
            inputs = layer(inputs)
        return inputs

    def call_with(self, inputs: Any, replaced: Mapping[Layer, Any]) -> Any:
        """The output with functions in the place of some layers; see `Functional`."""
        for layer in self._compiled_layers():
            inputs = replaced.get(layer, layer)(inputs)
        return inputs

    def enter(self, inputs: Any) -> Any:
        """What the leading host layers make of raw data; see `HostLayer`.

        Example:
            >>> from chainrule.layers import Dense, TableEncoder
            >>> encoder = TableEncoder()
            >>> encoder.adapt({"size": [1.0, 3.0]})
            >>> Sequential([encoder, Dense(1)]).enter({"size": [3.0]}).tolist()
            [[1.0]]
        """
        for layer in self._host_layers():
            inputs = layer.enter(inputs) if isinstance(layer, Model) else layer(inputs)
        return inputs

    def _host_layers(self) -> list[Layer]:
        """The leading layers that compute before the compiled program."""
        found = []
        for layer in self._layers:
            nested = isinstance(layer, Sequential) and bool(layer._host_layers())
            if layer.host or nested:
                found.append(layer)
            if not layer.host:
                break
        return found

    def _compiled_layers(self) -> list[Layer]:
        """The layers behind them.

        Raises:
            ArgumentError: when another host layer stands among them.
        """
        rest = [layer for layer in self._layers if not layer.host]
        late = [layer for layer in self._layers[-len(rest) :] if layer.host and rest]
        if late:
            raise ArgumentError(
                "this layer computes before the compiled program, so it comes first",
                where=late[0].name,
                got=f"place {self._layers.index(late[0]) + 1} of {len(self._layers)}",
                fix=f"Sequential([{type(late[0]).__name__}(...), ...])",
            )
        return rest

    def get_config(self) -> dict[str, Any]:
        """Name and layers, fit for JSON."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "layers": [serialize(layer) for layer in self._layers],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The model that `get_config` described."""
        made = [layers.deserialize(part) for part in config["layers"]]
        return cls(made, config.get("trainable", True), config.get("name"))

    def rebuilt(
        self, replace: Callable[[Layer], Layer], inputs: Any = None
    ) -> Sequential:
        """The same row of other layers: those that `replace` gives for its own."""
        made = [replace(layer) for layer in self._layers]
        if inputs is not None:
            plain = [
                layer for layer in made if not isinstance(layer, layers.InputLayer)
            ]
            made = [inputs, *plain]
        return Sequential(made, self.trainable, self.name)

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self._layers))
        return f"Sequential([{inside}])"

    def _append(self, layer: Layer | SymbolicTensor) -> None:
        if isinstance(layer, Symbol) and isinstance(
            layer.call.target, layers.InputLayer
        ):
            layer = layer.call.target  # what `Input` gives
        if not isinstance(layer, Layer):
            raise ArgumentError(
                "a Sequential is made of layers",
                where=self.name,
                got=repr(layer),
                fix=_layer_fix(layer),
            )
        if any(layer.name == other.name for other in self._layers):
            shared = any(layer is other for other in self._layers)
            raise ArgumentError(
                "the same layer stands twice" if shared else "two layers have one name",
                where=self.name,
                got=f"{layer.name!r} twice",
                expected="a name of its own for every layer",
                fix=f"{type(layer).__name__}(..., name='{layer.name}_b')",
            )
        self._layers.append(layer)

    def _start(self, shape: Shape) -> Any:
        """The symbol of the input."""
        first: Layer = next(iter(self._compiled_layers()), self)
        if isinstance(first, layers.InputLayer):
            return first.output
        inside = first.inputs if isinstance(first, Model) else None
        dtype = inside[0].dtype if inside else first.dtype
        return layers.Input(batch_shape=shape, dtype=dtype)

    def _ends(self) -> list[Any]:
        """The symbols, once there are some."""
        if not self.built:
            raise ArgumentError(
                "the shape of the input is not known yet",
                where=self.name,
                fix="tell the first layer input_shape=(...), or put Input(...) first",
            )
        return self._symbols

    def _declared_shape(self) -> SampleShape | None:
        """What the first layer says that a sample looks like."""
        if not self._layers:
            return None
        first = self._layers[0]
        if isinstance(first, Model):
            return first._sample_shape()
        if not first.host:
            return first.input_shape
        shape: Any = None if first.input_shape is None else (None, *first.input_shape)
        for layer in self._host_layers():
            shape = layer.compute_output_shape(shape)
        return sample_shape(shape)

    def _sample_shape(self) -> SampleShape | None:
        return self._seen_shape or self._declared_shape()

    def _free_axes(self) -> frozenset[int]:
        """Those of any length in the input, where it is declared."""
        return undeclared(self._declared_shape() or ())

    def _rebuild(self) -> None:
        """After a change of the layers: weights that are there stay."""
        self.built = False
        self._build_if_known()

    def _build_if_known(self) -> None:
        shape = self._sample_shape()
        if shape is not None:
            self.build_for((None, *shape))

    def _outputs(self) -> Outputs | None:
        if not self.built:
            return None
        ends = symbols_in(self._symbols[-1])
        named = len(ends) == 1 and bool(self._layers)
        names = (
            [self._layers[-1].name] if named else default_names([Output()] * len(ends))
        )
        return Outputs(tuple(names), tuple(symbol.shape[1:] for symbol in ends))

    def _takes_several(self) -> bool | None:
        return False

    def _build_for_samples(self, shape: tuple[int, ...]) -> None:
        self._seen_shape = shape
        self.build_for((None, *shape))

    def _flat_layers(self) -> list[Layer]:
        return list(_flatten(self._layers))


def shapes_of(symbols: Any) -> Any:
    """The shapes of a tree of symbols."""
    return tree.tree_map(lambda symbol: symbol.shape, symbols)


def _flatten(parts: Sequence[Layer]) -> Iterator[Layer]:
    """The layers in order, nested models taken apart."""
    for layer in parts:
        if isinstance(layer, Sequential):
            yield from _flatten(layer._layers)
        else:
            yield layer


def _layer_fix(given: Any) -> str | None:
    if isinstance(given, type) and issubclass(given, Layer):
        return f"{given.__name__}(...), an instance and not the class"
    if isinstance(given, str) or callable(given):
        name = given if isinstance(given, str) else getattr(given, "__name__", "f")
        return f"Activation('{name}')"
    return None


layers.REGISTRY.add(Sequential)
