"""Small steps that an optimizer is a chain of.

A transformation takes the gradients, one per parameter, and hands on something better:
clipped, averaged, scaled. What comes out of the last one is added to the parameters.
All are pure functions of trees, as in optax, so a whole training step can be compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.optimizers.rows import Rows

Tensors = Sequence[Tensor]
Slots = dict[str, Tensor]
Start = Callable[[Tensor], Tensor]
Rule = Callable[[Tensor, Slots, Tensor, "Instant"], tuple[Tensor, Slots]]


@dataclass(frozen=True)
class Instant:
    """When one parameter is updated, and how far.

    Attributes:
        step: the number of the update, from 1 (float64, 0-d: exact to 2**53).
        rate: the learning rate of this parameter, in its dtype.
    """

    step: Tensor
    rate: Tensor


@dataclass(frozen=True)
class Moment:
    """When an update happens.

    Attributes:
        step: the number of the update, from 1 (float64, 0-d: exact to 2**53).
        rates: the learning rate of each parameter, in its dtype.
        value: the loss at the parameters, where it is known.
        rows: for each parameter the rows that are moved, or None where all are; nothing
            at all where that is so of every parameter.
    """

    step: Tensor
    rates: Tensors
    value: Tensor | None = None
    rows: Sequence[Rows | None] = ()

    def read(self, place: int, slot: Tensor) -> Tensor:
        """What is moved of a slot of the parameter at `place`."""
        rows = self.rows[place] if self.rows else None
        return slot if rows is None else rows.read(slot)

    def write(self, place: int, slot: Tensor, new: Tensor) -> Tensor:
        """The slot with `new` in the place of what `read` gave."""
        rows = self.rows[place] if self.rows else None
        return new if rows is None else rows.write(slot, new)


@dataclass(frozen=True)
class Transformation:
    """A pair of pure functions.

    Attributes:
        init: the first state, a tree, for a list of parameters.
        update: `(updates, state, params, moment)` to `(updates, state)`.
    """

    init: Callable[[Tensors], Any]
    update: Callable[[Tensors, Any, Tensors, Moment], tuple[list[Tensor], Any]]


def chain(*parts: Transformation) -> Transformation:
    """One transformation after the other.

    Example:
        >>> both = chain(clip_by_value(1.0), scale_by_learning_rate())
        >>> moment = Moment(functional.asarray(1.0), [functional.asarray(0.5)])
        >>> g = functional.asarray([3.0, -0.5])
        >>> (u,), _ = both.update([g], both.init([g]), [g], moment)
        >>> u.numpy().tolist()
        [-0.5, 0.25]
    """

    def init(params: Tensors) -> list[Any]:
        return [part.init(params) for part in parts]

    def update(
        updates: Tensors, state: Any, params: Tensors, moment: Moment
    ) -> tuple[list[Tensor], Any]:
        states = []
        for part, own in zip(parts, state, strict=True):
            updates, new = part.update(updates, own, params, moment)
            states.append(new)
        return list(updates), states

    return Transformation(init, update)


def per_parameter(starts: Mapping[str, Start], rule: Rule) -> Transformation:
    """The same rule for every parameter by itself.

    Where only some rows of a parameter are moved, the rule is given those rows of the
    parameter and of its slots, which must have its shape.

    Args:
        starts: from a parameter to the first value of a slot, by the slots' names.
        rule: `(update, slots, param, instant)` to `(update, slots)`.

    Example:
        >>> rule = lambda u, own, p, now: (u - own["last"], {"last": u})
        >>> change = per_parameter({"last": functional.zeros_like}, rule)
        >>> g = functional.asarray([3.0])
        >>> state = change.init([g])
        >>> moment = Moment(functional.asarray(1.0), [functional.asarray(0.5)])
        >>> for _ in range(2):
        ...     (u,), state = change.update([g], state, [g], moment)
        >>> u.item(), state["last"][0].item()
        (0.0, 3.0)
    """

    def init(params: Tensors) -> dict[str, list[Tensor]]:
        return {name: [start(p) for p in params] for name, start in starts.items()}

    def update(
        updates: Tensors, state: Any, params: Tensors, moment: Moment
    ) -> tuple[list[Tensor], Any]:
        changed: list[Tensor] = []
        slots: dict[str, list[Tensor]] = {name: [] for name in starts}
        columns = zip(updates, params, moment.rates, strict=True)
        for place, (u, p, rate) in enumerate(columns):
            own = {name: moment.read(place, state[name][place]) for name in starts}
            u, new = rule(u, own, p, Instant(moment.step, rate))
            changed.append(u)
            for name in starts:
                slots[name].append(moment.write(place, state[name][place], new[name]))
        return changed, slots

    return Transformation(init, update)


def stateless(
    function: Callable[[Tensors, Tensors, Moment], list[Tensor]],
) -> Transformation:
    """What remembers nothing: a function of updates, params and moment."""
    return Transformation(
        lambda params: None,
        lambda updates, state, params, moment: (
            function(updates, params, moment),
            None,
        ),
    )


def like(scalar: Any, param: Tensor) -> Tensor:
    """A scalar in the dtype of a parameter, so that it does not change that dtype."""
    return functional.astype(scalar, param.dtype)


def mix(old: Tensor, new: Tensor, decay: float) -> Tensor:
    """A moving average that forgets at the rate `1 - decay`."""
    return decay * old + (1 - decay) * new


def missing_share(decay: float, step: Tensor, param: Tensor) -> Tensor | float:
    """`1 - decay**step`: what a moving average that began at 0 has seen so far.

    Without the cancellation of float32 for a decay near 1.
    """
    if decay == 0:
        return 1.0
    return like(-functional.expm1(step * math.log(decay)), param)


def _sum_of_squares(x: Tensor) -> Tensor:
    return functional.sum(functional.square(x))


def norm(x: Tensor) -> Tensor:
    """The Euclidean norm of all numbers of `x`."""
    return functional.sqrt(_sum_of_squares(x))


def clip_by_value(limit: float) -> Transformation:
    """Each number brought into `[-limit, limit]`."""
    return stateless(
        lambda updates, params, moment: [
            functional.clip(u, -limit, limit) for u in updates
        ]
    )


def _limited(u: Tensor, size: Tensor, limit: float) -> Tensor:
    return u * (limit / functional.maximum(size, limit))


def clip_by_norm(limit: float) -> Transformation:
    """Each gradient shortened to at most `limit`, in its Euclidean norm."""
    return stateless(
        lambda updates, params, moment: [_limited(u, norm(u), limit) for u in updates]
    )


def clip_by_global_norm(limit: float) -> Transformation:
    """All gradients shortened alike, so that together they are at most `limit` long.

    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013.
    """

    def clipped(updates: Tensors, params: Tensors, moment: Moment) -> list[Tensor]:
        if not updates:
            return []
        total = _sum_of_squares(updates[0])
        for u in updates[1:]:
            total = total + _sum_of_squares(u)
        size = functional.sqrt(total)
        return [_limited(u, size, limit) for u in updates]

    return stateless(clipped)


def scale_by_learning_rate() -> Transformation:
    """`-learning_rate * u`: downhill."""
    return stateless(
        lambda updates, params, moment: [
            -rate * u for u, rate in zip(updates, moment.rates, strict=True)
        ]
    )


def accumulate(momentum: float, nesterov: bool = False) -> Transformation:
    """Steps that go on in their old direction: `v = momentum * v + u`.

    With `nesterov`, what comes out is `momentum * v + u`, a look ahead. Sutskever,
    Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013.
    """

    def rule(u: Tensor, own: Slots, p: Tensor, now: Instant) -> tuple[Tensor, Slots]:
        velocity = momentum * own["velocity"] + u
        ahead = momentum * velocity + u if nesterov else velocity
        return ahead, {"velocity": velocity}

    return per_parameter({"velocity": functional.zeros_like}, rule)


def scale_by_rms(rho: float, epsilon: float, centered: bool) -> Transformation:
    """`u / sqrt(mean(u**2) + epsilon)`, with a moving mean.

    `centered` takes the square of the moving mean of u from it: the variance.
    """

    def rule(u: Tensor, own: Slots, p: Tensor, now: Instant) -> tuple[Tensor, Slots]:
        new = {"square": mix(own["square"], functional.square(u), rho)}
        spread = new["square"]
        if centered:
            new["mean"] = mix(own["mean"], u, rho)
            spread = spread - functional.square(new["mean"])
        return u / functional.sqrt(spread + epsilon), new

    names = ["square", "mean"] if centered else ["square"]
    return per_parameter(dict.fromkeys(names, functional.zeros_like), rule)


def step_by_adam(
    beta_1: float, beta_2: float, epsilon: float, amsgrad: bool = False
) -> Transformation:
    """`-learning_rate * c * m / (sqrt(v) + epsilon)`, with moving means of u and u**2.

    The means, m and v, start at 0; `c = sqrt(1 - beta_2**t) / (1 - beta_1**t)` makes up
    for it. `amsgrad` takes the largest v so far. What is the same for all numbers of a
    parameter is one factor, which saves work in the loop over them.
    """

    def rule(u: Tensor, own: Slots, p: Tensor, now: Instant) -> tuple[Tensor, Slots]:
        new = {
            "mean": mix(own["mean"], u, beta_1),
            "square": mix(own["square"], functional.square(u), beta_2),
        }
        spread = new["square"]
        if amsgrad:
            spread = new["largest"] = functional.maximum(own["largest"], spread)
        root = functional.sqrt(missing_share(beta_2, now.step, p))
        factor = now.rate * root / -missing_share(beta_1, now.step, p)
        return (factor * new["mean"]) / (functional.sqrt(spread) + epsilon), new

    names = ["mean", "square", "largest"] if amsgrad else ["mean", "square"]
    return per_parameter(dict.fromkeys(names, functional.zeros_like), rule)
