"""Learning rates that change as training goes on. Names are those of Keras."""

from chainrule.configurable import serialize
from chainrule.optimizers.schedules.base import (
    REGISTRY,
    LearningRateSchedule,
    deserialize,
)
from chainrule.optimizers.schedules.composed import (
    LinearWarmup,
    OneCycle,
    SequentialSchedule,
)
from chainrule.optimizers.schedules.cosine import CosineDecay, CosineDecayRestarts
from chainrule.optimizers.schedules.decay import (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "LinearWarmup",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "SequentialSchedule",
    "deserialize",
    "serialize",
]

for _schedule in (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LinearWarmup,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
    SequentialSchedule,
):
    REGISTRY.add(_schedule)
