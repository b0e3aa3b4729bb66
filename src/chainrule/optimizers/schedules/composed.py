"""Schedules of several parts: one cycle, a warm-up, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.optimizers.schedules.base import LearningRateSchedule, deserialize
from chainrule.optimizers.schedules.cosine import half_cosine


class OneCycle(LearningRateSchedule):
    """Up to a high rate, and down to almost nothing, in one run.

    From `max_learning_rate / div_factor` up to `max_learning_rate` in the first
    `pct_start` of the steps, and from there down to
    `max_learning_rate / div_factor / final_div_factor`. With `three_phase` it comes
    down as it went up, and then falls to the last rate. Smith, Topin,
    "Super-convergence", arXiv 1708.07120; the defaults are PyTorch's.
    Only the learning rate goes round, not the momentum.

    Args:
        max_learning_rate: the highest rate; `find_learning_rate` helps.
        total_steps: all steps of training: batches of an epoch times epochs.
        pct_start: the share of the steps in which the rate rises.
        anneal_strategy: "cos" or "linear".
        div_factor: how many times lower the rate is at the start.
        final_div_factor: how many times lower still it is at the end.
        three_phase: whether there is a third phase.
        name: its name.

    Example:
        >>> schedule = OneCycle(0.25, total_steps=101)
        >>> [round(schedule(step).item(), 4) for step in (0, 29.3, 100)]
        [0.01, 0.25, 0.0]
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        name: str = "OneCycle",
    ) -> None:
        self.max_learning_rate = max_learning_rate
        self.total_steps = total_steps
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.three_phase = three_phase
        self.name = name
        self._check_positive(
            "max_learning_rate", "total_steps", "div_factor", "final_div_factor"
        )
        most = 0.5 if three_phase else 1.0
        self._check("pct_start", 0 <= pct_start <= most, f"0 to {most}")
        known = anneal_strategy in ("cos", "linear")
        self._check("anneal_strategy", known, "'cos' or 'linear'")

    def rate(self, step: Tensor) -> Any:
        """The learning rate after `step` steps."""
        first, *middle, last = self._phases()
        found: Any = functional.asarray(last[2], dtype="float64")
        begins = [0.0, *(end for end, _, _ in [first, *middle])]
        phases = list(zip(begins, [first, *middle, last], strict=True))
        for begin, (end, low, high) in reversed(phases):
            length = max(end - begin, 1e-9)  # a phase may have no steps
            share = functional.clip((step - begin) / length, 0.0, 1.0)
            between = low + (high - low) * self._risen(share)
            found = functional.where(step <= end, between, found)
        return found

    def _risen(self, share: Tensor) -> Tensor:
        """From 0 to 1 as `share` does."""
        return share if self.anneal_strategy == "linear" else 1 - half_cosine(share)

    def _phases(self) -> list[tuple[float, float, float]]:
        """The last step of each phase, and the rates that it goes between."""
        high = self.max_learning_rate
        low = high / self.div_factor
        end, last = low / self.final_div_factor, self.total_steps - 1.0
        top = self.pct_start * self.total_steps - 1
        if not self.three_phase:
            return [(top, low, high), (last, high, end)]
        return [(top, low, high), (2 * top, high, low), (last, low, end)]


class SequentialSchedule(LearningRateSchedule):
    """One schedule after the other; each counts steps from its own beginning.

    Args:
        schedules: schedules, or numbers for constant rates.
        boundaries: the first step of the second, of the third, and so on; rising.
        name: its name.

    Example:
        >>> from chainrule.optimizers.schedules import ExponentialDecay
        >>> decay = ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)
        >>> schedule = SequentialSchedule([0.2, decay], boundaries=[5])
        >>> [round(schedule(step).item(), 3) for step in (4, 5, 15)]
        [0.2, 0.1, 0.05]
    """

    def __init__(
        self,
        schedules: Sequence[Any],
        boundaries: Sequence[float],
        name: str = "SequentialSchedule",
    ) -> None:
        self.schedules = [as_part(schedule) for schedule in schedules]
        self.boundaries = boundaries
        self.name = name
        rising = all(before < after for before, after in pairwise([0, *boundaries]))
        self._check("boundaries", rising, "steps above 0, rising")
        if len(boundaries) != len(self.schedules) - 1:
            raise ArgumentError(
                "there is one schedule more than there are boundaries",
                where=type(self).__name__,
                got=f"{len(boundaries)} boundaries, {len(self.schedules)} schedules",
                expected=f"{len(boundaries) + 1} schedules",
            )

    def rate(self, step: Tensor) -> Any:
        """The learning rate after `step` steps."""
        found = part_at(self.schedules[0], step)
        for boundary, part in zip(self.boundaries, self.schedules[1:], strict=True):
            since = functional.maximum(step - float(boundary), 0.0)
            found = functional.where(
                step >= float(boundary), part_at(part, since), found
            )
        return found


class LinearWarmup(LearningRateSchedule):
    """In a straight line up to a rate, or up to where a schedule begins.

    Args:
        learning_rate: the rate after the warm-up, or a schedule that begins then.
        warmup_steps: how long the warm-up is.
        initial_learning_rate: the rate at the start.
        name: its name.

    Example:
        >>> from chainrule.optimizers.schedules import InverseTimeDecay
        >>> decay = InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)
        >>> schedule = LinearWarmup(decay, warmup_steps=4)
        >>> [round(schedule(step).item(), 3) for step in (0, 2, 4, 14)]
        [0.0, 0.05, 0.1, 0.05]
    """

    def __init__(
        self,
        learning_rate: Any,
        warmup_steps: int,
        initial_learning_rate: float = 0.0,
        name: str = "LinearWarmup",
    ) -> None:
        self.learning_rate = as_part(learning_rate)
        self.warmup_steps = warmup_steps
        self.initial_learning_rate = initial_learning_rate
        self.name = name
        self._check_positive("warmup_steps")
        self._check_not_negative("initial_learning_rate")

    def rate(self, step: Tensor) -> Any:
        """The learning rate after `step` steps."""
        share = functional.minimum(step / self.warmup_steps, 1.0)
        since = functional.maximum(step - self.warmup_steps, 0.0)
        target = part_at(self.learning_rate, since)
        return self.initial_learning_rate + share * (
            target - self.initial_learning_rate
        )


def as_part(part: Any) -> Any:
    """A schedule, or a number, from an argument or a config."""
    if isinstance(part, Mapping):
        return deserialize(part)
    if isinstance(part, (LearningRateSchedule, int, float)):
        return part
    raise ArgumentError(
        "this is neither a schedule nor a number",
        got=repr(part),
        expected="an object of chainrule.optimizers.schedules, such as CosineDecay",
    )


def part_at(part: Any, step: Tensor) -> Tensor:
    """The learning rate of a part after `step` of its own steps (float64)."""
    found = part.rate(step) if isinstance(part, LearningRateSchedule) else float(part)
    return functional.asarray(found, dtype="float64")
