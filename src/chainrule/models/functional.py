"""`Functional`: a model drawn by calling layers with symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from chainrule import functional, layers
from chainrule.configurable import Configurable, parameters, serialize
from chainrule.errors import ArgumentError, FormatError
from chainrule.functional.recording import FUNCTIONS, Symbol
from chainrule.ir import tree
from chainrule.layers import Layer
from chainrule.models.arguments import count_symbols, decode, encode
from chainrule.models.ends import undeclared
from chainrule.models.graph import Graph, function_name
from chainrule.models.model import Model
from chainrule.models.prepare import Outputs


class Functional(Model):
    """A model made of what leads from some symbols to others: `Model(inputs, outputs)`.

    Layers may be shared, models may stand inside of models, and what lies between the
    layers may be operators and functions of chainrule.

    Args:
        inputs: a symbol, or a list or dict of symbols; see `Input`.
        outputs: a symbol, or a list or dict of symbols.
        name: its name.
        trainable: whether training changes the weights.

    Attributes:
        inputs: the symbols of the inputs, in order.
        outputs: the symbols of the outputs, in order.
        input_names: their names: the keys of a dict, else those of the `Input`s.
        output_names: the keys of a dict, else the names of what gives the outputs.

    Raises:
        ArgumentError: when an input is missing or leads nowhere, and for two layers of
            one name.

    Example:
        >>> from chainrule import Input, Model
        >>> from chainrule.layers import Dense
        >>> left, right = Input((3,), name="left"), Input((3,), name="right")
        >>> shared = Dense(4, "relu")
        >>> total = shared(left) + shared(right)
        >>> model = Model([left, right], {"sum": total, "score": Dense(1)(total)})
        >>> outputs = model([[[1.0, 2.0, 3.0]], [[0.0, 1.0, 0.0]]])
        >>> {name: value.shape for name, value in outputs.items()}
        {'sum': (1, 4), 'score': (1, 1)}
    """

    def _draw(self, inputs: Any, outputs: Any) -> None:
        """Find the graph between inputs and outputs."""
        sources, self._inputs_structure = _symbols(self.name, inputs, "inputs")
        ends, self._outputs_structure = _symbols(self.name, outputs, "outputs")
        self._graph = Graph(self.name, sources, ends)
        self._layers = self._graph.layers
        self.inputs, self.outputs = sources, ends
        starts = [source.name for source in self._graph.sources]
        self.input_names = _leaf_names(self._inputs_structure, starts)
        self.output_names = _leaf_names(
            self._outputs_structure, self._graph.names_of(ends)
        )
        self.built = True

    @property
    def layers(self) -> list[Layer]:
        """The layers, each after those that it needs; the `Input`s too."""
        return list(self._layers)

    @property
    def input(self) -> Any:
        """The inputs, as they were given."""
        return tree.unflatten(self._inputs_structure, self.inputs)

    @property
    def output(self) -> Any:
        """The outputs, as they were given."""
        return tree.unflatten(self._outputs_structure, self.outputs)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, rows first; of several, as they were given."""
        return tree.tree_map(lambda symbol: symbol.shape, self.output)

    def named_layers(self) -> list[tuple[str, Layer]]:
        """The layers by name; names are unique, and the config holds them."""
        return [(layer.name, layer) for layer in self._layers]

    def call(self, inputs: Any) -> Any:
        """The outputs for these inputs: one, a list, or a dict by name."""
        values = [
            _fitted(value, symbol)
            for value, symbol in zip(self._ordered(inputs), self.inputs, strict=True)
        ]
        return tree.unflatten(self._outputs_structure, self._graph.run(values))

    def call_with(self, inputs: Any, replaced: Mapping[Layer, Any]) -> Any:
        """The outputs with functions in the place of some layers, which they are given.

        Args:
            inputs: as those of the model.
            replaced: for a layer, what is called instead of it.
        """
        functions = {id(layer): function for layer, function in replaced.items()}
        values = self._graph.follow(self._ordered(inputs), functions)
        return tree.unflatten(self._outputs_structure, values)

    def get_config(self) -> dict[str, Any]:
        """Layers and calls, fit for JSON; see `docs/format.md`.

        A subclass with arguments of its own is described by these.
        """
        if "outputs" not in parameters(type(self)):
            return Configurable.get_config(self)
        graph = self._graph
        numbers = graph.numbers()
        return {
            "name": self.name,
            "trainable": self._trainable,
            "layers": [serialize(layer) for layer in self._layers],
            "calls": [_describe_call(call, numbers) for call in graph.calls],
            "inputs": encode(self.input, numbers),
            "outputs": encode(self.output, numbers),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The model that `get_config` described."""
        if "calls" not in config:
            return super().from_config(config)
        made = [layers.deserialize(part) for part in config["layers"]]
        by_name = {layer.name: layer for layer in made}
        symbols = _starts(made, config["inputs"])
        for call in config["calls"]:
            target = _target(call, by_name)
            args = decode(call["args"], symbols)
            kwargs = decode(call["kwargs"], symbols)
            symbols += tree.flatten(target(*args, **kwargs))[0]
        inputs, outputs = (decode(config[x], symbols) for x in ("inputs", "outputs"))
        trainable = config.get("trainable", True)
        return cls(inputs, outputs, name=config.get("name"), trainable=trainable)

    def rebuilt(self, replace: Callable[[Layer], Layer], inputs: Any = None) -> Model:
        """The same graph of other layers: those that `replace` gives for its own."""
        made = {id(layer): replace(layer) for layer in self._layers}
        starts = [made[id(source)].output for source in self._graph.sources]
        if inputs is not None:
            starts = self._ordered(inputs)
        ends = self._graph.follow(starts, made)
        return Model(
            tree.unflatten(self._inputs_structure, starts),
            tree.unflatten(self._outputs_structure, ends),
            name=self.name,
        )

    def __repr__(self) -> str:
        inside = ", ".join(layer.name for layer in self._layers)
        return f"<{type(self).__name__} {self.name!r}: {inside}>"

    def _convert(self, inputs: Any) -> list[Any]:
        """Tensors for the inputs, in their order."""
        return [functional.asarray(value) for value in self._ordered(inputs)]

    def _ordered(self, inputs: Any) -> list[Any]:
        """What is given for each input, in their order.

        Raises:
            ArgumentError: when their number or their names are not those of the inputs.
        """
        structure = self._inputs_structure
        if isinstance(inputs, Mapping) and set(self.input_names) <= set(inputs):
            return [inputs[name] for name in self.input_names]
        count = len(self.inputs)
        if count == 1 and not isinstance(inputs, (list, tuple, Mapping)):
            return [inputs]
        if (
            isinstance(inputs, (list, tuple))
            and len(inputs) == count
            and (count > 1 or hasattr(inputs[0], "shape"))
        ):
            return list(inputs)
        found = _matched(inputs, structure)
        if found is not None:
            return found
        many = isinstance(inputs, (list, tuple))
        raise ArgumentError(
            "the model has other inputs",
            where=self.name,
            got=", ".join(map(repr, inputs))
            if isinstance(inputs, Mapping)
            else f"{len(inputs) if many else 'one value'}",
            expected=", ".join(
                f"{name!r} ({symbol})"
                for name, symbol in zip(self.input_names, self.inputs, strict=True)
            ),
            fix="a list in this order, or a dict by these names",
        )

    def _sample_shape(self) -> Any:
        """The shape of a sample; of several inputs, as they were given."""
        if len(self.inputs) == 1:
            return self.inputs[0].shape[1:]
        return tree.tree_map(lambda symbol: symbol.shape[1:], self.input)

    def _free_axes(self) -> frozenset[int]:
        """Those of any length in an input."""
        return undeclared(*(symbol.shape[1:] for symbol in self.inputs))

    def _outputs(self) -> Outputs:
        """The outputs by name, as they were declared."""
        shapes = tuple(symbol.shape[1:] for symbol in self.outputs)
        return Outputs(tuple(self.output_names), shapes)

    def _takes_several(self) -> bool:
        """A list of arrays is several inputs where there are several."""
        return len(self.inputs) > 1

    def _build_for_samples(self, shape: Any) -> None:
        """Nothing: the weights are there since it was drawn."""

    def _flat_layers(self) -> Sequence[Layer]:
        """The input and the layer of the output, where there is one of each."""
        if len(self.inputs) > 1 or len(self.outputs) > 1:
            return ()
        last = self.outputs[0].call.target
        if isinstance(last, Model):
            return (*self._graph.sources, *last._flat_layers())
        return (*self._graph.sources, last) if isinstance(last, Layer) else ()


def _symbols(where: str, given: Any, what: str) -> tuple[list[Any], tree.Structure]:
    """The symbols in inputs or outputs, and how they are arranged."""
    found, structure = tree.flatten(given)
    wrong = next((x for x in found if not isinstance(x, Symbol)), None)
    if wrong is not None or not found:
        raise ArgumentError(
            f"{what} are symbols: what Input(...) gives, and what layers make of it",
            where=where,
            got=type(wrong).__name__,
            fix="x = chainrule.Input(shape); chainrule.Model(x, layer(x))",
        )
    return found, structure


def _matched(inputs: Any, structure: tree.Structure) -> list[Any] | None:
    """The parts of `inputs` for the leaves of a structure; None where it has others."""
    if structure.kind is None:
        return [inputs]
    if isinstance(inputs, Mapping) and set(structure.keys) <= set(inputs):
        parts = [inputs[key] for key in structure.keys]
    elif isinstance(inputs, (list, tuple)) and len(inputs) == len(structure.children):
        parts = list(inputs)
    else:
        return None
    pairs = zip(parts, structure.children, strict=True)
    found = [_matched(part, child) for part, child in pairs]
    return None if None in found else [x for group in found for x in group or ()]


def _leaf_names(structure: tree.Structure, names: Sequence[str]) -> list[str]:
    """The keys of a dict; else the names, with a number where one stands again."""
    named = structure.kind is not None and issubclass(structure.kind, dict)
    if named and len(structure.keys) == structure.leaf_count:
        return [str(key) for key in structure.keys]
    found: list[str] = []
    for name in names:
        number, unique = 0, name
        while unique in found:
            number += 1
            unique = f"{name}_{number}"
        found.append(unique)
    return found


def _fitted(value: Any, symbol: Symbol) -> Any:
    """A plain row of numbers as a column and back, where that is what is missing."""
    if value.ndim + 1 == symbol.ndim and symbol.shape[-1] == 1:
        return functional.expand_dims(value, axis=-1)
    if value.ndim == symbol.ndim + 1 and value.shape[-1] == 1:
        return functional.squeeze(value, axis=-1)
    return value


def _describe_call(call: Any, numbers: Mapping[int, int]) -> dict[str, Any]:
    function = function_name(call)
    target = {"layer": call.name} if function is None else {"function": function}
    args, kwargs = encode(list(call.args), numbers), encode(call.kwargs, numbers)
    return {**target, "args": args, "kwargs": kwargs}


def _starts(made: Sequence[Layer], inputs: Any) -> list[Any]:
    """The symbols of the inputs, whose layers stand first.

    Raises:
        FormatError: where there are fewer such layers than inputs.
    """
    count = count_symbols(inputs)
    sources = [layer for layer in made[:count] if isinstance(layer, layers.InputLayer)]
    if len(sources) < count:
        raise FormatError(
            "the layers of the inputs do not stand first",
            got=f"{len(sources)} of them",
            expected=count,
        )
    return [source.output for source in sources]


def _target(call: Mapping[str, Any], by_name: Mapping[str, Layer]) -> Any:
    """The layer or function that a record names."""
    if "layer" in call and call["layer"] in by_name:
        return by_name[call["layer"]]
    if call.get("function") in FUNCTIONS:
        return FUNCTIONS[call["function"]]
    raise FormatError(
        "a call names neither a layer of the model nor a function of chainrule",
        got=f"{call.get('layer', call.get('function'))!r}"[:200],
    )


Model.drawn = Functional
layers.REGISTRY.add(Functional)
