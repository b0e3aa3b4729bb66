"""The network of a translator: an encoder that reads, a decoder that writes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import chainrule
from chainrule import initializers, layers
from chainrule.functional.promotion import Tensor
from chainrule.models import Model

PADDING, UNKNOWN, START, END = range(4)  # the numbers that tokenizers give them
TASK = "translate"


@dataclass(frozen=True)
class Size:
    """How large a network is.

    Attributes:
        width: numbers of a token.
        blocks: blocks of the encoder, and of the decoder.
        heads: of each attention.
        inner: the width of the network for each token in a block.
    """

    width: int = 256
    blocks: int = 3
    heads: int = 4
    inner: int = 512


def build(vocabulary: int, size: Size, dropout: float, name: str = TASK) -> Model:
    """A Transformer that scores every next token of a translation.

    Inputs are `source` and `target`, numbers of tokens `(samples, steps)`, 0 where
    nothing is; the target begins with the token for the start. Outputs are logits
    `(samples, steps, vocabulary)`. Blocks normalize what they are given; source and
    target share their vectors with the output (Vaswani et al., "Attention is all you
    need", NeurIPS 2017; Press, Wolf, EACL 2017; Xiong et al., ICML 2020).

    Args:
        vocabulary: how many tokens there are.
        size: how large it is.
        dropout: the share that is dropped in training.
        name: that of the model.

    Example:
        >>> network = build(50, Size(16, 1, 2, 32), 0.1)
        >>> network.output_shape, network.count_params()
        ((None, None, 50), 6432)
    """
    source = layers.Input((None,), dtype="int32", name="source")
    target = layers.Input((None,), dtype="int32", name="target")
    spread = initializers.RandomNormal(stddev=size.width**-0.5)
    words = layers.ReversibleEmbedding(
        vocabulary, size.width, embeddings_initializer=spread, name="words"
    )
    places = layers.SinePositionEncoding(name="places")

    def enter(tokens: Tensor, side: str) -> Tensor:
        vectors = words(tokens) * math.sqrt(size.width)
        drop = layers.Dropout(dropout, name=f"{side}_dropout")
        return drop(vectors + places(vectors))

    options: Any = {
        "intermediate_dim": size.inner,
        "num_heads": size.heads,
        "dropout": dropout,
        "normalize_first": True,
    }
    read = chainrule.not_equal(source, PADDING)
    x = enter(source, "source")
    for i in range(size.blocks):
        block = layers.TransformerEncoder(**options, name=f"encoder_{i}")
        x = block(x, padding_mask=read)
    memory = layers.LayerNormalization(name="encoder_norm", epsilon=1e-5)(x)
    x = enter(target, "target")
    for i in range(size.blocks):
        decoder = layers.TransformerDecoder(**options, name=f"decoder_{i}")
        x = decoder(x, memory, encoder_padding_mask=read)
    x = layers.LayerNormalization(name="decoder_norm", epsilon=1e-5)(x)
    logits = words(x, reverse=True)
    return Model({"source": source, "target": target}, logits, name=name)


def is_translator(model: Any) -> bool:
    """Whether a model is one that `build` made."""
    return bool(getattr(model, "notes", {}).get("task") == TASK)
