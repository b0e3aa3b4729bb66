"""Penalties on weights and outputs, added to the loss.

A regularizer is called with a tensor and returns a scalar. Layers take them as
`kernel_regularizer`, `bias_regularizer` and `activity_regularizer`; a function of a
tensor will do as well. Training adds them to the loss inside the compiled step.
"""

from __future__ import annotations

import math
from typing import Any

from chainrule import functional
from chainrule.configurable import Configurable, Registry
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor

REGISTRY = Registry("regularizer", "kernel_regularizer")


class Regularizer(Configurable):
    """Base of regularizers: subclasses define `__call__(x)`, which gives a scalar.

    Example:
        >>> class Size(Regularizer):
        ...     def __call__(self, x):
        ...         return functional.max(functional.abs(x))
        >>> Size()(functional.asarray([1.0, -3.0])).item()
        3.0
    """

    def __call__(self, x: Any) -> Tensor:
        """The penalty of `x`, a scalar."""
        raise NotImplementedError


class L1(Regularizer):
    """`l1 * sum(|x|)`: makes small weights 0.

    Args:
        l1: the factor.

    Example:
        >>> L1(0.5)(functional.asarray([1.0, -3.0])).item()
        2.0
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor("l1", l1)

    def __call__(self, x: Any) -> Tensor:
        """The penalty of `x`, a scalar."""
        return functional.sum(functional.abs(x)) * self.l1


class L2(Regularizer):
    """`l2 * sum(x ** 2)`: keeps weights small.

    Args:
        l2: the factor.

    Example:
        >>> L2(0.5)(functional.asarray([1.0, -3.0])).item()
        5.0
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor("l2", l2)

    def __call__(self, x: Any) -> Tensor:
        """The penalty of `x`, a scalar."""
        return functional.sum(functional.square(x)) * self.l2


class L1L2(Regularizer):
    """`l1 * sum(|x|) + l2 * sum(x ** 2)`.

    Zou, Hastie, "Regularization and variable selection via the elastic net", 2005.

    Args:
        l1: the factor of the absolute values.
        l2: the factor of the squares.

    Example:
        >>> L1L2(l1=0.5, l2=0.5)(functional.asarray([1.0, -3.0])).item()
        7.0
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _factor("l1", l1)
        self.l2 = _factor("l2", l2)

    def __call__(self, x: Any) -> Tensor:
        """The penalty of `x`, a scalar."""
        parts = []
        if self.l1:
            parts.append(L1(self.l1)(x))
        if self.l2:
            parts.append(L2(self.l2)(x))
        if not parts:
            return functional.zeros((), dtype=functional.asarray(x).dtype)
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class OrthogonalRegularizer(Regularizer):
    """Drives the rows (or columns) of a matrix to be at right angles.

    `factor` times the mean absolute cosine of two different rows.

    Args:
        factor: the factor.
        mode: `rows` or `columns`.

    Raises:
        ShapeError: when called with something that is no matrix.

    Example:
        >>> penalty = OrthogonalRegularizer(factor=0.5)
        >>> penalty(functional.asarray([[1.0, 0.0], [2.0, 0.0]])).item()
        0.5
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor("factor", factor)
        if mode not in ("rows", "columns"):
            raise ArgumentError(
                "unknown mode",
                where="OrthogonalRegularizer",
                got=f"mode={mode!r}",
                expected="'rows' or 'columns'",
            )
        self.mode = mode

    def __call__(self, x: Any) -> Tensor:
        """The penalty of `x`, a scalar."""
        matrix = functional.asarray(x)
        if matrix.ndim != 2:
            raise ShapeError(
                "only the rows of a matrix can be orthogonal",
                where="OrthogonalRegularizer",
                got=matrix.spec,
                expected="two axes",
            )
        rows = matrix if self.mode == "rows" else functional.matrix_transpose(matrix)
        count = rows.shape[0]
        if count < 2:
            return functional.zeros((), dtype=rows.dtype)
        squares = functional.sum(functional.square(rows), axis=1, keepdims=True)
        # a row of zeros is at right angles to every other
        unit = rows / functional.sqrt(functional.maximum(squares, 1e-12))
        cosines = functional.abs(
            functional.matmul(unit, functional.matrix_transpose(unit))
        )
        others = 1.0 - functional.eye(count, dtype=rows.dtype)
        pairs = count * (count - 1) / 2
        return functional.sum(cosines * others) * (self.factor * 0.5 / pairs)


def _factor(name: str, value: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise ArgumentError(
            "the factor of a penalty is a number that is not negative",
            where="regularizer",
            got=f"{name}={value!r}",
            expected=f"such as {name}=0.01",
        )
    return float(value)


# Keras has the classes under these names as well: `regularizers.l2(0.01)`.
l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer

for _each in (L1, L2, L1L2, OrthogonalRegularizer):
    REGISTRY.add(_each)


def get(identifier: Any) -> Any:
    """The regularizer that a name or a config stands for; None stands for none.

    Raises:
        ArgumentError: for an unknown name; the message has the nearest known one.

    Example:
        >>> get("l2")
        L2()
    """
    return None if identifier is None else REGISTRY.get(identifier)
