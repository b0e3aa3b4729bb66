"""Optimizers: how gradients become steps. Names and defaults are those of Keras."""

from typing import Any

from chainrule.configurable import serialize
from chainrule.errors import ArgumentError
from chainrule.optimizers import schedules
from chainrule.optimizers.adadelta import Adadelta
from chainrule.optimizers.adafactor import Adafactor
from chainrule.optimizers.adagrad import Adagrad
from chainrule.optimizers.adam import Adam, AdamW
from chainrule.optimizers.adamax import Adamax
from chainrule.optimizers.base import REGISTRY, Optimizer
from chainrule.optimizers.ftrl import Ftrl
from chainrule.optimizers.lamb import Lamb
from chainrule.optimizers.lbfgs import LBFGS
from chainrule.optimizers.lion import Lion
from chainrule.optimizers.loss_scale import LossScaleOptimizer
from chainrule.optimizers.muon import Muon
from chainrule.optimizers.nadam import Nadam
from chainrule.optimizers.rmsprop import RMSprop
from chainrule.optimizers.sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

for _optimizer in (
    SGD,
    RMSprop,
    Adam,
    AdamW,
    Adadelta,
    Adafactor,
    Adagrad,
    Adamax,
    Ftrl,
    LBFGS,
    Lamb,
    Lion,
    LossScaleOptimizer,
    Muon,
    Nadam,
):
    REGISTRY.add(_optimizer, _optimizer.__name__.lower())


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


def deserialize(config: Any) -> Optimizer:
    """The optimizer that a config describes.

    Raises:
        ArgumentError: for the name of a class that is not known.

    Example:
        >>> deserialize(serialize(SGD(0.5, momentum=0.9)))
        SGD(learning_rate=0.5, momentum=0.9)
    """
    return get(config)
