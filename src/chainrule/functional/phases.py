"""What lies over a position: the windows that reach it, phase by phase.

A window slides with a stride s; its tap k at the place o reaches the position
`p = o s + k d`, counted from before the padding. With `p = i s + r` for r below the
stride, and `k = t s + r`, p is reached from the places `o = i - t`: the same for every
r. So what is spread from places over positions is gathered instead: positions are an
axis of i and one of r, and each sums over its few t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chainrule import ops
from chainrule.functional.promotion import Tensor
from chainrule.functional.sliding import Lengths, Slide, cut, padded, sliding_windows


@dataclass(frozen=True)
class Phases:
    """How positions of an axis are reached from places of windows.

    Attributes:
        taps: how many t there are; where the stride does not divide the number of taps
            of a window, the last t is none of some r.
        stride: how many r there are.
        apart: how far the t are apart, which is more than one without a stride alone.
        widths: places before the first and behind the last that nothing comes from.
        start: the first position among those of i and r.
    """

    taps: int
    stride: int
    apart: int
    widths: tuple[int, int]
    start: int


def phases_of(
    sizes: Lengths, slide: Slide, counts: Lengths, lengths: Lengths
) -> list[Phases]:
    """How positions of `lengths` are reached from windows at `counts` places.

    An axis with a stride has taps side by side.
    """
    befores = [before for before, _ in slide.widths]
    sliding = zip(sizes, slide.strides, slide.dilations, strict=True)
    lying = zip(counts, lengths, befores, strict=True)
    return [_phases(*both) for both in zip(sliding, lying, strict=True)]


def _phases(sliding: tuple[int, int, int], lying: tuple[int, int, int]) -> Phases:
    (size, stride, dilation), (count, length, before) = sliding, lying
    taps, apart = -(-size // stride), dilation if stride == 1 else 1
    first, last = before // stride, (before + length - 1) // stride
    reach = (taps - 1) * apart
    low = reach - first
    high = last - first + 1 + reach - count - low
    return Phases(taps, stride, apart, (low, high), before - first * stride)


def over_positions(g: Tensor, phases: Sequence[Phases], fill: float = 0) -> Tensor:
    """What places hold, for each position: `(samples, *(i, 1), *t, channels)`.

    The t are turned: the last comes first.
    """
    around = padded(g, [phase.widths for phase in phases], fill)
    taps = tuple(phase.taps for phase in phases)
    apart = tuple(phase.apart for phase in phases)
    windows = sliding_windows(around, taps, (1,) * len(taps), apart)
    samples, *rest, channels = windows.spec.shape
    lead = [length for count in rest[: len(taps)] for length in (count, 1)]
    return ops.reshape(windows, shape=(samples, *lead, *taps, channels))


def numbers_of_taps(sizes: Lengths, phases: Sequence[Phases]) -> np.ndarray:
    """The row-major number of the tap that each t and r are: `(*(1, r), *t, 1)`.

    The t are turned; -2 where there is no such tap.

    Example:
        >>> (phase,) = phases_of((3,), Slide((2,), (1,), ((0, 0),)), (4,), (9,))
        >>> numbers_of_taps((3,), [phase]).reshape(2, 2).tolist()
        [[2, 0], [-2, 1]]
    """
    rank = len(sizes)
    total, there = np.zeros((1,) * (3 * rank + 1), np.int32), np.array(True)
    for axis, (size, phase) in enumerate(zip(sizes, phases, strict=True)):
        t = np.arange(phase.taps - 1, -1, -1, dtype=np.int32)
        tap = t * phase.stride + np.arange(phase.stride, dtype=np.int32)[:, None]
        shape = [1] * (3 * rank + 1)
        shape[2 * axis + 1], shape[2 * rank + axis] = phase.stride, phase.taps
        each = tap.reshape(shape)
        total, there = total * size + each, there & (each < size)
    return np.where(there, total, np.int32(-2))


def side_by_side(
    total: Tensor, phases: Sequence[Phases], lengths: Sequence[int]
) -> Tensor:
    """`(samples, *(i, r), channels)` as `(samples, *lengths, channels)`."""
    samples, *rest, channels = total.spec.shape
    whole = [i * r for i, r in zip(rest[::2], rest[1::2], strict=True)]
    total = ops.reshape(total, shape=(samples, *whole, channels))
    for axis, (phase, length) in enumerate(zip(phases, lengths, strict=True), 1):
        total = cut(total, axis, phase.start, phase.start + length)
    return total
