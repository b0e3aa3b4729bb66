"""Transformers that keep keys and values, asked for one token after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from chainrule import functional, layers
from chainrule.functional.promotion import Tensor
from chainrule.generation.caches import FirstCache, StepCache
from chainrule.generation.steps import Array, State
from chainrule.ir import tree
from chainrule.jit import jit
from chainrule.layers import Layer
from chainrule.models import Model
from chainrule.models.functional import Functional
from chainrule.models.sequential import Sequential

SHORTEST = 16  # steps that are read at once, at least: few programs are compiled
# layers whose output for a step depends on that step alone
BY_STEP: tuple[type[Layer], ...] = (
    layers.InputLayer,
    layers.Dense,
    layers.Embedding,
    layers.Activation,
    layers.Dropout,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.ReLU,
    layers.Softmax,
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
)
# those that add what depends on the place
BY_PLACE: tuple[type[Layer], ...] = (
    layers.PositionEmbedding,
    layers.TokenAndPositionEmbedding,
    layers.SinePositionEncoding,
)
NORMS: tuple[type[Layer], ...] = (layers.LayerNormalization, layers.RMSNormalization)
FUNCTIONS = {"add", "subtract", "multiply", "divide", "negative"}
Replaced = dict[Layer, Callable[..., Any]]


class CachedSteps:
    """A decoder of Transformer blocks, with a cache for each.

    What it reads at the beginning of a sequence is computed at once, sequence by
    sequence, so that its numbers do not depend on the others of the batch.

    Args:
        network: from tokens `(n, t)` to logits `(n, t, vocabulary)`; see `can_step`.
        length: how many tokens it sees.
        vocabulary: how many there are.
    """

    def __init__(self, network: Model, length: int, vocabulary: int) -> None:
        self.network = network
        self.length = length
        self.vocabulary = vocabulary
        self.blocks = [
            part
            for part in parts_of(network)
            if isinstance(part, layers.TransformerDecoder)
        ]
        self._first = jit(self._read)

    def begin(self, tokens: Array, lengths: Array) -> State:
        """The caches of sequences that were read; see `Steps`."""
        found = []
        for row, count in enumerate(np.asarray(lengths).tolist()):
            steps = min(self.length, max(SHORTEST, 1 << max(0, count - 1).bit_length()))
            given = np.zeros((1, steps), np.int32)
            given[0, :count] = tokens[row, :count]
            found.append(self._first(given, np.array([count], np.int32)))
        return tree.tree_map(lambda *parts: functional.concat(parts, axis=0), *found)

    def _read(self, tokens: Tensor, counts: Tensor) -> State:
        """The first steps of sequences; part of a compiled function."""
        caches = [FirstCache(self.length, counts) for _ in self.blocks]
        places = functional.arange(tokens.shape[1], dtype="int32")[None]
        self._run(tokens, places, caches)
        return {"places": counts, "blocks": [cache.state for cache in caches]}

    def step(self, state: State, tokens: Tensor) -> tuple[Tensor, State]:
        """Read one more token of each sequence; see `Steps`."""
        places = functional.minimum(
            functional.asarray(state["places"]), self.length - 1
        )
        caches = [StepCache(each, places) for each in state["blocks"]]
        given = functional.expand_dims(tokens, axis=1)
        logits = self._run(given, functional.expand_dims(places, axis=1), caches)
        blocks = [cache.state for cache in caches]
        return logits[:, 0], {"places": places + 1, "blocks": blocks}

    def _run(self, tokens: Tensor, places: Tensor, caches: list[Any]) -> Tensor:
        """The network, with blocks that look into caches."""
        replaced: Replaced = {}
        for part in parts_of(self.network):
            if isinstance(part, BY_PLACE):
                replaced[part] = _at(part, places)
            elif isinstance(part, layers.ReversibleEmbedding):
                replaced[part] = _embedded(part)
        for block, cache in zip(self.blocks, caches, strict=True):
            replaced[block] = _with(block, cache)
        logits: Tensor = run_with(self.network, tokens, replaced)
        return logits


def _at(layer: Layer, places: Tensor) -> Callable[..., Any]:
    return lambda x: layer(x, positions=places, training=False)


def _embedded(layer: layers.ReversibleEmbedding) -> Callable[..., Any]:
    """The embedding, whose scores for a step do not depend on how many steps there are.

    A product with a transposed matrix is summed in one order or another by its size, so
    each sequence has one of its own.
    """

    def call(x: Tensor, reverse: bool = False) -> Tensor:
        if not reverse or not layer.tie_weights or layer.reverse_dtype is not None:
            result: Tensor = layer(x, reverse=reverse)
            return result
        words = functional.matrix_transpose(layer.embeddings.value)
        lines = [functional.matmul(x[i : i + 1], words) for i in range(x.shape[0])]
        scores = functional.concat(lines, axis=0)
        if layer.logit_soft_cap is None:
            return scores
        return functional.tanh(scores / layer.logit_soft_cap) * layer.logit_soft_cap

    return call


def _with(block: Layer, cache: Any) -> Callable[..., Any]:
    return lambda x: block(x, self_attention_cache=cache, training=False)[0]


def run_with(network: Layer, x: Any, replaced: Mapping[Layer, Any]) -> Any:
    """What a model makes of tokens where some of its layers are replaced.

    Models inside of it are run in the same way.
    """
    assert isinstance(network, (Functional, Sequential))
    inside: Replaced = {
        layer: lambda x, layer=layer: run_with(layer, x, replaced)
        for layer in network.layers
        if isinstance(layer, Model)
    }
    return network.call_with(x, {**inside, **replaced})


def parts_of(network: Layer) -> Iterator[Layer]:
    """The layers of a model and of the models inside of it."""
    for layer in getattr(network, "layers", ()):
        if isinstance(layer, Model):
            yield from parts_of(layer)
        else:
            yield layer


def can_step(network: Any) -> bool:
    """Whether a model can be asked token by token: what it is made of is known.

    It must be drawn or a row of layers, with Transformer decoders of one sequence, and
    all other layers and functions must treat each step for itself.
    """
    if not isinstance(network, (Functional, Sequential)):
        return False
    if isinstance(network, Functional):
        if len(network.inputs) != 1 or len(network.outputs) != 1:
            return False
        if not all(_is_known(call) for call in network._graph.calls):
            return False
    return all(
        can_step(layer) if isinstance(layer, Model) else _by_step(layer)
        for layer in network.layers
    )


def _is_known(call: Any) -> bool:
    """Whether a call in a drawn model is of a layer, or of a function by elements."""
    if isinstance(call.target, Layer):
        return len(call.args) == 1 and set(call.kwargs) <= {"reverse"}
    return getattr(call.target, "__name__", "") in FUNCTIONS


def _by_step(layer: Layer) -> bool:
    """Whether what a layer says of a step depends on earlier steps by a cache alone."""
    if isinstance(layer, layers.TransformerDecoder):  # those of users may do anything
        own = type(layer) is layers.TransformerDecoder
        return own and layer.cross_attention is None
    if isinstance(layer, NORMS):
        return getattr(layer, "axis", None) in (-1, [-1], (-1,))
    if isinstance(layer, layers.Softmax):
        return layer.axis == -1
    if isinstance(layer, layers.Embedding):
        return not layer.mask_zero
    return isinstance(layer, (*BY_STEP, *BY_PLACE))
