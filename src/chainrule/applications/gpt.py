"""GPT: a language model of Transformer decoders."""

from __future__ import annotations

from typing import Any

from chainrule import initializers, layers
from chainrule.layers.layer import check_positive
from chainrule.models import Model

SPREAD = 0.02  # of the first weights


def GPT(
    vocabulary_size: int,
    length: int,
    layers: int = 4,
    heads: int = 4,
    width: int = 128,
    intermediate: int | None = None,
    dropout: float = 0.0,
    activation: Any = "gelu",
    tie_weights: bool = True,
    name: str = "gpt",
) -> Model:
    """A language model: for each token of a text the logits of the next.

    Vectors of tokens and places, blocks that normalize what they are given, one more
    normalization, and scores for each token with the vectors of the tokens themselves.
    Radford et al., "Language models are unsupervised multitask learners", 2019. First
    weights are normal with a spread of 0.02, those that lead back into the sum of a
    block by `sqrt(2 * layers)` less.

    Args:
        vocabulary_size: how many tokens there are.
        length: how many tokens it sees at most.
        layers: how many blocks there are.
        heads: of attention, in each.
        width: how many features a token has; a multiple of `heads`.
        intermediate: the width inside of a block; four times `width` by default.
        dropout: the share that is dropped in training.
        activation: inside of a block.
        tie_weights: whether scores are products with the vectors of the tokens;
            otherwise with vectors of their own.
        name: of the model.

    Raises:
        ArgumentError: for numbers that are not positive.

    Returns:
        A model from tokens `(samples, tokens)` to logits `(samples, tokens,
        vocabulary_size)`. Train it with
        `SparseCategoricalCrossentropy(from_logits=True)` on the tokens behind those
        that it is given.

    Example:
        >>> model = GPT(vocabulary_size=65, length=64)
        >>> model.count_params(), model.output_shape
        (809856, (None, None, 65))
    """
    return _build(
        (vocabulary_size, length, width),
        check_positive(name, "layers", layers),
        {
            "intermediate_dim": 4 * width if intermediate is None else intermediate,
            "num_heads": heads,
            "dropout": dropout,
            "activation": activation,
            "kernel_initializer": initializers.RandomNormal(stddev=SPREAD),
            "normalize_first": True,
        },
        tie_weights,
        name,
    )


def _build(
    sizes: tuple[int, int, int], count: int, block: Any, tied: bool, name: str
) -> Model:
    vocabulary, length, width = sizes
    normal = initializers.RandomNormal(stddev=SPREAD)
    tokens = layers.Input((None,), dtype="int32", name="tokens")
    words = layers.ReversibleEmbedding(
        vocabulary, width, tied, embeddings_initializer=normal, name="token_embedding"
    )
    places = layers.PositionEmbedding(length, normal, name="position_embedding")
    vectors = words(tokens)
    x = vectors + places(vectors)
    x = layers.Dropout(block["dropout"], name="embedding_dropout")(x)
    for number in range(count):
        decoder = layers.TransformerDecoder(**block, name=f"block_{number}")
        x = decoder(x)
        for last in (
            decoder.self_attention.output_dense,
            decoder.feedforward_output_dense,
        ):
            last.kernel.assign(last.kernel.value * (2 * count) ** -0.5)
    x = layers.LayerNormalization(epsilon=1e-5, name="last_layer_norm")(x)
    return Model(tokens, words(x, reverse=True), name=name)
