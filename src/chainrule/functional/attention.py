"""Attention: averages of values, weighted by how well keys answer to queries."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.autodiff import scan
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.creation import arange, zeros
from chainrule.functional.einsum import einsum
from chainrule.functional.elementwise import tanh
from chainrule.functional.manipulation import concat, reshape, take_slice
from chainrule.functional.promotion import ArrayLike, Tensor, as_value, promoted_floats
from chainrule.functional.reductions import max as max_of
from chainrule.functional.reductions import sum as sum_of
from chainrule.ir.dtype import bool_, int32

# Queries that are scored at once. More of them are taken block by block, so that the
# scores of all queries are never there together.
BLOCK = 64
ALONE = 128
# Of a causal attention: parts of the queries that get no keys behind their last one.
PARTS = 8


@dataclass(frozen=True)
class _Weighting:
    """How scores become weights.

    Attributes:
        scale: what scores are multiplied with.
        soft_cap: the bound that scores are squeezed below; None for none.
        causal: whether a query sees no keys behind it.
        rate: the share of the weights that is dropped.
        key: of the draws of dropout.
    """

    scale: float
    soft_cap: float | None
    causal: bool
    rate: float
    key: Tensor | None

    def of(self, item: Tensor) -> _Weighting:
        """The same for one of many, with draws of its own."""
        if self.key is None:
            return self
        return replace(self, key=random.fold_in(self.key, item))


@dataclass(frozen=True)
class _Rows:
    """Some of the queries, with what belongs to them.

    Attributes:
        query: `(batch, rows, groups, heads of a group, size)`.
        bias: added to scores; `(batch, groups, heads, rows, keys)`, or lengths of 1.
        mask: where a query sees a key; likewise.
        first: the position of the first row.
    """

    query: Tensor
    bias: Tensor | None
    mask: Tensor | None
    first: Tensor | int


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
    weighting = _Weighting(
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
    everything = _Rows(
        reshape(query, (batch, rows, groups, heads, size)),
        None if bias is None else _by_group(as_value(bias), whole, heads, "bias"),
        None if mask is None else _by_group(_seen(mask), whole, heads, "mask"),
        0,
    )
    outputs = _attend(everything, key, value, weighting)
    return reshape(outputs, (batch, rows, groups * heads, value.spec.shape[3]))


# ---- blocks of queries ---------------------------------------------------------------


def _attend(rows: _Rows, key: Tensor, value: Tensor, weighting: _Weighting) -> Tensor:
    """All queries: at once where they are few, else part by part."""
    if rows.query.spec.shape[1] <= ALONE:
        return _weigh(rows, key, value, weighting)
    if key.spec.shape[0] * key.spec.shape[2] == 1:
        return _by_parts(rows, key, value, weighting)
    return _each(rows, key, value, weighting)


def _each(rows: _Rows, key: Tensor, value: Tensor, weighting: _Weighting) -> Tensor:
    """One sample and group of heads after the other: none needs the others."""
    batch, count, groups, heads, size = rows.query.spec.shape
    items, length = batch * groups, key.spec.shape[1]
    queries = ops.reshape(
        ops.permute_dims(rows.query, axes=(0, 2, 1, 3, 4)),
        shape=(items, count, heads, size),
    )
    keys, values = (
        ops.reshape(
            ops.permute_dims(x, axes=(0, 2, 1, 3)),
            shape=(items, length, x.spec.shape[3]),
        )
        for x in (key, value)
    )
    bias, mask = rows.bias, rows.mask
    alike = bias is None or bias.spec.shape[:2] == (1, 1)
    biases = None if alike else _items_of(bias, batch, groups)

    def step(_: None, given: Any) -> tuple[None, Tensor]:
        item, query, key, value, own = given
        some = _Rows(
            ops.reshape(query, shape=(1, count, 1, heads, size)),
            bias if own is None else ops.reshape(own, shape=(1, 1, *own.spec.shape)),
            None if mask is None else _item_of(mask, item, groups),
            rows.first,
        )
        key, value = (
            ops.reshape(x, shape=(1, length, 1, x.spec.shape[1])) for x in (key, value)
        )
        outputs = _by_parts(some, key, value, weighting.of(item))
        return None, ops.reshape(outputs, shape=(count, heads, value.spec.shape[3]))

    numbers = arange(items, dtype=int32)
    _, outputs = scan(step, None, (numbers, queries, keys, values, biases), keep=False)
    whole = (batch, groups, *outputs.spec.shape[1:])
    return ops.permute_dims(ops.reshape(outputs, shape=whole), axes=(0, 2, 1, 3, 4))


def _items_of(x: Tensor, batch: int, groups: int) -> Tensor:
    """What is added for each sample and group, along one axis."""
    rest = x.spec.shape[2:]
    whole = ops.broadcast_to(x, shape=(batch, groups, *rest))
    return ops.reshape(whole, shape=(batch * groups, *rest))


def _item_of(mask: Tensor, item: Tensor, groups: int) -> Tensor:
    """The mask of one sample and group of heads."""
    samples, own, *rest = mask.spec.shape
    if samples * own == 1:
        return mask
    place = ops.multiply(item, 0)
    if samples != 1:
        place = ops.multiply(ops.floor_divide(item, groups), own)
    if own != 1:
        place = ops.add(place, ops.remainder(item, groups))
    flat = ops.reshape(mask, shape=(samples * own, *rest))
    chosen = ops.take(flat, ops.reshape(place, shape=(1,)), axis=0)
    return ops.reshape(chosen, shape=(1, 1, *rest))


def _by_parts(rows: _Rows, key: Tensor, value: Tensor, weighting: _Weighting) -> Tensor:
    """Part by part of the queries, which are many."""
    count, length = rows.query.spec.shape[1], key.spec.shape[1]
    parts = []
    for start, stop in _parts(count, weighting.causal):
        seen = min(stop, length) if weighting.causal else length
        some = _between(rows, start, stop, seen)
        keys, values = (take_slice(x, 1, 0, seen) for x in (key, value))
        parts.append(_blocks(some, keys, values, weighting))
    return concat(parts, axis=1)


def _parts(count: int, causal: bool) -> list[tuple[int, int]]:
    """Where parts of the queries begin and end: whole blocks, and what is left over."""
    blocks = count // BLOCK
    parts = min(PARTS, blocks) if causal else 1
    cuts = [blocks * part // parts * BLOCK for part in range(parts + 1)]
    cuts += [count] if count > cuts[-1] else []
    return list(pairwise(cuts))


def _between(rows: _Rows, start: int, stop: int, seen: int) -> _Rows:
    """Some rows, and as many keys as they see."""

    def cut(x: Tensor | None) -> Tensor | None:
        if x is None:
            return None
        for axis, end in ((4, (0, seen)), (3, (start, stop))):
            if x.spec.shape[axis] != 1:
                x = take_slice(x, axis, *end)
        return x

    query = take_slice(rows.query, 1, start, stop)
    return _Rows(query, cut(rows.bias), cut(rows.mask), start)


def _blocks(rows: _Rows, key: Tensor, value: Tensor, weighting: _Weighting) -> Tensor:
    """Block after block, in a loop that keeps no scores."""
    batch, count, *rest = rows.query.spec.shape
    blocks = count // BLOCK
    if blocks < 2:
        return _weigh(rows, key, value, weighting)
    fixed: dict[str, Any] = {}
    stacked: dict[str, Any] = {}
    for name, x in (("bias", rows.bias), ("mask", rows.mask)):
        moves = x is not None and x.spec.shape[3] != 1
        (stacked if moves else fixed)[name] = _stack(x, 3, blocks) if moves else x

    def step(_: None, given: Any) -> tuple[None, Tensor]:
        first, query, parts = given
        block = _Rows(query, first=first, **{**fixed, **parts})
        return None, _weigh(block, key, value, weighting)

    first = arange(blocks, dtype=int32) * BLOCK + rows.first
    queries = _stack(rows.query, 1, blocks)
    _, outputs = scan(step, None, (first, queries, stacked), keep=False)
    outputs = ops.permute_dims(outputs, axes=(1, 0, 2, 3, 4, 5))
    return reshape(outputs, (batch, count, *rest[:2], value.spec.shape[3]))


def _stack(x: Tensor | None, axis: int, blocks: int) -> Tensor:
    """The blocks along an axis, along a new first one."""
    assert x is not None
    shape = x.spec.shape
    split = (*shape[:axis], blocks, BLOCK, *shape[axis + 1 :])
    order = (axis, *(i for i in range(len(split)) if i != axis))
    return ops.permute_dims(reshape(x, split), axes=order)


# ---- one block -----------------------------------------------------------------------


def _weigh(rows: _Rows, key: Tensor, value: Tensor, weighting: _Weighting) -> Tensor:
    """The averages for some queries.

    They are divided by the sum of their weights at the end, as that is less than to
    divide the weights.
    """
    dtype = rows.query.spec.dtype
    scores = ops.cast(_scores(rows, key, weighting), dtype=dtype.compute)
    largest = ops.stop_gradient(max_of(scores, axis=-1, keepdims=True))
    largest = ops.where(ops.less(ops.absolute(largest), math.inf), largest, 0.0)
    weights = ops.exp(ops.subtract(scores, largest))
    total = sum_of(weights, axis=-1)
    total = ops.where(ops.equal(total, 0.0), 1.0, total)
    weights = _dropped(weights, rows.first, weighting)
    sums = einsum("bgnts,bsgv->bgntv", ops.cast(weights, dtype=dtype), value)
    sums = ops.cast(sums, dtype=dtype.compute)
    shares = ops.divide(sums, ops.reshape(total, shape=(*total.spec.shape, 1)))
    shares = ops.cast(shares, dtype=dtype)
    return ops.permute_dims(shares, axes=(0, 3, 1, 2, 4))


def _scores(rows: _Rows, key: Tensor, weighting: _Weighting) -> Tensor:
    """How well each key answers; minus infinity where it is not seen."""
    query = ops.multiply(rows.query, weighting.scale)
    scores = einsum("btgnh,bsgh->bgnts", query, key)
    if weighting.soft_cap is not None:
        cap = float(weighting.soft_cap)
        scores = tanh(scores / cap) * cap
    if rows.bias is not None:
        scores = ops.add(scores, ops.cast(rows.bias, dtype=scores.spec.dtype))
    if rows.mask is not None:
        scores = ops.where(rows.mask, scores, -math.inf)
    if weighting.causal:
        count, length = scores.spec.shape[-2:]
        line = ops.iota(shape=(count, length), axis=0, dtype=int32)
        column = ops.iota(shape=(count, length), axis=1, dtype=int32)
        behind = ops.less(ops.add(line, rows.first), column)
        scores = ops.where(behind, -math.inf, scores)
    return scores


def _dropped(weights: Tensor, first: Tensor | int, weighting: _Weighting) -> Tensor:
    if not weighting.rate or weighting.key is None:
        return weights
    key = random.fold_in(weighting.key, first)
    limit = np.uint32(round(weighting.rate * 2**32))
    kept = ops.less_equal(limit, random.bits(key, weights.spec.shape))
    return ops.where(kept, ops.multiply(weights, 1 / (1 - weighting.rate)), 0.0)


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
