"""Attention with several heads, and learnt projections around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from chainrule import constraints, functional, initializers, regularizers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.attention import dot_product_attention
from chainrule.functional.masks import mask_of
from chainrule.functional.promotion import Tensor
from chainrule.layers.attention_axes import Layout, band, both, weights_of
from chainrule.layers.core import known_width
from chainrule.layers.einsum_dense import EinsumDense
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import InputShape, check_positive
from chainrule.layers.regularization import check_rate
from chainrule.layers.several import SeveralInputs
from chainrule.precision import PolicyLike


class BaseOptions(TypedDict, total=False):
    """What these layers take as every layer does; see `LayerOptions`."""

    name: str | None
    dtype: PolicyLike | None
    trainable: bool
    input_shape: Sequence[int | None] | None


class ProjectedAttention(SeveralInputs):
    """Base of attention between learnt projections of query, key and value.

    A subclass names its heads: `query_heads`, and `key_heads` that the former are a
    multiple of, with `key_size` numbers in a head of queries and keys and `value_size`
    in one of values.

    Args:
        dropout: the share of the weights of attention that is dropped in training.
        use_bias: whether projections add a bias.
        sliding_window: if given, step t sees the steps less than this far from it.
        flash_attention: taken as in Keras; weights are never stored unless they are
            asked for, whatever it says.
        kernel_initializer: of the kernels of the projections.
        bias_initializer: of their biases.
        kernel_regularizer: a penalty on the kernels.
        bias_regularizer: a penalty on the biases.
        activity_regularizer: a penalty on what the projections give.
        kernel_constraint: a limit of the kernels.
        bias_constraint: a limit of the biases.
        use_gate: whether what the heads give is multiplied with a sigmoid of a
            projection of the query. Qiu et al., "Gated attention for large language
            models", arXiv 2505.06708.
        seed: mixed into the key of dropout.
        **options: see `LayerOptions`.
    """

    tensors = ("query", "value", "key")
    supports_masking = True

    query_heads: int
    key_heads: int
    key_size: int
    value_size: int

    def __init__(
        self,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **options: Unpack[BaseOptions],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.dropout = check_rate(self.name, dropout)
        self.use_bias = use_bias
        self.sliding_window = (
            None
            if sliding_window is None
            else check_positive(self.name, "sliding_window", sliding_window)
        )
        self.flash_attention = flash_attention
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.use_gate = use_gate
        self.seed = seed

    # ---- weights ---------------------------------------------------------------------

    def build(
        self, query_shape: InputShape, value_shape: Any = None, key_shape: Any = None
    ) -> None:
        """Make the projections.

        Args:
            query_shape: `(samples, steps, features)`.
            value_shape: likewise; that of the query when None.
            key_shape: likewise; that of the value when None.

        Raises:
            ShapeError: when keys and values differ in more than their features.
        """
        value_shape = query_shape if value_shape is None else value_shape
        key_shape = value_shape if key_shape is None else key_shape
        self._check_shapes(query_shape, value_shape, key_shape)
        heads, groups = self.query_heads, self.key_heads
        keys, values = self.key_size, self.value_size
        self.query_dense = self._projection("query", query_shape, (heads, keys))
        self.key_dense = self._projection("key", key_shape, (groups, keys))
        if self.use_gate:
            self.gate_dense = self._projection(
                "gate", query_shape, (heads, values), activation="sigmoid"
            )
        self.value_dense = self._projection("value", value_shape, (groups, values))
        given = (*query_shape[:-1], heads, values)
        self.output_dense = self._projection(
            "attention_output", given, self._output_lengths(query_shape), bound=2
        )
        features = known_width(self.name, query_shape)
        self.input_spec = InputSpec(ndim=len(query_shape), axes={-1: features})

    def _output_lengths(self, query_shape: InputShape) -> tuple[Any, ...]:
        """The features of what comes out, those of the query by default."""
        return (query_shape[-1],)

    def _projection(
        self,
        name: str,
        shape: InputShape,
        lengths: tuple[Any, ...],
        bound: int = 1,
        activation: Any = None,
    ) -> EinsumDense:
        """A dense layer from the last axes, `bound` of them, to axes of these lengths.

        Args:
            name: its name.
            shape: that of its input.
            lengths: of the axes that take their place.
            bound: how many axes are summed over.
            activation: see `Dense`.
        """
        letters = "abcdefghijklmnopqrstuvwxyz"
        free = letters[: len(shape) - bound]
        summed = letters[len(free) : len(shape)]
        made = letters[len(shape) : len(shape) + len(lengths)]
        layer = EinsumDense(
            f"{free}{summed},{summed}{made}->{free}{made}",
            (*[None] * (len(free) - 1), *lengths),
            activation=activation,
            bias_axes=made if self.use_bias else None,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self.activity_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
            name=name,
        )
        layer.supports_masking = True  # masks are told apart here
        layer.build_for(shape)
        return layer

    def _penalize(self, outputs: Any) -> None:
        """Nothing: the projections have the penalty."""

    # ---- the call --------------------------------------------------------------------

    def call(
        self,
        query: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """What the heads make of the values, for each query.

        Args:
            query: `(samples, T, features)`.
            value: `(samples, S, features)`; the query when None.
            key: `(samples, S, features)`; the value when None.
            query_mask: `(samples, T)`, true where a query counts. What is attended to
                does not depend on it.
            value_mask: `(samples, S)`, true where a value counts. By default the mask
                that hangs on the value.
            key_mask: `(samples, S)`; likewise of the key.
            attention_mask: `(samples, T, S)`, true where a query sees a key; axes on
                the left may be missing, and one for the heads may stand before T. A
                query that sees none gets zeros from the heads.
            return_attention_scores: whether to give the weights as well.
            training: whether weights are dropped.
            use_causal_mask: whether query t sees keys 0 to t alone.

        Returns:
            `(samples, T, features)`; with `return_attention_scores` a pair with the
            weights `(samples, heads, T, S)`.
        """
        value = None if value is query else value
        key = None if key is (query if value is None else value) else key
        mask = self._seen(query, value, key, (value_mask, key_mask))
        queries, keys, values = self._projected(query, value, key)
        queries, keys = self.place(queries, keys)
        layout = self._layout(queries.ndim)
        mask = both(mask, self._window(layout, queries, keys))
        q, k, v = layout.flat(queries, keys, values)
        seen = both(mask, layout.mask(attention_mask, queries, keys))
        heads = self._attend(q, k, v, seen, training, use_causal_mask)
        outputs = self._outputs(layout.restored(heads, queries), query)
        if not return_attention_scores:
            return outputs
        weights = weights_of(q, k, seen, use_causal_mask)
        return outputs, layout.weights(weights, queries, keys)

    def _projected(
        self, query: Tensor, value: Tensor | None, key: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by heads."""
        value = query if value is None else value
        key = value if key is None else key
        return self.query_dense(query), self.key_dense(key), self.value_dense(value)

    def place(
        self, query: Tensor, key: Tensor, start: Any = 0
    ) -> tuple[Tensor, Tensor]:
        """Queries and keys by heads as they shall meet; by default as they are.

        A subclass may turn them by where they stand, with `RotaryEmbedding` for one.

        Args:
            query: `(samples, T, heads, size)`.
            key: `(samples, S, heads, size)`.
            start: the place of the first step of both; with a cache, where it is
                updated.
        """
        return query, key

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        training: bool,
        causal: bool,
    ) -> Tensor:
        """Attention among heads, `(samples, steps, heads, size)` each."""
        drops = training and self.dropout > 0
        return dot_product_attention(
            query,
            key,
            value,
            mask=mask,
            scale=1 / math.sqrt(self.key_size),
            is_causal=causal,
            dropout=self.dropout if drops else 0.0,
            dropout_key=self._key() if drops else None,
        )

    def _outputs(self, heads: Tensor, query: Tensor) -> Tensor:
        """What the heads gave, through the gate and the last projection."""
        if self.use_gate:
            heads = heads * self.gate_dense(query)
        outputs: Tensor = self.output_dense(heads)
        return outputs

    def _key(self) -> Tensor:
        key = random.next_key()
        return key if self.seed is None else random.fold_in(key, self.seed)

    # ---- what is seen ----------------------------------------------------------------

    def _seen(
        self,
        query: Tensor,
        value: Tensor | None,
        key: Tensor | None,
        told: tuple[Any, Any],
    ) -> Tensor | None:
        """The masks of values and keys, `(samples, 1, 1, S)`."""
        value = query if value is None else value
        found: Tensor | None = None
        masks = [
            mask_of(x) if mask is None else mask
            for x, mask in zip((value, key), told, strict=True)
        ]
        for mask in masks:
            if mask is None or value.ndim != 3:
                continue
            each = functional.astype(functional.asarray(mask), "bool")
            if each.shape != value.shape[:2]:
                raise ShapeError(
                    "a mask of values says of each step whether it counts",
                    where=self.name,
                    got=f"a mask {each.shape} for values {value.shape}",
                    expected=value.shape[:2],
                    fix="what single queries see: attention_mask=",
                )
            found = both(found, each[:, None, None, :])
        return found

    def _window(self, layout: Layout, query: Tensor, key: Tensor) -> Tensor | None:
        """Where keys are near enough; None without a window."""
        if self.sliding_window is None:
            return None
        counts = layout.count(query), layout.count(key)
        return band(*counts, self.sliding_window)

    def _layout(self, ndim: int) -> Layout:
        return Layout(ndim, (1,))

    def _check_shapes(self, query: InputShape, value: Any, key: Any) -> None:
        if len(query) < 3 or len(value) < 3 or tuple(value[1:-1]) != tuple(key[1:-1]):
            raise ShapeError(
                "query, value and key do not fit one another",
                where=self.name,
                got=f"query {query}, value {value}, key {key}",
                expected="(samples, steps, features), value and key of equal lengths",
                fix="one sample: x[None]" if len(query) == 2 else None,
            )

    def compute_output_shape(
        self, input_shape: Any, value_shape: Any = None, key_shape: Any = None
    ) -> Any:
        """The shape of the output for these shapes, samples first."""
        self.build_for(input_shape, value_shape, key_shape)
        return (*input_shape[:-1], *self._output_lengths(input_shape))


class MultiHeadAttention(ProjectedAttention):
    """Attention with several heads, each with its own view of the same sequence.

    ```
    head_i = attention(query @ Wq_i + bq_i, key @ Wk_i + bk_i, value @ Wv_i + bv_i)
    y      = sum_i head_i @ Wo_i + bo
    ```

    Vaswani et al., "Attention is all you need", NeurIPS 2017. `layer(x)` is
    self-attention; `layer(query, value)` looks from one sequence into another. The
    weights of attention are never stored for all queries at once unless they are asked
    for with `return_attention_scores=True`.

    Args:
        num_heads: how many heads.
        key_dim: the numbers in a head of queries and keys.
        value_dim: the numbers in a head of values; `key_dim` by default.
        dropout: see `ProjectedAttention`.
        use_bias: see `ProjectedAttention`.
        output_shape: the features of the output, one length or several; those of the
            query by default.
        attention_axes: of inputs with further axes, those that are attended over; all
            by default.
        sliding_window: see `ProjectedAttention`.
        flash_attention: see `ProjectedAttention`.
        kernel_initializer: see `ProjectedAttention`.
        bias_initializer: see `ProjectedAttention`.
        kernel_regularizer: see `ProjectedAttention`.
        bias_regularizer: see `ProjectedAttention`.
        activity_regularizer: see `ProjectedAttention`.
        kernel_constraint: see `ProjectedAttention`.
        bias_constraint: see `ProjectedAttention`.
        use_gate: see `ProjectedAttention`.
        seed: see `ProjectedAttention`.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when a number is not positive, or `dropout` no share.
        ShapeError: when query, value and key do not fit one another.

    Example:
        >>> layer = MultiHeadAttention(num_heads=2, key_dim=8)
        >>> steps, others = functional.zeros((3, 5, 16)), functional.zeros((3, 7, 16))
        >>> layer(steps, use_causal_mask=True).shape
        (3, 5, 16)
        >>> y, weights = layer(steps, others, return_attention_scores=True)
        >>> y.shape, weights.shape
        ((3, 5, 16), (3, 2, 5, 7))
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **options: Unpack[BaseOptions],
    ) -> None:
        super().__init__(
            dropout,
            use_bias,
            sliding_window,
            flash_attention,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            use_gate,
            seed,
            **options,
        )
        self.num_heads = check_positive(self.name, "num_heads", num_heads)
        self.key_dim = check_positive(self.name, "key_dim", key_dim)
        values = key_dim if value_dim is None else value_dim
        self.value_dim = check_positive(self.name, "value_dim", values)
        self.output_shape = _lengths(output_shape)
        self.attention_axes = _lengths(attention_axes)
        self.query_heads = self.key_heads = self.num_heads
        self.key_size, self.value_size = self.key_dim, self.value_dim

    def _output_lengths(self, query_shape: InputShape) -> tuple[Any, ...]:
        return self.output_shape or (query_shape[-1],)

    def _layout(self, ndim: int) -> Layout:
        """Where queries by heads, with `ndim` axes, have the axes attended over."""
        if self.attention_axes is None:
            return Layout(ndim, tuple(range(1, ndim - 2)))
        axes = [a if a >= 0 else ndim - 1 + a for a in self.attention_axes]
        if any(not 1 <= axis < ndim - 2 for axis in axes) or len({*axes}) < len(axes):
            raise ArgumentError(
                "attention goes over axes between samples and features",
                where=self.name,
                got=f"attention_axes={self.attention_axes}",
                expected=f"some of {', '.join(map(str, range(1, ndim - 2)))}",
            )
        return Layout(ndim, tuple(axes))


def _lengths(given: int | Sequence[int] | None) -> tuple[int, ...] | None:
    if given is None or isinstance(given, int):
        return None if given is None else (given,)
    return tuple(given) or None
