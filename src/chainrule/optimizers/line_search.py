"""A line search that looks at one point a step, as pure functions of scalars.

The line goes from the base, where the loss is `value` and falls with `slope`, along a
direction; its points are known by their distances from the base. A bracket holds the
farthest point known to be too near, `low`, and the nearest known to be too far, `high`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule import functional
from chainrule.functional.promotion import Tensor

ENOUGH = 1e-4  # the share of the promised fall that a point must keep
FLAT = 0.9  # the share of the slope that may be left there
ROUNDING = 8  # the loss may rise by so many units of its last place

Scalars = Mapping[str, Tensor]


def begin(distance: Tensor, value: Tensor, slope: Tensor) -> dict[str, Tensor]:
    """A search from a new base, whose first trial is at `distance`."""
    zero = functional.asarray(0.0, dtype="float64")
    infinite = functional.asarray(float("inf"), dtype="float64")
    return {
        "value": value,
        "slope": slope,
        "trial": distance,
        "low": zero,
        "low_value": value,
        "low_slope": slope,
        "high": infinite,
        "high_value": infinite,
        "high_slope": zero,
        "tries": functional.asarray(0, dtype="int64"),
    }


def falls(search: Scalars, value: Tensor, unit: float) -> Tensor:
    """Whether the loss at the trial is low enough (Armijo, up to rounding)."""
    promised = ENOUGH * search["trial"] * search["slope"]
    rounding = ROUNDING * unit * functional.abs(search["value"])
    return value <= search["value"] + promised + rounding


def is_flat(search: Scalars, slope: Tensor) -> Tensor:
    """Whether the slope at the trial is small enough (strong Wolfe)."""
    return functional.abs(slope) <= FLAT * functional.abs(search["slope"])


def look_on(
    search: Scalars, value: Tensor, slope: Tensor, low_enough: Tensor
) -> dict[str, Tensor]:
    """The search after a trial that was not good enough, with the next trial."""
    too_far = functional.logical_or(functional.logical_not(low_enough), slope >= 0)
    seen = {"": search["trial"], "_value": value, "_slope": slope}
    new = dict(search)
    for part, number in seen.items():
        new[f"low{part}"] = functional.where(too_far, search[f"low{part}"], number)
        new[f"high{part}"] = functional.where(too_far, number, search[f"high{part}"])
    open_end = functional.isinf(new["high"])
    new["trial"] = functional.where(
        open_end, _beyond(search, slope), _between(new, open_end)
    )
    new["tries"] = search["tries"] + 1
    return new


def _beyond(search: Scalars, slope: Tensor) -> Tensor:
    """Two to ten times as far, where the slope would be 0 if it were linear."""
    trial = search["trial"]
    change = slope - search["low_slope"]
    rising = change > 0
    ratio = -slope / functional.where(rising, change, 1.0)
    target = trial + (trial - search["low"]) * ratio
    target = functional.where(rising, target, 10 * trial)
    return functional.clip(target, 2 * trial, 10 * trial)


def _between(search: Scalars, open_end: Tensor) -> Tensor:
    """The minimum of the cubic through both ends, well within the bracket."""
    low, high = search["low"], functional.where(open_end, 1.0, search["high"])
    width = high - low
    fall = (search["low_value"] - search["high_value"]) / width
    middle = search["low_slope"] + search["high_slope"] + 3 * fall
    inside = functional.square(middle) - search["low_slope"] * search["high_slope"]
    root = functional.sqrt(functional.maximum(inside, 0.0))
    divisor = search["high_slope"] - search["low_slope"] + 2 * root
    share = 1 - (search["high_slope"] + root - middle) / divisor
    known = functional.isfinite(share)
    share = functional.where(known, functional.clip(share, 0.1, 0.9), 0.5)
    return low + width * share


def choose(condition: Tensor, then: Any, otherwise: Any) -> dict[str, Tensor]:
    """One search or the other."""
    return {
        name: functional.where(condition, then[name], otherwise[name]) for name in then
    }
