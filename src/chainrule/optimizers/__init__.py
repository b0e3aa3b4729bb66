"""Optimizers: how gradients become steps. Names and defaults are those of Keras."""

from typing import Any

from chainrule.configurable import serialize
from chainrule.errors import ArgumentError
from chainrule.optimizers.adam import Adam, AdamW
from chainrule.optimizers.base import REGISTRY, Optimizer
from chainrule.optimizers.rmsprop import RMSprop
from chainrule.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "serialize"]

REGISTRY.add(SGD)
REGISTRY.add(RMSprop, "rmsprop")
REGISTRY.add(Adam)
REGISTRY.add(AdamW, "adamw")


def get(identifier: Any) -> Optimizer:
    """The optimizer that a name or a config stands for.

    Raises:
        ArgumentError: for an unknown name; the message has the nearest known one.

    Example:
        >>> get("adam")
        Adam()
    """
    found = REGISTRY.get(identifier)
    if not isinstance(found, Optimizer):
        raise ArgumentError(
            "this is no optimizer",
            where="optimizer",
            got=found,
            expected="a name such as 'adam', or an optimizer",
        )
    return found
