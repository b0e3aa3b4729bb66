"""Learning rates: numbers, schedules and functions of the step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.ir.trace import constant, is_eager
from chainrule.optimizers.schedules.base import REGISTRY, deserialize


def as_rate(where: str, value: Any) -> float | Callable[[Tensor], Any]:
    """The learning rate that a user gave, or that a config describes.

    Raises:
        ArgumentError: for what is neither a number, 0 or more, nor a function of steps.
    """
    if isinstance(value, Mapping):
        return deserialize(value)
    if isinstance(value, str):
        value = _named(where, value)
    if isinstance(value, type) or (callable(value) and not _takes_a_step(value)):
        raise ArgumentError(
            "a schedule is a function of the number of steps so far",
            where=where,
            got=f"learning_rate={value!r}",
            expected="such as lambda step: 0.1 / (1 + step), or an object of "
            "chainrule.optimizers.schedules",
        )
    return value if callable(value) else _as_number(where, value)


def rate_at(rate: float | Callable[[Tensor], Any], step: Tensor) -> Tensor:
    """The learning rate after `step` steps (float32, 0-d)."""
    if type(rate) is float and is_eager():
        return constant(np.asarray(rate, np.float32))
    found = rate(step) if callable(rate) else rate
    return functional.astype(functional.asarray(found), "float32")


def _named(where: str, name: str) -> Any:
    """A function of the user, by its name in a config."""
    if name in REGISTRY.entries:
        raise ArgumentError(
            "a schedule needs its arguments",
            where=where,
            got=f"learning_rate={name!r}",
            fix="learning_rate=chainrule.optimizers.schedules.CosineDecay(0.1, 1000)",
        )
    return REGISTRY.get(name)


def _takes_a_step(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(0)
    except TypeError:
        return False
    except ValueError:
        return True  # a built-in that does not say what it takes
    return True


def _as_number(where: str, value: Any) -> float:
    try:
        rate = float(value)
    except (TypeError, ValueError):
        rate = -1.0
    if not rate >= 0:
        raise ArgumentError(
            "the learning rate is a number, or a function of the step",
            where=where,
            got=f"learning_rate={value!r}",
            expected="0 or more, such as 0.001",
        )
    return rate
