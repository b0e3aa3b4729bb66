"""Layers of sequences in PyTorch: its recurrent layers and its fused attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.networks import Shape
from benchmarks.sequence_layers import (
    NORM_EPSILON,
    Block,
    Embedding,
    Gru,
    LayerNorm,
    Lstm,
    Recurrent,
)

KINDS = (Embedding, LayerNorm, Recurrent, Block)
ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
}


class WordsBlock(nn.Module):  # type: ignore[misc]
    """The vector of each word plus that of its place."""

    def __init__(self, words: int, places: int, units: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, units)
        self.places = nn.Embedding(places, units)

    def forward(self, x: Any) -> Any:
        """The sum."""
        return self.words(x) + self.places.weight


class RecurrentBlock(nn.Module):  # type: ignore[misc]
    """`nn.LSTM` or `nn.GRU`, and what others read of what it gives."""

    def __init__(self, layer: Recurrent, features: int) -> None:
        super().__init__()
        kind = {Lstm: nn.LSTM, Gru: nn.GRU}[type(layer)]
        both = layer.both_ways
        self.inner = kind(features, layer.units, batch_first=True, bidirectional=both)
        self.sequences = layer.sequences
        for name, parameter in self.inner.named_parameters():
            if isinstance(layer, Lstm) and name.startswith("bias_hh"):
                parameter.requires_grad_(False).zero_()  # the network has one bias

    def forward(self, x: Any) -> Any:
        """The outputs of all steps, or the states behind the last, side by side."""
        outputs, states = self.inner(x)
        if self.sequences:
            return outputs
        last = states[0] if isinstance(states, tuple) else states
        return torch.cat(tuple(last), 1)


class AttentionBlock(nn.Module):  # type: ignore[misc]
    """A Transformer block with queries, keys and values by one product."""

    def __init__(self, layer: Block, width: int) -> None:
        super().__init__()
        self.layer = layer
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up = nn.Linear(width, layer.hidden)
        self.down = nn.Linear(layer.hidden, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, NORM_EPSILON) for _ in range(2))

    def attend(self, x: Any, counts: Any) -> Any:
        """Self-attention."""
        samples, steps, width = x.shape
        heads = self.qkv(x).view(samples, steps, 3, self.layer.heads, -1)
        mask = None if counts is None else counts[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(
            *heads.permute(2, 0, 3, 1, 4).unbind(0),
            attn_mask=mask,
            is_causal=self.layer.causal,
        )
        return self.out(mixed.transpose(1, 2).reshape(samples, steps, width))

    def dense(self, x: Any) -> Any:
        """The dense layer and its way back."""
        return self.down(ACTIVATIONS[self.layer.activation](self.up(x)))

    def forward(self, x: Any, counts: Any = None) -> Any:
        """Both, each with a shortcut and a normalization."""
        first, second = self.norms
        if self.layer.normalize_first:
            x = x + self.attend(first(x), counts)
            return x + self.dense(second(x))
        x = first(x + self.attend(x, counts))
        return second(x + self.dense(x))


class StepMean(nn.Module):  # type: ignore[misc]
    """The mean over all steps that are no padding."""

    def forward(self, x: Any, counts: Any = None) -> Any:
        """One number a feature."""
        if counts is None:
            return x.mean(1)
        chosen = counts[..., None].to(x.dtype)
        return (x * chosen).sum(1) / chosen.sum(1).clamp(min=1)


class Padded(nn.Sequential):  # type: ignore[misc]
    """Layers one after the other; those that mix steps are told which are none."""

    def forward(self, x: Any) -> Any:
        """What the last gives."""
        counts = x != 0
        for part in self:
            mixes = isinstance(part, AttentionBlock | StepMean)
            x = part(x, counts) if mixes else part(x)
        return x


def make_sequence_layer(layer: Any, shape: Shape) -> nn.Module:
    """One layer of those in `KINDS`."""
    match layer:
        case Embedding(words, units, _, places) if places:
            return WordsBlock(words, places, units)
        case Embedding(words, units):
            return nn.Embedding(words, units)
        case LayerNorm():
            return nn.LayerNorm(shape[-1], NORM_EPSILON)
        case Block():
            return AttentionBlock(layer, shape[-1])
    return RecurrentBlock(layer, shape[-1])
