"""Blocks of Transformers: attention, then a small network for each step."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import activations, functional, initializers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.masks import mask_of
from chainrule.functional.promotion import Tensor
from chainrule.layers.attention import MultiHeadAttention
from chainrule.layers.attention_axes import both
from chainrule.layers.attention_cached import CachedMultiHeadAttention
from chainrule.layers.core import Dense, known_width
from chainrule.layers.layer import InputShape, Layer, LayerOptions, check_positive
from chainrule.layers.normalization import LayerNormalization, check_epsilon
from chainrule.layers.regularization import Dropout, check_rate
from chainrule.layers.several import SeveralInputs


class TransformerBlock(SeveralInputs):
    """Base of the blocks: parts that are added to what they are given.

    A part is `x + dropout(f(norm(x)))` with `normalize_first`, and otherwise
    `norm(x + dropout(f(x)))`.

    Args:
        intermediate_dim: the width of the network for each step.
        num_heads: how many heads attention has; each has `features // num_heads`
            numbers.
        dropout: the share of the outputs of the parts, and of the weights of
            attention, that is dropped in training.
        activation: of the network for each step.
        layer_norm_epsilon: see `LayerNormalization`.
        kernel_initializer: of all kernels.
        bias_initializer: of all biases.
        normalize_first: whether parts normalize what they are given (GPT-2), or what
            they give (BERT).
        **options: see `LayerOptions`.
    """

    supports_masking = True

    # The layer of attention that is made; a subclass may name another.
    attention: type[MultiHeadAttention] = CachedMultiHeadAttention

    feedforward_layer_norm: LayerNormalization
    feedforward_dropout: Dropout

    def __init__(
        self,
        intermediate_dim: int,
        num_heads: int,
        dropout: float = 0,
        activation: Any = "relu",
        layer_norm_epsilon: float = 1e-05,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        normalize_first: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.intermediate_dim = check_positive(
            self.name, "intermediate_dim", intermediate_dim
        )
        self.num_heads = check_positive(self.name, "num_heads", num_heads)
        self.dropout = check_rate(self.name, dropout)
        self.activation = activations.get(activation)
        self.layer_norm_epsilon = check_epsilon(self.name, layer_norm_epsilon)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.normalize_first = normalize_first

    def _head_size(self, input_shape: InputShape) -> int:
        """How many numbers a head has."""
        width = known_width(self.name, input_shape)
        if len(input_shape) != 3 or width < self.num_heads:
            raise ShapeError(
                "the block cannot divide its input among the heads",
                where=self.name,
                got=f"{input_shape} for {self.num_heads} heads",
                expected=f"(samples, steps, features), at least {self.num_heads} "
                "features",
            )
        return width // self.num_heads

    def _build_attention(self, name: str, *shapes: InputShape) -> Any:
        """A layer of attention from the first shape into the last."""
        layer = self.attention(
            self.num_heads,
            self._head_size(shapes[0]),
            dropout=self.dropout,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build_for(*shapes)
        return layer

    def _build_around(self, name: str, shape: InputShape) -> tuple[Any, Any]:
        """The normalization and the dropout of a part."""
        norm = LayerNormalization(
            epsilon=self.layer_norm_epsilon,
            dtype=self.dtype_policy,
            name=f"{name}_layer_norm",
        )
        norm.build_for(shape)
        return norm, Dropout(
            self.dropout, dtype=self.dtype_policy, name=f"{name}_dropout"
        )

    def _build_dense(
        self, name: str, shape: InputShape, units: int, activation: Any = None
    ) -> Dense:
        layer = Dense(
            units,
            activation,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build_for(shape)
        return layer

    def _build_feedforward(self, shape: InputShape) -> None:
        """The network for each step."""
        wide = (*shape[:-1], self.intermediate_dim)
        self.feedforward_intermediate_dense = self._build_dense(
            "feedforward_intermediate_dense",
            shape,
            self.intermediate_dim,
            self.activation,
        )
        self.feedforward_output_dense = self._build_dense(
            "feedforward_output_dense", wide, known_width(self.name, shape)
        )

    def _before(self, norm: Layer, x: Tensor) -> Tensor:
        """What a part is given."""
        found: Tensor = norm(x) if self.normalize_first else x
        return found

    def _after(self, norm: Layer, dropout: Layer, x: Tensor, made: Tensor) -> Tensor:
        """What comes of a part that made this of x."""
        found: Tensor = x + dropout(made)
        return found if self.normalize_first else norm(found)

    def _feedforward(self, x: Tensor) -> Tensor:
        """The network for each step, as a part."""
        norm, dropout = self.feedforward_layer_norm, self.feedforward_dropout
        made = self.feedforward_intermediate_dense(self._before(norm, x))
        return self._after(norm, dropout, x, self.feedforward_output_dense(made))

    def compute_output_shape(self, input_shape: Any, *others: Any) -> Any:
        """That of the first input."""
        self.build_for(input_shape, *others)
        return tuple(input_shape)


class TransformerEncoder(TransformerBlock):
    """A block in which every step of a sequence sees all others.

    Self-attention, then a network of two dense layers for each step; both are added to
    what they are given. Vaswani et al., "Attention is all you need", NeurIPS 2017. The
    mask of a sequence (of `Embedding(mask_zero=True)`, for one) says which steps are
    seen.

    Args:
        intermediate_dim: see `TransformerBlock`.
        num_heads: see `TransformerBlock`.
        dropout: see `TransformerBlock`.
        activation: see `TransformerBlock`.
        layer_norm_epsilon: see `TransformerBlock`.
        kernel_initializer: see `TransformerBlock`.
        bias_initializer: see `TransformerBlock`.
        normalize_first: see `TransformerBlock`.
        **options: see `LayerOptions`.

    Raises:
        ShapeError: when the input is no sequence, or has fewer features than heads.

    Example:
        >>> block = TransformerEncoder(intermediate_dim=64, num_heads=4, dropout=0.1)
        >>> block(functional.zeros((2, 10, 32))).shape
        (2, 10, 32)
    """

    tensors = ("inputs",)
    attention = MultiHeadAttention

    def build(self, input_shape: InputShape) -> None:
        """Make attention and the network."""
        self.self_attention_layer = self._build_attention(
            "self_attention_layer", input_shape
        )
        self.self_attention_layer_norm, self.self_attention_dropout = (
            self._build_around("self_attention", input_shape)
        )
        self.feedforward_layer_norm, self.feedforward_dropout = self._build_around(
            "feedforward", input_shape
        )
        self._build_feedforward(input_shape)

    def call(
        self,
        inputs: Tensor,
        padding_mask: Any = None,
        attention_mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
    ) -> Any:
        """The sequence, with what its steps saw.

        Args:
            inputs: `(samples, steps, features)`.
            padding_mask: `(samples, steps)`, true for steps that count; by default the
                mask that hangs on the input.
            attention_mask: `(samples, steps, steps)`, true where a step sees another.
            training: whether to drop.
            return_attention_scores: whether to give the weights of attention as well.

        Returns:
            `(samples, steps, features)`, or a pair with the weights
            `(samples, heads, steps, steps)`.
        """
        found = self.self_attention_layer(
            self._before(self.self_attention_layer_norm, inputs),
            value_mask=mask_of(inputs) if padding_mask is None else padding_mask,
            attention_mask=attention_mask,
            return_attention_scores=return_attention_scores,
        )
        made, weights = found if return_attention_scores else (found, None)
        x = self._after(
            self.self_attention_layer_norm, self.self_attention_dropout, inputs, made
        )
        x = self._feedforward(x)
        return (x, weights) if return_attention_scores else x


class TransformerDecoder(TransformerBlock):
    """A block in which every step sees those before it, and maybe another sequence.

    `layer(decoder_sequence)` has causal self-attention and the network for each step,
    as GPT; `layer(decoder_sequence, encoder_sequence)` looks into the second sequence
    in between, as a translator does. Which of both it is, the first call says. Vaswani
    et al., "Attention is all you need", NeurIPS 2017.

    Args:
        intermediate_dim: see `TransformerBlock`.
        num_heads: see `TransformerBlock`.
        dropout: see `TransformerBlock`.
        activation: see `TransformerBlock`.
        layer_norm_epsilon: see `TransformerBlock`.
        kernel_initializer: see `TransformerBlock`.
        bias_initializer: see `TransformerBlock`.
        normalize_first: see `TransformerBlock`.
        **options: see `LayerOptions`.

    Raises:
        ShapeError: when the input is no sequence, or has fewer features than heads.
        ArgumentError: when a second sequence comes and goes, or one of two caches is
            missing.

    Example:
        >>> words, source = functional.zeros((2, 5, 32)), functional.zeros((2, 9, 32))
        >>> TransformerDecoder(intermediate_dim=64, num_heads=4)(words, source).shape
        (2, 5, 32)
    """

    tensors = ("decoder_sequence", "encoder_sequence")

    cross_attention: Any = None

    def build(
        self,
        decoder_sequence_shape: InputShape,
        encoder_sequence_shape: Any = None,
    ) -> None:
        """Make attention and the network.

        Args:
            decoder_sequence_shape: `(samples, steps, features)`.
            encoder_sequence_shape: likewise; None for a block that sees one sequence.
        """
        shape = decoder_sequence_shape
        self.self_attention = self._build_attention("self_attention", shape)
        self.self_attention_layer_norm, self.self_attention_dropout = (
            self._build_around("self_attention", shape)
        )
        if encoder_sequence_shape is not None:
            self.cross_attention = self._build_attention(
                "cross_attention", shape, encoder_sequence_shape
            )
            self.cross_attention_layer_norm, self.cross_attention_dropout = (
                self._build_around("cross_attention", shape)
            )
        self._build_feedforward(shape)
        self.feedforward_layer_norm, self.feedforward_dropout = self._build_around(
            "feedforward", shape
        )

    def call(
        self,
        decoder_sequence: Tensor,
        encoder_sequence: Tensor | None = None,
        decoder_padding_mask: Any = None,
        decoder_attention_mask: Any = None,
        encoder_padding_mask: Any = None,
        encoder_attention_mask: Any = None,
        self_attention_cache: Any = None,
        self_attention_cache_update_index: Any = None,
        cross_attention_cache: Any = None,
        cross_attention_cache_update_index: Any = None,
        use_causal_mask: bool = True,
        training: bool = False,
    ) -> Any:
        """The sequence, with what its steps saw; and the caches, where given.

        Args:
            decoder_sequence: `(samples, T, features)`.
            encoder_sequence: `(samples, S, features)`, which is looked into.
            decoder_padding_mask: `(samples, T)`, true for steps that count; by default
                the mask that hangs on the sequence. With a cache, `(samples, length of
                the cache)`.
            decoder_attention_mask: `(samples, T, T)`, true where a step sees another.
            encoder_padding_mask: `(samples, S)`, likewise of the second sequence.
            encoder_attention_mask: `(samples, T, S)`, true where a step sees one of the
                second sequence.
            self_attention_cache: see `CachedMultiHeadAttention`.
            self_attention_cache_update_index: the place of the first step.
            cross_attention_cache: see `CachedMultiHeadAttention`.
            cross_attention_cache_update_index: 0 to compute the cache of the second
                sequence, None to use it as it is.
            use_causal_mask: whether a step sees none that come later.
            training: whether to drop.

        Returns:
            The output; or a tuple with the cache of self-attention, and that of
            cross-attention where there is one.
        """
        caches = self_attention_cache, cross_attention_cache
        self._check(encoder_sequence, *caches)
        x, cache = self._look_back(
            decoder_sequence,
            (decoder_padding_mask, decoder_attention_mask, use_causal_mask),
            self_attention_cache,
            self_attention_cache_update_index,
        )
        found = [] if cache is None else [cache]
        if encoder_sequence is not None:
            x, cache = self._look_across(
                x,
                encoder_sequence,
                (encoder_padding_mask, encoder_attention_mask),
                cross_attention_cache,
                cross_attention_cache_update_index,
            )
            found += [] if cache is None else [cache]
        x = self._feedforward(x)
        return (x, *found) if found else x

    def _look_back(
        self, x: Tensor, masks: tuple[Any, Any, bool], cache: Any, index: Any
    ) -> tuple[Tensor, Any]:
        """Self-attention, as a part; and the cache after it."""
        padding, attention, causal = masks
        given = self._before(self.self_attention_layer_norm, x)
        if cache is None:
            padding = mask_of(x) if padding is None else padding
            made = self.self_attention(
                given,
                value_mask=padding,
                attention_mask=attention,
                use_causal_mask=causal,
            )
        elif hasattr(cache, "extend"):  # it says itself what is seen
            made, cache = self.self_attention(given, cache=cache)
        else:
            seen = self.compute_self_attention_mask(
                x, padding, attention, causal, cache, index
            )
            made, cache = self.self_attention(
                given, attention_mask=seen, cache=cache, cache_update_index=index
            )
        norm, dropout = self.self_attention_layer_norm, self.self_attention_dropout
        return self._after(norm, dropout, x, made), cache

    def _look_across(
        self, x: Tensor, source: Tensor, masks: tuple[Any, Any], cache: Any, index: Any
    ) -> tuple[Tensor, Any]:
        """Attention to the second sequence, as a part; and the cache after it."""
        padding, attention = masks
        padding = mask_of(source) if padding is None else padding
        seen = _merged(padding, attention)
        norm, dropout = self.cross_attention_layer_norm, self.cross_attention_dropout
        found = self.cross_attention(
            self._before(norm, x),
            source,
            attention_mask=seen,
            cache=cache,
            cache_update_index=index,
        )
        made, cache = (found, None) if cache is None else found
        return self._after(norm, dropout, x, made), cache

    def compute_self_attention_mask(
        self,
        decoder_sequence: Tensor,
        decoder_padding_mask: Any = None,
        decoder_attention_mask: Any = None,
        use_causal_mask: bool = True,
        self_attention_cache: Any = None,
        self_attention_cache_update_index: Any = None,
    ) -> Tensor | None:
        """What the steps of a sequence see of it, or of a cache.

        Args:
            decoder_sequence: see `call`.
            decoder_padding_mask: see `call`.
            decoder_attention_mask: see `call`.
            use_causal_mask: see `call`.
            self_attention_cache: see `call`.
            self_attention_cache_update_index: see `call`.

        Returns:
            `(samples or 1, T, S)`, true where a step sees another; None for all.
        """
        if decoder_padding_mask is None and self_attention_cache is None:
            decoder_padding_mask = mask_of(decoder_sequence)
        found = _merged(decoder_padding_mask, decoder_attention_mask)
        if not use_causal_mask:
            return found
        count = decoder_sequence.shape[1]
        cached = self_attention_cache is not None
        length = functional.asarray(self_attention_cache).shape[2] if cached else count
        index = self_attention_cache_update_index
        first = functional.asarray(0 if index is None else index)
        first = functional.astype(first, "int32")
        lines = functional.arange(count, dtype="int32")[:, None] + first
        seen = lines >= functional.arange(length, dtype="int32")[None, :]
        return both(found, seen[None])

    def _check(self, source: Any, own: Any, across: Any) -> None:
        """Refuse another number of sequences than at first, and lone caches."""
        if (self.cross_attention is None) != (source is None):
            built = "one sequence" if source is not None else "two sequences"
            raise ArgumentError(
                f"the layer was first called with {built}, and has weights for that",
                where=self.name,
                got="encoder_sequence" + (" = None" if source is None else ""),
                fix="a new layer for the other use",
            )
        if source is not None and (own is None) != (across is None):
            missing = "self" if own is None else "cross"
            raise ArgumentError(
                "with two sequences there are two caches, or none",
                where=self.name,
                got=f"{missing}_attention_cache=None",
            )


def _merged(padding: Any, attention: Any) -> Tensor | None:
    """Masks `(samples, S)` and `(samples, T, S)` as one of the latter kind."""
    if padding is not None:
        padding = functional.astype(functional.asarray(padding), "bool")[:, None, :]
    if attention is not None:
        attention = functional.astype(functional.asarray(attention), "bool")
    return both(padding, attention)
