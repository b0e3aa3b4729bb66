"""Limits that weights are brought back to after every update.

A constraint is called with a weight and returns the weight that it allows. Layers take
them as `kernel_constraint` and `bias_constraint`; a function of a tensor will do as
well. Training applies them inside the compiled step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule import functional
from chainrule.configurable import Configurable, Registry
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor

REGISTRY = Registry("constraint", "kernel_constraint")

# Keeps the division by the norm of weights that are all 0 finite.
EPSILON = 1e-7

Axis = int | Sequence[int] | None


class Constraint(Configurable):
    """Base of constraints: subclasses define `__call__(w)`.

    Example:
        >>> class Halves(Constraint):
        ...     def __call__(self, w):
        ...         return functional.round(w * 2) / 2
        >>> Halves()(functional.asarray([0.6, -1.1])).tolist()
        [0.5, -1.0]
    """

    def __call__(self, w: Any) -> Tensor:
        """The nearest allowed weight."""
        raise NotImplementedError


class NonNeg(Constraint):
    """`max(w, 0)`.

    Example:
        >>> NonNeg()(functional.asarray([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """

    def __call__(self, w: Any) -> Tensor:
        """The weight without its negative numbers."""
        return functional.maximum(w, 0.0)


class MaxNorm(Constraint):
    """No unit's incoming weights have a Euclidean norm above `max_value`.

    Srebro, Shraibman, "Rank, trace-norm and max-norm", COLT 2005; for dropout networks:
    Srivastava et al., "Dropout", JMLR 2014.

    Args:
        max_value: the largest norm.
        axis: the axes that one norm is taken over: 0 for a kernel `(inputs, units)`,
            `[0, 1, 2]` for one of a convolution.

    Example:
        >>> kernel = functional.asarray([[3.0, 0.3], [4.0, 0.4]], dtype="float64")
        >>> MaxNorm(1.0)(kernel).numpy().round(3).tolist()
        [[0.6, 0.3], [0.8, 0.4]]
    """

    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value = _not_negative("MaxNorm", "max_value", max_value)
        self.axis = _as_axis(axis)

    def __call__(self, w: Any) -> Tensor:
        """The weight, scaled down where it was too large."""
        norms = _norms(w, self.axis)
        return w * (functional.minimum(norms, self.max_value) / (norms + EPSILON))


class UnitNorm(Constraint):
    """Every unit's incoming weights have a Euclidean norm of 1.

    Args:
        axis: as for `MaxNorm`.

    Example:
        >>> kernel = functional.asarray([[3.0], [4.0]], dtype="float64")
        >>> UnitNorm()(kernel).numpy().round(3).tolist()
        [[0.6], [0.8]]
    """

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = _as_axis(axis)

    def __call__(self, w: Any) -> Tensor:
        """The weight, scaled to norm 1."""
        return w / (_norms(w, self.axis) + EPSILON)


class MinMaxNorm(Constraint):
    """Every unit's incoming weights have a Euclidean norm within two limits.

    The norm becomes `rate * clip(norm, min_value, max_value) + (1 - rate) * norm`.

    Args:
        min_value: the smallest norm.
        max_value: the largest norm.
        rate: how much of the way is made at each step; 1 enforces the limits.
        axis: as for `MaxNorm`.

    Example:
        >>> limits = MinMaxNorm(min_value=0.5, max_value=1.0)
        >>> kernel = functional.asarray([[3.0], [4.0]], dtype="float64")
        >>> limits(kernel).numpy().round(3).tolist()
        [[0.6], [0.8]]
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: Axis = 0,
    ) -> None:
        self.min_value = _not_negative("MinMaxNorm", "min_value", min_value)
        self.max_value = _not_negative("MinMaxNorm", "max_value", max_value)
        if min_value > max_value:
            raise ArgumentError(
                "the smallest norm lies above the largest",
                where="MinMaxNorm",
                got=f"min_value={min_value}, max_value={max_value}",
                expected="min_value <= max_value",
            )
        self.rate = _not_negative("MinMaxNorm", "rate", rate)
        self.axis = _as_axis(axis)

    def __call__(self, w: Any) -> Tensor:
        """The weight, scaled towards the limits where it lay outside."""
        norms = _norms(w, self.axis)
        limited = functional.clip(norms, self.min_value, self.max_value)
        desired = limited * self.rate + norms * (1 - self.rate)
        return w * (desired / (norms + EPSILON))


def _norms(w: Any, axis: Axis) -> Tensor:
    axes = tuple(axis) if isinstance(axis, Sequence) else axis
    squares = functional.sum(functional.square(w), axis=axes, keepdims=True)
    return functional.sqrt(squares)


def _as_axis(axis: Axis) -> Axis:
    return list(axis) if isinstance(axis, Sequence) else axis


def _not_negative(where: str, name: str, value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not value >= 0:
        raise ArgumentError(
            f"{name} must be a number that is not negative",
            where=where,
            got=f"{name}={value!r}",
        )
    return value


# Keras has the classes under these names as well: `constraints.max_norm(2.0)`.
max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm

for _each in (MaxNorm, NonNeg, UnitNorm, MinMaxNorm):
    REGISTRY.add(_each)


def get(identifier: Any) -> Any:
    """The constraint that a name or a config stands for; None stands for none.

    Raises:
        ArgumentError: for an unknown name; the message has the nearest known one.

    Example:
        >>> get("non_neg")
        NonNeg()
    """
    return None if identifier is None else REGISTRY.get(identifier)
