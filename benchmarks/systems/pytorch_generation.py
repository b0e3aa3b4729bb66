"""Tokens one after the other in PyTorch: eager, with a cache of keys and values.

The cache is as long as the network can see, and made once. The state of a text is its
last token and its place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from benchmarks.systems.pytorch_sequences import (
    ACTIVATIONS,
    AttentionBlock,
    WordsBlock,
)


class Cached:
    """A causal network of blocks, asked for one token after the other.

    Args:
        model: words, blocks, and layers that look at one step alone.
        length: how many tokens it sees.
    """

    def __init__(self, model: Any, length: int) -> None:
        self.words: WordsBlock = model[0]
        self.blocks = [x for x in model if isinstance(x, AttentionBlock)]
        self.ending = model[1 + len(self.blocks) :]
        layer = self.blocks[0].layer
        width = self.blocks[0].out.out_features
        shape = (len(self.blocks), 2, 1, layer.heads, length, width // layer.heads)
        self.cache = torch.zeros(shape)

    def logits(self, token: Any, place: int) -> Any:
        """Scores of the next token behind one that stands at `place`."""
        x = self.words.words(token) + self.words.places.weight[place]
        for block, (keys, values) in zip(self.blocks, self.cache, strict=True):
            x = self._block(block, x, keys, values, place)
        return self.ending(x)

    def _block(self, block: Any, x: Any, keys: Any, values: Any, place: int) -> Any:
        first, second = block.norms
        qkv = block.qkv(first(x)).view(1, 1, 3, block.layer.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        keys[:, :, place : place + 1] = key
        values[:, :, place : place + 1] = value
        seen = keys[:, :, : place + 1], values[:, :, : place + 1]
        mixed = functional.scaled_dot_product_attention(query, *seen)
        x = x + block.out(mixed.transpose(1, 2).reshape(1, 1, -1))
        act = ACTIVATIONS[block.layer.activation]
        return x + block.down(act(block.up(second(x))))

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def generate(self, token: Any, count: int) -> Any:
        """So many tokens behind one, drawn by their chances."""
        tokens = []
        for place in range(count):
            chances = self.logits(token, place)[0, -1].softmax(-1)
            token = torch.multinomial(chances, 1)[None]
            tokens.append(token)
        return torch.cat(tokens, 1)
