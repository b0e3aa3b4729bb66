"""Transformers with caches: equal to computing everything, in place, for any batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.applications import GPT
from chainrule.generation import CachedSteps, Decoder, Sampler, WholeSteps, steps_of
from chainrule.generation.steps import take_rows
from tests.generation.networks import LENGTH, VOCABULARY, recurrent, run_all
from tests.tolerances import assert_close

PROMPTS = [[1], [2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3], [3, 3, 9]]


def gpt(length: int = LENGTH, vocabulary: int = VOCABULARY, **options: Any) -> Any:
    """A small GPT whose logits differ enough from one another."""
    given: Any = {"layers": 2, "heads": 2, "width": 12, **options}
    with cr.random.stream(cr.random.key(1)):
        model = GPT(vocabulary, length, **given)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(variable.value * 12.0)
    return model


def drawn() -> Any:
    """Models inside of one another, sines for places, and a head of its own."""
    with cr.random.stream(cr.random.key(2)):
        tokens = layers.Input((None,), dtype="int32")
        x = layers.Embedding(VOCABULARY, 12)(tokens)
        x = x * 3.0 + layers.SinePositionEncoding()(x)
        block = layers.TransformerDecoder(24, 3, dropout=0.5, activation="relu")
        inner = cr.Sequential([layers.Input((None, 12)), block, layers.Dense(12)])
        x = inner(x) + x
        x = layers.Dropout(0.5)(layers.RMSNormalization()(x))
        return cr.Model(tokens, layers.Dense(VOCABULARY)(x))


def row() -> Any:
    """A plain row of layers."""
    with cr.random.stream(cr.random.key(3)):
        return cr.Sequential(
            [
                layers.Input((None,), dtype="int32"),
                layers.TokenAndPositionEmbedding(VOCABULARY, LENGTH, 8),
                layers.TransformerDecoder(16, 2, normalize_first=True),
                layers.LayerNormalization(),
                layers.Dense(VOCABULARY),
            ]
        )


NETWORKS = {
    "gpt": gpt,
    "untied": lambda: gpt(tie_weights=False),
    "drawn": drawn,
    "row": row,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_steps_give_the_logits_of_the_whole(kind: str) -> None:
    network = NETWORKS[kind]()
    steps = steps_of(network, LENGTH)
    assert isinstance(steps, CachedSteps)
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (3, LENGTH))
    tokens = tokens.astype(np.int32)
    whole = network.predict(tokens, verbose=0)
    lengths = np.array([0, 5, 3])
    state = steps.begin(tokens[:, :5], lengths)
    step = cr.jit(steps.step)
    rows = np.arange(3)
    for number in range(3):
        places = lengths + number
        logits, state = step(state, cr.asarray(tokens[rows, places]))
        assert_close(logits.numpy(), whole[rows, places], where=f"step {number}")


@pytest.mark.parametrize("kind", NETWORKS)
def test_caches_make_the_tokens_of_computing_anew(kind: str) -> None:
    network = NETWORKS[kind]()

    def computed(tokens: Any) -> Any:
        return network(tokens, training=False)

    whole = WholeSteps(computed, LENGTH, VOCABULARY)
    for slide in (1, 3, LENGTH):
        for sampler in (Sampler(0), Sampler(0.9, top_k=5, repetition_penalty=1.2)):
            found = [
                run_all(Decoder(steps), PROMPTS, [0, 1, 2], 17, sampler, slide)
                for steps in (whole, steps_of(network, LENGTH))
            ]
            assert found[0] == found[1], (slide, sampler)


@pytest.mark.parametrize("tied", [True, False])
def test_a_sequence_has_the_same_bits_in_every_batch(tied: bool) -> None:
    network = gpt(20, 70, width=32, tie_weights=tied)
    steps = steps_of(network)
    random = np.random.default_rng(0)
    tokens = random.integers(0, 70, (37, 12)).astype(np.int32)
    state = steps.begin(tokens, random.integers(0, 12, 37))
    step = cr.jit(steps.step)
    found = []
    for count in (37, 16, 3, 1):
        some, logits = take_rows(state, np.arange(count), 37), []
        for number in range(3):
            made, some = step(some, cr.asarray(tokens[:count, number]))
            logits.append(made.numpy()[0])
        found.append(np.array(logits))
    assert all((each == found[-1]).all() for each in found)
    alone = steps.begin(tokens[5:6], np.array([4]))
    among = steps.begin(tokens[4:7], np.array([11, 4, 0]))
    for name in ("keys", "values"):
        part = among["blocks"][0][name].numpy()[20:40]
        assert (alone["blocks"][0][name].numpy() == part).all()


def test_caches_are_written_in_place() -> None:
    steps = steps_of(gpt(64))
    decoder = Decoder(steps)
    run_all(decoder, [[1]], most=3)
    loop = decoder._loop(Sampler())
    program: Any = loop._loops
    graph, _ = loop.graph(1)
    plan = program.program(graph).plan
    writes = [
        step.values[-1]
        for step in plan.steps
        if getattr(step.kernel, "operation", "") == "scatter_add"
    ]
    given = {id(value) for value in plan.graph.inputs}
    assert len(writes) == 4
    assert all(id(plan.over[id(value)]) in given for value in writes)
    whole = [v for step in plan.steps for v in step.values if v.spec.shape == (64, 12)]
    assert {id(v) for v in whole} <= given | {id(value) for value in writes}


def test_what_looks_elsewhere_is_computed_whole() -> None:
    tokens = layers.Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 8)(tokens)
    convolved = layers.Conv1D(VOCABULARY, 3, padding="causal")(x)
    masked = layers.Embedding(VOCABULARY, 8, mask_zero=True)(tokens)
    summed = cr.functional.cumulative_sum(x, axis=1)
    for network in (
        recurrent(),
        cr.Model(tokens, convolved),
        cr.Model(tokens, layers.Dense(VOCABULARY)(masked)),
        cr.Model(tokens, layers.Dense(VOCABULARY)(summed)),
    ):
        assert isinstance(steps_of(network, LENGTH), WholeSteps)


def test_states_of_many_lengths_are_begun() -> None:
    network = gpt(40)
    steps = steps_of(network)
    tokens = np.arange(39, dtype=np.int32)[None] % VOCABULARY
    whole = network.predict(np.append(tokens, [[0]], axis=1), verbose=0)
    for count in (0, 1, 15, 16, 17, 33, 39):
        state = steps.begin(tokens, np.array([count]))
        token = cr.asarray(np.int32([0 if count == 39 else tokens[0, count]]))
        logits, _ = steps.step(state, token)
        assert_close(logits.numpy()[0], whole[0, count])
