"""Attention that keeps keys and values, so that text grows step by step."""

from __future__ import annotations

from typing import Any, Protocol

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.layers.attention import MultiHeadAttention
from chainrule.layers.attention_axes import weights_of


class OwnCache(Protocol):
    """Keys and values that are kept elsewhere, in whatever form."""

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take keys and values of the new steps in.

        Args:
            keys: `(samples, T, heads, key_dim)`.
            values: likewise.

        Returns:
            All keys and values, `(samples, S, heads, key_dim)`, and where the new steps
            see them, `(samples, T, S)`.
        """


class CachedMultiHeadAttention(MultiHeadAttention):
    """`MultiHeadAttention` with a cache of keys and values, for generation.

    A cache is `(samples, 2, S, heads, key_dim)`: keys and values of S steps. With
    `cache_update_index` the keys and values of the input are written into it, from this
    step on, before the queries look; without, the cache is used as it is. A cache may
    also be an object with `extend`; see `OwnCache`. For use without training; the
    arguments are those of `MultiHeadAttention`.

    Example:
        >>> layer = CachedMultiHeadAttention(num_heads=2, key_dim=4)
        >>> steps = functional.ones((1, 3, 8))
        >>> whole = layer(steps, use_causal_mask=True)
        >>> cache = functional.zeros((1, 2, 3, 2, 4))
        >>> for i in range(3):
        ...     seen = (functional.arange(3) <= i)[None, None, :]
        ...     last, cache = layer(steps[:, i : i + 1], attention_mask=seen,
        ...                         cache=cache, cache_update_index=i)
        >>> bool(functional.max(abs(last[:, 0] - whole[:, 2])) < 1e-6)
        True
    """

    def call(  # type: ignore[override]  # the arguments of KerasHub
        self,
        query: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        attention_mask: Any = None,
        cache: Any = None,
        cache_update_index: Any = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
        value_mask: Any = None,
    ) -> Any:
        """What the heads make of the values, and the cache if there is one.

        Args:
            query: `(samples, T, features)`.
            value: `(samples, U, features)`; the query when None.
            key: `(samples, U, features)`; the value when None.
            attention_mask: `(samples, T, S)`, true where a query sees a key.
            cache: keys and values, `(samples, 2, S, heads, key_dim)`.
            cache_update_index: the step at which the U new ones are written; a number
                or a tensor. None leaves the cache as it is, and `value` and `key`
                unused.
            return_attention_scores: whether to give the weights as well.
            training: whether weights are dropped.
            use_causal_mask: whether query t sees keys 0 to t alone; not with a cache,
                whose mask says what is seen.
            value_mask: `(samples, U)`, true where a value counts; not with a cache.

        Returns:
            The output; then the weights and the cache, where asked for.

        Raises:
            ArgumentError: for an index without a cache.
            ShapeError: when the cache has another shape.
        """
        if cache is None:
            if cache_update_index is not None:
                raise ArgumentError(
                    "there is no cache to update",
                    where=self.name,
                    got=f"cache_update_index={cache_update_index}, cache=None",
                    fix="cache=chainrule.zeros((samples, 2, steps, heads, key_dim))",
                )
            return super().call(
                query,
                value,
                key,
                value_mask=value_mask,
                attention_mask=attention_mask,
                return_attention_scores=return_attention_scores,
                training=training,
                use_causal_mask=use_causal_mask,
            )
        if hasattr(cache, "extend"):
            queries, *new = self._projected(query, value, key)
            keys, values, seen = cache.extend(*new)
            seen = self._layout(4).mask(seen, queries, keys)
            heads = self._attend(queries, keys, values, seen, training, False)
            return self._outputs(heads, query), cache
        cache = functional.astype(functional.asarray(cache), self.compute_dtype)
        self._check_cache(cache, query)
        queries, cache = self._updated(query, (value, key), cache, cache_update_index)
        keys, values = cache[:, 0], cache[:, 1]
        seen = self._layout(4).mask(attention_mask, queries, keys)
        heads = self._attend(queries, keys, values, seen, training, False)
        outputs = self._outputs(heads, query)
        if return_attention_scores:
            return outputs, weights_of(queries, keys, seen, False), cache
        return outputs, cache

    def _updated(
        self, query: Tensor, others: tuple[Any, Any], cache: Tensor, index: Any
    ) -> tuple[Tensor, Tensor]:
        """Queries by heads, and the cache with what is new in it."""
        if index is None:
            queries = self.query_dense(query)
            return self.place(queries, cache[:, 0])[0], cache
        value, key = others
        value = None if value is query else value
        queries, keys, values = self._projected(query, value, key)
        queries, keys = self.place(queries, keys, index)
        new = functional.stack([keys, values], axis=1)
        return queries, spliced(cache, new, index, 2)

    def _check_cache(self, cache: Tensor, query: Tensor) -> None:
        wanted = (self.num_heads, self.key_dim)
        fits = cache.ndim == 5 and cache.shape[:2] == (query.shape[0], 2)
        if not fits or cache.shape[3:] != wanted or self.value_dim != self.key_dim:
            raise ShapeError(
                "the cache does not fit the layer",
                where=self.name,
                got=f"{cache.shape}, value_dim={self.value_dim}",
                expected=f"({query.shape[0]}, 2, steps, {wanted[0]}, {wanted[1]}), "
                "and values as long as keys",
            )


def spliced(x: Tensor, new: Tensor, start: Any, axis: int) -> Tensor:
    """`x`, with `new` in it from `start` on along `axis`.

    Args:
        x: the whole.
        new: as `x`, but shorter along `axis`.
        start: a number, or a tensor with one.
        axis: the axis.

    Raises:
        ShapeError: when what is new ends behind the end; found where `start` is a
            number.

    Example:
        >>> spliced(functional.zeros(4), functional.ones(2), 1, 0).tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    count, length = new.shape[axis], x.shape[axis]
    first = functional.asarray(start)
    if first.data is not None and not 0 <= int(first.item()) <= length - count:
        raise ShapeError(
            "what is new does not fit into the cache",
            where="cache",
            got=f"{count} steps at {int(first.item())} of {length}",
            expected=f"0 <= start <= {length - count}",
        )
    if count == length:
        return new
    shape = tuple(length if i == axis else 1 for i in range(x.ndim))
    places = functional.arange(length, dtype="int32") - functional.astype(
        first, "int32"
    )
    inside = functional.reshape((places >= 0) & (places < count), shape)
    moved = functional.take(new, functional.clip(places, 0, count - 1), axis=axis)
    return functional.where(inside, moved, x)
