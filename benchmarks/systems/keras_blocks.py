"""Blocks of Transformers as users of Keras write them, without KerasHub.

After the examples of keras.io, "Text classification with Transformer" and "Text
generation with a miniature GPT"; the names are those of KerasHub.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


class TokenAndPositionEmbedding(layers.Layer):  # type: ignore[misc]
    """The vector of each word plus that of its place."""

    def __init__(
        self, words: int, steps: int, units: int, mask_zero: bool = False
    ) -> None:
        super().__init__()
        self.tokens = layers.Embedding(words, units, mask_zero=mask_zero)
        self.places = layers.Embedding(steps, units)
        self.steps = steps
        self.supports_masking = True

    def call(self, x: Any) -> Any:
        """The sum."""
        return self.tokens(x) + self.places(ops.arange(self.steps))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Which steps are no padding."""
        return self.tokens.compute_mask(inputs)


class TransformerBlock(layers.Layer):  # type: ignore[misc]
    """Attention and two dense layers, each with a shortcut and a normalization."""

    causal = False

    def __init__(
        self,
        intermediate_dim: int,
        num_heads: int,
        activation: str,
        normalize_first: bool,
        layer_norm_epsilon: float,
    ) -> None:
        super().__init__()
        self.hidden, self.heads = intermediate_dim, num_heads
        self.activation, self.normalize_first = activation, normalize_first
        self.first = layers.LayerNormalization(epsilon=layer_norm_epsilon)
        self.second = layers.LayerNormalization(epsilon=layer_norm_epsilon)
        self.supports_masking = True

    def build(self, shape: Any) -> None:
        """Make attention and dense layers as wide as the input."""
        width = shape[-1]
        self.attention = layers.MultiHeadAttention(self.heads, width // self.heads)
        self.attention.build(shape, shape)
        self.dense = keras.Sequential(
            [layers.Dense(self.hidden, activation=self.activation), layers.Dense(width)]
        )
        for part in (self.first, self.second, self.dense):
            part.build(shape)

    def attend(self, x: Any, mask: Any) -> Any:
        """Self-attention."""
        seen = None if mask is None else mask[:, None, :]
        causal = self.causal
        return self.attention(x, x, attention_mask=seen, use_causal_mask=causal)

    def call(self, x: Any, mask: Any = None) -> Any:
        """The sequence, with what its steps saw."""
        if self.normalize_first:
            x = x + self.attend(self.first(x), mask)
            return x + self.dense(self.second(x))
        x = self.first(x + self.attend(x, mask))
        return self.second(x + self.dense(x))


class TransformerEncoder(TransformerBlock):
    """Every step sees all others."""


class TransformerDecoder(TransformerBlock):
    """Every step sees those before it."""

    causal = True
