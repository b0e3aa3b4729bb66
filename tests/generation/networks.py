"""Small networks that generate, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from chainrule import layers
from chainrule.generation import Decoder, Order, Sampler, WholeSteps

VOCABULARY = 11
LENGTH = 8
KEY = np.array([5, 0], np.uint32)


def recurrent(seed: int = 0, scale: float = 3.0) -> Any:
    """A GRU from tokens to logits that differ enough from one another."""
    with cr.functional.random.stream(cr.functional.random.key(seed)):
        network = cr.Sequential(
            [
                layers.Input((None,), dtype="int32"),
                layers.Embedding(VOCABULARY, 8, embeddings_initializer="normal"),
                layers.GRU(16, return_sequences=True),
                layers.Dense(VOCABULARY),
            ]
        )
    for variable in network.trainable_variables:
        variable.assign(variable.value * scale)
    return network


def whole_steps(network: Any | None = None, length: int = LENGTH) -> WholeSteps:
    """A network that computes its window anew for every token."""
    network = recurrent() if network is None else network
    return WholeSteps(lambda x: network(x, training=False), length, VOCABULARY)


def run_all(
    decoder: Decoder,
    prompts: list[list[int]],
    samples: list[int] | None = None,
    most: int = 20,
    sampler: Sampler | None = None,
    slide: int = 2,
    stops: tuple[int, ...] = (),
    key: Any = KEY,
) -> list[list[int]]:
    """All tokens that are made of each prompt."""
    order = Order(most, sampler or Sampler(), key, slide, frozenset(stops))
    found: list[list[int]] = [[] for _ in prompts]
    for news in decoder.run(prompts, samples or [0] * len(prompts), order):
        for each in news:
            found[each.row] += each.tokens
    return found
