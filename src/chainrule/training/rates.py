"""Which learning rate suits: one short run in which it rises from step to step."""

from __future__ import annotations

import copy
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import DependencyError
from chainrule.functional import asarray, reshape
from chainrule.loops import Loop
from chainrule.training.data import Array
from chainrule.training.loop import Pieces
from chainrule.training.source import Source
from chainrule.training.step import Parts, make_train_step
from chainrule.training.store import Store

DIVERGED = 4.0  # the run ends where the loss is so many times the lowest
WIDTH = 4.0  # over how many steps to each side losses are smoothed


@dataclass(frozen=True)
class RateCurve:
    """What `find_learning_rate` found.

    Attributes:
        rates: the learning rate of each step.
        losses: the loss of each step, before its update.
        smoothed: means of neighbouring losses.
        suggestion: a learning rate to begin with; None where no rate lowered the loss.
        reason: why this one, in a sentence.
    """

    rates: Array
    losses: Array
    smoothed: Array
    suggestion: float | None
    reason: str

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draw loss over learning rate, as a PNG, SVG or PDF by the name of the file.

        Raises:
            DependencyError: when matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure  # noqa: PLC0415 - an optional package
        except ImportError:
            raise DependencyError(
                "drawing needs matplotlib, which is not installed",
                where="RateCurve.plot",
                fix="pip install 'chainrule[plots]'",
            ) from None
        figure = Figure(figsize=(6.4, 4.0), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        axes.semilogx(self.rates, self.losses, color="0.75", label="loss of a batch")
        axes.semilogx(self.rates, self.smoothed, label="smoothed")
        if self.suggestion is not None:
            label = f"suggested: {self.suggestion:.2g}"
            axes.axvline(self.suggestion, color="tab:red", linestyle="--", label=label)
        seen = self.smoothed[np.isfinite(self.smoothed)]
        if len(seen):
            margin = 0.1 * (seen[0] - seen.min() + abs(seen.min()) * 0.1 + 1e-12)
            axes.set_ylim(
                seen.min() - margin, 1.5 * seen[0] - 0.5 * seen.min() + margin
            )
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.set_title(self.reason, fontsize=8, wrap=True)
        axes.legend()
        figure.savefig(path)
        return Path(path)


def sweep(
    parts: Parts,
    source: Source,
    key: Any,
    bounds: tuple[float, float],
    backend: str | None = None,
) -> RateCurve:
    """Train with rates that rise exponentially, on copies of all weights.

    Nothing that `parts` holds is changed.

    Args:
        parts: what a train step is made of.
        source: batches; its steps are those of the run.
        key: decides dropout.
        bounds: the first and the last rate.
        backend: what runs the steps.
    """
    assert source.steps is not None
    lowest, highest = bounds
    exponents = np.linspace(0.0, 1.0, source.steps)
    rates = lowest * (highest / lowest) ** exponents
    optimizer = copy.copy(parts.optimizer)
    table = asarray(rates, dtype="float64")
    optimizer.learning_rate = lambda step: table[step]
    parts = dataclasses.replace(parts, optimizer=optimizer)
    loop = Loop(_watched(parts), name="find_learning_rate", backend=backend)
    loop.begin(Store(parts).training(key, asarray(0)), ())
    losses: list[Array] = []
    for _, values in Pieces(loop).run(source):
        losses.append(values.numpy())
        if has_diverged(np.concatenate(losses)):
            break
    loop.end()
    return judge(rates, np.concatenate(losses))


def _watched(parts: Parts) -> Any:
    """A train step that gives its loss out."""
    step = make_train_step(parts)

    def watched(state: Any, batch: Any) -> Any:
        after, _ = step(state, batch)
        old, new = state["metrics"]["loss"], after["metrics"]["loss"]
        mean = (new["total"] - old["total"]) / (new["count"] - old["count"])
        return after, reshape(mean, (1,))

    return watched


def smooth(losses: Array) -> Array:
    """The losses, each as a mean with its neighbours on both sides.

    A mean of earlier losses alone would show everything at too high a rate.
    """
    places = np.arange(len(losses))
    weights = np.exp(-0.5 * ((places[:, None] - places) / WIDTH) ** 2)
    mean: Array = (weights @ losses.astype(np.float64)) / weights.sum(axis=1)
    return mean


def has_diverged(losses: Array) -> bool:
    """Whether the loss has left all bounds."""
    if not np.isfinite(losses[-1]):
        return True
    means = smooth(losses)
    lowest = means.min()
    return bool(means[-1] - lowest > (DIVERGED - 1) * abs(lowest) + 1e-12)


def judge(rates: Array, losses: Array) -> RateCurve:
    """The curve with a suggestion: where the smoothed loss falls fastest.

    Example:
        >>> rates = np.logspace(-4, 0, 41)
        >>> curve = judge(rates, 1 / (1 + (rates / 0.01) ** 2) + rates**4 * 50)
        >>> 0.005 < curve.suggestion < 0.05
        True
    """
    ends = len(losses)
    while ends and not np.isfinite(losses[ends - 1]):
        ends -= 1
    losses, rates = losses[:ends], rates[:ends]
    means = smooth(losses)
    if ends < 3:
        return RateCurve(rates, losses, means, None, "The loss is no number at once.")
    first = min(round(WIDTH), ends // 4)  # at the edge there are few neighbours
    bottom = first + int(np.argmin(means[first:]))
    top = losses[: max(first + 1, ends // 10)].mean()
    fall = top - means[bottom]
    # from where it falls for good: before, batches that differ look like slopes
    above = np.flatnonzero(means[:bottom] > top - 0.1 * fall)
    start = int(above[-1]) if len(above) else first
    slopes = np.gradient(means, np.log10(rates))
    steepest = start + int(np.argmin(slopes[start : bottom + 1]))
    if bottom < first + 2 or fall <= 0.02 * abs(means[bottom]):
        reason = (
            f"No rate from {rates[0]:.2g} to {rates[-1]:.2g} lowers the loss: look at "
            "the data, or try lower rates."
        )
        return RateCurve(rates, losses, means, None, reason)
    suggestion = float(rates[steepest])
    reason = (
        f"The smoothed loss falls fastest at {suggestion:.2g}; it is lowest at "
        f"{rates[bottom]:.2g}"
    )
    last = bottom == ends - 1
    reason += ", the last rate tried." if last else ", and rises beyond."
    return RateCurve(rates, losses, means, suggestion, reason)
