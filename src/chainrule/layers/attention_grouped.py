"""Attention whose queries share keys and values."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule.errors import ArgumentError
from chainrule.layers.attention import BaseOptions, ProjectedAttention
from chainrule.layers.layer import check_positive


class GroupedQueryAttention(ProjectedAttention):
    """Attention with fewer heads of keys and values than of queries.

    Groups of `num_query_heads // num_key_value_heads` heads of queries share one head
    of keys and values, so that a cache of them is as many times smaller. Ainslie et
    al., "GQA", EMNLP 2023. It is called as `MultiHeadAttention`.

    Args:
        head_dim: the numbers in a head.
        num_query_heads: how many heads queries have.
        num_key_value_heads: how many heads keys and values have.
        dropout: see `ProjectedAttention`.
        use_bias: see `ProjectedAttention`.
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
        ArgumentError: when a number is not positive, or the heads of queries cannot be
            divided among those of keys.
        ShapeError: when query, value and key do not fit one another.

    Example:
        >>> from chainrule import functional
        >>> layer = GroupedQueryAttention(8, num_query_heads=4, num_key_value_heads=2)
        >>> layer(functional.zeros((3, 5, 16)), use_causal_mask=True).shape
        (3, 5, 16)
        >>> layer.query_dense.kernel.shape, layer.key_dense.kernel.shape
        ((16, 4, 8), (16, 2, 8))
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
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
        name = self.name
        self.head_dim = check_positive(name, "head_dim", head_dim)
        self.num_query_heads = check_positive(name, "num_query_heads", num_query_heads)
        self.num_key_value_heads = check_positive(
            name, "num_key_value_heads", num_key_value_heads
        )
        if num_query_heads % num_key_value_heads:
            raise ArgumentError(
                "the heads of queries cannot be divided among those of keys",
                where=name,
                got=f"{num_query_heads=}, {num_key_value_heads=}",
                expected="num_query_heads a multiple of num_key_value_heads",
            )
        self.query_heads, self.key_heads = num_query_heads, num_key_value_heads
        self.key_size = self.value_size = self.head_dim
