"""Attention without projections: by products, or by sums."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.attention import dot_product_attention
from chainrule.functional.promotion import Tensor
from chainrule.layers.attention_axes import both
from chainrule.layers.layer import Layer, LayerOptions
from chainrule.layers.regularization import check_rate

MODES = ("dot", "concat")


class PlainAttention(Layer):
    """Base of attention without projections: a subclass says how keys are scored.

    Args:
        use_scale: whether there is a learnt `scale`.
        dropout: the share of the weights of attention that is dropped in training.
        seed: mixed into the key of dropout.
        **options: see `LayerOptions`.
    """

    supports_masking = True

    scale: Any = None

    def __init__(
        self,
        use_scale: bool = False,
        dropout: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.use_scale = use_scale
        self.dropout = check_rate(self.name, dropout)
        self.seed = seed

    @property
    def products(self) -> bool:
        """Whether scores are products, so that they need not be stored."""
        return False

    def score(self, query: Tensor, key: Tensor) -> Tensor:
        """How well each key answers to each query, `(samples, T, S)`."""
        raise NotImplementedError

    def call(
        self,
        inputs: list[Tensor],
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """The averages of the values.

        Args:
            inputs: `[query, value]` or `[query, value, key]`.
            mask: `[query_mask, value_mask]`, `(samples, steps)` each, true for steps
                that count: others are not seen, and are 0 where queries. By default
                the masks that hang on the inputs.
            training: whether weights are dropped.
            return_attention_scores: whether to give the weights as well.
            use_causal_mask: whether query t sees keys 0 to t alone.

        Returns:
            `(samples, T, features)`, or a pair with the weights `(samples, T, S)`. A
            query that sees nothing gets zeros.
        """
        shapes = [x.shape for x in inputs] if isinstance(inputs, (list, tuple)) else []
        self._check(shapes)
        query, value, *more = inputs
        key = more[0] if more else value
        masks = [None, None] if mask is None else list(mask)
        seen = _flags(masks[1])
        weights = None
        if return_attention_scores or not self.products:
            weights = self._averaging(query, key, seen, training, use_causal_mask)
            outputs = functional.matmul(weights, value)
        else:
            outputs = self._products(query, key, value, seen, training, use_causal_mask)
        counts = _flags(masks[0])
        if counts is not None:
            outputs = functional.where(counts[..., None], outputs, 0.0)
        return (outputs, weights) if return_attention_scores else outputs

    def _products(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        seen: Any,
        training: bool,
        causal: bool,
    ) -> Tensor:
        """The averages, with scores that are never stored."""
        if self.scale is not None:
            query = query * self.scale.value
        drops = training and self.dropout > 0
        found = dot_product_attention(
            query[:, :, None, :],
            key[:, :, None, :],
            value[:, :, None, :],
            mask=None if seen is None else seen[:, None, None, :],
            scale=1.0,
            is_causal=causal,
            dropout=self.dropout if drops else 0.0,
            dropout_key=self._key() if drops else None,
        )
        return found[:, :, 0, :]

    def _averaging(
        self, query: Tensor, key: Tensor, seen: Any, training: bool, causal: bool
    ) -> Tensor:
        """The weights `(samples, T, S)`, dropped in training."""
        scores = self.score(query, key)
        if not scores.shape[2]:
            return scores
        mask = None if seen is None else seen[:, None, :]
        if causal:
            lines = functional.arange(scores.shape[1], dtype="int32")[:, None]
            columns = functional.arange(scores.shape[2], dtype="int32")[None, :]
            mask = both(mask, (lines >= columns)[None])
        if mask is not None:
            lowest = float(functional.finfo(scores.dtype).min)
            scores = functional.where(mask, scores, lowest)
        weights = functional.softmax(scores, axis=-1)
        if mask is not None:
            weights = functional.where(mask, weights, 0.0)
        if training and self.dropout:
            limit = np.uint32(round(self.dropout * 2**32))
            kept = random.bits(self._key(), weights.shape) >= limit
            weights = functional.where(kept, weights / (1 - self.dropout), 0.0)
        return weights

    def _key(self) -> Tensor:
        key = random.next_key()
        return key if self.seed is None else random.fold_in(key, self.seed)

    def _check(self, shapes: Any) -> None:
        """Refuse inputs that are no list of two or three sequences that fit."""
        several = isinstance(shapes, (list, tuple)) and len(shapes) in (2, 3)
        if not several or not all(isinstance(s, (list, tuple)) for s in shapes):
            raise ArgumentError(
                "attention is called with a list of two or three sequences",
                where=self.name,
                got=shapes,
                expected="[query, value] or [query, value, key]",
            )
        query, value, key = (*shapes, shapes[-1])[:3]
        fits = len(query) == len(value) == len(key) == 3 and query[2] == key[2]
        if not fits or value[1] != key[1]:
            raise ShapeError(
                "query, value and key do not fit one another",
                where=self.name,
                got=", ".join(map(str, shapes)),
                expected="(samples, T, features), (samples, S, any), "
                "(samples, S, features)",
            )

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """That of the queries."""
        return None if previous_mask is None else previous_mask[0]


class Attention(PlainAttention):
    """Values, averaged with weights by how well their keys answer to each query.

    `softmax(score(query, key)) @ value`, of inputs `[query, value]` or
    `[query, value, key]`, with `(samples, T, features)` for queries and
    `(samples, S, features)` for the others. The score is `scale * query @ key`, or with
    `score_mode="concat"` `weight * sum(tanh(scale * (query + key)))`. Luong, Pham,
    Manning, "Effective approaches to attention-based neural machine translation", EMNLP
    2015.

    Args:
        use_scale: whether there is a learnt `scale`.
        score_mode: `dot` or `concat`.
        dropout: the share of the weights of attention that is dropped in training.
        seed: mixed into the key of dropout.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: for an unknown mode, a rate that is no share, or inputs that are
            no list.
        ShapeError: when the inputs do not fit one another.

    Example:
        >>> query, value = functional.zeros((2, 3, 8)), functional.zeros((2, 5, 8))
        >>> Attention()([query, value]).shape
        (2, 3, 8)
    """

    concat_score_weight: Any = None

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(use_scale, dropout, seed, **options)
        if score_mode not in MODES:
            raise ArgumentError(
                "unknown way of scoring",
                where=self.name,
                got=f"score_mode={score_mode!r}",
                expected=", ".join(map(repr, MODES)),
            )
        self.score_mode = score_mode

    def build(self, input_shape: Any) -> None:
        """Make the scale, and the weight of the sums."""
        self._check(input_shape)
        if self.use_scale:
            self.scale = self.add_weight("scale", (), "ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(
                "concat_score_weight", (), "ones"
            )

    @property
    def products(self) -> bool:
        """Whether scores are products, so that they need not be stored."""
        return self.score_mode == "dot"

    def score(self, query: Tensor, key: Tensor) -> Tensor:
        """How well each key answers to each query."""
        scale = 1.0 if self.scale is None else self.scale.value
        if self.score_mode == "dot":
            return functional.matmul(query, functional.matrix_transpose(key)) * scale
        added = functional.tanh(scale * (query[:, :, None, :] + key[:, None, :, :]))
        return self.concat_score_weight.value * functional.sum(added, axis=-1)


class AdditiveAttention(PlainAttention):
    """Attention with the score `sum(scale * tanh(query + key))`.

    Bahdanau, Cho, Bengio, "Neural machine translation by jointly learning to align and
    translate", ICLR 2015. It is called as `Attention`.

    Args:
        use_scale: whether there is a learnt `scale`, one number for each feature.
        dropout: the share of the weights of attention that is dropped in training.
        seed: mixed into the key of dropout.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: see `Attention`.
        ShapeError: see `Attention`.

    Example:
        >>> query, value = functional.zeros((2, 3, 8)), functional.zeros((2, 5, 8))
        >>> layer = AdditiveAttention()
        >>> layer([query, value]).shape, layer.scale.shape
        ((2, 3, 8), (8,))
    """

    def __init__(
        self,
        use_scale: bool = True,
        dropout: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(use_scale, dropout, seed, **options)

    def build(self, input_shape: Any) -> None:
        """Make the scale."""
        self._check(input_shape)
        if self.use_scale:
            self.scale = self.add_weight("scale", (input_shape[0][-1],))

    def score(self, query: Tensor, key: Tensor) -> Tensor:
        """How well each key answers to each query."""
        added = functional.tanh(query[:, :, None, :] + key[:, None, :, :])
        if self.scale is not None:
            added = added * self.scale.value
        return functional.sum(added, axis=-1)


def _flags(mask: Any) -> Tensor | None:
    """A mask as booleans."""
    if mask is None:
        return None
    return functional.astype(functional.asarray(mask), "bool")
