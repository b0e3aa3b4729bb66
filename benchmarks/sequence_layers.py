"""Layers of sequences as data; see `networks`, whose `Layer` they are.

A sample is `(steps, features)`, or `(steps,)` words before an `Embedding`. Layers here
have several arrays each; `arrays` tells their names and shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from benchmarks.networks import Layer, Shape

NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Embedding(Layer):
    """A vector for each of so many words.

    Attributes:
        words: how many there are.
        units: the length of a vector.
        mask_zero: whether word 0 is no word.
        places: of how many places there are vectors too, which are added; maybe none.
    """

    words: int
    units: int
    mask_zero: bool = False
    places: int = 0

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        return (*shape, self.units)

    def arrays(self, shape: Shape) -> dict[str, Shape]:
        """Its weights."""
        found: dict[str, Shape] = {"table": (self.words, self.units)}
        if self.places:
            found["places_table"] = (self.places, self.units)
        return found


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Layer normalization with a scale and an offset."""

    def arrays(self, shape: Shape) -> dict[str, Shape]:
        """Its weights."""
        return {"scale": shape[-1:], "bias": shape[-1:]}


@dataclass(frozen=True)
class Recurrent(Layer):
    """What both recurrent layers have: so many units, and the state behind the last.

    With `both_ways` a second one begins at the end, and stands beside the first; with
    `sequences` the outputs of all steps are given.
    """

    units: int
    both_ways: bool = False
    sequences: bool = False

    @property
    def ways(self) -> tuple[str, ...]:
        """A prefix for the weights of each direction."""
        return ("forward_", "backward_") if self.both_ways else ("forward_",)

    @property
    def gates(self) -> int:
        """Products of a step, each as wide as the state."""
        raise NotImplementedError

    def result(self, shape: Shape) -> Shape:
        """The shape of what it gives."""
        width = self.units * len(self.ways)
        return (shape[0], width) if self.sequences else (width,)

    def multiply_adds(self, shape: Shape) -> int:
        """Those of its products for one sample."""
        steps, features = shape
        each = (features + self.units) * self.gates * self.units
        return steps * each * len(self.ways)

    def inputs_multiply_adds(self, shape: Shape) -> int:
        """Those with the inputs alone."""
        return prod(shape) * self.gates * self.units * len(self.ways)


@dataclass(frozen=True)
class Lstm(Recurrent):
    """An LSTM with one bias."""

    gates = 4

    def arrays(self, shape: Shape) -> dict[str, Shape]:
        """Its weights."""
        wide = self.gates * self.units
        return {
            way + name: found
            for way in self.ways
            for name, found in (
                ("kernel", (shape[-1], wide)),
                ("recurrent", (self.units, wide)),
                ("bias", (wide,)),
            )
        }


@dataclass(frozen=True)
class Gru(Recurrent):
    """A GRU whose reset gate acts behind the product, so that it has two biases."""

    gates = 3

    def arrays(self, shape: Shape) -> dict[str, Shape]:
        """Its weights."""
        wide = self.gates * self.units
        return {
            way + name: found
            for way in self.ways
            for name, found in (
                ("kernel", (shape[-1], wide)),
                ("recurrent", (self.units, wide)),
                ("bias", (wide,)),
                ("recurrent_bias", (wide,)),
            )
        }


@dataclass(frozen=True)
class Block(Layer):
    """A Transformer block: self-attention, then a dense layer and its way back.

    Attributes:
        heads: of the attention.
        hidden: width of the dense layer.
        activation: of the dense layer.
        causal: whether a step sees only itself and those before it.
        normalize_first: whether normalization stands before attention and dense layer,
            and not behind the sum with what they were given.
    """

    heads: int
    hidden: int
    activation: str = "gelu"
    causal: bool = True
    normalize_first: bool = True

    def arrays(self, shape: Shape) -> dict[str, Shape]:
        """Its weights."""
        width = shape[-1]
        return {
            "attention_scale": (width,),
            "attention_norm_bias": (width,),
            "qkv": (width, 3 * width),
            "qkv_bias": (3 * width,),
            "out": (width, width),
            "out_bias": (width,),
            "dense_scale": (width,),
            "dense_norm_bias": (width,),
            "up": (width, self.hidden),
            "up_bias": (self.hidden,),
            "down": (self.hidden, width),
            "down_bias": (width,),
        }

    def multiply_adds(self, shape: Shape) -> int:
        """Those of its products for one sample; half of the scores if causal."""
        steps, width = shape
        scores = 2 * steps * steps * width
        return steps * width * (4 * width + 2 * self.hidden) + (
            scores // 2 if self.causal else scores
        )
