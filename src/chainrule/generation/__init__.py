"""Text from networks: one token after another, in a native loop."""

from chainrule.generation.beam import (
    BeamSearch,
    Hypothesis,
    beam_search,
    length_penalty,
)
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
    "BeamSearch",
    "Decoder",
    "GreedySampler",
    "Hypothesis",
    "News",
    "Order",
    "RandomSampler",
    "Run",
    "Sampler",
    "Steps",
    "TopKSampler",
    "TopPSampler",
    "WholeSteps",
    "beam_search",
    "length_penalty",
    "put_rows",
    "take_rows",
]
