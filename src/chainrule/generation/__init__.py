"""Text from networks: one token after another, in a native loop."""

from chainrule.generation.decoding import Decoder, News, Order, Run
from chainrule.generation.sampling import (
    GreedySampler,
    RandomSampler,
    Sampler,
    TopKSampler,
    TopPSampler,
)
from chainrule.generation.steps import Steps, put_rows, take_rows
from chainrule.generation.whole import WholeSteps

__all__ = [
    "Decoder",
    "GreedySampler",
    "News",
    "Order",
    "RandomSampler",
    "Run",
    "Sampler",
    "Steps",
    "TopKSampler",
    "TopPSampler",
    "WholeSteps",
    "put_rows",
    "take_rows",
]
