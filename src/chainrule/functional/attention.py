"""Attention: averages of values, weighted by how well keys answer to queries."""

from __future__ import annotations

import math

from chainrule import ops
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.attention_blocks import Problem, Weighting, attend
from chainrule.functional.creation import zeros
from chainrule.functional.manipulation import reshape
from chainrule.functional.promotion import ArrayLike, Tensor, as_value, promoted_floats
from chainrule.ir.dtype import bool_


def dot_product_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    bias: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    attn_logits_soft_cap: float | None = None,
    dropout: float = 0.0,
    dropout_key: Tensor | None = None,
) -> Tensor:
    """Values, averaged with weights by how well their keys answer to each query.

    ```
    scores[b, n, t, s] = scale * sum_h query[b, t, n, h] * key[b, s, n, h] + bias
    y[b, t, n, :]      = sum_s softmax_s(scores)[b, n, t, s] * value[b, s, n, :]
    ```

    Vaswani et al., "Attention is all you need", NeurIPS 2017. More than 128 queries are
    taken block by block, forward and backward, and scores are computed again on the way
    back, so that memory grows with the length and not with its square (Dao et al.,
    "FlashAttention", NeurIPS 2022). Key and value may have fewer heads, which then
    answer to groups of queries (Ainslie et al., "GQA", EMNLP 2023).

    Args:
        query: `(batch, queries, heads, size)`.
        key: `(batch, keys, key heads, size)`; `heads` is a multiple of `key heads`.
        value: `(batch, keys, key heads, size of values)`.
        bias: added to the scores; broadcast to `(batch, heads, queries, keys)`.
        mask: true where a query sees a key; broadcast likewise. A query that sees none
            gets zeros, also where there are no keys at all.
        scale: `1 / sqrt(size)` by default.
        is_causal: whether query t sees keys 0 to t alone.
        attn_logits_soft_cap: c squeezes scores to `c * tanh(scores / c)`.
        dropout: the share of the weights that is set to 0, the others scaled up.
        dropout_key: of the draws of dropout.

    Returns:
        `(batch, queries, heads, size of values)`.

    Raises:
        ShapeError: when shapes do not fit.
        ArgumentError: for a share of dropout beyond 0 to 1, or without a key.

    Example:
        >>> from chainrule.functional import asarray, ones
        >>> values = asarray([[[[1.0]], [[3.0]], [[8.0]]]])
        >>> same = ones((1, 3, 1, 1))
        >>> y = dot_product_attention(same, same, values, is_causal=True)
        >>> y.numpy().ravel().tolist()
        [1.0, 2.0, 4.0]
    """
    query, key, value = promoted_floats(query, key, value)
    _check_shapes(query, key, value)
    _check_dropout(dropout, dropout_key)
    if scale is None:
        scale = 1 / math.sqrt(max(query.spec.shape[3], 1))
    weighting = Weighting(
        float(scale), attn_logits_soft_cap, is_causal, dropout, dropout_key
    )
    groups, heads = key.spec.shape[2], query.spec.shape[2] // max(key.spec.shape[2], 1)
    batch, rows, _, size = query.spec.shape
    length = key.spec.shape[1]
    if not length:
        return zeros(
            (batch, rows, groups * heads, value.spec.shape[3]), dtype=query.dtype
        )
    whole = (batch, groups * heads, rows, length)
    apart = reshape(query, (batch, rows, groups, heads, size))
    problem = Problem(
        ops.permute_dims(apart, axes=(0, 2, 3, 1, 4)),
        ops.permute_dims(key, axes=(0, 2, 1, 3)),
        ops.permute_dims(value, axes=(0, 2, 1, 3)),
        None if bias is None else _by_group(as_value(bias), whole, heads, "bias"),
        None if mask is None else _by_group(_seen(mask), whole, heads, "mask"),
    )
    outputs = ops.permute_dims(attend(problem, weighting), axes=(0, 3, 1, 2, 4))
    return reshape(outputs, (batch, rows, groups * heads, value.spec.shape[3]))


# ---- what is wrong -------------------------------------------------------------------


def _seen(mask: ArrayLike) -> Tensor:
    """A mask as booleans; numbers count where they are not 0."""
    value = as_value(mask)
    return value if value.spec.dtype is bool_ else ops.not_equal(value, 0)


def _by_group(x: Tensor, whole: tuple[int, ...], heads: int, name: str) -> Tensor:
    """A mask or bias with the heads in groups; lengths of 1 stay."""
    shape = (1,) * (4 - x.spec.ndim) + x.spec.shape
    fits = all(n in (1, m) for n, m in zip(shape, whole, strict=False))
    if len(shape) != 4 or not fits:
        raise ShapeError(
            f"the {name} does not broadcast to (batch, heads, queries, keys)",
            where="dot_product_attention",
            got=f"{x.spec.shape}",
            expected=f"{whole}, or lengths of 1",
            fix="a mask of the keys alone: mask[:, None, None, :]",
        )
    batch, count, *rest = shape
    groups = (1, 1) if count == 1 else (count // heads, heads)
    return reshape(x, (batch, *groups, *rest))


def _check_shapes(query: Tensor, key: Tensor, value: Tensor) -> None:
    shapes = [x.spec.shape for x in (query, key, value)]
    agree = all(len(shape) == 4 for shape in shapes)
    if agree:
        (b, _, n, h), (b2, s, g, h2), (b3, s3, g3, _) = shapes
        agree = (b, h, s, g) == (b2, h2, s3, g3) and b2 == b3
        agree = agree and (n % g == 0 if g else n == 0)
    if not agree:
        raise ShapeError(
            "query, key and value do not fit one another",
            where="dot_product_attention",
            got=", ".join(map(str, shapes)),
            expected="(batch, queries, heads, size), (batch, keys, key heads, size), "
            "(batch, keys, key heads, size of values), heads a multiple of key heads",
        )


def _check_dropout(rate: float, key: Tensor | None) -> None:
    if 0 <= rate < 1 and (key is not None or not rate):
        return
    raise ArgumentError(
        "dropout needs a share from 0 to below 1, and a key",
        where="dot_product_attention",
        got=f"dropout={rate!r}, dropout_key={key!r}",
        fix="dropout=0.1, dropout_key=chainrule.random.key(0)",
    )
