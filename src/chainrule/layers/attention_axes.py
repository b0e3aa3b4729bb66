"""Where attention goes: axes that are attended over, windows, and weights laid bare."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.promotion import Tensor


@dataclass(frozen=True)
class Layout:
    """Which axes of sequences by heads are attended over.

    Such a sequence is `(samples, ..., heads, size)`. Flat, it has the axes that are
    attended over as one axis of steps, and all others before the heads as samples.

    Attributes:
        ndim: how many axes there are.
        axes: those that are attended over.
    """

    ndim: int
    axes: tuple[int, ...]

    @property
    def plain(self) -> bool:
        """Whether sequences are flat as they are."""
        return self.ndim == 4

    @property
    def others(self) -> tuple[int, ...]:
        """The axes that are as those of samples."""
        return tuple(i for i in range(self.ndim - 2) if i not in self.axes)

    def count(self, x: Tensor) -> int:
        """How many steps there are."""
        return math.prod(x.shape[axis] for axis in self.axes)

    def flat(self, *tensors: Tensor) -> list[Tensor]:
        """Sequences as `(samples, steps, heads, size)`.

        Raises:
            ShapeError: when they differ in axes that are not attended over.
        """
        if self.plain:
            return list(tensors)
        lengths = {tuple(x.shape[axis] for axis in self.others) for x in tensors}
        if len(lengths) > 1:
            raise ShapeError(
                "query, value and key differ in axes that are not attended over",
                where="attention",
                got=", ".join(map(str, lengths)),
                expected="equal lengths",
            )
        order = (*self.others, *self.axes, self.ndim - 2, self.ndim - 1)
        found = []
        for x in tensors:
            moved = functional.permute_dims(x, order)
            samples = math.prod(x.shape[axis] for axis in self.others)
            shape = (samples, self.count(x), *x.shape[-2:])
            found.append(functional.reshape(moved, shape))
        return found

    def restored(self, flat: Tensor, query: Tensor) -> Tensor:
        """What was made of flat queries, with the axes that they had."""
        if self.plain:
            return flat
        order = (*self.others, *self.axes, self.ndim - 2, self.ndim - 1)
        lengths = [query.shape[axis] for axis in order[:-2]]
        whole = functional.reshape(flat, (*lengths, *flat.shape[-2:]))
        return functional.permute_dims(
            whole, [order.index(i) for i in range(self.ndim)]
        )

    def mask(self, mask: Any, query: Tensor, key: Tensor) -> Tensor | None:
        """A mask `(samples, ..., queries, keys)` as one of flat sequences.

        Axes on the left may be missing, that of the heads too.
        """
        if mask is None:
            return None
        found = functional.astype(functional.asarray(mask), "bool")
        inner = 2 * len(self.axes)
        whole = len(self.others) + 1 + inner
        if not inner <= found.ndim <= whole:
            raise ShapeError(
                "a mask of attention has an axis for queries and one for keys",
                where="attention",
                got=found.shape,
                expected="(samples, queries, keys)",
                fix="a mask of the keys alone: value_mask=, or mask[:, None, :]",
            )
        split = found.ndim - inner
        before = (*found.shape[:split], *[1] * (whole - found.ndim))
        shape = (*before, *found.shape[split:])
        if self.plain:
            return functional.reshape(found, shape)
        lengths = [query.shape[axis] for axis in (*self.others, *self.axes)]
        keys = [key.shape[axis] for axis in self.axes]
        counts = len(self.others)
        full = (*lengths[:counts], before[-1], *lengths[counts:], *keys)
        spread = functional.broadcast_to(functional.reshape(found, shape), full)
        flat = (-1, before[-1], self.count(query), self.count(key))
        return functional.reshape(spread, flat)

    def weights(self, weights: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Weights of flat sequences, with the axes that these had."""
        if self.plain:
            return weights
        samples = [query.shape[axis] for axis in self.others]
        steps = [x.shape[axis] for x in (query, key) for axis in self.axes]
        return functional.reshape(weights, (*samples, weights.shape[1], *steps))


def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """What two masks let through; None stands for everything.

    Example:
        >>> both(functional.asarray([True, False]), None).tolist()
        [True, False]
    """
    if first is None or second is None:
        return second if first is None else first
    return functional.logical_and(first, second)


def band(queries: int, keys: int, width: int) -> Tensor:
    """A mask `(1, 1, queries, keys)`, true where positions differ by less than `width`.

    Example:
        >>> band(3, 3, 2)[0, 0].tolist()
        [[True, True, False], [True, True, True], [False, True, True]]
    """
    lines = functional.arange(queries, dtype="int32")[:, None]
    columns = functional.arange(keys, dtype="int32")[None, :]
    near = functional.abs(lines - columns) < width
    return functional.reshape(near, (1, 1, queries, keys))


def weights_of(query: Tensor, key: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """The weights of attention, `(samples, heads, queries, keys)`, before dropout.

    A query that sees no key has weights of 0.

    Args:
        query: `(samples, queries, heads, size)`.
        key: `(samples, keys, key heads, size)`.
        mask: true where a query sees a key; broadcast to the weights.
        causal: whether query t sees keys 0 to t alone.

    Example:
        >>> one = functional.ones((1, 2, 1, 1))
        >>> weights_of(one, one, None, causal=True)[0, 0].tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    heads, groups = query.shape[2], key.shape[2]
    if groups != heads:
        key = functional.repeat(key, heads // groups, axis=2)
    scores = functional.einsum("btnh,bsnh->bnts", query, key)
    scores = scores / math.sqrt(max(query.shape[3], 1))
    if causal:
        lines = functional.arange(scores.shape[2], dtype="int32")[:, None]
        columns = functional.arange(scores.shape[3], dtype="int32")[None, :]
        mask = both(mask, (lines >= columns)[None, None])
    if mask is None:
        return functional.softmax(scores, axis=-1)
    lowest = float(functional.finfo(scores.dtype).min)
    weights = functional.softmax(functional.where(mask, scores, lowest), axis=-1)
    return functional.where(mask, weights, 0.0)
