"""The graph of a model: the calls that lead from inputs to outputs, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.functional.recording import FUNCTIONS, Call, Symbol, symbols_in
from chainrule.ir import tree
from chainrule.ir.trace import scope
from chainrule.layers import InputLayer, Layer


class Graph:
    """What happens to the inputs of a model.

    Args:
        name: of the model, for messages.
        inputs: the symbols that data takes the place of.
        outputs: the symbols that are wanted.

    Attributes:
        sources: a layer for every input.
        calls: all calls, each after those that it needs.
        names: of the calls, each once; a shared layer is called several times.

    Raises:
        ArgumentError: when outputs need data that is no input, when an input leads
            nowhere, and for two layers of one name.
    """

    def __init__(
        self, name: str, inputs: Sequence[Symbol], outputs: Sequence[Symbol]
    ) -> None:
        self.name = name
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.sources = [_source(symbol) for symbol in inputs]
        self.calls = list(self._in_order())
        self._check_inputs()
        self.layers = self._find_layers()
        self.names = self._find_names()

    def run(self, values: Sequence[Any]) -> list[Any]:
        """What the outputs are for these values of the inputs."""
        pairs = zip(self.sources, values, strict=True)
        return self.follow([source(value) for source, value in pairs], {})

    def follow(self, values: Sequence[Any], layers: Mapping[int, Any]) -> list[Any]:
        """What the outputs are with some layers, by their id, replaced by others."""
        known = {id(x): value for x, value in zip(self.inputs, values, strict=True)}

        def filled(leaf: Any) -> Any:
            return known[id(leaf)] if isinstance(leaf, Symbol) else leaf

        for call, name in zip(self.calls, self.names, strict=True):
            args, kwargs = tree.tree_map(filled, (call.args, call.kwargs))
            target = layers.get(id(call.target), call.target)
            if isinstance(target, Layer):
                found = target(*args, **kwargs)
            else:
                with scope(name):  # a layer says itself that its operations are its own
                    found = target(*args, **kwargs)
            results = tree.flatten(found)[0]
            made = symbols_in(call.outputs)
            known.update(zip(map(id, made), results, strict=True))
        return [known[id(symbol)] for symbol in self.outputs]

    def numbers(self) -> dict[int, int]:
        """A number for each symbol, by its id: the inputs first, then as calls give."""
        made = (symbols_in(call.outputs) for call in self.calls)
        symbols = [*self.inputs, *(symbol for group in made for symbol in group)]
        return {id(symbol): number for number, symbol in enumerate(symbols)}

    def names_of(self, symbols: Sequence[Symbol]) -> list[str]:
        """The names of the calls, or inputs, that gave these symbols."""
        by_call = dict(zip(map(id, self.calls), self.names, strict=True))
        return [by_call.get(id(x.call), x.call.name) for x in symbols]

    def _in_order(self) -> Iterator[Call]:
        """The calls that the outputs need, each after those that it needs itself."""
        given = {id(symbol) for symbol in self.inputs}
        done: set[int] = set()
        # a stack of our own, as networks may be deeper than Python's
        stack = [(symbol, "the outputs", False) for symbol in reversed(self.outputs)]
        while stack:
            symbol, reader, ready = stack.pop()
            call = symbol.call
            if id(symbol) in given or id(call) in done:
                continue
            if ready:
                done.add(id(call))
                yield call
                continue
            if not call.inputs:
                raise self._disconnected(symbol, reader)
            stack.append((symbol, reader, True))
            stack += [(x, f"{call.name!r}", False) for x in reversed(call.inputs)]

    def _disconnected(self, symbol: Symbol, reader: str) -> ArgumentError:
        return ArgumentError(
            f"{reader} cannot be computed: {symbol.call.name!r} is needed, "
            "and is no input of the model",
            where=self.name,
            got=f"inputs: {', '.join(x.call.name for x in self.inputs)}",
            expected=f"{symbol.call.name!r} ({symbol}) among them",
            fix="Model(inputs=[...], outputs=...) with every Input that was used",
        )

    def _check_inputs(self) -> None:
        read = [*self.outputs, *(x for call in self.calls for x in call.inputs)]
        used = set(map(id, read))
        twice = [n for n, times in Counter(map(id, self.inputs)).items() if times > 1]
        for symbol in self.inputs:
            if id(symbol) in used and id(symbol) not in twice:
                continue
            raise ArgumentError(
                "an input stands twice"
                if id(symbol) in twice
                else "an input leads to no output",
                where=self.name,
                got=f"{symbol.call.name!r} ({symbol})",
                fix="leave it out of inputs, or connect it",
            )

    def _find_layers(self) -> list[Layer]:
        """Inputs and layers in order, each once."""
        called = (call.target for call in self.calls)
        found = [*self.sources, *(x for x in called if isinstance(x, Layer))]
        layers = list({id(layer): layer for layer in found}.values())
        for name, times in Counter(layer.name for layer in layers).items():
            if times > 1:
                raise ArgumentError(
                    "two layers of a model have one name",
                    where=self.name,
                    got=f"{name!r} for {times} layers",
                    expected="a name of its own for every layer",
                    fix=f"name='{name}_b' for one of them",
                )
        return layers

    def _find_names(self) -> list[str]:
        """A name for each call: that of its layer, or of its function and a number."""
        taken = Counter(layer.name for layer in self.layers)
        names = []
        for call in self.calls:
            name = call.name
            if not isinstance(call.target, Layer):
                number = 0
                while taken[name]:
                    number += 1
                    name = f"{call.name}_{number}"
                taken[name] += 1
            names.append(name)
        return names


def _source(symbol: Symbol) -> InputLayer:
    """The layer of an input; a new one where it came from the middle of a graph."""
    layer = symbol.call.target
    if isinstance(layer, InputLayer):
        return layer
    return InputLayer(batch_shape=symbol.shape, dtype=symbol.dtype)


def function_name(call: Call) -> str | None:
    """The name of a recorded function in `FUNCTIONS`; None for a layer."""
    name = getattr(call.target, "__name__", "")
    return name if FUNCTIONS.get(name) is call.target else None


def maker(symbols: Any) -> Any:
    """The layer or function that gave a tree of symbols."""
    found = symbols_in(symbols)
    return found[0].call.target if found else None
