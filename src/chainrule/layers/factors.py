"""How far layers change pictures: factors, ranges of values, and what is drawn of them.

A factor is a number, or a pair of the least and the largest that is drawn; a pair of
two equal numbers always gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError

Factor = float | Sequence[float]
ValueRange = Sequence[float]

NUMBERS = (int, float, np.integer, np.floating)


def is_number(value: Any) -> bool:
    """Whether it is a real number, and no truth value."""
    return isinstance(value, NUMBERS) and not isinstance(value, bool)


def span(
    where: str,
    argument: str,
    factor: Any,
    low: float = 0.0,
    high: float = 1.0,
    start: float | None = None,
) -> tuple[float, float]:
    """The least and the largest that is drawn for a factor.

    A number `f` stands for `(-f, f)` where negative ones are allowed, and else for
    what lies between `low` and `f`.

    Args:
        where: the name of the layer.
        argument: the name of the argument.
        factor: a number or a pair.
        low: the least that is allowed.
        high: the largest that is allowed.
        start: where the range of a single number begins, if not there.

    Raises:
        ArgumentError: when it is neither, or not within `[low, high]`.

    Example:
        >>> span("layer", "factor", 0.25, -1), span("layer", "factor", 0.25)
        ((-0.25, 0.25), (0.0, 0.25))
        >>> span("layer", "factor", [0.5, 0.25])
        (0.25, 0.5)
    """
    numbers = _numbers(factor)
    if numbers is None or not all(low <= number <= high for number in numbers):
        raise ArgumentError(
            f"{argument} is a number, or a pair of the least and the largest",
            where=where,
            got=f"{argument}={factor!r}",
            expected=f"within [{low:g}, {high:g}]",
            fix=f"{argument}=({low:g}, {high:g})",
        )
    if len(numbers) == 2:
        return min(numbers), max(numbers)
    reach = numbers[0]
    if start is not None:
        return min(start, reach), max(start, reach)
    return (-abs(reach), abs(reach)) if low < 0 else (float(low), reach)


def _numbers(factor: Any) -> list[float] | None:
    """A number, or the two of a pair; None for anything else."""
    if is_number(factor):
        return [float(factor)]
    pair = isinstance(factor, (list, tuple, np.ndarray)) and len(factor) == 2
    if pair and all(map(is_number, factor)):
        return [float(number) for number in factor]
    return None


def check_value_range(where: str, value_range: Any) -> tuple[float, float]:
    """The least and the largest value that pixels have.

    Raises:
        ArgumentError: when it is no pair of two different numbers.

    Example:
        >>> check_value_range("layer", [0, 255])
        (0.0, 255.0)
    """
    numbers = _numbers(value_range)
    if numbers is None or len(numbers) != 2 or not np.ptp(numbers) > 0:
        raise ArgumentError(
            "value_range is the least and the largest value that pixels have",
            where=where,
            got=f"value_range={value_range!r}",
            expected="two different numbers",
            fix="value_range=(0, 255)",
        )
    return min(numbers), max(numbers)


def check_share(where: str, argument: str, value: Any) -> float:
    """A number from 0 to 1.

    Raises:
        ArgumentError: when it is none.
    """
    if not is_number(value) or not 0 <= value <= 1:
        raise ArgumentError(
            f"{argument} is a share, from 0 to 1",
            where=where,
            got=f"{argument}={value!r}",
            expected="a number from 0 to 1",
        )
    return float(value)
