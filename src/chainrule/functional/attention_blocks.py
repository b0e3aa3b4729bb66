"""Attention block by block, so that the scores of all queries are never there together.

What is kept for the way back is the output and, of each query, its largest score and
the sum of its exponentials: the weights come again from one exponential each (Dao et
al., "FlashAttention", NeurIPS 2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from chainrule import ops
from chainrule.autodiff import scan, vjp
from chainrule.autodiff.checkpoint import call_with_rule
from chainrule.functional import random
from chainrule.functional.creation import arange, zeros
from chainrule.functional.einsum import einsum
from chainrule.functional.elementwise import tanh
from chainrule.functional.manipulation import concat, reshape, take_slice
from chainrule.functional.promotion import Tensor
from chainrule.functional.reductions import max as max_of
from chainrule.functional.reductions import sum as sum_of
from chainrule.ir.dtype import int32

# Queries that are scored at once. More of them are taken block by block, so that the
# scores of all queries are never there together.
BLOCK = 64
ALONE = 128
# Of a causal attention: parts of the queries that get no keys behind their last one,
# and of the keys that get no queries before their first one.
PARTS = 16


@dataclass(frozen=True)
class Weighting:
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

    def of(self, item: Tensor) -> Weighting:
        """The same for one of many, with draws of its own."""
        if self.key is None:
            return self
        return replace(self, key=random.fold_in(self.key, item))


@dataclass(frozen=True)
class Problem:
    """Some queries and some keys, with what belongs to them.

    Attributes:
        query: `(batch, groups, heads of a group, queries, size)`.
        key: `(batch, groups, keys, size)`.
        value: `(batch, groups, keys, size of values)`.
        turned_key, turned_value: these with the last two axes in the other order, as
            products read them best; each takes the place of the other.
        bias: added to scores; `(batch, groups, heads, queries, keys)`, or lengths of 1.
        mask: where a query sees a key; likewise.
        largest: the largest score of each query, where it is known: like `query`,
            without the last axis.
        first: the position of the first query.
        begin: the position of the first key.
    """

    query: Tensor
    key: Tensor | None
    value: Tensor | None
    bias: Tensor | None
    mask: Tensor | None
    turned_key: Tensor | None = None
    turned_value: Tensor | None = None
    largest: Tensor | None = None
    first: Tensor | int = 0
    begin: Tensor | int = 0

    @property
    def queries(self) -> int:
        """How many queries."""
        count: int = self.query.spec.shape[3]
        return count

    @property
    def keys(self) -> int:
        """How many keys."""
        return _extent(self.key, self.turned_key, 2)

    @property
    def width(self) -> int:
        """The size of values."""
        return _extent(self.value, self.turned_value, 3)

    def between(self, queries: Span, keys: Span) -> Problem:
        """The part with these queries and keys, given from where to where."""
        found = {
            name: _cut(_cut(getattr(self, name), along[0], queries), along[1], keys)
            for name, along in AXES.items()
        }
        first, begin = self.first + queries[0], self.begin + keys[0]
        return Problem(first=first, begin=begin, **found)


Span: TypeAlias = "tuple[int, int]"
# The axes of queries and of keys, of what has them.
AXES: dict[str, tuple[int | None, int | None]] = {
    "query": (3, None),
    "key": (None, 2),
    "value": (None, 2),
    "turned_key": (None, 3),
    "turned_value": (None, 3),
    "bias": (3, 4),
    "mask": (3, 4),
    "largest": (3, None),
}


def _extent(x: Tensor | None, turned: Tensor | None, axis: int) -> int:
    """How long an axis of something is that may be turned instead."""
    if x is not None:
        return int(x.spec.shape[axis])
    assert turned is not None
    return int(turned.spec.shape[5 - axis])


def _cut(x: Tensor | None, axis: int | None, span: Span) -> Tensor | None:
    if x is None or axis is None or x.spec.shape[axis] == 1:
        return x
    return take_slice(x, axis, *span)


# What is computed of a problem: each result begins with the axes of a query but the
# last.
Weigh: TypeAlias = "Callable[[Problem, Weighting], Sequence[Tensor]]"


def attend(problem: Problem, weighting: Weighting) -> Tensor:
    """The averages for all queries: at once where they are few, else block by block."""
    if problem.queries <= ALONE:
        return weigh(_scaled(problem, weighting), weighting)[0]
    names = [name for name in AXES if getattr(problem, name) is not None]
    inputs = [getattr(problem, name) for name in names]
    key = weighting.key
    inputs += [] if key is None else [key]

    def given(values: Sequence[Tensor]) -> tuple[Problem, Weighting]:
        fields = dict(zip(names, values, strict=False))
        how = weighting if key is None else replace(weighting, key=values[-1])
        return replace(problem, **fields), how

    def attended(*values: Tensor) -> Sequence[Tensor]:
        whole, how = given(values)
        whole = _turned(_scaled(whole, how), "key")
        return _by_item(whole, how, _by_queries(weigh))

    def backward(
        values: Sequence[Tensor], results: Sequence[Tensor], cotangents: Sequence[Any]
    ) -> Sequence[Any]:
        places = [i for i, x in enumerate(values) if x.spec.dtype.is_float]

        def again(*floats: Tensor) -> Sequence[Tensor]:
            every = list(values)
            for place, x in zip(places, floats, strict=True):
                every[place] = x
            whole, how = given(every)
            whole = _turned(_scaled(whole, how), "key", "value")
            whole = replace(whole, largest=results[1])
            # what is dropped is drawn for blocks of queries
            order = _by_queries(_weigh_again) if how.rate else _by_keys
            return _by_item(whole, how, order)

        _, pullback = vjp(again, *(values[i] for i in places))
        return pullback(_ends(results, cotangents[0]))

    return call_with_rule(attended, backward, inputs, results=1)[0]


def _scaled(problem: Problem, weighting: Weighting) -> Problem:
    """The same with queries that are scaled, as scores are to be."""
    return replace(problem, query=ops.multiply(problem.query, weighting.scale))


def _turned(problem: Problem, *names: str) -> Problem:
    """The same with keys, or values, along the last axis."""
    fields: dict[str, Any] = {}
    for name in names:
        turned = ops.permute_dims(getattr(problem, name), axes=(0, 1, 3, 2))
        fields |= {name: None, f"turned_{name}": turned}
    return replace(problem, **fields)


def _ends(results: Sequence[Tensor], cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """The cotangents of both sums whose quotient is a share."""
    shares, _, total = results
    wide = ops.cast(cotangent, dtype=total.spec.dtype)
    parts = ops.divide(wide, ops.reshape(total, shape=(*total.spec.shape, 1)))
    products = ops.multiply(parts, ops.cast(shares, dtype=total.spec.dtype))
    common = ops.negative(sum_of(products, axis=-1))
    return ops.cast(parts, dtype=cotangent.spec.dtype), common


# ---- items ---------------------------------------------------------------------------


def _by_item(problem: Problem, weighting: Weighting, within: Weigh) -> Sequence[Tensor]:
    """One sample and group of heads after the other: none needs the others."""
    batch, groups = problem.query.spec.shape[:2]
    if batch * groups == 1:
        return within(problem, weighting)
    fixed: dict[str, Any] = {"mask": problem.mask}
    stacked: dict[str, Any] = {}
    for name in AXES:
        if name == "mask":
            continue
        x = getattr(problem, name)
        alike = x is None or (name == "bias" and x.spec.shape[:2] == (1, 1))
        (fixed if alike else stacked)[name] = x if alike else _items(x, batch, groups)

    def step(_: None, given: Any) -> tuple[None, Sequence[Tensor]]:
        item, own = given
        fields = {
            name: ops.reshape(x, shape=(1, 1, *x.spec.shape)) for name, x in own.items()
        }
        if problem.mask is not None:
            fields["mask"] = _item_of(problem.mask, item, groups)
        one = Problem(**{**fixed, **fields})
        results = within(one, weighting.of(item))
        return None, [ops.reshape(x, shape=x.spec.shape[2:]) for x in results]

    numbers = arange(batch * groups, dtype=int32)
    _, results = scan(step, None, (numbers, stacked), keep=False)
    return [ops.reshape(x, shape=(batch, groups, *x.spec.shape[1:])) for x in results]


def _items(x: Tensor, batch: int, groups: int) -> Tensor:
    """What belongs to each sample and group of heads, along one axis."""
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


# ---- parts and blocks ----------------------------------------------------------------


def _by_queries(one_block: Weigh) -> Weigh:
    """Part by part of the queries, with the keys that these see."""

    def within(problem: Problem, weighting: Weighting) -> Sequence[Tensor]:
        parts = []
        for start, stop in _parts(problem.queries, weighting.causal):
            seen = min(stop, problem.keys) if weighting.causal else problem.keys
            part = problem.between((start, stop), (0, seen))
            parts.append(_query_blocks(part, weighting, one_block))
        return [concat(pieces, axis=3) for pieces in zip(*parts, strict=True)]

    return within


def _by_keys(problem: Problem, weighting: Weighting) -> Sequence[Tensor]:
    """Part by part of the keys, with the queries that see these.

    The gradients of keys and values are whole then, and only that of the queries is a
    sum over parts. It grows from the last part on, as each part has the queries of the
    next and some before.
    """
    parts = []
    rest, begun = problem, 0
    for start, stop in _parts(problem.keys, weighting.causal):
        first = start if weighting.causal else 0
        if first >= problem.queries:
            break
        rest = rest.between((first - begun, rest.queries), (0, rest.keys))
        begun = first
        part = rest.between((0, rest.queries), (start, stop))
        results = _key_blocks(part, weighting)
        parts.append([_behind(x, first) for x in results] if first else results)
    totals, *others = parts
    for results in others:
        totals = [ops.add(*pair) for pair in zip(totals, results, strict=True)]
    return totals


def _behind(x: Tensor, count: int) -> Tensor:
    """`x` with zeros for so many queries in front."""
    shape = (*x.spec.shape[:3], count, *x.spec.shape[4:])
    return concat([zeros(shape, dtype=x.spec.dtype), x], axis=3)


def _parts(count: int, causal: bool) -> list[Span]:
    """Where parts begin and end: whole blocks, and what is left over."""
    blocks = count // BLOCK
    parts = min(PARTS if causal else 1, blocks)
    cuts = [blocks * part // parts * BLOCK for part in range(parts)]
    cuts += [blocks * BLOCK] if blocks * BLOCK < count or not parts else []
    return list(pairwise([*cuts, count]))


def _query_blocks(
    problem: Problem, weighting: Weighting, one_block: Weigh
) -> Sequence[Tensor]:
    """Block after block of the queries, in a loop that keeps no scores."""
    count = problem.queries
    if count <= ALONE:
        return one_block(problem, weighting)
    fixed, stacked = _split(problem, 0)

    def step(_: None, given: Any) -> tuple[None, Sequence[Tensor]]:
        first, parts = given
        block = replace(problem, first=first, **{**fixed, **parts})
        return None, list(one_block(block, weighting))

    first = arange(count // BLOCK, dtype=int32) * BLOCK + problem.first
    _, results = scan(step, None, (first, stacked), keep=False)
    return [_unstacked(x, count) for x in results]


def _key_blocks(problem: Problem, weighting: Weighting) -> Sequence[Tensor]:
    """The sums over all keys, block after block of these."""
    count = problem.keys
    if count <= ALONE:
        return _weigh_again(problem, weighting)
    fixed, stacked = _split(problem, 1)

    def step(totals: Any, given: Any) -> tuple[Any, None]:
        begin, parts = given
        block = replace(problem, begin=begin, **{**fixed, **parts})
        results = _weigh_again(block, weighting)
        return [ops.add(*pair) for pair in zip(totals, results, strict=True)], None

    begin = arange(count // BLOCK, dtype=int32) * BLOCK + problem.begin
    shape = problem.query.spec.shape[:4]
    kinds = problem.query.spec.dtype, problem.query.spec.dtype.compute
    wide = (*shape, problem.width)
    start = [zeros(s, dtype=d) for s, d in zip((wide, shape), kinds, strict=True)]
    totals, _ = scan(step, start, (begin, stacked), keep=False)
    found: Sequence[Tensor] = totals
    return found


def _split(problem: Problem, side: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What all blocks share, and the blocks of the rest along a first axis.

    Blocks are of the queries, or of the keys where `side` is 1.
    """
    fixed: dict[str, Any] = {}
    stacked: dict[str, Any] = {}
    for name, axes in AXES.items():
        x, axis = getattr(problem, name), axes[side]
        if x is None or axis is None or x.spec.shape[axis] == 1:
            fixed[name] = x
        else:
            stacked[name] = _stack(x, axis)
    return fixed, stacked


def _stack(x: Tensor, axis: int) -> Tensor:
    """The blocks along an axis, along a new first one."""
    shape = x.spec.shape
    split = (*shape[:axis], shape[axis] // BLOCK, BLOCK, *shape[axis + 1 :])
    order = (axis, *(i for i in range(len(split)) if i != axis))
    return ops.permute_dims(reshape(x, split), axes=order)


def _unstacked(x: Tensor, count: int) -> Tensor:
    """The blocks along a first axis one after the other along the queries."""
    outer = x.spec.shape[1:4]
    turned = ops.permute_dims(x, axes=(1, 2, 3, 0, *range(4, x.spec.ndim)))
    return reshape(turned, (*outer, count, *x.spec.shape[5:]))


# ---- one block -----------------------------------------------------------------------


def weigh(problem: Problem, weighting: Weighting) -> Sequence[Tensor]:
    """The averages for queries, their largest scores, and sums of exponentials.

    Averages are divided by the sum of their weights at the end, as that is less than to
    divide the weights.
    """
    dtype = problem.query.spec.dtype
    scores = ops.cast(_scores(problem, weighting), dtype=dtype.compute)
    largest = ops.stop_gradient(max_of(scores, axis=-1, keepdims=True))
    largest = ops.where(ops.less(ops.absolute(largest), math.inf), largest, 0.0)
    weights = ops.exp(ops.subtract(scores, largest))
    total = sum_of(weights, axis=-1)
    total = ops.where(ops.equal(total, 0.0), 1.0, total)
    sums = ops.cast(_summed(weights, problem, weighting), dtype=dtype.compute)
    shares = ops.divide(sums, ops.reshape(total, shape=(*total.spec.shape, 1)))
    largest = ops.reshape(largest, shape=total.spec.shape)
    return ops.cast(shares, dtype=dtype), largest, total


def _weigh_again(problem: Problem, weighting: Weighting) -> Sequence[Tensor]:
    """Sums of values by exponentials, and of these alone, to go back through.

    The largest scores are known. A share is a quotient of two sums, so that its
    gradient is that of both, each with its own cotangent.
    """
    dtype, largest = problem.query.spec.dtype, problem.largest
    assert largest is not None
    scores = ops.cast(_scores(problem, weighting), dtype=dtype.compute)
    largest = ops.reshape(largest, shape=(*largest.spec.shape, 1))
    weights = ops.exp(ops.subtract(scores, largest))
    return _summed(weights, problem, weighting), sum_of(weights, axis=-1)


def _summed(weights: Tensor, problem: Problem, weighting: Weighting) -> Tensor:
    """The sums of the values by their weights."""
    weights = _dropped(weights, problem.first, weighting)
    weights = ops.cast(weights, dtype=problem.query.spec.dtype)
    if problem.value is None:
        return einsum("bgnts,bgvs->bgntv", weights, problem.turned_value)
    return einsum("bgnts,bgsv->bgntv", weights, problem.value)


def _scores(problem: Problem, weighting: Weighting) -> Tensor:
    """How well each key answers; minus infinity where it is not seen."""
    if problem.key is None:
        scores = einsum("bgnth,bghs->bgnts", problem.query, problem.turned_key)
    else:
        scores = einsum("bgnth,bgsh->bgnts", problem.query, problem.key)
    if weighting.soft_cap is not None:
        cap = float(weighting.soft_cap)
        scores = tanh(scores / cap) * cap
    if problem.bias is not None:
        scores = ops.add(scores, ops.cast(problem.bias, dtype=scores.spec.dtype))
    if problem.mask is not None:
        scores = ops.where(problem.mask, scores, -math.inf)
    if weighting.causal:
        count, length = scores.spec.shape[-2:]
        line = ops.iota(shape=(count, length), axis=0, dtype=int32)
        column = ops.iota(shape=(count, length), axis=1, dtype=int32)
        line = ops.add(line, problem.first)
        behind = ops.less(line, ops.add(column, problem.begin))
        scores = ops.where(behind, -math.inf, scores)
    return scores


def _dropped(weights: Tensor, first: Tensor | int, weighting: Weighting) -> Tensor:
    if not weighting.rate or weighting.key is None:
        return weights
    key = random.fold_in(weighting.key, first)
    limit = np.uint32(round(weighting.rate * 2**32))
    kept = ops.less_equal(limit, random.bits(key, weights.spec.shape))
    return ops.where(kept, ops.multiply(weights, 1 / (1 - weighting.rate)), 0.0)
