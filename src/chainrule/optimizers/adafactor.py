"""Adafactor."""

from __future__ import annotations

import math
from typing import Any, Unpack

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.optimizers.base import Optimizer, OptimizerOptions
from chainrule.optimizers.transforms import (
    Instant,
    Moment,
    Tensors,
    Transformation,
    like,
    norm,
)


class Adafactor(Optimizer):
    """Adam without momentum, whose squares take a row and a column of memory.

    For a matrix the moving means of `g**2 + epsilon_1` along its rows, r, and its
    columns, c, stand for all: `v = r * c / mean(r)`; vectors keep v whole. With
    `u = g / sqrt(v)`, step t takes
    `w -= max(epsilon_2, rms(w)) * rho * u / max(1, rms(u) / clip_threshold)`, where
    `rho = min(learning_rate, 1 / sqrt(t))`; the means forget at the rate
    `t**beta_2_decay`. Shazeer, Stern, "Adafactor", ICML 2018.

    Args:
        learning_rate: the step size, or a function of the number of steps so far.
        beta_2_decay: the exponent above, negative.
        epsilon_1: keeps v from 0.
        epsilon_2: the least size that a parameter is taken to have.
        clip_threshold: how long u may be.
        relative_step: changes nothing, for rho falls in any case; Keras has it.
        **options: see `OptimizerOptions`.

    Example:
        >>> from chainrule import functional
        >>> optimizer = Adafactor(learning_rate=0.1)
        >>> w = functional.ones((3, 2))
        >>> (w,), state = optimizer.update([w], optimizer.init([w]), [w])
        >>> round(w[0, 0].item(), 4), state["slots"][0]["row"][0].shape
        (0.9, (3,))
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step
        for argument in ("epsilon_1", "epsilon_2", "clip_threshold"):
            self._check_not_negative(argument)

    def transformation(self) -> Transformation:
        """From gradients to steps of the parameters' own size."""
        return Transformation(_init, self._update)

    def _update(
        self, updates: Tensors, state: Any, params: Tensors, moment: Moment
    ) -> tuple[list[Tensor], Any]:
        steps: list[Tensor] = []
        new: dict[str, list[Any]] = {name: [] for name in state}
        for place, (u, p) in enumerate(zip(updates, params, strict=True)):
            old = {name: state[name][place] for name in state}
            now = Instant(moment.step, moment.rates[place])
            spread, slots = self._spread(u, old, p, now)
            for name, column in new.items():
                column.append(slots.get(name))
            direction = u / functional.sqrt(spread)
            excess = functional.maximum(_rms(direction) / self.clip_threshold, 1.0)
            steps.append(-self._size(p, now) * (direction / excess))
        return steps, new

    def _size(self, p: Tensor, now: Instant) -> Tensor:
        """How long a step is."""
        falling = like(1 / functional.sqrt(now.step), p)
        rate = functional.minimum(now.rate, falling)
        return functional.maximum(_rms(p), self.epsilon_2) * rate

    def _spread(
        self, u: Tensor, old: dict[str, Any], p: Tensor, now: Instant
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean square of the gradients, and what is remembered of it."""
        share = like(functional.pow(now.step, self.beta_2_decay), p)
        square = functional.square(u) + self.epsilon_1

        def moved(slot: str, seen: Tensor) -> Tensor:
            return (1 - share) * old[slot] + share * seen

        if u.ndim < 2:
            square = moved("square", square)
            return square, {"square": square}
        row = moved("row", _mean(square, -1))
        column = moved("column", _mean(square, -2))
        ratio = row / functional.expand_dims(_mean(row, -1), axis=-1)
        spread = functional.expand_dims(ratio, axis=-1) * functional.expand_dims(
            column, axis=-2
        )
        return spread, {"row": row, "column": column}


def _init(params: Tensors) -> dict[str, list[Any]]:
    def zeros(p: Tensor, *shape: int) -> Tensor:
        return functional.zeros(shape, dtype=p.dtype)

    matrices = [p if p.ndim >= 2 else None for p in params]
    return {
        "row": [m if m is None else zeros(m, *m.shape[:-1]) for m in matrices],
        "column": [
            m if m is None else zeros(m, *m.shape[:-2], m.shape[-1]) for m in matrices
        ],
        "square": [functional.zeros_like(p) if p.ndim < 2 else None for p in params],
    }


def _mean(x: Tensor, axis: int) -> Tensor:
    """The mean along an axis; 0 where there is nothing."""
    return functional.sum(x, axis=axis) / max(x.shape[axis], 1)


def _rms(x: Tensor) -> Tensor:
    return norm(x) / math.sqrt(max(math.prod(x.shape), 1))
