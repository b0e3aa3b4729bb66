"""Text from networks: one token after another, in a native loop."""

from chainrule.generation.beam import (
    BeamSearch,
    Hypothesis,
    beam_search,
    length_penalty,
)
from chainrule.generation.cached import CachedSteps
from chainrule.generation.decoding import Decoder, News, Order, Run
from chainrule.generation.generate import Options, generate, steps_of, stream
from chainrule.generation.sampling import (
    GreedySampler,
    RandomSampler,
    Sampler,
    TopKSampler,
    TopPSampler,
)
from chainrule.generation.steps import Steps, put_rows, take_rows
from chainrule.generation.text import TextGenerator
from chainrule.generation.whole import WholeSteps

__all__ = [
    "BeamSearch",
    "CachedSteps",
    "Decoder",
    "GreedySampler",
    "Hypothesis",
    "News",
    "Options",
    "Order",
    "RandomSampler",
    "Run",
    "Sampler",
    "Steps",
    "TextGenerator",
    "TopKSampler",
    "TopPSampler",
    "WholeSteps",
    "beam_search",
    "generate",
    "length_penalty",
    "put_rows",
    "steps_of",
    "stream",
    "take_rows",
]
