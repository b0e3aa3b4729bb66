"""Small steps that an optimizer is a chain of.

A transformation takes the gradients, one per parameter, and hands on something better:
clipped, averaged, scaled. What comes out of the last one is added to the parameters.
All are pure functions of trees, as in optax, so a whole training step can be compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule import functional
from chainrule.functional.promotion import Tensor

Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class Moment:
    """When an update happens.

    Attributes:
        step: the number of the update, from 1 (float32, 0-d).
        learning_rate: the step size now (float32, 0-d).
    """

    step: Tensor
    learning_rate: Tensor


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
        >>> moment = Moment(functional.asarray(1.0), functional.asarray(0.5))
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


def _stateless(
    function: Callable[[Tensors, Tensors, Moment], list[Tensor]],
) -> Transformation:
    return Transformation(
        lambda params: None,
        lambda updates, state, params, moment: (
            function(updates, params, moment),
            None,
        ),
    )


def _zeros(params: Tensors) -> list[Tensor]:
    return [functional.zeros_like(p) for p in params]


def _sum_of_squares(x: Tensor) -> Tensor:
    return functional.sum(functional.square(x))


def _average(old: Tensors, new: Tensors, decay: float) -> list[Tensor]:
    """Moving averages that forget at the rate `1 - decay`."""
    pairs = zip(old, new, strict=True)
    return [decay * a + (1 - decay) * b for a, b in pairs]


def clip_by_value(limit: float) -> Transformation:
    """Each number brought into `[-limit, limit]`."""
    return _stateless(
        lambda updates, params, moment: [
            functional.clip(u, -limit, limit) for u in updates
        ]
    )


def _limited(u: Tensor, norm: Tensor, limit: float) -> Tensor:
    return u * (limit / functional.maximum(norm, limit))


def clip_by_norm(limit: float) -> Transformation:
    """Each gradient shortened to at most `limit`, in its Euclidean norm."""
    return _stateless(
        lambda updates, params, moment: [
            _limited(u, functional.sqrt(_sum_of_squares(u)), limit) for u in updates
        ]
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
        norm = functional.sqrt(total)
        return [_limited(u, norm, limit) for u in updates]

    return _stateless(clipped)


def scale_by_learning_rate() -> Transformation:
    """`-learning_rate * u`: downhill."""
    return _stateless(
        lambda updates, params, moment: [-moment.learning_rate * u for u in updates]
    )


def decay_weights(rate: float) -> Transformation:
    """`u - learning_rate * rate * param`: weights shrink by themselves.

    It comes after the gradient was scaled, so that the decay is not. Loshchilov,
    Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """
    return _stateless(
        lambda updates, params, moment: [
            u - (moment.learning_rate * rate) * p
            for u, p in zip(updates, params, strict=True)
        ]
    )


def accumulate(momentum: float, nesterov: bool = False) -> Transformation:
    """Steps that go on in their old direction: `v = momentum * v + u`.

    With `nesterov`, what comes out is `momentum * v + u`, a look ahead. Sutskever,
    Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013.
    """

    def update(
        updates: Tensors, state: Any, params: Tensors, moment: Moment
    ) -> tuple[list[Tensor], Any]:
        pairs = list(zip(updates, state, strict=True))
        velocity = [momentum * v + u for u, v in pairs]
        if not nesterov:
            return velocity, velocity
        ahead = [momentum * v + u for u, v in zip(updates, velocity, strict=True)]
        return ahead, velocity

    return Transformation(_zeros, update)


def scale_by_rms(rho: float, epsilon: float, centered: bool) -> Transformation:
    """`u / sqrt(mean(u**2) + epsilon)`, with a moving mean.

    `centered` takes the square of the moving mean of u from it: the variance.
    """

    def init(params: Tensors) -> dict[str, Any]:
        state: dict[str, Any] = {"square": _zeros(params)}
        if centered:
            state["mean"] = _zeros(params)
        return state

    def update(
        updates: Tensors, state: Any, params: Tensors, moment: Moment
    ) -> tuple[list[Tensor], Any]:
        squares = [functional.square(u) for u in updates]
        new = {"square": _average(state["square"], squares, rho)}
        spread = new["square"]
        if centered:
            new["mean"] = _average(state["mean"], updates, rho)
            pairs = zip(spread, new["mean"], strict=True)
            spread = [s - functional.square(m) for s, m in pairs]
        pairs = zip(updates, spread, strict=True)
        return [u / functional.sqrt(s + epsilon) for u, s in pairs], new

    return Transformation(init, update)


def scale_by_adam(
    beta_1: float, beta_2: float, epsilon: float, amsgrad: bool = False
) -> Transformation:
    """`c * m / (sqrt(v) + epsilon)`, with moving means m of u and v of its square.

    The means start at 0; `c = sqrt(1 - beta_2**t) / (1 - beta_1**t)` makes up for it.
    `amsgrad` takes the largest v so far.
    """

    def init(params: Tensors) -> dict[str, Any]:
        state = {"mean": _zeros(params), "square": _zeros(params)}
        return {**state, "largest": _zeros(params)} if amsgrad else state

    def update(
        updates: Tensors, state: Any, params: Tensors, moment: Moment
    ) -> tuple[list[Tensor], Any]:
        squares = [functional.square(u) for u in updates]
        new = {
            "mean": _average(state["mean"], updates, beta_1),
            "square": _average(state["square"], squares, beta_2),
        }
        spread = new["square"]
        if amsgrad:
            pairs = zip(state["largest"], spread, strict=True)
            spread = new["largest"] = [functional.maximum(a, b) for a, b in pairs]
        scale = functional.sqrt(_warmth(beta_2, moment)) / _warmth(beta_1, moment)
        pairs = zip(new["mean"], spread, strict=True)
        return [(m * scale) / (functional.sqrt(s) + epsilon) for m, s in pairs], new

    return Transformation(init, update)


def _warmth(beta: float, moment: Moment) -> Tensor | float:
    """`1 - beta**step`, without the cancellation of float32 for beta near 1."""
    if beta == 0:
        return 1.0
    return -functional.expm1(moment.step * math.log(beta))
