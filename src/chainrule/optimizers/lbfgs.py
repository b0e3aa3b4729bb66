"""L-BFGS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import float64
from chainrule.optimizers import line_search as line
from chainrule.optimizers.base import Optimizer
from chainrule.optimizers.transforms import Moment, Tensors

SEARCHES = ("strong_wolfe", "backtracking")
CURVED = 1e-8  # the least cosine between a step and the change of the gradient


class LBFGS(Optimizer):
    """Newton's method with a curvature known from the last few steps.

    From pairs of steps s and changes of the gradient y, the two-loop recursion makes
    the direction `-H @ g` without the matrix H; along it a line search looks for a
    point where `loss <= base + 1e-4 * distance * slope` (Armijo), with "strong_wolfe"
    also `|slope| <= 0.9 * |slope at the base|`. Every training step looks at one point.
    Between two steps the weights are therefore those of the next point to look at;
    `finalize` gives the best one found, and `fit` ends with it. Nocedal, Wright,
    "Numerical optimization", 2006, chapters 3 and 7.

    All rows must be one batch (`batch_size=len(x)`), and the loss must be the same for
    the same weights: no dropout. For networks of up to some 10,000 rows.

    Args:
        learning_rate: the distance of the first trial on each line; 1 is Newton's.
        history_size: how many pairs are kept, each twice as large as the weights.
        line_search: "strong_wolfe" or "backtracking".
        max_line_search: how many points are tried on one line.
        gradient_tolerance: the search is over when no number of the gradient is larger.
        name: its name.

    Raises:
        ArgumentError: for arguments out of range, and when `update` is not told the
            loss.

    Example:
        >>> from chainrule import functional
        >>> def loss(w):
        ...     return 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2
        >>> from chainrule import jit, value_and_grad
        >>> optimizer = LBFGS()
        >>> @jit
        ... def step(w, state):
        ...     value, slope = value_and_grad(loss)(w)
        ...     (w,), state = optimizer.update([slope], state, [w], value)
        ...     return w, state
        >>> w = functional.asarray([-1.2, 1.0])
        >>> state = optimizer.init([w])
        >>> for _ in range(60):
        ...     w, state = step(w, state)
        >>> [round(x, 3) for x in optimizer.finalize([w], state)[0].tolist()]
        [1.0, 1.0]
    """

    full_batch = True

    def __init__(
        self,
        learning_rate: float = 1.0,
        history_size: int = 10,
        line_search: str = "strong_wolfe",
        max_line_search: int = 20,
        gradient_tolerance: float = 1e-7,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, name=name)
        self.history_size = history_size
        self.line_search = line_search
        self.max_line_search = max_line_search
        self.gradient_tolerance = gradient_tolerance
        self._check_count("history_size", 1)
        self._check_count("max_line_search", 2)
        self._check_not_negative("gradient_tolerance")
        if line_search not in SEARCHES:
            self._refuse("line_search", "is not known", " or ".join(SEARCHES))

    def finalize(self, params: Sequence[Tensor], state: Any) -> list[Tensor]:
        """The best point found."""
        return list(state["slots"]["base"])

    def _begin(self, params: Tensors) -> dict[str, Any]:
        """The state before anything is known; the first step begins at its params."""
        flat = _flat(params)
        zeros = functional.zeros((self.history_size, flat.shape[0]), dtype=flat.dtype)
        zero = functional.asarray(0.0, dtype="float64")
        return {
            "base": list(params),
            "gradient": functional.zeros_like(flat),
            "direction": functional.zeros_like(flat),
            "steps": zeros,
            "changes": zeros,
            "curvatures": functional.zeros(self.history_size, dtype=flat.dtype),
            "search": line.begin(zero, zero, zero),
            "done": functional.asarray(False),
        }

    def _step(
        self, grads: Any, state: Any, params: Any, moment: Moment
    ) -> tuple[list[Tensor], Any]:
        """The next point to look at, after the loss and the gradient at this one."""
        if moment.value is None:
            raise ArgumentError(
                "L-BFGS needs to know the loss",
                where=self.name,
                fix="optimizer.update(gradients, state, params, loss)",
            )
        old, rate = state["slots"], state["learning_rate"]
        moment = Moment(moment.step, [rate], moment.value)
        if not params:
            return [], old
        new = self._moved(old, _flat(grads), params, moment)
        distance, base = new["search"]["trial"], _flat(new["base"])
        target = base + functional.astype(distance, base.dtype) * new["direction"]
        still = new["done"]
        points = _parted(target, params)
        pairs = zip(new["base"], points, strict=True)
        return [functional.where(still, b, p) for b, p in pairs], new

    def _moved(self, old: Any, g: Tensor, params: Any, moment: Moment) -> Any:
        """The state after a look at `params`, with the next distance in it."""
        search, value = old["search"], _wide(moment.value)
        slope = _wide(_dot(old["direction"], g))
        step = _flat(params) - _flat(old["base"])
        elsewhere = self._elsewhere(old, step, moment)
        low = self._low_enough(search, value, moment.value.dtype)  # type: ignore[union-attr]
        good = low
        if self.line_search == "strong_wolfe":
            good = functional.logical_and(low, line.is_flat(search, slope))
        last = search["tries"] + 1 >= self.max_line_search
        good = functional.logical_or(good, functional.logical_and(last, low))
        accepted = functional.logical_or(elsewhere, good)
        lost = functional.logical_and(last, functional.logical_not(accepted))

        history = self._remembered(old, step, g, accepted, elsewhere, lost)
        base_gradient = functional.where(accepted, g, old["gradient"])
        direction, descends = _direction(history, base_gradient)
        curvatures = functional.where(descends, history["curvatures"], 0)
        begun = self._begun(
            functional.where(accepted, value, search["value"]),
            base_gradient,
            direction,
            curvatures,
            moment,
        )
        fresh = functional.logical_or(accepted, lost)
        looked = line.look_on(search, value, slope, low)
        hopeless = functional.logical_and(lost, old["curvatures"][0] == 0)
        level = functional.max(functional.abs(base_gradient)) <= self.gradient_tolerance
        ended = functional.logical_or(hopeless, level)
        kept = functional.logical_and(old["done"], functional.logical_not(elsewhere))
        return {
            **old,
            **history,
            "curvatures": curvatures,
            "base": [
                functional.where(accepted, p, b)
                for p, b in zip(params, old["base"], strict=True)
            ],
            "gradient": base_gradient,
            "direction": direction,
            "search": line.choose(fresh, begun, looked),
            "done": functional.logical_or(ended, kept),
        }

    def _low_enough(self, search: Any, value: Tensor, dtype: Any) -> Tensor:
        unit = float(functional.finfo(dtype).eps)
        return line.falls(search, value, unit)

    def _elsewhere(self, old: Any, step: Tensor, moment: Moment) -> Tensor:
        """Whether the weights are not those that were asked for.

        True for the first step, and when somebody else has changed them since.
        """
        distance = functional.astype(old["search"]["trial"], step.dtype)
        asked = functional.where(old["done"], 0, distance) * old["direction"]
        size = functional.max(functional.abs(asked))
        weight = functional.max(functional.abs(_flat(old["base"])))
        far = functional.max(functional.abs(step - asked)) > 1e-3 * size + 1e-5 * weight
        return functional.logical_or(moment.step == 1, far)

    def _remembered(
        self,
        old: Any,
        step: Tensor,
        g: Tensor,
        accepted: Tensor,
        elsewhere: Tensor,
        lost: Tensor,
    ) -> dict[str, Tensor]:
        """The pairs, with a new one in front where the curvature along it is sound."""
        change = g - old["gradient"]
        product, lengths = _dot(step, change), _dot(change, change)
        sound = product > CURVED * functional.sqrt(_dot(step, step) * lengths)
        sound = functional.logical_and(sound, accepted)
        sound = functional.logical_and(sound, functional.logical_not(elsewhere))
        inverse = 1 / functional.where(sound, product, 1)
        forgotten = functional.logical_or(elsewhere, lost)

        def shifted(name: str, newest: Tensor) -> Tensor:
            rows = old[name]
            front = functional.expand_dims(newest, axis=0)
            return functional.where(sound, functional.concat([front, rows[:-1]]), rows)

        curvatures = shifted("curvatures", inverse)
        return {
            "steps": shifted("steps", step),
            "changes": shifted("changes", change),
            "curvatures": functional.where(forgotten, 0, curvatures),
        }

    def _begun(
        self,
        value: Tensor,
        g: Tensor,
        direction: Tensor,
        curvatures: Tensor,
        moment: Moment,
    ) -> dict[str, Tensor]:
        """A search from a new base; without curvature the first step is a short one."""
        size = functional.maximum(functional.sum(functional.abs(g)), 1e-30)
        short = functional.minimum(1 / size, 1)
        first = functional.where(curvatures[0] == 0, short, 1) * moment.rates[0]
        return line.begin(_wide(first), value, _wide(_dot(direction, g)))


def _direction(history: Any, g: Tensor) -> tuple[Tensor, Tensor]:
    """Where to go from a gradient, and whether the history was of use.

    Pairs that were never filled have curvature 0, and change nothing.
    """
    steps, changes, inverse = (
        history[name] for name in ("steps", "changes", "curvatures")
    )
    count = inverse.shape[0]
    aim, shares = g, []
    for i in range(count):
        shares.append(inverse[i] * _dot(steps[i], aim))
        aim = aim - shares[i] * changes[i]
    length = inverse[0] * _dot(changes[0], changes[0])
    aim = aim / functional.where(length > 0, length, 1)
    for i in reversed(range(count)):
        aim = aim + (shares[i] - inverse[i] * _dot(changes[i], aim)) * steps[i]
    descends = _dot(aim, g) > 0
    return -functional.where(descends, aim, g), descends


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return functional.sum(a * b)


def _wide(scalar: Any) -> Tensor:
    return functional.astype(scalar, float64)


def _flat(params: Tensors) -> Tensor:
    """All numbers of all parameters in a row."""
    if not params:
        return functional.zeros(0)
    return functional.concat([functional.reshape(p, (-1,)) for p in params])


def _parted(flat: Tensor, params: Tensors) -> list[Tensor]:
    """The parameters that `_flat` put in a row."""
    parts, start = [], 0
    for p in params:
        end = start + math.prod(p.shape)
        part = functional.reshape(flat[start:end], p.shape)
        parts.append(functional.astype(part, p.dtype))
        start = end
    return parts
